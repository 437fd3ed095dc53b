package nets_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// TestSmallConvMaxPool2D compares values and gradients with those of the convolution and the pooling one after the other. Part
// of the image is blank, as most of a digit's is: there all four values of a window are equal, and the first has the gradient.
func TestSmallConvMaxPool2D(t *testing.T) {
	plain := func(x, kernel *Node) *Node { return nets.MaxPool2D(nets.Conv2D(x, kernel), 2) }
	both := func(f func(x, kernel *Node) *Node) func(x, kernel *Node) []*Node {
		return func(x, kernel *Node) []*Node {
			y := f(x, kernel)
			loss := ReduceAllSum(Mul(y, Sin(IotaFull(x.Graph(), y.Shape()))))
			return append([]*Node{y}, Gradient(loss, x, kernel)...)
		}
	}
	rng := rand.New(rand.NewPCG(3, 3))
	draw := func(blank int, dims ...int) *tensors.Tensor {
		values := make([]float32, mustShape(dims...).Size())
		for i := blank; i < len(values); i++ {
			values[i] = rng.Float32() - 0.5
		}
		return tensors.FromFlatDataAndDimensions(values, dims...)
	}
	for _, c := range [][4]int{{6, 8, 1, 3}, {7, 5, 3, 8}, {6, 6, 8, 16}, {5, 4, 6, 32}, {4, 4, 9, 2}, {4, 4, 2, 33}} {
		x, kernel := draw(3*c[1]*c[2], 2, c[0], c[1], c[2]), draw(0, 3, 3, c[2], c[3])
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			var found [2][]*tensors.Tensor
			for i, f := range []func(x, kernel *Node) *Node{nets.SmallConvMaxPool2D, plain} {
				exec, err := NewExec(testengine.Quick(t).Backend(), both(f))
				require.NoError(t, err)
				found[i], err = exec.Call(x, kernel)
				require.NoError(t, err)
			}
			for i, want := range found[1] {
				require.Equal(t, want.Shape(), found[0][i].Shape())
				require.InDeltaSlice(t, tensors.MustCopyFlatData[float32](want), tensors.MustCopyFlatData[float32](found[0][i]), 1e-4)
			}
		})
	}
}

// TestSmallConvMaxPool2DTwice differentiates the square of a gradient's length, as losses that hold gradients are.
func TestSmallConvMaxPool2DTwice(t *testing.T) {
	twice := func(f func(x, kernel *Node) *Node) func(x, kernel *Node) []*Node {
		return func(x, kernel *Node) []*Node {
			slope := Gradient(ReduceAllSum(Square(f(x, kernel))), x)[0]
			return Gradient(ReduceAllSum(Square(slope)), x, kernel)
		}
	}
	rng := rand.New(rand.NewPCG(4, 4))
	var args []any
	for _, dims := range [][]int{{2, 6, 6, 2}, {3, 3, 2, 5}} {
		values := make([]float32, mustShape(dims...).Size())
		for i := range values {
			values[i] = rng.Float32() - 0.5
		}
		args = append(args, tensors.FromFlatDataAndDimensions(values, dims...))
	}
	var found [2][]*tensors.Tensor
	for i, f := range []func(x, kernel *Node) *Node{nets.SmallConvMaxPool2D, nets.ConvMaxPool2D} {
		exec, err := NewExec(testengine.Quick(t).Backend(), twice(f))
		require.NoError(t, err)
		found[i], err = exec.Call(args...)
		require.NoError(t, err)
	}
	for i, want := range found[1] {
		require.InDeltaSlice(t, tensors.MustCopyFlatData[float32](want), tensors.MustCopyFlatData[float32](found[0][i]), 1e-3)
	}
}
