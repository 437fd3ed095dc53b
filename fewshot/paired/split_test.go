package paired

import (
	"context"
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/datasets"
)

// Golden values: Python's colorsys.hsv_to_rgb.
func TestHSV(t *testing.T) {
	for _, c := range []struct {
		h, s, v float64
		want    rgb
	}{
		{0, 1, 1, rgb{1, 0, 0}},
		{1. / 3, 1, 1, rgb{0, 1, 0}},
		{0.6, 0.9, 0.5, rgb{0.05, 0.23, 0.5}},
		{0.12, 0.25, 1, rgb{1, 0.93, 0.75}},
		{0.95, 0.8, 1, rgb{1, 0.2, 0.44}},
		{0.3, 0, 0.7, rgb{0.7, 0.7, 0.7}},
	} {
		got := hsv(c.h, c.s, c.v)
		require.InDeltaSlice(t, c.want[:], got[:], 1e-12, "%v", c)
	}
}

// pixelsOf returns image k, in [0, 1].
func pixelsOf(images *tensors.Tensor, k int) [][3]float64 {
	flat := tensors.MustCopyFlatData[float32](images)
	size := len(flat) / images.Shape().Dimensions[0]
	var out [][3]float64
	for i := k * size; i < (k+1)*size; i += 3 {
		out = append(out, [3]float64{float64(flat[i]+1) / 2, float64(flat[i+1]+1) / 2, float64(flat[i+2]+1) / 2})
	}
	return out
}

// strokes recovers the mask of a source image: its color has a largest channel of 1, its ground is black.
func strokes(source *tensors.Tensor, k int) (s []float64) {
	for _, p := range pixelsOf(source, k) {
		s = append(s, max(p[0], p[1], p[2]))
	}
	return s
}

// shaped is what a target's domain makes of a mask, by definition.
func shaped(d Domain, s []float64, side int) []float64 {
	if d == Ink {
		return s
	}
	out := make([]float64, len(s))
	for i := range s {
		low, high := s[i], s[i]
		for j := max(i-side-1, 0); j < min(i+side+2, len(s)); j++ { // no neighbor lies farther
			dy, dx := abs(i/side-j/side), abs(i%side-j%side)
			if d == Outline && dx+dy == 1 || d == Thick && max(dx, dy) == 1 {
				low, high = min(low, s[j]), max(high, s[j])
			}
		}
		if out[i] = high; d == Outline {
			out[i] = high - low
		}
	}
	return out
}

func abs(n int) int { return max(n, -n) }

// Every target image is a blend of two colors by what its domain makes of its source's strokes, so pairs are pairs; the
// colors lie where the domain says, and differ between images. An image of 16 by 16 pixels holds means of the middle of one of 32.
func TestDigitsArePairs(t *testing.T) {
	train, test, err := datasets.Load(context.Background(), "mnist", datasets.Options{})
	require.NoError(t, err)
	for _, d := range []Domain{Ink, Outline, Thick} {
		split := func(size int) *Split {
			o, err := Options{Domain: d, Train: 30, HeldOut: 20, Pairs: 10, Size: size, Seed: 3}.withDefaults(Ink)
			require.NoError(t, err)
			s, err := o.fromSets(context.Background(), train, test)
			require.NoError(t, err)
			return s
		}
		large, small := split(32), split(16)
		for i, set := range []*Set{large.Train, large.HeldOut} {
			require.NoError(t, set.Validate())
			colors := map[float64]bool{}
			for k := range set.Len() {
				ground, stroke := blend(t, shaped(d, strokes(set.Source, k), 32), pixelsOf(set.Target, k))
				checkColors(t, d, ground, stroke)
				colors[math.Round(1000*stroke[0])+1e4*math.Round(1000*stroke[1])] = true
				half := []*Set{small.Train, small.HeldOut}[i]
				require.Less(t, distanceToMeans(pixelsOf(half.Source, k), pixelsOf(set.Source, k)), 1e-5)
				require.Less(t, distanceToMeans(pixelsOf(half.Target, k), pixelsOf(set.Target, k)), 1e-5)
			}
			require.Greater(t, len(colors), set.Len()/2)
			require.Equal(t, set.Labels, []*Set{small.Train, small.HeldOut}[i].Labels)
		}
	}
}

// blend finds the colors of ground and strokes, and checks that the image blends them by the mask.
func blend(t *testing.T, m []float64, image [][3]float64) (ground, stroke [3]float64) {
	t.Helper()
	darkest, strongest := 0, 0
	for i := range m {
		if m[i] < m[darkest] {
			darkest = i
		}
		if m[i] > m[strongest] {
			strongest = i
		}
	}
	require.InDelta(t, 0, m[darkest], 1e-6)
	require.Greater(t, m[strongest], 0.5)
	ground = image[darkest]
	worst := 0.
	for c := range 3 {
		stroke[c] = ground[c] + (image[strongest][c]-ground[c])/m[strongest]
		for i := range m {
			worst = max(worst, math.Abs(ground[c]+m[i]*(stroke[c]-ground[c])-image[i][c]))
		}
	}
	require.Less(t, worst, 1e-5)
	return ground, stroke
}

