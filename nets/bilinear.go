package nets

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// Bilinear differentiates a bilinear operation C(x, k), such as a convolution, to any order, as losses need that hold
// gradients themselves: of meta-learning, of marks in gradients. With the adjoint v of C it is
// all about one trilinear form, <C(x, k), v>: its derivatives are C itself, T(v, k) with respect to x, and K(x, v) with respect
// to k, and the derivatives of these two are the three again.
//
// The gradient of graph.Convolve cannot be differentiated; here only the values of C, T and K are asked of it.
type Bilinear struct {
	value func(x, k *Node) *Node // C
	toX   func(v, k *Node) *Node // T
	toK   func(x, v *Node) *Node // K
}

// NewBilinear tells of an operation on operands of the shapes of x and k; T and K are taken from its gradients.
func NewBilinear(value func(x, k *Node) *Node, x, k *Node) *Bilinear {
	zeroX, zeroK := ZerosLike(x), ZerosLike(k)
	return &Bilinear{
		value: value,
		toX:   func(v, k *Node) *Node { return Gradient(ReduceAllSum(Mul(value(zeroX, k), v)), zeroX)[0] },
		toK:   func(x, v *Node) *Node { return Gradient(ReduceAllSum(Mul(value(x, zeroK), v)), zeroK)[0] },
	}
}

// Apply is C(x, k).
func (t *Bilinear) Apply(x, k *Node) *Node {
	return withGradients(t.value(StopGradient(x), StopGradient(k)),
		gradientOf{x, func(v *Node) *Node { return t.adjointX(v, k) }},
		gradientOf{k, func(v *Node) *Node { return t.adjointK(x, v) }})
}

// adjointX is T(v, k).
func (t *Bilinear) adjointX(v, k *Node) *Node {
	return withGradients(t.toX(StopGradient(v), StopGradient(k)),
		gradientOf{v, func(u *Node) *Node { return t.Apply(u, k) }},
		gradientOf{k, func(u *Node) *Node { return t.adjointK(u, v) }})
}

// adjointK is K(x, v).
func (t *Bilinear) adjointK(x, v *Node) *Node {
	return withGradients(t.toK(StopGradient(x), StopGradient(v)),
		gradientOf{x, func(u *Node) *Node { return t.adjointX(v, u) }},
		gradientOf{v, func(u *Node) *Node { return t.Apply(x, u) }})
}

// gradientOf is an operand with its gradient, as a function of the adjoint of the result.
type gradientOf struct {
	operand *Node
	of      func(v *Node) *Node
}

// withGradients returns value, and makes it depend on operands with the given gradients.
//
// GoMLX lets a gradient be replaced only where it passes an identity. So the value is tied to every operand by a choice that
// never falls on the operand and that XLA removes; the adjoint is noted where it enters, and used where it would reach an operand.
func withGradients(value *Node, operands ...gradientOf) *Node {
	var adjoint *Node
	y, never := StopGradient(value), Const(value.Graph(), false)
	for _, o := range operands {
		tied := IdentityWithCustomGradient(o.operand, func(_, _ *Node) *Node { return o.of(adjoint) })
		first := Reshape(Slice(Reshape(tied, tied.Shape().Size()), AxisRange(0, 1)))
		y = Where(BroadcastToDims(never, y.Shape().Dimensions...), BroadcastToDims(first, y.Shape().Dimensions...), y)
	}
	return IdentityWithCustomGradient(y, func(_, v *Node) *Node {
		adjoint = v
		return v
	})
}
