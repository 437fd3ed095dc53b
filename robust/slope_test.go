package robust_test

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust"
)

// TestSlopes: of Σ c·√x + a·x the slope is c/(2√x) + a by hand, infinite at black pixels, and NaN where c is 0 there.
func TestSlopes(t *testing.T) {
	exec, err := NewExec(testengine.Quick(t).Backend(), func(x, c, a *Node) *Node {
		return robust.Slopes(ReduceAllSum(Add(Mul(c, Sqrt(x)), Mul(a, x))), x)[0]
	})
	require.NoError(t, err)
	defer exec.Finalize()
	const huge = 3e38
	for _, c := range []struct{ x, c, a, want [][]float32 }{
		{[][]float32{{1, 0.25, 4}}, [][]float32{{2, -1, 4}}, [][]float32{{0, 1, 0}}, [][]float32{{1, 0, 1}}}, // finite: as they are
		{ // black pixels with a direction get the mean size of the others, (1+3)/2; one without has no vote
			[][]float32{{1, 1, 0, 0, 0, 1}}, [][]float32{{2, -6, 1, -1, 0, 0}}, [][]float32{{0, 0, 0, 0, 5, 0}},
			[][]float32{{1, -3, 2, -2, 0, 0}}},
		{ // each example for itself, and all black
			[][]float32{{1, 0}, {1, 0}, {0, 0}}, [][]float32{{2, 1}, {20, 1}, {1, -1}}, [][]float32{{0, 0}, {0, 0}, {0, 0}},
			[][]float32{{1, 1}, {10, 10}, {1, -1}}},
		{ // sizes whose sum overflows
			[][]float32{{1, 1, 1, 0}}, [][]float32{{0, 0, 0, -1}}, [][]float32{{huge, -huge, huge, 0}},
			[][]float32{{huge, -huge, huge, -huge}}},
	} {
		got, err := exec.Call1(c.x, c.c, c.a)
		require.NoError(t, err)
		for i, row := range got.Value().([][]float32) {
			for j, v := range row {
				want := float64(c.want[i][j])
				require.InDelta(t, want, v, 1e-5*math.Abs(want), "example %d, pixel %d", i, j)
			}
		}
	}
}

// TestSteepestOfVastSlopes: slopes near float32's largest number give a step of the right length in each norm.
func TestSteepestOfVastSlopes(t *testing.T) {
	box := robust.Box{Lower: 0, Upper: 1}
	for norm, want := range map[robust.Norm][]float64{
		robust.Linf: {0.1, -0.1, 0.1, 0}, robust.L2: {0.1 * 2 / 3, -0.1 * 2 / 3, 0.1 / 3, 0}, robust.L1: {0.05, -0.05, 0, 0},
	} {
		exec, err := NewExec(testengine.Quick(t).Backend(), func(g, x, size *Node) *Node {
			return robust.Steepest(norm, g, x, size, box)
		})
		require.NoError(t, err)
		got, err := exec.Call1([][]float32{{2e38, -2e38, 1e38, 0}}, [][]float32{{0.5, 0.5, 0.5, 0.5}}, float32(0.1))
		require.NoError(t, err)
		for i, v := range tensors.MustCopyFlatData[float32](got) {
			require.InDelta(t, want[i], v, 1e-6, "%s, pixel %d", norm, i)
		}
		exec.Finalize()
	}
}

// TestReachOfFlatAndSteepPlanes: no slope at all, and quotients that overflow, give finite ways; without a slope none.
func TestReachOfFlatAndSteepPlanes(t *testing.T) {
	box := robust.Box{Lower: 0, Upper: 1}
	for _, norm := range []robust.Norm{robust.Linf, robust.L2, robust.L1} {
		exec, err := NewExec(testengine.Quick(t).Backend(), func(x, w, gain *Node) *Node { return robust.Reach(norm, x, w, gain, box) })
		require.NoError(t, err)
		got, err := exec.Call1([][]float32{{0.5, 0.5}, {0.5, 0.5}, {0.5, 0.5}}, [][]float32{{0, 0}, {1e-25, 0}, {1e15, 0}},
			[][]float32{{1e35}, {1e35}, {2e14}})
		require.NoError(t, err)
		for i, v := range tensors.MustCopyFlatData[float32](got) {
			require.False(t, math.IsNaN(float64(v)), norm)
			if want := []float64{0, 0, 0.5, 0, 0.2, 0}[i]; i != 3 { // beyond the box, a pixel without a slope may do as it likes
				require.InDelta(t, want, v, 1e-6, "%s: value %d", norm, i)
			}
		}
		exec.Finalize()
	}
}
