package scoring

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
)

// native builds the network of notebooks/models/make_mnist_cnn.py here and gives it the file's weights: kernels from
// [outputs, inputs, height, width], and the rows of the first dense layer from channels first to channels last.
func native(t *testing.T, file *nets.Model) *nets.Model {
	t.Helper()
	m, err := nets.NewCNN(nets.CNNConfig{Channels: []int{8, 16}, Dense: 24})
	require.NoError(t, err)
	from, to := file.Weights(), m.Weights()
	require.Len(t, from, len(to))
	for i, target := range to {
		flat, dims := tensors.MustCopyFlatData[float32](from[i].MustValue()), from[i].Shape().Dimensions
		moved := make([]float32, len(flat))
		switch {
		case len(dims) == 4:
			out, in, h, w := dims[0], dims[1], dims[2], dims[3]
			for o := range out {
				for c := range in {
					for k := range h * w {
						moved[(k*in+c)*out+o] = flat[(o*in+c)*h*w+k]
					}
				}
			}
		case len(dims) == 2 && dims[0] == 784:
			for c := range 16 {
				for p := range 49 {
					copy(moved[(p*16+c)*24:(p*16+c+1)*24], flat[(c*49+p)*24:])
				}
			}
		default:
			copy(moved, flat)
		}
		require.NoError(t, target.SetValue(tensors.FromFlatDataAndDimensions(moved, target.Shape().Dimensions...)))
	}
	return m
}

// A network from an ONNX file has the curves, scores and baselines of the same network built here, at every layer.
func TestONNXScoresEqualNative(t *testing.T) {
	file, err := onnx.Load("../notebooks/models/mnist_cnn.onnx", onnx.Options{})
	require.NoError(t, err)
	own := native(t, file)
	const n = 120
	rng := rand.New(rand.NewPCG(1, 1))
	pixels, labels := make([]float32, n*784), make([]int32, n)
	for i := range labels {
		labels[i] = int32(i % 10)
		y, x := 4+rng.IntN(12), 4+rng.IntN(12)
		for k := range 784 {
			if dy, dx := k/28-y, k%28-x; dy >= 0 && dy < 4+i%7 && dx >= 0 && dx < 4+i%5 {
				pixels[i*784+k] = 0.5 + rng.Float32()/2
			}
		}
	}
	first := fit.Data{Images: tensors.FromFlatDataAndDimensions(pixels, n, 1, 28, 28), Labels: labels}
	last := fit.Data{Images: tensors.FromFlatDataAndDimensions(pixels, n, 28, 28, 1), Labels: labels}
	a, b := responder(t, file, ResponseOptions{Seed: 2}), responder(t, own, ResponseOptions{Seed: 2})
	require.Len(t, a.Stages, len(b.Stages))
	// Labels that the network itself gives, so that the curves start at 1.
	for i, m := range predictions(t, b, last) {
		labels[i] = m
	}
	varied := 0
	for layer := range a.Stages {
		for _, p := range everyPerturbation {
			if needs := p.Needs(); layer > 0 && (needs.Pixels || needs.Noise) || needs.Partner == SameClass && !twice(labels) {
				continue
			}
			one, err := a.Respond(context.Background(), first, p, layer)
			require.NoError(t, err)
			other, err := b.Respond(context.Background(), last, p, layer)
			require.NoError(t, err)
			require.Equal(t, 1., mustAt(t, other, 0))
			require.InDeltaSlice(t, one.Accuracies, other.Accuracies, 1./n+1e-12, "%s at %d", p.Name(), layer) // one near tie may fall either way
			if other.Accuracies[len(other.Accuracies)-1] < 1 {
				varied++
			}
		}
	}
	require.Greater(t, varied, 4)
	intra := Curve{Magnitudes: []float64{0, 0.5}, Accuracies: []float64{1, 0.9}}
	one, err := a.Baselines(context.Background(), first, intra)
	require.NoError(t, err)
	other, err := b.Baselines(context.Background(), last, intra)
	require.NoError(t, err)
	for _, name := range []string{Frobenius, Spectral, Margin, TrainingError, DaviesBouldin} {
		require.InDelta(t, one[name], other[name], 1e-4*(1+max(one[name], -one[name])), name)
	}
}

func mustAt(t *testing.T, c Curve, magnitude float64) float64 {
	t.Helper()
	v, err := c.At(magnitude)
	require.NoError(t, err)
	return v
}

// twice tells whether each class has two examples.
func twice(labels []int32) bool {
	seen := map[int32]int{}
	for _, y := range labels {
		seen[y]++
	}
	for _, n := range seen {
		if n < 2 {
			return false
		}
	}
	return true
}

func predictions(t *testing.T, r *Responder, d fit.Data) []int32 {
	t.Helper()
	exec, err := r.exec("margins", marginGraph(r.Model))
	require.NoError(t, err)
	rows := make([]int32, len(d.Labels))
	for i := range rows {
		rows[i] = int32(i)
	}
	out, err := exec.Call(d.Images, rows, d.Labels)
	require.NoError(t, err)
	return tensors.MustCopyFlatData[int32](out[1])
}
