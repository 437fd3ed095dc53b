package nets

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// shake adds to the values of a variable.
func shake(t *testing.T, store *model.Store, path string) {
	v := store.GetVariable(path)
	value, err := v.Value()
	require.NoError(t, err)
	flat := tensors.MustCopyFlatData[float32](value)
	for i := range flat {
		flat[i] += 0.3 * float32(i%3+1)
	}
	require.NoError(t, v.SetValue(tensors.FromFlatDataAndDimensions(flat, v.Shape().Dimensions...)))
}

// outputs runs a graph of a store on values.
func outputs(t *testing.T, store *model.Store, x *tensors.Tensor, build func(scope *model.Scope, x *Node) *Node) []float32 {
	exec, err := model.NewExec(testengine.Quick(t).Backend(), store, build)
	require.NoError(t, err)
	out, err := exec.Call(x)
	require.NoError(t, err)
	return tensors.MustCopyFlatData[float32](out[0])
}

func waves(dims ...int) *tensors.Tensor {
	flat := make([]float32, product(dims))
	for i := range flat {
		flat[i] = float32(math.Sin(0.37 * float64(i)))
	}
	return tensors.FromFlatDataAndDimensions(flat, dims...)
}

// TestGenerators: an image depends on its latent alone, and half of the network can be another's.
func TestGenerators(t *testing.T) {
	store := model.NewStore()
	sizes := ResidualConfig{Channels: 3, Latent: 5, Seed: 1}
	named := func(name string, seed int64) ResidualConfig {
		c := sizes
		c.Scope, c.Seed = name, seed
		return c
	}
	g, err := NewGenerator(store, named("one", 1))
	require.NoError(t, err)
	other, err := NewGenerator(store, named("other", 2))
	require.NoError(t, err)
	// dense 5·48 + 48, four 3x3 convolutions of 3 to 3 channels with biases, normalization 6, the last 27·3 + 3
	require.Equal(t, 5*48+48+4*(81+3)+6+81+3, g.NumParameters())
	require.Equal(t, []int{16, 16, 3}, g.Shape)
	latents := waves(4, 5)
	images := outputs(t, store, latents, g.Images)
	require.Len(t, images, 4*16*16*3)
	one := outputs(t, store, tensors.FromFlatDataAndDimensions(tensors.MustCopyFlatData[float32](latents)[5:10], 1, 5), g.Images)
	require.InDeltaSlice(t, images[768:2*768], one, 1e-5)
	for _, v := range images {
		require.LessOrEqual(t, math.Abs(float64(v)), 1.)
	}
	behind := func(scope *model.Scope, x *Node) *Node { return other.ImagesBehind(scope, g, x) }
	before := outputs(t, store, latents, behind)
	shake(t, store, other.WeightPaths[0]) // its own dense layer, which it does not use
	require.Equal(t, before, outputs(t, store, latents, behind))
	shake(t, store, g.WeightPaths[0])
	shared := outputs(t, store, latents, behind)
	require.NotEqual(t, before, shared)
	shake(t, store, other.WeightPaths[len(other.WeightPaths)-2]) // its last convolution
	require.NotEqual(t, shared, outputs(t, store, latents, behind))
}

// TestDiscriminators: scores of patches and of the whole; two can share all but their first block.
func TestDiscriminators(t *testing.T) {
	for size, side := range map[int]int{16: 4, 32: 8, 64: 8} {
		d, err := NewDiscriminator(model.NewStore(), ResidualConfig{Size: size, Channels: 2, Scope: "judge"})
		require.NoError(t, err)
		patches := outputs(t, d.Store, waves(2, size, size, 3), func(scope *model.Scope, x *Node) *Node {
			p, w := d.Scores(scope, x)
			return Concatenate([]*Node{Reshape(p, -1), w}, 0)
		})
		require.Len(t, patches, 2*side*side+2, "size %d", size)
	}
	store := model.NewStore()
	a, err := NewDiscriminator(store, ResidualConfig{Channels: 2, Scope: "a", Seed: 1})
	require.NoError(t, err)
	b, err := NewDiscriminator(store, ResidualConfig{Channels: 2, Scope: "b", Seed: 2})
	require.NoError(t, err)
	images := waves(2, 16, 16, 3)
	score := func(scope *model.Scope, x *Node) *Node { _, w := b.ScoresBefore(scope, a, x); return w }
	before := outputs(t, store, images, score)
	shake(t, store, b.WeightPaths[len(b.WeightPaths)-2])
	require.Equal(t, before, outputs(t, store, images, score))
	shake(t, store, b.WeightPaths[0])
	own := outputs(t, store, images, score)
	require.NotEqual(t, before, own)
	shake(t, store, a.WeightPaths[len(a.WeightPaths)-2])
	require.NotEqual(t, own, outputs(t, store, images, score))
}

