package report

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func drawn(t *testing.T, p interface{ PNG() ([]byte, error) }) image.Image {
	t.Helper()
	data, err := p.PNG()
	require.NoError(t, err)
	again, err := p.PNG()
	require.NoError(t, err)
	assert.True(t, bytes.Equal(data, again), "the same figure gives the same bytes")
	img, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	return img
}

// count returns how many pixels have nearly the color.
func count(img image.Image, c color.NRGBA) int {
	n := 0
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			if math.Abs(float64(r>>8)-float64(c.R)) < 4 && math.Abs(float64(g>>8)-float64(c.G)) < 4 && math.Abs(float64(b>>8)-float64(c.B)) < 4 {
				n++
			}
		}
	}
	return n
}

func TestFiguresAreDeterministic(t *testing.T) {
	for _, f := range []*Figure{sampleLines(), sampleHeat(), sampleMixed()} {
		img := drawn(t, f)
		assert.Equal(t, 1120, img.Bounds().Dx())
		r, g, b, a := img.At(0, 0).RGBA()
		assert.Equal(t, [4]uint32{0xffff, 0xffff, 0xffff, 0xffff}, [4]uint32{r, g, b, a}, "white background")
	}
	drawn(t, sampleGrid())
}

// The area of a bar is proportional to its value, whichever way it is drawn.
func TestBarsShowTheirValues(t *testing.T) {
	bars := func(stacked bool) image.Image {
		return drawn(t, &Figure{Panels: []Panel{{Marks: []Mark{Bars{Groups: []string{"a", "b"}, Stacked: stacked,
			Series: []BarSeries{{Values: []float64{1, 2}}, {Values: []float64{4, 8}}}}}}}})
	}
	for _, stacked := range []bool{false, true} {
		img := bars(stacked)
		ratio := float64(count(img, seriesColor(1))) / float64(count(img, seriesColor(0)))
		assert.InDelta(t, 4, ratio, 0.12, "stacked: %v", stacked)
	}
}

// Cells of a heat map have the color that the scale gives their value, and the bar shows the whole scale.
func TestHeatShowsItsValues(t *testing.T) {
	h := Heat{X: []string{"0", "1"}, Y: []string{"0"}, Z: [][]float64{{0, 1}}, NoNumbers: true}
	img := drawn(t, &Figure{Panels: []Panel{{Marks: []Mark{h}}}})
	assert.Greater(t, count(img, sequential[0]), 50000)
	assert.Greater(t, count(img, sequential[len(sequential)-1]), 50000)
	h.Z[0][1] = math.NaN()
	img = drawn(t, &Figure{Panels: []Panel{{Marks: []Mark{h}}}})
	assert.Greater(t, count(img, color.NRGBA{0xd0, 0xd0, 0xd0, 255}), 50000, "a missing number is gray")

	s := heatScale(&Figure{Panels: []Panel{{Marks: []Mark{Heat{Z: [][]float64{{-1, 3}}, Diverging: true}}}}})
	assert.Equal(t, -3.0, s.low)
	assert.Equal(t, color.NRGBA{0xf7, 0xf7, 0xf7, 255}, s.color(0))
	// Panels share one scale.
	s = heatScale(&Figure{Panels: []Panel{{Marks: []Mark{Heat{Z: [][]float64{{1, 3}}}}}, {Marks: []Mark{Heat{Z: [][]float64{{-2, 0}}}}}}})
	assert.Equal(t, [2]float64{-2, 3}, [2]float64{s.low, s.high})
}

func TestHistogramCounts(t *testing.T) {
	var d histogramPlot
	require.NoError(t, d.count(Histogram{Values: []float64{0, 0.1, 0.5, 0.9, 1, math.NaN(), 2}, Bins: 2, Max: 1}))
	assert.InDeltaSlice(t, []float64{2.0 / 6, 3.0 / 6}, d.share, 1e-12)
	require.NoError(t, d.count(Histogram{Values: []float64{3, 3}}))
	sum := 0.0
	for _, v := range d.share {
		sum += v
	}
	assert.InDelta(t, 1, sum, 1e-12)
	assert.Error(t, d.count(Histogram{Values: []float64{math.NaN()}}))
}

