package nets

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// padding is what a convolution or pooling adds before and after height and width.
type padding [2][2]int

// padsOf reads pads, or works them out of auto_pad for windows of the given extent.
func padsOf(n *protos.NodeProto, size, extent, stride [2]int) (p padding) {
	auto := ""
	if a := attribute(n, "auto_pad"); a != nil {
		auto = string(a.S)
	}
	switch auto {
	case "", "NOTSET":
		a := attribute(n, "pads")
		if a == nil {
			return p
		}
		if len(a.Ints) != 4 || slices.ContainsFunc(a.Ints, func(i int64) bool { return i < 0 || i > maxWindow }) {
			exceptions.Panicf("pads %v: want four numbers from 0 to %d", a.Ints, maxWindow)
		}
		return padding{{int(a.Ints[0]), int(a.Ints[2])}, {int(a.Ints[1]), int(a.Ints[3])}}
	case "VALID":
		return p
	case "SAME_UPPER", "SAME_LOWER":
		for i := range p {
			total := max(0, ((size[i]+stride[i]-1)/stride[i]-1)*stride[i]+extent[i]-size[i])
			p[i] = [2]int{total / 2, total - total/2}
			if auto == "SAME_LOWER" {
				p[i] = [2]int{total - total/2, total / 2}
			}
		}
		return p
	}
	exceptions.Panicf("auto_pad %q", auto)
	return p
}

func (p padding) zero() bool { return p == padding{} }

// pad adds value around images with their channels last.
func (p padding) pad(x, value *Node) *Node {
	if p.zero() {
		return x
	}
	return Pad(x, value, PadAxis{}, PadAxis{Start: p[0][0], End: p[0][1]}, PadAxis{Start: p[1][0], End: p[1][1]}, PadAxis{})
}

func (v *values) conv(n *protos.NodeProto) *Node {
	y := convolve(n, v.image(n.Input[0]), v.kernel(n))
	if len(n.Input) > 2 && n.Input[2] != "" {
		y = Add(y, InsertAxes(v.get(n.Input[2]), 0, 0, 0))
	}
	return y
}

// kernel returns a convolution's kernel as [rows, columns, inputs, outputs].
func (v *values) kernel(n *protos.NodeProto) *Node {
	kernel := v.get(n.Input[1])
	if kernel.Rank() != 4 {
		exceptions.Panicf("kernel shape %s: only convolutions of images [batch, channels, height, width] are supported", kernel.Shape())
	}
	return TransposeAllAxes(kernel, 2, 3, 1, 0)
}

func checkChannels(x, kernel *Node, groups int) {
	channels, k := x.Shape().Dimensions[3], kernel.Shape().Dimensions
	if groups < 1 || channels%groups != 0 || k[3]%groups != 0 || k[2] != channels/groups {
		exceptions.Panicf("kernel %v (rows, columns, inputs, outputs) in %d groups does not fit %d channels", k, groups, channels)
	}
}

