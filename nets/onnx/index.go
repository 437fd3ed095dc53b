package onnx

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// This file builds the operators that look values up by their place, and those that say where values are. Places count
// from the end where they are negative; those that are known while the graph is built must lie inside.

// places returns an input's indices from 0 on, int64, of an axis of the given size.
func (v *values) places(n *protos.NodeProto, input, size int) *Node {
	if v.g.static[n.Input[input]] {
		for _, i := range v.ints(n, input) {
			if i < -size || i >= size {
				exceptions.Panicf("index %d of %d", i, size)
			}
		}
	}
	return fromZero(v.get(n.Input[input]), size)
}

func fromZero(indices *Node, size int) *Node {
	indices = ConvertDType(StopGradient(indices), dtypes.Int64)
	return Where(LessThan(indices, ScalarZero(indices.Graph(), dtypes.Int64)), AddScalar(indices, size), indices)
}

func (v *values) gather(n *protos.NodeProto) {
	d := v.dims(n.Input[0])
	axis := axisOf(int(intOr(n, "axis", 0)), len(d))
	x := v.get(n.Input[0])
	if v.g.static[n.Input[1]] {
		if at, run := contiguous(v.ints(n, 1)); run && at[0] >= -d[axis] && at[0]+len(at) <= d[axis] && (at[0] >= 0 || at[0]+len(at) <= 0) {
			start := at[0]
			if start < 0 {
				start += d[axis]
			}
			y := SliceAxis(x, axis, AxisRange(start, start+len(at)))
			v.set(n, Reshape(y, slices.Concat(d[:axis], v.dims(n.Input[1]), d[axis+1:])...))
			return
		}
	}
	v.set(n, take(x, v.places(n, 1, d[axis]), axis))
}

// contiguous tells whether numbers follow each other.
func contiguous(at []int) ([]int, bool) {
	for i := range at {
		if at[i] != at[0]+i {
			return at, false
		}
	}
	return at, len(at) > 0
}

// take looks up slices along an axis: the axes of the indices stand in its place.
func take(x, indices *Node, axis int) *Node {
	rank, places := x.Rank(), indices.Rank()
	order := []int{axis}
	for i := range rank {
		if i != axis {
			order = append(order, i)
		}
	}
	y := Gather(TransposeAllAxes(x, order...), InsertAxes(indices, -1)) // [places..., axes before, axes behind]
	var back []int
	for i := range axis {
		back = append(back, places+i)
	}
	for i := range places {
		back = append(back, i)
	}
	for i := axis; i < rank-1; i++ {
		back = append(back, places+i)
	}
	return TransposeAllAxes(y, back...)
}

func (v *values) gatherElements(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axis := axisOf(int(intOr(n, "axis", 0)), x.Rank())
	v.set(n, Gather(x, everyPlace(v.places(n, 1, x.Shape().Dimensions[axis]), axis)))
}

// everyPlace turns places along an axis, one an entry, to full indices [..., rank].
func everyPlace(places *Node, axis int) *Node {
	var all []*Node
	for i := range places.Rank() {
		at := places
		if i != axis {
			at = Iota(places.Graph(), shapeOf(dtypes.Int64, places.Shape().Dimensions), i)
		}
		all = append(all, InsertAxes(at, -1))
	}
	return Concatenate(all, -1)
}

func (v *values) gatherND(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	batch := int(intOr(n, "batch_dims", 0))
	indices := v.tuples(n, x.Shape().Dimensions, batch)
	v.set(n, Gather(x, indices))
}

// tuples are the indices of the second input, from 0 on, with the axes that are a batch before them.
func (v *values) tuples(n *protos.NodeProto, dims []int, batch int) *Node {
	indices := ConvertDType(StopGradient(v.get(n.Input[1])), dtypes.Int64)
	rank := indices.Rank()
	if rank < 1 || batch < 0 || batch >= rank || batch > len(dims) || batch+indices.Shape().Dimensions[rank-1] > len(dims) {
		exceptions.Panicf("indices %s, batch_dims %d for shape %v", indices.Shape(), batch, dims)
	}
	depth := indices.Shape().Dimensions[rank-1]
	if v.g.static[n.Input[1]] {
		for i, at := range v.ints(n, 1) {
			if size := dims[batch+i%depth]; at < -size || at >= size {
				exceptions.Panicf("index %d of %d", at, size)
			}
		}
	}
	var parts []*Node
	one := slices.Clone(indices.Shape().Dimensions)
	one[rank-1] = 1
	for i := range batch {
		parts = append(parts, Iota(v.graph, shapeOf(dtypes.Int64, one), i))
	}
	for i := range depth {
		parts = append(parts, fromZero(SliceAxis(indices, -1, AxisRange(i, i+1)), dims[batch+i]))
	}
	return Concatenate(parts, -1)
}

