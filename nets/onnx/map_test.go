package onnx_test

import (
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
)

// TestLoadMap: latents of any size become images, one by one as together, whether the export fixed the batch or not; what is no map of a
// batch is refused.
func TestLoadMap(t *testing.T) {
	maps := func(batch, first int64, change func(p *protos.ModelProto)) string {
		p := linear()
		p.Graph.Input[0] = input("images", batch, 4)
		p.Graph.Initializer = append(p.Graph.Initializer, ints("to", first, 1, 3))
		p.Graph.Node = []*protos.NodeProto{node("MatMul", "flat", "images", "w"), node("Reshape", "logits", "flat", "to")}
		if change != nil {
			change(p)
		}
		return onnxFile(t, t.TempDir(), p)
	}
	latents := []float32{1, 0, 0, 0, 0, 0, 0, -40}
	want := [][]float32{{0, 1. / 8, 2. / 8}, {-45, -50, -55}}
	for _, file := range []string{maps(0, -1, nil), maps(2, 2, nil)} {
		m, shape, err := onnx.LoadMap(file, onnx.Options{})
		require.NoError(t, err)
		require.Equal(t, []int{1, 3}, shape)
		require.Equal(t, []int{4}, m.InputShape)
		require.Equal(t, 3, m.Classes)
		require.Empty(t, m.Notes)
		for _, batch := range []int{1, 2, 5} {
			run, err := nets.NewPredictor(testengine.Quick(t).Backend(), m, batch)
			require.NoError(t, err)
			got, err := run.Logits(tensors.FromFlatDataAndDimensions(latents, 2, 4))
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	two := func(p *protos.ModelProto) {
		p.Graph.Output = append(p.Graph.Output, &protos.ValueInfoProto{Name: "flat"})
	}
	_, _, err := onnx.LoadMap(maps(0, -1, two), onnx.Options{})
	require.ErrorContains(t, err, "outputs logits, flat: name the one")
	_, shape, err := onnx.LoadMap(maps(0, -1, two), onnx.Options{Output: "flat"})
	require.NoError(t, err)
	require.Equal(t, []int{3}, shape)
	single := func(p *protos.ModelProto) {
		p.Graph.Node = append(p.Graph.Node[:1], node("ReduceSum", "logits", "flat"))
	}
	_, _, err = onnx.LoadMap(maps(0, -1, single), onnx.Options{})
	require.ErrorContains(t, err, "want float32 [batch, ...]")
	_, err = onnx.Load(maps(0, -1, nil), onnx.Options{})
	require.ErrorContains(t, err, "want logits float32 [batch, classes]", "it is no classifier")
}
