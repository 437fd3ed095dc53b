package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/trustbook/trustbook/nets"
)

func (v *values) conv(n *protos.NodeProto) {
	v.last[n.Output[0]] = v.biased(n, convolve(n, v.image(n.Input[0]), v.get(n.Input[1])))
}

// convolve is the convolution of a node's attributes of x [batch, sides..., inputs] with a kernel as the file has it.
func convolve(n *protos.NodeProto, x, kernel *Node) *Node {
	kernel = turnedKernel(n, x, kernel)
	groups := int(intOr(n, "group", 1))
	checkChannels(x, kernel, groups)
	w := windowsOf(n, kernel.Shape().Dimensions[:x.Rank()-2], x.Shape().Dimensions[1:x.Rank()-1])
	return convolution(x, kernel, w, groups)
}

// biased adds a bias [channels], the third input, if there is one.
func (v *values) biased(n *protos.NodeProto, y *Node) *Node {
	if bias := v.in(n, 2); bias != nil {
		y = Add(y, ExpandLeftToRank(bias, y.Rank()))
	}
	return y
}

// kernel returns a convolution's kernel as [sides..., inputs, outputs], after a look at its shape.
func (v *values) kernel(n *protos.NodeProto) *Node {
	return turnedKernel(n, v.image(n.Input[0]), v.get(n.Input[1]))
}

func turnedKernel(n *protos.NodeProto, x, kernel *Node) *Node {
	if kernel.Rank() != x.Rank() {
		exceptions.Panicf("kernel %s for %s: want as many axes", kernel.Shape(), x.Shape())
	}
	checkKernelShape(n, kernel.Shape().Dimensions[2:])
	order := axesFrom(2, kernel.Rank())
	return TransposeAllAxes(kernel, append(order, 1, 0)...)
}

// checkKernelShape compares the sides of a kernel with those that the node may name.
func checkKernelShape(n *protos.NodeProto, sides []int) {
	if given := sizes(n, "kernel_shape", len(sides), 0); given[0] != 0 && !slices.Equal(given, sides) {
		exceptions.Panicf("kernel_shape %v for a kernel of %v", given, sides)
	}
}

func checkChannels(x, kernel *Node, groups int) {
	channels, k := x.Shape().Dimensions[x.Rank()-1], kernel.Shape().Dimensions
	in, out := k[len(k)-2], k[len(k)-1]
	if groups < 1 || channels%groups != 0 || out%groups != 0 || in != channels/groups {
		exceptions.Panicf("kernel %v (sides, inputs, outputs) in %d groups does not fit %d channels", k, groups, channels)
	}
}

// convolution of x [batch, sides..., inputs] with kernel [sides..., inputs/groups, outputs].
//
// GoMLX's input gradient is shifted by one pixel where a dilated kernel has an even size: such kernels get a row of
// zeros. Kernels as large as their stride, as those of vision transformers, are one matrix product.
func convolution(x, kernel *Node, w nets.Windows, groups int) *Node {
	sides := len(w.Kernel)
	if groups > 1 {
		return groupedConvolution(x, kernel, w, groups)
	}
	if x.DType() == dtypes.Float64 {
		return inProducts(x, kernel, w)
	}
	if sides == 2 && unpadded(w) && slices.Equal(w.Stride, w.Kernel) && equalAll(w.Dilation, 1) {
		return patches(x, kernel)
	}
	zero := ScalarZero(x.Graph(), x.DType())
	more := make([]PadAxis, sides+2)
	pads := slices.Clone(w.Pads)
	extent := make([]int, sides)
	grow, far := false, false
	for i := range sides {
		extent[i] = w.Extent(i)
		if extent[i]%2 == 0 {
			more[i].End, grow = 1, true
			pads[i][1] += w.Dilation[i]
			extent[i] += w.Dilation[i]
		}
		far = far || max(pads[i][0], pads[i][1]) >= extent[i] || min(pads[i][0], pads[i][1]) < 0
	}
	if grow {
		kernel = Pad(kernel, zero, more...)
	}
	if far {
		x, pads = padSides(x, zero, pads), make([][2]int, sides)
	}
	c := Convolve(x, kernel).PaddingPerDim(pads)
	if equalAll(w.Dilation, 1) {
		return c.StridePerAxis(w.Stride...).Done()
	}
	y := c.DilationPerAxis(w.Dilation...).Done()
	if !equalAll(w.Stride, 1) { // GoMLX takes only one of stride and dilation
		specs := []SliceAxisSpec{AxisRange()}
		for _, s := range w.Stride {
			specs = append(specs, AxisRange().Stride(s))
		}
		y = Slice(y, append(specs, AxisRange())...)
	}
	return y
}

// groupedConvolution is convolution in more than one group; negative pads cut off.
func groupedConvolution(x, kernel *Node, w nets.Windows, groups int) *Node {
	x, w = cutOff(x, w)
	return nets.GroupedConv(x, kernel, w, groups)
}

// inProducts is the convolution as a sum of matrix products, one for each place in a window: for convolutions of doubles XLA's CPU
// plugin has nothing but plain loops, which take a hundred times as long.
func inProducts(x, kernel *Node, w nets.Windows) *Node {
	x, w = cutOff(x, w)
	k := kernel.Shape().Dimensions
	inputs, outputs := k[len(k)-2], k[len(k)-1]
	kernel = Reshape(kernel, -1, inputs, outputs)
	var sum *Node
	for i, view := range w.Views(x, ScalarZero(x.Graph(), x.DType())) {
		product := MatMul(Reshape(view, -1, inputs), Reshape(Slice(kernel, AxisElem(i)), inputs, outputs))
		if sum == nil {
			sum = product
		} else {
			sum = Add(sum, product)
		}
	}
	return Reshape(sum, append(append([]int{x.Shape().Dimensions[0]}, w.Out...), outputs)...)
}

// cutOff cuts negative pads off, so that windows without them are left.
func cutOff(x *Node, w nets.Windows) (*Node, nets.Windows) {
	cut, around := make([][2]int, len(w.Pads)), make([][2]int, len(w.Pads))
	for i, p := range w.Pads {
		cut[i], around[i] = [2]int{min(p[0], 0), min(p[1], 0)}, [2]int{max(p[0], 0), max(p[1], 0)}
	}
	w.Pads = around
	return padSides(x, ScalarZero(x.Graph(), x.DType()), cut), w
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

// patches multiplies patches that do not overlap with the kernel.
func patches(x, kernel *Node) *Node {
	d, k := x.Shape().Dimensions, kernel.Shape().Dimensions
	height, width := d[1]/k[0], d[2]/k[1]
	if height*k[0] != d[1] || width*k[1] != d[2] {
		x = Slice(x, AxisRange(), AxisRange(0, height*k[0]), AxisRange(0, width*k[1]), AxisRange())
	}
	if k[0] > 1 || k[1] > 1 {
		x = TransposeAllAxes(Reshape(x, d[0], height, k[0], width, k[1], d[3]), 0, 1, 3, 2, 4, 5)
	}
	y := MatMul(Reshape(x, d[0]*height*width, k[0]*k[1]*d[3]), Reshape(kernel, k[0]*k[1]*d[3], k[3]))
	return Reshape(y, d[0], height, width, k[3])
}
