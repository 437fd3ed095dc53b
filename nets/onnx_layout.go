package nets

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// This file builds the operators that move values about: they cut, join, turn and repeat, and compute nothing.

func shapeOf(dtype dtypes.DType, dims []int) shapes.Shape { return shapes.Make(dtype, dims...) }

// axisOf returns an axis from 0 on, of rank axes.
func axisOf(axis, rank int) int {
	if axis < -rank || axis >= rank {
		exceptions.Panicf("axis %d of %d", axis, rank)
	}
	if axis < 0 {
		axis += rank
	}
	return axis
}

// list reads numbers from an attribute, or from an input that must be known while the graph is built.
func (v *values) list(n *protos.NodeProto, name string, input int) (all []int, given bool) {
	if a := attribute(n, name); a != nil {
		for _, i := range a.Ints {
			all = append(all, int(i))
		}
		return all, true
	}
	if input > 0 && has(n, input) {
		return v.ints(n, input), true
	}
	return nil, false
}

// measured is the value of Shape and Size.
func (v *values) measured(n *protos.NodeProto) *tensors.Tensor {
	dims := v.dims(n.Input[0])
	if n.OpType == "Size" {
		return tensors.FromScalar(int64(product(dims)))
	}
	clamp := func(i int) int {
		if i < 0 {
			i += len(dims)
		}
		return min(max(i, 0), len(dims))
	}
	start, end := clamp(int(intOr(n, "start", 0))), clamp(int(intOr(n, "end", int64(len(dims)))))
	sizes := []int64{}
	for i := start; i < end; i++ {
		sizes = append(sizes, int64(dims[i]))
	}
	return tensors.FromFlatDataAndDimensions(sizes, len(sizes))
}

func (v *values) shape(n *protos.NodeProto) { v.set(n, ConstTensor(v.graph, v.measured(n))) }
func (v *values) size(n *protos.NodeProto)  { v.shape(n) }

func (v *values) reshape(n *protos.NodeProto) {
	target, given := v.list(n, "shape", 1)
	if !given {
		exceptions.Panicf("has no shape")
	}
	x := v.get(n.Input[0])
	v.set(n, Reshape(x, v.freeReshape(n, target, intOr(n, "allowzero", 0) != 0)...))
}

// reshaped works out the dimensions that a target leaves open: 0 stands for the input's own, -1 for what is left over.
func reshaped(dims, target []int, zeroIsZero bool) []int {
	out, open, known := slices.Clone(target), -1, 1
	for i, d := range target {
		switch {
		case d == 0 && !zeroIsZero && i < len(dims):
			out[i] = dims[i]
		case d == -1 && open < 0:
			open = i
			continue
		case d < 0 || d == 0 && !zeroIsZero || d > maxElements:
			exceptions.Panicf("cannot reshape %v to %v", dims, target)
		}
		known *= out[i]
		if known > 1<<40 {
			exceptions.Panicf("cannot reshape %v to %v", dims, target)
		}
	}
	if open >= 0 && known > 0 {
		out[open] = product(dims) / known
	}
	return out
}

func (v *values) flatten(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	v.set(n, matrixAt(x, int(intOr(n, "axis", 1))))
}

// matrixAt flattens the axes before one, and those from it on.
func matrixAt(x *Node, axis int) *Node {
	d := x.Shape().Dimensions
	if axis != len(d) {
		axis = axisOf(axis, len(d))
	}
	return Reshape(x, product(d[:axis]), product(d[axis:]))
}

func (v *values) squeeze(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axes, given := v.list(n, "axes", 1)
	drop := map[int]bool{}
	for _, a := range axes {
		drop[axisOf(a, x.Rank())] = true
	}
	var dims []int
	for i, d := range x.Shape().Dimensions {
		switch {
		case drop[i] && d != 1:
			exceptions.Panicf("axis %d of %s is not 1", i, x.Shape())
		case drop[i], !given && d == 1:
		default:
			dims = append(dims, d)
		}
	}
	v.set(n, Reshape(x, dims...))
}

