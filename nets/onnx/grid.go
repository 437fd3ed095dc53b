package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// This file samples images at places that are computed, as spatial transformers do, https://arxiv.org/abs/1506.02025. Their
// gradients are by the image and by the places.

// sampler says how values between and beyond pixels come about.
type sampler struct {
	mode, padding string
	corners       bool // -1 and 1 are the centers of the outer pixels; else their outer edges
}

// gridSample samples images of any number of sides at places [batch, sides..., coordinates], of which the last axis comes first.
func (v *values) gridSample(n *protos.NodeProto) {
	s := sampler{stringOr(n, "mode", "linear"), stringOr(n, "padding_mode", "zeros"), intOr(n, "align_corners", 0) != 0}
	switch s.mode {
	case "bilinear":
		s.mode = "linear"
	case "bicubic":
		s.mode = "cubic"
	case "nearest", "linear", "cubic":
	default:
		exceptions.Panicf("mode %q is not supported", s.mode)
	}
	if !slices.Contains([]string{"zeros", "border", "reflection"}, s.padding) {
		exceptions.Panicf("padding_mode %q is not supported", s.padding)
	}
	x, grid := v.image(n.Input[0]), v.get(n.Input[1])
	d, g := x.Shape().Dimensions, grid.Shape().Dimensions
	sides := len(d) - 2
	if len(g) != len(d) || g[0] != d[0] || g[len(g)-1] != sides || x.Shape().Size() == 0 {
		exceptions.Panicf("places %s for images %s, channels last", grid.Shape(), x.Shape())
	}
	count := product(g[1 : len(g)-1])
	v.checkDims([]int{d[0], count, d[len(d)-1]})
	grid = Reshape(grid, d[0], count, sides)
	taps := []gridTap{{at: Iota(v.graph, shapeOf(dtypes.Int64, []int{d[0], count}), 0)}}
	for i, size := range d[1 : 1+sides] {
		c := Reshape(SliceAxis(grid, -1, AxisRange(sides-1-i, sides-i)), d[0], count)
		var next []gridTap
		for _, t := range taps {
			for _, more := range s.taps(c, size) {
				next = append(next, t.and(more, size))
			}
		}
		taps = next
	}
	rows := Reshape(x, -1, d[len(d)-1])
	var y *Node
	for _, t := range taps {
		part := Gather(rows, InsertAxes(t.at, -1))
		if t.weight != nil {
			part = mul(part, InsertAxes(ConvertDType(t.weight, x.DType()), -1))
		}
		if y == nil {
			y = part
		} else {
			y = Add(y, part)
		}
	}
	v.last[n.Output[0]] = Reshape(y, slices.Concat(g[:len(g)-1], d[len(d)-1:])...)
}

// gridTap is one pixel of each place: which, int64 [batch, places], and its weight; nil: 1.
type gridTap struct{ at, weight *Node }

func (t gridTap) and(more gridTap, size int) gridTap {
	t.at = Add(MulScalar(t.at, size), more.at)
	if t.weight == nil {
		t.weight = more.weight
	} else if more.weight != nil {
		t.weight = Mul(t.weight, more.weight)
	}
	return t
}

// taps are the pixels along an axis around coordinates from -1 to 1.
func (s sampler) taps(c *Node, size int) (all []gridTap) {
	low, high := -0.5, float64(size)-0.5
	if s.corners {
		low, high = 0, float64(size-1)
		c = MulScalar(AddScalar(c, 1), high/2)
	} else {
		c = MulScalar(AddScalar(MulScalar(AddScalar(c, 1), float64(size)), -1), 0.5)
	}
	if s.mode == "nearest" {
		c = round(c)
	}
	switch { // of cubic it is each pixel that is moved inside, as in PyTorch and ONNX Runtime
	case s.mode == "cubic":
	case s.padding == "border":
		c = ClipScalar(c, 0, float64(size-1))
	case s.padding == "reflection":
		c = reflected(c, low, high)
	}
	below := floor(c)
	far := Sub(c, below)
	one := OnesLike(c)
	switch s.mode {
	case "nearest":
		return []gridTap{s.tap(c, nil, size, low, high)}
	case "linear":
		return []gridTap{s.tap(below, Sub(one, far), size, low, high), s.tap(Add(below, one), far, size, low, high)}
	}
	for i := -1; i <= 2; i++ {
		all = append(all, s.tap(AddScalar(below, float64(i)), keys(abs(AddScalar(far, float64(-i)))), size, low, high))
	}
	return all
}

