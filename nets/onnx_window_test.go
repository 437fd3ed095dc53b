package nets_test

import (
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute/gobackend"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
)

// windowCase is one file of testdata/make_windows.py.
type windowCase struct {
	Name, Refused       string
	Model               []byte
	Shape               []int
	X, Logits, Gradient []float32
}

// TestONNXWindows compares operators that resize, convolve, pool and normalize with ONNX Runtime: logits, and the gradient
// by the images. It runs on the pure-Go backend, which has nothing to compile for hundreds of graphs.
func TestONNXWindows(t *testing.T) {
	f, err := os.Open("testdata/windows.json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var cases []windowCase
	require.NoError(t, json.NewDecoder(z).Decode(&cases))
	require.Greater(t, len(cases), 120)
	backend, err := gobackend.New("ops_sequential") // its convolutions deadlock when several run at once
	require.NoError(t, err)
	t.Cleanup(backend.Finalize)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.onnx")
			require.NoError(t, os.WriteFile(path, c.Model, 0o600))
			m, err := nets.LoadONNX(path, nets.ONNXOptions{})
			if c.Refused != "" {
				require.ErrorContains(t, err, c.Refused)
				return
			}
			require.NoError(t, err)
			exec, err := model.NewExec(backend, m.Store, func(scope *model.Scope, x *Node) (*Node, *Node) {
				z := m.Logits(scope, x)
				weights := Const(x.Graph(), [][]float32{{float32(math.Sin(1)), float32(math.Sin(2)), float32(math.Sin(3))}})
				return z, Gradient(ReduceAllSum(Mul(z, BroadcastToDims(weights, z.Shape().Dimensions...))), x)[0]
			})
			require.NoError(t, err)
			out, err := exec.Call(tensors.FromFlatDataAndDimensions(c.X, c.Shape...))
			require.NoError(t, err)
			requireClose(t, "logits", tensors.MustCopyFlatData[float32](out[0]), c.Logits, 1e-4)
			want := c.Gradient
			for len(want) < len(c.X) { // the same for each image, of a linear operator
				want = append(want, c.Gradient...)
			}
			requireClose(t, "gradient", tensors.MustCopyFlatData[float32](out[1]), want, 1e-3)
		})
	}
}

// requireClose bounds the largest difference in units of the largest value.
func requireClose(t *testing.T, name string, got, want []float32, bound float64) {
	t.Helper()
	require.Len(t, got, len(want))
	scale, worst := 0.0, 0.0
	for i := range want {
		scale = max(scale, math.Abs(float64(want[i])))
		if d := math.Abs(float64(got[i] - want[i])); d > worst || d != d {
			worst = d
		}
	}
	require.Positive(t, scale, name)
	require.LessOrEqual(t, worst, bound*scale, "%s: got %.5g, want %.5g", name, got[:min(len(got), 12)], want[:min(len(want), 12)])
}
