package nets_test

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// onnxCase is a network with images, ONNX Runtime's logits, and PyTorch's gradient of sum over i of sin(1+i) logits[i].
type onnxCase struct {
	Kind, Name, Model string
	Shape             []int
	X                 []float32
	Logits            [][]float64
	Gradient          []float64
	Output            string
	Refused, Note     string // parts of the message and of a note
}

func (c onnxCase) load(t testing.TB) (*nets.Model, error) {
	t.Helper()
	content, err := base64.StdEncoding.DecodeString(c.Model)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "m.onnx")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return nets.LoadONNX(path, nets.ONNXOptions{Output: c.Output})
}

func readCases(t testing.TB, path string) (cases []onnxCase) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(z).Decode(&cases))
	require.NotEmpty(t, cases)
	return cases
}

// TestONNXCases runs what testdata/make_cases.py made: kinds of files that were once loaded as other networks, refused for
// false reasons, or without gradients.
func TestONNXCases(t *testing.T) {
	for _, c := range readCases(t, "testdata/cases.json.gz") {
		t.Run(c.Kind+"/"+c.Name, func(t *testing.T) {
			m, err := c.load(t)
			if c.Refused != "" {
				require.ErrorContains(t, err, c.Refused)
				require.NotContains(t, err.Error(), "\n")
				return
			}
			require.NoError(t, err)
			if c.Note == "" {
				require.Empty(t, m.Notes)
			} else {
				require.Contains(t, strings.Join(m.Notes, "\n"), c.Note)
			}
			for i, row := range c.Logits { // one number an example: two classes
				if len(row) == 1 && strings.Contains(c.Note, "probability") {
					row[0] = math.Log(row[0] / (1 - row[0]))
				}
				if len(row) == 1 {
					c.Logits[i] = []float64{-row[0] / 2, row[0] / 2}
				}
			}
			c.compare(t, m, testengine.Pure(t).Backend())
		})
	}
}

// compare runs the model: logits within 1e-4, gradients within 1e-3 of the largest.
func (c onnxCase) compare(t *testing.T, m *nets.Model, backend compute.Backend) {
	t.Helper()
	exec, err := model.NewExec(backend, m.Store, func(scope *model.Scope, x *Node) (*Node, *Node) {
		z := m.Logits(scope, x)
		return z, Gradient(ReduceAllSum(Mul(z, Sin(AddScalar(IotaFull(x.Graph(), z.Shape()), 1)))), x)[0]
	})
	require.NoError(t, err)
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(c.X, c.Shape...))
	require.NoError(t, err)
	var logits []float64
	for _, row := range c.Logits {
		require.Len(t, row, m.Classes)
		logits = append(logits, row...)
	}
	near(t, "logits", logits, tensors.MustCopyFlatData[float32](out[0]), 1e-4, 1)
	if c.Gradient != nil {
		near(t, "gradient", c.Gradient, tensors.MustCopyFlatData[float32](out[1]), 1e-3, 1e-3)
	}
}

// near compares within a share of the largest value, and of floor where all are small.
func near(t *testing.T, what string, want []float64, got []float32, share, floor float64) {
	t.Helper()
	require.Len(t, got, len(want), what)
	largest := floor
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	for i, w := range want {
		require.InDelta(t, w, got[i], share*largest, "%s %d of %d", what, i, len(want))
	}
}
