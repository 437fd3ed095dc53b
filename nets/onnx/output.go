package onnx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/pkg/errors"
)

// chooseOutput finds the value that holds the logits: the output that the user names, or the one that is a float for
// every class. Files also put out labels, features, and lists that scikit-learn's converter makes of probabilities.
func (g *network) chooseOutput(wanted string) error {
	var names []string
	for _, out := range g.proto.Output {
		names = append(names, out.GetName())
	}
	switch {
	case wanted != "" && !slices.Contains(names, wanted):
		return errors.Errorf("no output is named %q: the file has %s", wanted, strings.Join(names, ", "))
	case wanted != "":
		g.output = g.behindZipMap(wanted)
		return nil
	case len(names) == 1:
		g.output = g.behindZipMap(names[0])
		return nil
	case g.isMap:
		return errors.Errorf("the file has the outputs %s: name the one that is wanted", strings.Join(names, ", "))
	}
	var fit []string
	for _, out := range g.proto.Output {
		if g.maybeLogits(out) {
			fit = append(fit, out.GetName())
		}
	}
	if len(fit) == 0 {
		return errors.Errorf("none of the outputs %s is float [batch, classes]: name the one that holds the logits", strings.Join(names, ", "))
	}
	last := slices.DeleteFunc(slices.Clone(fit), func(name string) bool {
		return slices.ContainsFunc(fit, func(other string) bool { return other != name && g.leads(name, other) })
	})
	chosen := fit[0]
	if len(last) > 0 {
		chosen = last[0]
	}
	g.output = g.behindZipMap(chosen)
	g.notes = append(g.notes, fmt.Sprintf("of the outputs %s, %q is taken as the logits; another can be named "+
		"(--output NAME, onnx.Options.Output)", strings.Join(names, ", "), chosen))
	return nil
}

// behindZipMap returns what scikit-learn's converter makes a list of maps of.
func (g *network) behindZipMap(name string) string {
	if n := g.node(name); n != nil && operatorName(n) == domainML+".ZipMap" && len(n.Input) == 1 {
		return n.Input[0]
	}
	return name
}

// maybeLogits tells whether what the file says of an output does not speak against it.
func (g *network) maybeLogits(out *protos.ValueInfoProto) bool {
	if g.behindZipMap(out.GetName()) != out.GetName() || out.GetType() == nil {
		return true
	}
	tensor := out.GetType().GetTensorType()
	if tensor == nil {
		return false
	}
	switch protos.TensorProto_DataType(tensor.ElemType) {
	case protos.TensorProto_FLOAT, protos.TensorProto_DOUBLE, protos.TensorProto_FLOAT16, protos.TensorProto_UNDEFINED:
	default:
		return false
	}
	if tensor.Shape == nil {
		return true
	}
	dims := tensor.Shape.Dim
	for i := 2; i < len(dims); i++ {
		if dims[i].GetDimValue() != 1 {
			return false
		}
	}
	return len(dims) >= 2
}

// leads tells whether one output, or what it is but for its shape, is on the way to another that says more: logits say more
// than the probabilities made of them.
func (g *network) leads(name, other string) bool {
	from, to := g.unshaped(g.behindZipMap(name)), g.unshaped(g.behindZipMap(other))
	probabilities := func(of, logits string) bool {
		n := g.node(of)
		return n != nil && slices.Contains([]string{"Softmax", "Sigmoid", "LogSoftmax"}, operatorName(n)) && g.unshaped(n.Input[0]) == logits
	}
	switch {
	case probabilities(to, from):
		return false
	case probabilities(from, to):
		return true
	}
	reached := map[string]bool{from: true}
	for _, n := range g.proto.Node {
		if slices.ContainsFunc(n.Input, func(in string) bool { return reached[in] }) {
			for _, out := range n.Output {
				reached[out] = true
			}
		}
	}
	return reached[to]
}

// unshaped returns the value that another is but for its shape or type.
func (g *network) unshaped(name string) string {
	for {
		n := g.node(name)
		if n == nil || !slices.Contains([]string{"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast", "Dropout"}, operatorName(n)) {
			return name
		}
		name = n.Input[0]
	}
}

// endsIn returns the node that makes a value, but for its shape or type, if it is one of the given operators.
func (g *network) endsIn(name string, operators ...string) *protos.NodeProto {
	if n := g.node(g.unshaped(name)); n != nil && slices.Contains(operators, operatorName(n)) {
		return n
	}
	return nil
}

