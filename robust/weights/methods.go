package weights

import (
	"fmt"
	"strings"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
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
