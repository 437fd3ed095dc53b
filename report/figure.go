package report

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Figure is one picture of one or more panels with one title and one legend. Series of the same name
// have the same color in every panel; heat maps share one color scale and one color bar.
type Figure struct {
	// Title names the figure; it also names its file in [Save].
	Title string
	// Caption says what to see in it.
	Caption string
	// Alt describes the figure to those who cannot see it. Empty: the title and what the panels show.
	Alt string
	// Panels are laid out row by row.
	Panels []Panel
	// Columns is the number of panels in a row; 0 means as many as there are, at most 3.
	Columns int
	// Width and PanelHeight are in inches of 160 pixels; 0 means 7 wide, and a fitting height.
	Width, PanelHeight float64
}

// Panel is one pair of axes with what is drawn on them.
type Panel struct {
	Title string
	X, Y  Axis
	// Marks are drawn in order: [Line], [Points], [Bars], [Histogram], [Heat], [Diagonal], [Level].
	Marks []Mark
}

// Axis describes one axis of a panel.
type Axis struct {
	Label string
	// Min and Max are the ends of the axis; where both are 0 they follow the data.
	Min, Max float64
	// Log makes the axis logarithmic; all data on it must be positive.
	Log bool
	// Percent labels fractions as percentages.
	Percent bool
}

// Mark is something drawn in a panel.
type Mark interface {
	check() error
	add(p *plot.Plot, s *style) error
	describe() string
	// names returns the names that a legend must explain.
	names() []string
	// margins returns the room beside the data, as shares of the axes: left, right, below, above.
	margins() [4]float64
}

const dotsPerInch = 160

const (
	panelTitle = 17 // height of a panel's title, in points
	panelAxis  = 56 // width of a panel that its y axis takes at most
	colorBar   = 58 // width of the color bar
)

// Check returns an error that says what in the figure cannot be drawn.
func (f *Figure) Check() error {
	if len(f.Panels) == 0 {
		return fmt.Errorf("figure %q has no panels: give it at least one", f.Title)
	}
	if f.Columns < 0 || !(f.Width >= 0 && f.Width <= 40) || !(f.PanelHeight >= 0 && f.PanelHeight <= 40) || len(f.Panels) > 100 {
		return fmt.Errorf("figure %q: columns, width and panel height must not be negative, sizes at most 40 inches, panels at most 100", f.Title)
	}
	for i, p := range f.Panels {
		where := fmt.Sprintf("figure %q, panel %d", f.Title, i+1)
		if len(p.Marks) == 0 {
			return fmt.Errorf("%s has no marks: give it lines, points, bars or a heat map", where)
		}
		for _, m := range p.Marks {
			if m == nil {
				return fmt.Errorf("%s holds a nil mark", where)
			}
			if err := m.check(); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
		}
		for _, a := range []Axis{p.X, p.Y} {
			if !allFinite([]float64{a.Min, a.Max}) || a.Min > a.Max || a.Log && (a.Min != 0 || a.Max != 0) && a.Min <= 0 {
				return fmt.Errorf("%s: an axis from %v to %v cannot be drawn", where, a.Min, a.Max)
			}
		}
	}
	return nil
}

// PNG returns the figure as a PNG file, the same bytes for the same figure.
func (f *Figure) PNG() (data []byte, err error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	defer func() { // the plotting library panics where an axis cannot be drawn
		if r := recover(); r != nil {
			data, err = nil, fmt.Errorf("figure %q cannot be drawn: %v", f.Title, r)
		}
	}()
	s := newStyle(f)
	cols := f.Columns
	if cols == 0 {
		cols = min(len(f.Panels), 3)
	}
	cols = min(cols, len(f.Panels))
	rows := (len(f.Panels) + cols - 1) / cols
	width := vg.Length(f.Width) * vg.Inch
	if width == 0 {
		width = 7 * vg.Inch
	}
	s.width = width/vg.Length(cols) - panelAxis
	if s.scale != nil {
		s.width -= colorBar / vg.Length(cols)
	}
	plots, legends, err := f.plots(s, rows, cols)
	if err != nil {
		return nil, err
	}
	height := vg.Length(f.PanelHeight) * vg.Inch
	if height == 0 {
		height = width / vg.Length(cols) * 0.86
		if cols == 1 {
			height = width * 0.5
		}
	}
	const edge = 8
	legend := vg.Length(0)
	if s.shared {
		legend = s.legendHeight(s.legend, width-2*edge)
	}
	title := vg.Length(0)
	if f.Title != "" {
		title = 22
	}
	total := height*vg.Length(rows) + legend + title + 2*edge
	img := vgimg.NewWith(vgimg.UseWH(width, total), vgimg.UseDPI(dotsPerInch), vgimg.UseBackgroundColor(color.White))
	canvas := draw.Crop(draw.New(img), edge, -edge, edge, -edge)
	if f.Title != "" {
		canvas.FillText(s.text(13, draw.XLeft, draw.YTop, true), vg.Point{X: canvas.Min.X + 2, Y: canvas.Max.Y}, f.Title)
		canvas = draw.Crop(canvas, 0, 0, 0, -title)
	}
	if s.shared {
		s.drawLegend(s.legend, canvas)
		canvas = draw.Crop(canvas, 0, 0, 0, -legend)
	}
	if s.scale != nil {
		s.drawColorBar(draw.Crop(canvas, canvas.Max.X-canvas.Min.X-colorBar, 0, 0, 0))
		canvas = draw.Crop(canvas, 0, -colorBar, 0, 0)
	}
	f.drawPanels(s, plots, legends, canvas)
	return encodePNG(img.Image(), true)
}