// tap is a whole pixel, or what the padding has in its place.
func (s sampler) tap(at, weight *Node, size int, low, high float64) gridTap {
	at = StopGradient(at)
	last := Scalar(at.Graph(), at.DType(), float64(size-1))
	switch s.padding {
	case "reflection":
		at = reflected(at, low, high)
	case "zeros":
		inside := LogicalAnd(GreaterOrEqual(at, ZerosLike(at)), LessOrEqual(at, last))
		if weight == nil {
			weight = OnesLike(at)
		}
		weight = Where(inside, weight, ZerosLike(weight))
	}
	at = ClipScalar(Where(IsFinite(at), at, ZerosLike(at)), 0, float64(size-1))
	return gridTap{ConvertDType(StopGradient(Round(at)), dtypes.Int64), weight}
}

// reflected mirrors what lies outside of two borders, as often as it takes.
func reflected(c *Node, low, high float64) *Node {
	span := high - low
	if span == 0 {
		return AddScalar(ZerosLike(c), low)
	}
	c = AddScalar(c, -low)
	c = Sub(c, MulScalar(floor(DivScalar(c, 2*span)), 2*span))
	return AddScalar(Where(LessOrEqual(c, Scalar(c.Graph(), c.DType(), span)), c, AddScalar(Neg(c), 2*span)), low)
}

// keys is Keys' cubic with -3/4, by the distance from 0 to 2.
func keys(x *Node) *Node {
	const a = -0.75
	near := AddScalar(Mul(Mul(AddScalar(MulScalar(x, a+2), -(a+3)), x), x), 1)
	far := AddScalar(MulScalar(Mul(AddScalar(Mul(AddScalar(x, -5), x), 8), x), a), -4*a)
	return Where(LessOrEqual(x, OnesLike(x)), near, far)
}

// affineGrid makes places for gridSample of affine maps [batch, 2, 3] or [batch, 3, 4].
func (v *values) affineGrid(n *protos.NodeProto) {
	theta, size := v.get(n.Input[0]), v.ints(n, 1)
	d := theta.Shape().Dimensions
	if len(d) != 3 || len(size) != d[1]+2 || d[2] != d[1]+1 || d[1] < 2 || d[1] > 3 || size[0] != d[0] && size[0] != int(v.g.batch) {
		exceptions.Panicf("maps %s for size %v", theta.Shape(), size)
	}
	sides := size[2:]
	v.checkDims(append([]int{d[0], d[1]}, sides...))
	corners := intOr(n, "align_corners", 0) != 0
	base := make([]float64, 0, product(sides)*d[2])
	for at := range product(sides) {
		for axis := range slices.Backward(sides) {
			i := at / product(sides[axis+1:]) % sides[axis]
			switch c := float64(sides[axis]); {
			case !corners:
				base = append(base, (2*float64(i)+1)/c-1)
			case c == 1:
				base = append(base, 0)
			default:
				base = append(base, 2*float64(i)/(c-1)-1)
			}
		}
		base = append(base, 1)
	}
	places := ConvertDType(ConstTensor(v.graph, tensors.FromFlatDataAndDimensions(base, product(sides), d[2])), theta.DType())
	y := Einsum("pk,bck->bpc", places, theta)
	v.set(n, Reshape(y, slices.Concat([]int{d[0]}, sides, []int{d[1]})...))
}

// centerCropPad cuts axes, or adds zeros, on both sides alike; of an odd number one more behind.
func (v *values) centerCropPad(n *protos.NodeProto) {
	x, want := v.get(n.Input[0]), v.ints(n, 1)
	axes, given := v.list(n, "axes", 0)
	if !given {
		axes = axesFrom(0, x.Rank())
	}
	if len(axes) != len(want) {
		exceptions.Panicf("shape %v for axes %v", want, axes)
	}
	for i, axis := range axes {
		axis = axisOf(axis, x.Rank())
		size := x.Shape().Dimensions[axis]
		switch more := want[i] - size; {
		case want[i] < 1 || want[i] > maxElements:
			exceptions.Panicf("shape %v", want)
		case more < 0:
			before := -more / 2
			x = SliceAxis(x, axis, AxisRange(before, before+want[i]))
		case more > 0:
			widths := make([]PadAxis, x.Rank())
			widths[axis] = PadAxis{Start: more / 2, End: more - more/2}
			dims := slices.Clone(x.Shape().Dimensions)
			dims[axis] = want[i]
			v.checkDims(dims)
			x = Pad(x, ScalarZero(v.graph, x.DType()), widths...)
		}
	}
	v.set(n, x)
}

