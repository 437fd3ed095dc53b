package pfsgan

import (
	"context"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Source is what stage 1 learns of the source domain.
type Source struct {
	Config     Config // with all defaults filled in
	Size       int
	Generator  *nets.Generator // of an appearance followed by a content
	Content    *nets.GaussianEncoder
	Appearance *nets.GaussianEncoder
	Perceptual *Perceptual // nil: none

	store *model.Store
	judge *nets.Discriminator
	key   string // of the training
}

// gatePath is a variable that is 1 once the adversarial terms have begun.
const gatePath = "/gate"

// NewSource builds the networks of stage 1, untrained, for images [n, size, size, 3].
func NewSource(size int, perceptual *Perceptual, c Config) (*Source, error) {
	c = c.WithDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	if err := perceptual.validate(); err != nil {
		return nil, err
	}
	s := &Source{Config: c, Size: size, Perceptual: perceptual, store: model.NewStore()}
	var err error
	if s.Generator, err = nets.NewGenerator(s.store, c.network("generator", size, c.Appearance+c.Content, 1)); err != nil {
		return nil, err
	}
	if s.Content, err = nets.NewGaussianEncoder(s.store, c.network("content", size, c.Content, 2)); err != nil {
		return nil, err
	}
	if s.Appearance, err = nets.NewGaussianEncoder(s.store, c.network("appearance", size, c.Appearance, 3)); err != nil {
		return nil, err
	}
	if s.judge, err = nets.NewDiscriminator(s.store, c.network("judge", size, 0, 4)); err != nil {
		return nil, err
	}
	gate, err := s.store.CreateVariable(gatePath, tensors.FromScalar(float32(0)))
	if err != nil {
		return nil, err
	}
	gate.SetTrainable(false)
	return s, adoptPerceptual(s.store, perceptual)
}

// Names of the losses of stage 1, under which TrainSource's Losses hold means.
const (
	LossJudge          = "judge"
	LossGenerator      = "generator"
	LossReconstruction = "reconstruction"
	LossAdversarial    = "adversarial"
	LossDivergence     = "divergence"
	LossSwapped        = "swapped"
)

// TrainSource trains stage 1 on images [n, size, size, 3] of the source domain, or loads what the same training gave before: an
// image is put together again from its content and its appearance; with another appearance its deeper perceptual features stay,
// and that appearance is found in it; a discriminator judges what is made of drawn latents. Without perceptual those terms are
// left out, and nothing but the divergence keeps contents out of appearances. What [fit.Alternation.Train] says holds.
func TrainSource(ctx context.Context, e *engine.Engine, c Config, images *tensors.Tensor, perceptual *Perceptual,
	o fit.Options) (*Source, fit.Losses, error) {
	size, err := sizeOf("the source set", images)
	if err != nil {
		return nil, nil, err
	}
	s, err := NewSource(size, perceptual, c)
	if err != nil {
		return nil, nil, err
	}
	a, err := s.alternation(images)
	if err != nil {
		return nil, nil, err
	}
	losses, err := a.Train(ctx, e, o)
	return s, losses, err
}

func (s *Source) alternation(images *tensors.Tensor) (fit.Alternation, error) {
	c := s.Config
	sum, err := fit.Data{Images: images}.Sum()
	if err != nil {
		return fit.Alternation{}, err
	}
	batches, err := fit.Batches(images, c.Source.Batch, c.Seed)
	if err != nil {
		return fit.Alternation{}, errors.WithMessage(err, "pfsgan: the source set")
	}
	s.key = fit.Hash("pfsgan source 1", sum, c.Channels, c.Content, c.Appearance, c.Source, c.Gate, c.Seed, s.Perceptual.key())
	return fit.Alternation{Name: "paired GAN, source", Key: s.key, Store: s.store, Steps: c.Source.Steps, Seed: c.Seed,
		Updates: []fit.Update{
			{Name: LossJudge, Trains: []*nets.Network{&s.judge.Network}, Rule: c.Source.rule(0.5, 0.9), Times: c.Source.JudgeSteps,
				Batch: batches, Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node { return s.judgeLoss(scope, batch[0]) }},
			{Name: LossGenerator, Trains: []*nets.Network{&s.Generator.Network, &s.Content.Network, &s.Appearance.Network},
				Rules: []fit.Rule{c.Source.rule(0.5, 0.999), c.Source.rule(0.9, 0.999), c.Source.rule(0.9, 0.999)}, Batch: batches,
				Parts: []string{LossReconstruction, LossAdversarial, LossDivergence, LossSwapped},
				LossParts: func(scope *model.Scope, _ *Graph, batch []*Node) (*Node, []*Node) {
					return s.generatorLoss(scope, batch[0])
				}},
		}}, nil
}

// key tells a perceptual network, but for its weights.
func (p *Perceptual) key() string {
	if p == nil {
		return ""
	}
	return fit.Hash(p.Model.Name, p.layers(), p.Scale) // its weights are in the store
}

// encode draws a code of each image.
func encode(scope *model.Scope, e *nets.GaussianEncoder, images *Node) (code, mean, logVariance *Node) {
	mean, logVariance = e.Posterior(scope, images)
	return nets.Draw(scope, mean, logVariance), mean, logVariance
}

// judgeLoss is off, and without gradients, until reconstructions fit.
func (s *Source) judgeLoss(scope *model.Scope, images *Node) *Node {
	n := images.Shape().Dimensions[0]
	content, _, _ := encode(scope, s.Content, images)
	appearance, _, _ := encode(scope, s.Appearance, images)
	codes := latent(appearance, content)
	drawn := scope.RandomNormal(images.Graph(), codes.Shape())
	fakes := StopGradient(s.Generator.Images(scope, Concatenate([]*Node{drawn, codes}, 0)))
	_, scores := s.judge.Scores(scope, Concatenate([]*Node{images, fakes}, 0))
	parts := split(scores, n, n, n)
	loss := Add(hinge(Neg(parts[0])), MulScalar(Add(hinge(parts[1]), hinge(parts[2])), 0.5))
	return Mul(MulScalar(loss, 0.01), gate(scope, images.Graph()))
}

func gate(scope *model.Scope, g *Graph) *Node {
	return scope.Store().GetVariable(gatePath).NodeValue(g)
}

func (s *Source) generatorLoss(scope *model.Scope, images *Node) (*Node, []*Node) {
	g, n := images.Graph(), images.Shape().Dimensions[0]
	content, contentMean, contentSpread := encode(scope, s.Content, images)
	appearance, appearanceMean, appearanceSpread := encode(scope, s.Appearance, images)
	codes := latent(appearance, content)
	other := scope.RandomNormal(g, appearance.Shape())
	drawn := scope.RandomNormal(g, codes.Shape())
	made := s.Generator.Images(scope, Concatenate([]*Node{codes, latent(other, content), drawn, StopGradient(codes)}, 0))
	parts := split(made, n, n, n, n)
	again, shifted := parts[0], parts[1]

	reconstruction := Add(squared(again, images), absolute(again, images))
	swapped := ScalarZero(g, images.DType())
	if s.Perceptual != nil {
		// The features of what is made, in one pass.
		both := s.Perceptual.features(scope, Concatenate([]*Node{again, shifted, images}, 0))
		for _, f := range both {
			three := split(f, n, n, n)
			reconstruction = Add(reconstruction, MulScalar(absolute(three[0], three[2]), 0.01))
		}
		deepest := split(both[len(both)-1], n, n, n)
		swapped = MulScalar(squared(deepest[1], deepest[2]), 0.01)
	}
	found, _, _ := encode(scope, s.Appearance, shifted)
	kl := Add(divergence(contentMean, contentSpread), divergence(appearanceMean, appearanceSpread))
	_, scores := s.judge.Scores(scope, Concatenate(parts[2:], 0))

	v := scope.Store().GetVariable(gatePath)
	fits := LessThan(StopGradient(reconstruction), Scalar(g, images.DType(), s.Config.Gate))
	open := Max(v.NodeValue(g), ConvertDType(fits, images.DType()))
	v.SetNodeValue(open)
	adversarial := Mul(fooled(scores), open) // the mean over both halves is half the sum of their means
	loss := Add(Add(reconstruction, swapped), MulScalar(Add(squared(other, found), kl), 0.1))
	loss = Add(loss, MulScalar(adversarial, 0.01))
	return loss, []*Node{reconstruction, adversarial, kl, Add(swapped, MulScalar(squared(other, found), 0.1))}
}

// Codes returns the means of content and appearance codes of images [n, size, size, 3].
func (s *Source) Codes(e *engine.Engine, images *tensors.Tensor) (content, appearance [][]float32, err error) {
	if content, err = codes(e, s.Content, s.Size, images); err != nil {
		return nil, nil, err
	}
	appearance, err = codes(e, s.Appearance, s.Size, images)
	return content, appearance, err
}

// codes are the means of an encoder's codes.
func codes(e *engine.Engine, encoder *nets.GaussianEncoder, size int, images *tensors.Tensor) ([][]float32, error) {
	got, err := sizeOf("images", images)
	if err != nil {
		return nil, err
	}
	if got != size {
		return nil, errors.Errorf("pfsgan: images of %d×%d, the networks take %d×%d", got, got, size, size)
	}
	r, err := nets.NewRunner(e.Backend(), &encoder.Network, []int{size, size, 3}, 64, func(scope *model.Scope, x *Node) *Node {
		mean, _ := encoder.Posterior(scope, x)
		return mean
	})
	if err != nil {
		return nil, err
	}
	return r.Of(flat(images))
}

// generate runs a generator on latents, one a row.
func generate(e *engine.Engine, g *nets.Generator, behind *nets.Generator, latents [][]float32) (*tensors.Tensor, error) {
	r, err := nets.NewRunner(e.Backend(), &g.Network, []int{g.Latent}, 64, func(scope *model.Scope, x *Node) *Node {
		return g.ImagesBehind(scope, behind, x)
	})
	if err != nil {
		return nil, err
	}
	rows, err := r.Of(slices.Concat(latents...))
	if err != nil {
		return nil, err
	}
	return tensors.FromFlatDataAndDimensions(slices.Concat(rows...), append([]int{len(latents)}, g.Shape...)...), nil
}

// Swap makes images [n, size, size, 3] of the contents of some and the appearances of others, one each.
func (s *Source) Swap(e *engine.Engine, contentOf, appearanceOf *tensors.Tensor) (*tensors.Tensor, error) {
	content, _, err := s.Codes(e, contentOf)
	if err != nil {
		return nil, err
	}
	_, appearance, err := s.Codes(e, appearanceOf)
	if err != nil {
		return nil, err
	}
	latents, err := joined(appearance, content)
	if err != nil {
		return nil, err
	}
	return generate(e, s.Generator, s.Generator, latents)
}

// joined puts each appearance before its content.
func joined(appearance, content [][]float32) ([][]float32, error) {
	if len(appearance) != len(content) || len(content) == 0 {
		return nil, errors.Errorf("pfsgan: %d appearances for %d contents: want one each, and at least one", len(appearance), len(content))
	}
	all := make([][]float32, len(content))
	for i := range all {
		all[i] = slices.Concat(appearance[i], content[i])
	}
	return all, nil
}
