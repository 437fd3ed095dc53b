package report

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Image is one picture of a [Grid]: Height·Width·Channels numbers, row by row, the channels of a pixel
// together.
type Image struct {
	// Height and Width in pixels; Channels is 1 (gray) or 3 (red, green, blue).
	Height, Width, Channels int
	// Pixels holds the numbers, in [0, 1] unless Range says otherwise.
	Pixels []float32
	// Range is the pair of numbers shown as black and white; zero: 0 and 1.
	Range [2]float32
	// Diverging shows a difference: blue for negative, white for 0, red for positive numbers, the
	// strongest color at Range[1] (zero: at the largest magnitude of the row). Three channels show their mean.
	Diverging bool
	// Caption stands below the image: "7 → 3".
	Caption string
}

// NewImage returns an image of the given shape, [height, width], [height, width, 1] or [height, width, 3],
// over pixels, which it keeps. A shape that does not fit is reported when the grid is drawn.
func NewImage(pixels []float32, shape ...int) Image {
	m := Image{Channels: 1, Pixels: pixels}
	if len(shape) == 2 || len(shape) == 3 {
		m.Height, m.Width = shape[0], shape[1]
	}
	if len(shape) == 3 {
		m.Channels = shape[2]
	}
	return m
}

// Difference returns perturbed minus clean as a diverging image. Images of different shapes are reported
// when the grid is drawn.
func Difference(perturbed, clean Image) Image {
	d := Image{Height: clean.Height, Width: clean.Width, Channels: clean.Channels, Diverging: true}
	if perturbed.Height != d.Height || perturbed.Width != d.Width || perturbed.Channels != d.Channels ||
		len(perturbed.Pixels) != len(clean.Pixels) {
		return d
	}
	d.Pixels = make([]float32, len(clean.Pixels))
	for i := range d.Pixels {
		d.Pixels[i] = perturbed.Pixels[i] - clean.Pixels[i]
	}
	return d
}

// Grid is a table of images in one picture, such as clean, perturbed and difference side by side.
type Grid struct {
	// Title names the grid; it also names its file in [Save].
	Title string
	// Caption says what to see in it.
	Caption string
	// Alt describes the grid to those who cannot see it. Empty: the title and the captions.
	Alt string
	// Columns and RowNames label the columns and rows; either may be empty.
	Columns, RowNames []string
	// Rows hold the images; a short row leaves its last places empty.
	Rows [][]Image
	// Enlarge is the number of pixels that one pixel becomes; 0 fits the grid to a page.
	Enlarge int
}

// Check returns an error that says which image cannot be drawn.
func (g *Grid) Check() error {
	if len(g.Rows) == 0 {
		return fmt.Errorf("grid %q has no rows: give it at least one image", g.Title)
	}
	images := 0
	for i, row := range g.Rows {
		for j, m := range row {
			where := fmt.Sprintf("grid %q, row %d, column %d", g.Title, i+1, j+1)
			switch {
			case m.Height < 1 || m.Width < 1 || m.Height > 4096 || m.Width > 4096 || m.Channels != 1 && m.Channels != 3:
				return fmt.Errorf("%s: an image of %dx%dx%d cannot be drawn: sides must lie in [1, 4096], channels be 1 or 3",
					where, m.Height, m.Width, m.Channels)
			case len(m.Pixels) != m.Height*m.Width*m.Channels:
				return fmt.Errorf("%s: %d numbers for an image of %dx%dx%d", where, len(m.Pixels), m.Height, m.Width, m.Channels)
			case !(m.Range[0] <= m.Range[1]) || math.IsInf(float64(m.Range[1]-m.Range[0]), 0):
				return fmt.Errorf("%s: a range from %v to %v cannot be shown", where, m.Range[0], m.Range[1])
			}
			images++
		}
	}
	if images == 0 || images > 10000 || g.Enlarge < 0 || g.Enlarge > 64 {
		return fmt.Errorf("grid %q: %d images, enlarged %d times: give 1 to 10000 images, enlarged at most 64 times", g.Title, images, g.Enlarge)
	}
	return nil
}

