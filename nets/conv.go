package nets

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// Conv2D is the convolution (cross-correlation) of x [batch, height, width, inputs] with kernel [rows, columns, inputs,
// outputs], stride 1, padded with zeros so that height and width stay.
func Conv2D(x, kernel *Node) *Node {
	return Convolve(x, kernel).PadSame().Done()
}

// StridedConv2D is [Conv2D] at every second row and column, from the first on, for a 3x3 kernel: PyTorch's with stride 2 and
// padding 1. The patches are cut by strided slices and multiplied at once, so that it has gradients of any order, which XLA's
// convolutions have not.
func StridedConv2D(x, kernel *Node) *Node {
	d, k := x.Shape().Dimensions, kernel.Shape().Dimensions
	if x.Rank() != 4 || kernel.Rank() != 4 || k[0] != 3 || k[1] != 3 || k[2] != d[3] {
		exceptions.Panicf("nets: kernel %s for %s: want [3, 3, channels, outputs] and [batch, height, width, channels]",
			kernel.Shape(), x.Shape())
	}
	one := PadAxis{Start: 1, End: 1}
	padded := Pad(x, ScalarZero(x.Graph(), x.DType()), PadAxis{}, one, one, PadAxis{})
	height, width := (d[1]+1)/2, (d[2]+1)/2
	var columns []*Node
	for r := range 3 {
		for c := range 3 {
			columns = append(columns, Slice(padded, AxisRange(), AxisRange(r, r+2*height-1).Stride(2), AxisRange(c, c+2*width-1).Stride(2),
				AxisRange()))
		}
	}
	patches := Reshape(Concatenate(columns, -1), -1, 9*d[3])
	return Reshape(MatMul(patches, Reshape(kernel, 9*d[3], k[3])), d[0], height, width, k[3])
}

// double repeats each value of maps [batch, height, width, channels] twice in both directions.
func double(x *Node) *Node {
	d := x.Shape().Dimensions
	x = BroadcastToDims(InsertAxes(x, 2, 3), d[0], d[1], 2, d[2], 2, d[3])
	return Reshape(x, d[0], 2*d[1], 2*d[2], d[3])
}

// DoubledConv2D is [Conv2D] of x with each value repeated twice in both directions, [batch, 2·height, 2·width, outputs], for a
// square kernel of an odd side. Of the kernel's values, those that meet the same value of x are summed, for each of the four
// positions in a window of the result: one convolution of x itself, with fewer products, gives all four.
func DoubledConv2D(x, kernel *Node) *Node {
	d, k := x.Shape().Dimensions, kernel.Shape().Dimensions
	if x.Rank() != 4 || kernel.Rank() != 4 || k[0] != k[1] || k[0]%2 == 0 || k[2] != d[3] {
		exceptions.Panicf("nets: kernel %s for %s: want [side, side, channels, outputs] of an odd side and [batch, height, width, channels]",
			kernel.Shape(), x.Shape())
	}
	// At position a of a window, the kernel's row r meets the row (a+r-k/2)/2 of x, rounded down, counted from the window's.
	first := (k[0]/2 + 1) / 2
	side := 2*first + 1
	meets := make([][][]float64, 2)
	for a := range meets {
		meets[a] = make([][]float64, side)
		for m := range meets[a] {
			meets[a][m] = make([]float64, k[0])
		}
		for r := range k[0] {
			meets[a][(a+r-k[0]/2+2*first)/2][r] = 1
		}
	}
	sums := ConvertDType(Const(x.Graph(), meets), kernel.DType())
	four := Reshape(Einsum("bnc,amcio->mniabo", sums, Einsum("amr,rcio->amcio", sums, kernel)), side, side, k[2], 4*k[3])
	y := Reshape(Conv2D(x, four), d[0], d[1], d[2], 2, 2, k[3])
	return Reshape(TransposeAllDims(y, 0, 1, 3, 2, 4, 5), d[0], 2*d[1], 2*d[2], k[3])
}

// fewChannels is up to how many input channels ConvMaxPool2D multiplies patches itself.
const fewChannels = 4

// ConvMaxPool2D is MaxPool2D(Conv2D(x, kernel), 2) for a 3x3 kernel, computed faster where x has few channels, as the
// first layer of a network has: XLA's convolution is then slow in both directions (on CPUs), since its inner loops run
// over one to three channels, and so is the pooling of its large output.
//
// Each 2x2 window sees a 4x4 patch of x. The patches, cut once, are multiplied by the kernel at each of the window's
// four positions; the four results are pooled by comparing whole arrays, with no strided access to the many output
// channels in either direction.
func ConvMaxPool2D(x, kernel *Node) *Node {
	d, k := x.Shape().Dimensions, kernel.Shape().Dimensions
	if d[3] > fewChannels || d[1]%2 != 0 || d[2]%2 != 0 || k[0] != 3 || k[1] != 3 {
		return MaxPool2D(Conv2D(x, kernel), 2)
	}
	patches := windowPatches(x)
	var best *Node
	for _, shifted := range shiftedKernels(kernel) {
		y := MatMul(patches, shifted)
		if best == nil {
			best = y
		} else {
			best = Where(GreaterThan(y, best), y, best)
		}
	}
	return Reshape(best, d[0], d[1]/2, d[2]/2, k[3])
}

// windowPatches returns the 4x4 patch that each 2x2 window of a 3x3 convolution sees, one in a row.
func windowPatches(x *Node) *Node {
	d := x.Shape().Dimensions
	height, width := d[1]/2, d[2]/2
	one := PadAxis{Start: 1, End: 1}
	padded := Pad(x, ScalarZero(x.Graph(), x.DType()), PadAxis{}, one, one, PadAxis{})
	var columns []*Node
	for r := range 4 {
		for c := range 4 {
			rows, across := AxisRange(r, r+2*height-1).Stride(2), AxisRange(c, c+2*width-1).Stride(2)
			columns = append(columns, Slice(padded, AxisRange(), rows, across, AxisRange()))
		}
	}
	return Reshape(Concatenate(columns, -1), -1, 16*d[3])
}

// shiftedKernels returns what the patches are multiplied by for each of a window's four positions.
func shiftedKernels(kernel *Node) (all []*Node) {
	k, zero := kernel.Shape().Dimensions, ScalarZero(kernel.Graph(), kernel.DType())
	for r := range 2 {
		for c := range 2 {
			shifted := Pad(kernel, zero, PadAxis{Start: r, End: 1 - r}, PadAxis{Start: c, End: 1 - c}, PadAxis{}, PadAxis{})
			all = append(all, Reshape(shifted, 16*k[2], k[3]))
		}
	}
	return all
}
