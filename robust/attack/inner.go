package attack

import (
	"cmp"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// Inner is the inner maximization of adversarial training: projected gradient ascent on inputs, weights or both,
// unrolled inside the training graph. Steps on inputs and weights are taken together, from gradients at the same
// point.
type Inner struct {
	Threat   robust.Threat
	Steps    int     // zero: 7
	StepSize float64 // of the input, absolute; zero: 2.5·epsilon/Steps. Weights always move by 2.5·radius/Steps
	NoRandom bool    // start at the clean input instead of at a random point of the ball; weights always start clean
}

// String tells every setting, for cache keys and tables.
func (in Inner) String() string {
	in.Steps = cmp.Or(in.Steps, 7)
	return fmt.Sprintf("%s, eps=%g, weights=%v, steps=%d, step=%g, random=%t",
		in.Threat.Norm, in.Threat.Epsilon, in.Threat.Weights, in.Steps, in.StepSize, !in.NoRandom)
}

// Objective builds the scalar that Inner climbs, from the logits on the perturbed images.
type Objective func(logits *Node) *Node

// Graph builds the ascent. It returns the perturbed images, and the perturbed weights in the order of m.Weights (nil
// if the threat leaves them alone), both with gradients stopped. The network is in evaluation mode meanwhile. Random
// starts come from the generator of the store, which must have been seeded. Panics on error.
func (in Inner) Graph(scope *model.Scope, m *nets.Model, images *Node, objective Objective) (x *Node, weights []*Node) {
	steps := cmp.Or(in.Steps, 7)
	box := robust.Box{Lower: m.Lower, Upper: m.Upper}
	clean := StopGradient(flat(images))
	epsilon := Scalar(images.Graph(), images.DType(), in.Threat.Epsilon)
	size := Scalar(images.Graph(), images.DType(), cmp.Or(in.StepSize, 2.5*in.Threat.Epsilon/float64(steps)))

	at := Identity(clean) // a gradient with respect to what comes out of StopGradient itself would be zero
	if !in.NoRandom && in.Threat.Epsilon > 0 {
		state := scope.Store().GetVariable("/" + model.RNGStateVariableName)
		if state == nil {
			exceptions.Panicf("attack: Inner with a random start needs a seeded store: call Store.SetRNGStateFromSeed first")
		}
		next, start := robust.RandomInBall(in.Threat.Norm, state.NodeValue(images.Graph()), clean, epsilon, box)
		state.SetNodeValue(next)
		at = start
	}
	var own, deltas []*Node
	var radii []float64
	if in.Threat.MovesWeights() {
		for _, w := range m.Weights() {
			own = append(own, StopGradient(scope.Store().GetVariable(w.Path()).NodeValue(images.Graph())))
			deltas = append(deltas, ZerosLike(own[len(own)-1]))
		}
		radii = in.Threat.WeightRadii(len(own))
	}
	for range steps {
		wrt := []*Node{at}
		var loss *Node
		run := func() {
			nets.Evaluating(scope, images.Graph(), func() { loss = objective(m.Logits(scope, ReshapeLike(at, images))) })
		}
		if own != nil {
			weights = moved(own, deltas)
			wrt = append(wrt, weights...)
			robust.WithWeights(m, scope, weights, run)
		} else {
			run()
		}
		g := robust.Slopes(loss, wrt...)
		if in.Threat.Epsilon > 0 {
			at = robust.Project(in.Threat.Norm, Add(at, robust.Steepest(in.Threat.Norm, g[0], at, size, box)), clean, epsilon, box)
		}
		for k := range deltas {
			deltas[k] = weightStep(deltas[k], g[k+1], radii[k], 2.5*radii[k]/float64(steps))
		}
	}
	if own != nil {
		weights = moved(own, deltas)
		for k := range weights {
			weights[k] = StopGradient(weights[k])
		}
	}
	return StopGradient(ReshapeLike(at, images)), weights
}

// weightStep is one l-infinity step on a weight perturbation.
func weightStep(delta, gradient *Node, radius, size float64) *Node {
	return ClipScalar(Add(delta, MulScalar(Sign(gradient), size)), -radius, radius)
}

func moved(weights, deltas []*Node) []*Node {
	sums := make([]*Node, len(weights))
	for k := range weights {
		sums[k] = Add(weights[k], deltas[k])
	}
	return sums
}
