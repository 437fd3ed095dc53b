package weights

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/certify"

	"github.com/gomlx/gomlx/core/tensors"
)

// TestRademacherBound: values worked out by hand from the formula, and how it scales.
func TestRademacherBound(t *testing.T) {
	bound := func(norms []float64, b float64, d, n int) float64 {
		r, err := RademacherBound(norms, b, d, n)
		require.NoError(t, err)
		return r
	}
	require.InDelta(t, 0.1213058630, bound([]float64{1}, 1, 784, 1000), 1e-9)
	require.InDelta(t, 3.3302184446, bound([]float64{2, 2.5, 1}, 1, 2, 100), 1e-9)
	require.InEpsilon(t, 2*bound([]float64{2, 3}, 1, 5, 100), bound([]float64{2, 6}, 1, 5, 100), 1e-12)
	require.InEpsilon(t, bound([]float64{2, 3}, 1, 5, 100)/2, bound([]float64{2, 3}, 1, 5, 400), 1e-12)
	require.InEpsilon(t, 3*bound([]float64{2, 3}, 1, 5, 100), bound([]float64{2, 3}, 3, 5, 100), 1e-12)
	require.Zero(t, bound([]float64{2, 0}, 1, 5, 100))
	for want, call := range map[string]func() error{
		"no layer norms":     func() error { _, err := RademacherBound(nil, 1, 2, 3); return err },
		"infNorms[1] = -1":   func() error { _, err := RademacherBound([]float64{1, -1}, 1, 2, 3); return err },
		"infNorms[0] = NaN":  func() error { _, err := RademacherBound([]float64{math.NaN()}, 1, 2, 3); return err },
		"inputMax = -2":      func() error { _, err := RademacherBound([]float64{1}, -2, 2, 3); return err },
		"inputDim = 0":       func() error { _, err := RademacherBound([]float64{1}, 1, 0, 3); return err },
		"n = 0: must be at ": func() error { _, err := RademacherBound([]float64{1}, 1, 2, 0); return err },
	} {
		require.ErrorContains(t, call(), want)
	}
}

// TestRademacherMonteCarlo: for linear classes the complexity itself can be computed, E max_c |Σ σ_i x_ic| s / n; the
// bound lies above it, by less than a factor of 3.
func TestRademacherMonteCarlo(t *testing.T) {
	const d, n = 784, 1000
	rng := rand.New(rand.NewPCG(31, 32))
	x := make([][]float64, n)
	for i := range x {
		for range d {
			x[i] = append(x[i], 2*rng.Float64()-1)
		}
	}
	mean := 0.0
	const draws = 30
	for range draws {
		sums := make([]float64, d)
		for i := range x {
			sign := float64(2*rng.IntN(2) - 1)
			for c, v := range x[i] {
				sums[c] += sign * v
			}
		}
		largest := 0.0
		for _, s := range sums {
			largest = max(largest, math.Abs(s))
		}
		mean += largest / n / draws
	}
	bound, err := RademacherBound([]float64{1}, 1, d, n)
	require.NoError(t, err)
	require.InDelta(t, 0.0612, mean, 0.004)
	require.Greater(t, bound, mean)
	require.Less(t, bound, 3*mean)
}

// shapeOf takes the sizes of a network without biases.
func shapeOf(t *testing.T, m *nets.Model) Shape {
	t.Helper()
	norms, err := InfNorms(m)
	require.NoError(t, err)
	s := Shape{InfNorms: norms, InputMax: m.Upper, Classes: m.Classes}
	for _, l := range m.Dense {
		s.Widths = append(s.Widths, m.Store.GetVariable(l.Weight).Shape().Dimensions[0])
	}
	last := m.Store.GetVariable(m.Dense[len(m.Dense)-1].Weight)
	w := tensors.MustCopyFlatData[float32](last.MustValue())
	for i := range m.Classes {
		for j := range m.Classes {
			gap := 0.0
			for h := range last.Shape().Dimensions[0] {
				gap += math.Abs(float64(w[h*m.Classes+i]) - float64(w[h*m.Classes+j]))
			}
			s.OutputGap = max(s.OutputGap, gap)
		}
	}
	return s
}