// plots builds the panels row by row, nil where there is none, with room for their titles and legends; the legends are those
// of each panel, where the figure has none for all.
func (f *Figure) plots(s *style, rows, cols int) ([][]*plot.Plot, [][]legendEntry, error) {
	plots := make([][]*plot.Plot, rows)
	legends := make([][]legendEntry, len(f.Panels))
	for i, panel := range f.Panels {
		p, err := panel.plot(s)
		if err != nil {
			return nil, nil, fmt.Errorf("figure %q, panel %d: %w", f.Title, i+1, err)
		}
		room := vg.Length(0)
		if !s.shared {
			legends[i] = s.legend
			room = s.legendHeight(legends[i], s.width)
		}
		if panel.Title != "" {
			room += panelTitle
		}
		if room > 0 {
			p.Title.Text = " "
			p.Title.TextStyle = s.text(1, draw.XCenter, draw.YTop, false)
			p.Title.Padding = room
		}
		plots[i/cols] = append(plots[i/cols], p)
	}
	for last := rows - 1; len(plots[last]) < cols; {
		plots[last] = append(plots[last], nil)
	}
	return plots, legends, nil
}

// drawPanels draws the panels with what stands above them.
func (f *Figure) drawPanels(s *style, plots [][]*plot.Plot, legends [][]legendEntry, canvas draw.Canvas) {
	cols := len(plots[0])
	tiles := draw.Tiles{Rows: len(plots), Cols: cols, PadX: 12, PadY: 10}
	for r, row := range plot.Align(plots, tiles, canvas) {
		for c, dc := range row {
			if plots[r][c] == nil {
				continue
			}
			plots[r][c].Draw(dc)
			data := plots[r][c].DataCanvas(dc)
			i := r*cols + c
			over := draw.Canvas{Canvas: dc.Canvas, Rectangle: vg.Rectangle{
				Min: vg.Point{X: data.Min.X, Y: data.Max.Y},
				Max: vg.Point{X: dc.Max.X, Y: data.Max.Y + s.legendHeight(legends[i], s.width)}}}
			s.drawLegend(legends[i], over)
			if title := f.Panels[i].Title; title != "" {
				dc.FillText(s.text(10.5, draw.XLeft, draw.YBottom, true), vg.Point{X: data.Min.X, Y: over.Max.Y + 4}, title)
			}
		}
	}
}

// AltText returns Alt, or a description made from the title, the axes and the names of the series.
func (f *Figure) AltText() string {
	if f.Alt != "" {
		return f.Alt
	}
	var parts []string
	for _, p := range f.Panels {
		var marks []string
		for _, m := range p.Marks {
			marks = append(marks, m.describe())
		}
		s := strings.Join(marks, ", ")
		if p.Title != "" {
			s = p.Title + ": " + s
		}
		if p.X.Label != "" || p.Y.Label != "" {
			s += fmt.Sprintf(" (%s against %s)", p.Y.Label, p.X.Label)
		}
		parts = append(parts, s)
	}
	s := strings.Join(parts, "; ")
	if f.Title != "" {
		s = f.Title + ". " + s
	}
	return s
}

// plot builds the axes and everything on them.
func (p Panel) plot(s *style) (*plot.Plot, error) {
	pl := plot.New()
	s.axis(&pl.X, p.X, false)
	s.axis(&pl.Y, p.Y, true)
	s.panel()
	room := [4]float64{1, 1, 1, 1}
	for _, m := range p.Marks {
		if err := m.add(pl, s); err != nil {
			return nil, err
		}
		if d := m.margins(); d[0] >= 0 {
			for k := range room {
				room[k] = math.Min(room[k], d[k])
			}
		}
	}
	for _, a := range []struct {
		on   *plot.Axis
		want Axis
		name string
		room []float64
	}{{&pl.X, p.X, "x", room[:2]}, {&pl.Y, p.Y, "y", room[2:]}} {
		if a.want.Log && !(a.on.Min > 0) {
			return nil, fmt.Errorf("the %s axis is logarithmic but the data reach %v: use positive data or a linear axis", a.name, a.on.Min)
		}
		if a.want.Min != 0 || a.want.Max != 0 {
			a.on.Min, a.on.Max = a.want.Min, a.want.Max
		} else if a.on.Min == a.on.Max && !math.IsInf(a.on.Min, 0) {
			widen(a.on, a.want.Log)
		} else if a.room[0] < 1 {
			margin(a.on, a.room[0], a.room[1], a.want.Log)
		}
	}
	return pl, nil
}

// widen gives a range to an axis whose data are all equal.
func widen(a *plot.Axis, log bool) {
	switch {
	case log:
		a.Min, a.Max = a.Min/2, a.Max*2
	case a.Min == 0:
		a.Min, a.Max = -0.5, 0.5
	default:
		half := math.Abs(a.Min) / 10
		a.Min, a.Max = a.Min-half, a.Max+half
	}
}

// checkSeries checks the lengths of a series and that its numbers can be drawn; NaN leaves a gap.
func checkSeries(name string, n int, optional ...[]float64) error {
	if n == 0 {
		return fmt.Errorf("series %q is empty", name)
	}
	for _, v := range optional {
		if len(v) != 0 && len(v) != n {
			return fmt.Errorf("series %q has %d and %d numbers: give as many of each", name, n, len(v))
		}
		for _, x := range v {
			if math.IsInf(x, 0) {
				return fmt.Errorf("series %q holds an infinite number", name)
			}
		}
	}
	return nil
}

// name returns a name as the list that [Mark.names] returns.
func name(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

var errNothing = errors.New("nothing to draw: every number is NaN")
