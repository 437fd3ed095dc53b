// Package nets has the networks: MLP, CNN and whatever a user imports from ONNX, all as a Model.
package nets

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Model is a classifier that can be trained, attacked and scored: weights, the graph that uses them, and what its
// inputs look like.
type Model struct {
	// Name tells the architecture, for tables and error messages.
	Name string
	// Store holds the weights.
	Store *model.Store
	// Logits builds the graph from images [batch, InputShape...] to logits [batch, Classes]. It is called with the
	// root scope of Store (or of a clone of it), may be called several times in one graph, and panics on error as
	// GoMLX graph functions do.
	Logits func(scope *model.Scope, images *graph.Node) *graph.Node
	// InputShape is the shape of one example, without the batch axis; [height, width, channels] for the networks of
	// this package, whatever the file says for imported ones.
	InputShape []int
	// Lower and Upper are the smallest and largest legal pixel value.
	Lower, Upper float64
	// Classes is the number of logits.
	Classes int
}
