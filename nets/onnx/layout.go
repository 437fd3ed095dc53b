package onnx

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
	v.flattened(n)
}

// flattened notes an image with its channels last whose values a node has put in a row.
func (v *values) flattened(n *protos.NodeProto) {
	image, y := v.last[n.Input[0]], v.plain[n.Output[0]]
	if image != nil && y.Rank() == 2 && y.Shape().Dimensions[0] == image.Shape().Dimensions[0] {
		v.flat[n.Output[0]] = image
	}
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
	v.flattened(n)
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

// trilu keeps the upper or the lower triangle of matrices.
func (v *values) trilu(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	if x.Rank() < 2 {
		exceptions.Panicf("shape %s: want matrices", x.Shape())
	}
	if x.Shape().Size() == 0 {
		v.set(n, x)
		return
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
