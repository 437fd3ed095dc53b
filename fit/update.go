package fit

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
)

// descent is how some of a store's weights follow a loss: by which rule, whose variables are under a path.
type descent struct {
	path  string
	paths []string // of the weights
	rule  Rule
}

// descend builds one update of weights by a loss: its value, its gradients, the rules' steps. The tally of losses, and those of
// the loss's parts if it has any, are under path. name tells the loss in errors.
func descend(store *model.Store, g *Graph, name, path string, descents []descent, steps int, loss func() (*Node, []*Node)) {
	store.SetTraining(g, true) // layers such as dropout ask for it
	before, known := map[*model.Variable]*Node{}, map[*model.Variable]bool{}
	of := map[*model.Variable]int{} // which descent is a weight's
	for i, d := range descents {
		for _, p := range d.paths {
			w := store.GetVariable(p)
			before[w], of[w] = w.NodeValue(g), i
		}
	}
	for v := range store.IterVariables() {
		known[v] = true
	}
	value, parts := loss()
	for _, part := range append([]*Node{value}, parts...) {
		if !part.IsScalar() || !part.DType().IsFloat() {
			exceptions.Panicf("loss %q has shape %s: want a scalar", name, part.Shape())
		}
	}
	weights, nodes := make([][]*model.Variable, len(descents)), make([][]*Node, len(descents))
	for v := range store.IterVariables() { // in the store's order
		switch node := before[v]; {
		case node == nil && !known[v] && v.Trainable:
			exceptions.Panicf("loss %q added the trainable variable %s: only the networks' weights are trained", name, v.Path())
		case node != nil && v.NodeValue(g) != node:
			exceptions.Panicf("loss %q leaves weight %s replaced: put it back with SetNodeValue", name, v.Path())
		case node != nil:
			weights[of[v]], nodes[of[v]] = append(weights[of[v]], v), append(nodes[of[v]], node)
		}
	}
	gradients := Gradient(value, slices.Concat(nodes...)...)
	for i, d := range descents {
		d.rule.Apply(store.Scope(d.path), steps, weights[i], gradients[:len(nodes[i])])
		gradients = gradients[len(nodes[i]):]
	}
	tally(path).add(store, value)
	for i, part := range parts {
		partTally(path, i).add(store, part)
	}
}

// partTally is that of a part of a loss.
func partTally(path string, part int) tally { return tally(fmt.Sprintf("%s/part/%d", path, part)) }

// tally sums up losses on the device, in variables under its path, so that a step need not wait for its number.
type tally string

const (
	lossSumName = "loss_sum" // float64: sum of the losses
	stepName    = "step"     // int64: how many they are
	badName     = "bad"      // int64: which was the first that was not finite, counted from 1; 0 if none
)

func (t tally) at(name string) string { return model.JoinPath(string(t), name) }

// reset sets the sums to zero, creating the variables where needed.
func (t tally) reset(store *model.Store) error {
	if err := putScalar(store, t.at(lossSumName), 0.); err != nil {
		return err
	}
	if err := putScalar(store, t.at(stepName), int64(0)); err != nil {
		return err
	}
	return putScalar(store, t.at(badName), int64(0))
}

// putScalar sets a variable that is not trained.
func putScalar[T float64 | int64](store *model.Store, path string, value T) error {
	v, err := put(store, path, tensors.FromScalar(value))
	if err == nil {
		v.SetTrainable(false)
	}
	return err
}

// add builds the sums with one more loss in them.
func (t tally) add(store *model.Store, loss *Node) {
	g := loss.Graph()
	accumulate(store, t.at(lossSumName), loss)
	step := accumulate(store, t.at(stepName), ScalarOne(g, dtypes.Int64))
	bad := store.GetVariable(t.at(badName))
	first := bad.NodeValue(g)
	isNew := LogicalAnd(Equal(first, ZerosLike(first)), LogicalNot(IsFinite(loss)))
	bad.SetNodeValue(Where(isNew, step, first))
}

// accumulate builds the sum of a variable and a term.
func accumulate(store *model.Store, path string, term *Node) *Node {
	v := store.GetVariable(path)
	sum := Add(v.NodeValue(term.Graph()), ConvertDType(term, v.DType()))
	v.SetNodeValue(sum)
	return sum
}

// mean is that of the losses so far; bad is the first that was not finite, counted from 1, or 0.
func (t tally) mean(store *model.Store) (mean float64, bad int, err error) {
	sum, err := scalar[float64](store, t.at(lossSumName))
	if err != nil {
		return 0, 0, err
	}
	n, err := scalar[int64](store, t.at(stepName))
	if err != nil {
		return 0, 0, err
	}
	first, err := scalar[int64](store, t.at(badName))
	return sum / math.Max(1, float64(n)), int(first), err
}

func scalar[T float64 | int64](store *model.Store, path string) (T, error) {
	value, err := store.GetVariable(path).Value()
	if err != nil {
		return 0, err
	}
	return tensors.ToScalar[T](value), nil
}
