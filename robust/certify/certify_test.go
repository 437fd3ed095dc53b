package certify

import (
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// small is an untrained network on 6 pixels, and examples for it.
func small(t *testing.T, noBias bool, n int) (*nets.Model, *tensors.Tensor, []int32) {
	t.Helper()
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{6}, Hidden: []int{5, 4}, Classes: 3, NoBias: noBias, Seed: 2})
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(11, 12))
	if !noBias { // they start at zero
		for _, w := range m.Weights() {
			if w.Shape().Rank() == 1 {
				values := make([]float32, w.Shape().Size())
				for i := range values {
					values[i] = float32(0.3 * rng.NormFloat64())
				}
				require.NoError(t, w.SetValue(tensors.FromValue(values)))
			}
		}
	}
	flat, labels := make([]float32, n*6), make([]int32, n)
	for i := range flat {
		flat[i] = rng.Float32()
	}
	for i := range labels {
		labels[i] = rng.Int32N(3)
	}
	return m, tensors.FromFlatDataAndDimensions(flat, n, 6), labels
}

func weightsOf(t *testing.T, m *nets.Model) (all [][]float32) {
	t.Helper()
	for _, w := range m.Weights() {
		value, err := w.Value()
		require.NoError(t, err)
		all = append(all, tensors.MustCopyFlatData[float32](value))
	}
	return all
}

// TestLambdaZeroIsTheBase: with all factors 0 training gives the base method's weights bit for bit; with a factor it
// does not.
func TestLambdaZeroIsTheBase(t *testing.T) {
	inner := attack.Inner{Threat: robust.Threat{Epsilon: 0.1}, Steps: 2}
	adversarial := attack.AdversarialTraining(inner)
	train := func(loss fit.Loss) [][]float32 {
		m, images, labels := small(t, true, 40)
		_, err := fit.Train(t.Context(), testengine.Quick(t), m, fit.Data{Images: images, Labels: labels},
			fit.Config{BatchSize: 8, Seed: 5, Phases: []fit.Phase{{Epochs: 2, Loss: loss}}})
		require.NoError(t, err)
		return weightsOf(t, m)
	}
	off := Regularizer{EpsilonInput: 0.1, EpsilonWeight: 0.01}
	on := off
	on.LambdaWeight = 1e-2
	for _, base := range []fit.Loss{fit.CrossEntropy(), adversarial} { // the bases of Methods
		want := train(base)
		require.Equal(t, want, train(Regularized(base, off)), base.Name)
		require.NotEqual(t, want, train(Regularized(base, on)), base.Name)
	}
}

// TestRegularizerGradient compares value and gradient of each term with the formulas in plain Go and their finite
// differences in float64, on every weight.
func TestRegularizerGradient(t *testing.T) {
	m, images, labels := small(t, true, 8)
	nothing := fit.Loss{Name: "nothing", Build: func(_ *model.Scope, _ *nets.Model, images, _ *Node) *Node {
		return ScalarZero(images.Graph(), images.DType())
	}}
	pixels := tensors.MustCopyFlatData[float32](images)
	var ms matrices // rows are outputs
	for k, w := range m.Weights() {
		d, flat := w.Shape().Dimensions, weightsOf(t, m)[k]
		rows := make([][]float64, d[1])
		for o := range rows {
			for i := range d[0] {
				rows[o] = append(rows[o], float64(flat[i*d[1]+o]))
			}
		}
		ms = append(ms, rows)
	}
	value := func(r Regularizer) (sum float64) {
		for i, y := range labels {
			x := make([]float64, 6)
			for j := range x {
				x[j] = float64(pixels[i*6+j])
			}
			term := func(lambda, epsilonInput, epsilonWeight float64) {
				sum += lambda * maximum(reference(ms, x, int(y), epsilonInput, same(epsilonWeight, 3))) / float64(len(labels))
			}
			term(r.LambdaInput, r.EpsilonInput, 0)
			term(r.LambdaWeight, 0, r.EpsilonWeight)
			term(r.LambdaJoint, r.EpsilonInput, r.EpsilonWeight)
		}
		for _, m := range ms {
			norm := 0.0
			for _, row := range m {
				norm = max(norm, distance1(row, make([]float64, len(row))))
			}
			sum += r.Mu * norm
		}
		return sum
	}
	for _, r := range []Regularizer{
		{LambdaInput: 1, EpsilonInput: 0.1},
		{LambdaWeight: 1, EpsilonWeight: 0.03},
		{LambdaJoint: 1, EpsilonInput: 0.1, EpsilonWeight: 0.03},
		{Mu: 1},
		{LambdaInput: 0.5, LambdaWeight: 2, LambdaJoint: 0.1, EpsilonInput: 0.2, EpsilonWeight: 0.01, Mu: 0.3},
	} {
		exec, err := model.NewExec(testengine.Quick(t).Backend(), m.Store, func(scope *model.Scope, images, labels *Node) []*Node {
			var weights []*Node
			for _, w := range m.Weights() {
				weights = append(weights, w.NodeValue(images.Graph()))
			}
			loss := Regularized(nothing, r).Build(scope, m, images, labels)
			return append([]*Node{loss}, Gradient(loss, weights...)...)
		})
		require.NoError(t, err)
		out, err := exec.Call(images, labels)
		require.NoError(t, err)
		require.InEpsilon(t, value(r), tensors.ToScalar[float32](out[0]), 1e-5)
		for k := range ms {
			got, size := tensors.MustCopyFlatData[float32](out[1+k]), 0.0
			for o, row := range ms[k] {
				for i, w := range row {
					const h = 1e-6
					row[i] = w + h
					up := value(r)
					row[i] = w - h
					want := (up - value(r)) / (2 * h)
					row[i] = w
					require.InDelta(t, want, got[i*len(ms[k])+o], 1e-4*(1+math.Abs(want)), "layer %d, weight [%d,%d]", k, i, o)
					size += math.Abs(want)
				}
			}
			require.Positivef(t, size, "layer %d has no gradient", k)
		}
	}
}