func TestLegendIsSharedWherePanelsAgree(t *testing.T) {
	line := func(name string) Mark { return Line{Name: name, X: []float64{0, 1}, Y: []float64{0, 1}} }
	same := &Figure{Panels: []Panel{{Marks: []Mark{line("a"), line("b")}}, {Marks: []Mark{line("b"), line("a")}}}}
	assert.True(t, same.sharesLegend())
	s := newStyle(same)
	for _, p := range same.Panels {
		_, err := p.plot(s)
		require.NoError(t, err)
	}
	assert.Equal(t, map[string]int{"a": 0, "b": 1}, s.index, "a name keeps its color")
	assert.Len(t, s.legend, 2)
	other := &Figure{Panels: []Panel{{Marks: []Mark{line("a")}}, {Marks: []Mark{line("b")}}}}
	assert.False(t, other.sharesLegend())
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      []string
	}{
		{0, 1, []string{"0", "0.2", "0.4", "0.6", "0.8", "1"}}, {-4, 5, []string{"-4", "-2", "0", "2", "4"}},
		{0.97, 0.99, []string{"0.97", "0.975", "0.98", "0.985", "0.99"}},
		{0, 1500, []string{"0", "250", "500", "750", "1000", "1250", "1500"}},
	} {
		var got []string
		for _, m := range (ticks{}).Ticks(c.low, c.high) {
			got = append(got, m.Label)
		}
		assert.Equal(t, c.want, got)
	}
	var got []string
	for _, m := range (logTicks{}).Ticks(0.03, 0.3) {
		if m.Label != "" {
			got = append(got, m.Label)
		}
	}
	assert.Equal(t, []string{"0.05", "0.1", "0.2"}, got)
}

func TestBadFigures(t *testing.T) {
	one, two := []float64{1}, []float64{1, 2}
	for want, p := range map[string]Panel{
		"no marks":         {},
		"nil mark":         {Marks: []Mark{nil}},
		"is empty":         {Marks: []Mark{Line{}}},
		"2 and 1 numbers":  {Marks: []Mark{Line{X: two, Y: one}}},
		"infinite":         {Marks: []Mark{Points{X: one, Y: []float64{math.Inf(1)}}}},
		"every number":     {Marks: []Mark{Points{X: one, Y: []float64{math.NaN()}}}},
		"logarithmic":      {X: Axis{Log: true}, Marks: []Mark{Line{X: []float64{0, 1}, Y: two}}},
		"cannot be drawn":  {X: Axis{Min: 2, Max: 1}, Marks: []Mark{Line{X: two, Y: two}}},
		"no series":        {Marks: []Mark{Bars{Groups: []string{"a"}}}},
		"1 and 2 numbers":  {Marks: []Mark{Bars{Groups: []string{"a"}, Series: []BarSeries{{Values: two}}}}},
		"row 1 has 1":      {Marks: []Mark{Heat{X: []string{"a", "b"}, Y: []string{"c"}, Z: [][]float64{one}}}},
		"bins must lie in": {Marks: []Mark{Histogram{Values: one, Bins: -1}}},
	} {
		_, err := (&Figure{Title: "f", Panels: []Panel{p}}).PNG()
		if assert.ErrorContains(t, err, want) {
			assert.NotContains(t, err.Error(), "\n")
		}
	}
	_, err := (&Figure{}).PNG()
	assert.ErrorContains(t, err, "no panels")
}

