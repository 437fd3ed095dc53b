package pfsgan

import (
	"context"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fewshot/paired"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Baseline is a generator of the target that one of the methods for comparison learned. All take c.Target's steps.
type Baseline struct {
	Generator *nets.Generator
	Losses    fit.Losses

	size    int
	front   *nets.Generator       // whose first half the generator has
	content *nets.GaussianEncoder // of UNIT alone
	store   *model.Store
}

// Sample makes n images of latents that are drawn from the standard normal distribution.
func (b *Baseline) Sample(e *engine.Engine, n int, seed int64) (*tensors.Tensor, error) {
	latents, err := drawn(n, b.Generator.Latent, seed)
	if err != nil {
		return nil, err
	}
	return generate(e, b.Generator, b.front, latents)
}

// Translate makes target images of source images [n, size, size, 3]. Only UNIT can.
func (b *Baseline) Translate(e *engine.Engine, source *tensors.Tensor) (*tensors.Tensor, error) {
	if b.content == nil {
		return nil, errors.New("pfsgan: this generator takes drawn latents alone: Sample it, or train UNIT")
	}
	latents, err := codes(e, b.content, b.size, source)
	if err != nil {
		return nil, err
	}
	return generate(e, b.Generator, b.front, latents)
}

// drawn are standard normal latents [n][values].
func drawn(n, values int, seed int64) ([][]float32, error) {
	if n < 1 {
		return nil, errors.Errorf("pfsgan: %d samples: want at least 1", n)
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x6c6174656e7473)) // the stream "latents"
	all := make([][]float32, n)
	for i := range all {
		all[i] = make([]float32, values)
		for j := range all[i] {
			all[i][j] = float32(rng.NormFloat64())
		}
	}
	return all, nil
}

// baseline begins one with a generator and a discriminator.
func newBaseline(size int, c Config) (*Baseline, *nets.Discriminator, error) {
	b := &Baseline{size: size, store: model.NewStore()}
	var err error
	if b.Generator, err = nets.NewGenerator(b.store, c.network("generator", size, c.Appearance+c.Content, 1)); err != nil {
		return nil, nil, err
	}
	b.front = b.Generator
	judge, err := nets.NewDiscriminator(b.store, c.network("judge", size, 0, 4))
	return b, judge, err
}

// judgedBoth is the mean of the hinge losses of patches and wholes, fooledBoth that of the generator's.
func judgedBoth(realPatches, realWhole, fakePatches, fakeWhole *Node) *Node {
	return MulScalar(Add(judged(realPatches, fakePatches), judged(realWhole, fakeWhole)), 0.5)
}

func fooledBoth(patches, whole *Node) *Node {
	return MulScalar(Add(fooled(patches), fooled(whole)), 0.5)
}

// TrainScratch learns from the few target images [k, size, size, 3] alone: a generator and a discriminator by the hinge loss.
func TrainScratch(ctx context.Context, e *engine.Engine, target *tensors.Tensor, c Config, o fit.Options) (*Baseline, error) {
	return trainAlone(ctx, e, nil, target, c, o)
}

// FineTune is [TrainScratch] of a generator that begins as the source's.
func FineTune(ctx context.Context, e *engine.Engine, s *Source, target *tensors.Tensor, c Config, o fit.Options) (*Baseline, error) {
	c.Channels, c.Content, c.Appearance = s.Config.Channels, s.Config.Content, s.Config.Appearance
	return trainAlone(ctx, e, s, target, c, o)
}

func trainAlone(ctx context.Context, e *engine.Engine, s *Source, target *tensors.Tensor, c Config, o fit.Options) (*Baseline, error) {
	c = c.WithDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	size, err := sizeOf("the target set", target)
	if err != nil {
		return nil, err
	}
	b, judge, err := newBaseline(size, c)
	if err != nil {
		return nil, err
	}
	if s != nil {
		if err := b.Generator.CopyWeights(&s.Generator.Network); err != nil {
			return nil, err
		}
	}
	n := min(target.Shape().Dimensions[0], mostPairs)
	batches, err := fit.Batches(target, n, c.Seed)
	if err != nil {
		return nil, err
	}
	sum, err := fit.Data{Images: target}.Sum()
	if err != nil {
		return nil, err
	}
	fakes := func(scope *model.Scope, images *Node) *Node {
		return b.Generator.Images(scope, scope.RandomNormal(images.Graph(), latentShape(images, n, b.Generator.Latent)))
	}
	rule := c.Target.rule(0.5, 0.9)
	a := fit.Alternation{Name: "GAN of few images", Key: fit.Hash("pfsgan alone 1", sum, c.Target, c.Seed), Store: b.store,
		Steps: c.Target.Steps, Seed: c.Seed, Updates: []fit.Update{
			{Name: LossJudge, Trains: []*nets.Network{&judge.Network}, Rule: rule, Batch: batches,
				Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node {
					patches, whole := judge.Scores(scope, Concatenate([]*Node{batch[0], StopGradient(fakes(scope, batch[0]))}, 0))
					p, w := split(patches, n, n), split(whole, n, n)
					return judgedBoth(p[0], w[0], p[1], w[1])
				}},
			{Name: LossGenerator, Trains: []*nets.Network{&b.Generator.Network}, Rule: rule, Batch: batches,
				Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node {
					return fooledBoth(judge.Scores(scope, fakes(scope, batch[0])))
				}},
		}}
	b.Losses, err = a.Train(ctx, e, o)
	return b, err
}

