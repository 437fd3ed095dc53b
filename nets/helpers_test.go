package nets_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

var nan = float32(math.NaN())

func mustShape(dims ...int) shapes.Shape { return shapes.Make(dtypes.Float32, dims...) }

// backends are those that networks must work on.
func backends(t *testing.T) map[string]compute.Backend {
	return map[string]compute.Backend{"xla": testengine.Quick(t).Backend(), "go": testengine.Pure(t).Backend()}
}

func flatWeights(t testing.TB, m *nets.Model) []float32 {
	t.Helper()
	var all []float32
	for _, w := range m.Weights() {
		value, err := w.Value()
		require.NoError(t, err)
		flat, err := tensors.CopyFlatData[float32](value)
		require.NoError(t, err)
		all = append(all, flat...)
	}
	return all
}

// images are n random images for the model, uniform within its bounds.
func images(m *nets.Model, n int, seed uint64) *tensors.Tensor {
	rng := rand.New(rand.NewPCG(seed, 0))
	size := 1
	for _, d := range m.InputShape {
		size *= d
	}
	values := make([]float32, n*size)
	for i := range values {
		values[i] = float32(m.Lower + rng.Float64()*(m.Upper-m.Lower))
	}
	return tensors.FromFlatDataAndDimensions(values, append([]int{n}, m.InputShape...)...)
}

// float64Weights are the model's weights in double precision, biases made random, so that finite differences have
// digits to spare and no bias is invisible.
func float64Weights(t *testing.T, m *nets.Model) []*tensors.Tensor {
	t.Helper()
	rng := rand.New(rand.NewPCG(99, 0))
	var all []*tensors.Tensor
	for _, w := range m.Weights() {
		value, err := w.Value()
		require.NoError(t, err)
		flat := make([]float64, value.Size())
		for i, v := range tensors.MustCopyFlatData[float32](value) {
			flat[i] = float64(v)
			if value.Rank() == 1 {
				flat[i] = rng.NormFloat64() / 10
			}
		}
		all = append(all, tensors.FromFlatDataAndDimensions(flat, value.Shape().Dimensions...))
	}
	return all
}

// float64Store is a store with copies of the given weights at the model's paths.
func float64Store(t *testing.T, m *nets.Model, weights []*tensors.Tensor) *model.Store {
	t.Helper()
	store := model.NewStore()
	for i, w := range m.Weights() {
		value, err := weights[i].LocalClone() // a store owns its tensors: it moves them to its backend
		require.NoError(t, err)
		_, err = store.RootScope().At("%s", w.Scope()[1:]).CreateVariable(w.Name(), value)
		require.NoError(t, err)
		require.NotNil(t, store.GetVariable(m.WeightPaths[i]))
	}
	return store
}
