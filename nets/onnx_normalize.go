package nets

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/pkg/errors"
)

// normalize rewrites what exporters write into what the importer can take, with the same meaning: attributes that say
// nothing are dropped, constants get one form, batch sizes that the export fixed become free.
func (g *onnxGraph) normalize() error {
	g.constants()
	if err := g.checkGraph(); err != nil {
		return err
	}
	for _, n := range g.proto.Node {
		if n.OpType == "Pad" {
			g.torchPads(n)
		}
	}
	g.prune()
	g.freeBatch()
	var nodes []*protos.NodeProto
	for _, n := range g.proto.Node {
		more, err := g.rewrite(n)
		if err != nil {
			return errors.WithMessage(err, nodeLabel(n))
		}
		nodes = append(nodes, more...)
	}
	g.proto.Node = nodes
	return nil
}

// constants turns every Constant node into an initializer, whatever attribute it keeps its value in.
func (g *onnxGraph) constants() {
	var nodes []*protos.NodeProto
	for _, n := range g.proto.Node {
		if n == nil {
			continue
		}
		t := constantValue(n)
		if t == nil || len(n.Output) != 1 {
			nodes = append(nodes, n)
			continue
		}
		t.Name = n.Output[0]
		g.proto.Initializer = append(g.proto.Initializer, t)
	}
	g.proto.Node = nodes
}

func constantValue(n *protos.NodeProto) *protos.TensorProto {
	if n.OpType != "Constant" {
		return nil
	}
	for _, a := range n.Attribute {
		switch a.GetName() {
		case "value":
			return a.T
		case "value_float":
			return floatTensor("", []float32{a.F})
		case "value_floats":
			return floatTensor("", a.Floats, int64(len(a.Floats)))
		case "value_int":
			return intTensor("", []int64{a.I})
		case "value_ints":
			return intTensor("", a.Ints, int64(len(a.Ints)))
		}
	}
	return nil
}

func constantNode(t *protos.TensorProto) *protos.NodeProto {
	return &protos.NodeProto{OpType: "Constant", Name: t.Name, Output: []string{t.Name}, Attribute: []*protos.AttributeProto{
		{Name: "value", Type: protos.AttributeProto_TENSOR, T: t}}}
}

// checkGraph reports what no rewriting can help: operators that are not supported, names used twice or never made.
func (g *onnxGraph) checkGraph() error {
	made := map[string]bool{"": true}
	for _, in := range g.proto.Input {
		made[in.Name] = true
	}
	for _, t := range g.proto.Initializer {
		if t.Name == "" || made[t.Name] {
			return errors.Errorf("tensor %q is defined twice", t.Name)
		}
		made[t.Name] = true
	}
	for _, n := range g.proto.Node {
		if (n.Domain != "" && n.Domain != "ai.onnx") || !supported[n.OpType] {
			return errors.Errorf("operator %s (%s) is not supported", operatorName(n), nodeLabel(n))
		}
		if len(n.Output) == 0 || (len(n.Input) < minInputs(n.OpType)) {
			return errors.Errorf("%s has %d inputs and %d outputs: the file is damaged", nodeLabel(n), len(n.Input), len(n.Output))
		}
		for _, a := range n.Attribute {
			if a == nil || a.G != nil || a.RefAttrName != "" {
				return errors.Errorf("%s has an attribute that is not supported", nodeLabel(n))
			}
		}
		for _, in := range n.Input { // the format asks for topological order, which also excludes cycles
			if !made[in] {
				return errors.Errorf("%s reads %q, which no earlier node makes: the file is damaged", nodeLabel(n), in)
			}
		}
		for _, out := range n.Output {
			if out != "" && made[out] {
				return errors.Errorf("%s makes %q a second time: the file is damaged", nodeLabel(n), out)
			}
			made[out] = true
		}
	}
	if len(g.proto.Output) != 1 {
		g.notes = append(g.notes, fmt.Sprintf("the file has %d outputs: the first, %q, is taken as the logits", len(g.proto.Output), g.proto.Output[0].GetName()))
		g.proto.Output = g.proto.Output[:1]
	}
	out := g.proto.Output[0].GetName()
	if out == "" || !made[out] {
		return errors.Errorf("no node makes the output %q: the file is damaged", out)
	}
	for _, n := range g.proto.Node {
		if n.OpType == "Softmax" && slices.Contains(n.Output, out) {
			g.notes = append(g.notes, "the network ends in a softmax: its outputs are probabilities, and a cross-entropy taken of them has weaker gradients than that of the logits before; export without the softmax")
		}
	}
	return nil
}

