package onnx_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
)

// reference is an ONNX file with what ONNX Runtime and PyTorch compute of it.
type reference struct {
	Name     string
	Model    []byte
	Output   string // that the user names
	Shape    []int
	X        []float32   // images of Shape
	Logits   [][]float64 // by ONNX Runtime
	Gradient []float64   // by X, of the sum of sin(1+i) times the i-th logit of the batch, or of each image; none: not compared
	Refused  string      // part of the reason for which the file must be refused

	eachImage bool // i counts the logits of an image; a gradient of one image holds for all
}

func readReferences[T any](t testing.TB, path string) (all []T) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(z).Decode(&all))
	require.NotEmpty(t, all)
	return all
}

// load writes the file to a folder and loads it.
func (r *reference) load(dir string) (*nets.Model, error) {
	path := filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(path, r.Model, 0o600); err != nil {
		return nil, err
	}
	return onnx.Load(path, onnx.Options{Output: r.Output})
}

// compare runs the model, and says what differs: empty, if logits are within 1e-4 of one plus their size and gradients
// within 1e-3 of theirs.
func (r *reference) compare(backend compute.Backend, m *nets.Model) (difference string) {
	want := slices.Concat(r.Logits...)
	var logits, gradient []float32
	err := exceptions.TryCatch[error](func() {
		e := model.MustNewExec(backend, m.Store, func(scope *model.Scope, x *Node) (*Node, *Node) {
			z := m.Logits(scope, x)
			counted := IotaFull(x.Graph(), z.Shape())
			if r.eachImage {
				counted = Iota(x.Graph(), z.Shape(), 1)
			}
			slope := ZerosLike(x)
			if z.Shape().Size() > 0 {
				slope = Gradient(ReduceAllSum(Mul(z, Sin(OnePlus(counted)))), x)[0]
			}
			return z, slope
		})
		defer e.Finalize()
		out := e.MustCall(tensors.FromFlatDataAndDimensions(slices.Clone(r.X), r.Shape...))
		logits, gradient = tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
		for _, t := range out {
			t.FinalizeAll()
		}
	})
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		return "does not run: " + text
	}
	off, size := farthest(logits, want)
	if !(off <= 1e-4*(1+size)) {
		return fmt.Sprintf("logits differ by %.2g of %.2g: %.4v, want %.4v", off, size, head(logits), head(want))
	}
	if r.Gradient == nil {
		return ""
	}
	want = r.Gradient
	if r.eachImage {
		want = slices.Repeat(want, len(r.X)/len(want))
	}
	off, size = farthest(gradient, want)
	if !(off <= 1e-3*size+1e-6) {
		return fmt.Sprintf("gradients differ by %.2g of %.2g: %.4v, want %.4v", off, size, head(gradient), head(want))
	}
	return ""
}

func head[T any](values []T) []T { return values[:min(len(values), 8)] }

// farthest is the largest difference, and the largest wanted value.
func farthest(got []float32, want []float64) (off, size float64) {
	if len(got) != len(want) {
		return math.Inf(1), float64(len(want))
	}
	for i, w := range want {
		d := math.Abs(float64(got[i]) - w)
		if d > off || d != d {
			off = d
		}
		size = max(size, math.Abs(w))
	}
	return off, size
}

// sequential is the pure-Go backend, one operator after another: where one panics, compare can say so, and convolutions
// do not wait for each other's workers. It compiles in no time.
func sequential(t testing.TB) compute.Backend {
	t.Helper()
	b, err := gobackend.New("ops_sequential")
	require.NoError(t, err)
	t.Cleanup(b.Finalize)
	return b
}
