package nets

import (
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
)

// A kernel is small with at most so many input and output channels.
const smallInputs, smallOutputs = 8, 32

// SmallConvMaxPool2D is MaxPool2D(Conv2D(x, kernel), 2), where a 3x3 kernel has few channels. Each value of the result is the
// largest of four sums of products, all written out, which XLA compiles for CPUs to one loop over vectors: nothing is stored in
// between. Elsewhere it is ConvMaxPool2D, from which values differ by rounding.
//
// Gradients need to know which of the four is the largest, by the same loop; the rest is linear. They may be differentiated
// again where x has few channels, as those of ConvMaxPool2D.
func SmallConvMaxPool2D(x, kernel *Node) *Node {
	d, k := x.Shape().Dimensions, kernel.Shape().Dimensions
	if d[3] > smallInputs || k[3] > smallOutputs || d[1] < 2 || d[2] < 2 || k[0] != 3 || k[1] != 3 || !fuses(x) {
		return ConvMaxPool2D(x, kernel)
	}
	sums := writtenOut(StopGradient(x), StopGradient(kernel))
	winner, all := firstMaximum(sums), NewBilinear(convInWindows, x, kernel)
	return withGradients(Max(Max(sums[0], sums[1]), Max(sums[2], sums[3])),
		gradientOf{x, func(v *Node) *Node { return all.adjointX(spread(v, winner, d[3]), kernel) }},
		gradientOf{kernel, func(v *Node) *Node { return all.adjointK(x, spread(v, winner, d[3])) }})
}

// fuses tells whether XLA compiles for a CPU. The backend in pure Go runs every operation by itself, and what XLA has for GPUs
// was not measured.
func fuses(x *Node) bool {
	plugin, ok := x.Graph().Backend().(interface{ PluginName() string })
	return ok && strings.Contains(plugin.PluginName(), "cpu")
}

// writtenOut is the convolution at the four positions of each window, [batch, height/2, width/2, outputs] each. A sum for each
// row of the kernel lets the processor add several at a time.
func writtenOut(x, kernel *Node) []*Node {
	d, k := x.Shape().Dimensions, kernel.Shape().Dimensions
	height, width := d[1]/2, d[2]/2
	one := PadAxis{Start: 1, End: 1}
	padded := Pad(x, ScalarZero(x.Graph(), x.DType()), PadAxis{}, one, one, PadAxis{})
	pixel := func(row, column, channel int) *Node {
		rows, columns := AxisRange(row, row+2*height-1).Stride(2), AxisRange(column, column+2*width-1).Stride(2)
		return BroadcastToDims(Slice(padded, AxisRange(), rows, columns, AxisElem(channel)), d[0], height, width, k[3])
	}
	weight := func(row, column, channel int) *Node {
		return BroadcastToDims(Slice(kernel, AxisElem(row), AxisElem(column), AxisElem(channel)), d[0], height, width, k[3])
	}
	kernel = Settled(kernel) // an imported one is turned
	var all []*Node
	for r := range 2 {
		for c := range 2 {
			var total *Node
			for i := range 3 {
				var sum *Node
				for j := range 3 {
					for channel := range d[3] {
						sum = plus(sum, Mul(pixel(r+i, c+j, channel), weight(i, j, channel)))
					}
				}
				total = plus(total, sum)
			}
			all = append(all, total)
		}
	}
	return all
}

// plus is a+b, or b if there is no a yet.
func plus(a, b *Node) *Node {
	if a == nil {
		return b
	}
	return Add(a, b)
}

// convInWindows is the convolution as [batch, height/2, rows, width/2, columns, outputs] or, of few input channels, as
// [batch, height/2, width/2, positions, outputs], computed as ConvMaxPool2D does.
func convInWindows(x, kernel *Node) *Node {
	d, k := x.Shape().Dimensions, kernel.Shape().Dimensions
	height, width := d[1]/2, d[2]/2
	if d[3] > fewChannels {
		return Reshape(crop(Conv2D(x, kernel), 2), d[0], height, 2, width, 2, k[3])
	}
	return Reshape(MatMul(windowPatches(x), Concatenate(shiftedKernels(kernel), -1)), d[0], height, width, 4, k[3])
}

// spread puts the values of pooled windows where each window has its largest value, and zeros elsewhere, as convInWindows lies.
func spread(pooled, winner *Node, inputs int) *Node {
	d := pooled.Shape().Dimensions
	dims, rows, columns := []int{d[0], d[1], 2, d[2], 2, d[3]}, 2, 4
	if inputs <= fewChannels {
		dims, rows, columns = []int{d[0], d[1], d[2], 4, d[3]}, -1, 3
	}
	shape := winner.Shape().Clone()
	shape.Dimensions = dims
	position := Iota(pooled.Graph(), shape, columns)
	wide := func(y *Node) *Node {
		y = InsertAxes(y, 3)
		if rows > 0 {
			y = InsertAxes(y, 2)
		}
		return BroadcastToDims(y, dims...)
	}
	if rows > 0 {
		position = Add(MulScalar(Iota(pooled.Graph(), shape, rows), 2), position)
	}
	values := wide(pooled)
	return Where(Equal(wide(winner), position), values, ZerosLike(values))
}

// Settled is x, finite, as XLA has it in memory before anything that reads it is computed: no loop goes across a product of
// matrices, here with the identity. It helps where reshaping or turning would keep a loop from using vectors. Where that does not
// pay, of many channels, it is x itself.
func Settled(x *Node) *Node {
	d := x.Shape().Dimensions
	channels := d[len(d)-1]
	if channels > smallOutputs || !fuses(x) {
		return x
	}
	identity := ConvertDType(DiagonalWithValue(ScalarOne(x.Graph(), x.DType()), channels), x.DType())
	return Reshape(MatMul(Reshape(x, -1, channels), identity), d...)
}
