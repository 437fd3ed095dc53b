package fit

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/nets"
)

// stepGraph builds one training step on the batch of images and labels: an update of the weights, and the count of
// those that are right before it.
func stepGraph(m *nets.Model, loss Loss, rule Rule, steps int, images, labels *Node) {
	g := images.Graph()
	m.Store.SetTraining(g, true)
	var right *Node
	for _, w := range m.Weights() {
		w.NodeValue(g)
	}
	nets.Evaluating(m.Store.RootScope(), g, func() {
		right = Equal(ArgMax(m.Logits(m.Store.RootScope(), images), -1, dtypes.Int32), labels)
	})
	descend(m.Store, g, loss.Name, fitPath, []descent{{fitPath, m.WeightPaths, rule}}, steps, func() (*Node, []*Node) {
		return loss.Build(m.Store.RootScope(), m, images, labels), nil
	})
	accumulate(m.Store, correctPath, ReduceAllSum(ConvertDType(right, dtypes.Int64)))
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