// What is unusual but right is drawn: one point, equal values, gaps, all zero.
func TestOddFigures(t *testing.T) {
	nan := math.NaN()
	for _, m := range []Mark{
		Line{X: []float64{1}, Y: []float64{2}}, Line{X: []float64{1, 2, 3}, Y: []float64{5, 5, 5}},
		Line{X: []float64{1, 2, 3}, Y: []float64{1, nan, 2}, Low: []float64{0, nan, 1}, High: []float64{2, nan, 3}},
		Bars{Groups: []string{"a"}, Series: []BarSeries{{Values: []float64{0}}}},
		Bars{Groups: []string{"a", "b"}, Series: []BarSeries{{Values: []float64{-1, nan}, Low: []float64{-2, nan}, High: []float64{0, nan}}}},
		Heat{X: []string{"a"}, Y: []string{"b"}, Z: [][]float64{{0.5}}}, Histogram{Values: []float64{1, 1, 1}},
		Points{X: []float64{0, 0}, Y: []float64{0, 0}},
	} {
		_, err := (&Figure{Panels: []Panel{{Marks: []Mark{m, Level{Name: "level", At: 0.5}, Diagonal{}}}}}).PNG()
		assert.NoError(t, err, "%T", m)
	}
}

func TestAltText(t *testing.T) {
	assert.Equal(t, "Accuracy falls with the input budget. line standard, line adversarial (PGD), line joint regularizer, "+
		"reference line chance (robust accuracy against input budget ε (ℓ∞))", sampleLines().AltText())
	assert.Equal(t, "mine", (&Figure{Alt: "mine"}).AltText())
}

// An enlarged image has blocks of its own pixels' colors, unsmoothed; differences are blue and red.
func TestGridPixels(t *testing.T) {
	g := &Grid{Enlarge: 4, Rows: [][]Image{{
		{Height: 1, Width: 2, Channels: 1, Pixels: []float32{0, 1}},
		{Height: 1, Width: 1, Channels: 3, Pixels: []float32{1, 0.5, 0}},
		{Height: 1, Width: 2, Channels: 1, Pixels: []float32{-0.1, 0.1}, Diverging: true},
		{Height: 1, Width: 1, Channels: 1, Pixels: []float32{float32(math.NaN())}},
	}}}
	img := drawn(t, g)
	assert.Equal(t, 16, count(img, color.NRGBA{0, 0, 0, 255}))
	assert.Equal(t, 16, count(img, color.NRGBA{255, 128, 0, 255}))
	assert.Equal(t, 16, count(img, diverging[0]))
	assert.Equal(t, 16, count(img, diverging[len(diverging)-1]))
	assert.Equal(t, 16, count(img, color.NRGBA{255, 0, 255, 255}))
}

func TestDifference(t *testing.T) {
	clean, perturbed := NewImage([]float32{0, 0.5}, 1, 2), NewImage([]float32{0.25, 0.25}, 1, 2, 1)
	assert.Equal(t, Image{Height: 1, Width: 2, Channels: 1, Pixels: []float32{0.25, -0.25}, Diverging: true}, Difference(perturbed, clean))
	_, err := (&Grid{Rows: [][]Image{{Difference(NewImage([]float32{0}, 1, 1), clean)}}}).PNG()
	assert.ErrorContains(t, err, "0 numbers for an image of 1x2x1")
	_, err = (&Grid{Rows: [][]Image{{NewImage([]float32{0}, 1)}}}).PNG()
	assert.ErrorContains(t, err, "0x0x1")
}

func TestBadGrids(t *testing.T) {
	ok := Image{Height: 1, Width: 1, Channels: 1, Pixels: []float32{0}}
	for want, g := range map[string]*Grid{
		"no rows":       {},
		"0 images":      {Rows: [][]Image{{}}},
		"2x2x2":         {Rows: [][]Image{{{Height: 2, Width: 2, Channels: 2}}}},
		"1 numbers for": {Rows: [][]Image{{{Height: 2, Width: 2, Channels: 1, Pixels: []float32{0}}}}},
		"enlarged":      {Rows: [][]Image{{ok}}, Enlarge: -1},
		"range":         {Rows: [][]Image{{{Height: 1, Width: 1, Channels: 1, Pixels: []float32{0}, Range: [2]float32{1, 0}}}}},
		"fewer images": {Rows: [][]Image{{{Height: 4096, Width: 1, Channels: 1, Pixels: make([]float32, 4096)},
			{Height: 1, Width: 4096, Channels: 1, Pixels: make([]float32, 4096)}}}, Enlarge: 64},
	} {
		_, err := g.PNG()
		assert.ErrorContains(t, err, want)
	}
}
