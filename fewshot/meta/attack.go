package meta

import (
	"math"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/robust"
)

// Objective builds the scalar that an attack climbs, from perturbed images.
type Objective func(x *Node) *Node

// Ball is what perturbed examples keep to: the norm in which each is near to its own, and the range of legal values.
type Ball struct {
	Norm robust.Norm
	Box  robust.Box
}

// boundless is the box of perturbations themselves: images have bounds, differences of images none.
var boundless = robust.Box{Lower: math.Inf(-1), Upper: math.Inf(1)}

// FGSM builds one step of the fast gradient sign method from a start inside the ball, the attack of Wong, Rice and Kolter
// (arXiv 2001.03994) with its step of 1.25 ε; steepest is ε·sign for l-infinity:
//
//	g = ∇objective at clip(x + start),  δ = project(start + steepest(g, 1.25·ε)),  x' = clip(x + δ)
//
// x and start have shape [tasks, n, ...]; epsilon is a scalar. The result is a constant for gradients. Gradients are taken
// at the clipped point and not through the clip, which would freeze pixels at their bounds.
func (b Ball) FGSM(x, start, epsilon *Node, objective Objective) *Node {
	x, start = StopGradient(x), StopGradient(start)
	at, gradient := b.slope(x, start, objective)
	moved := Add(rows(start), robust.Steepest(b.Norm, gradient, at, MulScalar(epsilon, 1.25), b.Box))
	return b.perturbed(x, ReshapeLike(b.project(moved, epsilon), x))
}

// PGD builds so many steps of projected gradient ascent (Madry et al., arXiv 1706.06083), from a start inside the ball:
//
//	u = clip(x + δ + steepest(∇objective, step)),  δ = project(u - x)
//
// Projections move towards x, so that they stay in the box. The result is a constant for gradients.
func (b Ball) PGD(x, start, epsilon, step *Node, steps int, objective Objective) *Node {
	x, delta := StopGradient(x), StopGradient(start)
	for range steps {
		delta, _ = b.pgdStep(x, delta, epsilon, step, objective)
	}
	return b.perturbed(x, delta)
}

// pgdStep returns the next perturbation, and the gradient that it followed, [tasks·n, values].
func (b Ball) pgdStep(x, delta, epsilon, step *Node, objective Objective) (next, gradient *Node) {
	at, gradient := b.slope(x, delta, objective)
	u := b.clip(Add(rows(Add(x, delta)), robust.Steepest(b.Norm, gradient, at, step, b.Box)))
	return ReshapeLike(b.project(Sub(u, rows(x)), epsilon), x), gradient
}

// slope is the objective's gradient at the perturbed examples, and these, one a row.
func (b Ball) slope(x, delta *Node, objective Objective) (at, gradient *Node) {
	// A gradient with respect to what comes out of StopGradient itself would be zero.
	at = Identity(StopGradient(rows(b.clip(Add(x, delta)))))
	return at, StopGradient(robust.Slopes(objective(ReshapeLike(at, x)), at)[0])
}

// project brings perturbations, one a row, into the ball.
func (b Ball) project(delta, epsilon *Node) *Node {
	return robust.Project(b.Norm, delta, ZerosLike(delta), epsilon, boundless)
}

// perturbed adds a perturbation to examples.
func (b Ball) perturbed(x, delta *Node) *Node { return StopGradient(b.clip(Add(x, delta))) }

func (b Ball) clip(x *Node) *Node { return ClipScalar(x, b.Box.Lower, b.Box.Upper) }

// rows flattens examples [tasks, n, ...] to [tasks·n, values].
func rows(x *Node) *Node {
	d := x.Shape().Dimensions
	return Reshape(x, d[0]*d[1], -1)
}

// CheckRadius reports a radius that is no finite number from 0, or that no two legal values are apart.
func (b Ball) CheckRadius(epsilon float64) error {
	switch width := b.Box.Upper - b.Box.Lower; {
	case b.Norm < robust.Linf || b.Norm > robust.L1:
		return errors.Errorf("norm %d: want linf, l2 or l1", b.Norm)
	case !(epsilon >= 0) || math.IsInf(epsilon, 1):
		return errors.Errorf("epsilon = %g: must be finite and at least 0", epsilon)
	case b.Norm == robust.Linf && epsilon > width:
		return errors.Errorf("epsilon %g > %g: images are in [%g, %g], did you mean %g/255?", epsilon, width, b.Box.Lower, b.Box.Upper, epsilon)
	}
	return nil
}

// chance draws random numbers in a graph, from a state that the caller gives.
type chance struct{ state *Node }

// start draws perturbations for examples, in the ball of radius epsilon.
func (c *chance) start(b Ball, x, epsilon *Node) *Node {
	flat := rows(x).Shape()
	var u *Node
	c.state, u = robust.RandomInUnitBall(b.Norm, c.state, shapes.Make(x.DType(), flat.Dimensions...))
	return ReshapeLike(Mul(u, epsilon), x)
}

// constants stops the gradients of all nodes.
func constants(nodes []*Node) []*Node {
	out := make([]*Node, len(nodes))
	for i, n := range nodes {
		out[i] = StopGradient(n)
	}
	return out
}
