package fit

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// newAutoencoder is one of strokes.
func newAutoencoder(t *testing.T, kind nets.AutoencoderKind) *nets.Autoencoder {
	t.Helper()
	c := nets.AutoencoderConfig{Kind: kind, Input: []int{6, 6, 1}, Seed: 1}
	switch kind {
	case nets.ConvAE:
		c.Kernel, c.Channels = 3, []int{8}
	case nets.AdversarialAE:
		c.Hidden = []int{32}
	case nets.ConcreteAE:
		c.Hidden, c.Code = []int{32}, 10
	default:
		c.Code = 12
	}
	a, err := nets.NewAutoencoder(c)
	require.NoError(t, err)
	return a
}

// reconstruct returns the mean squared error of a value of reconstructed images, and the values of their codes.
func reconstruct(t *testing.T, a *nets.Autoencoder, images, targets *tensors.Tensor) (squared float64, codes []float32) {
	t.Helper()
	exec, err := model.NewExec(testengine.Quick(t).Backend(), a.Store, func(scope *model.Scope, x, y *Node) []*Node {
		codes := a.Encode(scope, x)
		return []*Node{ReduceAllMean(Square(Sub(a.Decode(scope, codes), y))), codes}
	})
	require.NoError(t, err)
	out, err := exec.Call(images, targets)
	require.NoError(t, err)
	return float64(tensors.ToScalar[float32](out[0])), tensors.MustCopyFlatData[float32](out[1])
}

// Every kind learns strokes that it has not seen: their values' variance is (1/6)(5/6) = 0.139.
func TestAutoencodersLearn(t *testing.T) {
	images, others := strokes(300, 1), strokes(200, 2).Images
	sparse := map[nets.AutoencoderKind]float64{}
	for kind, c := range map[nets.AutoencoderKind]AutoencoderConfig{
		nets.ConvAE:        {Epochs: 20},
		nets.DenseAE:       {Epochs: 40, Rule: Rule{Optimizer: RMSProp, LearningRate: 1e-2}},
		nets.SparseAE:      {Epochs: 120, Rule: Rule{LearningRate: 3e-2}, Penalty: 0.05},
		nets.AdversarialAE: {Epochs: 80, Rule: Rule{LearningRate: 5e-3}},
		nets.ConcreteAE:    {Steps: 500, Rule: Rule{LearningRate: 2e-2}},
	} {
		a := newAutoencoder(t, kind)
		c.BatchSize, c.Seed = 50, 1
		losses, err := TrainAutoencoder(t.Context(), testengine.Quick(t), a, images, c, Options{})
		require.NoError(t, err)
		entries := c.Epochs
		if entries == 0 {
			entries = 100
		}
		for _, l := range losses {
			require.Len(t, l, entries)
		}
		squared, values := reconstruct(t, a, others, others)
		t.Log(kind, last(losses[ReconstructionLoss]), squared)
		require.Less(t, squared, 0.02, kind)
		switch kind {
		case nets.AdversarialAE:
			require.Len(t, losses, 3)
			require.InDelta(t, 2*math.Ln2, last(losses[CriticLoss]), 0.3, "the critic cannot tell")
			mean, square := 0., 0.
			for _, v := range values {
				mean, square = mean+float64(v)/float64(len(values)), square+float64(v*v)/float64(len(values))
			}
			require.InDelta(t, 0, mean, 0.3)
			require.InDelta(t, 1, square, 0.4)
		case nets.ConcreteAE:
			selected, err := a.Selected()
			require.NoError(t, err)
			require.Equal(t, tensors.MustCopyFlatData[float32](others)[selected[3]], values[3])
		case nets.DenseAE, nets.SparseAE:
			for _, v := range values {
				sparse[kind] += float64(v) / float64(len(values))
			}
		}
	}
	require.InDelta(t, 0.1, sparse[nets.SparseAE], 0.05, "the mean that has no penalty")
	require.Greater(t, sparse[nets.DenseAE], 0.2)
}

