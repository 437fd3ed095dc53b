package report

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"image"
	"time"
)

// Animation shows grids one after another in one place, such as samples of a generator as it learns. It is an animated PNG
// (APNG, in the third edition of the PNG specification): browsers play it, whatever else reads PNG shows its first frame.
type Animation struct {
	// Title names the animation and its file in [Save]. It is not drawn: titles of frames are, such as "step 200".
	Title string
	// Caption says what to see in it.
	Caption string
	// Alt describes the animation to those who cannot see it. Empty: the title, the number of frames and what the last holds.
	Alt string
	// Frames are at least two, with the same numbers of rows, columns and pixels.
	Frames []*Grid
	// Delay is how long a frame is shown, 20 ms to a minute; zero: 400 ms. Hold is the same for the last frame; zero: 2 s.
	Delay, Hold time.Duration
	// Plays is how often it is played; zero: again and again. Who asks for less motion sees the last frame in a [Document].
	Plays int
	// MaxBytes bounds the size of the file; zero: 150000. A larger one is drawn with fewer colors, then with fewer frames,
	// evenly spaced, the first and the last among them.
	MaxBytes int
}

const (
	// maxFrames bounds the frames that are drawn.
	maxFrames = 1000
	// maxAnimated bounds the pixels of all frames together.
	maxAnimated = 3e8
)

// Check returns an error that says why the animation cannot be drawn.
func (a *Animation) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("animation %q: %s", a.Title, fmt.Sprintf(format, args...))
	}
	if n := len(a.Frames); n < 2 || n > maxFrames {
		return bad("%d frames: give it 2 to %d", n, maxFrames)
	}
	for name, d := range map[string]time.Duration{"delay": a.Delay, "hold": a.Hold} {
		if d != 0 && (d < 20*time.Millisecond || d > time.Minute) {
			return bad("a %s of %s: want 20ms to 1m, or zero", name, d)
		}
	}
	if a.Plays < 0 || a.MaxBytes < 0 {
		return bad("%d plays of at most %d bytes: want numbers of 0 or more", a.Plays, a.MaxBytes)
	}
	st := newStyle(&Figure{})
	for i, g := range a.Frames {
		if g == nil {
			return bad("frame %d is nil", i+1)
		}
		if err := g.Check(); err != nil {
			return bad("frame %d: %v", i+1, err)
		}
		if got, want := g.kind(st), a.Frames[0].kind(st); got != want {
			return bad("frame %d has %s, the first %s: frames must be alike", i+1, got, want)
		}
	}
	return nil
}

// kind says what frames must have in common.
func (g *Grid) kind(st *style) string {
	height, width := 0, 0
	for _, row := range g.Rows {
		for _, m := range row {
			height, width = max(height, m.Height), max(width, m.Width)
		}
	}
	return fmt.Sprintf("%d rows by %d columns of images of up to %dx%d pixels, enlarged %d times",
		len(g.Rows), g.columns(), height, width, g.layout(st).enlarge)
}

// AltText returns Alt, or a description made from the title and the frames.
func (a *Animation) AltText() string {
	if a.Alt != "" {
		return a.Alt
	}
	s := fmt.Sprintf("animation of %d frames", len(a.Frames))
	if n := len(a.Frames); n > 0 && a.Frames[n-1] != nil {
		s += ", the last: " + a.Frames[n-1].AltText()
	}
	if a.Title != "" {
		s = a.Title + ". " + s
	}
	return s
}

// PNG returns the animation as an animated PNG file, the same bytes for the same animation.
func (a *Animation) PNG() (data []byte, err error) {
	pictures, err := a.draw()
	if err != nil {
		return nil, err
	}
	delay, hold, most := a.Delay, a.Hold, a.MaxBytes
	if delay == 0 {
		delay = 400 * time.Millisecond
	}
	if hold == 0 {
		hold = 2 * time.Second
	}
	if most == 0 {
		most = 150000
	}
	for frames := len(pictures); ; frames = (frames + 1) / 2 {
		chosen := make([]*image.RGBA, frames)
		for i := range chosen {
			chosen[i] = pictures[(i*(len(pictures)-1)+(frames-1)/2)/(frames-1)]
		}
		counts := countColors(chosen)
		for _, colors := range []int{paletteSize, 64} {
			if data, err = encodeAPNG(paletted(chosen, counts, colors), delay, hold, a.Plays); err != nil || len(data) <= most {
				return data, err
			}
		}
		if frames == 2 {
			return nil, fmt.Errorf("animation %q: two frames take %d bytes, more than %d: show fewer images, or allow more",
				a.Title, len(data), most)
		}
	}
}

