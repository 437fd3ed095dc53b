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
	// ActLeakyReLU is x, or x/5 where x is negative; for autoencoders.
	ActLeakyReLU Activation = "leaky relu"
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
	case ActLeakyReLU:
		return Max(x, MulScalar(x, 0.2))
	}
	exceptions.Panicf("nets: no activation %q: want relu, sigmoid, softplus, tanh or leaky relu", string(a))
	return nil
}

// softplus is log(1 + exp(x)), split at 0 so that neither half overflows and the slope at 0 is 1/2.
func softplus(x *Node) *Node {
	zero := ZerosLike(x)
	positive := GreaterThan(x, ScalarZero(x.Graph(), x.DType()))
	above, below := Where(positive, x, zero), Where(positive, zero, x)
	return Where(positive, Add(above, Log1P(Exp(Neg(above)))), Log1P(Exp(below)))
}
