package weights

import (
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/robust/certify"
)

// Loss is the theory-driven training loss, a batch mean:
//
//	CE(f_W(x), y) + lambda · max_{j≠y} B_yj(x; epsilon) + mu · Σ_k ||W^k||_∞
//
// The first factor weighs how far a perturbation of all weights by epsilon can lower the margin, the second the norms that
// the Rademacher complexity grows with. Gradients go through all of B, the activations in it included. It needs a dense
// network with non-negative activations (certify.Covers), and some epochs of plain cross-entropy before it: in a network
// that has not learned anything yet the bound dwarfs the cross-entropy.
//
// With inputs of another scale than [0, 1] take another lambda: B grows with ||x||_1.
func Loss(lambda, mu, epsilon float64) fit.Loss {
	if lambda == 0 && mu == 0 {
		return fit.CrossEntropy()
	}
	return certify.Regularized(fit.CrossEntropy(), certify.Regularizer{LambdaWeight: lambda, EpsilonWeight: epsilon, Mu: mu})
}
