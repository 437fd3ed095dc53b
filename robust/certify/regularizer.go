package certify

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Regularizer weighs the terms that the margin bound adds to a training loss, each a batch mean of max_{j≠y} B_yj:
//
//	R_x = at (EpsilonInput, 0),  R_w = at (0, EpsilonWeight),  R_xw = at (EpsilonInput, EpsilonWeight)
//	loss = base + LambdaInput·R_x + LambdaWeight·R_w + LambdaJoint·R_xw + Mu·Σ_k ||W^k||_∞
//
// The last term holds down what the bounds and the Rademacher complexity grow with, the norms of the layers.
//
// A term with factor 0 is not built at all, so that all factors 0 give the base run bit for bit. Inputs and weights
// have factors of their own because R_x is several times R_w at usual radii.
type Regularizer struct {
	LambdaInput, LambdaWeight, LambdaJoint float64
	EpsilonInput, EpsilonWeight            float64
	Mu                                     float64
}

// Regularized adds the bound's terms to a base loss. It needs a network that Covers covers whole.
func Regularized(base fit.Loss, r Regularizer) fit.Loss {
	norms := ""
	if r.Mu > 0 {
		norms = fmt.Sprintf(", mu=%g", r.Mu)
	}
	return fit.Loss{
		Name: fmt.Sprintf("%s + bound(lambda=%g/%g/%g, eps=%g/%g%s)", base.Name,
			r.LambdaInput, r.LambdaWeight, r.LambdaJoint, r.EpsilonInput, r.EpsilonWeight, norms),
		Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
			if err := r.Validate(); err != nil {
				exceptions.Panicf("%v", err)
			}
			cover := mustCover(m)
			loss := base.Build(scope, m, images, labels)
			x := Reshape(images, images.Shape().Dimensions[0], -1)
			add := func(lambda, epsilonInput, epsilonWeight float64) {
				if lambda == 0 {
					return
				}
				radius := func(r float64) *Node { return Scalar(x.Graph(), x.DType(), r) }
				b := boundGraph(sameRadius(cover.nodes(scope, images.Graph()), radius(epsilonWeight)), x, labels, radius(epsilonInput))
				loss = Add(loss, MulScalar(ReduceAllMean(worstDrop(b)), lambda))
			}
			add(r.LambdaInput, r.EpsilonInput, 0)
			add(r.LambdaWeight, 0, r.EpsilonWeight)
			add(r.LambdaJoint, r.EpsilonInput, r.EpsilonWeight)
			if r.Mu > 0 {
				for _, l := range cover.nodes(scope, images.Graph()) {
					loss = Add(loss, MulScalar(InfinityNorm(l.weight), r.Mu))
				}
			}
			return loss
		},
	}
}

// Validate reports factors and radii that are negative or not finite.
func (r Regularizer) Validate() error {
	for name, v := range map[string]float64{"LambdaInput": r.LambdaInput, "LambdaWeight": r.LambdaWeight,
		"LambdaJoint": r.LambdaJoint, "EpsilonInput": r.EpsilonInput, "EpsilonWeight": r.EpsilonWeight, "Mu": r.Mu} {
		if !(v >= 0) || v > 1e300 {
			return errors.Errorf("certify: %s = %g: must be finite and >= 0", name, v)
		}
	}
	return nil
}
