package paired

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
)

// images are n images of size by size pixels, every value of image k being k/n.
func images(n, size, channels int) *tensors.Tensor {
	flat := make([]float32, 0, n*size*size*channels)
	for k := range n {
		for range size * size * channels {
			flat = append(flat, float32(k)/float32(n))
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, n, size, size, channels)
}

// rowsOf says which image of images(n, …) each row is.
func rowsOf(t *tensors.Tensor, n int) (rows []int) {
	flat := tensors.MustCopyFlatData[float32](t)
	for k := 0; k < len(flat); k += len(flat) / t.Shape().Dimensions[0] {
		rows = append(rows, int(math.Round(float64(flat[k])*float64(n))))
	}
	return rows
}

func TestNew(t *testing.T) {
	s, err := New(images(5, 4, 3), images(5, 4, 3), []int32{0, 1, 2, 1, 0})
	require.NoError(t, err)
	require.Equal(t, 5, s.Len())
	require.Equal(t, 3, s.Classes)
	h, w := s.Size()
	require.Equal(t, []int{4, 4}, []int{h, w})

	with := func(v float32) *tensors.Tensor {
		flat := make([]float32, 2*4*4*3)
		flat[60] = v
		return tensors.FromFlatDataAndDimensions(flat, 2, 4, 4, 3)
	}
	for want, c := range map[string]struct {
		source, target *tensors.Tensor
		labels         []int32
	}{
		"few-shot set is not paired: 20 source, 19 target images": {images(20, 4, 3), images(19, 4, 3), nil},
		"source and target sizes differ: 16×16, 32×32":            {images(2, 16, 3), images(2, 32, 3), nil},
		"target: pixels span [0,255], expected [-1,1]":            {with(0), with(255), nil},
		"source: pixels span [-1.5,0], expected [-1,1]":           {with(-1.5), with(0), nil},
		"target has 1 channels":                                   {images(2, 4, 3), images(2, 4, 1), nil},
		"K=1: the relation loss needs at least 2 pairs":           {images(1, 4, 3), images(1, 4, 3), nil},
		"source image 1 has a value that is not finite":           {with(float32(math.NaN())), with(0), nil},
		"target image 1 has a value that is not finite":           {with(0), with(float32(math.Inf(-1))), nil},
		"3 labels for 2 pairs":                                    {with(0), with(0), []int32{1, 2, 3}},
		"pair 1 has label -1":                                     {with(0), with(0), []int32{1, -1}},
		"a set without images":                                    {nil, with(0), nil},
		"want float32 [images, height, width, 3]":                 {tensors.FromValue([]float32{1}), with(0), nil},
		"want at least one pixel":                                 {tensors.FromFlatDataAndDimensions([]float32{}, 2, 0, 4, 3), with(0), nil},
		"source images are (Float64)[1, 1, 1, 3]":                 {tensors.FromValue([][][][]float64{{{{1, 1, 1}}}}), with(0), nil},
	} {
		_, err := New(c.source, c.target, c.labels)
		require.ErrorContains(t, err, want)
	}
	require.Error(t, (*Set)(nil).Validate())
	require.ErrorContains(t, (&Set{Source: with(0), Target: with(0), Labels: []int32{0, 1}}).Validate(), "pair 0 has label 0")
}

func TestSubset(t *testing.T) {
	s, err := New(images(6, 2, 3), images(6, 2, 3), []int32{0, 1, 2, 3, 4, 5})
	require.NoError(t, err)
	sub := s.Subset([]int{4, 1, 4})
	require.NoError(t, sub.Validate())
	require.Equal(t, []int{4, 1, 4}, rowsOf(sub.Source, 6))
	require.Equal(t, []int{4, 1, 4}, rowsOf(sub.Target, 6))
	require.Equal(t, []int32{4, 1, 4}, sub.Labels)
	require.Equal(t, 6, sub.Classes)
	s.Labels = nil
	require.Nil(t, s.Subset([]int{0, 1}).Labels)
	require.Panics(t, func() { s.Subset([]int{6}) })
}

// No target stays, none is lost, sources stay; every derangement of four comes about alike.
func TestShuffled(t *testing.T) {
	for n := 2; n < 30; n++ {
		s, err := New(images(n, 2, 3), images(n, 2, 3), nil)
		require.NoError(t, err)
		shuffled := s.Shuffled(int64(n))
		require.NoError(t, shuffled.Validate())
		seen := map[int]bool{}
		for k, row := range rowsOf(shuffled.Target, n) {
			require.NotEqual(t, k, row)
			seen[row] = true
		}
		require.Len(t, seen, n)
		for k, row := range rowsOf(shuffled.Source, n) {
			require.Equal(t, k, row)
		}
		require.True(t, shuffled.Target.Equal(s.Shuffled(int64(n)).Target))
		for k, row := range rowsOf(s.Target, n) {
			require.Equal(t, k, row, "the set itself is as it was")
		}
	}
	s, err := New(images(4, 1, 3), images(4, 1, 3), nil)
	require.NoError(t, err)
	counts := map[[4]int]int{}
	for seed := range 1800 {
		counts[[4]int(rowsOf(s.Shuffled(int64(seed)).Target, 4))]++
	}
	require.Len(t, counts, 9)
	for order, c := range counts { // 200 each, standard deviation 13
		require.InDelta(t, 200, c, 60, order)
	}
	require.PanicsWithError(t, "paired: 1 pairs cannot be shuffled: want at least 2", func() { s.Subset([]int{0}).Shuffled(0) })
}
