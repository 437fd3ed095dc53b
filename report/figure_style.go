package report

import (
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// seriesColors are those of Okabe and Ito, which people with any common color blindness can tell apart,
// without the yellow that is hard to see on white.
var seriesColors = []color.NRGBA{
	{0x00, 0x72, 0xb2, 255}, {0xd5, 0x5e, 0x00, 255}, {0x00, 0x9e, 0x73, 255}, {0xcc, 0x79, 0xa7, 255},
	{0xe6, 0x9f, 0x00, 255}, {0x56, 0xb4, 0xe9, 255}, {0x55, 0x55, 0x55, 255},
}

// seriesDashes and seriesGlyphs tell series apart where colors do not.
var (
	seriesDashes = [][]vg.Length{nil, {6, 2}, {2, 2}, {7, 2, 2, 2}}
	seriesGlyphs = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, draw.RingGlyph{},
		draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.CrossGlyph{}}
)

var (
	ink   = color.NRGBA{0x26, 0x26, 0x26, 255}
	faint = color.NRGBA{0xe3, 0xe3, 0xe3, 255}
	muted = color.NRGBA{0x77, 0x77, 0x77, 255}
)

// style holds what the panels of one figure share: the look of each named series, the legends, the color scale.
type style struct {
	shared  bool           // whether all panels share one legend
	index   map[string]int // of the named series
	unnamed int            // number of unnamed series in the present panel
	gridded *plot.Plot     // panel that has its grid lines
	legend  []legendEntry
	scale   *colorScale
	width   vg.Length // that the data of a panel have at least
}

type legendEntry struct {
	name  string
	width vg.Length // of the thumbnail
	draw  func(c *draw.Canvas)
}

func newStyle(f *Figure) *style {
	return &style{shared: f.sharesLegend(), index: map[string]int{}, scale: heatScale(f)}
}

// sharesLegend tells whether the panels show the same series, so that one legend does for all. Otherwise
// each panel has its own legend and its own colors.
func (f *Figure) sharesLegend() bool {
	var first string
	for _, p := range f.Panels {
		var all []string
		for _, m := range p.Marks {
			all = append(all, m.names()...)
		}
		slices.Sort(all)
		key := strings.Join(slices.Compact(all), "\x00")
		switch {
		case key == "":
		case first == "":
			first = key
		case first != key:
			return false
		}
	}
	return true
}

// panel starts a panel.
func (s *style) panel() {
	s.unnamed = 0
	if !s.shared {
		s.index, s.legend = map[string]int{}, nil
	}
}

// series returns the number of a series, which chooses its color, dashes and glyph.
func (s *style) series(name string) int {
	if name == "" {
		s.unnamed++
		return len(s.index) + s.unnamed - 1
	}
	i, ok := s.index[name]
	if !ok {
		i = len(s.index) + s.unnamed
		s.index[name] = i
	}
	return i
}

// show adds a series to the legend, once.
func (s *style) show(name string, width vg.Length, thumbnail func(c *draw.Canvas)) {
	if name == "" {
		return
	}
	for _, e := range s.legend {
		if e.name == name {
			return
		}
	}
	s.legend = append(s.legend, legendEntry{name, width, thumbnail})
}

func seriesColor(i int) color.NRGBA { return seriesColors[i%len(seriesColors)] }

func lineStyle(i int) draw.LineStyle {
	return draw.LineStyle{Color: seriesColor(i), Width: 1.6, Dashes: seriesDashes[i%len(seriesDashes)]}
}

func glyphStyle(i int) draw.GlyphStyle {
	n := len(seriesGlyphs) // as many as colors: from the second round on, a color gets another glyph
	return draw.GlyphStyle{Color: seriesColor(i), Radius: 2.4, Shape: seriesGlyphs[(i+i/n)%n]}
}

func (s *style) text(size float64, x draw.XAlignment, y draw.YAlignment, bold bool) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(size)}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return text.Style{Color: ink, Font: f, XAlign: x, YAlign: y, Handler: plot.DefaultTextHandler}
}

func (s *style) axis(a *plot.Axis, want Axis, vertical bool) {
	a.Label.Text = want.Label
	a.Label.TextStyle = s.text(10, draw.XCenter, draw.YBottom, false)
	a.Label.Padding = 3
	a.Tick.Label = s.text(9, draw.XCenter, draw.YTop, false)
	a.LineStyle = draw.LineStyle{Color: muted, Width: 0.7}
	a.Tick.LineStyle = draw.LineStyle{Color: muted, Width: 0.5}
	a.Tick.Length = 4
	a.Padding = 0
	if vertical {
		a.Label.TextStyle.YAlign = draw.YBottom
		a.Tick.Label.XAlign, a.Tick.Label.YAlign = draw.XRight, draw.YCenter
	}
	a.Tick.Marker = ticks{percent: want.Percent}
	if want.Log {
		a.Scale = plot.LogScale{}
		a.Tick.Marker = logTicks{percent: want.Percent}
	}
}

// ticks mark multiples of 1, 2, 2.5 or 5 times a power of ten, about five on an axis.
type ticks struct{ percent bool }

// Ticks implements plot.Ticker.
func (t ticks) Ticks(low, high float64) []plot.Tick {
	if !(high > low) || math.IsInf(high-low, 0) {
		return nil
	}
	power := math.Pow(10, math.Floor(math.Log10((high-low)/6)))
	step := 10 * power
	for _, m := range []float64{1, 2, 2.5, 5} {
		if (high-low)/(m*power) <= 6 {
			step = m * power
			break
		}
	}
	var marks []plot.Tick
	for k := math.Ceil(low/step - 1e-9); k <= math.Floor(high/step+1e-9) && len(marks) < 20; k++ {
		marks = append(marks, plot.Tick{Value: k * step, Label: tickLabel(k*step, step/1e4, t.percent)})
	}
	return marks
}

