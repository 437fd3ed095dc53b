package report

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Heat is a heat map: one colored cell for each number, with the number written in it.
type Heat struct {
	// X and Y label the columns and rows of Z.
	X, Y []string
	// Z holds the numbers, Z[row][column]; row 0 is drawn at the bottom. NaN leaves a cell gray.
	Z [][]float64
	// Label says what the colors mean; it stands beside the color bar.
	Label string
	// Min and Max are the ends of the color scale; where both are 0 they follow the data of all panels.
	Min, Max float64
	// Diverging uses blue for negative and red for positive numbers, white at 0.
	Diverging bool
	// Percent and Format show the numbers as in a [Column].
	Percent bool
	Format  string
	// NoNumbers leaves out the numbers in the cells.
	NoNumbers bool
}

func (h Heat) describe() string {
	s := fmt.Sprintf("heat map of %d by %d cells", len(h.X), len(h.Y))
	if h.Label != "" {
		s += ", " + h.Label
	}
	return s
}

func (h Heat) check() error {
	if len(h.X) == 0 || len(h.Y) == 0 || len(h.Z) != len(h.Y) {
		return fmt.Errorf("heat map has %d rows of numbers for %d row and %d column labels: give one row a label", len(h.Z), len(h.Y), len(h.X))
	}
	for i, row := range h.Z {
		if len(row) != len(h.X) {
			return fmt.Errorf("heat map row %d has %d numbers for %d column labels", i+1, len(row), len(h.X))
		}
		for _, v := range row {
			if math.IsInf(v, 0) {
				return fmt.Errorf("heat map row %d holds an infinite number", i+1)
			}
		}
	}
	if !allFinite([]float64{h.Min, h.Max}) || h.Min > h.Max {
		return fmt.Errorf("heat map: a color scale from %v to %v cannot be drawn", h.Min, h.Max)
	}
	return nil
}

func (h Heat) add(p *plot.Plot, s *style) error {
	if low, _ := rangeOf(h.Z...); math.IsInf(low, 0) {
		return errNothing
	}
	p.Add(&heatPlot{h, s})
	s.nominal(&p.X, h.X, true)
	s.nominal(&p.Y, h.Y, false)
	return nil
}

// heatPlot draws a Heat; the cell of column i and row j is centered at (i, j).
type heatPlot struct {
	Heat
	s *style
}

// Plot implements plot.Plotter.
func (h *heatPlot) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	labels := make([][]string, len(h.Y))
	widest := vg.Length(0)
	size := 9.0
	for j, row := range h.Z {
		for _, v := range row {
			s := formatNumber(v, Column{Format: h.Format, Percent: h.Percent})
			if h.Percent && h.Format == "" && !math.IsNaN(v) {
				s = formatNumber(100*v, Column{Format: "%.0f"}) // the bar says that these are percentages
			}
			labels[j] = append(labels[j], s)
			widest = max(widest, h.s.text(size, draw.XCenter, draw.YCenter, false).Width(s))
		}
	}
	cellWidth, cellHeight := tx(1)-tx(0), ty(1)-ty(0)
	size = math.Min(size, math.Min(size*float64(cellWidth*0.92/widest), float64(cellHeight*0.7)))
	ts := h.s.text(size, draw.XCenter, draw.YCenter, false)
	const seam = 0.4 // half of the white line between cells
	for j, row := range h.Z {
		for i, v := range row {
			x, y := float64(i), float64(j)
			fill := h.s.scale.color(v)
			c.FillPolygon(fill, corners(vg.Rectangle{
				Min: vg.Point{X: tx(x-0.5) + seam, Y: ty(y-0.5) + seam},
				Max: vg.Point{X: tx(x+0.5) - seam, Y: ty(y+0.5) - seam}}))
			if !h.NoNumbers && size >= 4.5 {
				ts.Color = inkOn(fill)
				c.FillText(ts, vg.Point{X: tx(x), Y: ty(y)}, labels[j][i])
			}
		}
	}
}

// DataRange implements plot.DataRanger.
func (h *heatPlot) DataRange() (xmin, xmax, ymin, ymax float64) {
	return -0.5, float64(len(h.X)) - 0.5, -0.5, float64(len(h.Y)) - 0.5
}

// colorScale maps numbers to colors, the same in every panel of a figure.
type colorScale struct {
	low, high float64
	label     string
	percent   bool
	anchors   []color.NRGBA
}

