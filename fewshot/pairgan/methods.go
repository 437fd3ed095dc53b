package pairgan

import (
	"context"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trustbook/trustbook/fewshot/paired"
	"github.com/trustbook/trustbook/fewshot/pfsgan"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/study"
)

// The methods by name.
const (
	Full       = "PFS-GAN"
	NoRelation = "without relation"
	NoShift    = "without shift"
	NoJudge    = "without judge"
	Shuffled   = "pairs shuffled" // the control: each target image has another's counterpart
	Drawn      = "PFS-GAN, drawn" // the same generator, of drawn latents
	Scratch    = "from scratch"
	FineTuned  = "fine-tuned"
	CoGAN      = "CoGAN"
	UNIT       = "UNIT"
	Repeated   = "few images repeated" // no method at all
	Unadapted  = "source generator"    // before stage 2
)

// made is a method's samples, one for each held-out pair.
type made struct {
	images  *tensors.Tensor
	content bool // sample k is made of the content of held-out pair k
	target  *pfsgan.Target
}

// method makes samples of a seed's scene.
type method struct {
	Name  string
	Kind  string
	learn func(ctx context.Context, s *Study, z *scene, o fit.Options) (made, error)
}

func (m method) name() string { return m.Name }

// methods are all, in the order of tables.
var methods = []method{
	{Full, "the paper's", adapted(func(*pfsgan.Config) {})},
	{NoRelation, "a term less", adapted(func(c *pfsgan.Config) { c.RelationWeight = -1 })},
	{NoShift, "a term less", adapted(func(c *pfsgan.Config) { c.NoShift = true })},
	{NoJudge, "a term less", adapted(func(c *pfsgan.Config) { c.AdversarialWeight = -1 })},
	{Shuffled, "control", func(ctx context.Context, s *Study, z *scene, o fit.Options) (made, error) {
		return s.adapt(ctx, z, z.split.Few.Shuffled(z.seed), s.Config.training(z.seed), o)
	}},
	{Drawn, "the paper's", func(ctx context.Context, s *Study, z *scene, o fit.Options) (made, error) {
		m, err := s.adapt(ctx, z, z.split.Few, s.Config.training(z.seed), o)
		if err != nil {
			return made{}, err
		}
		images, err := m.target.Sample(s.e, s.Config.HeldOut, z.seed)
		return made{images: images}, err
	}},
	{Scratch, "baseline", baseline(func(ctx context.Context, s *Study, z *scene, c pfsgan.Config, o fit.Options) (*pfsgan.Baseline, error) {
		return pfsgan.TrainScratch(ctx, s.e, z.split.Few.Target, c, o)
	})},
	{FineTuned, "baseline", baseline(func(ctx context.Context, s *Study, z *scene, c pfsgan.Config, o fit.Options) (*pfsgan.Baseline, error) {
		return pfsgan.FineTune(ctx, s.e, z.source, z.split.Few.Target, c, o)
	})},
	{CoGAN, "baseline", baseline(func(ctx context.Context, s *Study, z *scene, c pfsgan.Config, o fit.Options) (*pfsgan.Baseline, error) {
		return pfsgan.TrainCoGAN(ctx, s.e, z.split.Source, z.split.Few.Target, c, o)
	})},
	{UNIT, "baseline", func(ctx context.Context, s *Study, z *scene, o fit.Options) (made, error) {
		b, err := pfsgan.TrainUNIT(ctx, s.e, z.split.Source, z.split.Few, s.Config.training(z.seed), o)
		if err != nil {
			return made{}, err
		}
		images, err := b.Translate(s.e, z.split.HeldOut.Source)
		return made{images: images, content: true}, err
	}},
	{Repeated, "no method", func(_ context.Context, s *Study, z *scene, _ fit.Options) (made, error) {
		rows := make([]int, s.Config.HeldOut)
		for i := range rows {
			rows[i] = i % z.split.Few.Len()
		}
		return made{images: z.split.Few.Subset(rows).Target}, nil
	}},
	{Unadapted, "no method", func(_ context.Context, s *Study, z *scene, _ fit.Options) (made, error) {
		images, err := z.source.Swap(s.e, z.split.HeldOut.Source, z.split.HeldOut.Source)
		return made{images: images, content: true}, err
	}},
}

// Methods are the names of all methods.
func Methods() (names []string) {
	for _, m := range methods {
		names = append(names, m.Name)
	}
	return names
}

func adapted(change func(*pfsgan.Config)) func(context.Context, *Study, *scene, fit.Options) (made, error) {
	return func(ctx context.Context, s *Study, z *scene, o fit.Options) (made, error) {
		c := s.Config.training(z.seed)
		change(&c)
		return s.adapt(ctx, z, z.split.Few, c, o)
	}
}

// adapt trains stage 2 and makes samples of held-out contents in the appearances of the few, in turn.
func (s *Study) adapt(ctx context.Context, z *scene, few *paired.Set, c pfsgan.Config, o fit.Options) (made, error) {
	t, err := pfsgan.Adapt(ctx, s.e, z.source, few, z.split.Source, c, o)
	if err != nil {
		return made{}, err
	}
	images, err := t.Synthesize(s.e, z.split.HeldOut.Source, few.Target)
	return made{images: images, content: true, target: t}, err
}

func baseline(train func(context.Context, *Study, *scene, pfsgan.Config, fit.Options) (*pfsgan.Baseline, error)) func(context.Context,
	*Study, *scene, fit.Options) (made, error) {
	return func(ctx context.Context, s *Study, z *scene, o fit.Options) (made, error) {
		b, err := train(ctx, s, z, s.Config.training(z.seed), o)
		if err != nil {
			return made{}, err
		}
		images, err := b.Sample(s.e, s.Config.HeldOut, z.seed)
		return made{images: images}, err
	}
}

// chosen are the methods that a configuration has.
func (c Config) chosen() []method {
	return study.Where(methods, func(m method) bool { return slices.Contains(c.Methods, m.Name) })
}
