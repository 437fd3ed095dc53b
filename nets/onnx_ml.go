package nets

import (
	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// This file builds the operators of classical machine learning that scikit-learn's linear models and networks need.

// listed is a list attribute as a row of constants; one number serves all columns.
func (v *values) listed(n *protos.NodeProto, name string, columns int) *Node {
	a := attribute(n, name)
	if a == nil || len(a.Floats) != 1 && len(a.Floats) != columns {
		exceptions.Panicf("%s: want 1 or %d numbers", name, columns)
	}
	return ConstTensor(v.graph, tensors.FromFlatDataAndDimensions(a.Floats, 1, len(a.Floats)))
}

// rowsOf is the input as float32 [batch, columns].
func (v *values) rowsOf(n *protos.NodeProto) (x *Node, columns int) {
	x = v.get(n.Input[0])
	if x.Rank() != 2 {
		exceptions.Panicf("its input has shape %s: want [batch, columns]", x.Shape())
	}
	return castTo(x, onnxTypes[protos.TensorProto_FLOAT]), x.Shape().Dimensions[1]
}

// scaler is (x - offset) times scale, column by column.
func (v *values) scaler(n *protos.NodeProto) {
	x, columns := v.rowsOf(n)
	v.set(n, mul(sub(x, v.listed(n, "offset", columns)), v.listed(n, "scale", columns)))
}

// normalizer divides each row by its largest value, or its l1 or l2 norm.
func (v *values) normalizer(n *protos.NodeProto) {
	x, _ := v.rowsOf(n)
	switch norm := stringOr(n, "norm", "MAX"); norm {
	case "MAX":
		v.set(n, normalized(x, 1, reduceMax))
	case "L1":
		v.set(n, normalized(x, 1, reduceL1))
	case "L2":
		v.set(n, normalized(x, 1, reduceL2))
	default:
		exceptions.Panicf("norm %q: want MAX, L1 or L2", norm)
	}
}

// linearClassifier has one row of coefficients a class, or one for two classes. Its first output, the label, is never
// needed here.
func (v *values) linearClassifier(n *protos.NodeProto) {
	x, columns := v.rowsOf(n)
	a := attribute(n, "coefficients")
	if a == nil || len(a.Floats) == 0 || len(a.Floats)%columns != 0 || len(n.Output) < 2 {
		exceptions.Panicf("coefficients do not fit %d columns", columns)
	}
	rows := len(a.Floats) / columns
	z := MatMul(x, TransposeAllAxes(ConstTensor(v.graph, tensors.FromFlatDataAndDimensions(a.Floats, rows, columns)), 1, 0))
	if attribute(n, "intercepts") != nil {
		z = add(z, v.listed(n, "intercepts", rows))
	}
	classes := rows
	for _, name := range []string{"classlabels_ints", "classlabels_strings"} {
		if l := attribute(n, name); l != nil {
			classes = max(classes, len(l.Ints)+len(l.Strings))
		}
	}
	post := stringOr(n, "post_transform", "NONE")
	if rows == 1 && classes == 2 { // the score of the second class
		switch post {
		case "NONE":
			z = Concatenate([]*Node{Neg(z), z}, 1)
		case "LOGISTIC":
			z = Concatenate([]*Node{Sigmoid(Neg(z)), Sigmoid(z)}, 1)
		case "SOFTMAX":
			z = Softmax(Concatenate([]*Node{Neg(z), z}, 1), 1)
		default:
			exceptions.Panicf("post_transform %q is not supported", post)
		}
		v.setOutput(n, 1, func() *Node { return z })
		return
	}
	switch post {
	case "NONE":
	case "LOGISTIC":
		z = Sigmoid(z)
	case "SOFTMAX":
		z = Softmax(z, 1)
	default:
		exceptions.Panicf("post_transform %q is not supported", post)
	}
	v.setOutput(n, 1, func() *Node { return z })
}
