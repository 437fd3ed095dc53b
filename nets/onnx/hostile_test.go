package onnx_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/trustbook/trustbook/nets/onnx"
)

// linear is a small good network: images [batch, 4] times weights [4, 3].
func linear() *protos.ModelProto {
	return &protos.ModelProto{IrVersion: 9, OpsetImport: []*protos.OperatorSetIdProto{{Version: 18}}, Graph: &protos.GraphProto{
		Input:       []*protos.ValueInfoProto{input("images", 0, 4)},
		Output:      []*protos.ValueInfoProto{{Name: "logits"}},
		Initializer: []*protos.TensorProto{weight("w", 4, 3)},
		Node:        []*protos.NodeProto{node("MatMul", "logits", "images", "w")},
	}}
}

func input(name string, dims ...int64) *protos.ValueInfoProto {
	shape := &protos.TensorShapeProto{}
	for _, d := range dims {
		axis := &protos.TensorShapeProto_Dimension{Value: &protos.TensorShapeProto_Dimension_DimValue{DimValue: d}}
		if d == 0 {
			axis.Value = &protos.TensorShapeProto_Dimension_DimParam{DimParam: "batch"}
		}
		shape.Dim = append(shape.Dim, axis)
	}
	return &protos.ValueInfoProto{Name: name, Type: &protos.TypeProto{Value: &protos.TypeProto_TensorType{
		TensorType: &protos.TypeProto_Tensor{ElemType: int32(protos.TensorProto_FLOAT), Shape: shape}}}}
}

func weight(name string, dims ...int64) *protos.TensorProto {
	t := &protos.TensorProto{Name: name, DataType: int32(protos.TensorProto_FLOAT), Dims: dims, FloatData: make([]float32, 1)}
	for _, d := range dims {
		t.FloatData = make([]float32, len(t.FloatData)*int(d))
	}
	for i := range t.FloatData {
		t.FloatData[i] = float32(i) / 8
	}
	return t
}

func ints(name string, values ...int64) *protos.TensorProto {
	return &protos.TensorProto{Name: name, DataType: int32(protos.TensorProto_INT64), Dims: []int64{int64(len(values))}, Int64Data: values}
}

func node(op, out string, in ...string) *protos.NodeProto {
	return &protos.NodeProto{OpType: op, Input: in, Output: []string{out}}
}

func external(location, offset, length string) func(p *protos.ModelProto) {
	return func(p *protos.ModelProto) {
		t := p.Graph.Initializer[0]
		t.FloatData, t.DataLocation = nil, protos.TensorProto_EXTERNAL
		t.ExternalData = []*protos.StringStringEntryProto{
			{Key: "location", Value: location}, {Key: "offset", Value: offset}, {Key: "length", Value: length}}
	}
}

// add puts a node between the images and the product.
func add(weights *protos.TensorProto, op string, inputs ...string) func(p *protos.ModelProto) {
	return func(p *protos.ModelProto) {
		p.Graph.Initializer = append(p.Graph.Initializer, weights)
		p.Graph.Node = []*protos.NodeProto{
			node(op, "more", inputs...), node("Add", "sum", "images", "more"), node("MatMul", "logits", "sum", "w")}
	}
}

