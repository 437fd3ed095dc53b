package lab

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// call runs a graph of one result.
func call(t *testing.T, fn func(inputs []*graph.Node) *graph.Node, inputs ...any) *tensors.Tensor {
	t.Helper()
	out, err := graph.CallOnce(testengine.Quick(t).Backend(), fn, inputs...)
	require.NoError(t, err)
	return out
}

func flat(x *tensors.Tensor) []float32 { return tensors.MustCopyFlatData[float32](x) }

func toLab(in []*graph.Node) *graph.Node { return RGBToLab(in[0]) }
func toRGB(in []*graph.Node) *graph.Node { return LabToRGB(in[0]) }

// Golden values: scikit-image 0.25, color.rgb2lab, whose two constants for dark colors are rounded.
func TestRGBToLab(t *testing.T) {
	got := call(t, toLab, [][]float32{{1, 1, 1}, {1, 0, 0}, {0.2, 0.5, 0.8}, {0, 0, 0}, {0.5, 0.5, 0.5}, {0.01, 0.02, 0.03}, {0.9, 0.1, 0.6}})
	want := [][]float64{
		{100, -0.00245493786, 0.00465342115},
		{53.2405879, 80.0923082, 67.2027510},
		{52.2520606, 2.77602273, -46.2857139},
		{0, 0, 0},
		{53.3889647, -0.00146849652, 0.00278358687},
		{1.30005392, -0.312350277, -1.19976500},
		{51.5666945, 78.9800883, -16.3542674},
	}
	for i, lab := range want {
		for c, v := range lab {
			require.InDelta(t, v, flat(got)[3*i+c], 2e-4, "color %d, channel %d", i, c)
		}
	}
}

func TestInverse(t *testing.T) {
	inv := toXYZ.inverse()
	for r := range 3 {
		for c := range 3 {
			sum, want := 0., 0.
			for k := range 3 {
				sum += toXYZ[r][k] * inv[k][c]
			}
			if r == c {
				want = 1
			}
			require.InDelta(t, want, sum, 1e-14)
		}
	}
}

// random returns images with values from low to high, the corners of the color cube among them.
func random(seed uint64, n, size int, low, high float32) *tensors.Tensor {
	rng := rand.New(rand.NewPCG(seed, 1))
	values := make([]float32, n*size*size*3)
	for i := range values {
		values[i] = low + (high-low)*rng.Float32()
	}
	for i := range 8 {
		for c := range 3 {
			values[3*i+c] = low + (high-low)*float32(i>>c&1)
		}
	}
	return tensors.FromFlatDataAndDimensions(values, n, size, size, 3)
}

func TestRoundTrip(t *testing.T) {
	x := random(1, 4, 16, 0, 1)
	dark := random(2, 4, 16, 0, 0.1) // both knees lie here
	for _, images := range []*tensors.Tensor{x, dark} {
		back := call(t, func(in []*graph.Node) *graph.Node { return LabToRGB(RGBToLab(in[0])) }, images)
		require.InDeltaSlice(t, flat(images), flat(back), 1e-5)
	}
	// Colors that no display shows leave [0, 1] rather than being clipped; all values are finite.
	outside := 0
	for _, v := range flat(call(t, toRGB, [][]float32{{50, 100, -100}, {80, -100, 90}, {5, 30, 30}, {0, -100, 100}})) {
		require.False(t, math.IsNaN(float64(v)) || math.IsInf(float64(v), 0))
		if v < 0 || v > 1 {
			outside++
		}
	}
	require.Greater(t, outside, 3)
}

