package joint

import (
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/robust/certify"
	"github.com/trustbook/trustbook/study"
)

// Method is one way to train the network.
type Method struct {
	Name  string
	About string   // a line for readers
	Loss  fit.Loss // after the warm-up, which is cross-entropy for all
}

// The compared methods.
const (
	Standard = "Standard"
	ATx      = "AT-x"
	ATw      = "AT-w"
	ATJoint  = "AT-joint"
	AWP      = "AWP"
	Reg      = "Reg"
	ATxRegW  = "AT-x+Reg-w"
)

// warmUp is the loss of every method's first epochs. Adversarial training from random weights may stall: it did for one
// seed of five, at the accuracy of guessing, and a network that never learned to see says nothing about attacks.
func warmUp() fit.Loss { return fit.CrossEntropy() }

// Methods returns the compared trainings in the order in which tables show them. The settings are ours: the paper's
// were not to be had.
func Methods() []Method {
	inner := func(input, weight float64) attack.Inner {
		return attack.Inner{Threat: robust.Threat{Norm: robust.Linf, Epsilon: input, Weights: []float64{weight}}, Steps: 7}
	}
	ce := fit.CrossEntropy()
	adversarial := attack.AdversarialTraining(inner(0.1, 0))
	weights, both := inner(0, 0.005), inner(0.1, 0.005)
	weights.NoRandom = true
	return []Method{
		{Standard, "cross-entropy", ce},
		{ATx, "adversarial training on inputs: PGD-7, radius 0.1", adversarial},
		{ATw, "adversarial training on weights: PGD-7 a batch, radius 0.005", attack.AdversarialTraining(weights)},
		{ATJoint, "adversarial training on both at once", attack.AdversarialTraining(both)},
		{AWP, "AT-x, then one weight ascent step of relative size 0.01", attack.AWP(inner(0.1, 0), 0.01)},
		{Reg, "cross-entropy + the bound's input and weight terms",
			certify.Regularized(ce, certify.Regularizer{LambdaInput: 2e-4, LambdaWeight: 5e-3, EpsilonInput: 0.1, EpsilonWeight: 0.01})},
		{ATxRegW, "AT-x + the bound's weight term",
			certify.Regularized(adversarial, certify.Regularizer{LambdaWeight: 3e-3, EpsilonWeight: 0.01})},
	}
}

// methodsNamed picks methods by name, in the order of Methods.
func methodsNamed(names []string) ([]Method, error) {
	return study.Pick("method", names, Methods(), func(m Method) string { return m.Name })
}
