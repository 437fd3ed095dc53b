package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
)

// saveDecoder writes an ONNX network from latents [batch, latent] to sigmoids of their products with a matrix of random numbers, in the
// given shape.
func saveDecoder(t *testing.T, path string, latent int, shape ...int64) {
	t.Helper()
	values, rng := 1, rand.New(rand.NewPCG(1, 1))
	for _, d := range shape {
		values *= int(d)
	}
	matrix := make([]float32, latent*values)
	for i := range matrix {
		matrix[i] = float32(rng.NormFloat64())
	}
	axis := func(name string, size int64) *protos.TensorShapeProto_Dimension {
		if name != "" {
			return &protos.TensorShapeProto_Dimension{Value: &protos.TensorShapeProto_Dimension_DimParam{DimParam: name}}
		}
		return &protos.TensorShapeProto_Dimension{Value: &protos.TensorShapeProto_Dimension_DimValue{DimValue: size}}
	}
	input := &protos.TypeProto_Tensor{ElemType: int32(protos.TensorProto_FLOAT),
		Shape: &protos.TensorShapeProto{Dim: []*protos.TensorShapeProto_Dimension{axis("batch", 0), axis("", int64(latent))}}}
	node := func(op, out string, in ...string) *protos.NodeProto {
		return &protos.NodeProto{OpType: op, Input: in, Output: []string{out}}
	}
	p := &protos.ModelProto{IrVersion: 9, OpsetImport: []*protos.OperatorSetIdProto{{Version: 18}}, Graph: &protos.GraphProto{
		Input:  []*protos.ValueInfoProto{{Name: "z", Type: &protos.TypeProto{Value: &protos.TypeProto_TensorType{TensorType: input}}}},
		Output: []*protos.ValueInfoProto{{Name: "images"}},
		Initializer: []*protos.TensorProto{
			{Name: "w", DataType: int32(protos.TensorProto_FLOAT), Dims: []int64{int64(latent), int64(values)}, FloatData: matrix},
			{Name: "to", DataType: int32(protos.TensorProto_INT64), Dims: []int64{int64(len(shape) + 1)}, Int64Data: append([]int64{-1}, shape...)},
		},
		Node: []*protos.NodeProto{node("MatMul", "all", "z", "w"), node("Sigmoid", "on", "all"), node("Reshape", "images", "on", "to")},
	}}
	data, err := proto.Marshal(p)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

// TestDecoderDirections: a decoder from a file is where an attack searches, whether its output has the image's axes or not; output that
// is no image of the model's is refused.
func TestDecoderDirections(t *testing.T) {
	dir, good := attackFolder(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	saveDecoder(t, at("good.onnx"), 5, 1, 28, 28)
	saveDecoder(t, at("flat.onnx"), 5, 784)
	saveDecoder(t, at("square.onnx"), 5, 28, 28)
	saveDecoder(t, at("wide.onnx"), 5, 1, 28, 29)
	saveDecoder(t, at("turned.onnx"), 5, 1, 14, 56)
	m, err := onnx.Load(at("m.onnx"), onnx.Options{})
	require.NoError(t, err)
	run, err := nets.NewPredictor(testengine.Quick(t).Backend(), m, 6)
	require.NoError(t, err)
	classes, err := run.Classes(tensors.FromFlatDataAndDimensions(blobs(6), 6, 1, 28, 28))
	require.NoError(t, err)
	saveArray(t, at("y.npy"), classes, 6)
	step := slices.Index(good, "--steps")
	good = slices.Delete(good, step, step+2)
	good = append(with(good, "--epsilon", "inf"), "--attack", "hopskipjump", "--norm", "l2", "--queries", "300", "--json", "--directions")

	var same []byte
	for i, name := range []string{"good.onnx", "flat.onnx", "square.onnx"} {
		got := trustbook(t, dir, append(slices.Clone(good), "decoder:"+name)...)
		require.Equal(t, fine, got.status, got.stderr)
		var out map[string]any
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &out))
		require.Contains(t, out["attack"], "decoder:"+name)
		require.Positive(t, out["success_rate"])
		found, err := os.ReadFile(at("adv.npy"))
		require.NoError(t, err)
		if i == 0 {
			same = found
		}
		require.Equal(t, same, found, "the same values in the same order")
	}
	got := trustbook(t, dir, append(slices.Clone(good), "full")...)
	require.Equal(t, fine, got.status, got.stderr)
	other, err := os.ReadFile(at("adv.npy"))
	require.NoError(t, err)
	require.NotEqual(t, same, other, "directions that nobody looks at")

	for value, words := range map[string][]string{
		"decoder:":            {"--directions decoder:", "want decoder:FILE.onnx"},
		"decoder:absent.onnx": {"--directions decoder:absent.onnx", "no such file"},
		"decoder:short.onnx":  {"--directions decoder:short.onnx"},
		"decoder:wide.onnx":   {"puts out images of shape [1 28 29]", "takes [1 28 28]", "or 784 values"},
		"decoder:turned.onnx": {"puts out images of shape [1 14 56]"},
		"encoder:good.onnx":   {"bilinear:SIDE", "decoder:FILE.onnx"},
	} {
		fails(t, dir, command(dir, append(slices.Clone(good), value)...), wrongUse, words...)
	}
	over := with(append(slices.Clone(good), "decoder:good.onnx"), "--out", "good.onnx")
	fails(t, dir, command(dir, over...), wrongUse, "is the file of --directions")
}