// logTicks marks the powers of ten, and 2 and 5 between them where the axis is short.
type logTicks struct{ percent bool }

// Ticks implements plot.Ticker.
func (t logTicks) Ticks(low, high float64) []plot.Tick {
	first, last := int(math.Floor(math.Log10(low))), int(math.Ceil(math.Log10(high)))
	step := max(1, (last-first)/8)
	var marks []plot.Tick
	for d := first; d <= last; d++ {
		for m := 1; m < 10; m++ {
			v := float64(m) * math.Pow(10, float64(d))
			if v < low*(1-1e-9) || v > high*(1+1e-9) {
				continue
			}
			tick := plot.Tick{Value: v}
			if m == 1 && (d-first)%step == 0 || last-first <= 2 && (m == 2 || m == 5) {
				tick.Label = tickLabel(v, 0, t.percent)
			}
			marks = append(marks, tick)
		}
	}
	return marks
}

// margin leaves room between the data and the ends of an axis that follows them.
func margin(a *plot.Axis, below, above float64, log bool) {
	if !(a.Max > a.Min) || math.IsInf(a.Max-a.Min, 0) {
		return
	}
	if log {
		if a.Min > 0 {
			ratio := a.Max / a.Min
			a.Min, a.Max = a.Min*math.Pow(ratio, -below), a.Max*math.Pow(ratio, above)
		}
		return
	}
	low := a.Min - below*(a.Max-a.Min)
	if a.Min >= 0 && low < 0 { // numbers that cannot be negative do not look as if they were
		low = 0
	}
	a.Min, a.Max = low, a.Max+above*(a.Max-a.Min)
}

func tickLabel(v, resolution float64, percent bool) string {
	if math.Abs(v) < resolution {
		v = 0
	}
	suffix := ""
	if percent {
		v, suffix = 100*v, "%"
	}
	s := strconv.FormatFloat(v, 'g', 4, 64)
	if x, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(x) < 1e6 && math.Abs(x) >= 1e-4 {
		s = strconv.FormatFloat(x, 'f', -1, 64)
	}
	return s + suffix
}

const (
	legendRow = 15
	lineThumb = 20 // widths of thumbnails
	boxThumb  = 10
	legendGap = 16
)

// legendRows breaks the legend into rows of at most the given width.
func (s *style) legendRows(legend []legendEntry, width vg.Length) [][]legendEntry {
	var rows [][]legendEntry
	ts := s.text(9.5, draw.XLeft, draw.YCenter, false)
	x := vg.Length(0)
	for _, e := range legend {
		w := e.width + 5 + ts.Width(e.name) + legendGap
		if len(rows) == 0 || x+w > width+legendGap {
			rows, x = append(rows, nil), 0
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], e)
		x += w
	}
	return rows
}

func (s *style) legendHeight(legend []legendEntry, width vg.Length) vg.Length {
	rows := len(s.legendRows(legend, width))
	if rows == 0 {
		return 0
	}
	return vg.Length(rows)*legendRow + 6
}

// drawLegend draws the legend along the top of the canvas, outside the data.
func (s *style) drawLegend(legend []legendEntry, c draw.Canvas) {
	ts := s.text(9.5, draw.XLeft, draw.YCenter, false)
	y := c.Max.Y
	for _, row := range s.legendRows(legend, c.Max.X-c.Min.X) {
		x := c.Min.X + 2
		for _, e := range row {
			thumb := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
				Min: vg.Point{X: x, Y: y - legendRow + 3}, Max: vg.Point{X: x + e.width, Y: y - 3}}}
			e.draw(&thumb)
			c.FillText(ts, vg.Point{X: x + e.width + 5, Y: y - legendRow/2}, e.name)
			x += e.width + 5 + ts.Width(e.name) + legendGap
		}
		y -= legendRow
	}
}

// grid draws faint lines behind the first series of a panel.
func (s *style) grid(p *plot.Plot) {
	if s.gridded == p {
		return
	}
	s.gridded = p
	p.Add(plotFunc(func(c draw.Canvas, p *plot.Plot) {
		_, ty := p.Transforms(&c)
		for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
			if y := ty(t.Value); !t.IsMinor() && c.ContainsY(y) {
				c.StrokeLine2(draw.LineStyle{Color: faint, Width: 0.7}, c.Min.X, y, c.Max.X, y)
			}
		}
	}))
}

// nominal labels the places 0, 1, 2 ... of an axis.
func (s *style) nominal(a *plot.Axis, names []string, horizontal bool) {
	marks := make(plot.ConstantTicks, len(names))
	for i, n := range names {
		marks[i] = plot.Tick{Value: float64(i), Label: n}
	}
	a.Tick.Marker = marks
	if horizontal { // labels that would touch are slanted
		touch, place := false, s.width/vg.Length(len(names))
		for i, n := range names {
			touch = touch || i > 0 && (a.Tick.Label.Width(names[i-1])+a.Tick.Label.Width(n))/2+3 > place
		}
		if touch {
			a.Tick.Label.Rotation = math.Pi / 6
			a.Tick.Label.XAlign, a.Tick.Label.YAlign = draw.XRight, draw.YTop
		}
	}
	a.Tick.LineStyle = draw.LineStyle{Color: color.Transparent, Width: 0.1} // no mark, but its distance
	a.Tick.Length = 3
}
