package removal_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/watermark"
	"github.com/trustbook/trustbook/watermark/removal"
)

// ask asks an endpoint that h hides about images of three pixels each, in batches of the given size.
func ask(t *testing.T, h removal.Hiding, rows [][]float32, images *tensors.Tensor, batch int) [][]float32 {
	t.Helper()
	e, err := h.Of(&table{rows: rows})
	require.NoError(t, err)
	return askAll(t, e, images, batch)
}

func askAll(t *testing.T, e watermark.Endpoint, images *tensors.Tensor, batch int) (answers [][]float32) {
	t.Helper()
	dims := images.Shape().Dimensions
	flat := tensors.MustCopyFlatData[float32](images)
	size := len(flat) / dims[0]
	for part := range slices.Chunk(flat, batch*size) {
		x := tensors.FromFlatDataAndDimensions(slices.Clone(part), append([]int{len(part) / size}, dims[1:]...)...)
		out, err := e.Probabilities(t.Context(), x)
		require.NoError(t, err)
		values := tensors.MustCopyFlatData[float32](out)
		answers = slices.AppendSeq(answers, slices.Chunk(values, out.Shape().Dimensions[1]))
		require.Equal(t, part, tensors.MustCopyFlatData[float32](x), "the images that were asked about have changed")
	}
	return answers
}

var scores = [][]float32{{0.618, 0.25, 0.122, 0.01}, {0.0051, 0.0149, 0.28, 0.7}, {0.25, 0.25, 0.25, 0.25}}

func TestOutputs(t *testing.T) {
	images := random(3, 5)
	for _, c := range []struct {
		h    removal.Hiding
		want [][]float32
	}{
		{removal.Rounded{Digits: 1}, [][]float32{{0.6, 0.2, 0.1, 0}, {0, 0, 0.3, 0.7}, {0.2, 0.2, 0.2, 0.2}}},
		{removal.Rounded{Digits: 2}, [][]float32{{0.62, 0.25, 0.12, 0.01}, {0.01, 0.01, 0.28, 0.7}, {0.25, 0.25, 0.25, 0.25}}},
		{removal.Rounded{}, [][]float32{{1, 0, 0, 0}, {0, 0, 0, 1}, {0, 0, 0, 0}}},
		{removal.Top{K: 1}, [][]float32{{0.618, 0, 0, 0}, {0, 0, 0, 0.7}, {0.25, 0, 0, 0}}},
		{removal.Top{K: 3}, [][]float32{{0.618, 0.25, 0.122, 0}, {0, 0.0149, 0.28, 0.7}, {0.25, 0.25, 0.25, 0}}},
		{removal.Top{K: 9}, scores},
		{removal.LabelsOnly{}, [][]float32{{1, 0, 0, 0}, {0, 0, 0, 1}, {1, 0, 0, 0}}},
	} {
		got := ask(t, c.h, scores, images, 3)
		for i, row := range got {
			require.InDeltaSlice(t, c.want[i], row, 1e-7, c.h.Name())
		}
	}
}

// TestNoisy: the noise has the size that it should, is another for other images and seeds, and answers are probabilities.
func TestNoisy(t *testing.T) {
	images := random(4000, 5)
	row := [][]float32{{0.5, 0.3, 0.2}}
	got := ask(t, removal.Noisy{SD: 0.01}, row, images, 4000)
	var squares float64
	for _, p := range got {
		require.InDelta(t, 1, p[0]+p[1]+p[2], 1e-6)
		d := float64(p[0]/p[1]) - 5./3
		squares += d * d
	}
	want := 0.01 / 0.3 * math.Hypot(1, 5./3) // of a ratio, in the first order
	require.InEpsilon(t, want, math.Sqrt(squares/4000), 0.1)
	require.NotEqual(t, got[0], got[1])
	require.NotEqual(t, got, ask(t, removal.Noisy{SD: 0.01, Seed: 1}, row, images, 4000))
	for _, p := range ask(t, removal.Noisy{SD: 3}, row, images, 4000) {
		require.InDelta(t, 1, p[0]+p[1]+p[2], 1e-6)
		require.GreaterOrEqual(t, slices.Min(p), float32(0))
	}
}

