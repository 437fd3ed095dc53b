package joint

import (
	"context"
	"fmt"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/robust/certify"
)

// Result is what a run measured: one Measured a method and seed, in that order.
type Result struct {
	Config  Config     `json:"config"`
	Data    string     `json:"data"` // name and note of the data set
	Backend string     `json:"backend"`
	Models  []Measured `json:"models"`
}

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

// Run trains every method with every seed, attacks and certifies the networks. With Config.Dir, what is finished is
// found again, so that a run that was stopped or killed goes on where it was, to the same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	data, err := Load(ctx, c)
	if err != nil {
		return nil, err
	}
	methods, err := methodsNamed(c.Methods)
	if err != nil {
		return nil, err
	}
	r := &Result{Config: c, Data: data.Describe(), Backend: e.Name()}
	var gauge *Gauge
	for _, m := range methods {
		for _, seed := range c.Seeds {
			measured, err := measured(ctx, e, m, seed, data, c, &gauge)
			if err != nil {
				return nil, err
			}
			r.Models = append(r.Models, measured)
		}
	}
	return r, nil
}

// tasksPerNetwork: warm-up, training, measuring.
const tasksPerNetwork = 3

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	return len(c.Methods) * len(c.Seeds) * tasksPerNetwork
}

// measured trains and measures one network, unless that was done before. The gauge is made when first needed.
func measured(ctx context.Context, e *engine.Engine, m Method, seed int64, d *fit.Sets, c Config, gauge **Gauge) (Measured, error) {
	net, train, cfg, err := plan(m, seed, d, c)
	if err != nil {
		return Measured{}, err
	}
	key, err := fit.Key(net, e.Name(), train, cfg)
	if err != nil {
		return Measured{}, err
	}
	worked := false
	result, err := fit.Remember(c.Dir, "joint-"+fit.Hash(key, c.measuring()), func() (Measured, error) {
		worked = true
		if err := runPlan(ctx, e, net, train, cfg, m, seed, c); err != nil {
			return Measured{}, err
		}
		if *gauge == nil {
			if *gauge, err = NewGauge(e, net, d, c); err != nil {
				return Measured{}, err
			}
		}
		return (*gauge).Measure(ctx, net, m.Name, seed)
	})
	if skipper, ok := c.Progress.(interface{ Skip(float64) }); ok && !worked {
		skipper.Skip(tasksPerNetwork)
	}
	return result, errors.WithMessagef(err, "joint: %s, seed %d", m.Name, seed)
}

// plan returns an untrained network, its training examples and how to train it.
func plan(m Method, seed int64, d *fit.Sets, c Config) (*nets.Model, fit.Data, fit.Config, error) {
	net, err := nets.NewMLP(nets.MLPConfig{Input: d.Pool.Shape, Hidden: c.Hidden, Classes: d.Pool.Classes, NoBias: true, Seed: seed})
	if err != nil {
		return nil, fit.Data{}, fit.Config{}, err
	}
	train, err := d.Draw(c.Train, seed)
	return net, train, fit.Config{BatchSize: c.BatchSize, LearningRate: c.LearningRate, Seed: seed,
		Phases: []fit.Phase{{Epochs: c.WarmUp, Loss: warmUp()}, {Epochs: c.Epochs, Loss: m.Loss}}}, err
}

func runPlan(ctx context.Context, e *engine.Engine, net *nets.Model, train fit.Data, cfg fit.Config, m Method, seed int64, c Config) error {
	_, err := fit.TrainOrLoad(ctx, e, net, train, cfg, fit.Options{Dir: c.Dir, Progress: c.Progress,
		Label: fmt.Sprintf("train %s, seed %d", m.Name, seed)})
	return err
}

// Train trains one network with a method, or finds it in Config.Dir.
func Train(ctx context.Context, e *engine.Engine, m Method, seed int64, d *fit.Sets, c Config) (*nets.Model, error) {
	c = c.WithDefaults()
	net, train, cfg, err := plan(m, seed, d, c)
	if err != nil {
		return nil, err
	}
	return net, runPlan(ctx, e, net, train, cfg, m, seed, c)
}

// Gauge measures networks of one architecture. It has a network of its own, whose graphs are compiled once and which
// takes the weights of one measured network after the other.
type Gauge struct {
	c         Config
	data      *fit.Sets
	net       *nets.Model
	victim    *robust.Victim
	certifier *certify.Certifier
	verifier  *certify.Verifier
}

// NewGauge prepares to measure networks like the given one.
func NewGauge(e *engine.Engine, like *nets.Model, d *fit.Sets, c Config) (*Gauge, error) {
	g := &Gauge{c: c.WithDefaults(), data: d}
	var err error
	if g.net, err = like.Clone(); err != nil {
		return nil, err
	}
	if g.victim, err = robust.NewVictim(e, g.net, min(1000, len(d.Labels))); err != nil {
		return nil, err
	}
	if g.certifier, err = certify.NewCertifier(e, g.net, min(500, len(d.Labels))); err != nil {
		return nil, err
	}
	g.verifier, err = certify.NewVerifier(e, g.net)
	return g, err
}

// Measure attacks and certifies one network.
func (g *Gauge) Measure(ctx context.Context, net *nets.Model, method string, seed int64) (Measured, error) {
	c, d := g.c, g.data
	r := Measured{Method: method, Seed: seed}
	if err := g.net.CopyWeights(net); err != nil {
		return r, err
	}
	at := c.VerifyAt()
	c.Progress.Begin(fmt.Sprintf("attack %s, seed %d", method, seed), 0, len(c.EpsilonInput)*len(c.EpsilonWeight)+len(c.CertifyScales)+len(at))
	defer c.Progress.End()
	for _, input := range c.EpsilonInput {
		var row []float64
		for _, weight := range c.EpsilonWeight {
			accuracy, err := g.attacked(ctx, seed, threat(input, weight))
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
func (g *Gauge) Attacked(ctx context.Context, net *nets.Model, seed int64, t robust.Threat) (float64, error) {
	if err := g.net.CopyWeights(net); err != nil {
		return 0, err
	}
	return g.attacked(ctx, seed, t)
}

func (g *Gauge) attacked(ctx context.Context, seed int64, t robust.Threat) (float64, error) {
	p := robust.Problem{Images: g.data.Images, Goal: robust.Goal{Labels: g.data.Labels}, Threat: t, Seed: seed}
	o, err := robust.Evaluate(ctx, g.victim, attack.JointPGD{Steps: g.c.Steps, Restarts: g.c.Restarts}, p)
	if err != nil {
		return 0, err
	}
	for _, check := range o.Checks {
		switch check.Name {
		case "budget", "bounds", "finite":
			if check.Raised {
				return 0, errors.Errorf("check %s: %s", check.Name, check.Meaning)
			}
		}
	}
	right := 0
	for i, y := range g.data.Labels {
		if o.Final[i] == y {
			right++
		}
	}
	return float64(right) / float64(len(g.data.Labels)), nil
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

// measuring is the part of a configuration that Measure depends on, for cache keys.
func (c Config) measuring() Config {
	c.Seeds, c.Methods, c.Scale = nil, nil, ""
	c.Dir, c.DataDir, c.Progress = "", "", nil
	return c
}

// For returns the networks of one method, in the order of the seeds.
func (r *Result) For(method string) []Measured {
	return slices.Collect(func(yield func(Measured) bool) {
		for _, m := range r.Models {
			if m.Method == method && !yield(m) {
				return
			}
		}
	})
}
