package nets

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// This file builds the operators of convolutional and dense networks itself: with PyTorch's gradients where a function
// has a corner (ReLU at 0, equal values in a pooling window), with convolutions whose gradient is right for kernels of
// even size too, and fast on CPUs.

// isNative tells whether the operator is built here rather than by onnx-gomlx.
func (g *onnxGraph) isNative(n *protos.NodeProto) bool {
	switch n.OpType {
	case "Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization", "InstanceNormalization",
		"Gemm", "Flatten", "Pad", "DepthToSpace", "LogSoftmax", "Add", "Sub", "Mul", "Div", "Relu", "LeakyRelu", "PRelu", "Elu", "Celu",
		"Selu", "Softplus", "Mish", "HardSigmoid", "HardSwish", "Sigmoid", "Tanh", "Gelu", "Identity":
		return true
	case "Clip":
		for _, in := range n.Input[1:] {
			if in != "" && (g.producer[in] == nil || g.producer[in].OpType != "Constant") {
				return false
			}
		}
		return true
	}
	return false
}

// native builds one operator.
func (v *values) native(n *protos.NodeProto) {
	if v.g.fused[n] {
		return
	}
	out := n.Output[0]
	switch n.OpType {
	case "Conv":
		v.last[out] = v.conv(n)
	case "MaxPool":
		v.last[out] = v.maxPool(n)
	case "AveragePool":
		v.last[out] = averagePool(n, v.image(n.Input[0]))
	case "GlobalAveragePool":
		v.last[out] = ReduceAndKeep(v.image(n.Input[0]), ReduceMean, 1, 2)
	case "GlobalMaxPool":
		x := v.image(n.Input[0])
		d := x.Shape().Dimensions
		v.last[out] = windowMaximum(x, pooling{kernel: [2]int{d[1], d[2]}, stride: [2]int{1, 1}, dilation: [2]int{1, 1}})
	case "BatchNormalization":
		v.batchNorm(n)
	case "Gemm":
		v.plain[out] = v.gemm(n)
	case "Flatten":
		v.plain[out] = flatten(v.get(n.Input[0]), int(intOr(n, "axis", 1)))
	case "LogSoftmax":
		v.plain[out] = LogSoftmax(v.get(n.Input[0]), int(intOr(n, "axis", -1)))
	case "InstanceNormalization":
		v.plain[out] = v.instanceNorm(n)
	case "Pad":
		v.plain[out] = v.pad(n)
	case "DepthToSpace":
		v.plain[out] = v.depthToSpace(n)
	case "PRelu":
		v.prelu(n)
	case "Add", "Sub", "Mul", "Div":
		v.binary(n)
	default:
		v.elementwise(n)
	}
}

// elementwise keeps the layout of its input.
func (v *values) elementwise(n *protos.NodeProto) {
	f := v.activation(n)
	if x := v.last[n.Input[0]]; x != nil {
		v.last[n.Output[0]] = f(x)
	} else {
		v.plain[n.Output[0]] = f(v.get(n.Input[0]))
	}
}

// binary is arithmetic with ONNX's broadcasting: shapes are aligned at their last axes.
func (v *values) binary(n *protos.NodeProto) {
	f := map[string]func(a, b *Node) *Node{"Add": Add, "Sub": Sub, "Mul": Mul, "Div": Div}[n.OpType]
	if v.last[n.Input[0]] != nil || v.last[n.Input[1]] != nil {
		if a, b := v.channelsLast(n.Input[0]), v.channelsLast(n.Input[1]); a != nil && b != nil {
			v.last[n.Output[0]] = f(a, b)
			return
		}
	}
	a, b := v.get(n.Input[0]), v.get(n.Input[1])
	if a.DType() != b.DType() {
		exceptions.Panicf("types %s and %s differ", a.DType(), b.DType())
	}
	rank := max(a.Rank(), b.Rank())
	widen := func(x *Node) *Node {
		if x.IsScalar() || x.Rank() == rank {
			return x
		}
		return ExpandLeftToRank(x, rank)
	}
	v.plain[n.Output[0]] = f(widen(a), widen(b))
}

