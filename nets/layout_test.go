package nets

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLayoutOf(t *testing.T) {
	for _, c := range []struct {
		shape         []int
		want          Layout
		height, width int
	}{
		{[]int{28, 20}, Layout{28, 20, 1, false}, 1, 2},
		{[]int{28, 20, 3}, Layout{28, 20, 3, false}, 1, 2},
		{[]int{3, 28, 20}, Layout{28, 20, 3, true}, 2, 3},
		{[]int{4, 5, 4}, Layout{4, 5, 4, false}, 1, 2},
	} {
		l, ok := LayoutOf(c.shape)
		require.True(t, ok)
		require.Equal(t, c.want, l)
		height, width := l.Axes()
		require.Equal(t, []int{c.height, c.width}, []int{height, width})
	}
	for _, shape := range [][]int{nil, {784}, {1, 2, 3, 4}} {
		_, ok := LayoutOf(shape)
		require.False(t, ok)
	}
}
