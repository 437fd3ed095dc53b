package onnx

import (
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/trustbook/trustbook/nets"
)

// This file has the windows that convolutions and poolings move over images of one side (signals), two or more, kept as
// [batch, sides..., channels].

// maxWindow bounds kernels, strides, dilations and pads.
const maxWindow = 1 << 14

// sizes reads an attribute of one number for each side.
func sizes(n *protos.NodeProto, name string, sides, otherwise int) []int {
	if a := attribute(n, name); a == nil || len(a.Ints) == 0 {
		return slices.Repeat([]int{otherwise}, sides)
	}
	return bounded(n, name, sides, 1, maxWindow)
}

// bounded reads an attribute of so many numbers within bounds.
func bounded(n *protos.NodeProto, name string, count, low, high int) []int {
	all := make([]int, count)
	given := attribute(n, name).Ints
	for i, size := range given {
		if len(given) != count || size < int64(low) || size > int64(high) {
			exceptions.Panicf("%s %v: want %d numbers from %d to %d", name, given, count, low, high)
		}
		all[i] = int(size)
	}
	return all
}

// windowsOf reads the attributes that convolutions and poolings share, for a kernel over sides of the given sizes. A side's
// last window may begin in the image and end outside where ceil_mode asks for it, even if it is the only one.
func windowsOf(n *protos.NodeProto, kernel, size []int) nets.Windows {
	sides := len(size)
	w := nets.Windows{Kernel: kernel, Stride: sizes(n, "strides", sides, 1), Dilation: sizes(n, "dilations", sides, 1)}
	w.Pads = padsOf(n, size, w)
	for i := range sides {
		room := size[i] + w.Pads[i][0] + w.Pads[i][1] - w.Extent(i) + w.Stride[i]
		out := max(room, 0) / w.Stride[i]
		if intOr(n, "ceil_mode", 0) != 0 && room > 0 && room%w.Stride[i] != 0 && out*w.Stride[i] < size[i]+w.Pads[i][0] {
			out++
		}
		if out < 1 {
			exceptions.Panicf("windows of extent %d, padded by %v, are larger than a side of %d", w.Extent(i), w.Pads[i], size[i])
		}
		w.Out = append(w.Out, out)
	}
	return w
}

// padsOf reads pads, or works them out of auto_pad.
func padsOf(n *protos.NodeProto, size []int, w nets.Windows) [][2]int {
	sides := len(size)
	pads := make([][2]int, sides)
	switch auto := stringOr(n, "auto_pad", "NOTSET"); auto {
	case "", "NOTSET":
		if a := attribute(n, "pads"); a == nil || len(a.Ints) == 0 {
			break
		}
		given := bounded(n, "pads", 2*sides, 0, maxWindow)
		for i := range pads {
			pads[i] = [2]int{given[i], given[i+sides]}
		}
	case "VALID":
	case "SAME_UPPER", "SAME_LOWER":
		for i := range pads {
			total := max(0, ((size[i]+w.Stride[i]-1)/w.Stride[i]-1)*w.Stride[i]+w.Extent(i)-size[i])
			pads[i] = [2]int{total / 2, total - total/2}
			if auto == "SAME_LOWER" {
				pads[i] = [2]int{total - total/2, total / 2}
			}
		}
	default:
		exceptions.Panicf("auto_pad %q", auto)
	}
	return pads
}

func unpadded(w nets.Windows) bool {
	return !slices.ContainsFunc(w.Pads, func(p [2]int) bool { return p != [2]int{} })
}

// tiles tells whether the windows are squares that tile an image of two sides.
func tiles(w nets.Windows, x *Node) bool {
	d := x.Shape().Dimensions
	return len(w.Kernel) == 2 && w.Kernel[0] == w.Kernel[1] && slices.Equal(w.Stride, w.Kernel) && equalAll(w.Dilation, 1) && unpadded(w) &&
		w.Out[0] == d[1]/w.Kernel[0] && w.Out[1] == d[2]/w.Kernel[1]
}

func equalAll(values []int, want int) bool {
	return !slices.ContainsFunc(values, func(v int) bool { return v != want })
}

// poolingOf reads the windows of a pooling.
func poolingOf(n *protos.NodeProto, x *Node) nets.Windows {
	sides := x.Rank() - 2
	if attribute(n, "kernel_shape") == nil {
		exceptions.Panicf("has no kernel_shape")
	}
	w := windowsOf(n, sizes(n, "kernel_shape", sides, 1), x.Shape().Dimensions[1:1+sides])
	if auto := stringOr(n, "auto_pad", ""); strings.HasPrefix(auto, "SAME") && !equalAll(w.Dilation, 1) {
		exceptions.Panicf("auto_pad %s with dilations %v: ONNX Runtime pads less than the format says, write pads instead", auto, w.Dilation)
	}
	for i := range sides {
		if w.Pads[i][0] >= w.Extent(i) || w.Pads[i][1] >= w.Extent(i) {
			exceptions.Panicf("windows %v, padded by %v, see nothing of the image at its border", w.Kernel, w.Pads)
		}
	}
	return w
}

