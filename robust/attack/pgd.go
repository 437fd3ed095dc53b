package attack

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/trustbook/trustbook/robust"
)

// PGD is projected gradient descent on the negative loss (Madry et al., arXiv 1706.06083): Steps steepest steps, each
// followed by the exact projection onto ball and pixel bounds.
//
// For l1, where a fixed step overshoots the corners of the ball, the first run starts at the clean input and its first
// step goes straight to the best corner; after that the step size shrinks geometrically to a hundredth, and the best
// iterate is returned.
type PGD struct {
	Steps       int         // zero: 20
	StepSize    float64     // absolute, in the threat's norm; zero: 2.5·epsilon/Steps
	Restarts    int         // runs, each on the examples still standing; zero: 1
	NoRandom    bool        // start the first run at the clean input instead of at a random point of the ball
	EarlyStop   bool        // stop a batch once all its examples are solved
	MultiTarget bool        // untargeted only: one targeted run towards each other class, after the untargeted ones
	Loss        robust.Loss // what is climbed; zero: cross-entropy
}

var _ robust.Attack = PGD{}

// Name implements robust.Attack.
func (a PGD) Name() string {
	a = a.defaults()
	s := fmt.Sprintf("pgd(steps=%d, restarts=%d, random=%t, loss=%s", a.Steps, a.Restarts, !a.NoRandom, a.Loss)
	if a.StepSize != 0 {
		s += fmt.Sprintf(", step=%g", a.StepSize)
	}
	if a.MultiTarget {
		s += ", multi-target"
	}
	return s + ")"
}

// Access implements robust.Attack.
func (PGD) Access() robust.Access { return robust.Gradients }

func (a PGD) defaults() PGD {
	a.Steps = cmp.Or(a.Steps, 20)
	a.Restarts = cmp.Or(a.Restarts, 1)
	return a
}

// Perturb implements robust.Attack.
func (a PGD) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a = a.defaults()
	run := ascent{
		name: a.Name(), steps: a.Steps, restarts: a.Restarts, randomStart: !a.NoRandom, earlyStop: a.EarlyStop, loss: a.Loss,
		multiTarget: a.MultiTarget,
		stepSize:    cmp.Or(a.StepSize, 2.5*p.Threat.Epsilon/float64(max(1, a.Steps))), decay: 1,
	}
	if p.Threat.Norm == robust.L1 {
		run.keepBest, run.corner, run.randomStart = true, true, false
		run.decay = math.Pow(0.01, 1/float64(max(1, a.Steps-1)))
	}
	return run.perturb(ctx, v, p)
}