// TestMaxDrop: no input's margin bound is above that of the shape, and 0 stays 0.
func TestMaxDrop(t *testing.T) {
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{6}, Hidden: []int{5, 4}, Classes: 3, NoBias: true, Seed: 3})
	require.NoError(t, err)
	s := shapeOf(t, m)
	rng := rand.New(rand.NewPCG(33, 34))
	pixels, labels := make([]float32, 50*6), make([]int32, 50)
	for i := range pixels {
		pixels[i] = rng.Float32()
	}
	for _, radii := range [][]float64{{0.01, 0.01, 0.01}, {0.1, 0, 0}, {0, 0.1, 0}, {0, 0, 0.1}} {
		x := tensors.FromFlatDataAndDimensions(pixels, 50, 6)
		b, err := certify.MarginBounds(testengine.Training(t), m, x, labels, robust.Threat{Weights: radii})
		require.NoError(t, err)
		most, err := s.MaxDrop(radii)
		require.NoError(t, err)
		largest := 0.0
		for _, drops := range b.Total {
			for _, d := range drops {
				largest = max(largest, d)
			}
		}
		require.Positive(t, largest)
		require.Greater(t, most, largest)
	}
	none, err := s.MaxDrop([]float64{0, 0, 0})
	require.NoError(t, err)
	require.Zero(t, none)
	_, err = s.MaxDrop([]float64{0.1})
	require.ErrorContains(t, err, "1 radii and 3 widths for 3 layers")
	_, err = s.MaxDrop([]float64{0.1, -1, 0})
	require.ErrorContains(t, err, "epsilons[1] = -1")
}

// TestMaxDropClosedForm: one hidden layer, by hand: ū_0 = 2·1, ū_1 = 3·(0.5 + 2·0.1) = 2.1; the drop is
// gap·0.1·ū_0 + 2·0.2·ū_1.
func TestMaxDropClosedForm(t *testing.T) {
	s := Shape{InfNorms: []float64{0.5, 2}, Widths: []int{2, 3}, OutputGap: 1.5, InputMax: 1, Classes: 2}
	drop, err := s.MaxDrop([]float64{0.1, 0.2})
	require.NoError(t, err)
	require.InDelta(t, 1.5*0.1*2+2*0.2*2.1, drop, 1e-12)
}

// TestGeneralization: each term by its formula; radii 0 leave the bound without perturbation; a bound with more examples is
// tighter; what is certified and easy has no ramp loss.
func TestGeneralization(t *testing.T) {
	s := Shape{InfNorms: []float64{0.5, 2}, Widths: []int{2, 3}, OutputGap: 1.5, InputMax: 1, Classes: 2}
	margins := []float64{3, 1, 0.25, -1}
	b, err := Generalization(s, margins, []float64{0, 0}, 0.5, 0.1)
	require.NoError(t, err)
	require.InDelta(t, (0+0+0.5+1)/4, b.Ramp, 1e-12)
	r, err := RademacherBound(s.InfNorms, 1, 2, 4)
	require.NoError(t, err)
	require.InDelta(t, 4*4*r, b.Complexity, 1e-12)
	require.Zero(t, b.Perturbation)
	require.InDelta(t, 3*math.Sqrt(math.Log(20)/8), b.Confidence, 1e-12)
	require.InDelta(t, b.Ramp+b.Complexity+b.Confidence, b.Total, 1e-12)

	drop, err := s.MaxDrop([]float64{0.1, 0.1})
	require.NoError(t, err)
	moved, err := Generalization(s, margins, []float64{0.1, 0.1}, 0.5, 0.1)
	require.NoError(t, err)
	require.InDelta(t, drop/0.5/2, moved.Perturbation, 1e-12)
	require.Greater(t, moved.Ramp, b.Ramp)
	require.Greater(t, moved.Total, b.Total)
	for want, call := range map[string]func() error{
		"no margins":      func() error { _, err := Generalization(s, nil, []float64{0, 0}, 1, 0.1); return err },
		"gamma = 0":       func() error { _, err := Generalization(s, margins, []float64{0, 0}, 0, 0.1); return err },
		"delta = 1":       func() error { _, err := Generalization(s, margins, []float64{0, 0}, 1, 1); return err },
		"margin 0 is NaN": func() error { _, err := Generalization(s, []float64{math.NaN()}, []float64{0, 0}, 1, 0.1); return err },
		"0 classes":       func() error { _, err := Generalization(Shape{}, margins, nil, 1, 0.1); return err },
	} {
		require.ErrorContains(t, call(), want)
	}
}