// maxPool gives the whole gradient to the first of equal values, as PyTorch.
func (v *values) maxPool(n *protos.NodeProto) {
	if len(n.Output) > 1 && n.Output[1] != "" && v.g.used(n.Output[1]) {
		exceptions.Panicf("its indices are used: not supported")
	}
	if f, ok := v.g.fusions[n]; ok {
		v.last[n.Output[0]] = v.convMaxPool(f)
		return
	}
	x := v.image(n.Input[0])
	w := poolingOf(n, x)
	if tiles(w, x) && w.Kernel[0] == 2 {
		v.last[n.Output[0]] = nets.MaxPool2D(x, 2)
		return
	}
	v.last[n.Output[0]] = w.Maximum(x)
}

func (v *values) averagePool(n *protos.NodeProto) {
	x := v.image(n.Input[0])
	w := poolingOf(n, x)
	if tiles(w, x) {
		v.last[n.Output[0]] = nets.MeanPool2D(x, w.Kernel[0])
		return
	}
	sum := folded(Add)(w.Views(x, ScalarZero(x.Graph(), x.DType())))
	v.last[n.Output[0]] = Mul(sum, ConvertDType(shares(w, x, intOr(n, "count_include_pad", 0) != 0), x.DType()))
}

// shares is 1 over how many values each window has: padding counts where the file says so, what ceil_mode adds beyond it
// never. float32 [1, places..., 1].
func shares(w nets.Windows, x *Node, withPads bool) *Node {
	factors, dims := []float32{1}, []int{1}
	for i, places := range w.Out {
		low, high := 0, x.Shape().Dimensions[1+i]
		if withPads {
			low, high = -w.Pads[i][0], high+w.Pads[i][1]
		}
		var next []float32
		for _, f := range factors {
			for o := range places {
				count := 0
				for k := range w.Kernel[i] {
					if at := o*w.Stride[i] + k*w.Dilation[i] - w.Pads[i][0]; at >= low && at < high {
						count++
					}
				}
				next = append(next, f/float32(max(count, 1)))
			}
		}
		factors, dims = next, append(dims, places)
	}
	return ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(factors, append(dims, 1)...))
}

// lpPool is the l1 or l2 norm, or another, of each window.
func (v *values) lpPool(n *protos.NodeProto) {
	x := v.image(n.Input[0])
	w := poolingOf(n, x)
	p := powerOf(n)
	powers := folded(Add)(w.Views(powered(x, p), ScalarZero(x.Graph(), x.DType())))
	v.last[n.Output[0]] = rooted(powers, p)
}

func (v *values) globalLp(n *protos.NodeProto) {
	x := v.image(n.Input[0])
	p := powerOf(n)
	v.last[n.Output[0]] = rooted(ReduceAndKeep(powered(x, p), ReduceSum, axesFrom(1, x.Rank()-1)...), p)
}

func powerOf(n *protos.NodeProto) float64 {
	p := 2.0
	if a := attribute(n, "p"); a != nil {
		p = float64(a.F) + float64(a.I) // a float in the first version
	}
	if p < 1 {
		exceptions.Panicf("p %g: want at least 1", p)
	}
	return p
}

// powered is |x| to the power p, rooted the root of a sum of such: with slope 0 at 0.
func powered(x *Node, p float64) *Node {
	switch p {
	case 1:
		return abs(x)
	case 2:
		return Square(x)
	}
	return PowScalar(abs(x), p)
}

func rooted(sum *Node, p float64) *Node {
	if p == 1 {
		return sum
	}
	zero := Equal(sum, ZerosLike(sum))
	root := PowScalar(Where(zero, OnesLike(sum), sum), 1/p)
	return Where(zero, ZerosLike(sum), root)
}

func (v *values) globalAverage(n *protos.NodeProto) {
	x := v.image(n.Input[0])
	v.last[n.Output[0]] = ReduceAndKeep(x, ReduceMean, axesFrom(1, x.Rank()-1)...)
}

// globalMaximum gives the whole gradient to the first of equal values.
func (v *values) globalMaximum(n *protos.NodeProto) {
	x := v.image(n.Input[0])
	sides := x.Rank() - 2
	ones := slices.Repeat([]int{1}, sides)
	w := nets.Windows{Kernel: x.Shape().Dimensions[1 : 1+sides], Stride: ones, Dilation: ones, Pads: make([][2]int, sides), Out: ones}
	v.last[n.Output[0]] = w.Maximum(x)
}

// lrn divides by a power of the squares of the channels near by.
func (v *values) lrn(n *protos.NodeProto) {
	x := v.image(n.Input[0])
	size, channels := int(intOr(n, "size", 0)), x.Shape().Dimensions[x.Rank()-1]
	if size < 1 || size > maxWindow {
		exceptions.Panicf("size %d", size)
	}
	before := (size - 1) / 2
	border := make([]PadAxis, x.Rank())
	border[x.Rank()-1] = PadAxis{Start: before, End: size - 1 - before}
	square := Pad(Square(x), ScalarZero(x.Graph(), x.DType()), border...)
	var parts []*Node
	for i := range size {
		parts = append(parts, SliceAxis(square, -1, AxisRange(i, i+channels)))
	}
	scaled := MulScalar(folded(Add)(parts), floatOr(n, "alpha", 1e-4)/float64(size))
	v.last[n.Output[0]] = Div(x, PowScalar(AddScalar(scaled, floatOr(n, "bias", 1)), floatOr(n, "beta", 0.75)))
}
