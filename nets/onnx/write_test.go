package onnx_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
)

// weightsIn are all variables of a network, by their paths.
func weightsIn(t *testing.T, m *nets.Model) map[string][]float32 {
	t.Helper()
	all := map[string][]float32{}
	for v := range m.Store.IterVariables() {
		if strings.HasPrefix(v.Path(), "/ONNX/") {
			all[v.Path()] = tensors.MustCopyFlatData[float32](v.MustValue())
		}
	}
	return all
}

// change gives every weight other numbers, all of them different.
func change(t *testing.T, m *nets.Model) {
	t.Helper()
	for i, w := range m.Weights() {
		values := tensors.MustCopyFlatData[float32](w.MustValue())
		for j := range values {
			values[j] += float32(math.Sin(float64(i+7*j))) / 64
		}
		require.NoError(t, w.SetValue(tensors.FromFlatDataAndDimensions(values, w.Shape().Dimensions...)))
	}
}

// rewritten writes m, which was loaded from a file, and loads the result.
func rewritten(t *testing.T, from string, m *nets.Model, o onnx.Options) (*nets.Model, string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "written.onnx")
	require.NoError(t, onnx.WriteWeights(from, to, m))
	again, err := onnx.Load(to, o)
	require.NoError(t, err)
	return again, to
}

// TestWriteWeights: files that are written load to the same bits, whether the weights have changed or not.
func TestWriteWeights(t *testing.T) {
	files, err := filepath.Glob("testdata/*.onnx")
	require.NoError(t, err)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			m, err := onnx.Load(file, onnx.Options{})
			require.NoError(t, err)
			before := weightsIn(t, m)
			again, to := rewritten(t, file, m, onnx.Options{})
			require.Equal(t, before, weightsIn(t, again))
			require.Equal(t, m.WeightPaths, again.WeightPaths)
			require.Equal(t, m.Dense, again.Dense)
			twice := to + "2"
			require.NoError(t, onnx.WriteWeights(to, twice, again))
			require.Equal(t, readBytes(t, to), readBytes(t, twice), "written again, other bytes")
			change(t, m)
			require.NotEqual(t, before, weightsIn(t, m))
			again, _ = rewritten(t, file, m, onnx.Options{})
			require.Equal(t, weightsIn(t, m), weightsIn(t, again))
		})
	}
}

func readBytes(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return content
}

// TestWriteRandomGraphs does the same for graphs of every operator, with weights in all kinds of places.
func TestWriteRandomGraphs(t *testing.T) {
	wrote := 0
	for _, g := range readReferences[*randomGraph](t, "testdata/random_graphs.json.gz") {
		dir := t.TempDir()
		m, err := g.load(dir)
		if err != nil || len(m.WeightPaths) == 0 {
			continue
		}
		from, to := filepath.Join(dir, "m.onnx"), filepath.Join(dir, "to.onnx")
		change(t, m)
		require.NoError(t, onnx.WriteWeights(from, to, m), g.Name)
		again, err := onnx.Load(to, onnx.Options{Output: g.Output})
		require.NoError(t, err, g.Name)
		require.Equal(t, weightsIn(t, m), weightsIn(t, again), g.Name)
		wrote++
	}
	require.Greater(t, wrote, 20)
	t.Log(wrote, "graphs")
}

// TestWriteTrained: a network that is trained a little, written and loaded has the logits that it had, and the file that it
// came from may be the one that is replaced. ONNX Runtime finds the same, where BENCH_PYTHON names a Python that has it.
func TestWriteTrained(t *testing.T) {
	e := testengine.Quick(t)
	x := read(t, "testdata/cnn_external_x.npy")
	path := filepath.Join(t.TempDir(), "cnn_external.onnx")
	for _, name := range []string{"cnn_external.onnx", "cnn_external.onnx.data"} {
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), name), readBytes(t, "testdata/"+name), 0o600))
	}
	m, err := onnx.Load(path, onnx.Options{Lower: -10, Upper: 10})
	require.NoError(t, err)
	labels := make([]int32, x.Shape().Dimensions[0])
	_, err = fit.Train(t.Context(), e, m, fit.Data{Images: x, Labels: labels},
		fit.Config{Phases: []fit.Phase{{Epochs: 2, Loss: fit.CrossEntropy()}}, BatchSize: len(labels), LearningRate: 1e-2})
	require.NoError(t, err)
	want, _ := logitsAndGradient(t, m, x, labels)
	require.Greater(t, largestDifference(t, want, read(t, "testdata/cnn_external_logits.npy")), 1e-2)

	require.NoError(t, onnx.WriteWeights(path, path, m))
	require.NoError(t, os.Remove(path+".data"), "all weights are in the one file")
	again, err := onnx.Load(path, onnx.Options{})
	require.NoError(t, err)
	got, _ := logitsAndGradient(t, again, x, labels)
	require.Equal(t, want.Value(), got.Value())

	python := os.Getenv("BENCH_PYTHON")
	if python == "" {
		return
	}
	script := `import json, sys, numpy, onnxruntime, onnx
onnx.checker.check_model(sys.argv[1])
s = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
print(json.dumps(s.run(None, {s.get_inputs()[0].name: numpy.load(sys.argv[2])})[0].ravel().tolist()))`
	out, err := exec.Command(python, "-c", script, path, "testdata/cnn_external_x.npy").Output()
	require.NoError(t, err)
	var values []float32
	require.NoError(t, json.Unmarshal(out, &values))
	require.InDeltaSlice(t, tensors.MustCopyFlatData[float32](want), values, 1e-4)
}

