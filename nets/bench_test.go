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
		b.Run(c.name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			draw := func(dims ...int) *tensors.Tensor {
				t := tensors.FromShape(mustShape(dims...))
				tensors.MustMutableFlatData(t, func(values []float32) {
					for i := range values {
						values[i] = rng.Float32() - 0.5
					}
				})
				return t
			}
			exec, err := NewExec(testengine.Get(b).Backend(), func(x, kernel *Node) *Node {
				return Gradient(ReduceAllSum(Square(c.f(x, kernel))), x)[0]
			})
			require.NoError(b, err)
			x, kernel := draw(128, 28, 28, 1), draw(3, 3, 1, 32)
			run := func() {
				out, err := exec.Call(x, kernel)
				require.NoError(b, err)
				require.NoError(b, out[0].FinalizeAll())
			}
			run()
			b.ResetTimer()
			for range b.N {
				run()
			}
		})
	}
}
