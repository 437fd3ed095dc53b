package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// This file builds the functions of two operands and more, and their broadcasting.

// operands builds a function of two operands with ONNX's broadcasting: shapes are aligned at their last axes, or in the
// format's first versions where the attribute axis tells.
func operands(f func(a, b *Node) *Node) func(v *values, n *protos.NodeProto) {
	return func(v *values, n *protos.NodeProto) {
		v.combine(n, n.Input, func(all []*Node) *Node { return f(all[0], all[1]) })
	}
}

// variadic folds any number of operands.
func variadic(f func(a, b *Node) *Node) func(v *values, n *protos.NodeProto) {
	return func(v *values, n *protos.NodeProto) { v.combine(n, n.Input, folded(f)) }
}

func folded(f func(a, b *Node) *Node) func(all []*Node) *Node {
	return func(all []*Node) *Node {
		y := all[0]
		for _, x := range all[1:] {
			y = f(y, x)
		}
		return y
	}
}

func (v *values) mean(n *protos.NodeProto) {
	v.combine(n, n.Input, func(all []*Node) *Node { return DivScalar(folded(add)(all), len(all)) })
}

// combine broadcasts the operands and stores what f makes of them, channels last if any of them is so.
func (v *values) combine(n *protos.NodeProto, names []string, f func(all []*Node) *Node) {
	rank, anyLast := 0, false
	for _, name := range names {
		rank = max(rank, len(v.dims(name)))
		anyLast = anyLast || v.last[name] != nil
	}
	anyLast = anyLast && rank >= 3
	all := make([]*Node, len(names))
	for i, name := range names {
		x := v.last[name]
		if x == nil || !anyLast || x.Rank() != rank {
			if x = v.legacyAligned(n, i, v.get(name), rank); x.Rank() < rank && !x.IsScalar() {
				x = ExpandLeftToRank(x, rank)
			}
			if anyLast && !x.IsScalar() {
				x = channelsLast(x)
			}
		}
		first := 0 // of the operands that must be of one type
		if n.OpType == "Where" {
			first = 1
		}
		if n.OpType != "Pow" && i > first && x.DType() != all[first].DType() {
			exceptions.Panicf("types %s and %s differ", all[first].DType(), x.DType())
		}
		all[i] = x
	}
	y := f(all)
	if anyLast {
		v.last[n.Output[0]] = y
	} else {
		v.set(n, y)
	}
}

// legacyAligned places the second operand of a binary operator of opset 6 and older, where broadcasting had to be asked
// for and could start at any axis.
func (v *values) legacyAligned(n *protos.NodeProto, i int, x *Node, rank int) *Node {
	if _, used, _ := operators[operatorName(n)].attribute("broadcast", v.version(n)); i != 1 || !used {
		return x
	}
	if intOr(n, "broadcast", 0) == 0 && !slices.Equal(x.Shape().Dimensions, v.dims(n.Input[0])) {
		exceptions.Panicf("shapes %v and %s differ, without the attribute broadcast", v.dims(n.Input[0]), x.Shape())
	}
	a := attribute(n, "axis")
	if a == nil || x.IsScalar() {
		return x
	}
	axis := int(a.I)
	if axis < 0 {
		axis += rank
	}
	if axis < 0 || axis+x.Rank() > rank {
		exceptions.Panicf("axis %d for shape %s in %d axes", a.I, x.Shape(), rank)
	}
	dims := append([]int{}, x.Shape().Dimensions...)
	for len(dims) < rank-axis {
		dims = append(dims, 1)
	}
	return Reshape(x, dims...)
}

func add(a, b *Node) *Node { return Add(alike(a, b)) }
func sub(a, b *Node) *Node { return Sub(alike(a, b)) }
func mul(a, b *Node) *Node { return Mul(alike(a, b)) }
func div(a, b *Node) *Node { return Div(alike(a, b)) }
func and(a, b *Node) *Node { return LogicalAnd(alike(a, b)) }
func or(a, b *Node) *Node  { return LogicalOr(alike(a, b)) }
func xor(a, b *Node) *Node { return LogicalXor(alike(a, b)) }

// Comparisons have no slope.
func greater(a, b *Node) *Node        { return StopGradient(GreaterThan(alike(a, b))) }
func greaterOrEqual(a, b *Node) *Node { return StopGradient(GreaterOrEqual(alike(a, b))) }
func less(a, b *Node) *Node           { return StopGradient(LessThan(alike(a, b))) }
func lessOrEqual(a, b *Node) *Node    { return StopGradient(LessOrEqual(alike(a, b))) }

func equal(a, b *Node) *Node {
	if a, b = alike(a, b); a.DType() == dtypes.Bool { // which the pure-Go backend cannot compare
		return LogicalNot(LogicalXor(a, b))
	}
	return StopGradient(Equal(a, b))
}