// TestWritePlaces: weights in nodes' attributes, weights that a fixed batch repeats, a square matrix that is turned.
func TestWritePlaces(t *testing.T) {
	constant := func(a *protos.AttributeProto) *protos.NodeProto {
		return &protos.NodeProto{OpType: "Constant", Output: []string{"b"}, Attribute: []*protos.AttributeProto{a}}
	}
	classifier := func(classes int, intercepts ...float32) *protos.NodeProto {
		labels := &protos.AttributeProto{Name: "classlabels_ints", Type: protos.AttributeProto_INTS}
		for c := range classes {
			labels.Ints = append(labels.Ints, int64(c))
		}
		rows := len(intercepts)
		return &protos.NodeProto{OpType: "LinearClassifier", Domain: "ai.onnx.ml", Input: []string{"images"}, Output: []string{"label", "logits"},
			Attribute: []*protos.AttributeProto{labels,
				{Name: "coefficients", Type: protos.AttributeProto_FLOATS, Floats: weight("", int64(4*rows)).FloatData},
				{Name: "intercepts", Type: protos.AttributeProto_FLOATS, Floats: intercepts}}}
	}
	for name, edit := range map[string]func(p *protos.ModelProto){
		"tensor of a Constant": func(p *protos.ModelProto) {
			p.Graph.Node = []*protos.NodeProto{constant(&protos.AttributeProto{Name: "value", T: weight("", 3), Type: protos.AttributeProto_TENSOR}),
				node("MatMul", "y", "images", "w"), node("Add", "logits", "y", "b")}
		},
		"numbers of a Constant": func(p *protos.ModelProto) {
			p.Graph.Node = []*protos.NodeProto{constant(&protos.AttributeProto{Name: "value_floats", Floats: []float32{1, 2, 3},
				Type: protos.AttributeProto_FLOATS}), node("MatMul", "y", "images", "w"), node("Add", "logits", "y", "b")}
		},
		"linear classifier": func(p *protos.ModelProto) {
			p.OpsetImport = append(p.OpsetImport, &protos.OperatorSetIdProto{Domain: "ai.onnx.ml", Version: 1})
			p.Graph.Node = []*protos.NodeProto{classifier(3, 1, 2, 3)}
		},
		"square": func(p *protos.ModelProto) {
			gemm := node("Gemm", "y", "images", "square")
			gemm.Attribute = []*protos.AttributeProto{{Name: "transB", I: 1, Type: protos.AttributeProto_INT}}
			p.Graph.Initializer = append(p.Graph.Initializer, weight("square", 4, 4))
			p.Graph.Node = []*protos.NodeProto{gemm, node("MatMul", "logits", "y", "w")}
		},
		"repeated for a batch": func(p *protos.ModelProto) {
			p.Graph.Input = []*protos.ValueInfoProto{input("images", 2, 4)}
			join := node("Concat", "y", "images", "token")
			join.Attribute = []*protos.AttributeProto{{Name: "axis", I: 1, Type: protos.AttributeProto_INT}}
			token := weight("token", 2, 2)
			token.FloatData = []float32{3, 4, 3, 4}
			p.Graph.Initializer = []*protos.TensorProto{weight("w", 6, 3), token}
			p.Graph.Node = []*protos.NodeProto{join, node("MatMul", "logits", "y", "w")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := linear()
			edit(p)
			from := onnxFile(t, t.TempDir(), p)
			m, err := onnx.Load(from, onnx.Options{})
			require.NoError(t, err)
			change(t, m)
			again, _ := rewritten(t, from, m, onnx.Options{})
			require.Equal(t, weightsIn(t, m), weightsIn(t, again))
			require.Len(t, m.WeightPaths, 2)
		})
	}
	p := linear()
	p.OpsetImport = append(p.OpsetImport, &protos.OperatorSetIdProto{Domain: "ai.onnx.ml", Version: 1})
	p.Graph.Node = []*protos.NodeProto{classifier(2, 1)}
	from := onnxFile(t, t.TempDir(), p)
	m, err := onnx.Load(from, onnx.Options{})
	require.NoError(t, err)
	again, _ := rewritten(t, from, m, onnx.Options{})
	require.Equal(t, weightsIn(t, m), weightsIn(t, again))
	change(t, m)
	require.ErrorContains(t, onnx.WriteWeights(from, from, m), "no longer each other's negative")
}