func TestRegularizerValidate(t *testing.T) {
	require.NoError(t, Regularizer{LambdaInput: 1, EpsilonInput: 0.1}.Validate())
	for want, r := range map[string]Regularizer{
		"LambdaInput = -1":     {LambdaInput: -1},
		"LambdaWeight = NaN":   {LambdaWeight: math.NaN()},
		"LambdaJoint = +Inf":   {LambdaJoint: math.Inf(1)},
		"EpsilonInput = -0.1":  {EpsilonInput: -0.1},
		"EpsilonWeight = -0.1": {EpsilonWeight: -0.1},
		"Mu = -2":              {Mu: -2},
	} {
		require.ErrorContains(t, r.Validate(), want)
		// A training with it is refused too.
		m, images, labels := small(t, true, 4)
		_, err := fit.Train(t.Context(), testengine.Quick(t), m, fit.Data{Images: images, Labels: labels},
			fit.Config{BatchSize: 2, Phases: []fit.Phase{{Epochs: 1, Loss: Regularized(fit.CrossEntropy(), r)}}})
		require.ErrorContains(t, err, want)
	}
}

// TestVerifyHolds: bounds of networks with and without biases hold, and are not vacuous.
func TestVerifyHolds(t *testing.T) {
	for _, noBias := range []bool{true, false} {
		m, images, labels := small(t, noBias, 20)
		threat := robust.Threat{Epsilon: 0.01, Weights: []float64{0.005}}
		v, err := Verify(t.Context(), testengine.Quick(t), m, images, labels, threat, VerifyConfig{Random: 10_000, Seed: 1})
		require.NoError(t, err)
		require.GreaterOrEqual(t, v.Random, 10_000)
		require.Equal(t, 20, v.Adversarial)
		require.Zero(t, v.Margin)
		require.Zero(t, v.IBP)
		require.Zero(t, v.Loss)
		require.Greater(t, v.MaxTightness, 0.3)
		require.LessOrEqual(t, v.MaxTightness, 1.0)
		require.Less(t, v.Clean, v.Attacked)
		require.Less(t, v.Attacked, v.Upper)
	}
}