func operatorName(n *protos.NodeProto) string {
	if n.Domain == "" {
		return n.OpType
	}
	return n.Domain + "." + n.OpType
}

// supported lists the operators that the importer can build with gradients.
var supported = func() map[string]bool {
	set := map[string]bool{}
	for _, op := range []string{"Abs", "Add", "And", "ArgMax", "ArgMin", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Celu", "Clip",
		"Concat", "ConstantOfShape", "Conv", "Cos", "CumSum", "DepthToSpace", "Div", "Dropout", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand",
		"Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater",
		"GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax",
		"MatMul", "Max", "MaxPool", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pad", "Pow", "Range", "Reciprocal",
		"ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceL2", "Relu", "Reshape", "Shape", "Sigmoid",
		"Sign", "Sin", "Selu", "Size", "Slice", "Softmax", "Softplus", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Trilu",
		"Unsqueeze", "Where", "Xor"} {
		set[op] = true
	}
	return set
}()

func minInputs(op string) int {
	switch op {
	case "BatchNormalization":
		return 5
	case "Where", "Range", "InstanceNormalization", "Slice":
		return 3
	case "Add", "Sub", "Mul", "Div", "Pow", "Mod", "MatMul", "Gemm", "Conv", "Gather", "GatherElements", "GatherND", "Reshape", "Expand",
		"And", "Or", "Xor", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "LayerNormalization", "Tile", "CumSum",
		"PRelu", "Pad":
		return 2
	}
	return 1
}

// rewrite returns the nodes that stand for n.
func (g *onnxGraph) rewrite(n *protos.NodeProto) ([]*protos.NodeProto, error) {
	switch n.OpType {
	case "Dropout":
		if len(n.Output) > 1 && n.Output[1] != "" && g.used(n.Output[1]) {
			return nil, errors.New("its mask is used: export the network in evaluation mode")
		}
		n.OpType, n.Input, n.Output, n.Attribute = "Identity", n.Input[:1], n.Output[:1], nil
	case "MaxPool":
		if len(n.Output) > 1 && n.Output[1] != "" {
			return nil, errors.New("its indices are used: not supported")
		}
		n.Output = n.Output[:1]
		dropInts(n, "dilations", 1)
		dropInt(n, "ceil_mode", 0)
		dropInt(n, "storage_order", 0)
		dropString(n, "auto_pad", "NOTSET")
	case "AveragePool":
		dropInts(n, "dilations", 1)
		dropInt(n, "ceil_mode", 0)
		dropString(n, "auto_pad", "NOTSET")
		dropInts(n, "pads", 0)
		if attribute(n, "pads") == nil {
			drop(n, "count_include_pad")
		}
	case "Conv":
		dropString(n, "auto_pad", "NOTSET")
	case "BatchNormalization":
		dropInt(n, "training_mode", 0)
		drop(n, "momentum") // says nothing at inference
		n.Output = n.Output[:1]
	case "Softmax":
		if attribute(n, "axis") == nil && g.opset > 0 && g.opset < 13 {
			setInt(n, "axis", 1)
		}
	case "LayerNormalization":
		n.Output = n.Output[:1]
	case "Expand", "Tile", "ConstantOfShape", "Range":
		return []*protos.NodeProto{n}, g.checkCounts(n)
	case "Slice":
		return []*protos.NodeProto{n}, g.checkSlice(n)
	}
	return []*protos.NodeProto{n}, nil
}

