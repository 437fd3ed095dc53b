package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/trustbook/trustbook/npy"
)

// saveAutoencoder writes an ONNX network from images [batch, 1, 8, 8] to images: two 3x3 convolutions of random numbers over 5 channels,
// a ReLU between and a sigmoid behind, or a product with a matrix and a sigmoid.
func saveAutoencoder(t *testing.T, path string, conv bool) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 3))
	weight := func(name string, dims ...int64) *protos.TensorProto {
		n := 1
		for _, d := range dims {
			n *= int(d)
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(rng.NormFloat64() / 3)
		}
		return &protos.TensorProto{Name: name, DataType: int32(protos.TensorProto_FLOAT), Dims: dims, FloatData: values}
	}
	shape := func(name string, dims ...int64) *protos.TensorProto {
		return &protos.TensorProto{Name: name, DataType: int32(protos.TensorProto_INT64), Dims: []int64{int64(len(dims))}, Int64Data: dims}
	}
	node := func(op, out string, in ...string) *protos.NodeProto {
		n := &protos.NodeProto{OpType: op, Input: in, Output: []string{out}}
		if op == "Conv" {
			n.Attribute = []*protos.AttributeProto{{Name: "pads", Type: protos.AttributeProto_INTS, Ints: []int64{1, 1, 1, 1}}}
		}
		return n
	}
	batch := &protos.TensorShapeProto_Dimension{Value: &protos.TensorShapeProto_Dimension_DimParam{DimParam: "batch"}}
	input := &protos.TypeProto_Tensor{ElemType: int32(protos.TensorProto_FLOAT), Shape: &protos.TensorShapeProto{
		Dim: []*protos.TensorShapeProto_Dimension{batch}}}
	for _, d := range []int64{1, 8, 8} {
		input.Shape.Dim = append(input.Shape.Dim, &protos.TensorShapeProto_Dimension{
			Value: &protos.TensorShapeProto_Dimension_DimValue{DimValue: d}})
	}
	p := &protos.ModelProto{IrVersion: 9, OpsetImport: []*protos.OperatorSetIdProto{{Version: 18}}, Graph: &protos.GraphProto{
		Input:  []*protos.ValueInfoProto{{Name: "x", Type: &protos.TypeProto{Value: &protos.TypeProto_TensorType{TensorType: input}}}},
		Output: []*protos.ValueInfoProto{{Name: "y"}}}}
	if conv {
		p.Graph.Initializer = []*protos.TensorProto{weight("a", 5, 1, 3, 3), weight("b", 1, 5, 3, 3)}
		p.Graph.Node = []*protos.NodeProto{node("Conv", "maps", "x", "a"), node("Relu", "on", "maps"), node("Conv", "z", "on", "b"),
			node("Sigmoid", "y", "z")}
	} else {
		p.Graph.Initializer = []*protos.TensorProto{shape("row", -1, 64), weight("w", 64, 64), shape("image", -1, 1, 8, 8)}
		p.Graph.Node = []*protos.NodeProto{node("Reshape", "flat", "x", "row"), node("MatMul", "z", "flat", "w"), node("Sigmoid", "s", "z"),
			node("Reshape", "y", "s", "image")}
	}
	data, err := proto.Marshal(p)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

// TestUAE: an autoencoder's images, without labels, from file to file.
func TestUAE(t *testing.T) {
	dir, classifier := attackFolder(t)
	saveAutoencoder(t, filepath.Join(dir, "conv.onnx"), true)
	saveAutoencoder(t, filepath.Join(dir, "dense.onnx"), false)
	const n = 3
	images := make([]float32, n*64)
	for i := range images {
		images[i] = float32(i%7) / 7
	}
	saveArray(t, filepath.Join(dir, "small.npy"), images, n, 1, 8, 8)
	args := []string{"attack", "--model", "conv.onnx", "--inputs", "small.npy", "--attack", "uae", "--epsilon", "0.3", "--steps", "20",
		"--out", "adv.npy", "--seed", "4"}
	got := trustbook(t, dir, append(args, "--json")...)
	require.Equal(t, fine, got.status, got.stderr)
	var out struct {
		Success float64  `json:"success_rate"`
		MaxNorm float64  `json:"max_norm"`
		Shared  *float64 `json:"median_information"`
		L2      *float64 `json:"median_l2"`
		Samples string   `json:"samples"`
		Number  int      `json:"examples"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &out))
	require.Equal(t, n, out.Number)
	require.Equal(t, "first convolution(5 maps)", out.Samples)
	require.Positive(t, out.Success)
	require.Positive(t, *out.Shared)
	require.Positive(t, *out.L2)
	adv, err := npy.ReadImages(filepath.Join(dir, "adv.npy"))
	require.NoError(t, err)
	worst := 0.0
	for i, v := range tensors.MustCopyFlatData[float32](adv) {
		require.True(t, v >= 0 && v <= 1)
		worst = max(worst, math.Abs(float64(v-images[i])))
	}
	require.InDelta(t, worst, out.MaxNorm, 1e-6)
	require.LessOrEqual(t, worst, 0.3+1e-6)

	saveArray(t, filepath.Join(dir, "one.npy"), images[:64], 1, 1, 8, 8)
	words := trustbook(t, dir, with(with(with(args, "--model", "dense.onnx"), "--steps", "1"), "--inputs", "one.npy")...)
	require.Equal(t, fine, words.status, words.stderr)
	require.Contains(t, words.stdout, "random projections")
	require.Contains(t, words.stdout, "Perturbed images: adv.npy")

	for _, c := range []struct {
		flag, value string
		words       []string
	}{
		{"--model", "m.onnx", []string{"--inputs small.npy"}},
		{"--norm", "l2", []string{"--norm l2", "linf"}},
		{"--epsilon", "inf", []string{"--epsilon", "finite"}},
		{"--epsilon", "0", []string{"--epsilon 0", "> 0"}},
		{"--labels", "y.npy", []string{"--labels", "no labels"}},
		{"--queries", "5", []string{"--queries", "--steps"}},
		{"--uae-mode", "other", []string{"--uae-mode other", "conv or random"}},
		{"--steps", "0", []string{"--steps"}},
	} {
		fails(t, dir, command(dir, with(args, c.flag, c.value)...), wrongUse, c.words...)
	}
	conv := with(with(args, "--model", "dense.onnx"), "--uae-mode", "conv")
	fails(t, dir, command(dir, conv...), wrongUse, "--uae-mode conv", "random")
	// A classifier, with what does for one.
	other := with(with(args, "--model", "m.onnx"), "--inputs", "x.npy")
	fails(t, dir, command(dir, other...), wrongUse, "--model m.onnx",
		"[8,10] does not match input [8,1,28,28]", "--attack minmax", "--attack pgd")
	fails(t, dir, command(dir, with(classifier, "--uae-mode", "conv")...), wrongUse, "--uae-mode: pgd has no such setting")
}

// TestMinMax: a classifier, with labels or without.
func TestMinMax(t *testing.T) {
	dir, args := attackFolder(t)
	args = with(with(args, "--attack", "minmax"), "--json", "")
	args = args[:len(args)-1]
	for _, labels := range []bool{true, false} {
		run := args
		if !labels {
			run = append(append([]string{}, args[:5]...), args[7:]...)
		}
		got := trustbook(t, dir, run...)
		require.Equal(t, fine, got.status, got.stderr)
		require.Contains(t, got.stdout, "minmax(steps=2")
		if !labels {
			require.Contains(t, got.stdout, "without labels")
		}
	}
	fails(t, dir, command(dir, with(args, "--norm", "l2")...), wrongUse, "--norm l2", "minmax works in linf")
}
