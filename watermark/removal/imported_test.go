package removal_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/watermark/removal"
)

// normalized writes a network with a batch normalization, whose statistics are variables that nobody trains.
func normalized(t *testing.T) (path string) {
	t.Helper()
	weight := func(name string, dims ...int64) *protos.TensorProto {
		n := 1
		for _, d := range dims {
			n *= int(d)
		}
		w := &protos.TensorProto{Name: name, DataType: int32(protos.TensorProto_FLOAT), Dims: dims}
		for i := range n {
			w.FloatData = append(w.FloatData, 0.1+float32((i*7)%5)/10)
		}
		return w
	}
	axis := func(d int64) *protos.TensorShapeProto_Dimension {
		if d == 0 {
			return &protos.TensorShapeProto_Dimension{Value: &protos.TensorShapeProto_Dimension_DimParam{DimParam: "batch"}}
		}
		return &protos.TensorShapeProto_Dimension{Value: &protos.TensorShapeProto_Dimension_DimValue{DimValue: d}}
	}
	node := func(op, out string, in ...string) *protos.NodeProto {
		return &protos.NodeProto{OpType: op, Input: in, Output: []string{out}}
	}
	p := &protos.ModelProto{IrVersion: 8, OpsetImport: []*protos.OperatorSetIdProto{{Version: 15}}, Graph: &protos.GraphProto{
		Input: []*protos.ValueInfoProto{{Name: "images", Type: &protos.TypeProto{Value: &protos.TypeProto_TensorType{
			TensorType: &protos.TypeProto_Tensor{ElemType: int32(protos.TensorProto_FLOAT),
				Shape: &protos.TensorShapeProto{Dim: []*protos.TensorShapeProto_Dimension{axis(0), axis(8), axis(8), axis(1)}}}}}}},
		Output: []*protos.ValueInfoProto{{Name: "logits"}},
		Initializer: []*protos.TensorProto{weight("w", 64, 6), weight("scale", 6), weight("shift", 6), weight("mean", 6), weight("variance", 6),
			weight("v", 6, 3)},
		Node: []*protos.NodeProto{node("Flatten", "flat", "images"), node("MatMul", "a", "flat", "w"),
			node("BatchNormalization", "b", "a", "scale", "shift", "mean", "variance"), node("Relu", "c", "b"), node("MatMul", "logits", "c", "v")},
	}}
	content, err := proto.Marshal(p)
	require.NoError(t, err)
	path = filepath.Join(t.TempDir(), "m.onnx")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// TestImported: attacks work on networks from files, those that train too, and what comes out can be written back.
func TestImported(t *testing.T) {
	const cnn = "../../nets/onnx/testdata/cnn_new.onnx"
	e := testengine.Quick(t)
	for _, c := range []struct {
		file string
		r    removal.Removal
	}{
		{cnn, removal.FinePrune{Share: 0.25, Training: brief}}, {cnn, removal.Prune{Share: 0.3}},
		{normalized(t), removal.FineTune{Training: brief}},
		{normalized(t), removal.Overwrite{Key: thiefsKey(t), Embedder: few(3)}},
	} {
		m, err := onnx.Load(c.file, onnx.Options{})
		require.NoError(t, err)
		images := random(60, m.InputShape...)
		labels := make([]int32, 60)
		for i := range labels {
			labels[i] = int32(i % m.Classes)
		}
		got, err := c.r.Apply(t.Context(), e, m, fit.Data{Images: images, Labels: labels}, fit.Options{})
		require.NoError(t, err, c.r.Name())
		to := filepath.Join(t.TempDir(), "m.onnx")
		require.NoError(t, onnx.WriteWeights(c.file, to, got), c.r.Name())
		back, err := onnx.Load(to, onnx.Options{})
		require.NoError(t, err)
		require.Equal(t, weights(t, got), weights(t, back))
	}
}