// torchPads works out the widths of a Pad that PyTorch's older exporter writes as arithmetic: its own list, from the last
// axis to the first, padded with zeros, its pairs reversed and transposed.
func (g *onnxGraph) torchPads(n *protos.NodeProto) {
	name := n.Input[1]
	for _, op := range []string{"Cast", "Reshape", "Transpose", "Slice", "Reshape"} {
		before := g.node(name)
		if before == nil || before.OpType != op {
			return
		}
		name = before.Input[0]
	}
	join := g.node(name)
	if join == nil || join.OpType != "Concat" || len(join.Input) != 2 {
		return
	}
	zeros := g.node(join.Input[1])
	own := intsOf(g.initializer(join.Input[0]))
	if len(own) == 0 || zeros == nil || zeros.OpType != "ConstantOfShape" {
		return
	}
	more := intsOf(g.initializer(zeros.Input[0]))
	if len(more) != 1 || more[0] < 0 || more[0] > 64 {
		return
	}
	own = append(slices.Clone(own), make([]int64, more[0])...)
	if len(own)%2 != 0 {
		return
	}
	rank := len(own) / 2
	pads := make([]int64, len(own))
	for axis := range rank {
		pads[axis], pads[axis+rank] = own[2*(rank-1-axis)], own[2*(rank-1-axis)+1]
	}
	n.Input[1] = g.addConstant(intTensor("", pads, int64(len(pads))))
}

// prune drops the nodes that the output does not need.
func (g *onnxGraph) prune() {
	needed := map[string]bool{g.proto.Output[0].Name: true}
	var kept []*protos.NodeProto
	for _, n := range slices.Backward(g.proto.Node) {
		if slices.ContainsFunc(n.Output, func(out string) bool { return needed[out] }) {
			for _, in := range n.Input {
				needed[in] = true
			}
			kept = append(kept, n)
		}
	}
	slices.Reverse(kept)
	g.proto.Node = kept
}

// checkCounts refuses constants that would make values of impossible size.
func (g *onnxGraph) checkCounts(n *protos.NodeProto) error {
	for _, in := range n.Input {
		size := 1.0
		for _, d := range intsOf(g.initializer(in)) {
			size *= math.Abs(float64(d))
		}
		if size > maxElements {
			return errors.Errorf("makes %g values: impossible", size)
		}
	}
	return nil
}

// checkSlice refuses negative steps, which the importer would get wrong.
func (g *onnxGraph) checkSlice(n *protos.NodeProto) error {
	if len(n.Input) < 5 || n.Input[4] == "" {
		return nil
	}
	for _, step := range intsOf(g.initializer(n.Input[4])) {
		if step < 1 {
			return errors.Errorf("step %d is not supported", step)
		}
	}
	return nil
}

func (g *onnxGraph) node(output string) *protos.NodeProto {
	for _, n := range g.proto.Node {
		if slices.Contains(n.Output, output) {
			return n
		}
	}
	return nil
}

func (g *onnxGraph) initializer(name string) *protos.TensorProto {
	for _, t := range g.proto.Initializer {
		if t.Name == name {
			return t
		}
	}
	return nil
}

func (g *onnxGraph) used(name string) bool {
	for _, n := range g.proto.Node {
		if slices.Contains(n.Input, name) {
			return true
		}
	}
	return g.proto.Output[0].GetName() == name
}

func attribute(n *protos.NodeProto, name string) *protos.AttributeProto {
	for _, a := range n.Attribute {
		if a.Name == name {
			return a
		}
	}
	return nil
}

func drop(n *protos.NodeProto, name string) {
	n.Attribute = slices.DeleteFunc(n.Attribute, func(a *protos.AttributeProto) bool { return a.Name == name })
}

func dropInt(n *protos.NodeProto, name string, value int64) {
	if a := attribute(n, name); a != nil && a.I == value {
		drop(n, name)
	}
}

func dropString(n *protos.NodeProto, name, value string) {
	if a := attribute(n, name); a != nil && string(a.S) == value {
		drop(n, name)
	}
}

// dropInts drops a list attribute whose entries all have the value that says nothing.
func dropInts(n *protos.NodeProto, name string, value int64) {
	a := attribute(n, name)
	if a != nil && !slices.ContainsFunc(a.Ints, func(v int64) bool { return v != value }) {
		drop(n, name)
	}
}

func setInt(n *protos.NodeProto, name string, value int64) {
	drop(n, name)
	n.Attribute = append(n.Attribute, &protos.AttributeProto{Name: name, Type: protos.AttributeProto_INT, I: value})
}
