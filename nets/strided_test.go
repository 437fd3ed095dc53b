package nets_test

import (
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// TestStrided: a strided block is the convolution with padding 1 and stride 2, whatever the parity of the sides.
func TestStrided(t *testing.T) {
	const h, w = 5, 6
	m, err := nets.NewCNN(nets.CNNConfig{Input: []int{h, w, 1}, Channels: []int{2}, Dense: 3, Classes: 2, Strided: true, Seed: 1})
	require.NoError(t, err)
	x := make([]float32, h*w)
	for i := range x {
		x[i] = float32(i*7%11) / 11
	}
	a, err := nets.NewActivations(testengine.Get(t).Backend(), m, 1, 1)
	require.NoError(t, err)
	got, err := a.Of(tensors.FromFlatDataAndDimensions(x, 1, h, w, 1))
	require.NoError(t, err)
	value, err := m.Weights()[0].Value()
	require.NoError(t, err)
	kernel := tensors.MustCopyFlatData[float32](value)
	require.Len(t, got[0], 3*3*2)
	for at, v := range got[0] {
		row, column, channel := at/6, at/2%3, at%2
		sum := float32(0)
		for r := range 3 {
			for c := range 3 {
				if y, z := 2*row+r-1, 2*column+c-1; y >= 0 && y < h && z >= 0 && z < w {
					sum += x[y*w+z] * kernel[(r*3+c)*2+channel]
				}
			}
		}
		require.InDelta(t, max(0, sum), v, 1e-5)
	}
	_, err = nets.NewCNN(nets.CNNConfig{Strided: true, MeanPool: true})
	require.ErrorContains(t, err, "leave MeanPool out")
}
