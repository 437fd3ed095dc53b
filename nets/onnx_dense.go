package nets

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/ml/model"
)

// transposeDense stores the weights of Gemm nodes that have them as [outputs, inputs], as PyTorch exports them, the other
// way round, so that all dense layers of a store look alike.
func (g *onnxGraph) transposeDense() {
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
		turned := make([]byte, len(t.RawData))
		for r := range rows {
			for c := range columns {
				copy(turned[4*(c*rows+r):], t.RawData[4*(r*columns+c):4*(r*columns+c)+4])
			}
		}
		t.RawData, t.Dims = turned, []int64{int64(columns), int64(rows)}
		drop(n, "transB")
	}
}

// denseChain lists the layers if the network is nothing but dense layers with ReLU between them; else nil.
func (g *onnxGraph) denseChain(store *model.Store, inputs int) []DenseLayer {
	var layers []DenseLayer
	at := g.input
	relu := true // a ReLU, or the input, lies before the next layer
	for _, n := range g.proto.Node {
		if g.static[n.Output[0]] {
			continue
		}
		other := func() string { // the other operand of an Add or MatMul
			if n.Input[0] == at {
				return n.Input[1]
			}
			return n.Input[0]
		}
		switch n.OpType {
		case "Identity":
		case "Flatten":
			if len(layers) > 0 || intOr(n, "axis", 1) != 1 {
				return nil
			}
		case "Reshape": // before the first layer: any that keeps the batch makes [batch, values]
			if len(layers) > 0 {
				return nil
			}
		case "Relu":
			if relu {
				return nil
			}
			relu = true
		case "Gemm":
			if !relu || intOr(n, "transA", 0) != 0 || intOr(n, "transB", 0) != 0 || floatOr(n, "alpha", 1) != 1 || floatOr(n, "beta", 1) != 1 {
				return nil
			}
			layer := DenseLayer{Weight: g.paths[n.Input[1]]}
			if len(n.Input) > 2 && n.Input[2] != "" {
				if layer.Bias = g.paths[n.Input[2]]; layer.Bias == "" {
					return nil
				}
			}
			layers, relu = append(layers, layer), false
		case "MatMul":
			path := g.paths[n.Input[1]]
			if !relu || path == "" {
				return nil
			}
			layers, relu = append(layers, DenseLayer{Weight: path}), false
		case "Add":
			path := g.paths[other()]
			if relu || path == "" || layers[len(layers)-1].Bias != "" {
				return nil
			}
			layers[len(layers)-1].Bias = path
		default:
			return nil
		}
		if !slices.Contains(n.Input, at) {
			return nil
		}
		at = n.Output[0]
	}
	if at != g.proto.Output[0].Name || len(layers) == 0 || relu || !chained(store, layers, inputs) {
		return nil
	}
	return layers
}

// chained checks that weights are matrices that fit each other, the first of them the input, and biases vectors.
func chained(store *model.Store, layers []DenseLayer, width int) bool {
	for _, l := range layers {
		v := store.GetVariable(l.Weight)
		if v == nil || v.Shape().Rank() != 2 || v.Shape().Dimensions[0] != width {
			return false
		}
		width = v.Shape().Dimensions[1]
		if l.Bias != "" && !slices.Equal(store.GetVariable(l.Bias).Shape().Dimensions, []int{width}) {
			return false
		}
	}
	return true
}