// AltText returns Alt, or a description made from the title and the captions.
func (g *Grid) AltText() string {
	if g.Alt != "" {
		return g.Alt
	}
	s := fmt.Sprintf("grid of %d by %d images", len(g.Rows), g.columns())
	if len(g.Columns) > 0 {
		s += ": " + strings.Join(g.Columns, ", ")
	}
	if g.Title != "" {
		s = g.Title + ". " + s
	}
	return s
}

func (g *Grid) columns() int {
	n := 0
	for _, row := range g.Rows {
		n = max(n, len(row))
	}
	return n
}

// PNG returns the grid as a PNG file, enlarged without smoothing, the same bytes for the same grid.
func (g *Grid) PNG() (data []byte, err error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	defer recovered("grid", g.Title, &err)
	st := newStyle(&Figure{})
	l := g.layout(st)
	if float64(l.w)*float64(l.h) > 1e8 {
		return nil, fmt.Errorf("grid %q would have %.0f by %.0f pixels: show fewer images or enlarge them less",
			g.Title, float64(l.w), float64(l.h))
	}
	return encodePNG(g.paint(st, l), false)
}

// recovered turns a panic of what draws into an error.
func recovered(kind, title string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%s %q cannot be drawn: %v", kind, title, r)
	}
}

// paint draws the grid with a layout, which is its own or has more room.
func (g *Grid) paint(st *style, l gridLayout) *image.RGBA {
	paper := whiteImage(int(math.Ceil(float64(l.w))), int(math.Ceil(float64(l.h))))
	canvas := vgimg.NewWith(vgimg.UseImage(paper), vgimg.UseDPI(72))
	c := draw.New(canvas)
	img := canvas.Image()
	h := c.Max.Y
	if g.Title != "" {
		c.FillText(st.text(gridText+2, draw.XLeft, draw.YTop, true), vg.Point{X: gridPad, Y: h - gridPad}, g.Title)
	}
	for j := range min(g.columns(), len(g.Columns)) {
		x := l.left + vg.Length(j)*l.cellWidth + (l.cellWidth-gridPad)/2
		c.FillText(st.text(gridText, draw.XCenter, draw.YBottom, false), vg.Point{X: x, Y: h - l.top + 7}, g.Columns[j])
	}
	below := vg.Length(l.height * l.enlarge)
	for i, row := range g.Rows {
		y := l.top + vg.Length(i)*l.cellHeight
		if i < len(g.RowNames) {
			c.FillText(l.label, vg.Point{X: l.left - gridPad, Y: h - y - below/2}, g.RowNames[i])
		}
		strongest := rowMagnitude(row)
		for j, m := range row {
			x := l.left + vg.Length(j)*l.cellWidth
			dx := (int(l.cellWidth) - gridPad - m.Width*l.enlarge) / 2
			m.drawTo(img, int(x)+dx, int(y), l.enlarge, strongest)
			if m.Caption != "" {
				c.FillText(l.caption, vg.Point{X: x + (l.cellWidth-gridPad)/2, Y: h - y - below - 4}, m.Caption)
			}
		}
	}
	return toRGBA(img)
}

const (
	gridPad  = 10 // around images
	gridText = 17 // size of text
)

// gridLayout says where things stand. One unit of the canvas is one pixel, so that image pixels stay square and sharp.
type gridLayout struct {
	height, enlarge       int       // of the largest image, and how often each pixel of it is repeated
	left, top             vg.Length // room for names
	cellWidth, cellHeight vg.Length // of an image with what belongs to it
	w, h                  vg.Length // of the picture
	label, caption        draw.TextStyle
}