// TestPerturbed: mass goes from the first to the last class, at most as much as keeps the first three in order.
func TestPerturbed(t *testing.T) {
	images := random(2000, 5)
	rows := [][]float32{{0.1, 0.5, 0.08, 0.3, 0.02}}
	least, most := 1.0, 0.0
	for _, p := range ask(t, removal.Perturbed{}, rows, images, 2000) {
		moved := float64(0.5 - p[1])
		least, most = min(least, moved), max(most, moved)
		require.InDelta(t, 0.02+moved, p[4], 1e-6)
		require.InDeltaSlice(t, []float32{0.1, 0.08, 0.3}, []float32{p[0], p[2], p[3]}, 0)
	}
	require.InDelta(t, 0, least, 1e-3)
	require.InDelta(t, 0.08, most, 1e-3) // 0.1 - 0.02, less than 0.5 - 0.3
	require.Equal(t, scores[2], ask(t, removal.Perturbed{}, scores[2:], random(1, 5), 1)[0])
	for _, p := range ask(t, removal.Perturbed{Ordered: 1}, rows, images, 500) { // the first stays the first
		require.Greater(t, p[1], p[3])
	}
}

// TestBatching: answers that are drawn do not depend on how questions are batched, or ordered.
func TestBatching(t *testing.T) {
	images := random(12, 4, 4, 1)
	for _, h := range []removal.Hiding{removal.Noisy{SD: 0.1}, removal.Perturbed{}, removal.InputNoise{SD: 0.1}} {
		e, err := h.Of(brightness{})
		require.NoError(t, err)
		want := askAll(t, e, images, 12)
		require.Equal(t, want, askAll(t, e, images, 5), h.Name())
		flat := tensors.MustCopyFlatData[float32](images)
		last := tensors.FromFlatDataAndDimensions(flat[11*16:], 1, 4, 4, 1)
		require.Equal(t, want[11:], askAll(t, e, last, 1), h.Name())
	}
}

// brightness answers an image by its mean.
type brightness struct{}

func (brightness) Probabilities(_ context.Context, x *tensors.Tensor) (*tensors.Tensor, error) {
	n := x.Shape().Dimensions[0]
	flat := tensors.MustCopyFlatData[float32](x)
	var out []float32
	for row := range slices.Chunk(flat, len(flat)/n) {
		sum := float32(0)
		for _, v := range row {
			sum += v / float32(len(row))
		}
		out = append(out, sum, (1-sum)*0.7, (1-sum)*0.3)
	}
	return tensors.FromFlatDataAndDimensions(out, n, 3), nil
}

// seen are the images that the endpoint inside sees.
func seen(t *testing.T, h removal.Hiding, images *tensors.Tensor) [][]float32 {
	t.Helper()
	inside := &table{rows: scores}
	e, err := h.Of(inside)
	require.NoError(t, err)
	askAll(t, e, images, images.Shape().Dimensions[0])
	return inside.saw
}

func TestInputBits(t *testing.T) {
	images := random(20, 7, 7, 1)
	before := tensors.MustCopyFlatData[float32](images)
	for _, bits := range []int{1, 3, 8} {
		values := map[float32]bool{}
		for i, v := range slices.Concat(seen(t, removal.InputBits{Bits: bits}, images)...) {
			values[v] = true
			require.InDelta(t, before[i], v, 0.5/(math.Exp2(float64(bits))-1)+1e-6)
		}
		require.LessOrEqual(t, len(values), 1<<bits)
	}
	x := tensors.FromFlatDataAndDimensions([]float32{-3, -0.9, 0.2, 5}, 1, 4)
	require.Equal(t, []float32{-1, -1, 1, 1}, seen(t, removal.InputBits{Bits: 1, Lower: -1, Upper: 1}, x)[0])
}

func TestInputNoise(t *testing.T) {
	images := tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{0.5}, 5000), 1, 5000)
	mean, squares := 0.0, 0.0
	for _, v := range seen(t, removal.InputNoise{SD: 0.05}, images)[0] {
		mean += float64(v-0.5) / 5000
		squares += float64(v-0.5) * float64(v-0.5) / 5000
	}
	require.InDelta(t, 0, mean, 0.003)
	require.InDelta(t, 0.05, math.Sqrt(squares), 0.003)
	for _, v := range seen(t, removal.InputNoise{SD: 2, Lower: -1, Upper: 1}, images)[0] {
		require.LessOrEqual(t, math.Abs(float64(v)), 1.0)
	}
}

