package robust

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// The graph functions of this file work on flattened examples [batch, values] and panic on error. Box is the range of
// legal values.

// Box is the range of legal pixel values.
type Box struct{ Lower, Upper float64 }

// bisections halve an interval of relative size 1 to below float32 precision.
const bisections = 26

// inner is the share of the radius that projections aim at, so that float32 rounding does not leave the ball.
const inner = 1 - 5e-7

// Project returns the point of {z : ||z-clean|| <= epsilon} ∩ box that is nearest to x in Euclidean distance, exactly
// (to float32 precision) for all three norms. epsilon is a scalar; clean must lie in the box.
//
// For l2 and l1 the projection onto ball and box together is clip(s·u) and clip(shrink(u, t)) of u = x-clean, with the
// s or t at which the norm is epsilon (from the KKT conditions; for l1 see Croce and Hein, arXiv 2103.01208); both are
// found by bisection.
func Project(norm Norm, x, clean, epsilon *Node, box Box) *Node {
	low, high := room(clean, box)
	u := Sub(x, clean)
	switch norm {
	case Linf:
		return displace(clean, Clip(u, Neg(epsilon), epsilon), box)
	case L2:
		at := func(s *Node) *Node { return Max(Min(Mul(u, s), high), low) }
		length := func(z *Node) *Node { return Length(L2, z) }
		ones := OnesLike(length(u))
		s := bisect(ZerosLike(ones), ones, func(s *Node) *Node {
			return LessOrEqual(length(at(s)), MulScalar(epsilon, inner))
		})
		s = Where(LessOrEqual(length(at(ones)), MulScalar(epsilon, inner)), ones, s)
		return displace(clean, within(at(s), epsilon, length), box)
	default: // L1
		limit := Where(IsPositive(u), high, Neg(low))
		at := func(t *Node) *Node { return Min(MaxScalar(Sub(Abs(u), t), 0), limit) }
		length := func(z *Node) *Node { return ReduceAndKeep(z, ReduceSum, -1) }
		most := ReduceAndKeep(Abs(u), ReduceMax, -1)
		// The feasible side is the upper end here, so search in 1-t.
		t := bisect(ZerosLike(most), OnesLike(most), func(s *Node) *Node {
			return LessOrEqual(length(at(Mul(OneMinus(s), most))), MulScalar(epsilon, inner))
		})
		t = Mul(OneMinus(t), most)
		t = Where(LessOrEqual(length(at(ZerosLike(most))), MulScalar(epsilon, inner)), ZerosLike(most), t)
		return displace(clean, Mul(Sign(u), within(at(t), epsilon, length)), box)
	}
}

// Shrink returns clean + s·(x-clean) with the largest s <= 1 that is inside the ball, clipped to the box. It costs much
// less than Project for l2 and l1; where bounds are active, it is not the nearest point.
func Shrink(norm Norm, x, clean, epsilon *Node, box Box) *Node {
	if norm == Linf {
		return Project(Linf, x, clean, epsilon, box)
	}
	return displace(clean, within(Sub(x, clean), epsilon, func(z *Node) *Node { return Length(norm, z) }), box)
}

// Steepest returns the displacement of length size (a scalar) that raises a loss with the given gradient most, to
// first order: size·sign(g) for l-infinity, size·g/||g|| for l2. For l1 it spends size on the pixels with the largest
// |g|, each up to the room that the box leaves at x.
func Steepest(norm Norm, gradient, x, size *Node, box Box) *Node {
	switch norm {
	case Linf:
		return Mul(Sign(gradient), size)
	case L2:
		// Divided by the largest value first: squares of tiny gradients would underflow.
		unit := Div(gradient, MaxScalar(ReduceAndKeep(Abs(gradient), ReduceMax, -1), 1e-30))
		length := Sqrt(ReduceAndKeep(Square(unit), ReduceSum, -1))
		return Mul(unit, Div(size, MaxScalar(length, 1e-30)))
	default: // L1
		low, high := room(x, box)
		space := Where(IsPositive(gradient), high, Neg(low))
		weight := Where(IsPositive(space), Abs(gradient), ZerosLike(gradient))
		most := ReduceAndKeep(weight, ReduceMax, -1)
		above := func(t *Node) *Node { // the room of pixels whose weight is above t
			return Where(GreaterThan(weight, t), space, ZerosLike(space))
		}
		sum := func(z *Node) *Node { return ReduceAndKeep(z, ReduceSum, -1) }
		// The smallest threshold at which all pixels above it fit; searched as a share of the largest weight.
		share := bisect(ZerosLike(most), OnesLike(most), func(s *Node) *Node {
			return LessOrEqual(sum(above(Mul(OneMinus(s), most))), size)
		})
		threshold := Mul(OneMinus(share), most)
		full := above(threshold)
		rest := Where(GreaterThan(weight, threshold), ZerosLike(weight), weight)
		// What is left goes to the next pixel; pixels that tie for that (to the precision of the search) share it.
		next := Sub(ReduceAndKeep(rest, ReduceMax, -1), MulScalar(most, 1e-7))
		tied := Where(And(IsPositive(rest), GreaterOrEqual(rest, next)), space, ZerosLike(space))
		share = Div(Sub(size, sum(full)), MaxScalar(sum(tied), 1e-30))
		return Mul(Sign(gradient), Add(full, Mul(tied, ClipScalar(share, 0, 1))))
	}
}

