package fit

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// strokes are images [n, 6, 6, 1] with one bright row or column each.
func strokes(n int, seed uint64) Data {
	rng := rand.New(rand.NewPCG(seed, 5))
	pixels := make([]float32, n*36)
	for i := range n {
		across, at := rng.IntN(2) == 0, rng.IntN(6)
		for k := range 6 {
			if across {
				pixels[i*36+at*6+k] = 1
			} else {
				pixels[i*36+k*6+at] = 1
			}
		}
	}
	return Data{Images: tensors.FromFlatDataAndDimensions(pixels, n, 6, 6, 1)}
}

func autoencoder(t *testing.T, channels ...int) *nets.VAE {
	t.Helper()
	c := nets.VAEConfig{Input: []int{6, 6, 1}, Hidden: []int{24, 16}, Latent: 3, Seed: 1}
	if len(channels) > 0 {
		c.Channels, c.Hidden = channels, []int{24}
	}
	v, err := nets.NewVAE(c)
	require.NoError(t, err)
	return v
}

// A dense and a convolutional autoencoder learn which images there are: the bound falls far below what independent pixels
// cost, 36 times 0.45 nats, and a decoded image is near to its original.
func TestVAELearns(t *testing.T) {
	for _, channels := range [][]int{nil, {8}} {
		v := autoencoder(t, channels...)
		images := strokes(600, 1)
		c := VAEConfig{Epochs: 60, BatchSize: 50, Rule: Rule{LearningRate: 5e-3}, Seed: 1}
		losses, err := TrainVAE(t.Context(), testengine.Quick(t), v, images, c, Options{})
		require.NoError(t, err)
		require.Len(t, losses[VAELoss], 60)
		last := losses[VAELoss][59]
		t.Log(v.Name, last)
		require.Less(t, last, 7.)
		p, err := nets.NewPart(testengine.Quick(t).Backend(), v, "", nets.LayerPixels, 0)
		require.NoError(t, err)
		flat := tensors.MustCopyFlatData[float32](images.Images)
		decoded, err := p.Of(slices.Collect(slices.Chunk(flat, 36)))
		require.NoError(t, err)
		wrong := 0
		for i, image := range decoded {
			for j, pixel := range image {
				if (pixel > 0.5) != (flat[i*36+j] > 0.5) {
					wrong++
				}
			}
		}
		require.Less(t, wrong, 600*36/50)
	}
}

// Stopped after any step, the training ends with the same weights; other images, settings or seeds are other trainings.
func TestVAEResumes(t *testing.T) {
	e, images, c, dir := testengine.Quick(t), strokes(100, 1), VAEConfig{Epochs: 3, BatchSize: 30, Seed: 2}, t.TempDir()
	values := func(v *nets.VAE) (all [][]float32) {
		for _, w := range v.Weights() {
			value, err := w.Value()
			require.NoError(t, err)
			all = append(all, tensors.MustCopyFlatData[float32](value))
		}
		return all
	}
	want := autoencoder(t)
	losses, err := TrainVAE(t.Context(), e, want, images, c, Options{})
	require.NoError(t, err)
	v := autoencoder(t)
	for _, after := range []int{1, 3, 4} {
		ctx, cancel := context.WithCancel(t.Context())
		done := 0
		p := &counter{each: func(int) {
			if done++; done == after {
				cancel()
			}
		}}
		_, err := TrainVAE(ctx, e, v, images, c, Options{Dir: dir, Progress: p})
		cancel()
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, values(autoencoder(t)), values(v), "a stopped run leaves the weights alone")
	}
	got, err := TrainVAE(t.Context(), e, v, images, c, Options{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, losses, got)
	require.Equal(t, values(want), values(v))

	keys := map[string]bool{}
	for _, change := range []func(images *Data, c *VAEConfig){
		func(*Data, *VAEConfig) {}, func(images *Data, _ *VAEConfig) { *images = strokes(100, 2) }, func(_ *Data, c *VAEConfig) { c.Epochs++ },
		func(_ *Data, c *VAEConfig) { c.BatchSize++ }, func(_ *Data, c *VAEConfig) { c.Seed++ },
		func(_ *Data, c *VAEConfig) { c.Rule.LearningRate = 0.1 },
	} {
		images, c := images, c
		change(&images, &c)
		key, err := VAEKey(e, autoencoder(t), images, c)
		require.NoError(t, err)
		require.False(t, keys[key])
		keys[key] = true
	}
}

// The gradient of the bound agrees with central differences, for fixed random numbers.
func TestVAEGradient(t *testing.T) {
	v := autoencoder(t)
	images := strokes(4, 3).Images
	exec, err := model.NewExec(testengine.Quick(t).Backend(), v.Store, func(scope *model.Scope, x *Node) []*Node {
		reconstruction, divergence := v.NegativeELBO(scope, x)
		value := ReduceAllSum(Add(reconstruction, divergence))
		nodes := []*Node{value}
		for _, w := range v.Weights() {
			nodes = append(nodes, w.NodeValue(x.Graph()))
		}
		return append(nodes[:1], Gradient(value, nodes[1:]...)...)
	})
	require.NoError(t, err)
	at := func() [][]float32 {
		require.NoError(t, v.Store.SetRNGStateFromSeed(1))
		out, err := exec.Call(images)
		require.NoError(t, err)
		var all [][]float32
		for _, o := range out {
			all = append(all, tensors.MustCopyFlatData[float32](o))
		}
		return all
	}
	exact := at()
	rng := rand.New(rand.NewPCG(1, 1))
	for k, w := range v.Weights() {
		value, err := w.Value()
		require.NoError(t, err)
		dims := w.Shape().Dimensions
		flat, direction := tensors.MustCopyFlatData[float32](value), []float32(nil)
		along := 0.
		for _, g := range exact[1+k] {
			d := float32(rng.NormFloat64())
			direction, along = append(direction, d), along+float64(d)*float64(g)
		}
		const h = 1e-3
		side := func(h float32) float64 {
			moved := slices.Clone(flat)
			for i := range moved {
				moved[i] += h * direction[i]
			}
			require.NoError(t, w.SetValue(tensors.FromFlatDataAndDimensions(moved, dims...)))
			return float64(at()[0][0])
		}
		difference := (side(h) - side(-h)) / (2 * h)
		require.NoError(t, w.SetValue(tensors.FromFlatDataAndDimensions(flat, dims...)))
		require.InDelta(t, difference, along, 0.05+0.02*max(difference, -difference), w.Path())
	}
}

func TestVAEBadInput(t *testing.T) {
	e, v := testengine.Quick(t), autoencoder(t)
	_, err := TrainVAE(t.Context(), e, v, strokes(10, 1), VAEConfig{}, Options{})
	require.ErrorContains(t, err, "BatchSize = 128 for 10 images: want 1 to 10")
	_, err = TrainVAE(t.Context(), e, v, strokes(200, 1), VAEConfig{Epochs: -1}, Options{})
	require.ErrorContains(t, err, "must be at least 1")
	_, err = TrainVAE(t.Context(), e, v, Data{}, VAEConfig{}, Options{})
	require.ErrorContains(t, err, "no images given")
}
