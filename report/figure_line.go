package report

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Line is a series of points joined by a line, with an optional error band. NaN leaves a gap.
type Line struct {
	Name string
	X, Y []float64
	// Low and High bound the error band; empty: none.
	Low, High []float64
	// NoPoints leaves out the marks at the points.
	NoPoints bool
}

func (l Line) check() error     { return checkSeries(l.Name, len(l.X), l.X, l.Y, l.Low, l.High, need(l.Y)) }
func (l Line) describe() string { return named("line", l.Name) }

// need makes an empty slice fail the check of lengths.
func need(v []float64) []float64 {
	if len(v) == 0 {
		return []float64{math.Inf(1)}
	}
	return v
}

func named(kind, name string) string {
	if name == "" {
		return kind
	}
	return kind + " " + name
}

func (l Line) add(p *plot.Plot, s *style) error {
	i := s.series(l.Name)
	d := &linePlot{l, i}
	if xmin, _, ymin, _ := d.DataRange(); math.IsInf(xmin, 0) || math.IsInf(ymin, 0) {
		return errNothing
	}
	s.grid(p)
	p.Add(d)
	s.show(l.Name, lineThumb, func(c *draw.Canvas) {
		if len(l.Low) > 0 {
			c.FillPolygon(pale(seriesColor(i)), corners(c.Rectangle))
		}
		c.StrokeLine2(lineStyle(i), c.Min.X, c.Center().Y, c.Max.X, c.Center().Y)
		if !l.NoPoints {
			c.DrawGlyph(glyphStyle(i), c.Center())
		}
	})
	return nil
}

// linePlot draws a Line.
type linePlot struct {
	Line
	i int
}

// Plot implements plot.Plotter.
func (l *linePlot) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	if len(l.Low) > 0 && len(l.High) > 0 {
		for _, run := range l.runs(l.Low, l.High) {
			var band []vg.Point
			for k := run[0]; k < run[1]; k++ {
				band = append(band, vg.Point{X: tx(l.X[k]), Y: ty(l.High[k])})
			}
			for k := run[1] - 1; k >= run[0]; k-- {
				band = append(band, vg.Point{X: tx(l.X[k]), Y: ty(l.Low[k])})
			}
			c.FillPolygon(pale(seriesColor(l.i)), c.ClipPolygonXY(band))
		}
	}
	for _, run := range l.runs(l.Y) {
		var line []vg.Point
		for k := run[0]; k < run[1]; k++ {
			line = append(line, vg.Point{X: tx(l.X[k]), Y: ty(l.Y[k])})
		}
		c.StrokeLines(lineStyle(l.i), c.ClipLinesXY(line)...)
		for _, at := range line {
			if !l.NoPoints && c.Contains(at) {
				c.DrawGlyph(glyphStyle(l.i), at)
			}
		}
	}
}

// runs returns the ranges of points [from, to) at which all the given series are numbers.
func (l *linePlot) runs(series ...[]float64) [][2]int {
	var runs [][2]int
	open := false
	for k := range l.X {
		ok := !math.IsNaN(l.X[k])
		for _, v := range series {
			ok = ok && !math.IsNaN(v[k])
		}
		switch {
		case ok && open:
			runs[len(runs)-1][1] = k + 1
		case ok:
			runs = append(runs, [2]int{k, k + 1})
		}
		open = ok
	}
	return runs
}

// DataRange implements plot.DataRanger.
func (l *linePlot) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, xmax = rangeOf(l.X)
	ymin, ymax = rangeOf(l.Y, l.Low, l.High)
	return
}

// rangeOf returns the least and the greatest number, ignoring NaN; (+Inf, -Inf) where there is none.
func rangeOf(series ...[]float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range series {
		for _, x := range v {
			if !math.IsNaN(x) {
				low, high = math.Min(low, x), math.Max(high, x)
			}
		}
	}
	return low, high
}

// Points is a scatter of unjoined points.
type Points struct {
	Name string
	X, Y []float64
}

func (m Points) check() error     { return checkSeries(m.Name, len(m.X), m.X, m.Y, need(m.Y)) }
func (m Points) describe() string { return named("points", m.Name) }

