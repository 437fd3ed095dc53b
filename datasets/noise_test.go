package datasets

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLabelNoise: what the two kinds of label noise promise, and that each is not the other.
func TestLabelNoise(t *testing.T) {
	labels := make([]int32, 7000)
	for i := range labels {
		labels[i] = int32(i % 7)
	}
	type noise func(labels []int32, classes int, share float64, seed int64) []int32
	changed := func(noisy []int32) (n int) {
		for i, y := range noisy {
			require.True(t, y >= 0 && y < 7)
			if y != labels[i] {
				n++
			}
		}
		return n
	}
	for _, f := range []noise{WrongLabels, RedrawnLabels} {
		require.Equal(t, labels, f(labels, 7, 0, 3))
		require.Equal(t, f(labels, 7, 0.1, 3), f(labels, 7, 0.1, 3))
		require.NotEqual(t, f(labels, 7, 0.1, 3), f(labels, 7, 0.1, 4))
	}
	little, much := WrongLabels(labels, 7, 0.1, 3), WrongLabels(labels, 7, 0.25, 3)
	require.Equal(t, []int{700, 1750, 7000}, []int{changed(little), changed(much), changed(WrongLabels(labels, 7, 1, 3))})
	counts := make([]int, 7)
	for i, y := range little {
		if y != labels[i] {
			require.Equal(t, y, much[i], "nested")
			counts[y]++
		}
	}
	for _, n := range counts {
		require.InDelta(t, 100, n, 40, "every wrong class alike")
	}
	// Six sevenths of a fifth, to five standard deviations.
	require.InDelta(t, 7000*0.2*6/7, changed(RedrawnLabels(labels, 7, 0.2, 3)), 160)
	require.InDelta(t, 6000, changed(RedrawnLabels(labels, 7, 1, 3)), 150)
}
