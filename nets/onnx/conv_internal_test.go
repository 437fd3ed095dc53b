package onnx

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// TestDoubles: convolutions of doubles, which are products of matrices, are those of floats, which are XLA's, and so are their
// gradients: of one to three sides, with strides, dilations and pads of all kinds.
func TestDoubles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(dims []int) *tensors.Tensor {
		x := tensors.FromShape(shapes.Make(dtypes.Float32, dims...))
		tensors.MustMutableFlatData(x, func(flat []float32) {
			for i := range flat {
				flat[i] = rng.Float32() - 0.5
			}
		})
		return x
	}
	for range 16 {
		w := nets.Windows{}
		var sides, kernel []int
		for range 1 + rng.IntN(3) {
			k, stride, dilation, size := 1+rng.IntN(4), 1+rng.IntN(3), 1+rng.IntN(2), 8+rng.IntN(4)
			pads := [2]int{rng.IntN(5) - 1, rng.IntN(5) - 1}
			w.Kernel, w.Stride, w.Dilation = append(w.Kernel, k), append(w.Stride, stride), append(w.Dilation, dilation)
			w.Pads, w.Out = append(w.Pads, pads), append(w.Out, (size+pads[0]+pads[1]-(k-1)*dilation-1)/stride+1)
			sides, kernel = append(sides, size), append(kernel, k)
		}
		inputs, outputs := 1+rng.IntN(3), 1+rng.IntN(3)
		x, k := draw(append(append([]int{2}, sides...), inputs)), draw(append(kernel, inputs, outputs))
		exec, err := NewExec(testengine.Quick(t).Backend(), func(x, k *Node) (all []*Node) {
			for _, kind := range []dtypes.DType{dtypes.Float32, dtypes.Float64} {
				x, k := ConvertDType(x, kind), ConvertDType(k, kind)
				y := convolution(x, k, w, 1)
				all = append(append(all, y), Gradient(ReduceAllSum(Sin(y)), x, k)...)
			}
			for i, float := range all[:3] {
				all[i] = ReduceAllMax(Abs(Sub(ConvertDType(float, dtypes.Float64), all[3+i])))
			}
			return all[:3]
		})
		require.NoError(t, err)
		found, err := exec.Call(x, k)
		require.NoError(t, err, fmt.Sprint(w))
		for _, f := range found {
			require.Less(t, tensors.ToScalar[float64](f), 2e-4, "%+v", w)
		}
	}
}
