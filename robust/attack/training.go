package attack

import (
	"cmp"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// AdversarialTraining is cross-entropy on the perturbation that Inner finds (Madry et al., arXiv 1706.06083); with a
// threat on weights, the gradient taken at the perturbed weights is applied to the clean ones.
func AdversarialTraining(in Inner) fit.Loss {
	return fit.Loss{
		Name: fmt.Sprintf("adversarial(%s)", in),
		Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
			x, weights := in.Graph(scope, m, images, sumOf(labels))
			if weights == nil {
				return meanCrossEntropy(m.Logits(scope, x), labels)
			}
			return atWeights(scope, m, weights, x, labels)
		},
	}
}

// AWP is adversarial weight perturbation (Wu et al., arXiv 2004.05884): inputs are perturbed by Inner, then each
// weight tensor of rank two or more takes one ascent step of relative l2 size gamma (zero: 0.01), and the gradient at
// that point is applied to the clean weights.
func AWP(in Inner, gamma float64) fit.Loss {
	gamma = cmp.Or(gamma, 0.01)
	return fit.Loss{
		Name: fmt.Sprintf("awp(%s, gamma=%g)", in, gamma),
		Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
			x, _ := in.Graph(scope, m, images, sumOf(labels))
			var own []*Node
			for _, w := range m.Weights() {
				own = append(own, scope.Store().GetVariable(w.Path()).NodeValue(images.Graph()))
			}
			var loss *Node
			nets.Evaluating(scope, images.Graph(), func() { loss = meanCrossEntropy(m.Logits(scope, x), labels) })
			gradients := robust.Slopes(loss, own...)
			shifted := make([]*Node, len(own))
			for k, w := range own {
				shifted[k] = w
				if w.Rank() > 1 {
					g := Div(gradients[k], Reshape(robust.Vastness(Reshape(gradients[k], 1, -1))))
					size := Mul(frobenius(w), MulScalar(Div(g, AddScalar(frobenius(g), 1e-20)), gamma))
					shifted[k] = Add(w, size)
				}
				shifted[k] = StopGradient(shifted[k])
			}
			return atWeights(scope, m, shifted, x, labels)
		},
	}
}

// TRADES is CE(f(x), y) + beta·KL(f(x) || f(x')), where x' maximizes the divergence inside the threat (Zhang et al.,
// arXiv 1901.08573). The ascent starts at a random point of the ball.
func TRADES(in Inner, beta float64) fit.Loss {
	return fit.Loss{
		Name: fmt.Sprintf("trades(%s, beta=%g)", in, beta),
		Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
			var fixed *Node
			nets.Evaluating(scope, images.Graph(), func() { fixed = StopGradient(LogSoftmax(m.Logits(scope, images), -1)) })
			x, _ := in.Graph(scope, m, images, func(moved *Node) *Node {
				return ReduceAllSum(nets.KL(fixed, LogSoftmax(moved, -1)))
			})
			logits := m.Logits(scope, images)
			kl := nets.KL(LogSoftmax(logits, -1), LogSoftmax(m.Logits(scope, x), -1))
			return Add(meanCrossEntropy(logits, labels), MulScalar(ReduceAllMean(kl), beta))
		},
	}
}

// atWeights builds the mean cross-entropy at weights given as constants, with the gradient handed to the clean ones.
func atWeights(scope *model.Scope, m *nets.Model, weights []*Node, x, labels *Node) (loss *Node) {
	through := make([]*Node, len(weights))
	for k, w := range m.Weights() {
		own := scope.Store().GetVariable(w.Path()).NodeValue(x.Graph())
		through[k] = Add(own, StopGradient(Sub(weights[k], own)))
	}
	robust.WithWeights(m, scope, through, func() { loss = meanCrossEntropy(m.Logits(scope, x), labels) })
	return loss
}

func sumOf(labels *Node) Objective {
	return func(logits *Node) *Node { return ReduceAllSum(robust.CrossEntropy.Graph(logits, labels, false)) }
}

func meanCrossEntropy(logits, labels *Node) *Node {
	return ReduceAllMean(robust.CrossEntropy.Graph(logits, labels, false))
}

func frobenius(w *Node) *Node { return Sqrt(ReduceAllSum(Square(w))) }
