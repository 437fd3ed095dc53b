package onnx

import (
	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// elementwise builds a function of one operand, which keeps the layout of its input.
func elementwise(f func(x *Node) *Node) func(v *values, n *protos.NodeProto) {
	return func(v *values, n *protos.NodeProto) {
		if x := v.last[n.Input[0]]; x != nil {
			v.last[n.Output[0]] = f(x)
		} else {
			v.set(n, f(v.get(n.Input[0])))
		}
	}
}

// flat gives a function that has no slope the gradient 0, as in PyTorch.
func flat(f func(x *Node) *Node) func(x *Node) *Node {
	return func(x *Node) *Node { return StopGradient(f(x)) }
}

var (
	floor = flat(Floor)
	ceil  = flat(Ceil)
	round = flat(Round)
	sign  = flat(Sign)
	isNaN = flat(IsNaN)
	not   = flat(LogicalNot)
	neg   = Neg
	exp   = Exp
	log   = Log
	sqrt  = Sqrt
	erf   = Erf
	sin   = Sin
	cos   = Cos
)

// abs has slope 0 at 0, as PyTorch's.
func abs(x *Node) *Node { return Mul(x, sign(x)) }

func reciprocal(x *Node) *Node { return Div(ScalarOne(x.Graph(), x.DType()), x) }

func tan(x *Node) *Node { return Div(Sin(x), Cos(x)) }

func sinh(x *Node) *Node { return MulScalar(Sub(Exp(x), Exp(Neg(x))), 0.5) }

func cosh(x *Node) *Node { return MulScalar(Add(Exp(x), Exp(Neg(x))), 0.5) }

// atan is the integral of 1/(1+x²), with the gradient of that: the backend's own has none.
func atan(x *Node) *Node {
	return withSlope(x, Atan2(x, OnesLike(x)), reciprocal(AddScalar(Square(x), 1)))
}

func asin(x *Node) *Node {
	root := Sqrt(OneMinus(Square(x)))
	return withSlope(x, Atan2(x, root), reciprocal(root))
}

func acos(x *Node) *Node {
	root := Sqrt(OneMinus(Square(x)))
	return withSlope(x, Atan2(root, x), Neg(reciprocal(root)))
}

func asinh(x *Node) *Node { // of |x|, so that nothing cancels
	a := abs(x)
	root := Sqrt(AddScalar(Square(x), 1))
	return withSlope(x, Mul(sign(x), Log1P(Add(a, Div(Square(a), AddScalar(root, 1))))), reciprocal(root))
}

func acosh(x *Node) *Node { return Log(Add(x, Sqrt(Mul(AddScalar(x, -1), AddScalar(x, 1))))) }

func atanh(x *Node) *Node { return MulScalar(Sub(Log1P(x), Log1P(Neg(x))), 0.5) }

// withSlope returns y, a function of x, with the given derivative, which may be infinite.
func withSlope(x, y, slope *Node) *Node {
	x = IdentityWithCustomGradient(x, func(_, v *Node) *Node { return Mul(v, slope) })
	return withValue(x, StopGradient(y))
}

// withValue returns a value with the slopes of x.
func withValue(x, value *Node) *Node { return Add(value, slopeOf(x)) }

// slopeOf is 0, with the slopes of x where x is finite: elsewhere it has none, and x - x would be no number.
func slopeOf(x *Node) *Node {
	fixed := StopGradient(x)
	return Where(StopGradient(IsFinite(fixed)), Sub(x, fixed), ZerosLike(x))
}

func (v *values) isInf(n *protos.NodeProto) {
	elementwise(flat(func(x *Node) *Node {
		up := Equal(x, Infinity(x.Graph(), x.DType(), 1))
		down := Equal(x, Infinity(x.Graph(), x.DType(), -1))
		switch positive, negative := intOr(n, "detect_positive", 1) != 0, intOr(n, "detect_negative", 1) != 0; {
		case positive && negative:
			return LogicalOr(up, down)
		case positive:
			return up
		case negative:
			return down
		}
		return LogicalAnd(up, down) // nothing is both
	}))(v, n)
}

func (v *values) identity(n *protos.NodeProto) { elementwise(func(x *Node) *Node { return x })(v, n) }

// dropout does nothing when a network is evaluated; in training mode it would draw at random.
func (v *values) dropout(n *protos.NodeProto) {
	training := v.version(n) < 7 && intOr(n, "is_test", 0) == 0
	if has(n, 2) {
		training = !v.g.static[n.Input[2]] || v.truth(n, 2)
	}
	if training {
		exceptions.Panicf("the file was exported in training mode, where dropout draws at random: export the network in evaluation mode")
	}
	v.identity(n)
	v.setOutput(n, 1, func() *Node {
		x := v.get(n.Output[0])
		if v.version(n) < 10 {
			return OnesLike(x)
		}
		return Equal(ZerosLike(x), ZerosLike(x))
	})
}

// truth reads an input that is one truth value.
func (v *values) truth(n *protos.NodeProto, i int) bool {
	t := v.constant(n.Input[i])
	if t.DType() != dtypes.Bool || t.Size() != 1 {
		exceptions.Panicf("input %d is %s: want one truth value", i, t.Shape())
	}
	return tensors.MustCopyFlatData[bool](t)[0]
}

func (v *values) cast(n *protos.NodeProto) {
	to := attribute(n, "to")
	if to == nil {
		exceptions.Panicf("has no attribute to")
	}
	kind := protos.TensorProto_DataType(to.I)
	if v.version(n) < 6 {
		kind = protos.TensorProto_DataType(protos.TensorProto_DataType_value[string(to.S)])
	}
	dtype, ok := elementTypes[kind]
	if !ok {
		exceptions.Panicf("a cast to %s is not supported", kind)
	}
	v.castValue(n, dtype)
}

func (v *values) castLike(n *protos.NodeProto) { v.castValue(n, v.get(n.Input[1]).DType()) }

func (v *values) castValue(n *protos.NodeProto, dtype dtypes.DType) {
	if v.hasTwin(n.Input[0]) && dtype.IsFloat() {
		v.set(n, castTo(v.numbersOf(n.Input[0]), dtype))
		return
	}
	elementwise(func(x *Node) *Node { return castTo(x, dtype) })(v, n)
}

// castTo has no slope where the result is no float; of floats made integers the fraction is cut off.
func castTo(x *Node, dtype dtypes.DType) *Node {
	switch {
	case dtype == x.DType():
		return x
	case dtype == dtypes.Bool:
		return StopGradient(NotEqual(x, ScalarZero(x.Graph(), x.DType())))
	case x.DType().IsFloat() && dtype.IsInt():
		y := StopGradient(x)
		return ConvertDType(Mul(Sign(y), Floor(Abs(y))), dtype)
	case !dtype.IsFloat() || !x.DType().IsFloat():
		return StopGradient(ConvertDType(x, dtype))
	}
	return ConvertDType(x, dtype)
}