// RandomInBall draws points from {z : ||z-clean|| <= epsilon} as [RandomInUnitBall] does, then clips them to the box. It
// returns the new state of the random number generator.
func RandomInBall(norm Norm, state, clean, epsilon *Node, box Box) (newState, x *Node) {
	state, u := RandomInUnitBall(norm, state, clean.Shape())
	return state, displace(clean, Mul(u, MulScalar(epsilon, inner)), box)
}

// RandomInUnitBall draws a displacement of length at most 1 (but for rounding) for each row of the shape [batch, values]:
// uniformly for linf and l1; for l2 in a uniform direction at a length uniform in [0, 1], as torchattacks does (uniform in
// volume would put nearly all points of an image's many dimensions on the sphere, from where the steps do not find back).
// It returns the new state of the random number generator.
func RandomInUnitBall(norm Norm, state *Node, shape shapes.Shape) (newState, u *Node) {
	column := shapes.Make(shape.DType, shape.Dimensions[0], 1)
	switch norm {
	case Linf:
		state, u = RandomUniform(state, shape)
		u = MulScalar(AddScalar(u, -0.5), 2)
	case L2: // a Gaussian direction
		var r *Node
		state, u = RandomNormal(state, shape)
		state, r = RandomUniform(state, column)
		u = Mul(u, Div(r, MaxScalar(Sqrt(ReduceAndKeep(Square(u), ReduceSum, -1)), 1e-30)))
	default: // L1: exponential spacings with random signs; the extra exponential makes it uniform inside the ball
		var sign, rest *Node
		state, u = RandomUniform(state, shape)
		state, sign = RandomUniform(state, shape)
		state, rest = RandomUniform(state, column)
		u, rest = Neg(Log(OneMinus(u))), Neg(Log(OneMinus(rest)))
		u = Div(u, Add(ReduceAndKeep(u, ReduceSum, -1), rest))
		u = Mul(u, SignPlusOrMinus(AddScalar(sign, -0.5)))
	}
	return state, u
}

// Length builds the norm of each row of d [batch, values], as [batch, 1].
func Length(norm Norm, d *Node) *Node {
	switch norm {
	case Linf:
		return ReduceAndKeep(Abs(d), ReduceMax, -1)
	case L2:
		return Sqrt(ReduceAndKeep(Square(d), ReduceSum, -1))
	default:
		return ReduceAndKeep(Abs(d), ReduceSum, -1)
	}
}

// within shrinks a displacement whose length, summed up in float64, is above epsilon: sums over many pixels drift in
// float32.
func within(d, epsilon *Node, length func(*Node) *Node) *Node {
	reached := length(ConvertDType(d, dtypes.Float64))
	scale := Div(ConvertDType(MulScalar(epsilon, inner), dtypes.Float64), MaxScalar(reached, 1e-300))
	return Mul(d, ConvertDType(MinScalar(scale, 1), d.DType()))
}

// displace returns clean + d inside the box. Where rounding would take a pixel farther than d, it is moved back a
// float32 step or two: the errors of thousands of pixels can add up, and those of pixels up to 255 are large.
func displace(clean, d *Node, box Box) *Node {
	x := Add(clean, d)
	step := Mul(Sign(d), MulScalar(Abs(x), 0x1p-23))
	back := Sub(x, step)
	back = Where(IsPositive(d), Max(back, clean), Min(back, clean))
	x = Where(GreaterThan(Abs(Sub(x, clean)), Abs(d)), back, x)
	return ClipScalar(x, box.Lower, box.Upper)
}

// bisect returns the largest s (to a relative 2^-bisections) in [from, to] that is feasible, given that from is and
// that feasibility ends at one point.
func bisect(from, to *Node, feasible func(s *Node) *Node) *Node {
	for range bisections {
		middle := MulScalar(Add(from, to), 0.5)
		ok := feasible(middle)
		from, to = Where(ok, middle, from), Where(ok, to, middle)
	}
	return from
}

// room returns how far each pixel may move down (<= 0) and up (>= 0) inside the box.
func room(x *Node, box Box) (low, high *Node) {
	return Neg(AddScalar(x, -box.Lower)), Neg(AddScalar(x, -box.Upper))
}
