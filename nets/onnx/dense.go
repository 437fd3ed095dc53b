package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/nets"
)

// transposeDense stores the weights of Gemm nodes that have them as [outputs, inputs], as PyTorch exports them, the other
// way round, so that all dense layers of a store look alike.
func (g *network) transposeDense() {
	uses := map[string]int{}
	for _, n := range g.proto.Node {
		for _, in := range n.Input {
			uses[in]++
		}
	}
	for _, n := range g.proto.Node {
		if n.OpType != "Gemm" || intOr(n, "transB", 0) == 0 || uses[n.Input[1]] != 1 {
			continue
		}
		i := slices.IndexFunc(g.proto.Initializer, func(t *protos.TensorProto) bool { return t.Name == n.Input[1] })
		if i < 0 || len(g.proto.Initializer[i].Dims) != 2 || g.proto.Initializer[i].DataType != int32(protos.TensorProto_FLOAT) {
			continue
		}
		t := g.proto.Initializer[i]
		rows, columns := int(t.Dims[0]), int(t.Dims[1])
		t.RawData, t.Dims = transposed(t.RawData, rows, columns), []int64{int64(columns), int64(rows)}
		s := g.source(t.Name)
		s.turned = true
		g.sources[t.Name] = s
		drop(n, "transB")
		g.garbage.Add(len(t.RawData))
	}
}

// transposed turns the bytes of a float32 matrix of so many rows.
func transposed(raw []byte, rows, columns int) []byte {
	const block = 16 // values of a cache line: whole lines are read and written
	turned := make([]byte, len(raw))
	for top := 0; top < rows; top += block {
		for left := 0; left < columns; left += block {
			for r := top; r < min(top+block, rows); r++ {
				for c := left; c < min(left+block, columns); c++ {
					copy(turned[4*(c*rows+r):], raw[4*(r*columns+c):4*(r*columns+c)+4])
				}
			}
		}
	}
	return turned
}

// denseTail finds the dense layers at the end of the network, with the activations between them, and the name of the value
// that the first of them takes; "" if that is the input itself, flattened.
func (g *network) denseTail(store *model.Store) (layers []nets.DenseLayer, features string) {
	at := g.input
	body := false // whether anything but flattening lies before the layers
	uses := map[string]int{}
	for _, n := range g.proto.Node {
		for _, in := range n.Input {
			uses[in]++
		}
	}
	for _, n := range g.proto.Node {
		if g.static[firstOutput(n)] {
			continue
		}
		open := func() *nets.DenseLayer { // the layer before this operator, if it has no activation yet
			if len(layers) == 0 || layers[len(layers)-1].Activation != nets.ActNone {
				return nil
			}
			return &layers[len(layers)-1]
		}
		weight := func(name string) string { // "" unless it serves this layer alone
			if uses[name] != 1 {
				return ""
			}
			return g.paths[name]
		}
		begin := func(path, bias string) bool {
			if path == "" || open() != nil {
				return false
			}
			if len(layers) == 0 {
				features = at
			}
			layers = append(layers, nets.DenseLayer{Weight: path, Bias: bias})
			return true
		}
		fits := slices.Contains(n.Input, at)
		switch act := denseActivations[n.OpType]; {
		case !fits:
		case n.OpType == "Identity":
		// Of the input, any reshape keeps the batch and makes [batch, values].
		case n.OpType == "Flatten" && intOr(n, "axis", 1) == 1, n.OpType == "Reshape":
			fits = len(layers) == 0
			body = body || n.OpType == "Reshape" && at != g.input
		case act != nets.ActNone:
			if fits = open() != nil; fits {
				open().Activation = act
			}
		case n.OpType == "Gemm":
			bias := ""
			if len(n.Input) > 2 {
				bias = n.Input[2]
			}
			fits = intOr(n, "transA", 0) == 0 && intOr(n, "transB", 0) == 0 && floatOr(n, "alpha", 1) == 1 && floatOr(n, "beta", 1) == 1 &&
				(bias == "" || weight(bias) != "") && begin(weight(n.Input[1]), weight(bias))
		case n.OpType == "MatMul":
			fits = n.Input[0] == at && begin(weight(n.Input[1]), "")
		case n.OpType == "Add":
			other := n.Input[0]
			if other == at {
				other = n.Input[1]
			}
			if fits = weight(other) != "" && open() != nil && open().Bias == ""; fits {
				open().Bias = weight(other)
			}
		default:
			fits = false
		}
		if at = n.Output[0]; !fits { // what came so far is no dense tail, but the body below one
			layers, body = nil, true
		}
	}
	if !body {
		features = ""
	}
	if at != g.output || g.head != nil || len(layers) == 0 || layers[len(layers)-1].Activation != nets.ActNone || !chained(store, layers) {
		return nil, ""
	}
	return layers, features
}

// denseActivations are the operators that a DenseLayer can name.
var denseActivations = map[string]nets.Activation{
	"Relu": nets.ActReLU, "Sigmoid": nets.ActSigmoid, "Softplus": nets.ActSoftplus, "Tanh": nets.ActTanh}

// chained checks that weights are matrices that fit each other, and biases vectors.
func chained(store *model.Store, layers []nets.DenseLayer) bool {
	width := 0
	for i, l := range layers {
		v := store.GetVariable(l.Weight)
		if v == nil || v.Shape().Rank() != 2 || i > 0 && v.Shape().Dimensions[0] != width {
			return false
		}
		width = v.Shape().Dimensions[1]
		if l.Bias != "" && !slices.Equal(store.GetVariable(l.Bias).Shape().Dimensions, []int{width}) {
			return false
		}
	}
	return true
}
