package removal

import (
	"cmp"
	"context"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// FineTune goes on training on the thief's data, by cross-entropy.
type FineTune struct{ Training }

// Name implements [Removal].
func (r FineTune) Name() string { return join("fine-tuning", r.text(10)) }

// Apply implements [Removal].
func (r FineTune) Apply(ctx context.Context, e *engine.Engine, m *nets.Model, data fit.Data, o fit.Options) (*nets.Model, error) {
	return attempt(ctx, r, m, o, func(c *nets.Model, o fit.Options) error { return r.train(ctx, e, c, data, fit.CrossEntropy(), 10, o) })
}

// AdversarialFineTune goes on training on images that one step of the fast gradient sign method perturbed (Goodfellow et
// al., arXiv 1412.6572): it makes input gradients small, and with them what is written there.
type AdversarialFineTune struct {
	Training
	Epsilon float64 // l-infinity radius; zero: 0.1
}

// Name implements [Removal].
func (r AdversarialFineTune) Name() string {
	return join("adversarial fine-tuning", fmt.Sprintf("radius %g", cmp.Or(r.Epsilon, 0.1)), r.text(5))
}

// Apply implements [Removal].
func (r AdversarialFineTune) Apply(ctx context.Context, e *engine.Engine, m *nets.Model, data fit.Data,
	o fit.Options) (*nets.Model, error) {
	return attempt(ctx, r, m, o, func(c *nets.Model, o fit.Options) error {
		epsilon := cmp.Or(r.Epsilon, 0.1)
		if !(epsilon > 0) || math.IsInf(epsilon, 1) {
			return errors.Errorf("radius %g: must be finite and > 0", epsilon)
		}
		loss := attack.AdversarialTraining(attack.Inner{Threat: robust.Threat{Norm: robust.Linf, Epsilon: epsilon},
			Steps: 1, StepSize: epsilon, NoRandom: true})
		return r.train(ctx, e, c, data, loss, 5, o)
	})
}

// GradientPenalty goes on training with the squared l2 norm of the input gradient as a penalty (Drucker and LeCun 1992; Ross
// and Doshi-Velez, arXiv 1711.09404): mean CE + Weight · mean ‖∇x CE‖².
//
// The gradient of the penalty is that of 2‖g‖ times the central difference of the cross-entropy along g/‖g‖, with g held
// constant, so that networks need be differentiable once only, as imported ones and those with fast convolutions are.
type GradientPenalty struct {
	Training
	Weight float64 // zero: 1
	Step   float64 // of the central difference, in l2; zero: 0.01
}

// Name implements [Removal].
func (r GradientPenalty) Name() string {
	return join("input-gradient penalty", fmt.Sprintf("weight %g", cmp.Or(r.Weight, 1)), r.text(5))
}

// Apply implements [Removal].
func (r GradientPenalty) Apply(ctx context.Context, e *engine.Engine, m *nets.Model, data fit.Data, o fit.Options) (*nets.Model, error) {
	return attempt(ctx, r, m, o, func(c *nets.Model, o fit.Options) error {
		weight, step := cmp.Or(r.Weight, 1), cmp.Or(r.Step, 0.01)
		if !(weight > 0 && step > 0) || math.IsInf(weight, 1) || math.IsInf(step, 1) {
			return errors.Errorf("weight %g, step %g: must be finite and > 0", weight, step)
		}
		return r.train(ctx, e, c, data, Penalized(weight, step), 5, o)
	})
}

// Penalized is the loss of [GradientPenalty], for trainings of one's own.
func Penalized(weight, step float64) fit.Loss {
	return fit.Loss{
		Name: fmt.Sprintf("cross-entropy + %g·input gradient² (step %g)", weight, step),
		Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
			loss := ReduceAllMean(nets.CrossEntropy(m.Logits(scope, images), labels))
			var penalty *Node
			nets.Evaluating(scope, images.Graph(), func() { penalty = gradientPenalty(scope, m, images, labels, step) })
			return Add(loss, MulScalar(penalty, weight))
		},
	}
}

// gradientPenalty has the value mean ‖g‖² of input gradients g, but for the error of the difference, and its gradient.
func gradientPenalty(scope *model.Scope, m *nets.Model, images, labels *Node, step float64) *Node {
	x := Identity(StopGradient(images)) // a gradient with respect to what comes out of StopGradient itself would be zero
	each := func(x *Node) *Node { return nets.CrossEntropy(m.Logits(scope, x), labels) }
	g := StopGradient(Gradient(ReduceAllSum(each(x)), x)[0])
	rows := Reshape(g, g.Shape().Dimensions[0], -1)
	size := Sqrt(ReduceSum(Square(rows), -1))
	along := MulScalar(ReshapeLike(Div(rows, InsertAxes(AddScalar(size, 1e-12), -1)), g), step)
	base := StopGradient(images)
	slope := DivScalar(Sub(each(Add(base, along)), each(Sub(base, along))), 2*step)
	return ReduceAllMean(Sub(MulScalar(Mul(size, slope), 2), Square(size)))
}
