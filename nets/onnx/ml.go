package onnx

import (
	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"
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
	return castTo(x, elementTypes[protos.TensorProto_FLOAT]), x.Shape().Dimensions[1]
}

// scaler is (x - offset) times scale, column by column.
func (v *values) scaler(n *protos.NodeProto) {
	x, columns := v.rowsOf(n)
	v.set(n, mul(sub(x, v.listed(n, "offset", columns)), v.listed(n, "scale", columns)))
}

// imputer puts numbers of its own, column by column, where one value stands for what is missing.
func (v *values) imputer(n *protos.NodeProto) {
	integers := attribute(n, "imputed_value_int64s") != nil || attribute(n, "replaced_value_int64") != nil
	if integers || !v.get(n.Input[0]).DType().IsFloat() {
		exceptions.Panicf("of integers is not supported")
	}
	x, columns := v.rowsOf(n)
	own := BroadcastToDims(v.listed(n, "imputed_value_floats", columns), x.Shape().Dimensions...)
	missing := isNaN(x)
	if replaced := float32(floatOr(n, "replaced_value_float", 0)); replaced == replaced {
		missing = StopGradient(Equal(x, Const(v.graph, replaced)))
	}
	v.set(n, Where(missing, own, x))
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

// labels are how many classes a classifier names.
func labels(n *protos.NodeProto, names ...string) (classes int) {
	for _, name := range names {
		if l := attribute(n, name); l != nil {
			classes = max(classes, len(l.Ints)+len(l.Strings))
		}
	}
	return classes
}

// splitLinear makes a product of matrices, and what is made of it, of a linear classifier: its coefficients are weights as
// others are. A single row of them for two classes scores the second, and its negative the first. The label, its first
// output, is never needed here.
func (g *network) splitLinear(n *protos.NodeProto) ([]*protos.NodeProto, error) {
	fail := func(format string, args ...any) error {
		return errors.Errorf("%s: "+format, append([]any{nodeLabel(n)}, args...)...)
	}
	classes := labels(n, "classlabels_ints", "classlabels_strings")
	var weights, shifts []float32
	if a := attribute(n, "coefficients"); a != nil {
		weights = a.Floats
	}
	if a := attribute(n, "intercepts"); a != nil {
		shifts = a.Floats
	}
	rows := classes
	if classes == 2 && len(shifts) == 1 {
		rows = 1
	}
	if rows < 1 || len(n.Output) < 2 || len(weights) == 0 || len(weights)%rows != 0 || len(shifts) != 0 && len(shifts) != rows {
		return nil, fail("%d coefficients and %d intercepts for %d classes", len(weights), len(shifts), classes)
	}
	mirrored := rows == 1
	if mirrored {
		negative := func(of []float32) (out []float32) {
			for _, v := range of {
				out = append(out, -v)
			}
			return out
		}
		rows, weights, shifts = 2, append(negative(weights), weights...), append(negative(shifts), shifts...)
	}
	matrix := g.addConstant(floatTensor("", weights, int64(rows), int64(len(weights)/rows)))
	g.sources[matrix] = source{node: n.Output[1], attribute: "coefficients", mirrored: mirrored}
	product := &protos.NodeProto{OpType: "Gemm", Name: n.Name, Input: []string{n.Input[0], matrix}, Output: []string{n.Output[1]},
		Attribute: []*protos.AttributeProto{intAttribute("transB", 1)}}
	if len(shifts) > 0 {
		row := g.addConstant(floatTensor("", shifts, int64(rows)))
		g.sources[row] = source{node: n.Output[1], attribute: "intercepts", mirrored: mirrored}
		product.Input = append(product.Input, row)
	}
	return g.transformed(product, stringOr(n, "post_transform", "NONE"))
}

// transformed adds what a classifier makes of its scores to the node that computes them.
func (g *network) transformed(scores *protos.NodeProto, post string) ([]*protos.NodeProto, error) {
	after := &protos.NodeProto{Name: scores.Name, Output: scores.Output}
	switch post {
	case "NONE":
		return []*protos.NodeProto{scores}, nil
	case "LOGISTIC":
		after.OpType = "Sigmoid"
	case "SOFTMAX":
		after.OpType, after.Attribute = "Softmax", []*protos.AttributeProto{intAttribute("axis", 1)}
	default:
		return nil, errors.Errorf("%s: post_transform %q is not supported", nodeLabel(scores), post)
	}
	scores.Output = []string{g.newName()}
	after.Input = scores.Output
	return []*protos.NodeProto{scores, after}, nil
}
