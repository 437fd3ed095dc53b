package report

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"slices"
)

// paletteSize is the most colors that a PNG's palette holds.
const paletteSize = 256

// encodePNG writes an opaque image with a palette where its colors fit one, which is a third of the size. Where they do
// not and reduce is set, the palette takes the most frequent colors, then again and again the color farthest from all
// those taken: what is lost are shades at the edges of letters and lines.
func encodePNG(from image.Image, reduce bool) ([]byte, error) {
	img := toRGBA(from)
	counts := map[[3]uint8]int{}
	for i := 0; i < len(img.Pix); i += 4 {
		counts[[3]uint8(img.Pix[i:i+3])]++
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if len(counts) > paletteSize && !reduce {
		err := encoder.Encode(&b, img)
		return b.Bytes(), err
	}
	palette, index := choosePalette(counts)
	out := image.NewPaletted(img.Rect, palette)
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			i := y*img.Stride + 4*x
			out.Pix[y*out.Stride+x] = index[[3]uint8(img.Pix[i:i+3])]
		}
	}
	err := encoder.Encode(&b, out)
	return b.Bytes(), err
}

// toRGBA copies an image where it is of another kind.
func toRGBA(from image.Image) *image.RGBA {
	if img, ok := from.(*image.RGBA); ok {
		return img
	}
	img := image.NewRGBA(from.Bounds())
	draw.Draw(img, img.Rect, from, from.Bounds().Min, draw.Src)
	return img
}

// choosePalette picks the colors of a palette and says which of them stands for each color.
func choosePalette(counts map[[3]uint8]int) (color.Palette, map[[3]uint8]uint8) {
	colors := make([][3]uint8, 0, len(counts))
	for c := range counts {
		colors = append(colors, c)
	}
	slices.SortFunc(colors, func(a, b [3]uint8) int {
		return cmp.Or(counts[b]-counts[a], slices.Compare(a[:], b[:]))
	})
	nearest, distance := make([]uint8, len(colors)), make([]int, len(colors))
	for i := range distance {
		distance[i] = 3*255*255 + 1
	}
	var palette color.Palette
	for len(palette) < min(paletteSize, len(colors)) {
		next := len(palette)
		if len(colors) > paletteSize && next >= paletteSize/2 {
			next = slices.Index(distance, slices.Max(distance))
		}
		chosen := colors[next]
		for i, c := range colors {
			d := 0
			for k := range c {
				step := int(c[k]) - int(chosen[k])
				d += step * step
			}
			if d < distance[i] {
				nearest[i], distance[i] = uint8(len(palette)), d
			}
		}
		palette = append(palette, color.RGBA{chosen[0], chosen[1], chosen[2], 255})
	}
	index := make(map[[3]uint8]uint8, len(colors))
	for i, c := range colors {
		index[c] = nearest[i]
	}
	return palette, index
}
