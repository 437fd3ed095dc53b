package meta

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// InnerLoop is how a task is learned: a few steps of gradient descent from the meta-parameters.
type InnerLoop struct {
	Steps      int     `json:"steps"`       // zero: 1
	LR         float64 `json:"lr"`          // α; zero: 0.4
	FirstOrder bool    `json:"first_order"` // treats the inner gradients as constants: FOMAML, without second derivatives
	HeadOnly   bool    `json:"head_only"`   // adapts the last layer alone: ANIL (Raghu et al., arXiv 1909.09157)
}

func (in InnerLoop) withDefaults() InnerLoop {
	if in.Steps == 0 {
		in.Steps = 1
	}
	if in.LR == 0 {
		in.LR = 0.4
	}
	return in
}

// TaskLoss builds the losses [tasks] of the tasks under parameters [tasks, ...], each task's loss of its own parameters
// alone. Panics on error.
type TaskLoss func(parameters []*Node) *Node

// ForTasks repeats parameters for each of so many tasks: from [...] to [tasks, ...].
func ForTasks(parameters []*Node, tasks int) []*Node {
	each := make([]*Node, len(parameters))
	for i, p := range parameters {
		each[i] = BroadcastToDims(InsertAxes(p, 0), append([]int{tasks}, p.Shape().Dimensions...)...)
	}
	return each
}

// Adapt builds the inner loop on parameters [tasks, ...]; head is the index of the first parameter of the last layer. It
// returns the parameters after the last step. Panics on error.
//
//	θ_{k+1} = θ_k - α·∇loss(θ_k)
//
// Tasks do not mix, so that one gradient of the sum of all losses holds the gradient of each.
func Adapt(parameters []*Node, head int, in InnerLoop, loss TaskLoss) []*Node {
	in = in.withDefaults()
	for range in.Steps {
		parameters = adaptStep(parameters, head, in, nil, loss)
	}
	return parameters
}

// adaptStep is one step of the inner loop. Where rate is not nil it stands in for in.LR.
func adaptStep(parameters []*Node, head int, in InnerLoop, rate *Node, loss TaskLoss) []*Node {
	if !in.HeadOnly {
		head = 0
	}
	if head < 0 || head >= len(parameters) {
		exceptions.Panicf("meta: parameter %d begins the last layer: there are %d", head, len(parameters))
	}
	moved := append([]*Node{}, parameters...)
	for i, gradient := range Gradient(ReduceAllSum(loss(parameters)), parameters[head:]...) {
		if in.FirstOrder {
			gradient = StopGradient(gradient)
		}
		if rate == nil {
			gradient = MulScalar(gradient, in.LR)
		} else {
			gradient = Mul(gradient, rate)
		}
		moved[head+i] = Sub(parameters[head+i], gradient)
	}
	return moved
}

// MetaGradient builds the gradient of meta-learning for any losses: meta is the mean of outer over the tasks, after each
// has adapted by inner from the same parameters [...] without an axis of tasks; gradients are those of meta with respect
// to the parameters; adapted has shape [tasks, ...]. Unless in.FirstOrder is set, gradients go through the inner loop, so
// that inner must be twice differentiable. Panics on error.
//
// Finn, Abbeel and Levine, arXiv 1703.03400, equation 1.
func MetaGradient(parameters []*Node, tasks, head int, in InnerLoop, inner, outer TaskLoss) (meta *Node, gradients, adapted []*Node) {
	adapted = Adapt(ForTasks(parameters, tasks), head, in, inner)
	losses := outer(adapted)
	if d := losses.Shape().Dimensions; len(d) != 1 || d[0] != tasks {
		exceptions.Panicf("meta: the outer loss has shape %s: want one value for each of %d tasks", losses.Shape(), tasks)
	}
	meta = ReduceAllMean(losses)
	return meta, Gradient(meta, parameters...), adapted
}
