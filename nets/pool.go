package nets

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// MaxPool2D takes the maximum over size x size windows that do not overlap, x [batch, height, width, channels]; rows
// and columns that fill no window are left out, as in PyTorch. Where values tie, the first of a window (row by row)
// gets the whole gradient, as in PyTorch.
//
// It finds each window's winner with elementwise comparisons of strided views, then sums the window under the winner's
// mask: the value is exact, and the gradient is the mask times a broadcast, which XLA fuses into one loop. XLA's own
// max-pool has a gradient (select-and-scatter) that is several times slower on CPUs.
func MaxPool2D(x *Node, size int) *Node {
	x = crop(x, size)
	d := x.Shape().Dimensions
	winner := InsertAxes(InsertAxes(firstMaximum(views(StopGradient(x), size)), 3), 2)
	windows := Reshape(x, d[0], d[1]/size, size, d[2]/size, size, d[3])
	ints := windows.Shape().Clone()
	ints.DType = dtypes.Int32
	position := Add(MulScalar(Iota(x.Graph(), ints, 2), size), Iota(x.Graph(), ints, 4))
	mask := Equal(BroadcastToDims(winner, ints.Dimensions...), position)
	return ReduceSum(Where(mask, windows, ZerosLike(windows)), 2, 4)
}

// MeanPool2D takes the mean over the windows of MaxPool2D.
func MeanPool2D(x *Node, size int) *Node {
	x = crop(x, size)
	d := x.Shape().Dimensions
	return ReduceMean(Reshape(x, d[0], d[1]/size, size, d[2]/size, size, d[3]), 2, 4)
}

// crop leaves out the rows and columns that fill no window.
func crop(x *Node, size int) *Node {
	if x.Rank() != 4 || size < 1 || x.Shape().Dimensions[1] < size || x.Shape().Dimensions[2] < size {
		exceptions.Panicf("nets: cannot pool %s by %d: want [batch, height, width, channels] with sides of at least %d", x.Shape(), size, size)
	}
	height, width := x.Shape().Dimensions[1]/size*size, x.Shape().Dimensions[2]/size*size
	if height == x.Shape().Dimensions[1] && width == x.Shape().Dimensions[2] {
		return x
	}
	return Slice(x, AxisRange(), AxisRange(0, height), AxisRange(0, width), AxisRange())
}

// views returns the size*size strided views of x that hold each window's first, second ... value.
func views(x *Node, size int) []*Node {
	height, width := x.Shape().Dimensions[1], x.Shape().Dimensions[2]
	var all []*Node
	for r := range size {
		for c := range size {
			all = append(all, Slice(x, AxisRange(),
				AxisRange(r, height-size+r+1).Stride(size), AxisRange(c, width-size+c+1).Stride(size), AxisRange()))
		}
	}
	return all
}

// firstMaximum returns, element by element, the index of the first of the largest values, int32.
func firstMaximum(values []*Node) *Node {
	best := values[0]
	shape := best.Shape().Clone()
	shape.DType = dtypes.Int32
	index := Zeros(best.Graph(), shape)
	for i, v := range values[1:] {
		above := GreaterThan(v, best)
		best = Where(above, v, best)
		index = Where(above, AddScalar(ZerosLike(index), i+1), index)
	}
	return index
}
