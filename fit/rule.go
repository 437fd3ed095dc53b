package fit

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// Optimizer names how a gradient becomes a step.
type Optimizer string

const (
	// Adam is Adam with epsilon 1e-8 (Kingma and Ba, arXiv 1412.6980), as in PyTorch.
	Adam Optimizer = "adam"
	// Adam64 is Adam whose constants and corrections are computed in float64 and then rounded, once. It differs from Adam
	// in rounding alone; results that were trained by it keep their bits.
	Adam64 Optimizer = "adam64"
	// SGD is plain gradient descent.
	SGD Optimizer = "sgd"
	// RMSProp divides gradients by the root of the mean of their squares (Hinton, lecture 6e of Neural Networks for Machine
	// Learning), with epsilon 1e-8 behind the root, as in PyTorch.
	RMSProp Optimizer = "rmsprop"
	// Adadelta multiplies RMSProp's step by the root of the mean of the squares of steps (Zeiler, arXiv 1212.5701, algorithm 1),
	// with epsilon 1e-6 below both roots, as in PyTorch. The first steps are tiny.
	Adadelta Optimizer = "adadelta"
)

// The terms that keep divisors from 0.
const (
	adamEpsilon     = 1e-8
	rmsPropEpsilon  = 1e-8
	adadeltaEpsilon = 1e-6
)

// Rule is how gradients change weights. GoMLX's optimizers keep one learning rate and one count of steps a store; these
// keep all they know under a scope of their own, so that any number of them can train the networks of one store.
type Rule struct {
	Optimizer    Optimizer // zero: Adam
	LearningRate float64   // zero: 1e-3, with Adadelta 1
	Beta1, Beta2 float64   // of Adam's moments; zero: 0.9 and 0.999, negative: 0. RMSProp and Adadelta have Beta2 alone; zero: 0.9 and 0.95
	WeightDecay  float64   // decoupled, of every weight (AdamW; Loshchilov and Hutter, arXiv 1711.05101); with Adam only
	Cosine       bool      // the rate falls along half a cosine to zero over all steps, instead of being constant
	WarmUpSteps  int       // with Cosine: over this many first steps, the rate rises linearly
}

func (r Rule) withDefaults() Rule {
	or := func(value *float64, zero float64) {
		switch {
		case *value == 0:
			*value = zero
		case *value < 0:
			*value = 0
		}
	}
	if r.Optimizer == "" {
		r.Optimizer = Adam
	}
	rate, second := 1e-3, 0.999
	switch r.Optimizer {
	case RMSProp:
		second = 0.9
	case Adadelta:
		rate, second = 1, 0.95
	}
	if r.LearningRate == 0 {
		r.LearningRate = rate
	}
	or(&r.Beta1, 0.9)
	or(&r.Beta2, second)
	return r
}

// validate reports what cannot work.
func (r Rule) validate() error {
	if r.Optimizer == "" {
		r.Optimizer = Adam
	}
	adam := r.Optimizer == Adam || r.Optimizer == Adam64
	switch {
	case !(r.LearningRate >= 0) || math.IsInf(r.LearningRate, 1):
		return errors.Errorf("LearningRate = %g: must be finite and > 0", r.LearningRate)
	case !adam && !slices.Contains([]Optimizer{SGD, RMSProp, Adadelta}, r.Optimizer):
		return errors.Errorf("Optimizer = %q: want %q, %q, %q, %q or %q", r.Optimizer, Adam, Adam64, SGD, RMSProp, Adadelta)
	case !(r.Beta1 < 1) || !(r.Beta2 < 1):
		return errors.Errorf("Beta1 = %g, Beta2 = %g: must be below 1", r.Beta1, r.Beta2)
	case !(r.WeightDecay >= 0) || math.IsInf(r.WeightDecay, 1) || r.WeightDecay > 0 && !adam:
		return errors.Errorf("WeightDecay = %g with %q: must be finite and >= 0, and 0 without %q", r.WeightDecay, r.Optimizer, Adam)
	case r.WarmUpSteps < 0 || r.WarmUpSteps > 0 && !r.Cosine:
		return errors.Errorf("WarmUpSteps = %d: must be >= 0, and 0 without Cosine", r.WarmUpSteps)
	}
	return nil
}

