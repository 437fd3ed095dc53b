package joint

import (
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// layerIndex tells which of the model's weight tensors make up a layer; bias is -1 if it has none.
type layerIndex struct{ weight, bias int }

// layerTensors lists the layers of a dense ReLU network.
func layerTensors(m *nets.Model) ([]layerIndex, error) {
	if m.Dense == nil {
		return nil, errors.Errorf("joint: %s is not made of dense layers with ReLU alone: the l-infinity bound covers no other", m.Name)
	}
	var layers []layerIndex
	for _, l := range m.Dense {
		layers = append(layers, layerIndex{slices.Index(m.WeightPaths, l.Weight), slices.Index(m.WeightPaths, l.Bias)})
	}
	return layers, nil
}

// layerNodes returns the layers of a dense ReLU network as they stand in the graph. Panics for other networks.
func layerNodes(m *nets.Model, scope *model.Scope, g *Graph) []layer {
	if _, err := layerTensors(m); err != nil {
		exceptions.Panicf("%v", err)
	}
	value := func(path string) *Node { return scope.Store().GetVariable(path).NodeValue(g) }
	var layers []layer
	for _, l := range m.Dense {
		next := layer{weight: value(l.Weight)}
		if l.Bias != "" {
			next.bias = value(l.Bias)
		}
		layers = append(layers, next)
	}
	return layers
}

// forward builds the logits of a dense ReLU network, x [batch, inputs].
func forward(layers []layer, x *Node) *Node {
	last := len(layers) - 1
	for _, l := range layers[:last] {
		x = relu(affine(l, x))
	}
	return affine(layers[last], x)
}

// forwardEach is forward with a weight perturbation for each example: deltas are [batch, ...] in the order in which
// the layers list their tensors (weight, then bias if there is one).
func forwardEach(layers []layer, deltas []*Node, x *Node) *Node {
	last := len(layers) - 1
	for k, l := range layers {
		y := Add(affine(l, x), Einsum("bi,bio->bo", x, deltas[0]))
		deltas = deltas[1:]
		if l.bias != nil {
			y, deltas = Add(y, deltas[0]), deltas[1:]
		}
		if x = y; k < last {
			x = relu(y)
		}
	}
	return x
}

// layerOf tells which layer the i-th tensor belongs to.
func layerOf(layers []layer, i int) int {
	for k, l := range layers {
		if i--; i < 0 {
			return k
		}
		if l.bias != nil {
			if i--; i < 0 {
				return k
			}
		}
	}
	return len(layers) - 1
}
