package scoring

import (
	"encoding/csv"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/interp"
)

// Curve is a perturbation response curve: the accuracy, from 0 to 1, at growing magnitudes of a perturbation.
type Curve struct {
	Magnitudes []float64 `json:"magnitudes"`
	Accuracies []float64 `json:"accuracies"`
}

// Validate reports what is wrong with a curve: fewer than two points, unequal lengths, magnitudes that do not increase or
// are not finite, accuracies that are no numbers from 0 to 1.
func (c Curve) Validate() error {
	if len(c.Magnitudes) != len(c.Accuracies) {
		return errors.Errorf("scoring: %d magnitudes but %d accuracies", len(c.Magnitudes), len(c.Accuracies))
	}
	if n := len(c.Magnitudes); n < 2 {
		return errors.Errorf("scoring: response curve has %s: need at least 2", count(n, "point"))
	}
	for i, m := range c.Magnitudes {
		if math.IsNaN(m) || math.IsInf(m, 0) {
			return errors.Errorf("scoring: magnitude %g at index %d: must be finite", m, i)
		}
		if i > 0 && m <= c.Magnitudes[i-1] {
			return errors.Errorf("scoring: magnitudes must increase: %g then %g at index %d", c.Magnitudes[i-1], m, i)
		}
		switch a := c.Accuracies[i]; {
		case math.IsNaN(a):
			return errors.Errorf("scoring: NaN accuracy at magnitude %g", m)
		case a < 0 || a > 1:
			return errors.Errorf("scoring: accuracy %g at index %d is outside [0, 1] (percent instead of fraction?)", a, i)
		}
	}
	if span := c.Magnitudes[len(c.Magnitudes)-1] - c.Magnitudes[0]; math.IsInf(span, 0) {
		return errors.Errorf("scoring: magnitudes from %g to %g: their span must be finite", c.Magnitudes[0], c.Magnitudes[len(c.Magnitudes)-1])
	}
	return nil
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// Cumulative returns the perturbation cumulative density curve: magnitudes mapped to t in [0, 1], and P(t) = ∫₀ᵗ A(s) ds by
// the trapezoidal rule. Between the points it is taken to be linear.
func (c Curve) Cumulative() (t, p []float64, err error) {
	if err := c.Validate(); err != nil {
		return nil, nil, err
	}
	first, last := c.Magnitudes[0], c.Magnitudes[len(c.Magnitudes)-1]
	t, p = make([]float64, len(c.Magnitudes)), make([]float64, len(c.Magnitudes))
	for i, m := range c.Magnitudes {
		if t[i] = (m - first) / (last - first); i > 0 {
			p[i] = p[i-1] + (t[i]-t[i-1])*(c.Accuracies[i]+c.Accuracies[i-1])/2
		}
	}
	return t, p, nil
}

// Fold averages the accuracies at opposite magnitudes of a curve that has both signs, such as rotations to either side: the
// result runs over the absolute magnitudes. Each magnitude needs its opposite (to 1e-9 of the largest).
func (c Curve) Fold() (Curve, error) {
	if err := c.Validate(); err != nil {
		return Curve{}, err
	}
	n := len(c.Magnitudes)
	tolerance := 1e-9 * max(math.Abs(c.Magnitudes[0]), math.Abs(c.Magnitudes[n-1]))
	var folded Curve
	for i := n / 2; i < n; i++ {
		low, high := c.Magnitudes[n-1-i], c.Magnitudes[i]
		if math.Abs(low+high) > tolerance {
			return Curve{}, errors.Errorf("scoring: folding a curve with magnitude %g, but %g where its opposite should be", high, low)
		}
		folded.Magnitudes = append(folded.Magnitudes, math.Abs(high))
		folded.Accuracies = append(folded.Accuracies, (c.Accuracies[i]+c.Accuracies[n-1-i])/2)
	}
	return folded, folded.Validate()
}

// At is the accuracy at a magnitude inside the curve's range, linear between its points.
func (c Curve) At(magnitude float64) (float64, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	if n := len(c.Magnitudes); !(magnitude >= c.Magnitudes[0] && magnitude <= c.Magnitudes[n-1]) {
		return 0, errors.Errorf("scoring: magnitude %g is outside the curve's range, %g to %g", magnitude, c.Magnitudes[0], c.Magnitudes[n-1])
	}
	var line interp.PiecewiseLinear
	if err := line.Fit(c.Magnitudes, c.Accuracies); err != nil {
		return 0, errors.Wrap(err, "scoring")
	}
	return line.Predict(magnitude), nil
}

// curveHeader is the first line of a curve's file.
var curveHeader = []string{"magnitude", "accuracy"}

// ReadCurve reads a curve from CSV: the header "magnitude,accuracy", then a line a point.
func ReadCurve(r io.Reader) (Curve, error) {
	lines := csv.NewReader(r)
	lines.TrimLeadingSpace = true
	rows, err := lines.ReadAll()
	if err != nil {
		return Curve{}, errors.Errorf("scoring: reading a curve: %s", err)
	}
	if len(rows) == 0 || !slices.EqualFunc(rows[0], curveHeader, func(have, want string) bool {
		return strings.EqualFold(strings.TrimSpace(strings.TrimPrefix(have, "\ufeff")), want)
	}) {
		return Curve{}, errors.New("scoring: reading a curve: want the header magnitude,accuracy in the first line")
	}
	var c Curve
	for i, row := range rows[1:] {
		var point [2]float64
		for k, text := range row {
			if point[k], err = strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil {
				return Curve{}, errors.Errorf("scoring: reading a curve: %s %q at point %d is no number", curveHeader[k], text, i+1)
			}
		}
		c.Magnitudes, c.Accuracies = append(c.Magnitudes, point[0]), append(c.Accuracies, point[1])
	}
	return c, c.Validate()
}

// LoadCurve reads a curve from a CSV file.
func LoadCurve(path string) (Curve, error) {
	f, err := os.Open(path)
	if err != nil {
		return Curve{}, errors.Wrap(err, "scoring: curve")
	}
	defer f.Close()
	c, err := ReadCurve(f)
	return c, errors.WithMessage(err, path)
}

// Write writes the curve as CSV, as ReadCurve reads it.
func (c Curve) Write(w io.Writer) error {
	if err := c.Validate(); err != nil {
		return err
	}
	lines := csv.NewWriter(w)
	_ = lines.Write(curveHeader) // kept for Error
	for i, m := range c.Magnitudes {
		_ = lines.Write([]string{strconv.FormatFloat(m, 'g', -1, 64), strconv.FormatFloat(c.Accuracies[i], 'g', -1, 64)})
	}
	lines.Flush()
	return errors.Wrap(lines.Error(), "scoring: writing a curve")
}