// coupled are two generators that share their first half, with two discriminators that share all but their first block; the first
// of each is of the source.
type coupled struct {
	*Baseline
	source *nets.Generator
	judges [2]*nets.Discriminator
}

func newCoupled(size int, c Config) (*coupled, error) {
	b, judge, err := newBaseline(size, c)
	if err != nil {
		return nil, err
	}
	k := &coupled{Baseline: b, judges: [2]*nets.Discriminator{nil, judge}}
	if k.source, err = nets.NewGenerator(b.store, c.network("source_generator", size, c.Appearance+c.Content, 6)); err != nil {
		return nil, err
	}
	if k.judges[0], err = nets.NewDiscriminator(b.store, c.network("source_judge", size, 0, 7)); err != nil {
		return nil, err
	}
	b.front = k.source
	return k, nil
}

// images are those of both domains of the same latents.
func (k *coupled) images(scope *model.Scope, latents *Node) [2]*Node {
	return [2]*Node{k.source.Images(scope, latents), k.Generator.ImagesBehind(scope, k.source, latents)}
}

func (k *coupled) scores(scope *model.Scope, domain int, images *Node) (patches, whole *Node) {
	return k.judges[domain].ScoresBefore(scope, k.judges[0], images)
}

func (k *coupled) judgeLoss(scope *model.Scope, given, made [2]*Node) *Node {
	var sum *Node
	for domain := range given {
		n, m := given[domain].Shape().Dimensions[0], made[domain].Shape().Dimensions[0]
		patches, whole := k.scores(scope, domain, Concatenate([]*Node{given[domain], StopGradient(made[domain])}, 0))
		p, w := split(patches, n, m), split(whole, n, m)
		loss := judgedBoth(p[0], w[0], p[1], w[1])
		if sum == nil {
			sum = loss
		} else {
			sum = Add(sum, loss)
		}
	}
	return sum
}

func (k *coupled) foolLoss(scope *model.Scope, made [2]*Node) *Node {
	return Add(fooledBoth(k.scores(scope, 0, made[0])), fooledBoth(k.scores(scope, 1, made[1])))
}

// TrainCoGAN learns two coupled generators (Liu and Tuzel, arXiv 1606.07536) of source images and the few target images: the same
// latents give images of both domains, and nothing says that these are pairs.
func TrainCoGAN(ctx context.Context, e *engine.Engine, source, target *tensors.Tensor, c Config, o fit.Options) (*Baseline, error) {
	few := &paired.Set{Target: target}
	k, batches, sum, err := beginCoupled(source, few, c)
	if err != nil {
		return nil, err
	}
	c = c.WithDefaults()
	made := func(scope *model.Scope, like *Node) [2]*Node {
		return k.images(scope, scope.RandomNormal(like.Graph(), latentShape(like, c.Target.Batch, k.Generator.Latent)))
	}
	rule := c.Target.rule(0.5, 0.9)
	a := fit.Alternation{Name: "CoGAN", Key: fit.Hash("pfsgan cogan 1", sum), Store: k.store, Steps: c.Target.Steps, Seed: c.Seed,
		Updates: []fit.Update{
			{Name: LossJudge, Trains: k.judgeNetworks(), Rule: rule, Batch: batches,
				Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node {
					return k.judgeLoss(scope, [2]*Node{batch[0], batch[1]}, made(scope, batch[0]))
				}},
			{Name: LossGenerator, Trains: []*nets.Network{&k.source.Network, &k.Generator.Network}, Rule: rule, Batch: batches,
				Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node {
					return k.foolLoss(scope, made(scope, batch[0]))
				}},
		}}
	k.Losses, err = a.Train(ctx, e, o)
	return k.Baseline, err
}