// Gradients agree with differences of the closed form in float64, and are finite at black and at both knees.
func TestGradients(t *testing.T) {
	colors := [][]float32{{0.2, 0.5, 0.8}, {0.9, 0.03, 0.4}, {0, 0, 0}, {1, 1, 1}, {0.04045, 0.04045, 0.04045}, {0, 0, 1}, {0.01, 0.02, 0.03}}
	weights := [][]float32{{1, 0.7, -0.4}}
	gradient := flat(call(t, func(in []*graph.Node) *graph.Node {
		return graph.Gradient(graph.ReduceAllSum(graph.Mul(RGBToLab(in[0]), in[1])), in[0])[0]
	}, colors, weights))
	for i, color := range colors {
		for c := range 3 {
			v := gradient[3*i+c]
			require.False(t, math.IsNaN(float64(v)) || math.IsInf(float64(v), 0), "color %d", i)
			if i == 4 {
				continue // on the knee
			}
			const h = 1e-6
			at := func(by float64) (sum float64) {
				x := [3]float64{float64(color[0]), float64(color[1]), float64(color[2])}
				x[c] += by
				for k, lab := range labOf(x) {
					sum += lab * float64(weights[0][k])
				}
				return sum
			}
			want := (at(h) - at(-h)) / (2 * h)
			require.InDelta(t, want, v, 1e-3*max(1, math.Abs(want)), "color %v, channel %d", color, c)
		}
	}
	labs := flat(call(t, toLab, colors))
	back := call(t, func(in []*graph.Node) *graph.Node {
		return graph.Gradient(graph.ReduceAllSum(graph.Square(LabToRGB(in[0]))), in[0])[0]
	}, tensors.FromFlatDataAndDimensions(labs, len(colors), 3))
	for _, v := range flat(back) {
		require.False(t, math.IsNaN(float64(v)) || math.IsInf(float64(v), 0))
	}
}

// labOf is the definition, in float64.
func labOf(rgb [3]float64) [3]float64 {
	var f [3]float64
	for i, row := range toXYZ {
		t := 0.
		for k, w := range row {
			v := rgb[k] / 12.92
			if rgb[k] > 0.04045 {
				v = math.Pow((rgb[k]+0.055)/1.055, 2.4)
			}
			t += w * v
		}
		if t /= white[i]; t > 216./24389 {
			f[i] = math.Cbrt(t)
		} else {
			f[i] = (24389./27*t + 16) / 116
		}
	}
	return [3]float64{116*f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])}
}

func TestRange(t *testing.T) {
	images := random(3, 3, 8, -1, 1)
	low, high := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	v := flat(images)
	for i := 0; i < len(v); i += 3 {
		lab := labOf([3]float64{float64(v[i]+1) / 2, float64(v[i+1]+1) / 2, float64(v[i+2]+1) / 2})
		for c := range 2 {
			low[c], high[c] = min(low[c], lab[1+c]), max(high[c], lab[1+c])
		}
	}
	got := call(t, func(in []*graph.Node) *graph.Node { return Range(in[0]) }, images)
	require.Equal(t, []int{2, 2}, got.Shape().Dimensions)
	require.InDeltaSlice(t, []float64{low[0], high[0], low[1], high[1]}, flat(got), 1e-3)
}

// shift runs Shift with a seed.
func shift(t *testing.T, seed int64, images, channelRange any) (*tensors.Tensor, error) {
	t.Helper()
	store := model.NewStore()
	require.NoError(t, store.SetRNGStateFromSeed(seed))
	return model.CallOnce(testengine.Quick(t).Backend(), store, func(scope *model.Scope, in []*graph.Node) *graph.Node {
		return Shift(scope, in[0], in[1])
	}, images, channelRange)
}