func last(values []float64) float64 { return values[len(values)-1] }

// Noise is taken off by an autoencoder that was shown what lies below it.
func TestAutoencoderTargets(t *testing.T) {
	clean := strokes(300, 1).Images
	rng := rand.New(rand.NewPCG(1, 1))
	flat := tensors.MustCopyFlatData[float32](clean)
	for i := range flat {
		flat[i] = min(1, max(0, flat[i]+float32(rng.NormFloat64()*0.3)))
	}
	noisy := tensors.FromFlatDataAndDimensions(flat, 300, 6, 6, 1)
	a := newAutoencoder(t, nets.ConvAE)
	c := AutoencoderConfig{Epochs: 20, BatchSize: 50, Targets: clean}
	_, err := TrainAutoencoder(t.Context(), testengine.Quick(t), a, Data{Images: noisy}, c, Options{})
	require.NoError(t, err)
	before := 0.
	for i, v := range tensors.MustCopyFlatData[float32](clean) {
		before += float64((v-flat[i])*(v-flat[i])) / float64(len(flat))
	}
	after, _ := reconstruct(t, a, noisy, clean)
	require.Less(t, after, before/3)
}

// Stopped after any step, each kind of training ends with the same weights, of the critic too; other settings are other trainings.
func TestAutoencoderResumes(t *testing.T) {
	e, images := testengine.Quick(t), strokes(60, 1)
	values := func(a *nets.Autoencoder) (all [][]float32) {
		for v := range a.Store.IterVariables() {
			value, err := v.Value()
			require.NoError(t, err)
			all = append(all, tensors.MustCopyFlatData[float32](value))
		}
		return all
	}
	for _, kind := range []nets.AutoencoderKind{nets.AdversarialAE, nets.ConcreteAE} {
		c, dir := AutoencoderConfig{Steps: 5, BatchSize: 20, Seed: 2}, t.TempDir()
		want := newAutoencoder(t, kind)
		losses, err := TrainAutoencoder(t.Context(), e, want, images, c, Options{})
		require.NoError(t, err)
		require.NotEqual(t, values(newAutoencoder(t, kind)), values(want))
		a := newAutoencoder(t, kind)
		ctx, cancel := context.WithCancel(t.Context())
		p := &counter{each: func(step int) {
			if step == 3 {
				cancel()
			}
		}}
		_, err = TrainAutoencoder(ctx, e, a, images, c, Options{Dir: dir, Progress: p})
		cancel()
		require.ErrorIs(t, err, context.Canceled)
		got, err := TrainAutoencoder(t.Context(), e, a, images, c, Options{Dir: dir})
		require.NoError(t, err)
		require.Equal(t, losses, got)
		require.Equal(t, values(want), values(a), kind)
	}
}

// TestAutoencoderKey: whatever changes the weights changes the key.
func TestAutoencoderKey(t *testing.T) {
	e, keys := testengine.Quick(t), map[string]bool{}
	for _, kind := range []nets.AutoencoderKind{nets.DenseAE, nets.SparseAE, nets.AdversarialAE, nets.ConcreteAE} {
		for _, change := range []func(images *Data, c *AutoencoderConfig){
			func(*Data, *AutoencoderConfig) {},
			func(images *Data, _ *AutoencoderConfig) { *images = strokes(100, 2) },
			func(_ *Data, c *AutoencoderConfig) { c.Epochs++ },
			func(_ *Data, c *AutoencoderConfig) { c.Epochs, c.Steps = 0, 9 },
			func(_ *Data, c *AutoencoderConfig) { c.BatchSize++ },
			func(_ *Data, c *AutoencoderConfig) { c.Seed++ },
			func(_ *Data, c *AutoencoderConfig) { c.Rule.LearningRate = 0.1 },
			func(_ *Data, c *AutoencoderConfig) { c.Targets = strokes(100, 2).Images },
			func(_ *Data, c *AutoencoderConfig) {
				switch kind {
				case nets.SparseAE:
					c.Sparsity = 0.2
				case nets.ConcreteAE:
					c.Hottest = 5
				default:
					c.Epochs = 7
				}
			},
		} {
			images, c := strokes(100, 1), AutoencoderConfig{Epochs: 3, BatchSize: 30}
			change(&images, &c)
			key, err := AutoencoderKey(e, newAutoencoder(t, kind), images, c)
			require.NoError(t, err)
			require.False(t, keys[key])
			keys[key] = true
		}
	}
}