// Names of a rule's variables under its scope.
const (
	countName   = "count"  // int64: steps that were made
	firstScope  = "first"  // Adam's moments of each weight, under the weight's path; of Adadelta, the mean square of its steps
	secondScope = "second" // of all but SGD, the mean square of its gradients
)

// Begin sets the count of steps and the moments to zero, creating their variables where they are missing.
func (r Rule) Begin(scope *model.Scope, weights []*model.Variable) error {
	store := scope.Store()
	zero := func(path string, shape shapes.Shape) error {
		v, err := put(store, path, tensors.FromShape(shape))
		if err == nil {
			v.SetTrainable(false)
		}
		return err
	}
	if err := zero(model.JoinPath(scope.Scope(), countName), shapes.Make(dtypes.Int64)); err != nil {
		return err
	}
	for _, w := range weights {
		for _, moment := range r.kept() {
			if err := zero(momentPath(scope, moment, w), w.Shape()); err != nil {
				return err
			}
		}
	}
	return nil
}

// kept are the scopes of what the rule keeps of each weight.
func (r Rule) kept() []string {
	switch r.Optimizer {
	case SGD:
		return nil
	case RMSProp:
		return []string{secondScope}
	}
	return []string{firstScope, secondScope}
}

func momentPath(scope *model.Scope, moment string, w *model.Variable) string {
	return model.JoinPath(scope.Scope(), moment) + w.Path()
}

// Apply builds one step of steps in all: weights change by their gradients, of the same order and type. [Rule.Begin]
// must have made the scope's variables. Panics on error.
func (r Rule) Apply(scope *model.Scope, steps int, weights []*model.Variable, gradients []*Node) {
	r = r.withDefaults()
	r.apply(scope, weights, gradients, func(before *Node) *Node { return r.rate(before, steps, gradients[0].DType()) })
}

// ApplyRate is Apply with a learning rate that is a node, such as an input of the graph; LearningRate, Cosine and WarmUpSteps
// then say nothing.
func (r Rule) ApplyRate(scope *model.Scope, rate *Node, weights []*model.Variable, gradients []*Node) {
	r.withDefaults().apply(scope, weights, gradients, func(*Node) *Node { return rate })
}

// apply expects the defaults to be filled in; rateAfter is the learning rate after so many steps.
func (r Rule) apply(scope *model.Scope, weights []*model.Variable, gradients []*Node, rateAfter func(before *Node) *Node) {
	g, dtype := gradients[0].Graph(), gradients[0].DType()
	count := scope.GetVariable(countName)
	before := count.NodeValue(g)
	after := AddScalar(before, 1)
	count.SetNodeValue(after)
	rate := rateAfter(before)
	var m moments
	if r.Optimizer == Adam || r.Optimizer == Adam64 {
		m = r.moments(after, dtype)
	}
	for i, w := range weights {
		value, gradient := w.NodeValue(g), gradients[i]
		kept := func(moment string) *model.Variable { return scope.Store().GetVariable(momentPath(scope, moment, w)) }
		var step *Node
		switch r.Optimizer {
		case SGD:
			step = Mul(gradient, rate)
		case RMSProp:
			step = Mul(Div(gradient, AddScalar(Sqrt(r.meanSquare(kept(secondScope), gradient)), rmsPropEpsilon)), rate)
		case Adadelta:
			step = Mul(r.adadelta(gradient, kept(firstScope), kept(secondScope)), rate)
		default:
			step = m.step(gradient, rate, kept(firstScope), kept(secondScope))
		}
		if r.WeightDecay > 0 {
			step = Add(step, Mul(rate, MulScalar(value, r.WeightDecay)))
		}
		w.SetNodeValue(Sub(value, step))
	}
}