func (v *values) unsqueeze(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axes, _ := v.list(n, "axes", 1)
	rank := x.Rank() + len(axes)
	added := map[int]bool{}
	for _, a := range axes {
		added[axisOf(a, rank)] = true
	}
	if len(added) != len(axes) {
		exceptions.Panicf("axes %v name one twice", axes)
	}
	var dims []int
	left := x.Shape().Dimensions
	for i := range rank {
		if added[i] {
			dims = append(dims, 1)
		} else {
			dims, left = append(dims, left[0]), left[1:]
		}
	}
	v.set(n, Reshape(x, dims...))
}

func (v *values) transpose(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	perm, given := v.list(n, "perm", 0)
	if !given {
		for i := range x.Rank() {
			perm = append(perm, x.Rank()-1-i)
		}
	}
	v.set(n, TransposeAllAxes(x, perm...))
}

func (v *values) concat(n *protos.NodeProto) {
	a := attribute(n, "axis")
	if a == nil && v.version(n) >= 4 {
		exceptions.Panicf("has no axis")
	}
	rank := len(v.dims(n.Input[0]))
	axis := axisOf(int(intOr(n, "axis", 1)), rank)
	anyLast := slices.ContainsFunc(n.Input, func(in string) bool { return v.last[in] != nil }) && rank >= 3
	var parts []*Node
	for _, in := range n.Input {
		if anyLast {
			parts = append(parts, v.image(in))
		} else {
			parts = append(parts, v.get(in))
		}
	}
	if !anyLast {
		v.set(n, Concatenate(parts, axis))
		return
	}
	switch {
	case axis == 1:
		axis = rank - 1
	case axis > 1:
		axis--
	}
	v.last[n.Output[0]] = Concatenate(parts, axis)
}

func (v *values) split(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axis := axisOf(int(intOr(n, "axis", 0)), x.Rank())
	size := x.Shape().Dimensions[axis]
	sizes, given := v.list(n, "split", 1)
	if !given {
		parts := len(n.Output)
		if count := int(intOr(n, "num_outputs", int64(parts))); count != parts {
			exceptions.Panicf("num_outputs %d with %d outputs", count, parts)
		}
		each := (size + parts - 1) / parts // from version 18 on the last part may be smaller
		if v.version(n) < 18 && size%parts != 0 {
			exceptions.Panicf("cannot split %d into %d equal parts", size, parts)
		}
		for left := size; len(sizes) < parts; left -= each {
			sizes = append(sizes, min(each, left))
		}
	}
	if len(sizes) != len(n.Output) {
		exceptions.Panicf("%d sizes for %d outputs", len(sizes), len(n.Output))
	}
	at := 0
	for i, s := range sizes {
		if s < 1 || at+s > size {
			exceptions.Panicf("parts %v of %d", sizes, size)
		}
		v.setOutput(n, i, func() *Node { return SliceAxis(x, axis, AxisRange(at, at+s)) })
		at += s
	}
	if at != size {
		exceptions.Panicf("parts %v of %d", sizes, size)
	}
}