// channelsLast returns a value of up to four axes as an operand for images with their channels last.
func (v *values) channelsLast(name string) *Node {
	if x := v.last[name]; x != nil {
		return x
	}
	x := v.get(name)
	switch {
	case x.IsScalar():
		return x
	case x.Rank() > 4:
		return nil
	}
	return TransposeAllAxes(ExpandLeftToRank(x, 4), 0, 2, 3, 1)
}

// batchNorm is inference: a scale and a shift per channel.
func (v *values) batchNorm(n *protos.NodeProto) {
	scale, shift := v.get(n.Input[1]), v.get(n.Input[2])
	mean, variance := v.get(n.Input[3]), v.get(n.Input[4])
	factor := Div(scale, Sqrt(AddScalar(variance, floatOr(n, "epsilon", 1e-5))))
	shift = Sub(shift, Mul(mean, factor))
	if v.last[n.Input[0]] != nil || v.get(n.Input[0]).Rank() == 4 {
		x := v.image(n.Input[0])
		v.last[n.Output[0]] = Add(Mul(x, InsertAxes(factor, 0, 0, 0)), InsertAxes(shift, 0, 0, 0))
		return
	}
	x := v.get(n.Input[0])
	dims := make([]int, x.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[1] = factor.Shape().Size()
	v.plain[n.Output[0]] = Add(Mul(x, Reshape(factor, dims...)), Reshape(shift, dims...))
}

func (v *values) gemm(n *protos.NodeProto) *Node {
	a, b := v.get(n.Input[0]), v.get(n.Input[1])
	if a.Rank() != 2 || b.Rank() != 2 {
		exceptions.Panicf("shapes %s and %s: want two matrices", a.Shape(), b.Shape())
	}
	if intOr(n, "transA", 0) != 0 {
		a = TransposeAllAxes(a, 1, 0)
	}
	if intOr(n, "transB", 0) != 0 {
		b = TransposeAllAxes(b, 1, 0)
	}
	y := MatMul(a, b)
	if alpha := floatOr(n, "alpha", 1); alpha != 1 {
		y = MulScalar(y, alpha)
	}
	if len(n.Input) > 2 && n.Input[2] != "" {
		c := v.get(n.Input[2])
		if beta := floatOr(n, "beta", 1); beta != 1 {
			c = MulScalar(c, beta)
		}
		if !c.IsScalar() {
			c = ExpandLeftToRank(c, 2)
		}
		y = Add(y, c)
	}
	return y
}

func flatten(x *Node, axis int) *Node {
	if axis < 0 {
		axis += x.Rank()
	}
	if axis < 0 || axis > x.Rank() {
		exceptions.Panicf("axis %d of %s", axis, x.Shape())
	}
	return Reshape(x, product(x.Shape().Dimensions[:axis]), product(x.Shape().Dimensions[axis:]))
}

func intOr(n *protos.NodeProto, name string, otherwise int64) int64 {
	if a := attribute(n, name); a != nil {
		return a.I
	}
	return otherwise
}

func floatOr(n *protos.NodeProto, name string, otherwise float64) float64 {
	if a := attribute(n, name); a != nil {
		return float64(a.F)
	}
	return otherwise
}

// pairOr reads an attribute of one number for height and one for width.
func pairOr(n *protos.NodeProto, name string, otherwise int) [2]int {
	a := attribute(n, name)
	if a == nil {
		return [2]int{otherwise, otherwise}
	}
	if len(a.Ints) != 2 || slices.ContainsFunc(a.Ints, func(i int64) bool { return i < 1 || i > maxWindow }) {
		exceptions.Panicf("%s %v: want two numbers from 1 to %d", name, a.Ints, maxWindow)
	}
	return [2]int{int(a.Ints[0]), int(a.Ints[1])}
}

// maxWindow bounds kernels, strides, dilations and pads.
const maxWindow = 1 << 14
