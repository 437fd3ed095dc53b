package robust

import (
	"encoding/json"
	"math"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// Norm measures an input perturbation, over all values of one example.
type Norm int

// The norms that a threat may use.
const (
	Linf Norm = iota // largest absolute change
	L2               // Euclidean length
	L1               // sum of absolute changes
)

// ParseNorm reads "linf", "l2" or "l1".
func ParseNorm(s string) (Norm, error) {
	for _, n := range []Norm{Linf, L2, L1} {
		if strings.EqualFold(s, n.String()) {
			return n, nil
		}
	}
	return 0, errors.Errorf("robust: norm %q: want linf, l2 or l1", s)
}

// String returns "linf", "l2" or "l1".
func (n Norm) String() string {
	switch n {
	case Linf:
		return "linf"
	case L2:
		return "l2"
	case L1:
		return "l1"
	}
	return "unknown norm"
}

// MarshalText makes a norm read well in JSON.
func (n Norm) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (n *Norm) UnmarshalText(text []byte) (err error) {
	*n, err = ParseNorm(string(text))
	return err
}

// Threat is what the adversary may change. Pixel bounds are the model's own (nets.Model.Lower and Upper).
type Threat struct {
	Norm Norm
	// Epsilon is the radius of the input perturbation in Norm; 0 leaves inputs as they are. +Inf means no budget: attacks
	// that search for the nearest success (Unbudgeted) return it however far it is, and Outcome.Norms is the result.
	Epsilon float64
	// Weights is the l-infinity radius of the weight perturbation, one entry a weight tensor in the order of
	// nets.Model.Weights, or a single entry for all of them. Empty leaves the weights as they are. One perturbation
	// serves the whole evaluated set (a universal one).
	Weights []float64
}

// Validate reports a radius that is negative or not finite (but for Epsilon = +Inf), and a wrong number of weight radii.
func (t Threat) Validate(weightTensors int) error {
	if t.Norm < Linf || t.Norm > L1 {
		return errors.Errorf("robust: Norm = %d: want Linf, L2 or L1", int(t.Norm))
	}
	if !isRadius(t.Epsilon) && t.HasBudget() {
		return errors.Errorf("robust: Epsilon = %g: must be finite and >= 0, or +Inf for no budget", t.Epsilon)
	}
	for i, w := range t.Weights {
		if !isRadius(w) {
			return errors.Errorf("robust: Weights[%d] = %g: must be finite and >= 0", i, w)
		}
	}
	if n := len(t.Weights); n > 1 && n != weightTensors {
		return errors.Errorf("robust: Weights has %d entries for %d weight tensors: give one for all, or one each",
			n, weightTensors)
	}
	return nil
}

// HasBudget reports whether Epsilon is a radius, and not +Inf.
func (t Threat) HasBudget() bool { return !math.IsInf(t.Epsilon, 1) }

// RequireBudget is the error of an attack that needs a radius where none is given.
func (t Threat) RequireBudget() error {
	if t.HasBudget() {
		return nil
	}
	return errors.New("Epsilon = +Inf means no budget, which only attacks that minimize the norm can do without " +
		"(FAB, DeepFool, CW, HopSkipJump, SignOPT, RayS, Boundary): give a finite Epsilon")
}

// Budget is Epsilon for JSON, which has no infinity: nil (null) where there is no budget.
func (t Threat) Budget() *float64 {
	if !t.HasBudget() {
		return nil
	}
	return &t.Epsilon
}

// threatJSON is a Threat in JSON.
type threatJSON struct {
	Norm    Norm
	Epsilon *float64
	Weights []float64
}

// MarshalJSON writes the fields by their names, Epsilon as null where there is no budget.
func (t Threat) MarshalJSON() ([]byte, error) {
	return json.Marshal(threatJSON{t.Norm, t.Budget(), t.Weights})
}

// UnmarshalJSON is the inverse of MarshalJSON. An Epsilon that is missing is 0, as in a Threat made in Go.
func (t *Threat) UnmarshalJSON(text []byte) error {
	zero := 0.0
	read := threatJSON{Epsilon: &zero}
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	*t = Threat{Norm: read.Norm, Epsilon: math.Inf(1), Weights: read.Weights}
	if read.Epsilon != nil {
		t.Epsilon = *read.Epsilon
	}
	return nil
}

// WeightRadii returns one radius for each of n weight tensors.
func (t Threat) WeightRadii(n int) []float64 {
	radii := make([]float64, n)
	for i := range radii {
		switch {
		case len(t.Weights) == 1:
			radii[i] = t.Weights[0]
		case i < len(t.Weights):
			radii[i] = t.Weights[i]
		}
	}
	return radii
}

// RelativeRadii are radii for Threat.Weights that share out a relative budget: each weight tensor may move by share times
// its largest absolute value. Rounding to b bits, as quantization does, stays inside share = 1/(2(2^(b-1)-1)).
func RelativeRadii(m *nets.Model, share float64) ([]float64, error) {
	if !isRadius(share) {
		return nil, errors.Errorf("robust: relative weight radius %g: must be finite and >= 0", share)
	}
	var radii []float64
	for _, w := range m.Weights() {
		value, err := w.Value()
		if err != nil {
			return nil, err
		}
		flat, err := tensors.CopyFlatData[float32](value)
		if err != nil {
			return nil, err
		}
		largest := 0.0
		for i, v := range flat {
			if a := math.Abs(float64(v)); !isRadius(a) {
				return nil, errors.Errorf("robust: weight %s holds %g at %d: must be finite", w.Path(), v, i)
			} else {
				largest = max(largest, a)
			}
		}
		radii = append(radii, share*largest)
	}
	return radii, nil
}

// MovesWeights reports whether any weight may change.
func (t Threat) MovesWeights() bool {
	for _, w := range t.Weights {
		if w > 0 {
			return true
		}
	}
	return false
}

func isRadius(v float64) bool { return v >= 0 && !math.IsInf(v, 1) && !math.IsNaN(v) }

// Unbudgeted is implemented by attacks that can do without a budget (Threat.Epsilon = +Inf), because they search for
// the nearest success, or bring a radius of their own. Evaluate refuses all others a threat without a budget.
//
// With a finite Epsilon an attack that minimizes the norm returns, for each example, the nearest success that it found if
// that lies within Epsilon. Otherwise it returns a point inside the ball that is no success: the projection of what it
// found, or the clean image. So the robust accuracy is the share of examples whose minimal norm is above Epsilon, and one
// run without a budget gives the whole curve. Without a budget, examples for which nothing was found come back as they
// were.
type Unbudgeted interface {
	Attack
	// Unbudgeted reports whether this attack, with its settings, needs no budget.
	Unbudgeted() bool
}
