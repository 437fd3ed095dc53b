package onnx

import (
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// heldBytes is from which size on values that are no weights go to the store too, where nothing trains them: masks, and the weights
// of quantized networks and of those in half precision, would make each graph as large, and XLA computes what it can of them while
// it compiles, on one core.
const heldBytes = 1 << 14

// variables puts every weight into the store and turns all other initializers into constants of the graph.
func (g *network) variables(m *nets.Model) error {
	settings := g.settings()
	kind := g.weightKinds(settings)
	g.paths, g.held, g.constants = map[string]string{}, map[string]string{}, map[string]*protos.TensorProto{}
	order := map[string]int{}
	for _, n := range g.proto.Node {
		for _, in := range n.Input {
			if _, seen := order[in]; !seen {
				order[in] = len(order)
			}
		}
	}
	slices.SortStableFunc(g.proto.Initializer, func(a, b *protos.TensorProto) int {
		return position(order, a.Name) - position(order, b.Name)
	})
	for _, t := range g.proto.Initializer {
		if kind[t.Name] == notWeight && (len(t.RawData) < heldBytes || settings[t.Name] || places(t) && !g.tables[t.Name]) {
			g.constants[t.Name] = t
			continue
		}
		read, paths := weightOf, g.paths
		if kind[t.Name] == notWeight {
			read, paths = tensorOf, g.held
			g.infinite = g.infinite || holdsInfinity(t)
		}
		value, err := read(t)
		if err != nil {
			return err
		}
		v, err := m.Store.RootScope().At(scopeName).CreateVariable(variableName(t.Name), value)
		if err != nil {
			return errors.WithMessagef(err, "weight %q", t.Name)
		}
		dropped := len(t.RawData)
		paths[t.Name], t.RawData = v.Path(), nil // the store has a copy
		g.garbage.Add(dropped)
		if kind[t.Name] == trainable {
			m.WeightPaths = append(m.WeightPaths, v.Path())
		} else {
			v.SetTrainable(false)
		}
	}
	return nil
}

// places tells whether a tensor is of the types that indices have: operators look at those while they build, and move what lies in
// a row at once.
func places(t *protos.TensorProto) bool {
	return t.DataType == int32(protos.TensorProto_INT64) || t.DataType == int32(protos.TensorProto_INT32)
}

func position(order map[string]int, name string) int {
	if i, ok := order[name]; ok {
		return i
	}
	return math.MaxInt32
}

// variableName is the name of an initializer without what separates scopes.
func variableName(name string) string { return strings.ReplaceAll(name, model.ScopeSeparator, "|") }

type weightKind int

const (
	notWeight weightKind = iota
	statistic            // the running mean and variance of a batch normalization
	trainable
)

// weightKinds tells the weights from the constants by how they are used: ONNX files do not say.
func (g *network) weightKinds(settings map[string]bool) map[string]weightKind {
	kinds := map[string]weightKind{}
	size := map[string]int{}
	for _, t := range g.proto.Initializer {
		if t.DataType == int32(protos.TensorProto_FLOAT) {
			size[t.Name] = elements(t)
		}
	}
	for name := range settings {
		delete(size, name)
	}
	for _, n := range g.proto.Node {
		for i, in := range n.Input {
			if size[in] == 0 {
				continue
			}
			switch n.OpType {
			case "Conv", "ConvTranspose", "Gemm", "MatMul", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization",
				"SimplifiedLayerNormalization":
				kinds[in] = trainable
			case "QuantizeLinear":
				if i == 0 {
					kinds[in] = trainable
				}
			case "GRU", "LSTM", "RNN":
				if i < 4 || i == 7 { // weights, biases and peepholes; not lengths and states
					kinds[in] = trainable
				}
			case "BatchNormalization":
				if i < 3 {
					kinds[in] = trainable
				} else {
					kinds[in] = max(kinds[in], statistic)
				}
			case "Add", "Mul", "Concat", "Expand", "Gather", "Transpose", "PRelu", "Einsum", "Reshape", "Unsqueeze", "Identity", "Sum":
				if size[in] > 1 { // a lone number is a constant of the formula, such as GELU's 1/2
					kinds[in] = trainable
				}
			}
		}
	}
	return kinds
}

// settings are the values that must be known while a graph is built, such as the target of a Reshape, and all that they
// are made of.
func (g *network) settings() map[string]bool {
	found := map[string]bool{}
	for _, n := range slices.Backward(g.proto.Node) {
		from := len(n.Input)
		switch n.OpType {
		case "Reshape", "Expand", "Tile", "Resize", "Upsample", "Unsqueeze", "Squeeze", "Slice", "Split", "CumSum", "TopK", "OneHot", "Trilu",
			"AffineGrid", "CenterCropPad", "Col2Im",
			"Pad", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum",
			"ReduceLogSumExp":
			from = 1
		case "ConstantOfShape", "Range":
			from = 0
		case "Shape", "Size":
			continue
		}
		if slices.ContainsFunc(n.Output, func(out string) bool { return found[out] }) {
			from = 0
		}
		for _, in := range n.Input[min(from, len(n.Input)):] {
			found[in] = true
		}
	}
	return found
}
