package vit

import (
	"context"

	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/study"
)

// Measured are the figures of one trained network.
type Measured struct {
	Model      string      `json:"model"`
	Seed       int64       `json:"seed"`
	Parameters int         `json:"parameters"`
	Clean      float64     `json:"clean"`  // accuracy on the test set
	FGSM       []float64   `json:"fgsm"`   // accuracy under attack, at each of Config.Epsilon
	PGD        []float64   `json:"pgd"`    // the same
	Strong     float64     `json:"strong"` // under APGD, untargeted then targeted, on StrongImages at Reference
	Filtered   []Filtered  `json:"filtered"`
	Blocks     []BlockRead `json:"blocks"` // from input to output; none for imported networks
	// Energy is the share of the energy of PGD's perturbations at Reference at each frequency of the cosine transform,
	// [height·width].
	Energy []float64 `json:"energy"`
}

// gaugeBatch divides the numbers of images at quick scale, so that no batch is padded.
const gaugeBatch = 100

// gauge measures networks of one architecture. It has a network of its own, whose graphs are compiled once and which
// takes the weights of one measured network after the other.
type gauge struct {
	net    *nets.Model
	victim *robust.Victim

	inspect    *model.Exec // of every block's output, once asked for
	blockNames []string
}

// gauged returns the gauge of a name, such as that of an architecture, with the network of a model and seed, which is
// trained if need be.
func (s *Study) gauged(ctx context.Context, name string, m Model, seed int64) (*gauge, error) {
	trained, err := s.Train(ctx, m, seed)
	if err != nil {
		return nil, err
	}
	g := s.gauges[name]
	if g == nil {
		own, err := trained[0].Clone()
		if err != nil {
			return nil, err
		}
		v, err := robust.NewVictim(s.e, own, min(gaugeBatch, len(s.labels)))
		if err != nil {
			return nil, err
		}
		g = &gauge{net: own, victim: v}
		s.gauges[name] = g
	}
	return g, g.net.CopyWeights(trained[0])
}

// problem is to attack all test examples.
func (s *Study) problem(epsilon float64, seed int64) robust.Problem {
	return robust.Problem{Images: s.images, Goal: robust.Goal{Labels: s.labels}, Seed: seed,
		Threat: robust.Threat{Norm: robust.Linf, Epsilon: epsilon}}
}

// Measure attacks the network of a model and seed, and looks into it.
func (s *Study) Measure(ctx context.Context, m Model, seed int64) (Measured, error) {
	r := Measured{Model: m.Name, Seed: seed}
	g, err := s.gauged(ctx, m.architecture(), m, seed)
	if err != nil {
		return r, err
	}
	c := s.Config
	r.Parameters = g.net.NumParameters()
	c.Progress.Begin("attack "+study.Label(m.Name, seed), 0, 2*len(c.Epsilon)+3)
	defer c.Progress.End()
	evaluate := func(a robust.Attack, p robust.Problem) (*robust.Outcome, error) {
		o, err := robust.Evaluate(ctx, g.victim, a, p)
		if err == nil {
			err = o.Void()
		}
		if err != nil {
			return nil, errors.WithMessagef(err, "%s at %g", a.Name(), p.Threat.Epsilon)
		}
		c.Progress.Advance(1)
		return o, nil
	}
	var found *robust.Outcome // of PGD at Reference
	for _, epsilon := range c.Epsilon {
		p := s.problem(epsilon, seed)
		o, err := evaluate(attack.FGSM{}, p)
		if err != nil {
			return r, err
		}
		r.Clean, r.FGSM = o.CleanAccuracy, append(r.FGSM, o.RobustAccuracy)
		if o, err = evaluate(c.pgd(epsilon), p); err != nil {
			return r, err
		}
		r.PGD = append(r.PGD, o.RobustAccuracy)
		if epsilon == c.Reference {
			found = o
		}
	}
	if r.Filtered, err = g.filtered(ctx, s, found.Perturbed, masks(s.layout)); err != nil {
		return r, err
	}
	if r.Energy, err = s.energy(found.Perturbed); err != nil {
		return r, err
	}
	c.Progress.Advance(1)
	strong := s.problem(c.Reference, seed)
	if strong.Images, strong.Goal.Labels, err = s.sample(c.StrongImages); err != nil {
		return r, err
	}
	o, err := evaluate(c.strong(g.net.Classes), strong)
	if err != nil {
		return r, err
	}
	r.Strong = o.RobustAccuracy
	if r.Blocks, err = g.blocks(s); err == nil {
		c.Progress.Advance(1)
	}
	return r, err
}

// pgd is the paper's PGD: steps of a tenth of the radius.
func (c Config) pgd(epsilon float64) attack.PGD {
	return attack.PGD{Steps: c.Steps, StepSize: epsilon / 10}
}

// strong is APGD with cross-entropy, then, on what still stands, towards the nearest other classes.
func (c Config) strong(classes int) robust.Attack {
	members := []robust.Attack{attack.APGD{Steps: c.StrongSteps}}
	if classes >= 4 {
		members = append(members, attack.APGD{Steps: c.StrongSteps, Loss: robust.DLR, Targets: min(9, classes-1)})
	}
	return attack.AutoAttack{Members: members}
}
