package weights

import (
	"context"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/certify"
	"github.com/trustbook/trustbook/study"
)

// Assessor measures what moving the weights does to networks of one architecture. It has a network of its own, whose
// graphs are compiled once and which takes the weights of one measured network after the other.
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

// Accuracy is the accuracy after an attack on the weights inside radii, one a weight tensor; one perturbation for all of
// d. All radii 0 give the clean accuracy.
func (a *Assessor) Accuracy(ctx context.Context, by robust.Attack, d fit.Data, radii []float64, seed int64) (float64, error) {
	p := robust.Problem{Images: d.Images, Goal: robust.Goal{Labels: d.Labels}, Threat: robust.Threat{Weights: radii}, Seed: seed}
	o, err := robust.Evaluate(ctx, a.victim, by, p)
	if err != nil {
		return 0, err
	}
	return matches(o.Final, d.Labels), o.Void()
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

// Bits are the figures of a network whose weights are rounded.
type Bits struct {
	Rounded   float64 `json:"rounded"`   // test accuracy
	Attacked  float64 `json:"attacked"`  // under weight PGD inside the same radii
	Certified float64 `json:"certified"` // certified accuracy inside these radii
	// Broken counts examples with a certificate that rounding misclassifies all the same: must be 0.
	Broken int `json:"broken"`
}

// bits measures what rounding to so many bits does, what an attack inside the same radii does and, if they are covered,
// what is certified inside them.
func (a *Assessor) bits(ctx context.Context, bits int, by robust.Attack, d fit.Data, seed int64) (b Bits, covered bool, err error) {
	predicted, err := a.Rounded(ctx, d, bits)
	if err != nil {
		return b, false, err
	}
	b.Rounded = matches(predicted, d.Labels)
	radii, err := RoundingRadii(a.Net, bits)
	if err != nil {
		return b, false, err
	}
	if b.Attacked, err = a.Accuracy(ctx, by, d, radii, seed); err != nil || !a.Covered(radii) {
		return b, false, err
	}
	bounds, err := a.Bounds(d, radii)
	if err != nil {
		return b, false, err
	}
	margins := bounds.Margins(d.Labels)
	for i, y := range d.Labels {
		if margins[i] > 0 && predicted[i] != y {
			b.Broken++
		}
	}
	b.Certified = positive(margins)
	return b, true, nil
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

// positive is the share of positive values.
func positive(values []float64) float64 {
	return float64(len(study.Where(values, func(v float64) bool { return v > 0 }))) / float64(len(values))
}
