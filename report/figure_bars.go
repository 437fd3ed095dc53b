package report

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Bars are groups of bars, one bar a series in each group, side by side or stacked.
type Bars struct {
	// Groups name the groups along the x axis.
	Groups []string
	Series []BarSeries
	// Stacked puts the bars of a group on top of each other; error bars are left out.
	Stacked bool
}

// BarSeries holds one bar a group; Low and High, where given, are the ends of the error bars.
type BarSeries struct {
	Name              string
	Values, Low, High []float64
}

func (b Bars) describe() string { return fmt.Sprintf("bars of %d groups", len(b.Groups)) }

func (b Bars) check() error {
	if len(b.Series) == 0 {
		return fmt.Errorf("bars have no series: give at least one")
	}
	for _, s := range b.Series {
		if err := checkSeries(s.Name, len(b.Groups), s.Values, s.Low, s.High, need(s.Values)); err != nil {
			return err
		}
	}
	return nil
}

func (b Bars) add(p *plot.Plot, s *style) error {
	d := &barPlot{Bars: b, colors: make([]int, len(b.Series))}
	for k, series := range b.Series {
		i := s.series(series.Name)
		d.colors[k] = i
		s.show(series.Name, boxThumb, boxThumbnail(i))
	}
	s.grid(p)
	p.Add(d)
	s.nominal(&p.X, b.Groups, true)
	return nil
}

func boxThumbnail(i int) func(c *draw.Canvas) {
	return func(c *draw.Canvas) {
		c.FillPolygon(seriesColor(i), corners(c.Rectangle))
	}
}

// barPlot draws Bars; group g is centered at x = g.
type barPlot struct {
	Bars
	colors []int
}

// Plot implements plot.Plotter.
func (b *barPlot) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	const filled = 0.78 // of the distance between groups
	base := math.Max(0, p.Y.Min)
	for g := range b.Groups {
		up, down := 0.0, 0.0
		for k, s := range b.Series {
			v := s.Values[g]
			if math.IsNaN(v) {
				continue
			}
			left, right := float64(g)-filled/2, float64(g)+filled/2
			from, to := base, v
			if b.Stacked {
				if v >= 0 {
					from, to, up = math.Max(up, p.Y.Min), up+v, up+v
				} else {
					from, to, down = down, down+v, down+v
				}
			} else {
				w := filled / float64(len(b.Series))
				left = float64(g) - filled/2 + w*float64(k)
				right = left + w*0.94
			}
			box := corners(vg.Rectangle{Min: vg.Point{X: tx(left), Y: ty(from)}, Max: vg.Point{X: tx(right), Y: ty(to)}})
			c.FillPolygon(seriesColor(b.colors[k]), c.ClipPolygonXY(box))
			if !b.Stacked && len(s.Low) > 0 && len(s.High) > 0 && !math.IsNaN(s.Low[g]) && !math.IsNaN(s.High[g]) {
				errorBar(c, (tx(left)+tx(right))/2, ty(s.Low[g]), ty(s.High[g]))
			}
		}
	}
}

// errorBar draws a vertical error bar with caps, as far as it lies inside the canvas.
func errorBar(c draw.Canvas, x, low, high vg.Length) {
	sty := draw.LineStyle{Color: ink, Width: 1}
	for _, seg := range [][]vg.Point{
		{{X: x, Y: low}, {X: x, Y: high}}, {{X: x - 3, Y: low}, {X: x + 3, Y: low}}, {{X: x - 3, Y: high}, {X: x + 3, Y: high}}} {
		c.StrokeLines(sty, c.ClipLinesXY(seg)...)
	}
}

// DataRange implements plot.DataRanger.
func (b *barPlot) DataRange() (xmin, xmax, ymin, ymax float64) {
	for g := range b.Groups {
		up, down := 0.0, 0.0
		for _, s := range b.Series {
			v := s.Values[g]
			if math.IsNaN(v) {
				continue
			}
			if b.Stacked {
				up, down = up+math.Max(v, 0), down+math.Min(v, 0)
				ymin, ymax = math.Min(ymin, down), math.Max(ymax, up)
				continue
			}
			low, high := rangeOf([]float64{v, 0})
			if len(s.Low) > 0 && len(s.High) > 0 {
				low, high = rangeOf([]float64{low, high, s.Low[g], s.High[g]})
			}
			ymin, ymax = math.Min(ymin, low), math.Max(ymax, high)
		}
	}
	return -0.5, float64(len(b.Groups)) - 0.5, ymin, ymax
}

