package joint

import (
	. "github.com/gomlx/gomlx/core/graph"
)

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
