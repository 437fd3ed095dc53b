package nets_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/npy"
)

// TestONNXGolden compares logits and input gradients with PyTorch's, made by testdata/make_golden.py.
func TestONNXGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.onnx")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".onnx"), func(t *testing.T) {
			m, err := nets.LoadONNX(file, nets.ONNXOptions{})
			require.NoError(t, err)
			base := strings.TrimSuffix(file, ".onnx")
			x, wantLogits, wantGrad := read(t, base+"_x.npy"), read(t, base+"_logits.npy"), read(t, base+"_grad.npy")
			labels, err := npy.ReadLabels(base + "_y.npy")
			require.NoError(t, err)
			logits, grad := logitsAndGradient(t, m, x, labels)
			a, b := largestDifference(t, logits, wantLogits), relativeError(t, grad, wantGrad)
			t.Logf("logits %.1e, gradients %.1e relative; classes %d, weights %d", a, b, m.Classes, len(m.WeightPaths))
			require.Less(t, a, 1e-4)
			require.Less(t, b, 1e-3)
		})
	}
}

func read(t *testing.T, path string) *tensors.Tensor {
	t.Helper()
	x, err := npy.ReadImages(path)
	require.NoError(t, err)
	return x
}

// logitsAndGradient runs the model once: logits and the gradient of the summed cross-entropy by the images.
func logitsAndGradient(t *testing.T, m *nets.Model, x *tensors.Tensor, labels []int32) (logits, grad *tensors.Tensor) {
	t.Helper()
	exec, err := model.NewExec(testengine.Get(t).Backend(), m.Store, func(scope *model.Scope, x, y *Node) (*Node, *Node) {
		z := m.Logits(scope, x)
		loss := Neg(ReduceAllSum(Mul(LogSoftmax(z), OneHot(y, m.Classes, z.DType()))))
		return z, Gradient(loss, x)[0]
	})
	require.NoError(t, err)
	out, err := exec.Call(x, labels)
	require.NoError(t, err)
	return out[0], out[1]
}

func largestDifference(t *testing.T, a, b *tensors.Tensor) float64 {
	t.Helper()
	require.Equal(t, b.Shape().Dimensions, a.Shape().Dimensions)
	x, y := tensors.MustCopyFlatData[float32](a), tensors.MustCopyFlatData[float32](b)
	worst := 0.0
	for i := range x {
		d := math.Abs(float64(x[i] - y[i]))
		if d > worst || d != d {
			worst = d
		}
	}
	return worst
}

// relativeError is the largest difference in units of the largest value.
func relativeError(t *testing.T, a, b *tensors.Tensor) float64 {
	t.Helper()
	scale := 0.0
	for _, v := range tensors.MustCopyFlatData[float32](b) {
		scale = max(scale, math.Abs(float64(v)))
	}
	require.Positive(t, scale)
	return largestDifference(t, a, b) / scale
}
