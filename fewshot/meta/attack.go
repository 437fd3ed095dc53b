package meta

import (
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/trustbook/trustbook/robust"
)

// Objective builds the scalar that an attack climbs, from perturbed images.
type Objective func(x *Node) *Node

// FGSM builds one step of the fast gradient sign method from a start inside the ball, the attack of Wong, Rice and Kolter
// (arXiv 2001.03994) with its step of 1.25 ε:
//
//	g = ∇objective at clip(x + start, 0, 1),  δ = clip(start + 1.25·ε·sign g, -ε, ε),  x' = clip(x + δ, 0, 1)
//
// x and start have the same shape; epsilon is a scalar. The result is a constant for gradients. Gradients are taken at
// the clipped point and not through the clip, which would freeze pixels at 0 and 1.
func FGSM(x, start, epsilon *Node, objective Objective) *Node {
	x, start = StopGradient(x), StopGradient(start)
	step := Mul(MulScalar(epsilon, 1.25), Sign(ascend(x, start, objective)))
	return StopGradient(ClipScalar(Add(x, Clip(Add(start, step), Neg(epsilon), epsilon)), 0, 1))
}

// PGD builds so many steps of projected gradient ascent in the l-infinity ball (Madry et al., arXiv 1706.06083), from a
// start inside it:
//
//	u = clip(x + δ + step·sign ∇objective, 0, 1),  δ = clip(u - x, -ε, ε)
//
// The result is a constant for gradients.
func PGD(x, start, epsilon, step *Node, steps int, objective Objective) *Node {
	x, delta := StopGradient(x), StopGradient(start)
	for range steps {
		delta, _ = pgdStep(x, delta, epsilon, step, objective)
	}
	return StopGradient(ClipScalar(Add(x, delta), 0, 1))
}

// pgdStep returns the next perturbation, and the gradient that it followed.
func pgdStep(x, delta, epsilon, step *Node, objective Objective) (next, gradient *Node) {
	gradient = ascend(x, delta, objective)
	u := ClipScalar(Add(Add(x, delta), Mul(step, Sign(gradient))), 0, 1)
	return Clip(Sub(u, x), Neg(epsilon), epsilon), gradient
}

// ascend is the gradient of the objective at the perturbed images.
func ascend(x, delta *Node, objective Objective) *Node {
	// A gradient with respect to what comes out of StopGradient itself would be zero.
	u := Identity(StopGradient(ClipScalar(Add(x, delta), 0, 1)))
	return StopGradient(robust.Slopes(objective(u), u)[0])
}

// chance draws random numbers in a graph, from a state that the caller gives.
type chance struct{ state *Node }

// inBall draws from U(-epsilon, epsilon), in the shape of x.
func (c *chance) inBall(x, epsilon *Node) *Node {
	var u *Node
	c.state, u = RandomUniform(c.state, shapes.Make(x.DType(), x.Shape().Dimensions...))
	return Mul(AddScalar(MulScalar(u, 2), -1), epsilon)
}

// constants stops the gradients of all nodes.
func constants(nodes []*Node) []*Node {
	out := make([]*Node, len(nodes))
	for i, n := range nodes {
		out[i] = StopGradient(n)
	}
	return out
}
