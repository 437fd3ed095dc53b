package nets

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// activation returns an elementwise function of one operand; nil if the operator is none.
func (v *values) activation(n *protos.NodeProto) func(x *Node) *Node {
	switch n.OpType {
	case "Relu":
		return relu
	case "LeakyRelu":
		alpha := floatOr(n, "alpha", 0.01)
		return func(x *Node) *Node { return Where(positive(x), x, MulScalar(x, alpha)) }
	case "Elu":
		alpha := floatOr(n, "alpha", 1)
		return func(x *Node) *Node { return elu(x, alpha, 1) }
	case "Celu":
		alpha := floatOr(n, "alpha", 1)
		return func(x *Node) *Node { return elu(x, alpha, alpha) }
	case "Selu":
		alpha, gamma := floatOr(n, "alpha", 1.6732632423543772), floatOr(n, "gamma", 1.0507009873554805)
		return func(x *Node) *Node { return MulScalar(elu(x, alpha, 1), gamma) }
	case "Softplus":
		return softplus
	case "Mish":
		return func(x *Node) *Node { return Mul(x, Tanh(softplus(x))) }
	case "HardSigmoid":
		alpha, beta := floatOr(n, "alpha", 0.2), floatOr(n, "beta", 0.5)
		return func(x *Node) *Node { return hardSigmoid(x, alpha, beta) }
	case "HardSwish":
		return func(x *Node) *Node { return Mul(x, hardSigmoid(x, 1.0/6, 0.5)) }
	case "Sigmoid":
		return Sigmoid
	case "Tanh":
		return Tanh
	case "Identity":
		return Identity
	case "Gelu":
		a := attribute(n, "approximate")
		tanh := a != nil && string(a.S) == "tanh"
		return func(x *Node) *Node { return gelu(x, tanh) }
	case "Clip":
		return func(x *Node) *Node { return v.clip(n, x) }
	}
	return nil
}

func positive(x *Node) *Node { return GreaterThan(x, ScalarZero(x.Graph(), x.DType())) }

// relu has slope 0 at 0, as PyTorch's: black pixels without bias land exactly there.
func relu(x *Node) *Node { return Where(positive(x), x, ZerosLike(x)) }

// elu is x above 0, alpha (exp(x/scale) - 1) below; the exponential never sees the positive half, where it may overflow.
func elu(x *Node, alpha, scale float64) *Node {
	below := Where(positive(x), ZerosLike(x), x)
	return Where(positive(x), x, MulScalar(AddScalar(Exp(DivScalar(below, scale)), -1), alpha))
}

