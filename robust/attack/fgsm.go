package attack

import (
	"context"
	"fmt"

	"github.com/trustbook/trustbook/robust"
)

// FGSM takes one step of the whole radius along the steepest direction of the norm: the fast gradient sign method for
// l-infinity (Goodfellow et al., arXiv 1412.6572), the fast gradient method for l2, and for l1 the pixels with the
// largest gradients, each as far as the bounds allow.
type FGSM struct {
	Loss robust.Loss // what is climbed; zero: cross-entropy
}

var _ robust.Attack = FGSM{}

// Name implements robust.Attack.
func (a FGSM) Name() string { return fmt.Sprintf("fgsm(loss=%s)", a.Loss) }

// Access implements robust.Attack.
func (FGSM) Access() robust.Access { return robust.Gradients }

// Perturb implements robust.Attack.
func (a FGSM) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	run := ascent{name: a.Name(), steps: 1, stepSize: p.Threat.Epsilon, restarts: 1, decay: 1, loss: a.Loss}
	return run.perturb(ctx, v, p)
}
