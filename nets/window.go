package nets

import (
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// windows describes the places of a window and what it sees there: a number for each side.
type windows struct {
	kernel, stride, dilation []int
	pads                     [][2]int
	out                      []int // how many places
}

// extent is how far a window reaches along a side.
func (w windows) extent(side int) int { return (w.kernel[side]-1)*w.dilation[side] + 1 }

func (w windows) zeroPads() bool {
	return !slices.ContainsFunc(w.pads, func(p [2]int) bool { return p != [2]int{} })
}

func all(values []int, want int) bool {
	return !slices.ContainsFunc(values, func(v int) bool { return v != want })
}

// padSides adds value around images; negative widths cut off.
func padSides(x, value *Node, pads [][2]int) *Node {
	axes := make([]PadAxis, len(pads)+2)
	cut := make([]SliceAxisSpec, len(pads)+2)
	padded, cropped := false, false
	for i := range cut {
		cut[i] = AxisRange()
	}
	for i, p := range pads {
		axes[1+i] = PadAxis{Start: max(p[0], 0), End: max(p[1], 0)}
		padded = padded || p[0] > 0 || p[1] > 0
		if p[0] < 0 || p[1] < 0 {
			cropped = true
			cut[1+i] = AxisRange(max(-p[0], 0), x.Shape().Dimensions[1+i]-max(-p[1], 0))
		}
	}
	if cropped {
		x = Slice(x, cut...)
	}
	if padded {
		x = Pad(x, value, axes...)
	}
	return x
}

// views returns for each position in a window, row by row, the strided view of x that holds its values.
func (w windows) views(x, fill *Node) []*Node {
	pads := slices.Clone(w.pads)
	for i := range pads {
		need := (w.out[i]-1)*w.stride[i] + w.extent(i)
		pads[i][1] = max(0, need-x.Shape().Dimensions[1+i]-pads[i][0])
	}
	x = padSides(x, fill, pads)
	var found []*Node
	at := make([]int, len(w.kernel))
	for {
		specs := []SliceAxisSpec{AxisRange()}
		for i, k := range at {
			start := k * w.dilation[i]
			specs = append(specs, AxisRange(start, start+(w.out[i]-1)*w.stride[i]+1).Stride(w.stride[i]))
		}
		found = append(found, Slice(x, append(specs, AxisRange())...))
		side := len(at) - 1
		for side >= 0 && at[side] == w.kernel[side]-1 {
			at[side] = 0
			side--
		}
		if side < 0 {
			return found
		}
		at[side]++
	}
}

// plain2 tells whether the windows are squares that tile an image of two sides.
func (w windows) plain2(x *Node) bool {
	d := x.Shape().Dimensions
	return len(w.kernel) == 2 && w.kernel[0] == w.kernel[1] && slices.Equal(w.stride, w.kernel) && all(w.dilation, 1) && w.zeroPads() &&
		w.out[0] == d[1]/w.kernel[0] && w.out[1] == d[2]/w.kernel[1]
}

func windowMaximum(x *Node, w windows) *Node {
	views := w.views(x, Infinity(x.Graph(), x.DType(), -1))
	best := views[0]
	for _, y := range views[1:] {
		best = Where(GreaterThan(y, best), y, best)
	}
	return best
}