// slice cuts ranges, backwards where the step is negative; ends beyond the border are those of the border.
func (v *values) slice(n *protos.NodeProto) {
	starts, _ := v.list(n, "starts", 1)
	ends, _ := v.list(n, "ends", 2)
	axes, given := v.list(n, "axes", 3)
	steps, stepped := v.list(n, "steps", 4)
	x := v.get(n.Input[0])
	if !given {
		for i := range starts {
			axes = append(axes, i)
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || stepped && len(steps) != len(starts) {
		exceptions.Panicf("%d starts, %d ends, %d axes", len(starts), len(ends), len(axes))
	}
	specs := make([]SliceAxisSpec, x.Rank())
	for i := range specs {
		specs[i] = AxisRange()
	}
	for i, axis := range axes {
		axis = axisOf(axis, x.Rank())
		size, start, end, step := x.Shape().Dimensions[axis], starts[i], ends[i], 1
		if stepped {
			step = steps[i]
		}
		if step == 0 {
			exceptions.Panicf("step 0")
		}
		if start < 0 {
			start += size
		}
		if end < 0 {
			end += size
		}
		if step < 0 { // the same range, of the axis reversed
			x = Reverse(x, axis)
			start, end, step = size-1-min(start, size-1), size-1-max(end, -1), -step
		}
		start, end = min(max(start, 0), size), min(max(end, 0), size)
		if start >= end {
			if !v.g.static[n.Output[0]] {
				exceptions.Panicf("cuts nothing out of %s", x.Shape())
			}
			end = start
		}
		specs[axis] = SliceAxisSpec{Start: start, End: end, StrideValue: min(step, max(size, 1))}
	}
	v.set(n, Slice(x, specs...))
}

func (v *values) expand(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	target := v.freeExpand(n, v.ints(n, 1))
	for _, d := range target {
		if d < 0 || d > maxElements {
			exceptions.Panicf("cannot expand %s to %v", x.Shape(), target)
		}
	}
	dims := broadcastDims(x.Shape().Dimensions, target)
	v.checkDims(dims)
	v.set(n, broadcastAll(x, dims))
}

func (v *values) tile(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	repeats := v.ints(n, 1)
	if v.version(n) < 6 { // one number, along one axis
		axis := v.ints(n, 2)
		if len(repeats) != 1 || len(axis) != 1 {
			exceptions.Panicf("tiles %v, axis %v: want one number each", repeats, axis)
		}
		tiles := repeats[0]
		repeats = slices.Repeat([]int{1}, x.Rank())
		repeats[axisOf(axis[0], x.Rank())] = tiles
	}
	if len(repeats) != x.Rank() {
		exceptions.Panicf("repeats %v for %s", repeats, x.Shape())
	}
	var single, repeated, dims []int
	for i, d := range x.Shape().Dimensions {
		if repeats[i] < 1 || repeats[i] > maxElements {
			exceptions.Panicf("repeats %v", repeats)
		}
		single, repeated, dims = append(single, 1, d), append(repeated, repeats[i], d), append(dims, repeats[i]*d)
	}
	v.checkDims(dims)
	if len(dims) == 0 {
		v.set(n, x)
		return
	}
	v.set(n, Reshape(BroadcastToDims(Reshape(x, single...), repeated...), dims...))
}

func (v *values) constantOfShape(n *protos.NodeProto) {
	dims := v.ints(n, 0)
	for _, d := range dims {
		if d < 0 || d > maxElements {
			exceptions.Panicf("shape %v", dims)
		}
	}
	v.checkDims(dims)
	value := ScalarZero(v.graph, dtypes.Float32)
	if a := attribute(n, "value"); a != nil && a.T != nil {
		t, err := tensorOf(a.T)
		if err != nil {
			panic(err)
		}
		value = Reshape(ConstTensor(v.graph, t))
	}
	if len(dims) > 0 {
		value = BroadcastToDims(value, dims...)
	}
	v.set(n, value)
}

// sequence is Range: start, start+delta ... below limit.
func (v *values) sequence(n *protos.NodeProto) {
	start, limit, delta := v.constant(n.Input[0]), v.constant(n.Input[1]), v.constant(n.Input[2])
	dtype := start.DType()
	if limit.DType() != dtype || delta.DType() != dtype || start.Size() != 1 || limit.Size() != 1 || delta.Size() != 1 {
		exceptions.Panicf("start %s, limit %s, delta %s: want three numbers of one type", start.Shape(), limit.Shape(), delta.Shape())
	}
	from, to, by := v.floats(n, 0)[0], v.floats(n, 1)[0], v.floats(n, 2)[0]
	count := 0
	if by != 0 && (to-from)/by > 0 {
		if (to-from)/by > maxElements {
			exceptions.Panicf("makes %g values: impossible", (to-from)/by)
		}
		for count = int((to - from) / by); from+float64(count)*by < to && by > 0 || from+float64(count)*by > to && by < 0; count++ {
		}
	}
	if by == 0 {
		exceptions.Panicf("a step of 0")
	}
	at := make([]float64, count)
	for i := range at {
		at[i] = from + float64(i)*by
	}
	x := ConstTensor(v.graph, tensors.FromFlatDataAndDimensions(at, count))
	v.set(n, ConvertDType(x, dtype))
}

func (v *values) eyeLike(n *protos.NodeProto) {
	dims := v.dims(n.Input[0])
	if len(dims) != 2 {
		exceptions.Panicf("shape %v: want a matrix", dims)
	}
	dtype := dtypes.Float32
	if a := attribute(n, "dtype"); a != nil {
		var ok bool
		if dtype, ok = onnxTypes[protos.TensorProto_DataType(a.I)]; !ok {
			exceptions.Panicf("dtype %d is not supported", a.I)
		}
	} else if x := v.plain[n.Input[0]]; x != nil || v.g.static[n.Input[0]] {
		dtype = v.get(n.Input[0]).DType()
	}
	rows, columns := positions(v.graph, dims)
	on := Equal(columns, AddScalar(rows, int(intOr(n, "k", 0))))
	v.set(n, ConvertDType(on, dtype))
}

// positions are the row and the column of every entry of a matrix, int32.
func positions(g *Graph, dims []int) (rows, columns *Node) {
	shape := shapeOf(dtypes.Int32, dims)
	return Iota(g, shape, len(dims)-2), Iota(g, shape, len(dims)-1)
}

// trilu keeps the upper or the lower triangle of matrices.
func (v *values) trilu(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	if x.Rank() < 2 {
		exceptions.Panicf("shape %s: want matrices", x.Shape())
	}
	k := 0
	if diagonal := v.ints(n, 1); len(diagonal) > 0 {
		k = diagonal[0]
	}
	rows, columns := positions(v.graph, x.Shape().Dimensions)
	rows = AddScalar(rows, k)
	keep := GreaterOrEqual(columns, rows)
	if intOr(n, "upper", 1) == 0 {
		keep = LessOrEqual(columns, rows)
	}
	v.set(n, Where(keep, x, ZerosLike(x)))
}

// depthToSpace moves blocks of channels into space, as PixelShuffle does.
func (v *values) depthToSpace(n *protos.NodeProto) {
	x, b := v.get(n.Input[0]), int(intOr(n, "blocksize", 0))
	d := x.Shape().Dimensions
	if x.Rank() != 4 || b < 1 || b > maxWindow || d[1]%(b*b) != 0 {
		exceptions.Panicf("blocks of %d do not fit %s", b, x.Shape())
	}
	c := d[1] / (b * b)
	if columnsRowsDepth(n) {
		x = TransposeAllAxes(Reshape(x, d[0], c, b, b, d[2], d[3]), 0, 1, 4, 2, 5, 3)
	} else {
		x = TransposeAllAxes(Reshape(x, d[0], b, b, c, d[2], d[3]), 0, 3, 4, 1, 5, 2)
	}
	v.set(n, Reshape(x, d[0], c, d[2]*b, d[3]*b))
}

// spaceToDepth is its inverse.
func (v *values) spaceToDepth(n *protos.NodeProto) {
	x, b := v.get(n.Input[0]), int(intOr(n, "blocksize", 0))
	d := x.Shape().Dimensions
	if x.Rank() != 4 || b < 1 || b > maxWindow || d[2]%b != 0 || d[3]%b != 0 {
		exceptions.Panicf("blocks of %d do not fit %s", b, x.Shape())
	}
	x = Reshape(x, d[0], d[1], d[2]/b, b, d[3]/b, b)
	if columnsRowsDepth(n) {
		x = TransposeAllAxes(x, 0, 1, 3, 5, 2, 4)
	} else {
		x = TransposeAllAxes(x, 0, 3, 5, 1, 2, 4)
	}
	v.set(n, Reshape(x, d[0], d[1]*b*b, d[2]/b, d[3]/b))
}

func columnsRowsDepth(n *protos.NodeProto) bool {
	switch mode := stringOr(n, "mode", "DCR"); mode {
	case "CRD":
		return true
	case "DCR":
		return false
	default:
		exceptions.Panicf("mode %q: want DCR or CRD", mode)
		return false
	}
}

// pad adds a border: a constant, the edge repeated, or the image mirrored or continued. Negative widths cut off.
func (v *values) pad(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	name := "pads"
	if v.version(n) == 1 {
		name = "paddings"
	}
	pads, _ := v.list(n, name, 1)
	axes, given := v.list(n, "axes", 3)
	if !given {
		for i := range x.Rank() {
			axes = append(axes, i)
		}
	}
	if len(pads) != 2*len(axes) || slices.ContainsFunc(pads, func(p int) bool { return p < -maxWindow || p > maxWindow }) {
		exceptions.Panicf("pads %v of %s: want two numbers from %d to %d for each of %d axes", pads, x.Shape(), -maxWindow, maxWindow, len(axes))
	}
	value := func(x *Node) *Node {
		if has(n, 2) {
			return Reshape(v.get(n.Input[2]))
		}
		return ConvertDType(ConstTensor(v.graph, tensors.FromScalar(float32(floatOr(n, "value", 0)))), x.DType())
	}
	mode := stringOr(n, "mode", "constant")
	for i, axis := range axes {
		axis = axisOf(axis, x.Rank())
		before, after, size := pads[i], pads[i+len(axes)], x.Shape().Dimensions[axis]
		if before < 0 || after < 0 {
			low, high := max(-before, 0), size-max(-after, 0)
			if low >= high {
				exceptions.Panicf("pads %v leave nothing of %s", pads, x.Shape())
			}
			x = SliceAxis(x, axis, AxisRange(low, high))
			before, after, size = max(before, 0), max(after, 0), high-low
		}
		if before == 0 && after == 0 {
			continue
		}
		if mode == "constant" {
			widths := make([]PadAxis, x.Rank())
			widths[axis] = PadAxis{Start: before, End: after}
			x = Pad(x, value(x), widths...)
			continue
		}
		x = bordered(x, axis, before, after, size, mode)
	}
	v.set(n, x)
}

// bordered adds what lies inside an axis around it.
func bordered(x *Node, axis, before, after, size int, mode string) *Node {
	cut := func(from, to int) *Node { return SliceAxis(x, axis, AxisRange(from, to)) }
	var parts []*Node
	switch mode {
	case "edge":
		repeat := func(at, times int) *Node {
			dims := slices.Clone(x.Shape().Dimensions)
			dims[axis] = times
			return BroadcastToDims(cut(at, at+1), dims...)
		}
		if before > 0 {
			parts = append(parts, repeat(0, before))
		}
		if parts = append(parts, x); after > 0 {
			parts = append(parts, repeat(size-1, after))
		}
	case "reflect":
		if before >= size || after >= size {
			exceptions.Panicf("mirrors more than the image of %s has", x.Shape())
		}
		if before > 0 {
			parts = append(parts, Reverse(cut(1, before+1), axis))
		}
		if parts = append(parts, x); after > 0 {
			parts = append(parts, Reverse(cut(size-1-after, size-1), axis))
		}
	case "wrap":
		if before > size || after > size {
			exceptions.Panicf("continues more than the image of %s has", x.Shape())
		}
		if before > 0 {
			parts = append(parts, cut(size-before, size))
		}
		if parts = append(parts, x); after > 0 {
			parts = append(parts, cut(0, after))
		}
	default:
		exceptions.Panicf("mode %q is not supported", mode)
	}
	return Concatenate(parts, axis)
}