// TestSmoothing compares with a second implementation, in both layouts.
func TestSmoothing(t *testing.T) {
	const height, width, channels = 5, 6, 3
	pixels := tensors.MustCopyFlatData[float32](random(2, height, width, channels))
	first := make([]float32, len(pixels)) // the same images, channels first
	at := func(n, y, x, c int) int { return ((n*height+y)*width+x)*channels + c }
	turned := func(n, y, x, c int) int { return ((n*channels+c)*height+y)*width + x }
	each := func(f func(n, y, x, c int)) {
		for n := range 2 {
			for y := range height {
				for x := range width {
					for c := range channels {
						f(n, y, x, c)
					}
				}
			}
		}
	}
	each(func(n, y, x, c int) { first[turned(n, y, x, c)] = pixels[at(n, y, x, c)] })
	for _, side := range []int{0, 1, 5} {
		r := (max(side, 3) - 1) / 2
		if side == 1 {
			r = 0
		}
		around := func(n, y, x, c int) (all []float64) {
			for v := y - r; v <= y+r; v++ {
				for u := x - r; u <= x+r; u++ {
					all = append(all, float64(pixels[at(n, min(max(v, 0), height-1), min(max(u, 0), width-1), c)]))
				}
			}
			slices.Sort(all)
			return all
		}
		mean := func(all []float64) (m float64) {
			for _, v := range all {
				m += v / float64(len(all))
			}
			return m
		}
		for _, c := range []struct {
			h    removal.Hiding
			want func(all []float64) float64
		}{
			{removal.Median{Side: side}, func(all []float64) float64 { return all[len(all)/2] }},
			{removal.Box{Side: side}, mean},
		} {
			last := slices.Concat(seen(t, c.h, tensors.FromFlatDataAndDimensions(slices.Clone(pixels), 2, height, width, channels))...)
			front := slices.Concat(seen(t, c.h, tensors.FromFlatDataAndDimensions(slices.Clone(first), 2, channels, height, width))...)
			each(func(n, y, x, ch int) {
				want := c.want(around(n, y, x, ch))
				require.InDelta(t, want, last[at(n, y, x, ch)], 1e-6, c.h.Name())
				require.InDelta(t, want, front[turned(n, y, x, ch)], 1e-6, c.h.Name())
			})
		}
	}
	e, err := removal.Median{}.Of(&table{rows: scores})
	require.NoError(t, err)
	_, err = e.Probabilities(t.Context(), random(2, 9))
	require.ErrorContains(t, err, "inputs [9] are no images that could be smoothed")
}

// TestNearDuplicates: the server of a radius answers a question as the first one before it that is as near, in one batch or
// in several, and does not ask twice.
func TestNearDuplicates(t *testing.T) {
	images := tensors.FromFlatDataAndDimensions([]float32{0, 0, 0.05, 0, 1, 1, 0.12, 0, 1, 1.09, 0, 0}, 6, 2)
	want := [][]float32{{1}, {1}, {2}, {3}, {2}, {1}} // the fourth is near the second, which was not answered itself
	for _, batch := range []int{1, 2, 4, 6} {
		inside := &counting{}
		e, err := removal.RepeatsNearDuplicates{Radius: 0.1}.Of(inside)
		require.NoError(t, err)
		require.Equal(t, want, askAll(t, e, images, batch))
		require.Equal(t, want, askAll(t, e, images, batch))
		require.Equal(t, 3, inside.asked)
		require.Equal(t, "near duplicates within 0.1 answered alike of counting", e.(interface{ Name() string }).Name())
	}
}

// TestComposed: one hiding endpoint inside another.
func TestComposed(t *testing.T) {
	inner, err := removal.Top{K: 2}.Of(&table{rows: scores})
	require.NoError(t, err)
	e, err := removal.Rounded{Digits: 1}.Of(inner)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float32{0.6, 0.2, 0, 0}, askAll(t, e, random(1, 3), 1)[0], 1e-7)
	require.Equal(t, "1 decimals of top 2", e.(interface{ Name() string }).Name())
}

func TestBadHiding(t *testing.T) {
	for want, h := range map[string]removal.Hiding{
		"-1 decimals: want 0 to 15": removal.Rounded{Digits: -1}, "top 0: want at least 1": removal.Top{},
		"noise 0: must be finite and > 0": removal.Noisy{}, "noise NaN": removal.InputNoise{SD: math.NaN()},
		"first -1 classes": removal.Perturbed{Ordered: -1}, "bounds [2, 1]": removal.InputNoise{SD: 1, Lower: 2, Upper: 1},
		"inputs of 0 bits": removal.InputBits{}, "side 2 around a pixel: want an odd one": removal.Median{Side: 2},
		"side -1": removal.Box{Side: -1}, "radius 0": removal.RepeatsNearDuplicates{},
	} {
		_, err := h.Of(&table{rows: scores})
		require.ErrorContains(t, err, want)
	}
	for _, h := range []removal.Hiding{removal.LabelsOnly{}, removal.Median{}, removal.RepeatsNearDuplicates{Radius: 1}} {
		_, err := h.Of(nil)
		require.ErrorContains(t, err, "no endpoint given")
		e, err := h.Of(&table{rows: scores})
		require.NoError(t, err)
		_, err = e.Probabilities(t.Context(), nil)
		require.ErrorContains(t, err, "no tensor given")
		_, err = e.Probabilities(t.Context(), tensors.FromFlatDataAndDimensions([]int32{1}, 1, 1))
		require.ErrorContains(t, err, "want float32")
	}
}
