package onnx

import (
	"math"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
)

// TestLargeConstants: values that are no weights stand in the store where they are large, but for indices and what decides
// shapes, and their infinities are still known of.
func TestLargeConstants(t *testing.T) {
	mask := make([]float32, heldBytes/4)
	mask[1] = float32(math.Inf(-1))
	node := func(op, out string, in ...string) *protos.NodeProto {
		return &protos.NodeProto{OpType: op, Input: in, Output: []string{out}}
	}
	g := newNetwork(true)
	g.opset = 13
	g.proto = &protos.GraphProto{
		Initializer: []*protos.TensorProto{floatTensor("mask", mask, 1, heldBytes/4), floatTensor("few", mask[2:4], 1, 2),
			intTensor("indices", make([]int64, heldBytes/8), heldBytes/8), floatTensor("scales", mask, heldBytes/4)},
		Node: []*protos.NodeProto{node("Max", "a", "x", "mask"), node("Max", "b", "a", "few"), node("Gather", "c", "b", "indices"),
			node("Resize", "d", "c", "", "scales")},
	}
	m, err := nets.NewModel([]int{heldBytes / 4}, 0, 1)
	require.NoError(t, err)
	require.NoError(t, g.variables(m))
	g.plan()
	require.True(t, g.infinite)
	require.Contains(t, g.held, "mask")
	require.NotContains(t, g.static, "mask")
	require.False(t, m.Store.GetVariable(g.held["mask"]).Trainable)
	require.Empty(t, m.WeightPaths)
	require.Contains(t, g.constants, "few")
	require.Contains(t, g.constants, "indices", "operators look at them")
	require.Contains(t, g.constants, "scales", "decide a shape")
}
