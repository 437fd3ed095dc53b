package nets

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Stage is a link of the chain that a network is: a graph function from the previous stage's output [batch, ...] (for the
// first: the images) to its own (of the last: the logits). It takes and panics as Model.Logits does.
type Stage struct {
	Name  string
	Graph func(scope *model.Scope, x *Node) *Node
}

// Stages returns the network as a chain: what Model.Body tells, else all that lies before the dense layers in one piece;
// then one stage for each of the dense layers at its end. Values between stages are what hidden layers put out, after the
// activation. A network that neither tells its body nor ends in dense layers is one stage.
func (m *Model) Stages() []Stage {
	stages := m.Body
	switch {
	case len(m.Dense) == 0 && len(stages) == 0:
		return []Stage{{Name: "all", Graph: m.Logits}}
	case len(stages) == 0 && m.Features != nil:
		stages = []Stage{{Name: "features", Graph: m.Features}}
	}
	stages = slices.Clip(stages)
	for i, l := range m.Dense {
		stages = append(stages, Stage{Name: fmt.Sprintf("dense %d", i+1), Graph: func(scope *model.Scope, x *Node) *Node {
			x = l.Activation.Graph(denseLayer(scope, l, Reshape(x, x.Shape().Dimensions[0], -1)))
			if l.Activation != ActNone {
				x = dropOut(scope, x, x.Shape(), m.dropout)
			}
			return x
		}})
	}
	return stages
}

// chain is one stage after the other.
func chain(stages []Stage) func(scope *model.Scope, x *Node) *Node {
	return func(scope *model.Scope, x *Node) *Node {
		for _, s := range stages {
			x = s.Graph(scope, x)
		}
		return x
	}
}

// featureMaps are the outputs of stages that put out maps.
func featureMaps(stages []Stage, scope *model.Scope, x *Node) (found []Feature) {
	for _, s := range stages {
		x = s.Graph(scope, x)
		found = append(found, Feature{Name: s.Name, Kind: Map, Node: x})
	}
	return found
}
