package joint

import (
	"context"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/robust/certify"
	"github.com/trustbook/trustbook/study"
)

// Measured are the figures of one trained network.
type Measured struct {
	Method string `json:"method"`
	Seed   int64  `json:"seed"`
	// Accuracy under JointPGD, [input radius][weight radius] of Config; [0][0] is clean.
	Accuracy [][]float64 `json:"accuracy"`
	// Certified accuracy at CertifyScales times (CertifyInput, CertifyWeight).
	Certified []float64 `json:"certified"`
	// Terms of max_j B_yj at (CertifyInput, CertifyWeight), means over the test set.
	InputTerm  float64 `json:"input_term"`
	WeightTerm float64 `json:"weight_term"`
	CrossTerm  float64 `json:"cross_term"`
	// Undercounts counts test examples and classes on which B(ε_x, ε_w) < B(ε_x, 0) + B(0, ε_w): must be 0.
	Undercounts int `json:"undercounts"`
	// Checks of the bounds, at each of VerifyAt.
	Checks []certify.Verification `json:"checks"`
}

// Clean is the accuracy without perturbation.
func (m Measured) Clean() float64 { return m.Accuracy[0][0] }

// VerifyAt are the pairs of radii at which every network's bounds are attacked.
func (c Config) VerifyAt() []robust.Threat {
	c = c.WithDefaults()
	var pairs []robust.Threat
	for _, scale := range []float64{0.1, 1, 10, 50} {
		pairs = append(pairs, threat(c.CertifyInput*scale, c.CertifyWeight*scale))
	}
	return append(pairs, threat(0.1, 0.005))
}

func threat(input, weight float64) robust.Threat {
	return robust.Threat{Norm: robust.Linf, Epsilon: input, Weights: []float64{weight}}
}

// gauge measures networks of one architecture. It has a network of its own, whose graphs are compiled once and which
// takes the weights of one measured network after the other.
type gauge struct {
	net       *nets.Model
	victim    *robust.Victim
	certifier *certify.Certifier
	verifier  *certify.Verifier
}

// gauged returns the gauge with the weights of a network.
func (s *Study) gauged(net *nets.Model) (*gauge, error) {
	if s.gauge == nil {
		g, n := &gauge{}, len(s.Data.Labels)
		var err error
		if g.net, err = net.Clone(); err != nil {
			return nil, err
		}
		if g.victim, err = robust.NewVictim(s.e, g.net, min(1000, n)); err != nil {
			return nil, err
		}
		if g.certifier, err = certify.NewCertifier(s.e, g.net, min(500, n)); err != nil {
			return nil, err
		}
		if g.verifier, err = certify.NewVerifier(s.e, g.net); err != nil {
			return nil, err
		}
		s.gauge = g
	}
	return s.gauge, s.gauge.net.CopyWeights(net)
}

// Measure attacks and certifies one network.
func (s *Study) Measure(ctx context.Context, net *nets.Model, method string, seed int64) (Measured, error) {
	c, d := s.Config, s.Data
	r := Measured{Method: method, Seed: seed}
	g, err := s.gauged(net)
	if err != nil {
		return r, err
	}
	at := c.VerifyAt()
	c.Progress.Begin("attack "+study.Label(method, seed), 0, len(c.EpsilonInput)*len(c.EpsilonWeight)+len(c.CertifyScales)+len(at))
	defer c.Progress.End()
	for _, input := range c.EpsilonInput {
		var row []float64
		for _, weight := range c.EpsilonWeight {
			accuracy, err := s.attacked(ctx, g, seed, threat(input, weight))
			if err != nil {
				return r, err
			}
			row = append(row, accuracy)
			c.Progress.Advance(1)
		}
		r.Accuracy = append(r.Accuracy, row)
	}
	for _, scale := range c.CertifyScales {
		b, err := g.certifier.Bounds(d.Images, d.Labels, threat(c.CertifyInput*scale, c.CertifyWeight*scale))
		if err != nil {
			return r, err
		}
		r.Certified = append(r.Certified, certify.Share(b.Certified(d.Labels)))
		if scale == 1 {
			r.terms(b)
		}
		r.Undercounts += undercounts(b)
		c.Progress.Advance(1)
	}
	images, labels, err := d.Sample(c.VerifyImages)
	if err != nil {
		return r, err
	}
	for _, t := range at {
		v, err := g.verifier.Verify(ctx, images, labels, t, certify.VerifyConfig{Random: c.VerifyRandom, Steps: c.Steps, Seed: seed})
		if err != nil {
			return r, err
		}
		r.Checks = append(r.Checks, *v)
		c.Progress.Advance(1)
	}
	return r, nil
}

// Attacked returns a network's accuracy on the test set under JointPGD inside the threat; radii 0 give the clean one.
func (s *Study) Attacked(ctx context.Context, net *nets.Model, seed int64, t robust.Threat) (float64, error) {
	g, err := s.gauged(net)
	if err != nil {
		return 0, err
	}
	return s.attacked(ctx, g, seed, t)
}

func (s *Study) attacked(ctx context.Context, g *gauge, seed int64, t robust.Threat) (float64, error) {
	p := robust.Problem{Images: s.Data.Images, Goal: robust.Goal{Labels: s.Data.Labels}, Threat: t, Seed: seed}
	o, err := robust.Evaluate(ctx, g.victim, attack.JointPGD{Steps: s.Config.Steps, Restarts: s.Config.Restarts}, p)
	if err == nil {
		err = o.Void()
	}
	if err != nil {
		return 0, err
	}
	right := 0
	for i, y := range s.Data.Labels {
		if o.Final[i] == y {
			right++
		}
	}
	return float64(right) / float64(len(s.Data.Labels)), nil
}

// terms splits the mean of the worst class's bound.
func (r *Measured) terms(b *certify.Bounds) {
	n := float64(len(b.Total))
	for i, row := range b.Total {
		worst := 0
		for j := range row {
			if row[j] > row[worst] {
				worst = j
			}
		}
		r.InputTerm += b.Input[i][worst] / n
		r.WeightTerm += b.Weight[i][worst] / n
		r.CrossTerm += b.Cross[i][worst] / n
	}
}

// undercounts counts where the two singular bounds add up to more than the joint one, beyond float64 rounding.
func undercounts(b *certify.Bounds) (n int) {
	for i, row := range b.Cross {
		for j, cross := range row {
			if cross < -1e-9*(1+b.Total[i][j]) {
				n++
			}
		}
	}
	return n
}
