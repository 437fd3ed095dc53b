package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/trustbook/trustbook/nets"
)

// fusion is a 3x3 convolution, a ReLU perhaps, and a 2x2 max-pool that nothing else reads in between. Maximum, bias and
// ReLU commute, gradients included, so the pooling comes first: a quarter of the work, and see ConvMaxPool2D.
type fusion struct {
	conv *protos.NodeProto
	relu bool
}

// findFusions fills g.fusions, by their pooling, and g.fused, the nodes that they replace.
func (g *network) findFusions() {
	g.fusions, g.fused = map[*protos.NodeProto]fusion{}, map[*protos.NodeProto]bool{}
	reads := map[string]int{g.output: 1}
	for _, n := range g.proto.Node {
		for _, in := range n.Input {
			reads[in]++
		}
	}
	for _, pool := range g.proto.Node {
		if pool.OpType != "MaxPool" || !ints(pool, "kernel_shape", 2) || len(attribute(pool, "kernel_shape").Ints) != 2 || !ints(pool, "strides", 2) ||
			len(pool.Attribute) != 2+presence(pool, "pads") || (attribute(pool, "pads") != nil && !ints(pool, "pads", 0)) {
			continue
		}
		before := g.producer[pool.Input[0]]
		f := fusion{}
		if before != nil && before.OpType == "Relu" && reads[before.Output[0]] == 1 {
			f.relu, before = true, g.producer[before.Input[0]]
		}
		if before == nil || before.OpType != "Conv" || reads[before.Output[0]] != 1 || !ints(before, "kernel_shape", 3) || !ints(before, "pads", 1) ||
			(attribute(before, "strides") != nil && !ints(before, "strides", 1)) || (attribute(before, "dilations") != nil && !ints(before, "dilations", 1)) ||
			intOr(before, "group", 1) != 1 || attribute(before, "auto_pad") != nil {
			continue
		}
		f.conv = before
		g.fusions[pool], g.fused[before] = f, true
		if f.relu {
			g.fused[g.producer[pool.Input[0]]] = true
		}
	}
}

// ints tells whether an attribute is a list of nothing but value.
func ints(n *protos.NodeProto, name string, value int64) bool {
	a := attribute(n, name)
	return a != nil && len(a.Ints) > 0 && !slices.ContainsFunc(a.Ints, func(v int64) bool { return v != value })
}

func presence(n *protos.NodeProto, name string) int {
	if attribute(n, name) != nil {
		return 1
	}
	return 0
}

// convMaxPool builds a fusion.
func (v *values) convMaxPool(f fusion) *Node {
	x, kernel := v.image(f.conv.Input[0]), v.kernel(f.conv)
	checkChannels(x, kernel, 1)
	y := v.biased(f.conv, nets.ConvMaxPool2D(x, kernel))
	if f.relu {
		y = relu(y)
	}
	return y
}
