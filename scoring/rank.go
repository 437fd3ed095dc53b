package scoring

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/stat"
)

// KendallTauB is Kendall's rank correlation of two lists of equal length, with the correction for ties: from -1, opposite
// order, to 1, same order. Where one list is constant it is undefined, an error.
func KendallTauB(a, b []float64) (float64, error) {
	if err := pairs(a, b); err != nil {
		return 0, err
	}
	var score, ordered, tiedA, tiedB float64
	for i := range a {
		for j := range i {
			da, db := a[i]-a[j], b[i]-b[j]
			switch {
			case da == 0 && db == 0:
			case da == 0:
				tiedA++
			case db == 0:
				tiedB++
			default:
				ordered++
				if (da > 0) == (db > 0) {
					score++
				} else {
					score--
				}
			}
		}
	}
	scale := math.Sqrt((ordered + tiedA) * (ordered + tiedB))
	if scale == 0 {
		return 0, errors.New("scoring: rank correlation undefined: all values of a list are equal")
	}
	return score / scale, nil
}

// Fit is a straight line y = Intercept + Slope·x by least squares, and how much of y's variance it explains: R2, the squared
// correlation, and AdjustedR2 = 1 - (1-R2)(n-1)/(n-2), which does not grow by chance.
type Fit struct {
	Slope      float64 `json:"slope"`
	Intercept  float64 `json:"intercept"`
	R2         float64 `json:"r2"`
	AdjustedR2 float64 `json:"adjusted_r2"`
}

// LinearFit fits y to x, at least three values each. Where one list is constant it is undefined, an error.
func LinearFit(x, y []float64) (Fit, error) {
	if err := pairs(x, y); err != nil {
		return Fit{}, err
	}
	n := float64(len(x))
	if n < 3 {
		return Fit{}, errors.Errorf("scoring: %g values: a line with its fit needs at least 3", n)
	}
	if constant(x) || constant(y) {
		return Fit{}, errors.New("scoring: linear fit undefined: all values of a list are equal")
	}
	var f Fit
	f.Intercept, f.Slope = stat.LinearRegression(x, y, nil, false)
	r := stat.Correlation(x, y, nil)
	f.R2 = r * r
	f.AdjustedR2 = 1 - (1-f.R2)*(n-1)/(n-2)
	return f, nil
}

func constant(values []float64) bool {
	return !slices.ContainsFunc(values, func(v float64) bool { return v != values[0] })
}

func pairs(a, b []float64) error {
	if len(a) != len(b) || len(a) < 2 {
		return errors.Errorf("scoring: lists of %d and %d values: want two of equal length, at least 2", len(a), len(b))
	}
	if err := finite("value", a); err != nil {
		return err
	}
	return finite("value", b)
}