// Histogram counts values in bins of equal width, as a share of all values.
type Histogram struct {
	Name   string
	Values []float64
	// Bins is the number of bins; 0 means 30.
	Bins int
	// Min and Max are the ends of the bins; where both are 0 they follow the values.
	Min, Max float64
}

func (h Histogram) describe() string { return named("histogram", h.Name) }

func (h Histogram) check() error {
	if h.Bins < 0 || h.Bins > 10000 || !allFinite([]float64{h.Min, h.Max}) || h.Min > h.Max {
		return fmt.Errorf("histogram %q: bins must lie in [0, 10000] and Min below Max", h.Name)
	}
	return checkSeries(h.Name, len(h.Values), h.Values)
}

func (h Histogram) add(p *plot.Plot, s *style) error {
	i := s.series(h.Name)
	d := &histogramPlot{i: i}
	if err := d.count(h); err != nil {
		return err
	}
	s.grid(p)
	p.Add(d)
	s.show(h.Name, boxThumb, boxThumbnail(i))
	return nil
}

type histogramPlot struct {
	i          int
	low, width float64
	share      []float64
}

// count fills the bins; values outside [Min, Max] count in the total alone.
func (d *histogramPlot) count(h Histogram) error {
	low, high := h.Min, h.Max
	if low == 0 && high == 0 {
		low, high = rangeOf(h.Values)
		if math.IsInf(low, 0) {
			return errNothing
		}
	}
	if low == high {
		low, high = low-0.5, high+0.5
	}
	bins := h.Bins
	if bins == 0 {
		bins = 30
	}
	d.low, d.width, d.share = low, (high-low)/float64(bins), make([]float64, bins)
	total := 0.0
	for _, v := range h.Values {
		if math.IsNaN(v) {
			continue
		}
		total++
		if v >= low && v <= high {
			d.share[min(int((v-low)/d.width), bins-1)]++
		}
	}
	if total == 0 {
		return errNothing
	}
	for k := range d.share {
		d.share[k] /= total
	}
	return nil
}

// Plot implements plot.Plotter.
func (d *histogramPlot) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	base := math.Max(0, p.Y.Min)
	fill := seriesColor(d.i)
	fill.A = 110 // so that histograms that overlap are all seen
	outline := []vg.Point{{X: tx(d.low), Y: ty(base)}}
	for k, share := range d.share {
		left, right := tx(d.low+d.width*float64(k)), tx(d.low+d.width*float64(k+1))
		top := ty(math.Max(share, base))
		c.FillPolygon(fill, c.ClipPolygonXY([]vg.Point{{X: left, Y: ty(base)}, {X: right, Y: ty(base)}, {X: right, Y: top}, {X: left, Y: top}}))
		outline = append(outline, vg.Point{X: left, Y: top}, vg.Point{X: right, Y: top})
	}
	outline = append(outline, vg.Point{X: tx(d.low + d.width*float64(len(d.share))), Y: ty(base)})
	c.StrokeLines(draw.LineStyle{Color: seriesColor(d.i), Width: 1}, c.ClipLinesXY(outline)...)
}

// DataRange implements plot.DataRanger.
func (d *histogramPlot) DataRange() (xmin, xmax, ymin, ymax float64) {
	_, top := rangeOf(d.share)
	return d.low, d.low + d.width*float64(len(d.share)), 0, top
}

func (b Bars) names() []string {
	var all []string
	for _, s := range b.Series {
		all = append(all, name(s.Name)...)
	}
	return all
}

func (h Histogram) names() []string { return name(h.Name) }

func (b Bars) margins() [4]float64 {
	below := 0.0
	if _, _, low, _ := (&barPlot{Bars: b}).DataRange(); low < 0 {
		below = 0.06
	}
	return [4]float64{0, 0, below, 0.06}
}

func (h Histogram) margins() [4]float64 { return [4]float64{0, 0, 0, 0.06} }
