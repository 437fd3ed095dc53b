package meta

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/trustbook/trustbook/nets"
)

// episode are the nodes of a batch, as fewshot.Batch. unlabeled and views may be nil.
type episode struct{ xs, ys, xq, yq, unlabeled, views *Node }

// objective builds the meta-objective of a method.
type objective struct {
	model  Model
	method Method
	chance *chance
}

// taskLoss is cross-entropy for integer labels and squared error for real targets.
func taskLoss(outputs, labels *Node) *Node {
	if labels.DType().IsFloat() {
		return SquaredError(outputs, labels)
	}
	return CrossEntropy(outputs, labels)
}

func (o *objective) outputs(parameters []*Node, x *Node) *Node {
	_, outputs := o.model.Forward(parameters, x)
	return outputs
}

// attack perturbs images, climbing what objective builds from a perturbed batch.
func (o *objective) attack(x *Node, climb Objective) *Node {
	epsilon := Scalar(x.Graph(), x.DType(), o.method.Epsilon)
	ball := Ball{o.method.Norm, o.model.Bounds()}
	start := o.chance.start(ball, x, epsilon)
	if steps := o.method.AttackSteps; steps > 0 {
		return ball.PGD(x, start, epsilon, MulScalar(epsilon, 2.5/float64(steps)), steps, climb)
	}
	return ball.FGSM(x, start, epsilon, climb)
}

// adversarial is the mean cross-entropy [tasks] of perturbed images.
func (o *objective) adversarial(parameters []*Node, x, y *Node) *Node {
	fixed := constants(parameters)
	perturbed := o.attack(x, func(u *Node) *Node { return ReduceAllSum(taskLoss(o.outputs(fixed, u), y)) })
	return taskLoss(o.outputs(parameters, perturbed), y)
}

// trades is KL [tasks] between clean and perturbed images.
func (o *objective) trades(parameters []*Node, x *Node) *Node {
	fixed := constants(parameters)
	clean := StopGradient(o.outputs(fixed, x))
	perturbed := o.attack(x, func(u *Node) *Node { return ReduceAllSum(KL(clean, o.outputs(fixed, u))) })
	return KL(o.outputs(parameters, x), o.outputs(parameters, perturbed))
}

// support is the loss that a task is learned with.
func (o *objective) support(xs, ys *Node) TaskLoss {
	return func(parameters []*Node) *Node {
		loss := taskLoss(o.outputs(parameters, xs), ys)
		if gamma := o.method.GammaIn; gamma > 0 {
			regularizer := o.adversarial
			if o.method.Regularizer == TRADES {
				regularizer = func(parameters []*Node, x, _ *Node) *Node { return o.trades(parameters, x) }
			}
			loss = Add(loss, MulScalar(regularizer(parameters, xs, ys), gamma))
		}
		return loss
	}
}

// contrastive is the loss [tasks] of the auxiliary task on perturbed views, under the meta-parameters.
func (o *objective) contrastive(parameters, head []*Node, views *Node) *Node {
	loss := func(parameters, head []*Node, x *Node) *Node {
		features, _ := o.model.Forward(parameters, x)
		return nets.NTXent(project(head, features), o.method.Temperature)
	}
	p, h := constants(parameters), constants(head)
	perturbed := o.attack(views, func(u *Node) *Node { return ReduceAllSum(loss(p, h, u)) })
	return loss(parameters, head, perturbed)
}

// measures are the scalars of a meta-update that are told: objective, clean query loss, and query accuracy (0 in
// regression), all means over the tasks.
type measures struct{ objective, loss, accuracy *Node }

// build is the whole meta-objective. parameters have no axis of tasks; those after the model's are the projection head of
// the contrastive task.
func (o *objective) build(parameters []*Node, own int, b episode) measures {
	model, head := parameters[:own], parameters[own:]
	tasks := b.xs.Shape().Dimensions[0]
	start := ForTasks(model, tasks)
	adapted := Adapt(start, o.model.Head(), o.method.Inner, o.support(b.xs, b.ys))
	outputs := o.outputs(adapted, b.xq)
	m := measures{loss: ReduceAllMean(taskLoss(outputs, b.yq))}
	m.objective = m.loss
	if b.yq.DType().IsFloat() {
		m.accuracy = ZerosLike(m.loss)
	} else {
		m.accuracy = ReduceAllMean(ConvertDType(Equal(ArgMax(outputs, -1, dtypes.Int32), b.yq), outputs.DType()))
	}
	if gamma := o.method.GammaOut; gamma > 0 {
		var r *Node
		if o.method.Regularizer == TRADES {
			all := []*Node{b.xs, b.xq}
			if b.unlabeled != nil {
				all = append(all, b.unlabeled)
			}
			r = o.trades(adapted, Concatenate(all, 1))
		} else {
			r = o.adversarial(adapted, b.xq, b.yq)
		}
		m.objective = Add(m.objective, MulScalar(ReduceAllMean(r), gamma))
	}
	if gamma := o.method.GammaCL; gamma > 0 {
		if b.views == nil {
			exceptions.Panicf("meta: a contrastive task without views: ask the sampler for Views")
		}
		m.objective = Add(m.objective, MulScalar(ReduceAllMean(o.contrastive(start, ForTasks(head, tasks), b.views)), gamma))
	}
	return m
}