// TestDamaged: every damaged or hostile file gets an error of one line that says what is wrong, at once and without
// the memory that the file claims to need.
func TestDamaged(t *testing.T) {
	cases := map[string]struct {
		change func(p *protos.ModelProto)
		want   string
	}{
		"no graph":          {func(p *protos.ModelProto) { p.Graph = nil }, "holds no graph"},
		"no nodes":          {func(p *protos.ModelProto) { p.Graph.Node = nil }, "holds no graph"},
		"own functions":     {func(p *protos.ModelProto) { p.Functions = []*protos.FunctionProto{{Name: "f"}} }, "functions of its own"},
		"no output":         {func(p *protos.ModelProto) { p.Graph.Output = nil }, "holds no graph"},
		"unmade output":     {func(p *protos.ModelProto) { p.Graph.Output[0].Name = "x" }, `no node makes the output "x"`},
		"two inputs":        {func(p *protos.ModelProto) { p.Graph.Input = append(p.Graph.Input, input("more", 0, 4)) }, "has 2 inputs"},
		"no input":          {func(p *protos.ModelProto) { p.Graph.Input = nil }, "has 0 inputs"},
		"input of integers": {func(p *protos.ModelProto) { p.Graph.Input[0].Type.GetTensorType().ElemType = 7 }, "holds INT64"},
		"open size": {func(p *protos.ModelProto) { p.Graph.Input[0] = input("images", 0, 0) },
			"leaves dimension 1 open: give the input shape"},
		"huge image":    {func(p *protos.ModelProto) { p.Graph.Input[0] = input("images", 0, 1<<20, 1<<20) }, "1 to 1073741824 values"},
		"negative size": {func(p *protos.ModelProto) { p.Graph.Input[0] = input("images", 0, -4) }, "dimension 1 is -4"},
		"unknown operator": {func(p *protos.ModelProto) { p.Graph.Node[0].OpType = "Banana" },
			`operator Banana (Banana node "logits") is not supported`},
		"foreign operator": {func(p *protos.ModelProto) { p.Graph.Node[0].Domain = "com.example" }, "operator com.example.MatMul"},
		"missing value":    {func(p *protos.ModelProto) { p.Graph.Node[0].Input[1] = "x" }, `reads "x", which no earlier node makes`},
		"too few inputs":   {func(p *protos.ModelProto) { p.Graph.Node[0].Input = p.Graph.Node[0].Input[:1] }, "has 1 inputs"},
		"cycle":            {func(p *protos.ModelProto) { p.Graph.Node[0].Input[0] = "logits" }, "no earlier node makes"},
		"name used twice":  {func(p *protos.ModelProto) { p.Graph.Initializer[0].Name = "images" }, "inputs"},
		"made twice":       {func(p *protos.ModelProto) { p.Graph.Node = append(p.Graph.Node, p.Graph.Node[0]) }, "a second time"},
		"weights missing":  {func(p *protos.ModelProto) { p.Graph.Initializer[0].FloatData = nil }, "needs 48 bytes, the file has 0"},
		"weights too few": {func(p *protos.ModelProto) { p.Graph.Initializer[0].FloatData = make([]float32, 5) },
			"needs 48 bytes, the file has 20"},
		"weights huge":     {func(p *protos.ModelProto) { p.Graph.Initializer[0].Dims = []int64{1 << 40, 1 << 40} }, "impossible shape"},
		"weights negative": {func(p *protos.ModelProto) { p.Graph.Initializer[0].Dims = []int64{-4, -3} }, "impossible shape"},
		"weights NaN":      {func(p *protos.ModelProto) { p.Graph.Initializer[0].FloatData[2] = float32(math.NaN()) }, "value 2 is NaN"},
		"weights infinite": {func(p *protos.ModelProto) { p.Graph.Initializer[0].FloatData[1] = float32(math.Inf(1)) }, "value 1 is +Inf"},
		"strings":          {func(p *protos.ModelProto) { p.Graph.Initializer[0].DataType = 8 }, "holds STRING"},
		"do not fit":       {func(p *protos.ModelProto) { p.Graph.Initializer[0] = weight("w", 5, 3) }, ""},
		"no classes":       {func(p *protos.ModelProto) { p.Graph.Initializer[0] = weight("w", 4, 0) }, ""},
		"not a classifier": {func(p *protos.ModelProto) { p.Graph.Input[0] = input("images", 0, 2, 4) },
			"want logits float32 [batch, classes]"},
		"external: outside":    {external("../w.bin", "0", "48"), "outside the model's folder: refused"},
		"external: absolute":   {external("/etc/passwd", "0", "48"), "outside the model's folder: refused"},
		"external: missing":    {external("none.bin", "0", "48"), "keep the file beside the model"},
		"external: link":       {external("link.bin", "0", "48"), "external data"},
		"external: short":      {external("short.bin", "0", "48"), "has 10 bytes, want 48 at offset 0: truncated"},
		"external: negative":   {external("short.bin", "-48", "48"), "offset -48"},
		"external: far":        {external("short.bin", "9223372036854775807", "48"), "truncated"},
		"external: no number":  {external("short.bin", "0", "many"), "is no number"},
		"external: a folder":   {external(".", "0", "48"), "external data"},
		"external: other size": {external("short.bin", "0", "10"), "needs 48"},
		"constant huge":        {add(ints("n", 1<<20, 1<<20), "ConstantOfShape", "n"), ""},
		"constant large":       {add(ints("n", 1<<18, 1<<17), "ConstantOfShape", "n"), ""},
		"expanded":             {add(ints("n", 1<<20, 1<<15, 1, 4), "Expand", "images", "n"), ""},
		"tiled":                {add(ints("n", 1<<20, 1<<15), "Tile", "images", "n"), ""},
		"reshaped":             {add(ints("n", -1, -1), "Reshape", "images", "n"), ""},
		"reshaped to nothing":  {add(ints("n", 0, 0, 0, 0), "Reshape", "images", "n"), ""},
		"sliced":               {add(ints("n", 9), "Slice", "images", "n", "n"), ""},
		"range": {add(&protos.TensorProto{Name: "n", DataType: 7, RawData: []byte{0, 0, 0, 0, 0, 1, 0, 0}},
			"Range", "n", "n", "n"), ""},
	}
	// Where the error may be said by the graph's builder, only that it is one line that names the file is asked for.
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(dir), "w.bin"), make([]byte, 48), 0o600))
			require.NoError(t, os.Symlink("../w.bin", filepath.Join(dir, "link.bin")))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "short.bin"), make([]byte, 10), 0o600))
			p := linear()
			c.change(p)
			_, err := onnx.Load(onnxFile(t, dir, p), onnx.Options{})
			require.ErrorContains(t, err, "m.onnx: ")
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
			require.NotContains(t, err.Error(), "runtime error")
		})
	}
	m, err := onnx.Load(onnxFile(t, t.TempDir(), linear()), onnx.Options{})
	require.NoError(t, err, "the network before it was damaged")
	require.Equal(t, 3, m.Classes)
}

