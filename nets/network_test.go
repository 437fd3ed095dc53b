package nets_test

import (
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/core/tensors/numpy"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
)

// Two networks of one store keep out of each other's way: each is counted, cloned, copied, saved and loaded alone.
func TestNetworksShareAStore(t *testing.T) {
	pair := func(value float32) (maker, judge *nets.Network) {
		store := model.NewStore()
		for path, size := range map[string]int{"/maker/w": 3, "/maker/mean": 2, "/judge/w": 4} {
			values := make([]float32, size)
			for i := range values {
				values[i] = value + float32(i)
			}
			_, err := store.CreateVariable(path, tensors.FromFlatDataAndDimensions(values, size))
			require.NoError(t, err)
		}
		return &nets.Network{Name: "maker", Store: store, WeightPaths: []string{"/maker/w"}, StatePaths: []string{"/maker/mean"}},
			&nets.Network{Name: "judge", Store: store, WeightPaths: []string{"/judge/w"}}
	}
	at := func(n *nets.Network, path string) []float32 {
		value, err := n.Store.GetVariable(path).Value()
		require.NoError(t, err)
		return tensors.MustCopyFlatData[float32](value)
	}
	maker, judge := pair(1)
	require.Equal(t, 3, maker.NumParameters())
	require.Equal(t, "/judge/w", judge.Weights()[0].Path())

	clone, err := maker.Clone()
	require.NoError(t, err)
	require.Nil(t, clone.Store.GetVariable("/judge/w"))
	other, otherJudge := pair(5)
	require.NoError(t, other.CopyWeights(clone))
	require.Equal(t, []float32{1, 2, 3}, at(other, "/maker/w"))
	require.Equal(t, []float32{1, 2}, at(other, "/maker/mean"))
	require.Equal(t, []float32{5, 6, 7, 8}, at(otherJudge, "/judge/w"))
	require.ErrorContains(t, other.CopyWeights(judge), "copying 1 weight tensors of judge into maker, which has 2")

	path := filepath.Join(t.TempDir(), "maker.npz")
	require.NoError(t, maker.SaveWeights(path))
	arrays, err := numpy.FromNpzFile(path)
	require.NoError(t, err)
	require.Len(t, arrays, 2)
	fresh, freshJudge := pair(9)
	require.NoError(t, fresh.LoadWeights(path))
	require.Equal(t, []float32{1, 2}, at(fresh, "/maker/mean"))
	require.Equal(t, []float32{9, 10, 11, 12}, at(freshJudge, "/judge/w"))
	require.ErrorContains(t, judge.LoadWeights(path), `no array "judge/w"`)
	require.Equal(t, []float32{1, 2, 3}, at(clone, "/maker/w"))
}