// meanSquare moves a running mean of squares, and is it.
func (r Rule) meanSquare(kept *model.Variable, values *Node) *Node {
	mean := Add(MulScalar(kept.NodeValue(values.Graph()), r.Beta2), MulScalar(Square(values), 1-r.Beta2))
	kept.SetNodeValue(mean)
	return mean
}

// adadelta is the step before it is multiplied by the rate.
func (r Rule) adadelta(gradient *Node, steps, squares *model.Variable) *Node {
	up := AddScalar(steps.NodeValue(gradient.Graph()), adadeltaEpsilon)
	step := Mul(Div(Sqrt(up), Sqrt(AddScalar(r.meanSquare(squares, gradient), adadeltaEpsilon))), gradient)
	r.meanSquare(steps, step)
	return step
}

// rate is the learning rate after so many steps: with Cosine (Loshchilov and Hutter, arXiv 1608.03983),
//
//	rate · min(1, (done+1)/warmUp) · (1 + cos(π·max(0, done-warmUp)/(steps-warmUp)))/2
func (r Rule) rate(done *Node, steps int, dtype dtypes.DType) *Node {
	g := done.Graph()
	if !r.Cosine {
		return Const(g, shapes.CastAsDType(r.LearningRate, dtype))
	}
	warmUp := min(r.WarmUpSteps, steps)
	done = ConvertDType(done, dtype)
	past := MaxScalar(AddScalar(done, -float64(warmUp)), 0)
	factor := MulScalar(OnePlus(Cos(MulScalar(past, math.Pi/float64(max(1, steps-warmUp))))), 0.5)
	if warmUp > 0 {
		factor = Mul(factor, MinScalar(MulScalar(AddScalar(done, 1), 1/float64(warmUp)), 1))
	}
	return MulScalar(factor, r.LearningRate)
}

// moments are Adam's scalars in a step: of each moment, how much of the old one is kept, how much of the new one comes
// in, and the correction 1/(1-βᵗ) for its start at zero.
type moments struct {
	keep, take, correct [2]*Node
	epsilon             *Node
	rateLast            bool // the order of factors decides the last bit
}

func (r Rule) moments(count *Node, dtype dtypes.DType) moments {
	g := count.Graph()
	m := moments{epsilon: Const(g, shapes.CastAsDType(adamEpsilon, dtype)), rateLast: r.Optimizer == Adam64}
	for i, beta := range []float64{r.Beta1, r.Beta2} {
		m.keep[i] = Const(g, shapes.CastAsDType(beta, dtype))
		if r.Optimizer == Adam64 {
			m.take[i] = Const(g, shapes.CastAsDType(1-beta, dtype))
			m.correct[i] = ConvertDType(Reciprocal(OneMinus(Pow(Const(g, beta), ConvertDType(count, dtypes.Float64)))), dtype)
		} else {
			m.take[i] = OneMinus(m.keep[i])
			m.correct[i] = Reciprocal(OneMinus(Pow(m.keep[i], ConvertDType(count, dtype))))
		}
	}
	return m
}

// step moves the moments of a weight, and is what the weight descends by.
func (m moments) step(gradient, rate *Node, firstVar, secondVar *model.Variable) *Node {
	g := gradient.Graph()
	first := Add(Mul(m.keep[0], firstVar.NodeValue(g)), Mul(m.take[0], gradient))
	second := Add(Mul(m.keep[1], secondVar.NodeValue(g)), Mul(m.take[1], Square(gradient)))
	firstVar.SetNodeValue(first)
	secondVar.SetNodeValue(second)
	up, down := Mul(first, m.correct[0]), Add(Sqrt(Mul(second, m.correct[1])), m.epsilon)
	if m.rateLast {
		return Mul(Div(up, down), rate)
	}
	return Div(Mul(rate, up), down)
}