func (m Points) add(p *plot.Plot, s *style) error {
	i := s.series(m.Name)
	var xys plotter.XYs
	for k := range m.X {
		if !math.IsNaN(m.X[k]) && !math.IsNaN(m.Y[k]) {
			xys = append(xys, plotter.XY{X: m.X[k], Y: m.Y[k]})
		}
	}
	if len(xys) == 0 {
		return errNothing
	}
	sc, err := plotter.NewScatter(xys)
	if err != nil {
		return err
	}
	sc.GlyphStyle = glyphStyle(i)
	if len(xys) > 300 {
		sc.Radius = 1.4
	}
	s.grid(p)
	p.Add(sc)
	s.show(m.Name, boxThumb, func(c *draw.Canvas) { c.DrawGlyph(glyphStyle(i), c.Center()) })
	return nil
}

// Diagonal is the reference line y = x.
type Diagonal struct{ Name string }

func (Diagonal) check() error     { return nil }
func (Diagonal) describe() string { return "the diagonal" }

var referenceStyle = draw.LineStyle{Color: muted, Width: 1, Dashes: []vg.Length{3, 3}}

func (m Diagonal) add(p *plot.Plot, s *style) error {
	p.Add(plotFunc(func(c draw.Canvas, p *plot.Plot) {
		tx, ty := p.Transforms(&c)
		// Both ends inside both axes, so that logarithms stay defined.
		low, high := math.Max(p.X.Min, p.Y.Min), math.Min(p.X.Max, p.Y.Max)
		if low < high {
			c.StrokeLine2(referenceStyle, tx(low), ty(low), tx(high), ty(high))
		}
	}))
	s.showReference(m.Name)
	return nil
}

// Level is a reference line at one value of y, or of x where Vertical is set.
type Level struct {
	Name     string
	At       float64
	Vertical bool
}

func (m Level) check() error     { return checkSeries(m.Name, 1, need(dropNaN(m.At))) }
func (m Level) describe() string { return named("reference line", m.Name) }

func dropNaN(x float64) []float64 {
	if math.IsNaN(x) {
		return nil
	}
	return []float64{x}
}

func (m Level) add(p *plot.Plot, s *style) error {
	if m.Vertical {
		p.X.Min, p.X.Max = math.Min(p.X.Min, m.At), math.Max(p.X.Max, m.At)
	} else {
		p.Y.Min, p.Y.Max = math.Min(p.Y.Min, m.At), math.Max(p.Y.Max, m.At)
	}
	p.Add(plotFunc(func(c draw.Canvas, p *plot.Plot) {
		tx, ty := p.Transforms(&c)
		switch {
		case m.Vertical && c.ContainsX(tx(m.At)):
			c.StrokeLine2(referenceStyle, tx(m.At), c.Min.Y, tx(m.At), c.Max.Y)
		case !m.Vertical && c.ContainsY(ty(m.At)):
			c.StrokeLine2(referenceStyle, c.Min.X, ty(m.At), c.Max.X, ty(m.At))
		}
	}))
	s.showReference(m.Name)
	return nil
}

func (s *style) showReference(name string) {
	s.show(name, lineThumb, func(c *draw.Canvas) {
		c.StrokeLine2(referenceStyle, c.Min.X, c.Center().Y, c.Max.X, c.Center().Y)
	})
}

// plotFunc is a plotter without data of its own.
type plotFunc func(c draw.Canvas, p *plot.Plot)

// Plot implements plot.Plotter.
func (f plotFunc) Plot(c draw.Canvas, p *plot.Plot) { f(c, p) }

// pale is the color of an error band.
func pale(c color.NRGBA) color.NRGBA { return color.NRGBA{c.R, c.G, c.B, 50} }

func corners(r vg.Rectangle) []vg.Point {
	return []vg.Point{r.Min, {X: r.Max.X, Y: r.Min.Y}, r.Max, {X: r.Min.X, Y: r.Max.Y}}
}

func (l Line) names() []string     { return name(l.Name) }
func (m Points) names() []string   { return name(m.Name) }
func (m Diagonal) names() []string { return name(m.Name) }
func (m Level) names() []string    { return name(m.Name) }

func (l Line) margins() [4]float64   { return [4]float64{0.015, 0.015, 0.03, 0.04} }
func (m Points) margins() [4]float64 { return [4]float64{0.03, 0.03, 0.03, 0.03} }

// A reference leaves the margins to the other marks.
func (m Diagonal) margins() [4]float64 { return [4]float64{-1} }
func (m Level) margins() [4]float64    { return [4]float64{-1} }
