package nets

import (
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// Windows are the places of a window that moves over images [batch, sides..., channels] of any number of sides, as
// convolutions and poolings move it. Every field holds a number for each side.
type Windows struct {
	Kernel, Stride, Dilation []int
	Pads                     [][2]int // what is added before and after a side: at least 0
	Out                      []int    // how many places there are; they may reach beyond the padded image
}

// Extent is how far a window reaches along a side, in pixels.
func (w Windows) Extent(side int) int { return (w.Kernel[side]-1)*w.Dilation[side] + 1 }

// Views returns for each position in a window, row by row, the strided view [batch, Out..., channels] of x that holds the
// values there; fill, a scalar, stands for what lies outside x.
func (w Windows) Views(x, fill *Node) []*Node {
	x = w.padded(x, fill)
	var found []*Node
	at := make([]int, len(w.Kernel))
	for {
		specs := []SliceAxisSpec{AxisRange()}
		for i, k := range at {
			start := k * w.Dilation[i]
			specs = append(specs, AxisRange(start, start+(w.Out[i]-1)*w.Stride[i]+1).Stride(w.Stride[i]))
		}
		found = append(found, Slice(x, append(specs, AxisRange())...))
		side := len(at) - 1
		for side >= 0 && at[side] == w.Kernel[side]-1 {
			at[side] = 0
			side--
		}
		if side < 0 {
			return found
		}
		at[side]++
	}
}

// padded adds the pads, and behind each side as many values as the last window reads, but no more.
func (w Windows) padded(x, fill *Node) *Node {
	pads := make([]PadAxis, len(w.Pads)+2)
	for i, p := range w.Pads {
		need := (w.Out[i]-1)*w.Stride[i] + w.Extent(i)
		pads[1+i] = PadAxis{Start: p[0], End: max(0, need-x.Shape().Dimensions[1+i]-p[0])}
	}
	if !slices.ContainsFunc(pads, func(p PadAxis) bool { return p.Start > 0 || p.End > 0 }) {
		return x
	}
	return Pad(x, fill, pads...)
}

// Maximum takes the largest value of each window, [batch, Out..., channels]; of equal values the first, row by row, gets
// the whole gradient.
func (w Windows) Maximum(x *Node) *Node {
	views := w.Views(x, Infinity(x.Graph(), x.DType(), -1))
	best := views[0]
	for _, y := range views[1:] {
		best = Where(GreaterThan(y, best), y, best)
	}
	return best
}
