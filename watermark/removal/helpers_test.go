package removal_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// blobs makes n images [8, 8, 1] of 3 classes, each a bright stripe at a place of its own plus noise.
func blobs(n int, seed uint64) fit.Data {
	rng := rand.New(rand.NewPCG(seed, 7))
	pixels, labels := make([]float32, n*64), make([]int32, n)
	for i := range labels {
		labels[i] = int32(i % 3)
		for p := range 64 {
			pixels[i*64+p] = 0.5 * rng.Float32()
			if p/8/2 == int(labels[i]) {
				pixels[i*64+p] += 0.4
			}
		}
	}
	return fit.Data{Images: tensors.FromFlatDataAndDimensions(pixels, n, 8, 8, 1), Labels: labels}
}

func cnn(t testing.TB, seed int64) *nets.Model {
	t.Helper()
	m, err := nets.NewCNN(nets.CNNConfig{Input: []int{8, 8, 1}, Channels: []int{4, 6}, Dense: 12, Classes: 3, Seed: seed})
	require.NoError(t, err)
	return m
}

func mlp(t testing.TB, hidden ...int) *nets.Model {
	t.Helper()
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{8, 8, 1}, Hidden: hidden, Classes: 3, Seed: 5})
	require.NoError(t, err)
	return m
}

// weights copies all weights, tensor by tensor.
func weights(t testing.TB, m *nets.Model) (all [][]float32) {
	t.Helper()
	for _, w := range m.Weights() {
		all = append(all, tensors.MustCopyFlatData[float32](w.MustValue()))
	}
	return all
}

// table is an endpoint that answers rows in turn, whatever it is asked.
type table struct {
	rows [][]float32
	saw  [][]float32 // the images that it was asked about
}

func (e *table) Probabilities(_ context.Context, x *tensors.Tensor) (*tensors.Tensor, error) {
	n := x.Shape().Dimensions[0]
	flat := tensors.MustCopyFlatData[float32](x)
	size := len(flat) / n
	var out []float32
	for i := range n {
		e.saw = append(e.saw, flat[i*size:(i+1)*size])
		out = append(out, e.rows[(len(e.saw)-1)%len(e.rows)]...)
	}
	return tensors.FromFlatDataAndDimensions(out, n, len(e.rows[0])), nil
}

// counting answers every image with the number of the question, from 1 on, and the image's sum.
type counting struct{ asked int }

func (e *counting) Name() string { return "counting" }

func (e *counting) Probabilities(_ context.Context, x *tensors.Tensor) (*tensors.Tensor, error) {
	n := x.Shape().Dimensions[0]
	out := make([]float32, n)
	for i := range out {
		e.asked++
		out[i] = float32(e.asked)
	}
	return tensors.FromFlatDataAndDimensions(out, n, 1), nil
}

// random makes n images of a shape with pixels in [0, 1].
func random(n int, shape ...int) *tensors.Tensor {
	rng := rand.New(rand.NewPCG(3, uint64(n)))
	size := n
	for _, d := range shape {
		size *= d
	}
	values := make([]float32, size)
	for i := range values {
		values[i] = rng.Float32()
	}
	return tensors.FromFlatDataAndDimensions(values, append([]int{n}, shape...)...)
}
