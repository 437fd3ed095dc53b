package weights

import (
	"math"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"

	"github.com/trustbook/trustbook/study"
)

// RademacherBound bounds the empirical Rademacher complexity, on n samples, of one output of all ReLU networks without
// biases whose layers have norms ||W^k||_∞ <= infNorms[k], on inputs of inputDim values of size at most inputMax:
//
//	R_n <= 2^(L-1) (Π_k s_k) b sqrt(2 ln(2d) / n)
//
// Proof. sup over ||w||_1 <= s of Σ σ_i w·h(x_i) is s max_h |Σ σ_i h(x_i)|; the class of the layer below contains 0, so
// the mean of that maximum is at most twice the one without absolute value; contraction removes the ReLU; Massart's lemma
// bounds the first layer, whose 2d candidates are ± the input's values.
//
// For real networks the value is far above 1 and says nothing about any one of them: it ranks networks.
func RademacherBound(infNorms []float64, inputMax float64, inputDim, n int) (float64, error) {
	if len(infNorms) == 0 {
		return 0, errors.New("weights: no layer norms: give one a layer")
	}
	if !(inputMax >= 0) || math.IsInf(inputMax, 1) {
		return 0, errors.Errorf("weights: inputMax = %g: must be finite and >= 0", inputMax)
	}
	if err := study.First("weights", notNegative("infNorms", infNorms),
		study.AtLeast(1, study.Count("inputDim", inputDim), study.Count("n", n))); err != nil {
		return 0, err
	}
	product := math.Exp2(float64(len(infNorms)-1)) * floats.Prod(infNorms)
	return product * inputMax * math.Sqrt(2*math.Log(2*float64(inputDim))/float64(n)), nil
}

// notNegative reports the first value that is negative or not finite.
func notNegative(name string, values []float64) error {
	for k, v := range values {
		if !(v >= 0) || math.IsInf(v, 1) {
			return errors.Errorf("%s[%d] = %g: must be finite and >= 0", name, k, v)
		}
	}
	return nil
}

// Shape are the sizes of a dense network without biases that its bounds depend on.
type Shape struct {
	InfNorms []float64 // ||W^k||_∞ of each layer
	Widths   []int     // values of the input, then of each hidden layer
	// OutputGap is max_ij ||W^L_i - W^L_j||_1.
	OutputGap float64
	InputMax  float64 // largest absolute value of an input
	Classes   int
}

// MaxDrop is the margin bound of package certify at its worst over all inputs of the shape: every u_k is replaced by
//
//	ū_0 = d b,   ū_k = n_k b Π_{m<=k} (||W^m||_∞ + n_{m-1} ε_m)
//
// epsilons are the radii of the layers' weights.
func (s Shape) MaxDrop(epsilons []float64) (float64, error) {
	last := len(s.InfNorms) - 1
	if len(epsilons) != last+1 || len(s.Widths) != last+1 {
		return 0, errors.Errorf("weights: %d radii and %d widths for %d layers", len(epsilons), len(s.Widths), last+1)
	}
	if err := study.First("weights", notNegative("epsilons", epsilons)); err != nil {
		return 0, err
	}
	e, largest := 0.0, s.InputMax // largest: of one activation of the layer below
	u := float64(s.Widths[0]) * s.InputMax
	for k := range last {
		e = s.InfNorms[k]*e + epsilons[k]*u
		largest *= s.InfNorms[k] + float64(s.Widths[k])*epsilons[k]
		u = float64(s.Widths[k+1]) * largest
	}
	return s.OutputGap*e + 2*epsilons[last]*u, nil
}

// GeneralizationBound are the terms of the bound on the error under weight perturbation.
type GeneralizationBound struct {
	Ramp         float64 // mean ramp loss of the training margins, each lowered by what a perturbation can take
	Complexity   float64 // (2/γ) 2 K R_n
	Perturbation float64 // (2/γ) B̄ / (2 sqrt(n)): what the perturbation adds to the complexity
	Confidence   float64 // 3 sqrt(ln(2/δ) / 2n)
	Total        float64 // their sum; above 1 it says nothing
}

// Generalization bounds, with probability 1-delta over the n training examples and uniformly over all networks of the
// shape, the chance that some weight perturbation inside epsilons makes the network misclassify a new example:
//
//	mean ramp_γ(M_i - B̄) + (2/γ) [2 K R_n + B̄ / (2 sqrt(n))] + 3 sqrt(ln(2/δ) / 2n)
//
// margins are M_i = f_y - max_{j≠y} f_j of the training examples, ramp_γ(m) is 1 below 0, 0 above γ and linear between,
// K the number of classes. The constant 2K for each class's margin is that of the textbooks, for one hypothesis class a
// class.
func Generalization(s Shape, margins, epsilons []float64, gamma, delta float64) (*GeneralizationBound, error) {
	switch {
	case len(margins) == 0:
		return nil, errors.New("weights: no margins: give one a training example")
	case !(delta > 0 && delta < 1):
		return nil, errors.Errorf("weights: delta = %g: must be between 0 and 1", delta)
	case s.Classes < 2:
		return nil, errors.Errorf("weights: %d classes: need at least 2", s.Classes)
	}
	if err := study.First("weights", study.Positive(study.Rate("gamma", gamma))); err != nil {
		return nil, err
	}
	n := float64(len(margins))
	drop, err := s.MaxDrop(epsilons)
	if err != nil {
		return nil, err
	}
	r, err := RademacherBound(s.InfNorms, s.InputMax, s.Widths[0], len(margins))
	if err != nil {
		return nil, err
	}
	b := &GeneralizationBound{Complexity: 2 / gamma * 2 * float64(s.Classes) * r, Perturbation: drop / gamma / math.Sqrt(n),
		Confidence: 3 * math.Sqrt(math.Log(2/delta)/(2*n))}
	for i, m := range margins {
		if math.IsNaN(m) {
			return nil, errors.Errorf("weights: margin %d is NaN", i)
		}
		b.Ramp += min(1, max(0, 1-(m-drop)/gamma)) / n
	}
	b.Total = b.Ramp + b.Complexity + b.Perturbation + b.Confidence
	return b, nil
}
