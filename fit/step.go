package fit

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/trustbook/trustbook/nets"
)

// Paths of the variables in which an epoch is summed up on the device.
const (
	lossSumPath = "/fit/loss_sum" // float64: sum of the losses of the epoch's steps
	correctPath = "/fit/correct"  // int64: examples that were right when their batch came up
	stepPath    = "/fit/step"     // int64: steps of the epoch
	badPath     = "/fit/bad"      // int64: the first step whose loss was not finite, counted from 1; 0 if none
)

// sums are the values of those variables.
type sums struct {
	loss               float64
	correct, step, bad int64
}

// set writes the sums into the store, creating the variables where needed.
func (s sums) set(store *model.Store) error {
	for _, x := range []struct {
		path  string
		value *tensors.Tensor
	}{{lossSumPath, tensors.FromScalar(s.loss)}, {correctPath, tensors.FromScalar(s.correct)},
		{stepPath, tensors.FromScalar(s.step)}, {badPath, tensors.FromScalar(s.bad)}} {
		v := store.GetVariable(x.path)
		var err error
		if v == nil {
			v, err = store.CreateVariable(x.path, x.value)
		} else {
			err = v.SetValue(x.value)
		}
		if err != nil {
			return err
		}
		v.SetTrainable(false)
	}
	return nil
}

func readSums(store *model.Store) (s sums, err error) {
	if s.loss, err = scalar[float64](store, lossSumPath); err != nil {
		return s, err
	}
	if s.correct, err = scalar[int64](store, correctPath); err != nil {
		return s, err
	}
	if s.step, err = scalar[int64](store, stepPath); err != nil {
		return s, err
	}
	s.bad, err = scalar[int64](store, badPath)
	return s, err
}

func scalar[T float64 | int64](store *model.Store, path string) (T, error) {
	value, err := store.GetVariable(path).Value()
	if err != nil {
		return 0, err
	}
	return tensors.ToScalar[T](value), nil
}

// stepGraph builds one training step on the batch of images and labels: the loss, its gradients with respect to the
// weights, the optimizer's update, and the sums.
func stepGraph(scope *model.Scope, m *nets.Model, loss Loss, update gradientOptimizer, images, labels *Node) {
	store, g := scope.Store(), images.Graph()
	store.SetTraining(g, true) // layers such as dropout ask for it
	before := map[*model.Variable]*Node{}
	for _, w := range m.Weights() {
		before[w] = w.NodeValue(g)
	}
	var right *Node
	nets.Evaluating(scope, g, func() {
		right = Equal(ArgMax(m.Logits(store.RootScope(), images), -1, dtypes.Int32), labels)
	})
	value := loss.Build(store.RootScope(), m, images, labels)
	if !value.IsScalar() || !value.DType().IsFloat() {
		exceptions.Panicf("loss %q has shape %s: want a scalar", loss.Name, value.Shape())
	}
	for w, node := range before {
		if w.NodeValue(g) != node {
			exceptions.Panicf("loss %q leaves weight %s replaced: put it back with SetNodeValue", loss.Name, w.Path())
		}
	}

	// The optimizer takes gradients in the order of the store's trainable variables.
	var weights []*Node
	for v := range store.IterVariables() {
		if node := before[v]; node != nil {
			weights = append(weights, node)
		} else if v.Trainable {
			exceptions.Panicf("loss %q added the trainable variable %s: only the model's weights are trained", loss.Name, v.Path())
		}
	}
	update.UpdateGraphWithGradients(store.RootScope(), Gradient(value, weights...), value.DType())

	add := func(path string, term *Node) *Node {
		v := store.GetVariable(path)
		sum := Add(v.NodeValue(g), ConvertDType(term, v.DType()))
		v.SetNodeValue(sum)
		return sum
	}
	add(lossSumPath, value)
	add(correctPath, ReduceAllSum(ConvertDType(right, dtypes.Int64)))
	step := add(stepPath, ScalarOne(g, dtypes.Int64))
	bad := store.GetVariable(badPath)
	first := bad.NodeValue(g)
	isNew := LogicalAnd(Equal(first, ZerosLike(first)), LogicalNot(IsFinite(value)))
	bad.SetNodeValue(Where(isNew, step, first))
}

// correctGraph counts the first n of the given rows that the model classifies correctly. Shapes: images
// [all, InputShape...], labels [all], rows int32 [batch], n a scalar.
func correctGraph(scope *model.Scope, m *nets.Model, images, labels, rows, n *Node) *Node {
	x, y := pick(images, rows), pick(labels, rows)
	right := Equal(ArgMax(m.Logits(scope, x), -1, dtypes.Int32), y)
	counted := LessThan(Iota(images.Graph(), shapes.Make(dtypes.Int32, rows.Shape().Dimensions[0]), 0), n)
	return ReduceAllSum(ConvertDType(LogicalAnd(right, counted), dtypes.Int32))
}

// pick takes rows int32 [batch] of a tensor [all, ...].
func pick(all, rows *Node) *Node { return Gather(all, InsertAxes(rows, -1)) }
