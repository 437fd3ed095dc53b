package datasets

import (
	"fmt"
	"image"
	"image/draw"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// glyphSide is the height and width of a glyph image in pixels, as in MNIST.
const glyphSide = 28

// GlyphOptions adjusts the glyphs set.
type GlyphOptions struct {
	// Scripts are the scripts whose characters become classes, in this order: "digits", "latin", "greek", "cyrillic".
	// A character that looks like one of an earlier script, or differs from its capital in size alone, is no class of
	// its own; digits and latin together are the 47 classes of EMNIST Balanced. Default: digits.
	Scripts []string
	// Characters replace Scripts: one class each, of the caller's choice.
	Characters string
	// Classes is the number of classes: the first of these characters, and where there are fewer, pairs of them side by
	// side, as many as it takes. Default: one for each character.
	Classes int
	// Train and Test are the examples of a class in either split. Default: 600 and 100.
	Train, Test int
}

// scripts lists the characters that become classes.
var scripts = map[string]string{
	"digits":   "0123456789",
	"latin":    "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt",
	"greek":    "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξπσφω",
	"cyrillic": "БДЖИЙЛЦЧШЩЪЫЬЭЮЯб",
}

// ScriptNames are the scripts that [GlyphOptions] takes.
var ScriptNames = []string{"digits", "latin", "greek", "cyrillic"}

// testFrom is the index of the first test example of a class: training examples lie below, so the splits never meet.
const testFrom = 1 << 40

// glyphs is the generated set.
func glyphs(o Options) *source {
	return &source{
		info: Info{
			Name:   "glyphs",
			What:   "printed characters, 28x28 gray, in varied fonts, poses and strokes; any number",
			Source: "generated from the fonts Liberation, Latin Modern and Go",
		},
		load: func(string) (train, test *Set, err error) {
			g := o.Glyphs
			if g.Train == 0 {
				g.Train = 600
			}
			if g.Test == 0 {
				g.Test = 100
			}
			gen, err := NewGlyphGenerator(o.Seed, g)
			if err != nil {
				return nil, nil, err
			}
			if train, err = gen.Set("train", 0, g.Train); err != nil {
				return nil, nil, err
			}
			test, err = gen.Set("test", testFrom, g.Test)
			return train, test, err
		},
	}
}

// GlyphGenerator renders labeled images of printed characters. Every image is a function of seed, class and index
// alone: it does not depend on how many others are made, or in which order. (Processors of different kinds may round
// a pixel differently.) It may be used concurrently.
type GlyphGenerator struct {
	seed    int64
	classes []glyphClass
}

// glyphClass is a character, or several side by side.
type glyphClass struct {
	name     string
	outlines [][]sfnt.Segments // one for each font that has all its characters, one in it for each character
	fonts    []int             // which font each of them is of
}

// NewGlyphGenerator prepares the classes of the options. A character that no font has is an error.
func NewGlyphGenerator(seed int64, o GlyphOptions) (*GlyphGenerator, error) {
	characters, err := o.characters()
	if err != nil {
		return nil, err
	}
	n := len(characters)
	switch {
	case o.Classes < 0:
		return nil, fmt.Errorf("glyphs: %d classes: want a positive number, or 0 for one a character", o.Classes)
	case o.Classes == 0:
		o.Classes = n
	case o.Classes > n+n*n:
		return nil, fmt.Errorf("glyphs: %d classes wanted, %d characters and their pairs give %d: add scripts or characters", o.Classes, n, n+n*n)
	}
	fonts, err := loadFonts()
	if err != nil {
		return nil, err
	}
	// By character and font; none where a font lacks the character.
	outlines := make([][]sfnt.Segments, n)
	var buf sfnt.Buffer
	for i, r := range characters {
		some := false
		for _, f := range fonts {
			segments, err := outline(f, &buf, r)
			if err != nil {
				return nil, err
			}
			some = some || segments != nil
			outlines[i] = append(outlines[i], segments)
		}
		if !some {
			return nil, fmt.Errorf("glyphs: no font has the character %q (%U)", r, r)
		}
	}
	g := &GlyphGenerator{seed: seed}
	for c := range o.Classes {
		members := []int{c}
		if c >= n {
			members = []int{(c - n) / n, (c - n) % n}
		}
		var class glyphClass
		for _, m := range members {
			class.name += string(characters[m])
		}
		for f := range fonts {
			var parts []sfnt.Segments
			for _, m := range members {
				if outlines[m][f] != nil {
					parts = append(parts, outlines[m][f])
				}
			}
			if len(parts) == len(members) {
				class.outlines, class.fonts = append(class.outlines, parts), append(class.fonts, f)
			}
		}
		if len(class.outlines) == 0 {
			return nil, fmt.Errorf("glyphs: no font has all characters of %q", class.name)
		}
		g.classes = append(g.classes, class)
	}
	return g, nil
}

// characters lists the characters chosen.
func (o GlyphOptions) characters() ([]rune, error) {
	all := o.Characters
	if all == "" {
		if len(o.Scripts) == 0 {
			o.Scripts = []string{"digits"}
		}
		for _, name := range o.Scripts {
			chars, ok := scripts[name]
			if !ok {
				return nil, fmt.Errorf("glyphs: no script %q: want some of %s", name, strings.Join(ScriptNames, ", "))
			}
			all += chars
		}
	}
	characters := []rune(all)
	seen := map[rune]bool{}
	for _, r := range characters {
		if seen[r] {
			return nil, fmt.Errorf("glyphs: character %q twice: want each class once", r)
		}
		seen[r] = true
	}
	return characters, nil
}

// Classes returns the number of classes.
func (g *GlyphGenerator) Classes() int { return len(g.classes) }

// ClassNames returns the characters of each class.
func (g *GlyphGenerator) ClassNames() []string {
	names := make([]string, len(g.classes))
	for c, class := range g.classes {
		names[c] = class.name
	}
	return names
}

// Set renders the examples from to from+n-1 of every class. Classes alternate, so that every run of examples is
// balanced.
func (g *GlyphGenerator) Set(split string, from, n int) (*Set, error) {
	if from < 0 || n < 1 {
		return nil, fmt.Errorf("glyphs: %d examples a class from %d: want a positive number from 0 or more", n, from)
	}
	k := g.Classes()
	if n > math.MaxInt32/(k*glyphSide*glyphSide) {
		return nil, fmt.Errorf("glyphs: %d examples of %d classes are too many for one set: make several", n, k)
	}
	size := glyphSide * glyphSide
	pixels, labels := make([]uint8, n*k*size), make([]int32, n*k)
	r := newRenderer()
	for i := range n {
		for c := range k {
			at := i*k + c
			labels[at] = int32(c)
			g.render(r, pixels[at*size:(at+1)*size], c, from+i, anyFont)
		}
	}
	return New("glyphs", split, []int{glyphSide, glyphSide, 1}, pixels, labels, k, g.ClassNames())
}

// Image renders example index of a class, [28, 28], ink 255. It panics where the class is out of range.
func (g *GlyphGenerator) Image(class, index int) []uint8 {
	out := make([]uint8, glyphSide*glyphSide)
	g.render(newRenderer(), out, class, index, anyFont)
	return out
}

// ImageIn renders example index of a class, [28, 28], ink 255, in a typeface of [TypefaceNames] instead of one drawn at
// random. Pose, bend and weight of the strokes are those of [GlyphGenerator.Image], so that the images of one index in two
// typefaces differ in the typeface alone. It is an error where the typeface lacks a character of the class, and it panics
// where the class is out of range.
func (g *GlyphGenerator) ImageIn(typeface string, class, index int) ([]uint8, error) {
	c := g.classes[class]
	font := slices.Index(TypefaceNames, typeface)
	if font < 0 {
		return nil, fmt.Errorf("glyphs: no typeface %q: want one of %s", typeface, strings.Join(TypefaceNames, ", "))
	}
	at := slices.Index(c.fonts, font)
	if at < 0 {
		return nil, fmt.Errorf("glyphs: typeface %s has no %q: choose another typeface, or other characters", typeface, c.name)
	}
	out := make([]uint8, glyphSide*glyphSide)
	g.render(newRenderer(), out, class, index, at)
	return out, nil
}

// anyFont has the example draw its font.
const anyFont = -1

// renderer holds what rendering uses again and again.
type renderer struct {
	raster *vector.Rasterizer
	thick  []uint8
}

func newRenderer() *renderer {
	return &renderer{raster: vector.NewRasterizer(glyphSide, glyphSide), thick: make([]uint8, glyphSide*glyphSide)}
}

// render draws one example into out, in one of the class's fonts, or in any.
func (g *GlyphGenerator) render(r *renderer, out []uint8, class, index, font int) {
	rng := rand.New(rand.NewPCG(mix(uint64(g.seed), uint64(class)), mix(uint64(index), 0x676c_7970_68))) // "glyph"
	// Drawn even where the font is given, so that what is drawn after it stays the same.
	drawn := rng.IntN(len(g.classes[class].outlines))
	if font != anyFont {
		drawn = font
	}
	parts := g.classes[class].outlines[drawn]
	between := func(lo, hi float64) float64 { return lo + (hi-lo)*rng.Float64() }

	// An affine map takes the middle of the character to about the middle of the image, and its longer side to 17 to
	// 21 pixels before rotation and shear.
	shifts, box := sideBySide(parts)
	w, h := float64(box.Max.X-box.Min.X), float64(box.Max.Y-box.Min.Y)
	cx, cy := float64(box.Max.X+box.Min.X)/2, float64(box.Max.Y+box.Min.Y)/2
	side := between(17, 21) / max(w, h)
	sx, sy := side*between(0.85, 1), side*between(0.85, 1)
	angle, shear := between(-0.22, 0.22), between(-0.2, 0.2)
	sin, cos := math.Sincos(angle)
	dx, dy := glyphSide/2+between(-1.5, 1.5), glyphSide/2+between(-1.5, 1.5)
	// A slow wave bends the strokes a little, as a hand would.
	bend, phase, turn := between(0, 0.6), between(0, 2*math.Pi), between(0.15, 0.3)
	weight, gain := between(-0.35, 0.8), between(0.8, 1)

	at := func(p fixed.Point26_6, shift fixed.Int26_6) (float32, float32) {
		x, y := (float64(p.X+shift)-cx)*sx, (float64(p.Y)-cy)*sy
		x += shear * y
		x, y = x*cos-y*sin, x*sin+y*cos
		x, y = x+bend*math.Sin(turn*y+phase), y+bend*math.Cos(turn*x+phase)
		return float32(x + dx), float32(y + dy)
	}
	r.raster.Reset(glyphSide, glyphSide)
	for i, segments := range parts {
		for _, s := range segments {
			x, y := at(s.Args[0], shifts[i])
			switch s.Op {
			case sfnt.SegmentOpMoveTo:
				r.raster.ClosePath()
				r.raster.MoveTo(x, y)
			case sfnt.SegmentOpLineTo:
				r.raster.LineTo(x, y)
			case sfnt.SegmentOpQuadTo:
				x2, y2 := at(s.Args[1], shifts[i])
				r.raster.QuadTo(x, y, x2, y2)
			case sfnt.SegmentOpCubeTo:
				x2, y2 := at(s.Args[1], shifts[i])
				x3, y3 := at(s.Args[2], shifts[i])
				r.raster.CubeTo(x, y, x2, y2, x3, y3)
			}
		}
		r.raster.ClosePath()
	}
	clear(out)
	img := &image.Alpha{Pix: out, Stride: glyphSide, Rect: image.Rect(0, 0, glyphSide, glyphSide)}
	r.raster.DrawOp = draw.Src
	r.raster.Draw(img, img.Rect, image.Opaque, image.Point{})
	r.stroke(out, weight, gain)
}

// sideBySide returns how far to the right each part moves, so that they follow one another with a gap, and the box
// around all.
func sideBySide(parts []sfnt.Segments) (shifts []fixed.Int26_6, box fixed.Rectangle26_6) {
	const gap = 1024 * 64 / 8 // an eighth of an em
	box = parts[0].Bounds()
	shifts = append(shifts, 0)
	for _, p := range parts[1:] {
		b := p.Bounds()
		shift := box.Max.X + gap - b.Min.X
		shifts = append(shifts, shift)
		box = box.Union(b.Add(fixed.Point26_6{X: shift}))
	}
	return shifts, box
}

// stroke mixes each pixel with the largest (weight > 0: thicker strokes) or smallest (weight < 0: thinner) of itself
// and its four neighbors, and scales the ink.
func (r *renderer) stroke(out []uint8, weight, gain float64) {
	copy(r.thick, out)
	pick := func(a, b uint8) uint8 { return max(a, b) }
	if weight < 0 {
		pick = func(a, b uint8) uint8 { return min(a, b) }
	}
	for y := range glyphSide {
		for x := range glyphSide {
			i := y*glyphSide + x
			v := r.thick[i]
			m := v
			if x > 0 {
				m = pick(m, r.thick[i-1])
			}
			if x < glyphSide-1 {
				m = pick(m, r.thick[i+1])
			}
			if y > 0 {
				m = pick(m, r.thick[i-glyphSide])
			}
			if y < glyphSide-1 {
				m = pick(m, r.thick[i+glyphSide])
			}
			f := float64(v) + math.Abs(weight)*(float64(m)-float64(v))
			out[i] = uint8(math.Round(gain * f))
		}
	}
}

// mix spreads two numbers over 64 bits (the finalizer of SplitMix64), so that neighbors start unrelated streams.
func mix(a, b uint64) uint64 {
	z := a*0x9e3779b97f4a7c15 + b + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
