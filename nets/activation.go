package nets

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// Activation is the function between two dense layers.
type Activation string

// The activations of dense layers.
const (
	ActNone     Activation = "" // as at the logits
	ActReLU     Activation = "relu"
	ActSigmoid  Activation = "sigmoid"
	ActSoftplus Activation = "softplus" // ln(1 + exp(x))
	ActTanh     Activation = "tanh"
)

// Graph applies the activation. Panics if there is none of that name.
func (a Activation) Graph(x *Node) *Node {
	switch a {
	case ActNone:
		return x
	case ActReLU:
		return ReLU(x)
	case ActSigmoid:
		return Sigmoid(x)
	case ActSoftplus:
		return softplus(x)
	case ActTanh:
		return Tanh(x)
	}
	exceptions.Panicf("nets: no activation %q: want relu, sigmoid, softplus or tanh", string(a))
	return nil
}