// distanceToMeans compares 16 by 16 pixels with means over the middle 24 by 24 of 32 by 32: every second pixel of the small image
// begins with a whole row of the large one and ends with half of the next, the others the other way round.
func distanceToMeans(small, large [][3]float64) (worst float64) {
	parts := func(i int) (first int, weights [2]float64) {
		if first = 4 + 3*i/2; i%2 == 0 {
			return first, [2]float64{2. / 3, 1. / 3}
		}
		return first, [2]float64{1. / 3, 2. / 3}
	}
	for i, p := range small {
		y, rows := parts(i / 16)
		x, columns := parts(i % 16)
		for c := range 3 {
			mean := 0.
			for dy, row := range rows {
				for dx, column := range columns {
					mean += row * column * large[(y+dy)*32+x+dx][c]
				}
			}
			worst = max(worst, math.Abs(mean-p[c]))
		}
	}
	return worst
}

func checkColors(t *testing.T, d Domain, ground, stroke [3]float64) {
	t.Helper()
	value := func(c [3]float64, saturation, want float64) {
		t.Helper()
		high, low := max(c[0], c[1], c[2]), min(c[0], c[1], c[2])
		require.InDelta(t, want, high, 1e-4)
		require.InDelta(t, saturation, (high-low)/high, 1e-4)
	}
	switch d {
	case Ink:
		value(ground, 0.25, 1)
		value(stroke, 0.9, 0.5)
		require.Equal(t, 1., math.Round(1e4*ground[0])/1e4, "paper is yellowish: red is its largest channel")
		require.Greater(t, ground[1], ground[2])
		require.InDelta(t, 0.5, stroke[2], 1e-4, "ink is bluish")
	case Outline:
		value(ground, 0.9, 0.35)
		value(stroke, 0.15, 1)
	case Thick:
		require.InDeltaSlice(t, []float64{0, 0, 0}, ground[:], 1e-6)
		value(stroke, 0.8, 1)
	}
}

func TestDigitsSplit(t *testing.T) {
	o := Options{Train: 300, HeldOut: 100, Pairs: 25, Seed: 8}
	split, err := Digits(context.Background(), o)
	require.NoError(t, err)
	require.Equal(t, []int{300, 16, 16, 3}, split.Source.Shape().Dimensions)
	require.Equal(t, split.SourceLabels, split.Train.Labels)
	require.Equal(t, 10, split.Few.Classes)
	require.Len(t, split.ClassNames, 10)
	counts := func(labels []int32) (low, high int) {
		n := make([]int, 10)
		for _, l := range labels {
			n[l]++
		}
		low = n[0]
		for _, c := range n {
			low, high = min(low, c), max(high, c)
		}
		return low, high
	}
	for _, c := range []struct {
		set  *Set
		want int
	}{{split.Few, 2}, {split.HeldOut, 10}, {split.Train, 30}} {
		low, high := counts(c.set.Labels)
		require.Equal(t, c.want, low)
		require.LessOrEqual(t, high-low, 1)
	}
	// Contents differ, held-out ones from those of training too.
	seen := map[string]bool{}
	for _, set := range []*Set{split.Train, split.HeldOut} {
		for k := range set.Len() {
			content := ""
			for _, s := range strokes(set.Source, k) {
				content += string(rune(math.Round(250 * s)))
			}
			require.False(t, seen[content])
			seen[content] = true
		}
	}
	// A smaller split holds the first images of a larger one, in either domain's appearance.
	small, err := Digits(context.Background(), Options{Train: 40, HeldOut: 30, Pairs: 7, Seed: 8})
	require.NoError(t, err)
	first := func(n int) (rows []int) {
		for i := range n {
			rows = append(rows, i)
		}
		return rows
	}
	for _, c := range [][2]*Set{{small.Few, split.Few}, {small.Train, split.Train}, {small.HeldOut, split.HeldOut}} {
		want := c[1].Subset(first(c[0].Len()))
		require.True(t, want.Source.Equal(c[0].Source))
		require.True(t, want.Target.Equal(c[0].Target))
		require.Equal(t, want.Labels, c[0].Labels)
	}
	o.Domain = Thick
	thick, err := Digits(context.Background(), o)
	require.NoError(t, err)
	require.True(t, thick.Source.Equal(split.Source))
	require.False(t, thick.Train.Target.Equal(split.Train.Target))
	o.Seed = 9
	other, err := Digits(context.Background(), o)
	require.NoError(t, err)
	require.False(t, other.Source.Equal(split.Source))
}