// still returns the last frame as a PNG file.
func (a *Animation) still() ([]byte, error) {
	pictures, err := a.draw()
	if err != nil {
		return nil, err
	}
	return encodePNG(pictures[len(pictures)-1], true)
}

// draw paints all frames with one layout, so that nothing jumps.
func (a *Animation) draw() (pictures []*image.RGBA, err error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	defer recovered("animation", a.Title, &err)
	st := newStyle(&Figure{})
	l := a.Frames[0].layout(st)
	for _, g := range a.Frames[1:] {
		other := g.layout(st)
		l.left, l.top = max(l.left, other.left), max(l.top, other.top)
		l.cellWidth, l.cellHeight = max(l.cellWidth, other.cellWidth), max(l.cellHeight, other.cellHeight)
		l.w = max(l.w, other.w)
	}
	l.fit(a.Frames[0])
	if float64(l.w)*float64(l.h)*float64(len(a.Frames)) > maxAnimated {
		return nil, fmt.Errorf("animation %q would have %d frames of %.0f by %.0f pixels: show fewer frames or images, or enlarge them less",
			a.Title, len(a.Frames), float64(l.w), float64(l.h))
	}
	for _, g := range a.Frames {
		pictures = append(pictures, g.paint(st, l))
	}
	return pictures, nil
}

// countColors counts the pixels of each color. Most are of the color of the one before.
func countColors(pictures []*image.RGBA) map[[3]uint8]int {
	counts := map[[3]uint8]int{}
	for _, img := range pictures {
		last, run := [3]uint8{}, 0
		for i := 0; i < len(img.Pix); i += 4 {
			if c := [3]uint8(img.Pix[i : i+3]); c != last {
				counts[last] += run
				last, run = c, 0
			}
			run++
		}
		counts[last] += run
	}
	if counts[[3]uint8{}] == 0 {
		delete(counts, [3]uint8{})
	}
	return counts
}

// paletted draws pictures with one palette.
func paletted(pictures []*image.RGBA, counts map[[3]uint8]int, colors int) (out []*image.Paletted) {
	palette, index := medianCut(counts, colors)
	for _, img := range pictures {
		p := image.NewPaletted(img.Rect, palette)
		last := [3]uint8(img.Pix[:3])
		at := index[last]
		for i := range p.Pix {
			if c := [3]uint8(img.Pix[4*i : 4*i+3]); c != last {
				last, at = c, index[c]
			}
			p.Pix[i] = at
		}
		out = append(out, p)
	}
	return out
}

func (a *Animation) html() (template.HTML, error) {
	if a == nil {
		return "", errors.New("an animation is nil")
	}
	return picture("picture images", a.Caption, a.AltText(), a.PNG, a.still)
}

// bounds returns the smallest rectangle with all pixels in which two pictures of one size differ, one pixel at least.
func bounds(a, b *image.Paletted) image.Rectangle {
	var r image.Rectangle
	for y := range a.Rect.Dy() {
		rowA, rowB := a.Pix[y*a.Stride:(y+1)*a.Stride], b.Pix[y*b.Stride:(y+1)*b.Stride]
		if bytes.Equal(rowA, rowB) {
			continue
		}
		first, last := -1, 0
		for x := range rowA {
			if rowA[x] != rowB[x] {
				if first < 0 {
					first = x
				}
				last = x
			}
		}
		r = r.Union(image.Rect(first, y, last+1, y+1))
	}
	if r.Empty() {
		return image.Rect(0, 0, 1, 1)
	}
	return r
}