// TestHugePads: borders that no image has are refused before the padded image is made.
func TestHugePads(t *testing.T) {
	path := edit(t, "cnn_old", func(p *protos.ModelProto) {
		for _, a := range p.Graph.Node[0].Attribute {
			if a.Name == "pads" {
				a.Ints[0] = 1 << 50
			}
		}
	})
	_, err := onnx.Load(path, onnx.Options{})
	require.ErrorContains(t, err, "pads")
}

func TestWrongFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := onnx.Load(filepath.Join(dir, "none.onnx"), onnx.Options{})
	require.ErrorContains(t, err, "no such file")
	_, err = onnx.Load(dir, onnx.Options{})
	require.ErrorContains(t, err, "not a regular file")
	good, err := os.ReadFile("testdata/cnn_old.onnx")
	require.NoError(t, err)
	path := filepath.Join(dir, "m.onnx")
	for name, content := range map[string][]byte{
		"empty": nil, "text": []byte("not a model"), "zip": []byte("PK\x03\x04aaaaaaaa"), "zeros": make([]byte, 100)} {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		_, err := onnx.Load(path, onnx.Options{})
		require.ErrorContains(t, err, "not an ONNX model", name)
	}
	for _, length := range []int{1, 10, 100, len(good) / 2, len(good) - 1} {
		require.NoError(t, os.WriteFile(path, good[:length], 0o600))
		_, err := onnx.Load(path, onnx.Options{})
		require.Error(t, err, length)
		require.NotContains(t, err.Error(), "\n")
	}
	require.NoError(t, os.WriteFile(path, good, 0o600))
	for want, o := range map[string]onnx.Options{
		"the given input shape is [1 28 28]": {InputShape: []int{1, 28, 28}},
		"input shape [144] has 1":            {InputShape: []int{144}},
		"pixel bounds [1, 0]":                {Lower: 1},
	} {
		_, err := onnx.Load(path, o)
		require.ErrorContains(t, err, want)
	}
	m, err := onnx.Load(path, onnx.Options{InputShape: []int{1, 12, 12}, Lower: -1, Upper: 2})
	require.NoError(t, err)
	require.Equal(t, []any{-1.0, 2.0, []int{1, 12, 12}}, []any{m.Lower, m.Upper, m.InputShape})
}

func TestNotesSoftmax(t *testing.T) {
	p := linear()
	p.Graph.Node = []*protos.NodeProto{node("MatMul", "z", "images", "w"), node("Softmax", "logits", "z")}
	m, err := onnx.Load(onnxFile(t, t.TempDir(), p), onnx.Options{})
	require.NoError(t, err)
	require.Len(t, m.Notes, 1)
	require.Contains(t, m.Notes[0], "ends in a softmax")
	m, err = onnx.Load(onnxFile(t, t.TempDir(), linear()), onnx.Options{})
	require.NoError(t, err)
	require.Empty(t, m.Notes)
}

// FuzzLoad: whatever the file, an error of one line or a model that says what it takes; never a panic.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"cnn_old", "cnn_new", "mlp_old", "residual_new", "vit_fixed4"} {
		content, err := os.ReadFile("testdata/" + name + ".onnx")
		require.NoError(f, err)
		f.Add(content)
	}
	content, err := proto.Marshal(linear())
	require.NoError(f, err)
	f.Add(content)
	path := filepath.Join(f.TempDir(), "m.onnx")
	f.Fuzz(func(t *testing.T, content []byte) {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		m, err := onnx.Load(path, onnx.Options{})
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			require.True(t, strings.HasPrefix(err.Error(), "onnx: loading "), err)
			return
		}
		require.Positive(t, m.Classes)
		require.NotEmpty(t, m.InputShape)
		require.NotPanics(t, func() { m.NumParameters() })
	})
}

// edit loads a golden model, changes it and returns the path of the result.
func edit(t *testing.T, name string, change func(p *protos.ModelProto)) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name+".onnx"))
	require.NoError(t, err)
	p := &protos.ModelProto{}
	require.NoError(t, proto.Unmarshal(content, p))
	change(p)
	content, err = proto.Marshal(p)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), name+".onnx")
	require.NoError(t, os.WriteFile(path, content, 0o644))
	return path
}

func onnxFile(t testing.TB, dir string, p *protos.ModelProto) string {
	t.Helper()
	content, err := proto.Marshal(p)
	require.NoError(t, err)
	path := filepath.Join(dir, "m.onnx")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}