// overlap returns the share of strokes that two masks have in common.
func overlap(a, b []float64) float64 {
	both, all := 0., 0.
	for i := range a {
		both, all = both+min(a[i], b[i]), all+max(a[i], b[i])
	}
	return both / all
}

// In two typefaces strokes differ, but those of a pair much less than those of a shuffled set.
func TestGlyphs(t *testing.T) {
	o := Options{Train: 60, HeldOut: 20, Pairs: 10, Seed: 2, Data: datasets.Options{Glyphs: datasets.GlyphOptions{Scripts: []string{"latin"}}}}
	split, err := Glyphs(context.Background(), o)
	require.NoError(t, err)
	mean := func(s *Set) (sum float64) {
		require.NoError(t, s.Validate())
		for k := range s.Len() {
			share := overlap(strokes(s.Source, k), strokes(s.Target, k))
			require.Less(t, share, 0.999)
			sum += share / float64(s.Len())
		}
		return sum
	}
	paired, shuffled := mean(split.Train), mean(split.Train.Shuffled(0))
	require.Greater(t, paired, shuffled+0.15, "%g, %g", paired, shuffled)
	require.Equal(t, 37, split.Train.Classes)
	require.Equal(t, "A", split.ClassNames[0])
	more, err := Glyphs(context.Background(), Options{Train: 90, HeldOut: 20, Pairs: 15, Seed: 2, Data: o.Data})
	require.NoError(t, err)
	require.True(t, split.Train.Target.Equal(more.Train.Subset(allRows(60)).Target))
	require.True(t, split.HeldOut.Target.Equal(more.HeldOut.Target))
	// In other domains both are in the first typeface.
	o.Domain, o.Size = Ink, 32
	inked, err := Glyphs(context.Background(), o)
	require.NoError(t, err)
	for k := range 5 {
		s, target := strokes(inked.Train.Source, k), pixelsOf(inked.Train.Target, k)
		for i := range s {
			if s[i] < 1e-6 {
				require.InDelta(t, 1, target[i][0], 1e-4, "paper where there is no stroke")
			}
		}
	}
}

func allRows(n int) (rows []int) {
	for i := range n {
		rows = append(rows, i)
	}
	return rows
}

func TestOptions(t *testing.T) {
	ctx := context.Background()
	for want, o := range map[string]Options{
		"K=1: the relation loss needs at least 2 pairs":      {Pairs: 1},
		"K=-3: the relation loss":                            {Pairs: -3},
		"10 source images, 20 pairs":                         {Train: 10},
		"1 held-out pairs":                                   {HeldOut: 1},
		"images of 20 by 20 pixels: want 16 or 32":           {Size: 20},
		`no domain "oil": want one of [ink outline thick`:    {Domain: "oil"},
		"handwritten digits have no typeface":                {Domain: Typeface},
		"want at most 60000, the size of the train split":    {Train: 60001},
		"want at most 10000, the size of the test split":     {HeldOut: 10001},
		"mnist: /nowhere is not a folder: give --data-dir o": {Data: datasets.Options{Dir: "/nowhere"}},
	} {
		_, err := Digits(ctx, o)
		require.ErrorContains(t, err, want)
	}
	for want, o := range map[string]Options{
		`no typeface "comic"`:                 {Typefaces: [2]string{"comic", ""}},
		"both in go-mono: want two typefaces": {Typefaces: [2]string{"go-mono", "go-mono"}},
		"typeface latin-modern-roman-italic has no ": {Typefaces: [2]string{"", "latin-modern-roman-italic"},
			Data: datasets.Options{Glyphs: datasets.GlyphOptions{Characters: "Ж"}}},
		`no script "runes"`: {Data: datasets.Options{Glyphs: datasets.GlyphOptions{Scripts: []string{"runes"}}}},
	} {
		_, err := Glyphs(ctx, o)
		require.ErrorContains(t, err, want)
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	_, err := Digits(stopped, Options{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = Glyphs(stopped, Options{})
	require.ErrorIs(t, err, context.Canceled)
}

// Classes used up, and classes without examples, do not stop the others.
func TestBalanced(t *testing.T) {
	labels := []int32{3, 3, 3, 3, 0, 0, 1}
	order := balanced(labels, 4, 1)
	seen := map[int]bool{}
	n := map[int32]int{}
	for i, row := range order {
		seen[row] = true
		n[labels[row]]++
		if i == 2 {
			require.Equal(t, map[int32]int{0: 1, 1: 1, 3: 1}, n)
		}
		if i == 4 {
			require.Equal(t, map[int32]int{0: 2, 1: 1, 3: 2}, n)
		}
	}
	require.Len(t, seen, len(labels))
}
