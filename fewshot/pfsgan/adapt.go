package pfsgan

import (
	"context"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fewshot/paired"
	"github.com/trustbook/trustbook/fewshot/paired/lab"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Target is what stage 2 learns of the target domain.
type Target struct {
	Config     Config // with all defaults filled in
	Size       int
	Generator  *nets.Generator       // trained, from the source's
	Appearance *nets.GaussianEncoder // of target images; trained, from the source's encoder of content
	Front      *nets.Front           // what target images enter the encoder of content by; trained, from its own
	Content    *nets.GaussianEncoder // frozen: the source's
	Losses     fit.Losses
	// Film is what the generator made of the same codes as it learned, each [rows·columns, size, size, 3]: one appearance a row, one
	// content a column.
	Film               []*tensors.Tensor
	FilmRows, FilmCols int

	before     *nets.Generator // frozen: the source's
	judge      *nets.Discriminator
	perceptual *Perceptual
	store      *model.Store
}

// Names of the losses of stage 2, beside those of stage 1. A relation is the squared difference of two images' contents, value by
// value; each part is a mean absolute difference of relations. Relation1 and Relation2 train the front on what is given: the two
// images of a pair are alike, others as far apart as their source images. Relation3 and Relation4 train all of it on what is made.
const (
	LossFront    = "front"
	LossRelation = "relation"
	Relation1    = "relation 1"
	Relation2    = "relation 2"
	Relation3    = "relation 3"
	Relation4    = "relation 4"
)

// mostPairs is how many pairs a step takes at most.
const mostPairs = 64

// newTarget builds the networks of stage 2 as they begin.
func newTarget(s *Source, c Config) (*Target, error) {
	t := &Target{Config: c, Size: s.Size, perceptual: s.Perceptual, store: model.NewStore()}
	var err error
	if t.Generator, err = nets.NewGenerator(t.store, c.network("target_generator", s.Size, c.Appearance+c.Content, 1)); err != nil {
		return nil, err
	}
	if t.before, err = nets.NewGenerator(t.store, c.network("source_generator", s.Size, c.Appearance+c.Content, 1)); err != nil {
		return nil, err
	}
	if t.Content, err = nets.NewGaussianEncoder(t.store, c.network("content", s.Size, c.Content, 2)); err != nil {
		return nil, err
	}
	if t.Appearance, err = nets.NewGaussianEncoder(t.store, c.network("target_appearance", s.Size, c.Appearance, 2)); err != nil {
		return nil, err
	}
	if t.Front, err = nets.NewFront(t.store, c.network("front", s.Size, c.Content, 2)); err != nil {
		return nil, err
	}
	if t.judge, err = nets.NewDiscriminator(t.store, c.network("target_judge", s.Size, 0, 5)); err != nil {
		return nil, err
	}
	for _, copied := range []struct{ to, from *nets.Network }{
		{&t.Generator.Network, &s.Generator.Network}, {&t.before.Network, &s.Generator.Network}, {&t.Content.Network, &s.Content.Network},
		{&t.Appearance.Network, &s.Content.Network}, {&t.Front.Network, &s.Content.Front.Network},
	} {
		if err := copied.to.CopyWeights(copied.from); err != nil {
			return nil, err
		}
	}
	return t, adoptPerceptual(t.store, s.Perceptual)
}

// Adapt trains stage 2 on a few pairs and on source images [n, size, size, 3], or loads what the same training gave before. The
// source's networks stay as they are. Sizes are the source's; of c, the target's schedule, weights, NoShift, Frames and Seed count.
//
// It differs from the authors' code in this: the discriminator's image term compares reconstructions with what is made, as its
// patch term does (theirs has the score of what is made on both sides); the second relation compares a target image with source
// images by the distances of its own pair's (theirs takes those of another content); contents are means of their codes, and the
// front has moments of its own for each of its two updates. Target images do not vary more than they do, so shifts of color stay
// within their range; where they have one color, nothing is shifted.
func Adapt(ctx context.Context, e *engine.Engine, s *Source, few *paired.Set, source *tensors.Tensor, c Config,
	o fit.Options) (*Target, error) {
	if s == nil {
		return nil, errors.New("pfsgan: no source: train one first")
	}
	c.Channels, c.Content, c.Appearance = s.Config.Channels, s.Config.Content, s.Config.Appearance
	c = c.WithDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	if err := checkPairs(few, s.Size); err != nil {
		return nil, err
	}
	t, err := newTarget(s, c)
	if err != nil {
		return nil, err
	}
	d, err := t.data(e, s, few, source)
	if err != nil {
		return nil, err
	}
	a, err := t.alternation(s, d)
	if err != nil {
		return nil, err
	}
	if t.Losses, err = a.Train(ctx, e, o); err != nil {
		return nil, err
	}
	t.Film = a.Watch.Seen
	return t, nil
}

func checkPairs(few *paired.Set, size int) error {
	if few == nil {
		return errors.New("pfsgan: no few-shot set")
	}
	if err := few.Validate(); err != nil {
		return errors.WithMessage(err, "pfsgan")
	}
	got, err := sizeOf("the few-shot set", few.Target)
	switch {
	case err != nil:
		return err
	case got != size:
		return errors.Errorf("pfsgan: pairs of %d×%d, the source's networks take %d×%d", got, got, size, size)
	}
	return nil
}

// pairsData are what stage 2 learns from: codes of contents stand in for source images, since their encoder is frozen.
type pairsData struct {
	target          []float32 // of the pairs
	size            int       // values of an image
	content, others [][]float32
	channels        *tensors.Tensor // ranges of a and b of the target images, [2, 2]
	sum             string
}

func (t *Target) data(e *engine.Engine, s *Source, few *paired.Set, source *tensors.Tensor) (*pairsData, error) {
	d := &pairsData{target: flat(few.Target), size: t.Size * t.Size * 3}
	var err error
	if d.content, err = codes(e, s.Content, t.Size, few.Source); err != nil {
		return nil, err
	}
	if d.others, err = codes(e, s.Content, t.Size, source); err != nil {
		return nil, err
	}
	if len(d.others) < t.Config.Target.Batch {
		return nil, errors.Errorf("pfsgan: %d source images for a batch of %d: want at least as many", len(d.others), t.Config.Target.Batch)
	}
	if d.channels, err = CallOnce(e.Backend(), func(images *Node) *Node { return lab.Range(images) },
		few.Target); err != nil {
		return nil, err
	}
	sum, err := fit.Data{Images: few.Target}.Sum()
	d.sum = fit.Hash(sum, d.content, d.others)
	return d, err
}

// batches returns pairs' target images and contents, other contents, and the settings that one executable serves all of.
func (t *Target) batches(d *pairsData) (func(i int) ([]any, error), error) {
	c := t.Config
	others := tensors.FromFlatDataAndDimensions(slices.Concat(d.others...), len(d.others), c.Content)
	next, err := fit.Batches(others, c.Target.Batch, c.Seed)
	if err != nil {
		return nil, err
	}
	pairs := len(d.content)
	k := min(pairs, mostPairs)
	shift := float32(1)
	if c.NoShift {
		shift = 0
	}
	w := c.weights()
	weights := []float32{float32(w[0]), float32(w[1]), float32(w[2]), shift}
	return func(i int) ([]any, error) {
		other, err := next(i)
		if err != nil {
			return nil, err
		}
		rows := make([]int, k)
		for j := range rows {
			rows[j] = j
		}
		if pairs > k {
			for j, row := range fit.Permutation(pairs, c.Seed, i)[:k] {
				rows[j] = int(row)
			}
		}
		var contents []float32
		for _, row := range rows {
			contents = append(contents, d.content[row]...)
		}
		images := tensors.FromFlatDataAndDimensions(nets.PickRows(d.target, d.size, rows), k, t.Size, t.Size, 3)
		return []any{images, tensors.FromFlatDataAndDimensions(contents, k, c.Content), other[0], d.channels, weights}, nil
	}, nil
}

func (t *Target) alternation(s *Source, d *pairsData) (fit.Alternation, error) {
	c := t.Config
	batches, err := t.batches(d)
	if err != nil {
		return fit.Alternation{}, err
	}
	rule, w := c.Target.rule(0.5, 0.9), c.weights()
	watch := t.watch(d)
	return fit.Alternation{Name: "paired GAN, target", Store: t.store, Steps: c.Target.Steps, Seed: c.Seed, Watch: watch,
		Key: fit.Hash("pfsgan target 1", d.sum, c.Target, w[0], w[1], w[2], c.NoShift, c.Seed,
			s.Perceptual.key()),
		Updates: []fit.Update{
			{Name: LossJudge, Trains: []*nets.Network{&t.judge.Network}, Rule: c.Target.rule(0, 0.9), Times: c.Target.JudgeSteps, Batch: batches,
				Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node { return t.judgeLoss(scope, inputsOf(batch)) }},
			{Name: LossFront, Trains: []*nets.Network{&t.Front.Network}, Rule: rule, Batch: batches, Parts: []string{Relation1, Relation2},
				LossParts: func(scope *model.Scope, _ *Graph, batch []*Node) (*Node, []*Node) {
					return t.frontLoss(scope, inputsOf(batch))
				}},
			{Name: LossGenerator, Trains: []*nets.Network{&t.Generator.Network, &t.Appearance.Network, &t.Front.Network}, Rule: rule,
				Batch: batches, Parts: []string{LossReconstruction, LossAdversarial, Relation3, Relation4},
				LossParts: func(scope *model.Scope, _ *Graph, batch []*Node) (*Node, []*Node) {
					return t.generatorLoss(scope, inputsOf(batch))
				}},
		}}, nil
}

// watch looks at what is made of the same four appearances and eight contents.
func (t *Target) watch(d *pairsData) *fit.Watch {
	t.FilmRows, t.FilmCols = min(4, len(d.content)), min(8, len(d.others))
	appearances := tensors.FromFlatDataAndDimensions(slices.Clone(d.target[:t.FilmRows*d.size]), t.FilmRows, t.Size, t.Size, 3)
	contents := tensors.FromFlatDataAndDimensions(slices.Concat(d.others[:t.FilmCols]...), t.FilmCols, t.Config.Content)
	return &fit.Watch{Every: max(1, t.Config.Target.Steps/t.Config.Frames), Build: func(scope *model.Scope, g *Graph) *Node {
		mean, _ := t.Appearance.Posterior(scope, ConstTensor(g, appearances))
		var rows []*Node
		for _, row := range split(mean, slices.Repeat([]int{1}, t.FilmRows)...) {
			rows = append(rows, latent(cycled(row, t.FilmCols), ConstTensor(g, contents)))
		}
		return t.Generator.Images(scope, Concatenate(rows, 0))
	}}
}

// inputs are those of a step in the graph.
type inputs struct{ target, content, others, channels, weights *Node }

func inputsOf(batch []*Node) inputs { return inputs{batch[0], batch[1], batch[2], batch[3], batch[4]} }

func (x inputs) pairs() int { return x.target.Shape().Dimensions[0] }
func (x inputs) batch() int { return x.others.Shape().Dimensions[0] }

// shifted are the target images in other colors, unless shifts are off.
func (x inputs) shifted(scope *model.Scope) *Node {
	on := GreaterThan(Slice(x.weights, AxisElem(3)), ScalarZero(x.weights.Graph(), x.weights.DType()))
	on = BroadcastToShape(Reshape(on, 1, 1, 1, 1), x.target.Shape())
	return Where(on, lab.Shift(scope, x.target, x.channels), x.target)
}

// judgeLoss takes reconstructions for real: it must not tell the generator's blur from the camera's, but the domain.
func (t *Target) judgeLoss(scope *model.Scope, x inputs) *Node {
	appearance, _, _ := encode(scope, t.Appearance, x.target)
	latents := []*Node{latent(appearance, x.content), latent(cycled(appearance, x.batch()), x.others)}
	made := StopGradient(t.Generator.Images(scope, Concatenate(latents, 0)))
	patches, whole := t.judge.Scores(scope, made)
	patch, image := split(patches, x.pairs(), x.batch()), split(whole, x.pairs(), x.batch())
	return Add(judged(patch[0], patch[1]), MulScalar(judged(image[0], image[1]), 0.01))
}

// content is the mean content of a source image, inTarget that of a target image.
func (t *Target) content(scope *model.Scope, images *Node) *Node {
	mean, _ := t.Content.Posterior(scope, images)
	return mean
}

func (t *Target) inTarget(scope *model.Scope, images *Node) *Node {
	mean, _ := t.Content.PosteriorBehind(scope, t.Front, images)
	return mean
}

// frontLoss is on images that are given.
func (t *Target) frontLoss(scope *model.Scope, x inputs) (*Node, []*Node) {
	found := t.inTarget(scope, x.shifted(scope))
	first := ReduceAllMean(Abs(relation(x.content, found)))
	second := absolute(relation(x.others, Slice(found, AxisRange(0, 1))), relation(x.others, Slice(x.content, AxisRange(0, 1))))
	return Add(first, second), []*Node{first, second}
}

// generatorLoss is on images that are made: reconstructions of the pairs and of their shifted images, other contents in these
// appearances, and the same contents in the source domain.
func (t *Target) generatorLoss(scope *model.Scope, x inputs) (*Node, []*Node) {
	k, b := x.pairs(), x.batch()
	shifted := x.shifted(scope)
	mean, spread := t.Appearance.Posterior(scope, Concatenate([]*Node{shifted, x.target}, 0))
	codes := split(nets.Draw(scope, mean, spread), k, k)
	ofShifted, of := codes[0], codes[1]
	made := split(t.Generator.Images(scope, Concatenate([]*Node{latent(ofShifted, x.content), latent(of, x.content),
		latent(cycled(ofShifted, b), x.others), latent(cycled(of, b), x.others)}, 0)), k, k, b, b)
	againShifted, again, otherShifted, other := made[0], made[1], made[2], made[3]

	both := []*Node{squared(againShifted, shifted), squared(again, x.target)}
	if t.perceptual != nil {
		f := split(t.perceptual.features(scope, Concatenate([]*Node{againShifted, again, shifted, x.target}, 0))[1], k, k, k, k)
		for i := range both {
			both[i] = Add(both[i], MulScalar(squared(f[i], f[2+i]), 0.1))
		}
	}
	found, _ := t.Appearance.Posterior(scope, againShifted)
	kl := divergence(split(mean, k, k)[0], split(spread, k, k)[0])
	reconstruction := Add(Add(both[0], MulScalar(both[1], 0.1)), Add(MulScalar(squared(ofShifted, found), 0.1), MulScalar(kl, 0.001)))

	patches, whole := t.judge.Scores(scope, other)
	adversarial := Add(fooled(patches), MulScalar(fooled(whole), 0.01))

	third, fourth := t.relations(scope, x, otherShifted)
	weights := split(x.weights, 1, 1, 1, 1)
	loss := ScalarZero(x.target.Graph(), x.target.DType())
	for i, term := range []*Node{reconstruction, adversarial, Add(third, fourth)} {
		loss = Add(loss, Mul(Reshape(weights[i]), term))
	}
	return loss, []*Node{reconstruction, adversarial, third, fourth}
}

// relations are the third and the fourth, of other contents that were made in shifted appearances.
func (t *Target) relations(scope *model.Scope, x inputs, made *Node) (third, fourth *Node) {
	var inSource *Node
	nets.Evaluating(scope, made.Graph(), func() {
		drawn := scope.RandomNormal(made.Graph(), x.others.Shape())
		inSource = StopGradient(t.before.Images(scope, latent(drawn, x.others)))
	})
	found := t.inTarget(scope, made)
	third = ReduceAllMean(Abs(relation(t.content(scope, inSource), found)))
	fourth = absolute(relation(x.content, Slice(found, AxisRange(0, 1))), relation(x.content, Slice(x.others, AxisRange(0, 1))))
	return third, fourth
}

// Synthesize makes target images [n, size, size, 3] of the contents of source images and the appearances of target images, one each;
// fewer appearances are repeated from the first on.
func (t *Target) Synthesize(e *engine.Engine, contentOf, appearanceOf *tensors.Tensor) (*tensors.Tensor, error) {
	content, err := codes(e, t.Content, t.Size, contentOf)
	if err != nil {
		return nil, err
	}
	appearance, err := codes(e, t.Appearance, t.Size, appearanceOf)
	if err != nil {
		return nil, err
	}
	repeated := make([][]float32, len(content))
	for i := range repeated {
		repeated[i] = appearance[i%len(appearance)]
	}
	latents, err := joined(repeated, content)
	if err != nil {
		return nil, err
	}
	return generate(e, t.Generator, t.Generator, latents)
}

// Sample makes n target images of latents that are drawn from the standard normal distribution.
func (t *Target) Sample(e *engine.Engine, n int, seed int64) (*tensors.Tensor, error) {
	latents, err := drawn(n, t.Generator.Latent, seed)
	if err != nil {
		return nil, err
	}
	return generate(e, t.Generator, t.Generator, latents)
}