// convolve is the convolution of x [batch, height, width, inputs] with kernel [rows, columns, inputs/groups, outputs].
//
// GoMLX's input gradient is shifted by one pixel where a dilated kernel has an even size: such kernels get a row and a
// column of zeros. Kernels as large as their stride, as those of vision transformers, are one matrix product.
func convolve(n *protos.NodeProto, x, kernel *Node) *Node {
	stride, dilation := pairOr(n, "strides", 1), pairOr(n, "dilations", 1)
	groups := int(intOr(n, "group", 1))
	d, k := x.Shape().Dimensions, kernel.Shape().Dimensions
	extent := [2]int{(k[0]-1)*dilation[0] + 1, (k[1]-1)*dilation[1] + 1}
	pads := padsOf(n, [2]int{d[1], d[2]}, extent, stride)
	checkChannels(x, kernel, groups)
	for i := range 2 {
		if d[1+i]+pads[i][0]+pads[i][1] < extent[i] {
			exceptions.Panicf("kernel of extent %v is larger than the image %v", extent, d[1:3])
		}
	}
	if groups == 1 && pads.zero() && stride == [2]int{k[0], k[1]} && dilation == [2]int{1, 1} {
		return patches(x, kernel)
	}
	zero := ScalarZero(x.Graph(), x.DType())
	var more [2]PadAxis
	for i := range 2 {
		if extent[i]%2 == 0 {
			more[i].End = 1
			pads[i][1] += dilation[i]
			extent[i] += dilation[i]
		}
	}
	if more != [2]PadAxis{} {
		kernel = Pad(kernel, zero, more[0], more[1], PadAxis{}, PadAxis{})
	}
	if slices.Max([]int{pads[0][0], pads[0][1]}) >= extent[0] || slices.Max([]int{pads[1][0], pads[1][1]}) >= extent[1] {
		x, pads = pads.pad(x, zero), padding{}
	}
	c := Convolve(x, kernel).PaddingPerDim([][2]int{pads[0], pads[1]}).ChannelGroupCount(groups)
	if dilation == [2]int{1, 1} {
		return c.StridePerAxis(stride[0], stride[1]).Done()
	}
	y := c.DilationPerAxis(dilation[0], dilation[1]).Done()
	if stride != [2]int{1, 1} { // GoMLX takes only one of stride and dilation
		y = Slice(y, AxisRange(), AxisRange().Stride(stride[0]), AxisRange().Stride(stride[1]), AxisRange())
	}
	return y
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

// pooling describes the windows of a pooling.
type pooling struct {
	kernel, stride, dilation [2]int
	pads                     padding
	out                      [2]int
}

func poolingOf(n *protos.NodeProto, x *Node) pooling {
	if attribute(n, "kernel_shape") == nil {
		exceptions.Panicf("has no kernel_shape")
	}
	p := pooling{kernel: pairOr(n, "kernel_shape", 1), stride: pairOr(n, "strides", 1), dilation: pairOr(n, "dilations", 1)}
	size := [2]int{x.Shape().Dimensions[1], x.Shape().Dimensions[2]}
	var extent [2]int
	for i := range 2 {
		extent[i] = (p.kernel[i]-1)*p.dilation[i] + 1
	}
	p.pads = padsOf(n, size, extent, p.stride)
	for i := range 2 {
		space := size[i] + p.pads[i][0] + p.pads[i][1] - extent[i]
		if space < 0 || p.pads[i][0] >= extent[i] || p.pads[i][1] >= extent[i] {
			exceptions.Panicf("windows %v, padded by %v, do not fit an image of %v", p.kernel, p.pads, size)
		}
		p.out[i] = space/p.stride[i] + 1
		if intOr(n, "ceil_mode", 0) != 0 && space%p.stride[i] != 0 && p.out[i]*p.stride[i] < size[i]+p.pads[i][0] {
			p.out[i]++ // one more window, as long as it starts within the image
		}
	}
	return p
}

// windows returns for each position in a window the strided view of x that holds its values.
func (p pooling) windows(x, fill *Node) []*Node {
	pads := p.pads
	for i := range 2 {
		need := (p.out[i]-1)*p.stride[i] + (p.kernel[i]-1)*p.dilation[i] + 1
		pads[i][1] = max(0, need-x.Shape().Dimensions[1+i]-pads[i][0])
	}
	x = pads.pad(x, fill)
	var all []*Node
	for r := range p.kernel[0] {
		for c := range p.kernel[1] {
			top, left := r*p.dilation[0], c*p.dilation[1]
			all = append(all, Slice(x, AxisRange(), AxisRange(top, top+(p.out[0]-1)*p.stride[0]+1).Stride(p.stride[0]),
				AxisRange(left, left+(p.out[1]-1)*p.stride[1]+1).Stride(p.stride[1]), AxisRange()))
		}
	}
	return all
}

// maxPool gives the whole gradient to the first of equal values, as PyTorch.
func (v *values) maxPool(n *protos.NodeProto) *Node {
	if f, ok := v.g.fusions[n]; ok {
		return v.convMaxPool(f)
	}
	x := v.image(n.Input[0])
	p := poolingOf(n, x)
	d := x.Shape().Dimensions
	if p.kernel == [2]int{2, 2} && p.stride == p.kernel && p.dilation == [2]int{1, 1} && p.pads.zero() && p.out == [2]int{d[1] / 2, d[2] / 2} {
		return MaxPool2D(x, 2)
	}
	return windowMaximum(x, p)
}

func windowMaximum(x *Node, p pooling) *Node {
	if p.out == [2]int{} {
		p.out = [2]int{1, 1}
	}
	lowest := Infinity(x.Graph(), x.DType(), -1)
	all := p.windows(x, lowest)
	best := all[0]
	for _, y := range all[1:] {
		best = Where(GreaterThan(y, best), y, best)
	}
	return best
}

func averagePool(n *protos.NodeProto, x *Node) *Node {
	p := poolingOf(n, x)
	d := x.Shape().Dimensions
	if p.kernel[0] == p.kernel[1] && p.stride == p.kernel && p.dilation == [2]int{1, 1} && p.pads.zero() && p.out == [2]int{d[1] / p.kernel[0], d[2] / p.kernel[1]} {
		return MeanPool2D(x, p.kernel[0])
	}
	var sum *Node
	for _, y := range p.windows(x, ScalarZero(x.Graph(), x.DType())) {
		if sum == nil {
			sum = y
		} else {
			sum = Add(sum, y)
		}
	}
	// How many values each window has: padding counts where the file says so, what ceil_mode adds beyond it never.
	withPads := intOr(n, "count_include_pad", 0) != 0
	var counts [2][]int
	for i := range 2 {
		low, high := 0, d[1+i]
		if withPads {
			low, high = -p.pads[i][0], d[1+i]+p.pads[i][1]
		}
		for o := range p.out[i] {
			count := 0
			for k := range p.kernel[i] {
				if at := o*p.stride[i] + k*p.dilation[i] - p.pads[i][0]; at >= low && at < high {
					count++
				}
			}
			counts[i] = append(counts[i], max(count, 1))
		}
	}
	factors := make([]float32, 0, p.out[0]*p.out[1])
	for _, a := range counts[0] {
		for _, b := range counts[1] {
			factors = append(factors, 1/float32(a*b))
		}
	}
	return Mul(sum, ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(factors, 1, p.out[0], p.out[1], 1)))
}
