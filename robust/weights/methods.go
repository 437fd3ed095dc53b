package weights

import (
	"fmt"
	"strings"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/robust/certify"
)

// Method is one way to train the network.
type Method struct {
	Name       string
	About      string  // a line for readers
	Lambda, Mu float64 // of Loss
	Loss       fit.Loss
}

// ATw is the name of adversarial training on weights, which the paper's loss competes with.
const ATw = "AT-w"

// Name is the name of the method with these factors: "CE", "λ=0.003", "λ=0.003, μ=0.01".
func Name(lambda, mu float64) string {
	var parts []string
	if lambda > 0 {
		parts = append(parts, fmt.Sprintf("λ=%g", lambda))
	}
	if mu > 0 {
		parts = append(parts, fmt.Sprintf("μ=%g", mu))
	}
	if parts == nil {
		return "CE"
	}
	return strings.Join(parts, ", ")
}

// Methods are the compared trainings: Loss over the grid of its factors, and adversarial training on weights.
func (c Config) Methods() (methods []Method) {
	c = c.WithDefaults()
	for _, lambda := range c.Lambdas {
		for _, mu := range c.Mus {
			about := "cross-entropy"
			if lambda > 0 {
				about += fmt.Sprintf(" + %g · margin bound at %g", lambda, c.EpsilonTrain)
			}
			if mu > 0 {
				about += fmt.Sprintf(" + %g · norms", mu)
			}
			methods = append(methods, Method{Name(lambda, mu), about, lambda, mu, Loss(lambda, mu, c.EpsilonTrain)})
		}
	}
	const radius = 0.005
	inner := attack.Inner{Threat: robust.Threat{Weights: []float64{radius}}, Steps: 1, NoRandom: true}
	return append(methods, Method{Name: ATw, About: fmt.Sprintf("adversarial training on weights: one ascent step a batch, radius %g", radius),
		Loss: attack.AdversarialTraining(inner)})
}

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
