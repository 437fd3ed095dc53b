package nets_test

import (
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// BenchmarkPool measures value and gradient of the reference CNN's first two layers, the convolution of one channel and
// the pooling, as they are and as XLA would do them: why they are what they are.
func BenchmarkPool(b *testing.B) {
	xla := func(x *Node) *Node { return MaxPool(x).Window(2).Strides(2).Done() }
	for _, c := range []struct {
		name string
		f    func(x, kernel *Node) *Node
	}{
		{"fused", nets.ConvMaxPool2D},
		{"masks", func(x, kernel *Node) *Node { return nets.MaxPool2D(nets.Conv2D(x, kernel), 2) }},
		{"xla", func(x, kernel *Node) *Node { return xla(nets.Conv2D(x, kernel)) }},
	} {
		b.Run(c.name, func(b *testing.B) { timed(b, inputGradient(c.f), []int{128, 28, 28, 1}, []int{3, 3, 1, 32}) })
	}
}

// BenchmarkLimit measures how near the reference CNN's second convolution, which does most of its work, comes to the
// fastest that XLA multiplies on this machine.
func BenchmarkLimit(b *testing.B) {
	rate := func(b *testing.B, flops float64) {
		b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
	}
	b.Run("product", func(b *testing.B) {
		timed(b, func(x, y *Node) *Node { return MatMul(x, y) }, []int{1024, 1024}, []int{1024, 1024})
		rate(b, 2*1024*1024*1024)
	})
	b.Run("convolution", func(b *testing.B) { // value and input gradient
		timed(b, inputGradient(nets.Conv2D), []int{128, 14, 14, 32}, []int{3, 3, 32, 64})
		rate(b, 2*2*128*14*14*9*32*64)
	})
}

// inputGradient is the gradient of the sum of squares of f with respect to x.
func inputGradient(f func(x, kernel *Node) *Node) func(x, kernel *Node) *Node {
	return func(x, kernel *Node) *Node { return Gradient(ReduceAllSum(Square(f(x, kernel))), x)[0] }
}

// timed runs f b.N times on random arrays of these shapes.
func timed(b *testing.B, f func(x, y *Node) *Node, xDims, yDims []int) {
	rng := rand.New(rand.NewPCG(1, 1))
	draw := func(dims []int) *tensors.Tensor {
		t := tensors.FromShape(mustShape(dims...))
		tensors.MustMutableFlatData(t, func(values []float32) {
			for i := range values {
				values[i] = rng.Float32() - 0.5
			}
		})
		return t
	}
	exec, err := NewExec(testengine.Get(b).Backend(), f)
	require.NoError(b, err)
	x, y := draw(xDims), draw(yDims)
	run := func() {
		out, err := exec.Call(x, y)
		require.NoError(b, err)
		require.NoError(b, out[0].FinalizeAll())
	}
	run()
	b.ResetTimer()
	for range b.N {
		run()
	}
}
