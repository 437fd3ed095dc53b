package nets

import (
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// GroupedConv is the convolution of x [batch, sides..., inputs] with kernel [sides..., inputs/groups, outputs] at the places of
// w, where the channels of a group of outputs see those of the same group of inputs only: [batch, Out..., outputs].
//
// The adjoint of a grouped convolution is a grouped convolution with the groups of the kernel transposed, and that of a depthwise
// one is depthwise; graph.Convolve's is a convolution for each group, which takes minutes to compile where there are hundreds.
func GroupedConv(x, kernel *Node, w Windows, groups int) *Node {
	d, k := x.Shape().Dimensions, kernel.Shape().Dimensions
	rank := x.Rank()
	if rank < 3 || len(k) != rank || groups < 1 || d[rank-1]%groups != 0 || k[rank-1]%groups != 0 || k[rank-2] != d[rank-1]/groups ||
		!slices.Equal(k[:rank-2], w.Kernel) {
		exceptions.Panicf("nets: kernel %s in %d groups, of windows %v, for %s: want [sides..., inputs/groups, outputs] for "+
			"[batch, sides..., inputs]", kernel.Shape(), groups, w.Kernel, x.Shape())
	}
	if w.beyond() {
		x = w.padded(x, ScalarZero(x.Graph(), x.DType()))
		w.Pads = make([][2]int, rank-2)
	}
	if k[rank-2] == 1 {
		return depthwise(repeatChannels(x, k[rank-1]/groups), kernel, w)
	}
	kernel, groups = fewerGroups(kernel, groups)
	c := convInGroups{w: w, groups: groups, sides: x.Shape().Dimensions[1 : rank-1]}
	return (&Bilinear{value: c.value, toX: c.toX, toK: c.toK}).Apply(x, kernel)
}

// beyond tells whether some window sees nothing but pads.
func (w Windows) beyond() bool {
	for i, p := range w.Pads {
		if max(p[0], p[1]) >= w.Extent(i) {
			return true
		}
	}
	return false
}

// transposed are the windows that move over the adjoints of a convolution's results, spread by spreadOut, to those of its
// operand, of the given sides.
func (w Windows) transposed(sides []int) Windows {
	ones := slices.Repeat([]int{1}, len(sides))
	return Windows{Kernel: w.Kernel, Stride: ones, Dilation: w.Dilation, Pads: make([][2]int, len(sides)), Out: sides}
}

// spreadOut puts v, of a convolution's results, where its windows lie, with zeros between and around.
func (w Windows) spreadOut(v *Node, sides []int) *Node {
	pads := make([]PadAxis, v.Rank())
	for i, size := range sides {
		pads[1+i] = PadAxis{Start: w.Extent(i) - 1 - w.Pads[i][0], End: size + w.Pads[i][0] - (w.Out[i]-1)*w.Stride[i] - 1,
			Interior: w.Stride[i] - 1}
	}
	return Pad(v, ScalarZero(v.Graph(), v.DType()), pads...)
}

// depthwise is GroupedConv of one input and one output in each group: a sum of shifted products, which XLA makes one loop of.
func depthwise(x, kernel *Node, w Windows) *Node {
	sides := slices.Clone(x.Shape().Dimensions[1 : x.Rank()-1])
	back := w.transposed(sides)
	return (&Bilinear{
		value: func(x, k *Node) *Node { return shiftedProducts(x, k, w) },
		toX: func(v, k *Node) *Node {
			return shiftedProducts(w.spreadOut(v, sides), Reverse(k, firstAxes(len(sides))...), back)
		},
		toK: func(x, v *Node) *Node {
			var sums []*Node
			for _, view := range w.Views(x, ScalarZero(x.Graph(), x.DType())) {
				sums = append(sums, ReduceSum(Mul(view, v), firstAxes(v.Rank()-1)...))
			}
			return Reshape(Stack(sums, 0), kernel.Shape().Dimensions...)
		},
	}).Apply(x, kernel)
}

// shiftedProducts sums the views of x, each multiplied by the kernel's value for each channel.
func shiftedProducts(x, kernel *Node, w Windows) *Node {
	channels := x.Shape().Dimensions[x.Rank()-1]
	kernel = Reshape(kernel, -1, channels)
	var sum *Node
	for i, view := range w.Views(x, ScalarZero(x.Graph(), x.DType())) {
		weight := ExpandLeftToRank(Reshape(Slice(kernel, AxisElem(i)), channels), view.Rank())
		sum = plus(sum, Mul(view, BroadcastToDims(weight, view.Shape().Dimensions...)))
	}
	return sum
}

// repeatChannels repeats each channel so many times.
func repeatChannels(x *Node, times int) *Node {
	if times == 1 {
		return x
	}
	d := x.Shape().Dimensions
	rank := len(d)
	wide := BroadcastToDims(InsertAxes(x, rank), append(slices.Clone(d), times)...)
	return Reshape(wide, append(slices.Clone(d[:rank-1]), d[rank-1]*times)...)
}

// wideGroup is how many input channels a group has at least after fewerGroups, where there are as many: loops over fewer are so
// slow that products with zeros cost less.
const wideGroup = 16

// fewerGroups joins neighboring groups of few channels, with zeros in the kernel from one to the other.
func fewerGroups(kernel *Node, groups int) (*Node, int) {
	k := kernel.Shape().Dimensions
	rank := len(k)
	inputs, outputs := k[rank-2], k[rank-1]/groups
	join := 1
	for join < groups && (join*inputs < wideGroup || groups%join != 0) {
		join++
	}
	if join == 1 {
		return kernel, groups
	}
	left := groups / join
	wide := Reshape(kernel, -1, 1, inputs, left, join, outputs)
	wide = BroadcastToDims(wide, wide.Shape().Dimensions[0], join, inputs, left, join, outputs)
	same := Reshape(DiagonalWithValue(ScalarOne(kernel.Graph(), kernel.DType()), join), 1, join, 1, 1, join, 1)
	wide = Mul(wide, BroadcastToDims(same, wide.Shape().Dimensions...))
	return Reshape(wide, append(slices.Clone(k[:rank-2]), join*inputs, k[rank-1])...), left
}

// convInGroups is a grouped convolution of operands whose sides are given, with its adjoints.
type convInGroups struct {
	w      Windows
	groups int
	sides  []int
}

func (c convInGroups) value(x, k *Node) *Node { return convolveInGroups(x, k, c.w, c.groups) }

func (c convInGroups) toX(v, k *Node) *Node {
	return convolveInGroups(c.w.spreadOut(v, c.sides), c.turned(k), c.w.transposed(c.sides), c.groups)
}

// turned reverses the kernel and swaps, in each group, inputs and outputs.
func (c convInGroups) turned(k *Node) *Node {
	d := k.Shape().Dimensions
	rank := len(d)
	inputs, outputs := d[rank-2], d[rank-1]/c.groups
	grouped := Transpose(Reshape(Reverse(k, firstAxes(rank-2)...), -1, inputs, c.groups, outputs), 1, 3)
	return Reshape(grouped, append(slices.Clone(d[:rank-2]), outputs, c.groups*inputs)...)
}

func (c convInGroups) toK(x, v *Node) *Node {
	channels, results := x.Shape().Dimensions[x.Rank()-1], v.Shape().Dimensions[v.Rank()-1]
	grouped := Reshape(v, -1, c.groups, results/c.groups)
	var all []*Node
	for _, view := range c.w.Views(x, ScalarZero(x.Graph(), x.DType())) {
		products := Einsum("pgi,pgo->gio", Reshape(view, -1, c.groups, channels/c.groups), grouped)
		all = append(all, Transpose(products, 0, 1))
	}
	return Reshape(Stack(all, 0), append(slices.Clone(c.w.Kernel), channels/c.groups, results)...)
}

// convolveInGroups is graph.Convolve at places that may be strided and dilated.
func convolveInGroups(x, kernel *Node, w Windows, groups int) *Node {
	c := Convolve(x, kernel).PaddingPerDim(w.Pads).ChannelGroupCount(groups)
	if slices.Max(w.Dilation) == 1 {
		return c.StridePerAxis(w.Stride...).Done()
	}
	y := c.DilationPerAxis(w.Dilation...).Done()
	specs := []SliceAxisSpec{AxisRange()}
	for i, s := range w.Stride {
		specs = append(specs, AxisRange(0, (w.Out[i]-1)*s+1).Stride(s))
	}
	return Slice(y, append(specs, AxisRange())...)
}

// firstAxes are so many axes, from the first on.
func firstAxes(count int) (axes []int) {
	for i := range count {
		axes = append(axes, i)
	}
	return axes
}
