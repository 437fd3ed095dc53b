package onnx_test

import (
	"math"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets/onnx"
)

// TestImputer: what is no number is replaced, and has no slope; the rest passes with slope 1.
func TestImputer(t *testing.T) {
	nan := float32(math.NaN())
	n := node("Imputer", "y", "x")
	n.Domain = "ai.onnx.ml"
	n.Attribute = []*protos.AttributeProto{{Name: "imputed_value_floats", Type: protos.AttributeProto_FLOATS, Floats: []float32{5, 6, 7}},
		{Name: "replaced_value_float", Type: protos.AttributeProto_FLOAT, F: nan}}
	p := &protos.ModelProto{IrVersion: 8, OpsetImport: []*protos.OperatorSetIdProto{{Version: 17}, {Domain: "ai.onnx.ml", Version: 1}},
		Graph: &protos.GraphProto{Input: []*protos.ValueInfoProto{input("x", 0, 3)}, Output: []*protos.ValueInfoProto{{Name: "y"}},
			Node: []*protos.NodeProto{n}}}
	m, err := onnx.Load(onnxFile(t, t.TempDir(), p), onnx.Options{})
	require.NoError(t, err)
	e := model.MustNewExec(sequential(t), m.Store, func(scope *model.Scope, x *Node) (*Node, *Node) {
		z := m.Logits(scope, x)
		return z, Gradient(ReduceAllSum(z), x)[0]
	})
	out := e.MustCall(tensors.FromFlatDataAndDimensions([]float32{1, nan, 0, nan, 2, 3}, 2, 3))
	require.Equal(t, []float32{1, 6, 0, 5, 2, 3}, tensors.MustCopyFlatData[float32](out[0]))
	require.Equal(t, []float32{1, 0, 1, 0, 1, 1}, tensors.MustCopyFlatData[float32](out[1]))
	n.Attribute = []*protos.AttributeProto{list("imputed_value_int64s", 1)}
	_, err = onnx.Load(onnxFile(t, t.TempDir(), p), onnx.Options{})
	require.ErrorContains(t, err, "of integers is not supported")
}