// TestWriteOutputs: of a file with several outputs, the one that the network was loaded for is found by its weights.
func TestWriteOutputs(t *testing.T) {
	p := linear()
	p.Graph.Initializer = append(p.Graph.Initializer, weight("other", 4, 5), weight("unused", 2))
	p.Graph.Node = append(p.Graph.Node, node("MatMul", "second", "images", "other"))
	p.Graph.Output = append(p.Graph.Output, &protos.ValueInfoProto{Name: "second"})
	from := onnxFile(t, t.TempDir(), p)
	for _, output := range []string{"", "logits", "second"} {
		m, err := onnx.Load(from, onnx.Options{Output: output})
		require.NoError(t, err)
		change(t, m)
		again, to := rewritten(t, from, m, onnx.Options{Output: output})
		require.Equal(t, weightsIn(t, m), weightsIn(t, again))
		got := &protos.ModelProto{}
		require.NoError(t, proto.Unmarshal(readBytes(t, to), got))
		for i, tensor := range got.Graph.Initializer { // but for the weight, nothing has changed
			if written := len(tensor.RawData) > 0; written {
				tensor.RawData, tensor.FloatData = nil, p.Graph.Initializer[i].FloatData
			}
		}
		require.True(t, proto.Equal(p, got))
	}
}

// TestWriteRefused: what cannot be written is told in one line, and nothing appears.
func TestWriteRefused(t *testing.T) {
	from := onnxFile(t, t.TempDir(), linear())
	load := func(path string) *nets.Model {
		m, err := onnx.Load(path, onnx.Options{})
		require.NoError(t, err)
		return m
	}
	set := func(m *nets.Model, value float32) *nets.Model {
		w := m.Weights()[0]
		values := slices.Repeat([]float32{value}, w.Shape().Size())
		require.NoError(t, w.SetValue(tensors.FromFlatDataAndDimensions(values, w.Shape().Dimensions...)))
		return m
	}
	native, err := nets.NewMLP(nets.MLPConfig{Input: []int{4}, Classes: 3})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		from string
		m    *nets.Model
		want string
	}{
		"another file": {"testdata/mlp_new.onnx", load(from), "the given input shape [4] has 1"},
		"other shape":  {from, load(onnxFile(t, t.TempDir(), wider())), "want the file that it was loaded from"},
		"built here":   {from, native, "want the file that it was loaded from"},
		"no file":      {filepath.Join(t.TempDir(), "none.onnx"), load(from), "no such file"},
		"not finite":   {from, set(load(from), float32(math.NaN())), "value 0 is NaN: weights must be finite"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := onnx.WriteWeights(c.from, filepath.Join(dir, "to.onnx"), c.m)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
	before := bytes.Clone(readBytes(t, from))
	require.Error(t, onnx.WriteWeights(from, from, set(load(from), float32(math.Inf(1)))))
	require.Equal(t, before, readBytes(t, from))
	require.ErrorContains(t, onnx.WriteWeights(from, filepath.Join(t.TempDir(), "none", "to.onnx"), load(from)), "to.onnx")
}

func wider() *protos.ModelProto {
	p := linear()
	p.Graph.Initializer[0] = weight("w", 4, 9)
	return p
}

func ExampleWriteWeights() {
	m, err := onnx.Load("testdata/mlp_new.onnx", onnx.Options{})
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	// Train m, prune it, mark it; then:
	fmt.Println(onnx.WriteWeights("testdata/mlp_new.onnx", filepath.Join(dir, "trained.onnx"), m))
	// Output: <nil>
}
