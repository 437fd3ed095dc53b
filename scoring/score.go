package scoring

import (
	"math"

	"github.com/pkg/errors"
)

// Ideal is the network with which [GiScore] compares.
type Ideal int

const (
	// IdealPerfect is always right: the score is 0 only for a network that is right at every magnitude, 1 for one that is
	// always wrong.
	IdealPerfect Ideal = iota
	// IdealInvariant keeps the accuracy that the curve has at magnitude 0, which must be among its points: the score is 0 for
	// every constant curve, and negative for one that rises.
	IdealInvariant
)

// GiScore is twice the area between the cumulative curve P of an ideal network, which is the straight line c·t, and that of
// the given one (follow-up paper, caption of Figure 1; the factor 2 as in the Gini coefficient):
//
//	Gi = 2 ∫₀¹ (c·t - P(t)) dt = 2 ∫₀¹ (1-s) (c - A(s)) ds
//
// The second form, by exchange of the integrals, shows it to be a mean error that weighs small magnitudes most. The integral
// is exact for the cumulative curve that is linear between the points. A larger score predicts a larger generalization gap.
func GiScore(c Curve, ideal Ideal) (float64, error) {
	t, p, err := c.Cumulative()
	if err != nil {
		return 0, err
	}
	accuracy := 1.0
	switch ideal {
	case IdealPerfect:
	case IdealInvariant:
		if c.Magnitudes[0] > 0 || c.Magnitudes[len(t)-1] < 0 {
			return 0, errors.Errorf("scoring: the invariant ideal needs the accuracy at magnitude 0: the curve begins at %g", c.Magnitudes[0])
		}
		found := false
		for i, m := range c.Magnitudes {
			if m == 0 {
				accuracy, found = c.Accuracies[i], true
			}
		}
		if !found {
			return 0, errors.New("scoring: the invariant ideal needs the accuracy at magnitude 0: it is not among the curve's points")
		}
	default:
		return 0, errors.Errorf("scoring: ideal %d: want IdealPerfect or IdealInvariant", ideal)
	}
	area := 0.0
	for i := 1; i < len(t); i++ {
		area += (t[i] - t[i-1]) * (accuracy*(t[i]+t[i-1]) - p[i] - p[i-1]) / 2
	}
	return 2 * area, nil
}

// PalFractions are the two parts of the range that [PalScore] compares, each above 0 and at most 1; the zero value stands
// for 0.6 and 0.1. The Palma ratio of incomes has 0.1 and 0.4.
type PalFractions struct{ Top, Bottom float64 }

// PalScore is the area under the cumulative curve over the range's top fraction, divided by that over its bottom fraction
// (follow-up paper, caption of Figure 1):
//
//	Pal = ∫_{1-top}^1 P dt / ∫_0^bottom P dt
//
// A constant curve has 84 with the default fractions, whatever its accuracy. Accuracy that is lost early lowers the score:
// its negative grows with the generalization gap. It is for curves that start at the unperturbed network: fold curves with
// magnitudes of both signs. Where no example is classified correctly over the bottom fraction it is undefined, an error.
func PalScore(c Curve, f PalFractions) (float64, error) {
	if f == (PalFractions{}) {
		f = PalFractions{Top: 0.6, Bottom: 0.1}
	}
	for _, v := range []float64{f.Top, f.Bottom} {
		if !(v > 0 && v <= 1) {
			return 0, errors.Errorf("scoring: Pal fractions %g and %g: each must be above 0 and at most 1", f.Top, f.Bottom)
		}
	}
	t, p, err := c.Cumulative()
	if err != nil {
		return 0, err
	}
	bottom := area(t, p, 0, f.Bottom)
	if bottom <= 0 {
		return 0, errors.Errorf("scoring: Pal-score undefined: no area under the curve's first %g %%", 100*f.Bottom)
	}
	return area(t, p, 1-f.Top, 1) / bottom, nil
}

// area integrates the function that is linear between the points from a to b, inside [0, 1].
func area(t, p []float64, a, b float64) (sum float64) {
	for i := 1; i < len(t); i++ {
		from, to := max(a, t[i-1]), min(b, t[i])
		if from >= to {
			continue
		}
		slope := (p[i] - p[i-1]) / (t[i] - t[i-1])
		middle := p[i-1] + slope*((from+to)/2-t[i-1])
		sum += (to - from) * middle
	}
	return sum
}

// finite reports the first value that is NaN or infinite.
func finite(what string, values []float64) error {
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.Errorf("scoring: %s %g at index %d: must be finite", what, v, i)
		}
	}
	return nil
}
