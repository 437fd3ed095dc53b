package report

import (
	"cmp"
	"image/color"
	"slices"
)

// colorCount is a color with the number of pixels that have it.
type colorCount struct {
	rgb [3]uint8
	n   float64
}

// medianCut picks at most size colors that stand for all of counts, and says which of them stands for each: all of them where
// they fit, else the most frequent exactly, as paper and letters are, and for the others the means of boxes that are cut at
// their medians, the box with the largest squared error first (P. Heckbert, Color image quantization for frame buffer display,
// 1982, who cuts the box with the most pixels).
func medianCut(counts map[[3]uint8]int, size int) (color.Palette, map[[3]uint8]uint8) {
	all := make([]colorCount, 0, len(counts))
	total := 0.0
	for rgb, n := range counts {
		all = append(all, colorCount{rgb, float64(n)})
		total += float64(n)
	}
	slices.SortFunc(all, func(a, b colorCount) int {
		return cmp.Or(cmp.Compare(b.n, a.n), slices.Compare(a.rgb[:], b.rgb[:]))
	})
	exact := len(all)
	if len(all) > size {
		// What an entry serves on average.
		exact = slices.IndexFunc(all, func(c colorCount) bool { return c.n < total/float64(size) })
		exact = min(max(exact, 0), size/2)
	}
	var boxes []*colorBox
	for i := range exact {
		boxes = append(boxes, newColorBox(all[i:i+1]))
	}
	if exact < len(all) {
		boxes = append(boxes, newColorBox(all[exact:]))
		for len(boxes) < size {
			worst := slices.MaxFunc(boxes, func(a, b *colorBox) int { return cmp.Compare(a.err, b.err) })
			boxes = append(boxes, worst.cut())
		}
	}
	var palette color.Palette
	index := make(map[[3]uint8]uint8, len(all))
	for i, b := range boxes {
		var c [3]uint8
		for k, v := range b.mean {
			c[k] = uint8(v + 0.5)
		}
		palette = append(palette, color.RGBA{c[0], c[1], c[2], 255})
		for _, member := range b.members {
			index[member.rgb] = uint8(i)
		}
	}
	return palette, index
}

// colorBox is a set of colors that one stands for, their mean.
type colorBox struct {
	members []colorCount
	n       float64
	mean    [3]float64
	errs    [3]float64 // squared, by channel, summed over pixels
	err     float64    // their sum
}

func newColorBox(members []colorCount) *colorBox {
	b := &colorBox{members: members}
	for _, m := range members {
		b.n += m.n
		for k, v := range m.rgb {
			b.mean[k] += m.n * float64(v)
		}
	}
	for k := range b.mean {
		b.mean[k] /= b.n
	}
	for _, m := range members {
		for k, v := range m.rgb {
			d := float64(v) - b.mean[k]
			b.errs[k] += m.n * d * d
		}
	}
	b.err = b.errs[0] + b.errs[1] + b.errs[2]
	return b
}

// cut keeps the lower half of the pixels along the channel that varies most, and returns the upper. The box holds two colors
// at least.
func (b *colorBox) cut() *colorBox {
	channel := slices.Index(b.errs[:], slices.Max(b.errs[:]))
	slices.SortFunc(b.members, func(x, y colorCount) int {
		return cmp.Or(cmp.Compare(x.rgb[channel], y.rgb[channel]), slices.Compare(x.rgb[:], y.rgb[:]))
	})
	at, below := 0, 0.0
	for at < len(b.members)-1 && (at == 0 || below < b.n/2) {
		below += b.members[at].n
		at++
	}
	upper := newColorBox(b.members[at:])
	*b = *newColorBox(b.members[:at])
	return upper
}
