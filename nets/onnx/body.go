package onnx

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/nets"
)

// listBody fills in Model.Body: the network before its dense layers, cut wherever one value is all that the rest reads and
// a layer with weights comes next. A convolution with its activation and pooling is one stage, and so is a residual block.
func (g *network) listBody(m *nets.Model) {
	end := g.output
	if len(m.Dense) > 0 {
		if m.Features == nil {
			return
		}
		_, end = g.denseTail(m.Store)
	}
	const batch = 7
	at, shape := g.input, shapes.Make(dtypes.Float32, append([]int{batch}, m.InputShape...)...)
	var body []nets.Stage
	for _, cut := range append(g.cuts(end), end) {
		s := nets.Stage{Name: fmt.Sprintf("stage %d", len(body)+1), Graph: g.between(at, cut)}
		// A value that no batch of examples is, or that needs more than the value before, is no place to cut.
		next, err := buildFrom(m, shape, s.Graph)
		if err != nil || next.DType != dtypes.Float32 || next.Rank() < 2 || next.Dimensions[0] != batch {
			if cut == end {
				return
			}
			continue
		}
		shape = next
		body, at = append(body, s), cut
	}
	if g.head != nil {
		body = append(body, nets.Stage{Name: "logits", Graph: func(_ *model.Scope, x *Node) *Node { return g.head(x) }})
	}
	if len(body) > 1 {
		m.Body = body
	}
}

func (g *network) between(from, to string) func(scope *model.Scope, x *Node) *Node {
	return func(scope *model.Scope, x *Node) *Node { return g.build(scope, x, from, to) }
}

// cuts are the values, in the order of the network and before the given one, that are all the rest reads, where a layer
// with weights follows.
func (g *network) cuts(end string) (found []string) {
	last := map[string]int{} // the last operator that reads a value
	var nodes []*protos.NodeProto
	for _, n := range g.proto.Node {
		if g.static[firstOutput(n)] {
			continue
		}
		for _, in := range n.Input {
			last[in] = len(nodes)
		}
		nodes = append(nodes, n)
	}
	live := []string{g.input}
	for i, n := range nodes {
		if len(live) == 1 && live[0] != g.input && slices.Contains([]string{"Conv", "Gemm", "MatMul", "LayerNormalization"}, n.OpType) {
			found = append(found, live[0])
		}
		for _, out := range n.Output {
			if out == end {
				return found
			}
			if out != "" && last[out] > i {
				live = append(live, out)
			}
		}
		live = slices.DeleteFunc(live, func(name string) bool { return last[name] <= i })
	}
	return found
}