// alike broadcasts two operands of one rank, or a scalar and another, to one shape.
func alike(a, b *Node) (*Node, *Node) {
	if a.Shape().EqualDimensions(b.Shape()) || a.IsScalar() || b.IsScalar() {
		return a, b
	}
	dims := broadcastDims(a.Shape().Dimensions, b.Shape().Dimensions)
	return broadcastTo(a, dims), broadcastTo(b, dims)
}

// broadcastDims are the dimensions of two shapes, aligned at their last axes, together.
func broadcastDims(a, b []int) []int {
	out := make([]int, max(len(a), len(b)))
	at := func(d []int, i int) int { // counted from the end
		if i > len(d) {
			return 1
		}
		return d[len(d)-i]
	}
	for i := 1; i <= len(out); i++ {
		x, y := at(a, i), at(b, i)
		if x != y && x != 1 && y != 1 {
			exceptions.Panicf("shapes %v and %v do not fit each other", a, b)
		}
		if x == 1 {
			x = y
		}
		out[len(out)-i] = x
	}
	return out
}

func broadcastTo(x *Node, dims []int) *Node {
	if x.Rank() < len(dims) {
		ones := make([]int, len(dims)-x.Rank(), len(dims))
		for i := range ones {
			ones[i] = 1
		}
		x = Reshape(x, append(ones, x.Shape().Dimensions...)...)
	}
	if x.IsScalar() || shapeOf(x.DType(), dims).Equal(x.Shape()) {
		return x
	}
	return BroadcastToDims(x, dims...)
}

// maximum and minimum share the slope between equal operands, as PyTorch's.
func maximum(a, b *Node) *Node { return extremum(a, b, GreaterThan) }
func minimum(a, b *Node) *Node { return extremum(a, b, LessThan) }

func extremum(a, b *Node, beats func(a, b *Node) *Node) *Node {
	a, b = alike(a, b)
	a, b = broadcastLike(a, b), broadcastLike(b, a)
	if !a.DType().IsFloat() {
		return Where(beats(a, b), a, b)
	}
	b = Where(Equal(a, b), MulScalar(Add(a, b), 0.5), b)
	return Where(LogicalOr(beats(a, b), IsNaN(a)), a, b)
}

func broadcastLike(x, other *Node) *Node {
	if x.IsScalar() && !other.IsScalar() {
		return BroadcastToDims(x, other.Shape().Dimensions...)
	}
	return x
}

// pow has no slope by its base where the exponent is 0, and none by its exponent where the base is not positive.
func (v *values) pow(n *protos.NodeProto) {
	constant := v.g.static[n.Input[1]]
	if constant && len(v.dims(n.Input[1])) == 0 && v.floats(n, 1)[0] == 2 {
		elementwise(Square)(v, n)
		return
	}
	v.combine(n, n.Input, func(all []*Node) *Node {
		a, b := alike(all[0], all[1])
		if !a.DType().IsFloat() {
			return castTo(Pow(ConvertDType(a, dtypes.Float64), ConvertDType(b, dtypes.Float64)), a.DType())
		}
		a, b = broadcastLike(a, b), ConvertDType(broadcastLike(b, a), a.DType())
		one := OnesLike(a)
		y := Pow(Where(Equal(b, ZerosLike(b)), one, a), StopGradient(b))
		if !constant {
			byExponent := Pow(StopGradient(Where(GreaterThan(a, ZerosLike(a)), a, one)), b)
			y = withValue(byExponent, y)
		}
		return y
	})
}

func (v *values) where(n *protos.NodeProto) {
	v.combine(n, n.Input, func(all []*Node) *Node {
		dims := broadcastDims(broadcastDims(all[0].Shape().Dimensions, all[1].Shape().Dimensions), all[2].Shape().Dimensions)
		return Where(broadcastAll(all[0], dims), broadcastAll(all[1], dims), broadcastAll(all[2], dims))
	})
}

func broadcastAll(x *Node, dims []int) *Node {
	if x.IsScalar() && len(dims) > 0 {
		return BroadcastToDims(x, dims...)
	}
	return broadcastTo(x, dims)
}

// mod is the remainder: with the sign of the divisor, or of the dividend as C's fmod. Its slope by the dividend is 1.
func (v *values) mod(n *protos.NodeProto) {
	fmod := intOr(n, "fmod", 0) != 0
	v.combine(n, n.Input, func(all []*Node) *Node {
		a, b := alike(all[0], all[1])
		a, b = broadcastLike(a, b), broadcastLike(b, a)
		r := Rem(StopGradient(a), StopGradient(b))
		if !fmod {
			zero := ScalarZero(a.Graph(), a.DType())
			wrong := LogicalAnd(NotEqual(r, zero), LogicalXor(LessThan(r, zero), LessThan(StopGradient(b), zero)))
			r = Where(wrong, Add(r, StopGradient(b)), r)
		}
		if !a.DType().IsFloat() {
			return StopGradient(r)
		}
		quotient := StopGradient(Round(Div(Sub(a, r), b)))
		quotient = Where(IsFinite(quotient), quotient, ZerosLike(quotient))
		return Add(StopGradient(r), Sub(slopeOf(a), Mul(quotient, slopeOf(b))))
	})
}