func (g *Grid) layout(st *style) gridLayout {
	cols := g.columns()
	width, captions := 1, false
	l := gridLayout{height: 1, enlarge: g.Enlarge, left: gridPad, top: gridPad,
		label:   st.text(gridText, draw.XRight, draw.YCenter, false),
		caption: st.text(gridText-2, draw.XCenter, draw.YTop, false)}
	for _, row := range g.Rows {
		for _, m := range row {
			l.height, width = max(l.height, m.Height), max(width, m.Width)
			captions = captions || m.Caption != ""
		}
	}
	if l.enlarge == 0 {
		l.enlarge = min(max(1, 1000/(cols*width)), max(1, 170/max(l.height, width)))
	}
	for _, n := range g.RowNames {
		l.left = max(l.left, l.label.Width(n)+2*gridPad)
	}
	l.left = vg.Length(math.Ceil(float64(l.left)))
	if g.Title != "" {
		l.top += 34
	}
	if len(g.Columns) > 0 {
		l.top += 26
	}
	l.cellHeight = vg.Length(l.height*l.enlarge + gridPad)
	if captions {
		l.cellHeight += 26
	}
	l.cellWidth = vg.Length(width*l.enlarge + gridPad)
	for j := range cols { // room for the widest caption
		if j < len(g.Columns) {
			l.cellWidth = max(l.cellWidth, l.caption.Width(g.Columns[j])*1.12+gridPad)
		}
		for _, row := range g.Rows {
			if j < len(row) {
				l.cellWidth = max(l.cellWidth, l.caption.Width(row[j].Caption)+gridPad)
			}
		}
	}
	l.cellWidth = vg.Length(math.Ceil(float64(l.cellWidth)))
	if g.Title != "" {
		l.w = st.text(gridText+2, draw.XLeft, draw.YTop, true).Width(g.Title) + 2*gridPad
	}
	l.fit(g)
	return l
}

// fit makes the picture as wide, at least, and as high as all cells take.
func (l *gridLayout) fit(g *Grid) {
	l.w = max(l.w, l.left+vg.Length(g.columns())*l.cellWidth)
	l.h = l.top + vg.Length(len(g.Rows))*l.cellHeight
}

func whiteImage(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	return img
}

// rowMagnitude returns the largest magnitude in the differences of a row.
func rowMagnitude(row []Image) float64 {
	most := 0.0
	for _, m := range row {
		if !m.Diverging {
			continue
		}
		for k := 0; k < len(m.Pixels); k += m.Channels {
			if v := math.Abs(m.mean(k)); v > most && !math.IsInf(v, 0) {
				most = v
			}
		}
	}
	return most
}

func (m Image) mean(at int) float64 {
	sum := 0.0
	for _, v := range m.Pixels[at : at+m.Channels] {
		sum += float64(v)
	}
	return sum / float64(m.Channels)
}

// drawTo draws the image at (x0, y0), each pixel enlarged, with a thin frame.
func (m Image) drawTo(img interface{ Set(x, y int, c color.Color) }, x0, y0, enlarge int, strongest float64) {
	for y := range m.Height {
		for x := range m.Width {
			fill := m.color((y*m.Width+x)*m.Channels, strongest)
			for dy := range enlarge {
				for dx := range enlarge {
					img.Set(x0+x*enlarge+dx, y0+y*enlarge+dy, fill)
				}
			}
		}
	}
	frame := color.NRGBA{0xc8, 0xc8, 0xc8, 255}
	w, h := m.Width*enlarge, m.Height*enlarge
	for x := -1; x <= w; x++ {
		img.Set(x0+x, y0-1, frame)
		img.Set(x0+x, y0+h, frame)
	}
	for y := range h {
		img.Set(x0-1, y0+y, frame)
		img.Set(x0+w, y0+y, frame)
	}
}

// color returns the color of the pixel whose numbers begin at index at; NaN is magenta, so that it is seen.
func (m Image) color(at int, strongest float64) color.NRGBA {
	if m.Diverging {
		most := float64(m.Range[1])
		if most <= 0 {
			most = strongest
		}
		if most <= 0 {
			most = 1
		}
		v := m.mean(at)
		if math.IsNaN(v) {
			return color.NRGBA{255, 0, 255, 255}
		}
		return shade(diverging, 0.5+0.5*v/most)
	}
	low, high := float64(m.Range[0]), float64(m.Range[1])
	if low == high {
		low, high = 0, 1
	}
	var rgb [3]uint8
	for k := range rgb {
		v := (float64(m.Pixels[at+min(k, m.Channels-1)]) - low) / (high - low)
		if math.IsNaN(v) {
			return color.NRGBA{255, 0, 255, 255}
		}
		rgb[k] = uint8(math.Round(255 * math.Min(math.Max(v, 0), 1)))
	}
	return color.NRGBA{rgb[0], rgb[1], rgb[2], 255}
}
