package weights

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
)

// TestQuantize: rounded weights lie on an even grid with the largest weight at its end, no farther from their own than
// RoundingRadii; biases and the network stay; rounding twice is rounding once.
func TestQuantize(t *testing.T) {
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{9}, Hidden: []int{7}, Classes: 4, Seed: 3})
	require.NoError(t, err)
	require.NoError(t, m.Weights()[1].SetValue(tensors.FromValue([]float32{0.1, -0.2, 0.3, 0.7, 0.5, -0.123, 0})))
	original := values(t, m)
	for _, bits := range []int{2, 3, 4, 8, 16} {
		rounded, err := Quantize(m, bits)
		require.NoError(t, err)
		radii, err := RoundingRadii(m, bits)
		require.NoError(t, err)
		levels := math.Exp2(float64(bits-1)) - 1
		for k, r := range rounded {
			got := tensors.MustCopyFlatData[float32](r)
			if r.Shape().Rank() < 2 {
				require.Equal(t, original[k], got)
				require.Zero(t, radii[k])
				continue
			}
			largest := 0.0
			for _, w := range original[k] {
				largest = max(largest, math.Abs(float64(w)))
			}
			for i, w := range got {
				level := float64(w) / largest * levels
				require.InDelta(t, math.Round(level), level, 1e-2)
				require.LessOrEqual(t, math.Abs(float64(w)-float64(original[k][i])), radii[k])
			}
			require.InDelta(t, largest/levels/2, radii[k], 1e-5*largest)
			distinct := slices.Clone(got)
			slices.Sort(distinct)
			require.LessOrEqual(t, len(slices.Compact(distinct)), int(2*levels)+1)
			require.InDelta(t, largest, max(float64(slices.Max(got)), -float64(slices.Min(got))), 1e-6)
		}
		again, err := m.Clone()
		require.NoError(t, err)
		for k, w := range again.Weights() {
			require.NoError(t, w.SetValue(rounded[k]))
		}
		twice, err := Quantize(again, bits)
		require.NoError(t, err)
		for k := range twice {
			require.InDeltaSlice(t, tensors.MustCopyFlatData[float32](rounded[k]), tensors.MustCopyFlatData[float32](twice[k]), 1e-6)
		}
	}
	require.Equal(t, original, values(t, m), "the network itself was touched")
	// Two bits: -1, 0 and 1 times the largest weight.
	first := append([]float32{-2, 1.1, 0.9, -0.3}, make([]float32, 24)...)
	require.NoError(t, m.Weights()[2].SetValue(tensors.FromFlatDataAndDimensions(first, 7, 4)))
	rounded, err := Quantize(m, 2)
	require.NoError(t, err)
	require.Equal(t, []float32{-2, 2, 0, 0}, tensors.MustCopyFlatData[float32](rounded[2])[:4])
	require.NoError(t, m.Weights()[2].SetValue(tensors.FromFlatDataAndDimensions(make([]float32, 28), 7, 4)))
	rounded, err = Quantize(m, 2)
	require.NoError(t, err)
	require.Equal(t, make([]float32, 28), tensors.MustCopyFlatData[float32](rounded[2]), "all zeros stay zeros")
	for _, bits := range []int{-1, 0, 1, 17} {
		_, err := Quantize(m, bits)
		require.ErrorContains(t, err, "bits: want 2 to 16")
		_, err = RoundingRadii(m, bits)
		require.ErrorContains(t, err, "bits: want 2 to 16")
	}
}

func values(t *testing.T, m *nets.Model) (all [][]float32) {
	t.Helper()
	for _, w := range m.Weights() {
		all = append(all, tensors.MustCopyFlatData[float32](w.MustValue()))
	}
	return all
}
