package paired

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Domain names an appearance of the target.
type Domain string

// The target domains. s is the mask of the strokes, in [0, 1], at 32 by 32 pixels: an image of 16 by 16 holds means of the middle of one
// of 32 by 32. Hues are fractions of a turn, uniform in the range given and drawn anew for each image. The source is s times a
// color of any hue (S 0.8, V 1) on black.
const (
	// Ink is colored ink on paper: paper of hue 0.08 to 0.16 (S 0.25, V 1), ink of hue 0.55 to 0.70 (S 0.9, V 0.5).
	Ink Domain = "ink"
	// Outline is the morphological gradient of s, its largest minus its smallest value among a pixel and its four
	// neighbors, in a pale color of any hue (S 0.15, V 1) on dark blue of hue 0.55 to 0.70 (S 0.9, V 0.35).
	Outline Domain = "outline"
	// Thick is the gray dilation of s, its largest value among 3 by 3 pixels, colored as the source is.
	Thick Domain = "thick"
	// Typeface is the same character in another typeface, colored as the source is; only [Glyphs] has it.
	Typeface Domain = "typeface"
)

// Domains are all domains.
var Domains = []Domain{Ink, Outline, Thick, Typeface}

// rgb is a color, each of its values in [0, 1].
type rgb [3]float64

var black rgb

// hsv returns the color of a hue in turns, a saturation and a value (A. R. Smith, Color gamut transform pairs, 1978).
func hsv(h, s, v float64) rgb {
	var c rgb
	for i, n := range [3]float64{5, 3, 1} {
		k := math.Mod(n+6*h, 6)
		c[i] = v - v*s*max(0, min(k, 4-k, 1))
	}
	return c
}

// between draws uniformly.
func between(rng *rand.Rand, low, high float64) float64 { return low + (high-low)*rng.Float64() }

// mask is the strokes of an image, square, in [0, 1].
type mask struct {
	side int
	at   []float64
}

// pad is the side that images of 28 by 28 pixels are padded to with black.
const pad = 32

// newMask pads a gray image of 28 by 28 pixels.
func newMask(gray []uint8) mask {
	const from = 28
	m := mask{side: pad, at: make([]float64, pad*pad)}
	for i, v := range gray {
		m.at[(i/from+(pad-from)/2)*pad+i%from+(pad-from)/2] = float64(v) / 255
	}
	return m
}

// middle is what small images show of 32 by 32 pixels: MNIST centers its digits, which are at most 20 pixels wide and high, and
// small images have no pixels to spare for a border.
const middle = 24

// shrink returns means over the areas of pixels: of all of the mask for 32 by 32 of them, of its middle for fewer.
func (m mask) shrink(side int) mask {
	if side == m.side {
		return m
	}
	scale := float64(middle) / float64(side)
	out := mask{side: side, at: make([]float64, side*side)}
	// overlap is how much of pixel i lies in pixel k of the result.
	overlap := func(i, k int) float64 {
		low := float64((m.side-middle)/2) + float64(k)*scale
		return max(0, min(float64(i+1), low+scale)-max(float64(i), low))
	}
	for y := range side {
		for x := range side {
			for i := range m.side {
				row := overlap(i, y)
				if row == 0 {
					continue
				}
				for j := range m.side {
					out.at[y*side+x] += m.at[i*m.side+j] * row * overlap(j, x) / (scale * scale)
				}
			}
		}
	}
	return out
}

// neighborhood applies f to the values of every pixel and of its neighbors that lie within the image: the four beside it,
// or all eight.
func (m mask) neighborhood(eight bool, f func(values []float64) float64) mask {
	out := mask{side: m.side, at: make([]float64, len(m.at))}
	for y := range m.side {
		for x := range m.side {
			var values []float64
			for dy := -1; dy <= 1; dy++ {
				for dx := -1; dx <= 1; dx++ {
					inside := y+dy >= 0 && y+dy < m.side && x+dx >= 0 && x+dx < m.side
					if inside && (eight || dx == 0 || dy == 0) {
						values = append(values, m.at[(y+dy)*m.side+x+dx])
					}
				}
			}
			out.at[y*m.side+x] = f(values)
		}
	}
	return out
}

// paint blends from ground to stroke by the mask, and maps [0, 1] to [-1, 1].
func (m mask) paint(dst []float32, ground, stroke rgb) {
	for i, s := range m.at {
		for c := range 3 {
			v := ground[c] + s*(stroke[c]-ground[c])
			dst[3*i+c] = float32(2*min(max(v, 0), 1) - 1)
		}
	}
}

// paintSource paints strokes in a color of any hue on black.
func paintSource(dst []float32, m mask, rng *rand.Rand) {
	m.paint(dst, black, hsv(rng.Float64(), 0.8, 1))
}

// shape returns what the domain draws of the strokes.
func (d Domain) shape(m mask) mask {
	switch d {
	case Outline:
		return m.neighborhood(false, func(v []float64) float64 { return slices.Max(v) - slices.Min(v) })
	case Thick:
		return m.neighborhood(true, slices.Max[[]float64])
	}
	return m
}

// paintTarget paints what shape returned, in the domain's colors.
func (d Domain) paintTarget(dst []float32, m mask, rng *rand.Rand) {
	switch d {
	case Ink:
		m.paint(dst, hsv(between(rng, 0.08, 0.16), 0.25, 1), hsv(between(rng, 0.55, 0.70), 0.9, 0.5))
	case Outline:
		m.paint(dst, hsv(between(rng, 0.55, 0.70), 0.9, 0.35), hsv(rng.Float64(), 0.15, 1))
	default:
		paintSource(dst, m, rng)
	}
}
