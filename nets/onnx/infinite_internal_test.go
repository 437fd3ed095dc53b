package onnx

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
)

// TestInfiniteValues: values that are carried beside their slopes stay what they are where they are infinite, and what a mask
// shuts out has slope 0.
func TestInfiniteValues(t *testing.T) {
	inf := math.Inf(1)
	v := &values{g: &network{infinite: true}}
	zeroed := func(x *Node) *Node { // as exporters do with what a mask left without any key
		y := v.softmaxOf(x, 1)
		return Where(IsNaN(y), ZerosLike(y), y)
	}
	first := func(x *Node) *Node { return Mul(x, Const(x.Graph(), [][]float64{{1, 0}, {1, 0}})) }
	for name, c := range map[string]struct {
		f              func(x *Node) *Node
		x              [][]float64
		values, slopes []float64
	}{
		"atan": {atan, [][]float64{{inf, -inf}}, []float64{math.Pi / 2, -math.Pi / 2}, []float64{0, 0}},
		"max": {func(x *Node) *Node { return reduceMax(x, []int{1}) }, [][]float64{{1, -inf}, {-inf, -inf}}, []float64{1, -inf},
			[]float64{1, 0, 0, 0}},
		"softmax": {func(x *Node) *Node { return first(zeroed(x)) }, [][]float64{{0, 0}, {-inf, -inf}}, []float64{0.5, 0, 0, 0},
			[]float64{0.25, -0.25, 0, 0}},
	} {
		out, err := CallOnceN(hostBackend(), func(x *Node) []*Node {
			y := c.f(x)
			return []*Node{y, Gradient(ReduceAllSum(y), x)[0]}
		}, c.x)
		require.NoError(t, err, name)
		got, slopes := tensors.MustCopyFlatData[float64](out[0]), tensors.MustCopyFlatData[float64](out[1])
		for i, want := range c.values {
			require.True(t, got[i] == want || math.Abs(got[i]-want) < 1e-12, "%s: %v, want %v", name, got, c.values)
		}
		require.InDeltaSlice(t, c.slopes, slopes, 1e-12, name)
	}
}