func (k *coupled) judgeNetworks() []*nets.Network {
	return []*nets.Network{&k.judges[0].Network, &k.judges[1].Network}
}

// beginCoupled checks what is given and builds the networks; batches are source images, the few target images, and the source
// images of these if there are any.
func beginCoupled(source *tensors.Tensor, few *paired.Set, c Config) (*coupled, func(i int) ([]any, error), string, error) {
	c = c.WithDefaults()
	if err := c.validate(); err != nil {
		return nil, nil, "", err
	}
	sets := []*tensors.Tensor{source, few.Target}
	if few.Source != nil {
		sets = append(sets, few.Source)
	}
	size, sum := 0, fit.Hash(c.Target, c.Seed)
	var nexts []func(i int) ([]any, error)
	for i, set := range sets {
		side, err := sizeOf([]string{"the source set", "the target set", "the few-shot set's source"}[i], set)
		if err != nil {
			return nil, nil, "", err
		}
		if i > 0 && side != size {
			return nil, nil, "", errors.Errorf("pfsgan: source and target sizes differ: %d×%d, %d×%d", size, size, side, side)
		}
		size = side
		batch := c.Target.Batch
		if i > 0 {
			batch = min(set.Shape().Dimensions[0], mostPairs)
		}
		next, err := fit.Batches(set, batch, c.Seed) // of sets of one size, the same rows
		if err != nil {
			return nil, nil, "", errors.WithMessage(err, "pfsgan")
		}
		s, err := fit.Data{Images: set}.Sum()
		if err != nil {
			return nil, nil, "", err
		}
		nexts, sum = append(nexts, next), fit.Hash(sum, s)
	}
	k, err := newCoupled(size, c)
	return k, func(i int) (all []any, err error) {
		for _, next := range nexts {
			batch, err := next(i)
			if err != nil {
				return nil, err
			}
			all = append(all, batch...)
		}
		return all, nil
	}, sum, err
}

// TrainUNIT learns coupled generators with an encoder that both domains share (Liu, Breuel and Kautz, arXiv 1703.00848), as the
// authors' code has it: images come back from their codes, and those of a pair give each other.
func TrainUNIT(ctx context.Context, e *engine.Engine, source *tensors.Tensor, few *paired.Set, c Config, o fit.Options) (*Baseline, error) {
	if err := few.Validate(); err != nil {
		return nil, errors.WithMessage(err, "pfsgan")
	}
	k, batches, sum, err := beginCoupled(source, few, c)
	if err != nil {
		return nil, err
	}
	c = c.WithDefaults()
	if k.content, err = nets.NewGaussianEncoder(k.store, c.network("encoder", k.size, k.Generator.Latent, 8)); err != nil {
		return nil, err
	}
	rule := c.Target.rule(0.5, 0.9)
	a := fit.Alternation{Name: "UNIT", Key: fit.Hash("pfsgan unit 1", sum), Store: k.store, Steps: c.Target.Steps, Seed: c.Seed,
		Updates: []fit.Update{
			{Name: LossJudge, Trains: k.judgeNetworks(), Rule: rule, Batch: batches,
				Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node {
					codes, _, _ := encode(scope, k.content, batch[0])
					return k.judgeLoss(scope, [2]*Node{batch[0], batch[1]}, k.images(scope, codes))
				}},
			{Name: LossGenerator, Trains: []*nets.Network{&k.source.Network, &k.Generator.Network, &k.content.Network}, Rule: rule,
				Batch: batches, Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node { return k.unitLoss(scope, batch) }},
		}}
	k.Losses, err = a.Train(ctx, e, o)
	return k.Baseline, err
}

// unitLoss is of source images, the few target images and the source images of these.
func (k *coupled) unitLoss(scope *model.Scope, batch []*Node) *Node {
	source, target, of := batch[0], batch[1], batch[2]
	n, pairs := source.Shape().Dimensions[0], target.Shape().Dimensions[0]
	codes, mean, spread := encode(scope, k.content, Concatenate([]*Node{source, of, target}, 0))
	made := k.images(scope, codes)
	inSource, inTarget := split(made[0], n, pairs, pairs), split(made[1], n, pairs, pairs)
	again := Add(Add(squared(inSource[0], source), squared(inSource[1], of)), squared(inTarget[2], target))
	across := Add(squared(inTarget[1], target), squared(inSource[2], of))
	fool := k.foolLoss(scope, [2]*Node{inSource[0], inTarget[0]})
	return Add(Add(again, across), Add(MulScalar(divergence(mean, spread), 0.001), MulScalar(fool, 0.1)))
}
