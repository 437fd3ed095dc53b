package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// reduction builds an operator that takes many values to one, along the axes that an attribute or an input names: all of
// them where it names none, unless the file says that none means none.
func reduction(f func(x *Node, axes []int) *Node) func(v *values, n *protos.NodeProto) {
	return func(v *values, n *protos.NodeProto) {
		x := v.get(n.Input[0])
		named, _ := v.list(n, "axes", 1)
		var axes []int
		for _, a := range named {
			axes = append(axes, axisOf(a, x.Rank()))
		}
		if len(axes) == 0 {
			if intOr(n, "noop_with_empty_axes", 0) != 0 { // each value by itself: its absolute value, its square ...
				v.set(n, f(InsertAxes(x, 0), []int{0}))
				return
			}
			for i := range x.Rank() {
				axes = append(axes, i)
			}
		}
		slices.Sort(axes)
		var kept []int
		for i, d := range x.Shape().Dimensions {
			if !slices.Contains(axes, i) {
				kept = append(kept, d)
			} else if intOr(n, "keepdims", 1) != 0 {
				kept = append(kept, 1)
			}
		}
		if len(axes) > 0 {
			x = f(x, slices.Compact(axes))
		}
		v.set(n, Reshape(x, kept...))
	}
}

func reduceSum(x *Node, axes []int) *Node       { return ReduceSum(x, axes...) }
func reduceL1(x *Node, axes []int) *Node        { return ReduceSum(abs(x), axes...) }
func reduceSumSquare(x *Node, axes []int) *Node { return ReduceSum(Square(x), axes...) }
func reduceLogSum(x *Node, axes []int) *Node    { return Log(ReduceSum(x, axes...)) }

func reduceMean(x *Node, axes []int) *Node {
	if !x.DType().IsFloat() {
		return div(ReduceSum(x, axes...), Scalar(x.Graph(), x.DType(), count(x, axes)))
	}
	return ReduceMean(x, axes...)
}

// reduceL2 has slope 0 where all values are 0, as PyTorch's.
func reduceL2(x *Node, axes []int) *Node {
	square := ReduceSum(Square(x), axes...)
	zero := Equal(square, ZerosLike(square))
	return Where(zero, ZerosLike(square), Sqrt(Where(zero, OnesLike(square), square)))
}

func reduceLogSumExp(x *Node, axes []int) *Node {
	if x.Shape().Size() == 0 {
		return reduceLogSum(Exp(x), axes)
	}
	top := StopGradient(ReduceAndKeep(x, ReduceMax, axes...))
	top = Where(IsFinite(top), top, ZerosLike(top))
	y := Log(ReduceSum(Exp(Sub(x, top)), axes...))
	return Add(y, Reshape(top, y.Shape().Dimensions...))
}

// reduceMax shares the slope between equal values, as PyTorch's amax.
func reduceMax(x *Node, axes []int) *Node { return reduceExtremum(x, axes, ReduceMax) }
func reduceMin(x *Node, axes []int) *Node { return reduceExtremum(x, axes, ReduceMin) }

func reduceExtremum(x *Node, axes []int, reduce func(x *Node, axes ...int) *Node) *Node {
	if x.DType() == dtypes.Bool { // which the pure-Go backend cannot reduce
		return castTo(reduce(ConvertDType(x, dtypes.Uint8), axes...), dtypes.Bool) // of none: the smallest and the largest of uint8
	}
	if !x.DType().IsFloat() || x.Shape().Size() == 0 {
		return reduce(x, axes...)
	}
	best := StopGradient(ReduceAndKeep(x, reduce, axes...))
	winners := ConvertDType(StopGradient(Equal(x, BroadcastToDims(best, x.Shape().Dimensions...))), x.DType())
	share := Div(winners, ReduceAndKeep(winners, ReduceSum, axes...))
	slopes := ReduceSum(Mul(slopeOf(x), share), axes...)
	return Add(Reshape(best, slopes.Shape().Dimensions...), slopes)
}

// reduceProd multiplies in pairs, so that the slope is right where values are 0.
func reduceProd(x *Node, axes []int) *Node {
	if x.Shape().Size() == 0 && count(x, axes) == 0 { // 1 is the product of none
		return Ones(x.Graph(), ReduceSum(x, axes...).Shape())
	}
	for _, axis := range slices.Backward(axes) {
		for x.Shape().Dimensions[axis] > 1 {
			size := x.Shape().Dimensions[axis]
			half := size / 2
			y := Mul(SliceAxis(x, axis, AxisRange(0, half)), SliceAxis(x, axis, AxisRange(half, 2*half)))
			if size%2 != 0 {
				y = Concatenate([]*Node{y, SliceAxis(x, axis, AxisRange(size-1, size))}, axis)
			}
			x = y
		}
		x = Squeeze(x, axis)
	}
	return x
}

func count(x *Node, axes []int) int {
	n := 1
	for _, a := range axes {
		n *= x.Shape().Dimensions[a]
	}
	return n
}
