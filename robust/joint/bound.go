package joint

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// The margin bound for f_W(x) = W^L ρ(W^{L-1} ... ρ(W^1 x)), ρ = ReLU, |ξ| <= ε_x on inputs, |Δ^k| <= ε_k on weights:
//
//	ā^1, a̲^1 = W^1 x ± [ε_x Σ_c|W^1_rc| + ε_1 (||x||_1 + d ε_x)]
//	ā^k      = [W^k+ε_k]_+ z̄^{k-1} - [W^k+ε_k]_- z̲^{k-1},   a̲^k = [W^k-ε_k]_+ z̲^{k-1} - [W^k-ε_k]_- z̄^{k-1}
//	u_0      = ||x||_1 + d ε_x,   u_k = ||z̄^k||_1
//	e_0      = ε_x,   e_k = ||W^k||_∞ e_{k-1} + ε_k u_{k-1}
//	B_ij     = ||W^L_i - W^L_j||_1 e_{L-1} + 2 ε_L u_{L-1}
//	margin f_i - f_j of the perturbed network on the perturbed input  >=  f_i - f_j - B_ij
//
// By induction |ẑ^k - z^k| <= e_k: |W^k(ẑ-z)| <= ||W^k||_∞ e_{k-1} and |Δ^k ẑ| <= ε_k ||ẑ||_1 <= ε_k u_{k-1} (ReLU is
// 1-Lipschitz, and ẑ is non-negative and below z̄). A bias b^k that is perturbed like a weight adds a constant input
// of 1: u_{k-1} becomes u_{k-1} + 1.
//
// Weights are held as [inputs, outputs], so rows of the formulas are columns here.

// layer is one dense layer in the graph: weight [inputs, outputs]; bias [outputs] or nil.
type layer struct{ weight, bias *Node }

// bounds are the graph's results, for labels y and every class j; the column of y itself is 0.
type bounds struct {
	logits *Node // [batch, classes]
	margin *Node // f_y - f_j
	drop   *Node // B_yj
	ibp    *Node // interval lower bound on the perturbed margin
}

// boundGraph builds the bounds. x is [batch, inputs], labels int32 [batch]; the radii are scalars, one a layer for the
// weights. Panics on error.
func boundGraph(layers []layer, x, labels, epsilonInput *Node, epsilonWeights []*Node) bounds {
	if len(epsilonWeights) != len(layers) {
		exceptions.Panicf("joint: %d weight radii for %d layers", len(epsilonWeights), len(layers))
	}
	inputs := float64(x.Shape().Dimensions[1])
	last := len(layers) - 1
	z, upper, lower := x, x, x
	u := Add(ReduceAndKeep(Abs(x), ReduceSum, -1), MulScalar(epsilonInput, inputs)) // u_{k-1} [batch, 1]
	e := Mul(OnesLike(u), epsilonInput)                                             // e_{k-1} [batch, 1]
	for k, l := range layers[:last] {
		mass := u
		if l.bias != nil {
			mass = OnePlus(u)
		}
		if k == 0 {
			center := affine(l, x)
			radius := Add(Mul(InsertAxes(ReduceSum(Abs(l.weight), 0), 0), epsilonInput), Mul(mass, epsilonWeights[0]))
			upper, lower = Add(center, radius), Sub(center, radius)
		} else {
			upper, lower = intervalStep(l, upper, lower, epsilonWeights[k])
		}
		e = Add(Mul(e, infinityNorm(l.weight)), Mul(mass, epsilonWeights[k]))
		z, upper, lower = relu(affine(l, z)), relu(upper), relu(lower)
		u = ReduceAndKeep(upper, ReduceSum, -1)
	}

	out := layers[last]
	mass, eps := u, epsilonWeights[last]
	if out.bias != nil {
		mass = OnePlus(u)
	}
	classes := out.weight.Shape().Dimensions[1]
	hot := OneHot(labels, classes, x.DType())
	// d[b, h, j] = W_y - W_j
	own := InsertAxes(MatMul(hot, Transpose(out.weight, 0, 1)), -1)
	d := Sub(own, InsertAxes(out.weight, 0))
	logits := affine(out, z)
	margin := Sub(ReduceAndKeep(Mul(logits, hot), ReduceSum, -1), logits)
	others := OneMinus(hot)
	drop := Add(Mul(ReduceSum(Abs(d), 1), e), Mul(mass, MulScalar(eps, 2)))
	result := bounds{logits: logits, margin: Mul(margin, others), drop: Mul(drop, others)}
	if last == 0 { // a linear classifier: inputs may be negative, and the drop is exact but for the bounds of the box
		result.ibp = Mul(Sub(margin, drop), others)
		return result
	}
	worst := Sub(d, MulScalar(eps, 2))
	ibp := ReduceSum(Sub(
		Mul(MaxScalar(worst, 0), InsertAxes(lower, -1)),
		Mul(MaxScalar(Neg(worst), 0), InsertAxes(upper, -1))), 1)
	if out.bias != nil {
		biases := BroadcastPrefix(out.bias, 1)
		gap := Sub(ReduceAndKeep(Mul(hot, biases), ReduceSum, -1), biases)
		ibp = Add(ibp, Sub(gap, MulScalar(eps, 2)))
	}
	result.ibp = Mul(ibp, others)
	return result
}

// intervalStep propagates an interval of non-negative activations through a layer whose weights move by epsilon.
func intervalStep(l layer, upper, lower, epsilon *Node) (newUpper, newLower *Node) {
	plus, minus := Add(l.weight, epsilon), Sub(l.weight, epsilon)
	newUpper = Sub(MatMul(upper, MaxScalar(plus, 0)), MatMul(lower, MaxScalar(Neg(plus), 0)))
	newLower = Sub(MatMul(lower, MaxScalar(minus, 0)), MatMul(upper, MaxScalar(Neg(minus), 0)))
	if l.bias != nil {
		newUpper = Add(newUpper, InsertAxes(Add(l.bias, epsilon), 0))
		newLower = Add(newLower, InsertAxes(Sub(l.bias, epsilon), 0))
	}
	return newUpper, newLower
}

func affine(l layer, x *Node) *Node {
	y := MatMul(x, l.weight)
	if l.bias != nil {
		y = Add(y, InsertAxes(l.bias, 0))
	}
	return y
}

// infinityNorm is the largest sum of |weights| into one output.
func infinityNorm(w *Node) *Node { return ReduceAllMax(ReduceSum(Abs(w), 0)) }

func relu(x *Node) *Node { return MaxScalar(x, 0) }

// upperLoss is the bound on the cross-entropy under perturbation, [batch]: ln Σ_j exp(-(m_j - B_yj)), the j = y term
// being 1.
func upperLoss(b bounds) *Node {
	z := Sub(b.drop, b.margin)
	most := StopGradient(ReduceAndKeep(z, ReduceMax, -1))
	return Add(Squeeze(most, -1), Log(ReduceSum(Exp(Sub(z, most)), -1)))
}

// worstDrop is max_{j≠y} B_yj, [batch].
func worstDrop(b bounds) *Node { return ReduceMax(b.drop, -1) }