// noteProbabilities tells of an end that flattens gradients.
func (g *network) noteProbabilities() {
	if g.isMap {
		return
	}
	for _, op := range []string{"Softmax", "Sigmoid"} {
		if n := g.endsIn(g.output, op); n != nil {
			g.notes = append(g.notes, fmt.Sprintf("the network ends in a %s: its outputs are probabilities, and a cross-entropy taken of them has "+
				"weaker gradients than that of the logits before; export without the %[1]s", strings.ToLower(op)))
		}
	}
}

// noteStaircases tells what stands for slopes that a quantized network does not have.
func (g *network) noteStaircases() {
	rounds, together := false, false
	for _, n := range g.needed(g.input, g.output) {
		switch n.OpType {
		case "QuantizeLinear", "QLinearConv", "QLinearMatMul":
			rounds = true
		case "DynamicQuantizeLinear":
			rounds, together = true, true
		}
	}
	if rounds {
		g.notes = append(g.notes, "the network is quantized, and a staircase has no slope: gradients go straight through it, as if it did not "+
			"round, but not where it saturates (straight-through estimator)")
	}
	if together {
		g.notes = append(g.notes, "DynamicQuantizeLinear takes its scale from all images of a batch: they change each other's logits a little")
	}
}

// noteTrees tells of trees, which leave attacks by gradients blind.
func (g *network) noteTrees() bool {
	found := slices.ContainsFunc(g.needed(g.input, g.output), isTrees)
	if found {
		g.notes = append(g.notes, "the network decides by trees, whose outputs are steps: no gradient goes through them, and attacks that "+
			"follow gradients see nothing of them; use those by scores or decisions (Square, HopSkipJump, boundary, RayS)")
	}
	return found
}

// headOf returns what makes logits float32 [batch, classes] of an output of the given shape; nil if it is that already.
// One number an example, z or its probability, becomes the two logits -z/2 and z/2, whose softmax is that probability.
func (g *network) headOf(dtype dtypes.DType, dims []int) (head func(x *Node) *Node) {
	if g.isMap {
		return func(x *Node) *Node { return castTo(x, dtypes.Float32) }
	}
	flat := len(dims) != 2
	two := len(dims) == 1 || product(dims[1:]) == 1
	if dtype == dtypes.Float32 && !flat && !two {
		return nil
	}
	probability := false
	if two {
		note := "the network puts out one number z: taken as the logits -z/2 and z/2 of two classes, of which the second is the likelier " +
			"where z > 0"
		if n := g.endsIn(g.output, "Sigmoid"); n != nil {
			g.replaceByIdentity(n)
			note = "the network puts out one probability, by a sigmoid: taken as two classes, of which the second has that probability, " +
				"with half of the sigmoid's input and its negative as logits"
		} else if n := g.endsIn(g.output, "HardSigmoid", "Clip", "Softmax"); n != nil {
			probability = true
			note = "the network puts out one probability p: taken as two classes with the outputs 1-p and p"
		}
		g.notes = append(g.notes, note)
	}
	return func(x *Node) *Node {
		x = Reshape(castTo(x, dtypes.Float32), x.Shape().Dimensions[0], -1)
		switch {
		case probability:
			return Concatenate([]*Node{OneMinus(x), x}, 1)
		case two:
			return Concatenate([]*Node{MulScalar(x, -0.5), MulScalar(x, 0.5)}, 1)
		}
		return x
	}
}

func (g *network) replaceByIdentity(n *protos.NodeProto) {
	n.OpType, n.Attribute = "Identity", nil
}

// checkHead refuses what no head makes logits of.
func (g *network) checkHead(dtype dtypes.DType, dims []int, batch int) error {
	fits := len(dims) >= 1 && dims[0] == batch && dtype.IsFloat() && product(dims) > 0
	if g.isMap && !fits {
		return errors.Errorf("the output of a batch of %d is %s: want float32 [batch, ...]", batch, shapeOf(dtype, dims))
	}
	for i := 2; i < len(dims); i++ {
		fits = fits && (dims[i] == 1 || g.isMap)
	}
	if !fits {
		return errors.Errorf("the output of a batch of %d is %s: want logits float32 [batch, classes]", batch, shapeOf(dtype, dims))
	}
	return nil
}