// heatScale returns the scale that the heat maps of a figure share; nil where it has none.
func heatScale(f *Figure) *colorScale {
	var s *colorScale
	fixed := false
	for _, p := range f.Panels {
		for _, m := range p.Marks {
			h, ok := m.(Heat)
			if !ok {
				continue
			}
			if s == nil {
				s = &colorScale{low: math.Inf(1), high: math.Inf(-1), label: h.Label, percent: h.Percent, anchors: sequential}
			}
			if h.Diverging {
				s.anchors = diverging
			}
			low, high := rangeOf(h.Z...)
			if h.Min != 0 || h.Max != 0 {
				low, high, fixed = h.Min, h.Max, true
			}
			s.low, s.high = math.Min(s.low, low), math.Max(s.high, high)
		}
	}
	if s == nil {
		return nil
	}
	if len(s.anchors) == len(diverging) && !fixed {
		s.high = math.Max(math.Abs(s.low), math.Abs(s.high))
		s.low = -s.high
	}
	if !(s.low < s.high) {
		s.low, s.high = s.low-0.5, s.high+0.5
	}
	return s
}

// The color scales: sequential follows viridis (van der Walt and Smith), diverging runs from blue to red;
// both can be read without telling red from green.
var (
	sequential = []color.NRGBA{{0x44, 0x01, 0x54, 255}, {0x48, 0x28, 0x78, 255}, {0x3e, 0x49, 0x89, 255}, {0x31, 0x68, 0x8e, 255},
		{0x26, 0x82, 0x8e, 255}, {0x1f, 0x9e, 0x89, 255}, {0x35, 0xb7, 0x79, 255},
		{0x6e, 0xce, 0x58, 255}, {0xb5, 0xde, 0x2b, 255}, {0xfd, 0xe7, 0x25, 255}}
	diverging = []color.NRGBA{{0x21, 0x66, 0xac, 255}, {0x67, 0xa9, 0xcf, 255}, {0xd1, 0xe5, 0xf0, 255}, {0xf7, 0xf7, 0xf7, 255},
		{0xfd, 0xdb, 0xc7, 255}, {0xef, 0x8a, 0x62, 255}, {0xb2, 0x18, 0x2b, 255}}
)

func (s *colorScale) color(v float64) color.NRGBA {
	if math.IsNaN(v) {
		return color.NRGBA{0xd0, 0xd0, 0xd0, 255}
	}
	return shade(s.anchors, (v-s.low)/(s.high-s.low))
}

// shade interpolates between colors at x in [0, 1]; beyond it stays at the ends.
func shade(anchors []color.NRGBA, x float64) color.NRGBA {
	x = math.Min(math.Max(x, 0), 1) * float64(len(anchors)-1)
	i := min(int(x), len(anchors)-2)
	a, b, t := anchors[i], anchors[i+1], x-float64(i)
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a)*(1-t) + float64(b)*t)) }
	return color.NRGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// inkOn returns black or white, whichever reads better on a background.
func inkOn(c color.NRGBA) color.Color {
	if luminance(c) > 0.179 { // where the contrast with black and with white are equal
		return color.Black
	}
	return color.White
}

// luminance is the relative luminance of WCAG 2.
func luminance(c color.NRGBA) float64 {
	lin := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*lin(c.R) + 0.7152*lin(c.G) + 0.0722*lin(c.B)
}

// drawColorBar draws the color scale with its ticks and label.
func (s *style) drawColorBar(c draw.Canvas) {
	left, right := c.Min.X+6, c.Min.X+17
	bottom, top := c.Min.Y+0.16*(c.Max.Y-c.Min.Y), c.Max.Y-0.10*(c.Max.Y-c.Min.Y)
	const steps = 256
	for k := range steps {
		y0 := bottom + (top-bottom)*vg.Length(k)/steps
		y1 := bottom + (top-bottom)*vg.Length(k+1)/steps
		fill := shade(s.scale.anchors, (float64(k)+0.5)/steps)
		c.FillPolygon(fill, corners(vg.Rectangle{Min: vg.Point{X: left, Y: y0}, Max: vg.Point{X: right, Y: y1 + 0.3}}))
	}
	ts := s.text(8.5, draw.XLeft, draw.YCenter, false)
	for _, t := range (ticks{percent: s.scale.percent}).Ticks(s.scale.low, s.scale.high) {
		if t.IsMinor() || t.Value < s.scale.low || t.Value > s.scale.high {
			continue
		}
		y := bottom + (top-bottom)*vg.Length((t.Value-s.scale.low)/(s.scale.high-s.scale.low))
		c.StrokeLine2(draw.LineStyle{Color: muted, Width: 0.5}, right, y, right+3, y)
		c.FillText(ts, vg.Point{X: right + 5, Y: y}, t.Label)
	}
	if s.scale.label != "" {
		ls := s.text(9.5, draw.XCenter, draw.YTop, false)
		ls.Rotation = math.Pi / 2
		c.FillText(ls, vg.Point{X: c.Max.X - 11, Y: (bottom + top) / 2}, s.scale.label)
	}
}

func (h Heat) names() []string     { return nil }
func (h Heat) margins() [4]float64 { return [4]float64{} }
