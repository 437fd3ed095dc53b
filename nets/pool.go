package nets

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// MaxPool2D takes the maximum over size x size windows that do not overlap, x [batch, height, width, channels]; rows
// and columns that fill no window are left out, as in PyTorch. Where values tie, the first of a window (row by row)
// gets the whole gradient, as in PyTorch.
//
// It is a chain of elementwise maxima over strided slices: XLA's own max-pool has a gradient (select-and-scatter) that
// is several times slower on CPUs.
func MaxPool2D(x *Node, size int) *Node {
	views := windows(x, size)
	best := views[0]
	for _, v := range views[1:] {
		best = Where(GreaterThan(v, best), v, best)
	}
	return best
}

// MeanPool2D takes the mean over the windows of MaxPool2D.
func MeanPool2D(x *Node, size int) *Node {
	views := windows(x, size)
	sum := views[0]
	for _, v := range views[1:] {
		sum = Add(sum, v)
	}
	return MulScalar(sum, 1/float64(size*size))
}

// windows returns the size*size strided views of x that hold each window's first, second ... value.
func windows(x *Node, size int) []*Node {
	if x.Rank() != 4 || size < 1 || x.Shape().Dimensions[1] < size || x.Shape().Dimensions[2] < size {
		exceptions.Panicf("nets: cannot pool %s by %d: want [batch, height, width, channels] with sides of at least %d", x.Shape(), size, size)
	}
	height, width := x.Shape().Dimensions[1]/size*size, x.Shape().Dimensions[2]/size*size
	var views []*Node
	for r := range size {
		for c := range size {
			views = append(views, Slice(x, AxisRange(),
				AxisRange(r, height-size+r+1).Stride(size), AxisRange(c, width-size+c+1).Stride(size), AxisRange()))
		}
	}
	return views
}
