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
		if !isHalving(pool) {
			continue
		}
		before := g.producer[pool.Input[0]]
		f := fusion{}
		if before != nil && before.OpType == "Relu" && reads[before.Output[0]] == 1 {
			f.relu, before = true, g.producer[before.Input[0]]
		}
		if before == nil || reads[before.Output[0]] != 1 || !keepsSize(before) {
			continue
		}
		f.conv = before
		g.fusions[pool], g.fused[before] = f, true
		if f.relu {
			g.fused[g.producer[pool.Input[0]]] = true
		}
	}
}

// isHalving tells whether a node is a 2x2 max-pool without overlap, pads and whatever else there is.
func isHalving(n *protos.NodeProto) bool {
	return n.OpType == "MaxPool" && ints(n, "kernel_shape", 2) && len(attribute(n, "kernel_shape").Ints) == 2 && ints(n, "strides", 2) &&
		intsOrNone(n, "pads", 0) && intsOrNone(n, "dilations", 1) && intOr(n, "ceil_mode", 0) == 0 && attribute(n, "auto_pad") == nil
}

// keepsSize tells whether a node is a 3x3 convolution with stride 1 and a border of one pixel.
func keepsSize(n *protos.NodeProto) bool {
	return n.OpType == "Conv" && ints(n, "kernel_shape", 3) && ints(n, "pads", 1) && intsOrNone(n, "strides", 1) &&
		intsOrNone(n, "dilations", 1) && intOr(n, "group", 1) == 1 && attribute(n, "auto_pad") == nil
}

// intsOrNone is ints, or true of an attribute that is not given.
func intsOrNone(n *protos.NodeProto, name string, value int64) bool {
	return attribute(n, name) == nil || ints(n, name, value)
}

// ints tells whether an attribute is a list of nothing but value.
func ints(n *protos.NodeProto, name string, value int64) bool {
	a := attribute(n, name)
	return a != nil && len(a.Ints) > 0 && !slices.ContainsFunc(a.Ints, func(v int64) bool { return v != value })
}

// convMaxPool builds a fusion.
func (v *values) convMaxPool(f fusion) *Node {
	x, kernel := v.image(f.conv.Input[0]), v.kernel(f.conv)
	checkChannels(x, kernel, 1)
	y := v.biased(f.conv, nets.SmallConvMaxPool2D(x, kernel))
	if f.relu {
		y = relu(y)
	}
	return y
}