// TestGaussianEncoders: the front may be another's, and the encoder's own is no other.
func TestGaussianEncoders(t *testing.T) {
	store := model.NewStore()
	e, err := NewGaussianEncoder(store, ResidualConfig{Channels: 2, Latent: 3, Scope: "encoder", Seed: 1})
	require.NoError(t, err)
	front, err := NewFront(store, ResidualConfig{Channels: 2, Scope: "front", Seed: 2})
	require.NoError(t, err)
	images := waves(2, 16, 16, 3)
	run := func(f *Front) []float32 {
		return outputs(t, store, images, func(scope *model.Scope, x *Node) *Node {
			mean, spread := e.PosteriorBehind(scope, f, x)
			return Concatenate([]*Node{mean, spread}, -1)
		})
	}
	own := outputs(t, store, images, func(scope *model.Scope, x *Node) *Node {
		mean, spread := e.Posterior(scope, x)
		return Concatenate([]*Node{mean, spread}, -1)
	})
	require.Len(t, own, 2*6)
	require.Equal(t, own, run(e.Front))
	require.NotEqual(t, own, run(front))
	require.NoError(t, front.CopyWeights(&e.Front.Network))
	require.Equal(t, own, run(front))
	require.True(t, slices.Equal(e.Front.WeightPaths, e.WeightPaths[:4]))
}

// TestInstanceNorm: every channel of every image has mean 0 and variance 1, but for the term that keeps the root from 0.
func TestInstanceNorm(t *testing.T) {
	x := waves(2, 3, 5, 2)
	flat := tensors.MustCopyFlatData[float32](x)
	got := outputs(t, model.NewStore(), x, func(_ *model.Scope, x *Node) *Node { return instanceNorm(x) })
	for image := range 2 {
		for channel := range 2 {
			mean, variance := 0.0, 0.0
			at := func(p int) int { return (image*15+p)*2 + channel }
			for p := range 15 {
				mean += float64(flat[at(p)]) / 15
			}
			for p := range 15 {
				variance += math.Pow(float64(flat[at(p)])-mean, 2) / 15
			}
			for p := range 15 {
				require.InDelta(t, (float64(flat[at(p)])-mean)/math.Sqrt(variance+1e-5), got[at(p)], 1e-5)
			}
		}
	}
}

// TestRunner: any number of examples in batches of one size.
func TestRunner(t *testing.T) {
	g, err := NewGenerator(model.NewStore(), ResidualConfig{Channels: 2, Latent: 3, Scope: "g"})
	require.NoError(t, err)
	r, err := NewRunner(testengine.Quick(t).Backend(), &g.Network, []int{3}, 2, func(_ *model.Scope, x *Node) *Node { return MulScalar(x, 2) })
	require.NoError(t, err)
	rows, err := r.Of([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9})
	require.NoError(t, err)
	require.Equal(t, [][]float32{{2, 4, 6}, {8, 10, 12}, {14, 16, 18}}, rows)
	_, err = r.Of([]float32{1, 2})
	require.ErrorContains(t, err, "2 values, want a multiple of 3")
}

func TestBadResidualSizes(t *testing.T) {
	for want, c := range map[string]ResidualConfig{
		"size 20 is not 4·2^n":         {Size: 20, Scope: "x"},
		"size 8 is not 4·2^n, or":      {Size: 8, Scope: "x"},
		"want a name, and at least 1":  {},
		"network \"x\" of -1 channels": {Channels: -1, Scope: "x"},
	} {
		for _, build := range []func(*model.Store, ResidualConfig) error{
			func(s *model.Store, c ResidualConfig) error { _, err := NewGenerator(s, c); return err },
			func(s *model.Store, c ResidualConfig) error { _, err := NewDiscriminator(s, c); return err },
			func(s *model.Store, c ResidualConfig) error { _, err := NewGaussianEncoder(s, c); return err },
			func(s *model.Store, c ResidualConfig) error { _, err := NewFront(s, c); return err },
		} {
			require.ErrorContains(t, build(model.NewStore(), c), want)
		}
	}
}
