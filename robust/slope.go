package robust

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// Slopes builds the gradients of a scalar, finite everywhere: all attacks, and the training losses made of their steps,
// take them from here. A square root has no finite slope at 0, nor has a logarithm or the norm of a black pixel, and one
// such slope turns everything that is normalized with it, the whole image in l2 and l1, into NaN. Here
//
//   - NaN becomes 0: the pixel has no vote;
//   - an infinite slope keeps its sign and gets the mean size of the image's finite slopes other than 0 (or 1, if there
//     are none). A step takes the pixel off the kink, and then it has a slope of its own. Without any vote, black pixels
//     behind a gamma correction would never move.
//
// The first axis of each of with is that of the examples; what has less than two axes is one example. Panics on error.
func Slopes(loss *Node, with ...*Node) []*Node {
	slopes := Gradient(loss, with...)
	for i, g := range slopes {
		examples := 1
		if g.Rank() > 1 {
			examples = g.Shape().Dimensions[0]
		}
		rows := Reshape(g, examples, -1)
		finite := Where(IsFinite(rows), rows, ZerosLike(rows))
		infinite := And(Equal(rows, rows), LogicalNot(IsFinite(rows)))
		votes := Where(infinite, Mul(Sign(rows), BroadcastToShape(meanSize(finite), rows.Shape())), finite)
		slopes[i] = ReshapeLike(votes, g)
	}
	return slopes
}

// meanSize is the mean absolute value of each row [batch, values] over all but zeros, [batch, 1]; 1 where all are zero.
func meanSize(rows *Node) *Node {
	present := ConvertDType(NotEqual(rows, ZerosLike(rows)), rows.DType())
	count := ReduceAndKeep(present, ReduceSum, -1)
	// Each is divided by the count before the sum, which may overflow.
	mean := ReduceAndKeep(Div(Abs(rows), MaxScalar(count, 1)), ReduceSum, -1)
	return Where(IsPositive(count), mean, OnesLike(mean))
}

// vast is the size up to which slopes can be squared and summed up over millions of pixels in float32.
const vast = 1e15

// Vastness builds how many times the largest of each row of slopes [batch, values] is beyond the size up to which float32
// can square them and sum them up, [batch, 1]: 1 for all but slopes above 1e15. Whoever measures the length of slopes
// divides them by it first.
func Vastness(slopes *Node) *Node {
	return MaxScalar(DivScalar(ReduceAndKeep(Abs(slopes), ReduceMax, -1), vast), 1)
}
