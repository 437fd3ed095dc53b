package robust

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// newtons is how many Newton steps Reach makes. Each takes in all pixels that saturate at the length reached so far; on
// images a handful of steps ends it.
const newtons = 20

// Reach returns, of each example, the shortest displacement d in the norm with w·d = gain and x+d in the box: the way
// from x to the hyperplane of a linearised decision boundary (Croce and Hein, arXiv 1907.02044, section 3.1). x and w
// are [batch, values], gain [batch, 1] of either sign. Where the box holds no such point, d is the displacement with
// the largest gain. x must lie in the box.
//
// All three have the form d_i = sign(w_i)·m_i with 0 <= m_i <= room_i, where room is how far the box lets the pixel
// move: m = min(t, room) for linf and m = min(t·|w|, room) for l2 with the t that makes up the gain, found by Newton's
// method, which on such a concave and piecewise linear function ends at the exact solution; for l1 the pixels of
// largest |w| move as far as they can, the last of them in part.
func Reach(norm Norm, x, w, gain *Node, box Box) *Node {
	low, high := room(x, box)
	w = Where(BroadcastToShape(IsNegative(gain), w.Shape()), Neg(w), w)
	space := Where(IsPositive(w), high, Neg(low))
	sum := func(z *Node) *Node { return ReduceAndKeep(z, ReduceSum, -1) }
	// Weights relative to the largest one: squares of tiny gradients would underflow.
	most := MaxScalar(ReduceAndKeep(Abs(w), ReduceMax, -1), 1e-30)
	u, g := Div(Abs(w), most), MinScalar(Div(Abs(gain), most), 1e30)
	zeros := ZerosLike(u)
	var m *Node
	switch norm {
	case Linf, L2:
		moved := func(t *Node) *Node { // of pixels that the box does not stop, per unit of t
			if norm == Linf {
				return BroadcastToShape(t, u.Shape())
			}
			return Mul(u, t)
		}
		slope := u
		if norm == L2 {
			slope = Square(u)
		}
		t := ZerosLike(g)
		for range newtons {
			full := GreaterOrEqual(moved(t), space)
			free := sum(Where(full, zeros, slope))
			next := Div(Sub(g, sum(Where(full, Mul(u, space), zeros))), MaxScalar(free, 1e-30))
			t = Where(IsPositive(free), Max(t, next), t)
		}
		m = Min(moved(t), space)
	default: // L1
		u = Where(IsPositive(space), u, zeros)
		above := func(t *Node) *Node { return Where(GreaterThan(u, t), space, zeros) }
		ones := OnesLike(g)
		share := bisect(ZerosLike(g), ones, func(s *Node) *Node {
			return LessOrEqual(sum(Mul(u, above(OneMinus(s)))), g)
		})
		threshold := OneMinus(share)
		full := above(threshold)
		rest := Where(GreaterThan(u, threshold), zeros, u)
		// What is missing comes from the next pixel; pixels that tie for that (to the precision of the search) share it.
		next := AddScalar(ReduceAndKeep(rest, ReduceMax, -1), -1e-7)
		tied := Where(And(IsPositive(rest), GreaterOrEqual(rest, next)), space, zeros)
		part := Div(Sub(g, sum(Mul(u, full))), MaxScalar(sum(Mul(u, tied)), 1e-30))
		m = Add(full, Mul(tied, ClipScalar(part, 0, 1)))
	}
	m = Where(BroadcastToShape(LessOrEqual(sum(Mul(u, space)), g), m.Shape()), space, m)
	return Mul(Sign(w), m)
}
