package joint

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"github.com/trustbook/trustbook/datasets"
	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
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
	Checks []Verification `json:"checks"`
}

// Clean is the accuracy without perturbation.
func (m Measured) Clean() float64 { return m.Accuracy[0][0] }

// VerifyAt are the pairs of radii at which every network's bounds are attacked.
func (c Config) VerifyAt() []robust.Threat {
	c = c.withDefaults()
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
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	data, err := load(ctx, c)
	if err != nil {
		return nil, err
	}
	methods, err := methodsNamed(c.Methods)
	if err != nil {
		return nil, err
	}
	r := &Result{Config: c, Data: data.describe(), Backend: e.Name()}
	for _, m := range methods {
		for _, seed := range c.Seeds {
			net, key, err := Train(ctx, e, m, seed, data, c)
			if err != nil {
				return nil, errors.WithMessagef(err, "joint: training %s, seed %d", m.Name, seed)
			}
			measured, err := fit.Remember(c.Dir, "joint-measured-"+fit.Hash(key, c.measuring()), func() (Measured, error) {
				return Measure(ctx, e, net, m.Name, seed, data, c)
			})
			if err != nil {
				return nil, errors.WithMessagef(err, "joint: measuring %s, seed %d", m.Name, seed)
			}
			r.Models = append(r.Models, measured)
		}
	}
	return r, nil
}

// Data are the sets of a run.
type Data struct {
	pool, test *datasets.Set
	images     *tensors.Tensor
	labels     []int32
}

// Load gets the data set of a configuration: the pool from which each seed draws its training examples, and the test
// examples that all networks share.
func Load(ctx context.Context, c Config) (*Data, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	return load(ctx, c)
}