// softplus is log(1 + exp(x)), split at 0 so that neither half overflows and the slope at 0 is 1/2.
func softplus(x *Node) *Node {
	zero := ZerosLike(x)
	above, below := Where(positive(x), x, zero), Where(positive(x), zero, x)
	return Where(positive(x), Add(above, Log1P(Exp(Neg(above)))), Log1P(Exp(below)))
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

// clip has slope 0 at its bounds, as PyTorch's ReLU6 and Hardtanh.
func (v *values) clip(n *protos.NodeProto, x *Node) *Node {
	for i, name := range n.Input[1:] {
		if name == "" || i > 1 {
			continue
		}
		bound := v.get(name)
		if !bound.IsScalar() {
			bound = Reshape(bound)
		}
		inside := GreaterThan(x, bound)
		if i == 1 {
			inside = LessThan(x, bound)
		}
		x = Where(inside, x, Add(ZerosLike(x), bound))
	}
	return x
}

// prelu has a slope per channel, or one for all.
func (v *values) prelu(n *protos.NodeProto) {
	if x := v.last[n.Input[0]]; x != nil {
		if slope := v.channelsLast(n.Input[1]); slope != nil {
			v.last[n.Output[0]] = Where(positive(x), x, Mul(slope, x))
			return
		}
	}
	x, slope := v.get(n.Input[0]), v.get(n.Input[1])
	if !slope.IsScalar() && slope.Rank() < x.Rank() {
		slope = ExpandLeftToRank(slope, x.Rank())
	}
	v.plain[n.Output[0]] = Where(positive(x), x, Mul(slope, x))
}

// instanceNorm normalizes every channel of every example.
func (v *values) instanceNorm(n *protos.NodeProto) *Node {
	x := v.get(n.Input[0])
	if x.Rank() < 3 {
		exceptions.Panicf("its input has shape %s: want [batch, channels, ...]", x.Shape())
	}
	var axes []int
	dims := []int{1, x.Shape().Dimensions[1]}
	for i := 2; i < x.Rank(); i++ {
		axes, dims = append(axes, i), append(dims, 1)
	}
	x = Sub(x, ReduceAndKeep(x, ReduceMean, axes...))
	x = Div(x, Sqrt(AddScalar(ReduceAndKeep(Mul(x, x), ReduceMean, axes...), floatOr(n, "epsilon", 1e-5))))
	return Add(Mul(x, Reshape(v.get(n.Input[1]), dims...)), Reshape(v.get(n.Input[2]), dims...))
}

// depthToSpace moves blocks of channels into space, as PixelShuffle does.
func (v *values) depthToSpace(n *protos.NodeProto) *Node {
	x, b := v.get(n.Input[0]), int(intOr(n, "blocksize", 0))
	d := x.Shape().Dimensions
	if x.Rank() != 4 || b < 1 || b > maxWindow || d[1]%(b*b) != 0 {
		exceptions.Panicf("blocks of %d do not fit %s", b, x.Shape())
	}
	c := d[1] / (b * b)
	if a := attribute(n, "mode"); a != nil && string(a.S) == "CRD" {
		x = TransposeAllAxes(Reshape(x, d[0], c, b, b, d[2], d[3]), 0, 1, 4, 2, 5, 3)
	} else {
		x = TransposeAllAxes(Reshape(x, d[0], b, b, c, d[2], d[3]), 0, 3, 4, 1, 5, 2)
	}
	return Reshape(x, d[0], c, d[2]*b, d[3]*b)
}

// pad adds a border: a constant, the edge repeated, or the image mirrored. Its widths are constants of the file.
func (v *values) pad(n *protos.NodeProto) *Node {
	x := v.get(n.Input[0])
	pads := intsOf(constantValue(v.g.producer[n.Input[1]]))
	if len(pads) != 2*x.Rank() || slices.ContainsFunc(pads, func(p int64) bool { return p < 0 || p > maxWindow }) {
		exceptions.Panicf("pads %v of %s: want two numbers from 0 to %d for each axis", pads, x.Shape(), maxWindow)
	}
	mode := "constant"
	if a := attribute(n, "mode"); a != nil {
		mode = string(a.S)
	}
	rank := x.Rank()
	for axis := range rank {
		before, after, size := int(pads[axis]), int(pads[axis+rank]), x.Shape().Dimensions[axis]
		if before == 0 && after == 0 {
			continue
		}
		at := func(i int) *Node { return SliceAxis(x, axis, AxisRange(i, i+1)) }
		parts := []*Node{x}
		switch mode {
		case "constant":
			value := ScalarZero(x.Graph(), x.DType())
			if len(n.Input) > 2 && n.Input[2] != "" {
				value = Reshape(v.get(n.Input[2]))
			}
			axes := make([]PadAxis, rank)
			axes[axis] = PadAxis{Start: before, End: after}
			x = Pad(x, value, axes...)
			continue
		case "edge":
			for range before {
				parts = append([]*Node{at(0)}, parts...)
			}
			for range after {
				parts = append(parts, at(size-1))
			}
		case "reflect":
			if before >= size || after >= size {
				exceptions.Panicf("mirrors more than the image of %s has", x.Shape())
			}
			for i := range before {
				parts = append([]*Node{at(i + 1)}, parts...)
			}
			for i := range after {
				parts = append(parts, at(size-2-i))
			}
		default:
			exceptions.Panicf("mode %q is not supported", mode)
		}
		x = Concatenate(parts, axis)
	}
	return x
}