// TestSparsity: three codes of two values, by the definition, 0.2·ln(0.2/0.5) + 0.8·ln(0.8/0.5) of the first; a mean of 0 is finite.
func TestSparsity(t *testing.T) {
	exec, err := NewExec(testengine.Quick(t).Backend(), func(x *Node) *Node { return sparsity(x, 0.2) })
	require.NoError(t, err)
	of := func(codes [][]float32) float64 {
		out, err := exec.Call(codes)
		require.NoError(t, err)
		return float64(tensors.ToScalar[float32](out[0]))
	}
	require.InDelta(t, 0.2*math.Log(0.4)+0.8*math.Log(1.6), of([][]float32{{0.25, 0.2}, {0.75, 0.2}, {0.5, 0.2}}), 1e-6)
	require.InDelta(t, 0.2*math.Log(0.2/1e-10)+0.8*math.Log(0.8), of([][]float32{{0, 0.2}, {0, 0.2}, {0, 0.2}}), 1e-5)
	full := of([][]float32{{1, 0.2}, {1, 0.2}, {1, 0.2}})
	require.Greater(t, full, 5.)
	require.Less(t, full, 20.)
}

func TestAutoencoderBadInput(t *testing.T) {
	nan := strokes(100, 1).Images
	tensors.MustMutableFlatData(nan, func(v []float32) { v[40] = float32(math.NaN()) })
	for _, c := range []struct {
		want   string
		kind   nets.AutoencoderKind
		images Data
		c      AutoencoderConfig
	}{
		{"no images given", nets.ConvAE, Data{}, AutoencoderConfig{}},
		{"[1,4] is not finite", nets.ConvAE, Data{Images: nan}, AutoencoderConfig{}},
		{"targets: nets: image value NaN at [1,4]", nets.ConvAE, strokes(100, 1), AutoencoderConfig{Targets: nan}},
		{"99 targets for 100 images", nets.ConvAE, strokes(100, 1), AutoencoderConfig{Targets: strokes(99, 1).Images}},
		{"BatchSize = 100 for 10 images: want 1 to 10", nets.ConvAE, strokes(10, 1), AutoencoderConfig{}},
		{"give one of them", nets.ConvAE, strokes(100, 1), AutoencoderConfig{Steps: 3, Epochs: 3}},
		{"Steps = -3, Epochs = 0: must be at least 1", nets.ConvAE, strokes(100, 1), AutoencoderConfig{Steps: -3}},
		{"only concrete", nets.DenseAE, strokes(100, 1), AutoencoderConfig{Hottest: 3}},
		{"the second not above the first", nets.ConcreteAE, strokes(100, 1), AutoencoderConfig{Hottest: 3, Coldest: 4}},
		{"only sparse", nets.DenseAE, strokes(100, 1), AutoencoderConfig{Penalty: 3}},
		{"Sparsity = 1", nets.SparseAE, strokes(100, 1), AutoencoderConfig{Sparsity: 1}},
		{"LearningRate = -1", nets.DenseAE, strokes(100, 1), AutoencoderConfig{Rule: Rule{LearningRate: -1}}},
	} {
		_, err := TrainAutoencoder(t.Context(), testengine.Quick(t), newAutoencoder(t, c.kind), c.images, c.c, Options{})
		require.ErrorContains(t, err, c.want)
	}
}
