package uae

import (
	"context"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/robust"
)

// Supervised is the setting for classifiers: that of the authors' code, but for 200 steps in place of 1000 and an estimator of 64 in
// place of 512, which is 40 times faster and fools as many.
func Supervised() Search {
	return Search{Steps: 200, EstimatorSteps: 1, Hidden: 64}.withDefaults()
}

// Attack is the supervised search as an attack on classifiers in l-infinity, under the contract of all others: label-free, untargeted
// or targeted. It looks for the success that shares most with the original, not for one of a small norm.
type Attack struct {
	Search     Search  // zero: Supervised(). Epsilon, Seed and Progress come from the problem; Trace is not looked at
	Confidence float64 // κ, >= 0
	Random     bool    // random projections also where the network has a convolution to take maps of
}

var _ robust.Attack = Attack{}

// Projections that Attack takes where it takes them.
const projections, projected = 100, 32

func (a Attack) search() Search {
	s := a.Search
	s.Progress = nil
	if s == (Search{}) {
		return Supervised()
	}
	return s.withDefaults()
}

// Name implements robust.Attack.
func (a Attack) Name() string {
	s := a.search().Name()
	s = s[:len(s)-1]
	if a.Confidence > 0 {
		s += fmt.Sprintf(", confidence=%g", a.Confidence)
	}
	if a.Random {
		s += ", projections"
	}
	return s + ")"
}

// Access implements robust.Attack.
func (Attack) Access() robust.Access { return robust.Gradients }

// Perturb implements robust.Attack.
func (a Attack) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	switch {
	case p.Threat.MovesWeights():
		return nil, errors.New("this attack moves inputs only: use JointPGD for a threat with weights")
	case p.Threat.Norm != robust.Linf:
		return nil, errors.Errorf("minmax moves in linf, not in %s: use PGD", p.Threat.Norm)
	case p.Threat.Epsilon == 0:
		return &robust.Perturbation{Images: p.Images}, nil
	}
	o, err := Margin(v.Model, p.Goal, a.Confidence)
	if err != nil {
		return nil, err
	}
	x, err := FirstConv(v.Model)
	if err != nil || a.Random {
		if x, err = RandomProjection(projections, projected); err != nil {
			return nil, err
		}
	}
	s := a.search()
	s.Epsilon, s.Seed, s.Trace = p.Threat.Epsilon, p.Seed, 0
	if p.Progress != nil {
		s.Progress = p.Progress
	}
	ex, err := s.generate(ctx, v.Engine, onVictim(v, fmt.Sprintf("%s/%s/%t/%g/%d/%d", o.name, x.name, p.Goal.Targeted(), a.Confidence,
		s.Hidden, s.Code)), 1, o, x, p.Images)
	if err != nil {
		return nil, err
	}
	return &robust.Perturbation{Images: ex.Images}, nil
}

// onVictim compiles for a network under attack, whose passes are counted. The key tells what shapes the graphs.
func onVictim(v *robust.Victim, key string) compiler {
	return func(name string, fn func(scope *model.Scope, slope slopes, args []*Node) []*Node) (executable, error) {
		step, err := v.Compile("uae/"+key+"/"+name, func(o *robust.Oracle, args []*Node) (out []*Node) {
			o.Inside(func(scope *model.Scope) { out = fn(scope, o.Gradient, args) })
			return out
		})
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, rows []int, args ...any) ([]*tensors.Tensor, error) {
			return step.Call(ctx, rows, args...)
		}, nil
	}
}