func (v *values) scatterND(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	v.set(n, v.scatter(n, x, v.tuples(n, x.Shape().Dimensions, 0), v.get(n.Input[2])))
}

func (v *values) scatterElements(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axis := axisOf(int(intOr(n, "axis", 0)), x.Rank())
	v.set(n, v.scatter(n, x, everyPlace(v.places(n, 1, x.Shape().Dimensions[axis]), axis), v.get(n.Input[2])))
}

// scatter writes updates over x, adds or multiplies them, or keeps the larger or smaller.
func (v *values) scatter(n *protos.NodeProto, x, indices, updates *Node) *Node {
	switch reduction := stringOr(n, "reduction", "none"); reduction {
	case "none":
		hit := Scatter(indices, OnesLike(updates), x.Shape(), false, false)
		return ScatterSum(Where(StopGradient(NotEqual(hit, ZerosLike(hit))), ZerosLike(x), x), indices, updates, false, false)
	case "mul": // no backend has a product of updates, so places that come twice take turns
		for _, turn := range v.turns(n) {
			at, by := indices, updates
			if len(turn) < product(updates.Shape().Dimensions[:indices.Rank()-1]) {
				at, by = someRows(indices, indices.Rank()-1, turn), someRows(updates, indices.Rank()-1, turn)
			}
			hit := Scatter(at, OnesLike(by), x.Shape(), false, true)
			x = Mul(x, ScatterSum(OneMinus(StopGradient(hit)), at, by, false, true))
		}
		return x
	case "add":
		return ScatterSum(x, indices, updates, false, false)
	case "max":
		return scatterExtremum(x, indices, updates, ScatterMax)
	case "min":
		return scatterExtremum(x, indices, updates, ScatterMin)
	default:
		exceptions.Panicf("reduction %q is not supported", reduction)
		return nil
	}
}

// scatterExtremum shares the slope between equal values, as PyTorch's scatter_reduce.
func scatterExtremum(x, indices, updates *Node, scatter func(x, indices, updates *Node, sorted, unique bool) *Node) *Node {
	best := StopGradient(scatter(StopGradient(x), indices, StopGradient(updates), false, false))
	if !x.DType().IsFloat() {
		return best
	}
	mine := ConvertDType(StopGradient(Equal(x, best)), x.DType())
	theirs := ConvertDType(StopGradient(Equal(updates, Gather(best, indices))), x.DType())
	shares := ScatterSum(mine, indices, theirs, false, false)
	slopes := ScatterSum(Mul(slopeOf(x), mine), indices, Mul(slopeOf(updates), theirs), false, false)
	return Add(best, Div(slopes, StopGradient(shares)))
}

// turns deals the places to scatter to out, by their number, so that none comes twice in a turn.
func (v *values) turns(n *protos.NodeProto) (turns [][]int64) {
	if !v.g.static[n.Input[1]] {
		exceptions.Panicf("reduction mul, with places that may repeat, is not supported")
	}
	dims, at, sizes := v.dims(n.Input[1]), v.ints(n, 1), v.dims(n.Input[0])
	times := map[string]int{}
	add := func(i int, place string) {
		turn := times[place]
		if times[place]++; turn == len(turns) {
			turns = append(turns, nil)
		}
		turns[turn] = append(turns[turn], int64(i))
	}
	if n.OpType != "ScatterND" { // one place an entry, along the axis
		axis := axisOf(int(intOr(n, "axis", 0)), len(dims))
		size, inner := sizes[axis], product(dims[axis+1:])
		for i, place := range at {
			add(i, fmt.Sprint(i/(inner*dims[axis]), i%inner, (place+size)%size))
		}
		return turns
	}
	depth := dims[len(dims)-1]
	for i := range len(at) / depth {
		tuple := slices.Clone(at[i*depth : (i+1)*depth])
		for k := range tuple {
			tuple[k] = (tuple[k] + sizes[k]) % sizes[k]
		}
		add(i, fmt.Sprint(tuple))
	}
	return turns
}

