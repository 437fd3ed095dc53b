package pfsgan

import (
	"cmp"
	"math"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Config sizes networks and trainings. Zero values give a scale that two cores train in minutes; [Authors] is that of the authors'
// code.
type Config struct {
	Channels   int // of maps; zero: 24
	Content    int // values of a content code; zero: 16
	Appearance int // values of an appearance code, as many as of a content code: the target's encoder begins as that of content
	Source     Schedule
	Target     Schedule
	// Weights of stage 2's loss; zero: 10, 0.1 and 1, negative: 0. With equal weights and few steps the adversarial term wins before
	// reconstructions fit.
	ReconstructionWeight, AdversarialWeight, RelationWeight float64
	// Gate is the reconstruction loss of stage 1 below which the adversarial terms begin, for good; zero: 0.25.
	Gate    float64
	NoShift bool  // leave appearances as they are
	Frames  int   // how many pictures are kept of the target's generator as it learns; zero: 8
	Seed    int64 // of weights, order and draws
}

// Schedule is how long a stage trains, and by what steps.
type Schedule struct {
	Steps        int     // zero: 500, stage 2 400
	Batch        int     // source images of a step; zero: 32, stage 2 20
	LearningRate float64 // of Adam; zero: 1e-3
	JudgeSteps   int     // updates of the discriminator in a step; zero: 1
}

// Authors is the setting of the authors' code, for images of 64x64 and a GPU. The number of stage 1's steps is ours: theirs has no end.
func Authors() Config {
	return Config{Channels: 128, Content: 64, Appearance: 64, Gate: 0.1, ReconstructionWeight: 1, AdversarialWeight: 1, RelationWeight: 1,
		Source: Schedule{Steps: 100_000, Batch: 64, LearningRate: 2e-5, JudgeSteps: 5},
		Target: Schedule{Steps: 8_000, Batch: 50, LearningRate: 2e-4, JudgeSteps: 5}}
}

func (s Schedule) withDefaults(steps, batch int) Schedule {
	return Schedule{cmp.Or(s.Steps, steps), cmp.Or(s.Batch, batch), cmp.Or(s.LearningRate, 1e-3), cmp.Or(s.JudgeSteps, 1)}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	c.Channels, c.Content = cmp.Or(c.Channels, 24), cmp.Or(c.Content, 16)
	c.Appearance = cmp.Or(c.Appearance, c.Content)
	c.Source, c.Target = c.Source.withDefaults(500, 32), c.Target.withDefaults(400, 20)
	for _, w := range []struct {
		value *float64
		zero  float64
	}{{&c.ReconstructionWeight, 10}, {&c.AdversarialWeight, 0.1}, {&c.RelationWeight, 1}} {
		if *w.value == 0 {
			*w.value = w.zero
		}
	}
	c.Gate, c.Frames = cmp.Or(c.Gate, 0.25), cmp.Or(c.Frames, 8)
	return c
}

// validate expects the defaults to be filled in.
func (c Config) validate() error {
	for _, s := range []Schedule{c.Source, c.Target} {
		if s.Steps < 1 || s.Batch < 2 || s.JudgeSteps < 1 || !(s.LearningRate > 0) || math.IsInf(s.LearningRate, 1) {
			return errors.Errorf("pfsgan: schedule of %d steps, batch %d, %d judge steps, learning rate %g: want at least 1, 2, 1 and "+
				"finite and above 0", s.Steps, s.Batch, s.JudgeSteps, s.LearningRate)
		}
	}
	for name, w := range map[string]float64{"ReconstructionWeight": c.ReconstructionWeight, "AdversarialWeight": c.AdversarialWeight,
		"RelationWeight": c.RelationWeight, "Gate": c.Gate} {
		if math.IsNaN(w) || math.IsInf(w, 0) {
			return errors.Errorf("pfsgan: %s = %g: must be finite", name, w)
		}
	}
	if c.Content != c.Appearance {
		return errors.Errorf("pfsgan: Content = %d, Appearance = %d: must be equal, since the target's encoder of appearance begins as that "+
			"of content", c.Content, c.Appearance)
	}
	if c.Frames < 1 {
		return errors.Errorf("pfsgan: Frames = %d: must be at least 1", c.Frames)
	}
	return nil
}

// weights are those of stage 2's terms: of reconstruction, judge and relation.
func (c Config) weights() [3]float64 {
	return [3]float64{max(0, c.ReconstructionWeight), max(0, c.AdversarialWeight), max(0, c.RelationWeight)}
}

// network sizes one of the networks.
func (c Config) network(scope string, size, latent int, seed int64) nets.ResidualConfig {
	return nets.ResidualConfig{Size: size, Channels: c.Channels, Latent: latent, Seed: c.Seed*16 + seed, Scope: scope}
}

// rule is Adam with these moments.
func (s Schedule) rule(beta1, beta2 float64) fit.Rule {
	if beta1 == 0 {
		beta1 = -1
	}
	return fit.Rule{LearningRate: s.LearningRate, Beta1: beta1, Beta2: beta2}
}

// sizeOf checks images and returns their side.
func sizeOf(what string, images *tensors.Tensor) (int, error) {
	if images == nil {
		return 0, errors.Errorf("pfsgan: %s is missing", what)
	}
	d := images.Shape().Dimensions
	if len(d) != 4 || d[1] != d[2] {
		return 0, errors.Errorf("pfsgan: %s of shape %s: want [n, size, size, 3]", what, images.Shape())
	}
	if d[3] != 3 {
		return 0, errors.Errorf("pfsgan: %s has %d channels: want 3; repeat the one of gray images", what, d[3])
	}
	m := &nets.Model{Network: nets.Network{Name: what}, InputShape: d[1:], Lower: -1, Upper: 1}
	return d[1], errors.WithMessage(m.CheckImages(images), "pfsgan")
}

// Perceptual is a frozen classifier, three of whose layers say how alike two images are.
type Perceptual struct {
	Model *nets.Model // of images with values from -1 to 1
	// Layers are three of Model.Stages, from 1, from the first to the deepest; zero: 1, 2, 3.
	Layers []int
	// Scale multiplies what these layers put out; zero: 1. Losses are weighted for the large values of a VGG network.
	Scale float64
}

func (p *Perceptual) layers() []int {
	if len(p.Layers) == 0 {
		return []int{1, 2, 3}
	}
	return p.Layers
}

func (p *Perceptual) validate() error {
	if p == nil {
		return nil
	}
	l, most := p.layers(), len(p.Model.Stages())
	if len(l) != 3 || l[0] < 1 || l[1] <= l[0] || l[2] <= l[1] || l[2] > most {
		return errors.Errorf("pfsgan: perceptual layers %v: want three rising ones of 1 to %d", l, most)
	}
	return nil
}