// col2Im adds up blocks [batch, channels·block, places] where they lie in images, as PyTorch's Fold.
func (v *values) col2Im(n *protos.NodeProto) {
	x, size, kernel := v.get(n.Input[0]), v.ints(n, 1), v.ints(n, 2)
	d, sides := x.Shape().Dimensions, len(size)
	outside := func(high int) func(n int) bool { return func(n int) bool { return n < 1 || n > high } }
	if len(d) != 3 || sides < 1 || len(kernel) != sides || slices.ContainsFunc(kernel, outside(maxWindow)) ||
		slices.ContainsFunc(size, outside(maxElements)) || product(kernel) > maxWindow || d[1]%product(kernel) != 0 {
		exceptions.Panicf("blocks %v of %s for images %v", kernel, x.Shape(), size)
	}
	channels := d[1] / product(kernel)
	v.checkDims(slices.Concat([]int{d[0], channels}, size))
	w := windowsOf(n, kernel, size)
	if product(w.Out) != d[2] {
		exceptions.Panicf("%d blocks for images %v, in which %v fit", d[2], size, w.Out)
	}
	x = Reshape(x, slices.Concat([]int{d[0], channels, product(kernel)}, w.Out)...)
	var y *Node
	for k := range product(kernel) {
		part := Reshape(SliceAxis(x, 2, AxisRange(k, k+1)), slices.Concat([]int{d[0], channels}, w.Out)...)
		widths, cut := make([]PadAxis, 2+sides), []SliceAxisSpec{AxisRange(), AxisRange()}
		for i := range sides {
			start := k / product(kernel[i+1:]) % kernel[i] * w.Dilation[i]
			long := size[i] + w.Pads[i][0] + w.Pads[i][1]
			widths[2+i] = PadAxis{Start: start, Interior: w.Stride[i] - 1, End: long - start - (w.Out[i]-1)*w.Stride[i] - 1}
			cut = append(cut, AxisRange(w.Pads[i][0], w.Pads[i][0]+size[i]))
		}
		if part = Slice(Pad(part, ScalarZero(v.graph, x.DType()), widths...), cut...); y == nil {
			y = part
		} else {
			y = Add(y, part)
		}
	}
	v.set(n, y)
}

// reverseSequence turns the begin of each sequence of a batch, as long as it is, about.
func (v *values) reverseSequence(n *protos.NodeProto) {
	x, lengths := v.get(n.Input[0]), v.get(n.Input[1])
	batch, time := axisOf(int(intOr(n, "batch_axis", 1)), x.Rank()), axisOf(int(intOr(n, "time_axis", 0)), x.Rank())
	d := x.Shape().Dimensions
	if batch == time || !slices.Equal(lengths.Shape().Dimensions, d[batch:batch+1]) {
		exceptions.Panicf("sequence_lens %s for axis %d of %s, in time along axis %d", lengths.Shape(), batch, x.Shape(), time)
	}
	shape := slices.Repeat([]int{1}, x.Rank())
	shape[batch] = d[batch]
	ends := BroadcastToDims(Reshape(ConvertDType(StopGradient(lengths), dtypes.Int64), shape...), d...)
	at := Iota(v.graph, shapeOf(dtypes.Int64, d), time)
	v.set(n, Gather(x, everyPlace(Where(LessThan(at, ends), AddScalar(Sub(ends, at), -1), at), time)))
}

// swiGLU is a gate that is Swish, https://arxiv.org/abs/2002.05202.
func (v *values) swiGLU(n *protos.NodeProto) {
	alpha := floatOr(n, "alpha", 1)
	v.combine(n, n.Input, func(all []*Node) *Node { return mul(Mul(all[0], Sigmoid(MulScalar(all[0], alpha))), all[1]) })
}