// someRows are some of the values that lie behind the first axes, which become one.
func someRows(x *Node, axes int, which []int64) *Node {
	d := x.Shape().Dimensions
	rows := Reshape(x, append([]int{product(d[:axes])}, d[axes:]...)...)
	return Gather(rows, InsertAxes(ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(which, len(which))), -1))
}

func (v *values) oneHot(n *protos.NodeProto) {
	depth := v.ints(n, 1)
	if len(depth) != 1 || depth[0] < 1 || depth[0] > maxElements {
		exceptions.Panicf("depth %v: want one positive number", depth)
	}
	indices := v.get(n.Input[0])
	axis := axisOf(int(intOr(n, "axis", -1)), indices.Rank()+1)
	places := InsertAxes(fromZero(castTo(indices, dtypes.Int64), depth[0]), axis)
	dims := slices.Clone(places.Shape().Dimensions)
	dims[axis] = depth[0]
	v.checkDims(dims)
	on := Equal(BroadcastToDims(places, dims...), Iota(v.graph, shapeOf(dtypes.Int64, dims), axis))
	pair := v.get(n.Input[2])
	if pair.Shape().Size() != 2 {
		exceptions.Panicf("values %s: want off and on", pair.Shape())
	}
	value := func(i int) *Node { return BroadcastToDims(Reshape(SliceAxis(pair, 0, AxisRange(i, i+1))), dims...) }
	v.set(n, Where(on, value(1), value(0)))
}

// argMinMax says where the largest or smallest value is: the first of equals, or the last.
func argMinMax(largest bool) func(v *values, n *protos.NodeProto) {
	return func(v *values, n *protos.NodeProto) {
		x := StopGradient(v.get(n.Input[0]))
		axis := axisOf(int(intOr(n, "axis", 0)), x.Rank())
		backwards := intOr(n, "select_last_index", 0) != 0
		if backwards {
			x = Reverse(x, axis)
		}
		find := ArgMin
		if largest {
			find = ArgMax
		}
		y := find(x, axis, dtypes.Int64)
		if backwards {
			y = Sub(Scalar(v.graph, dtypes.Int64, x.Shape().Dimensions[axis]-1), y)
		}
		if intOr(n, "keepdims", 1) != 0 {
			y = InsertAxes(y, axis)
		}
		v.set(n, StopGradient(y))
	}
}

// topK finds the k largest or smallest values, in order, and where they are.
func (v *values) topK(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axis := axisOf(int(intOr(n, "axis", -1)), x.Rank())
	k, given := []int{int(intOr(n, "k", 0))}, attribute(n, "k") != nil
	if !given {
		k = v.ints(n, 1)
	}
	if len(k) != 1 || k[0] < 1 || k[0] > x.Shape().Dimensions[axis] {
		exceptions.Panicf("k %v of %s along axis %d", k, x.Shape(), axis)
	}
	find := TopK
	if intOr(n, "largest", 1) == 0 {
		find = BottomK
	}
	_, indices := find(StopGradient(x), k[0], axis)
	indices = StopGradient(ConvertDType(indices, dtypes.Int64))
	v.setOutput(n, 0, func() *Node { return Gather(x, everyPlace(indices, axis)) })
	v.setOutput(n, 1, func() *Node { return indices })
}

// cumSum adds up along an axis.
func (v *values) cumSum(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axis := v.ints(n, 1)
	if len(axis) != 1 {
		exceptions.Panicf("axis %v: want one number", axis)
	}
	options := &CumSumOptions{Exclusive: intOr(n, "exclusive", 0) != 0, Reverse: intOr(n, "reverse", 0) != 0}
	v.set(n, CumSum(x, axisOf(axis[0], x.Rank()), options))
}