// TestVerifyNegativeControl: bounds that are a little too small, or of a smaller threat, are found out by the attacks,
// each bound by its own count.
func TestVerifyNegativeControl(t *testing.T) {
	m, images, labels := small(t, true, 20)
	verifier, err := NewVerifier(testengine.Quick(t), m)
	require.NoError(t, err)
	defer verifier.Close()
	threat := robust.Threat{Epsilon: 0.01, Weights: []float64{0.005}}
	honest, err := verifier.Verify(t.Context(), images, labels, threat, VerifyConfig{Random: 2000})
	require.NoError(t, err)
	attacked := func(spoil func(b *Bounds)) (random, adversarial Verification) {
		b, err := verifier.certifier.Bounds(images, labels, threat)
		require.NoError(t, err)
		spoil(b)
		j, err := verifier.begin(images, labels, threat, b)
		require.NoError(t, err)
		require.NoError(t, j.random(t.Context(), 2000, 0, &random))
		require.NoError(t, j.adversarial(t.Context(), 20, &adversarial))
		return random, adversarial
	}
	// 5 % below what the strongest attack reached.
	_, a := attacked(func(b *Bounds) {
		for i := range b.Total {
			for j := range b.Total[i] {
				b.Total[i][j] *= 0.95 * honest.MaxTightness
			}
		}
	})
	require.Positive(t, a.Margin)
	require.Zero(t, a.IBP)
	require.Zero(t, a.Loss)
	_, a = attacked(func(b *Bounds) { copy(b.Upper, honest.AttackedLoss); b.Upper[3] -= 1e-4 })
	require.Equal(t, 1, a.Loss)
	require.Zero(t, a.Margin)
	r, a := attacked(func(b *Bounds) { b.IBP = b.Margin }) // the clean margin itself as bound
	require.Greater(t, a.IBP, 10)
	require.Positive(t, r.IBP, "random draws find that too")
	require.Zero(t, a.Margin+r.Margin)
	// The bound of the inputs alone does not hold under both.
	_, a = attacked(func(b *Bounds) {
		for i := range b.Total {
			for j := range b.Total[i] {
				b.Total[i][j] = b.Input[i][j] / 10
			}
		}
	})
	require.Positive(t, a.Margin)
}

// TestBoundsBadInput: one line each.
func TestBoundsBadInput(t *testing.T) {
	e := testengine.Quick(t)
	m, images, labels := small(t, false, 4)
	cnn, err := nets.NewCNN(nets.CNNConfig{Seed: 1})
	require.NoError(t, err)
	blank := tensors.FromFlatDataAndDimensions(make([]float32, 784), 1, 28, 28, 1)
	tanh, err := nets.NewMLP(nets.MLPConfig{Input: []int{6}, Hidden: []int{5}, Classes: 3, Activation: nets.ActTanh})
	require.NoError(t, err)
	good := robust.Threat{Epsilon: 0.01, Weights: []float64{0.001}}
	for want, call := range map[string]func() error{
		"does not end in dense":         func() error { _, err := NewCertifier(e, &nets.Model{Network: nets.Network{Name: "x"}}, 0); return err },
		"weight /conv_0/weights of CNN": func() error { _, err := MarginBounds(e, cnn, blank, labels[:1], good); return err },
		"inputs may move by 0.01, but not all of CNN": func() error {
			_, err := MarginBounds(e, cnn, blank, labels[:1], robust.Threat{Epsilon: 0.01})
			return err
		},
		"activation tanh can be negative: the bound needs a non-negative monotone activation": func() error {
			_, err := MarginBounds(e, tanh, images, labels, good)
			return err
		},
		"give a model":          func() error { _, err := NewCertifier(e, nil, 0); return err },
		"norm l2":               func() error { _, err := MarginBounds(e, m, images, labels, robust.Threat{Norm: robust.L2}); return err },
		"Epsilon = -0.05":       func() error { _, err := MarginBounds(e, m, images, labels, robust.Threat{Epsilon: -0.05}); return err },
		"3 labels for 4 images": func() error { _, err := MarginBounds(e, m, images, labels[:3], good); return err },
		"label 3 at row 0":      func() error { _, err := MarginBounds(e, m, images, []int32{3, 0, 0, 0}, good); return err },
		"model and images":      func() error { _, err := MarginBounds(e, m, nil, labels, good); return err },
		"2 entries for 6 weight": func() error {
			_, err := MarginBounds(e, m, images, labels, robust.Threat{Weights: []float64{0, 0}})
			return err
		},
		"outside the bounds [0, 1]": func() error {
			_, err := MarginBounds(e, m, tensors.FromValue([][]float32{{0, 0, 0, 0, 0, 1.7}}), labels[:1], good)
			return err
		},
	} {
		err := call()
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
}
