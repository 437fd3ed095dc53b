package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/trustbook/trustbook/nets"
)

// activation builds an activation function with its parameters.
func (v *values) activation(n *protos.NodeProto) { elementwise(v.activationOf(n))(v, n) }

func (v *values) activationOf(n *protos.NodeProto) func(x *Node) *Node {
	alpha := func(otherwise float64) float64 { return floatOr(n, "alpha", otherwise) }
	switch n.OpType {
	case "Relu":
		return relu
	case "LeakyRelu":
		return func(x *Node) *Node { return Where(positive(x), x, MulScalar(x, alpha(0.01))) }
	case "ThresholdedRelu":
		return func(x *Node) *Node {
			return Where(GreaterThan(x, Scalar(x.Graph(), x.DType(), alpha(1))), x, ZerosLike(x))
		}
	case "Elu":
		return func(x *Node) *Node { return elu(x, alpha(1), 1) }
	case "Celu":
		return func(x *Node) *Node { return elu(x, alpha(1), alpha(1)) }
	case "Selu":
		a, gamma := 1.6732632423543772, 1.0507009873554805
		if v.version(n) < 6 {
			a, gamma = 1.6732, 1.0507
		}
		return func(x *Node) *Node { return MulScalar(elu(x, alpha(a), 1), floatOr(n, "gamma", gamma)) }
	case "Softplus":
		return nets.ActSoftplus.Graph
	case "Softsign":
		return func(x *Node) *Node { return Div(x, AddScalar(abs(x), 1)) }
	case "Mish":
		return func(x *Node) *Node { return Mul(x, Tanh(nets.ActSoftplus.Graph(x))) }
	case "Swish":
		return func(x *Node) *Node { return Mul(x, Sigmoid(MulScalar(x, alpha(1)))) }
	case "Shrink":
		return func(x *Node) *Node { return shrink(x, floatOr(n, "lambd", 0.5), floatOr(n, "bias", 0)) }
	case "HardSigmoid":
		return func(x *Node) *Node { return hardSigmoid(x, alpha(0.2), floatOr(n, "beta", 0.5)) }
	case "HardSwish":
		return func(x *Node) *Node { return Mul(x, hardSigmoid(x, 1.0/6, 0.5)) }
	case "Sigmoid":
		return Sigmoid
	case "Tanh":
		return Tanh
	case "Gelu":
		switch approximate := stringOr(n, "approximate", "none"); approximate {
		case "none", "tanh":
			return func(x *Node) *Node { return gelu(x, approximate == "tanh") }
		default:
			exceptions.Panicf("approximate %q: want none or tanh", approximate)
		}
	}
	exceptions.Panicf("no such activation")
	return nil
}

func positive(x *Node) *Node { return GreaterThan(x, ScalarZero(x.Graph(), x.DType())) }

// relu has slope 0 at 0, as PyTorch's: black pixels without bias land exactly there.
func relu(x *Node) *Node { return Where(positive(x), x, ZerosLike(x)) }

// elu is x above 0, alpha (exp(x/scale) - 1) below; the exponential never sees the positive half, where it may overflow.
func elu(x *Node, alpha, scale float64) *Node {
	return inSingle(x, func(x *Node) *Node {
		below := Where(positive(x), ZerosLike(x), x)
		return Where(positive(x), x, MulScalar(AddScalar(Exp(DivScalar(below, scale)), -1), alpha))
	})
}

// inSingle computes in float32 what rounding between the steps would spoil in half precision.
func inSingle(x *Node, f func(x *Node) *Node) *Node {
	if dtype := x.DType(); dtype == dtypes.BFloat16 || dtype == dtypes.Float16 {
		return ConvertDType(f(ConvertDType(x, dtypes.Float32)), dtype)
	}
	return f(x)
}

func hardSigmoid(x *Node, alpha, beta float64) *Node {
	y := AddScalar(MulScalar(x, alpha), beta)
	one := Scalar(x.Graph(), x.DType(), 1)
	return Where(positive(y), Where(LessThan(y, one), y, OnesLike(y)), ZerosLike(y))
}

func gelu(x *Node, tanh bool) *Node {
	var y *Node
	if tanh {
		y = Tanh(MulScalar(Add(x, MulScalar(Mul(x, Mul(x, x)), 0.044715)), 0.7978845608028654)) // sqrt(2/pi)
	} else {
		y = Erf(MulScalar(x, 0.7071067811865476)) // 1/sqrt(2)
	}
	return Mul(MulScalar(x, 0.5), AddScalar(y, 1))
}

// shrink pulls what lies beyond lambd towards 0 by bias, and makes the rest 0.
func shrink(x *Node, lambd, bias float64) *Node {
	bound := Scalar(x.Graph(), x.DType(), lambd)
	above := Where(GreaterThan(x, bound), AddScalar(x, -bias), ZerosLike(x))
	return Where(LessThan(x, Neg(bound)), AddScalar(x, bias), above)
}

// clip has slope 0 at its bounds, as PyTorch's ReLU6 and Hardtanh.
func (v *values) clip(n *protos.NodeProto) {
	bounds := []*Node{v.in(n, 1), v.in(n, 2)}
	elementwise(func(x *Node) *Node {
		for i, name := range []string{"min", "max"} {
			if a := attribute(n, name); a != nil {
				bounds[i] = Scalar(x.Graph(), x.DType(), float64(a.F))
			}
			if bounds[i] == nil {
				continue
			}
			bound, inside := Reshape(bounds[i]), GreaterThan
			if i == 1 {
				inside = LessThan
			}
			x = Where(inside(x, bound), x, Add(ZerosLike(x), bound))
		}
		return x
	})(v, n)
}

// prelu has a slope per channel, one for all, or any that can be broadcast; before version 7 a list was one per channel.
func (v *values) prelu(n *protos.NodeProto) {
	name := n.Input[1]
	if slope := v.get(name); v.version(n) < 7 && slope.Rank() == 1 && slope.Shape().Size() > 1 && len(v.dims(n.Input[0])) > 1 {
		dims := slices.Repeat([]int{1}, len(v.dims(n.Input[0]))-1)
		dims[0] = slope.Shape().Size()
		name = n.Output[0] + " slope"
		v.plain[name] = Reshape(slope, dims...)
	}
	v.combine(n, []string{n.Input[0], name}, func(all []*Node) *Node {
		x, slope := alike(all[0], all[1])
		return Where(positive(x), x, Mul(slope, x))
	})
}
