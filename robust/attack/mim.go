package attack

import (
	"cmp"
	"context"
	"fmt"

	"github.com/trustbook/trustbook/robust"
)

// MIM is the momentum iterative method (Dong et al., arXiv 1710.06081): gradients, each divided by its l1 norm, are
// summed with decay factor Decay, and the sum gives the direction of the step. It starts at the clean input.
type MIM struct {
	Steps    int         // zero: 10
	StepSize float64     // absolute; zero: epsilon/Steps
	Decay    float64     // of the accumulated gradient, > 0; zero: 1
	Loss     robust.Loss // zero: cross-entropy
}

var _ robust.Attack = MIM{}

// Name implements robust.Attack.
func (a MIM) Name() string {
	return fmt.Sprintf("mim(steps=%d, decay=%g, loss=%s)", cmp.Or(a.Steps, 10), cmp.Or(a.Decay, 1), a.Loss)
}

// Access implements robust.Attack.
func (MIM) Access() robust.Access { return robust.Gradients }

// Perturb implements robust.Attack.
func (a MIM) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	steps := cmp.Or(a.Steps, 10)
	run := ascent{
		name: a.Name(), steps: steps, stepSize: cmp.Or(a.StepSize, p.Threat.Epsilon/float64(max(1, steps))), restarts: 1,
		decay: 1, momentum: cmp.Or(a.Decay, 1), loss: a.Loss,
	}
	return run.perturb(ctx, v, p)
}