// Lightness stays where the display clips nothing; colors move by one offset an image, a multiple of a hundredth of half the
// range, unless the range clips it.
func TestShift(t *testing.T) {
	const n, size = 64, 8
	images := random(4, n, size, -0.3, 0.3)
	channelRange := call(t, func(in []*graph.Node) *graph.Node { return Range(in[0]) }, images)
	bounds := flat(channelRange)
	shifted, err := shift(t, 5, images, channelRange)
	require.NoError(t, err)
	lab := func(images *tensors.Tensor) []float32 {
		return flat(call(t, func(in []*graph.Node) *graph.Node { return RGBToLab(toUnit(in[0])) }, images))
	}
	before, after, rgb := lab(images), lab(shifted), flat(shifted)
	unclipped, moved, levelsSeen := 0, 0, map[int]bool{}
	for k := range n {
		offsets := [2][]float64{}
		for p := k * size * size; p < (k+1)*size*size; p++ {
			i := 3 * p
			if max(rgb[i], rgb[i+1], rgb[i+2]) > 0.999 || min(rgb[i], rgb[i+1], rgb[i+2]) < -0.999 {
				continue
			}
			unclipped++
			require.InDelta(t, before[i], after[i], 0.01)
			for c := range 2 {
				low, high, v := bounds[2*c], bounds[2*c+1], after[i+1+c]
				require.True(t, v > low-0.01 && v < high+0.01)
				if v > low+0.01 && v < high-0.01 {
					offsets[c] = append(offsets[c], float64(v-before[i+1+c]))
				}
			}
		}
		for c := range 2 {
			require.NotEmpty(t, offsets[c])
			level := offsets[c][0] / float64(bounds[2*c+1]-bounds[2*c]) * 200
			require.InDelta(t, math.Round(level), level, 0.05, "image %d", k)
			require.LessOrEqual(t, math.Abs(level), 100.05)
			levelsSeen[int(math.Round(level))] = true
			if math.Abs(level) > 10 {
				moved++
			}
			for _, o := range offsets[c] {
				require.InDelta(t, offsets[c][0], o, 0.01)
			}
		}
	}
	require.Greater(t, unclipped, n*size*size/2)
	require.Greater(t, moved, n)
	require.Greater(t, len(levelsSeen), 70) // 128 draws of 201 levels: 95 expected
	for _, v := range rgb {
		require.True(t, v >= -1 && v <= 1)
	}
	again, err := shift(t, 5, images, channelRange)
	require.NoError(t, err)
	require.True(t, again.Equal(shifted))
	other, err := shift(t, 6, images, channelRange)
	require.NoError(t, err)
	require.False(t, other.Equal(shifted))
}

func TestShiftOfAnEmptyRange(t *testing.T) {
	images := random(7, 4, 4, -1, 1)
	same, err := shift(t, 1, images, [][]float32{{5, 5}, {-3, -3}})
	require.NoError(t, err)
	require.True(t, same.Equal(images), "to the bit")
	// One channel alone: its color moves, that of the other does not.
	images = random(8, 6, 4, -0.2, 0.2)
	half, err := shift(t, 2, images, [][]float32{{-60, 60}, {0, 0}})
	require.NoError(t, err)
	require.False(t, half.Equal(images))
	lab := func(images *tensors.Tensor) []float32 {
		return flat(call(t, func(in []*graph.Node) *graph.Node { return RGBToLab(toUnit(in[0])) }, images))
	}
	before, after, rgb := lab(images), lab(half), flat(half)
	for i := 0; i < len(rgb); i += 3 {
		if max(rgb[i], rgb[i+1], rgb[i+2]) < 0.999 && min(rgb[i], rgb[i+1], rgb[i+2]) > -0.999 {
			require.InDelta(t, before[i+2], after[i+2], 0.01)
		}
	}
}

func TestShiftStopsGradients(t *testing.T) {
	store := model.NewStore()
	out, err := model.CallOnce(testengine.Quick(t).Backend(), store, func(scope *model.Scope, in []*graph.Node) *graph.Node {
		y := graph.Add(Shift(scope, in[0], Range(in[0])), graph.MulScalar(in[0], 2))
		return graph.Gradient(graph.ReduceAllSum(y), in[0])[0]
	}, random(9, 2, 4, -1, 1))
	require.NoError(t, err)
	for _, v := range flat(out) {
		require.Equal(t, float32(2), v)
	}
}

func TestRefuses(t *testing.T) {
	gray := tensors.FromFlatDataAndDimensions(make([]float32, 32), 2, 4, 4, 1)
	_, err := shift(t, 1, gray, [][]float32{{0, 1}, {0, 1}})
	require.ErrorContains(t, err, "images have 1 channels; the Lab shift needs RGB")
	_, err = shift(t, 1, random(1, 1, 4, 0, 1), [][]float32{{0, 1, 2}})
	require.ErrorContains(t, err, "want (Float32)[2, 2]")
	_, err = shift(t, 1, [][]float32{{0, 1, 2}}, [][]float32{{0, 1}, {0, 1}})
	require.ErrorContains(t, err, "want [n, height, width, 3]")
	_, err = graph.CallOnce(testengine.Quick(t).Backend(), toLab, [][]int32{{1, 2, 3}})
	require.ErrorContains(t, err, "want floating-point [..., 3]")
	_, err = graph.CallOnce(testengine.Quick(t).Backend(), toRGB, [][]float32{{1, 2}})
	require.ErrorContains(t, err, "channels last, in Lab")
}
