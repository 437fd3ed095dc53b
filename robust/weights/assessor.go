package weights

import (
	"context"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/certify"
)

// Assessor measures what moving the weights does to networks of one architecture. It has a network of its own, whose graphs
// are compiled once and which takes the weights of one measured network after the other.
type Assessor struct {
	Net *nets.Model
	// Coverage tells which layers the bounds cover; nil if none, and Uncovered says why.
	Coverage  *certify.Coverage
	Uncovered error

	victim    *robust.Victim
	certifier *certify.Certifier
}

// NewAssessor prepares to measure networks like the given one. Graphs run on batches of the given size.
func NewAssessor(e *engine.Engine, like *nets.Model, batch int) (*Assessor, error) {
	a := &Assessor{}
	var err error
	if a.Net, err = like.Clone(); err != nil {
		return nil, err
	}
	if a.victim, err = robust.NewVictim(e, a.Net, batch); err != nil {
		return nil, err
	}
	// A network that the bounds do not cover can still be attacked and rounded.
	if a.Coverage, a.Uncovered = certify.Covers(a.Net); a.Coverage != nil {
		a.certifier, err = certify.NewCertifier(e, a.Net, min(batch, 500))
	}
	return a, err
}

// Accuracy is the accuracy after an attack on the weights inside radii, one a weight tensor; one perturbation for all of d.
// All radii 0 give the clean accuracy.
func (a *Assessor) Accuracy(ctx context.Context, by robust.Attack, d fit.Data, radii []float64, seed int64) (float64, error) {
	p := robust.Problem{Images: d.Images, Goal: robust.Goal{Labels: d.Labels}, Threat: robust.Threat{Weights: radii}, Seed: seed}
	o, err := robust.Evaluate(ctx, a.victim, by, p)
	if err != nil {
		return 0, err
	}
	for _, check := range o.Checks {
		if check.Raised && slices.Contains([]string{"budget", "bounds", "finite"}, check.Name) {
			return 0, errors.Errorf("check %s: %s", check.Name, check.Meaning)
		}
	}
	return matches(o.Final, d.Labels), nil
}

// Rounded are the classes that the network predicts with its weights rounded to so many bits.
func (a *Assessor) Rounded(ctx context.Context, d fit.Data, bits int) ([]int32, error) {
	rounded, err := Quantize(a.Net, bits)
	if err != nil {
		return nil, err
	}
	return a.victim.Predictions(ctx, d.Images, rounded)
}

// Bounds are the margin bounds inside radii, which must be 0 outside of Coverage.
func (a *Assessor) Bounds(d fit.Data, radii []float64) (*certify.Bounds, error) {
	if a.certifier == nil {
		return nil, a.Uncovered
	}
	return a.certifier.Bounds(d.Images, d.Labels, robust.Threat{Weights: radii})
}

// Covered reports whether bounds exist for these radii.
func (a *Assessor) Covered(radii []float64) bool {
	return a.certifier != nil && a.certifier.Check(robust.Threat{Weights: radii}) == nil
}

func matches(predicted, labels []int32) float64 {
	right := 0
	for i, y := range labels {
		if predicted[i] == y {
			right++
		}
	}
	return float64(right) / float64(len(labels))
}
