package nets

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPickRows(t *testing.T) {
	flat := []float32{0, 1, 10, 11, 20, 21}
	require.Equal(t, []float32{20, 21, 0, 1, 20, 21}, PickRows(flat, 2, []int{2, 0, 2}))
	require.Equal(t, []float32{10, 11, 20, 21}, PickRows(flat[2:], 2, []int32{0, 1}))
	require.Equal(t, []int32{7, 5}, PickRows([]int32{5, 6, 7}, 1, []int{2, 0}))
	require.Empty(t, PickRows(flat, 2, []int{}))

	picked := PickRows(flat, 6, []int{0})
	picked[0] = 5
	require.Zero(t, flat[0], "what is picked is a copy")

	// In range is decided by the length, not by what lies behind it.
	require.Panics(t, func() { PickRows(flat[:4], 2, []int{2}) })
	require.Panics(t, func() { PickRows(flat, 2, []int{-1}) })
}
