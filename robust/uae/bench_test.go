package uae

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/peer"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// benchAutoencoder is that of the paper for 28x28 images, with random weights: 5x5 convolutions to 16, 8, 8, 16 and 1 channels, two
// poolings, two doublings.
func benchAutoencoder(b testing.TB) *nets.Model {
	rng := rand.New(rand.NewPCG(1, 1))
	store := model.NewStore()
	m := &nets.Model{Network: nets.Network{Name: "conv autoencoder", Store: store}, InputShape: []int{28, 28, 1}, Upper: 1, Classes: 784}
	widths := []int{1, 16, 8, 8, 16, 1}
	for i := range 5 {
		flat := make([]float32, 25*widths[i]*widths[i+1])
		for k := range flat {
			flat[k] = float32(rng.NormFloat64() * math.Sqrt(2/float64(25*widths[i])))
		}
		kernel := tensors.FromFlatDataAndDimensions(flat, 5, 5, widths[i], widths[i+1])
		v, err := store.RootScope().CreateVariable(fmt.Sprintf("kernel%d", i), kernel)
		require.NoError(b, err)
		m.WeightPaths = append(m.WeightPaths, v.Path())
		m.Body = append(m.Body, nets.Stage{Name: fmt.Sprint("conv ", i+1), Graph: func(scope *model.Scope, x *Node) *Node {
			if i == 1 || i == 2 {
				x = nets.MaxPool2D(x, 2)
			}
			if i >= 3 {
				d := x.Shape().Dimensions
				x = Reshape(BroadcastToDims(InsertAxes(x, 2, 3), d[0], d[1], 2, d[2], 2, d[3]), d[0], 2*d[1], 2*d[2], d[3])
			}
			x = nets.Conv2D(x, scope.Store().GetVariable("/"+v.Name()).NodeValue(x.Graph()))
			if i == 4 {
				return Sigmoid(x)
			}
			return nets.ReLU(x)
		}})
	}
	m.Logits = func(scope *model.Scope, x *Node) *Node {
		for _, s := range m.Body {
			x = s.Graph(scope, x)
		}
		return x
	}
	return m
}

// BenchmarkUAE makes examples of 28x28 images on the paper's convolutional autoencoder, in the tuned setting and in that of the authors'
// code, beside the same algorithm in PyTorch, image after image, where BENCH_PYTHON names a Python that has it. Steps are fewer than a
// search has, and there are fewer images than 64: both take time in proportion.
func BenchmarkUAE(b *testing.B) {
	for _, c := range []struct {
		name   string
		images int
		s      Search
	}{
		{"tuned", 8, Search{StepSize: 0.1, Steps: 30, EstimatorSteps: 1, EstimatorRate: 1e-4, Hidden: 64}},
		{"faithful", 2, Search{Steps: 2}},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, m := testengine.Get(b), benchAutoencoder(b)
			o, err := Reconstruction(m)
			require.NoError(b, err)
			x, err := FirstConv(m)
			require.NoError(b, err)
			rng := rand.New(rand.NewPCG(2, 2))
			flat := make([]float32, c.images*784)
			for i := range flat {
				flat[i] = rng.Float32()
			}
			images := tensors.FromFlatDataAndDimensions(flat, c.images, 28, 28, 1)
			run := func() {
				_, err := c.s.Generate(context.Background(), e, o, x, images)
				require.NoError(b, err)
			}
			other := peer.Start(b, "testdata/torch_uae.py")
			if other == nil {
				peer.CompareCPU(b, "PyTorch", run, nil)
				return
			}
			b.Run("cpu", func(b *testing.B) { peer.CompareCPU(b, "PyTorch", run, func() float64 { return other(c.name) }) })
			b.Run("wall", func(b *testing.B) { peer.Compare(b, "PyTorch", run, func() float64 { return other("wall " + c.name) }) })
		})
	}
}
