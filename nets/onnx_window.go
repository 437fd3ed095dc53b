package nets

import (
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
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
func windowsOf(n *protos.NodeProto, kernel, size []int) windows {
	sides := len(size)
	w := windows{kernel: kernel, stride: sizes(n, "strides", sides, 1), dilation: sizes(n, "dilations", sides, 1)}
	w.pads = padsOf(n, size, w)
	for i := range sides {
		room := size[i] + w.pads[i][0] + w.pads[i][1] - w.extent(i) + w.stride[i]
		out := max(room, 0) / w.stride[i]
		if intOr(n, "ceil_mode", 0) != 0 && room > 0 && room%w.stride[i] != 0 && out*w.stride[i] < size[i]+w.pads[i][0] {
			out++
		}
		if out < 1 {
			exceptions.Panicf("windows of extent %d, padded by %v, are larger than a side of %d", w.extent(i), w.pads[i], size[i])
		}
		w.out = append(w.out, out)
	}
	return w
}

// padsOf reads pads, or works them out of auto_pad.
func padsOf(n *protos.NodeProto, size []int, w windows) [][2]int {
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
			total := max(0, ((size[i]+w.stride[i]-1)/w.stride[i]-1)*w.stride[i]+w.extent(i)-size[i])
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

// poolingOf reads the windows of a pooling.
func poolingOf(n *protos.NodeProto, x *Node) windows {
	sides := x.Rank() - 2
	if attribute(n, "kernel_shape") == nil {
		exceptions.Panicf("has no kernel_shape")
	}
	w := windowsOf(n, sizes(n, "kernel_shape", sides, 1), x.Shape().Dimensions[1:1+sides])
	if auto := stringOr(n, "auto_pad", ""); strings.HasPrefix(auto, "SAME") && !all(w.dilation, 1) {
		exceptions.Panicf("auto_pad %s with dilations %v: ONNX Runtime pads less than the format says, write pads instead", auto, w.dilation)
	}
	for i := range sides {
		if w.pads[i][0] >= w.extent(i) || w.pads[i][1] >= w.extent(i) {
			exceptions.Panicf("windows %v, padded by %v, see nothing of the image at its border", w.kernel, w.pads)
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
	if w.plain2(x) && w.kernel[0] == 2 {
		v.last[n.Output[0]] = MaxPool2D(x, 2)
		return
	}
	v.last[n.Output[0]] = windowMaximum(x, w)
}

func (v *values) averagePool(n *protos.NodeProto) {
	x := v.image(n.Input[0])
	w := poolingOf(n, x)
	if w.plain2(x) {
		v.last[n.Output[0]] = MeanPool2D(x, w.kernel[0])
		return
	}
	sum := folded(Add)(w.views(x, ScalarZero(x.Graph(), x.DType())))
	v.last[n.Output[0]] = Mul(sum, ConvertDType(w.shares(x, intOr(n, "count_include_pad", 0) != 0), x.DType()))
}

// shares is 1 over how many values each window has: padding counts where the file says so, what ceil_mode adds beyond it
// never. float32 [1, places..., 1].
func (w windows) shares(x *Node, withPads bool) *Node {
	factors, dims := []float32{1}, []int{1}
	for i, places := range w.out {
		low, high := 0, x.Shape().Dimensions[1+i]
		if withPads {
			low, high = -w.pads[i][0], high+w.pads[i][1]
		}
		var next []float32
		for _, f := range factors {
			for o := range places {
				count := 0
				for k := range w.kernel[i] {
					if at := o*w.stride[i] + k*w.dilation[i] - w.pads[i][0]; at >= low && at < high {
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
	powers := folded(Add)(w.views(powered(x, p), ScalarZero(x.Graph(), x.DType())))
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
	v.last[n.Output[0]] = windowMaximum(x, windows{kernel: x.Shape().Dimensions[1 : 1+sides], stride: ones, dilation: ones,
		pads: make([][2]int, sides), out: ones})
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
