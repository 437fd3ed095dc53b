package onnx_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
)

// TestGolden compares logits and input gradients with PyTorch's, made by testdata/make_golden.py.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.onnx")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".onnx"), func(t *testing.T) {
			m, err := onnx.Load(file, onnx.Options{})
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
	exec, err := model.NewExec(testengine.Quick(t).Backend(), m.Store, func(scope *model.Scope, x, y *Node) (*Node, *Node) {
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

// TestDense: a chain of dense layers lists them, weights turned to [inputs, outputs].
func TestDense(t *testing.T) {
	for _, name := range []string{"mlp_old", "mlp_new"} {
		m, err := onnx.Load("testdata/"+name+".onnx", onnx.Options{})
		require.NoError(t, err)
		require.Len(t, m.Dense, 3)
		widths := []int{36, 12, 8, 3}
		for i, l := range m.Dense {
			require.Equal(t, widths[i:i+2], m.Store.GetVariable(l.Weight).Shape().Dimensions)
			require.Equal(t, widths[i+1:i+2], m.Store.GetVariable(l.Bias).Shape().Dimensions)
			require.Equal(t, []string{l.Weight, l.Bias}, m.WeightPaths[2*i:2*i+2])
		}
		require.Equal(t, 36*12+12+12*8+8+8*3+3, m.NumParameters())
		require.Equal(t, []int{1, 6, 6}, m.InputShape)
		// The listed layers, multiplied on the host, are the network.
		x := read(t, "testdata/"+name+"_x.npy")
		rows := tensors.MustCopyFlatData[float32](x)
		want := tensors.MustCopyFlatData[float32](read(t, "testdata/"+name+"_logits.npy"))
		for n := range x.Shape().Dimensions[0] {
			h := rows[n*36 : (n+1)*36]
			for i, l := range m.Dense {
				w := tensors.MustCopyFlatData[float32](m.Store.GetVariable(l.Weight).MustValue())
				b := tensors.MustCopyFlatData[float32](m.Store.GetVariable(l.Bias).MustValue())
				next := make([]float32, len(b))
				for j := range next {
					for k, v := range h {
						next[j] += v * w[k*len(b)+j]
					}
					if next[j] += b[j]; i < 2 {
						next[j] = max(next[j], 0)
					}
				}
				h = next
			}
			require.InDeltaSlice(t, want[3*n:3*n+3], h, 1e-5)
		}
	}
}

// TestWeights: the network is called twice in one graph, the second time with weights replaced; gradients by the
// weights, what weight attacks need, agree with finite differences of the loss.
func TestWeights(t *testing.T) {
	m, err := onnx.Load("testdata/cnn_new.onnx", onnx.Options{})
	require.NoError(t, err)
	require.Len(t, m.WeightPaths, 8)
	x := read(t, "testdata/cnn_new_x.npy")
	exec, err := model.NewExec(testengine.Quick(t).Backend(), m.Store, func(scope *model.Scope, x *Node) []*Node {
		before := m.Logits(scope, x)
		var out []*Node
		for _, path := range m.WeightPaths {
			v := scope.Store().GetVariable(path)
			w := v.NodeValue(x.Graph())
			direction := Cos(IotaFull(x.Graph(), w.Shape()))
			slope := ReduceAllSum(Mul(Gradient(ReduceAllSum(Square(before)), w)[0], direction))
			const h = 3e-4 // smaller than the distance to most kinks of ReLU and pooling
			v.SetNodeValue(Add(w, MulScalar(direction, h)))
			up := ReduceAllSum(Square(m.Logits(scope, x)))
			v.SetNodeValue(Sub(w, MulScalar(direction, h)))
			down := ReduceAllSum(Square(m.Logits(scope, x)))
			v.SetNodeValue(w)
			out = append(out, slope, DivScalar(Sub(up, down), 2*h))
		}
		return append(out, before)
	})
	require.NoError(t, err)
	out, err := exec.Call(x)
	require.NoError(t, err)
	for i, path := range m.WeightPaths {
		got, want := tensors.ToScalar[float32](out[2*i]), tensors.ToScalar[float32](out[2*i+1])
		require.NotZero(t, got, path)
		require.InEpsilon(t, want, got, 0.02, path)
	}
	require.Less(t, largestDifference(t, out[len(out)-1], read(t, "testdata/cnn_new_logits.npy")), 1e-4)
}

func TestNotes(t *testing.T) {
	m, err := onnx.Load("testdata/sdpa_new.onnx", onnx.Options{Lower: -1, Upper: 2})
	require.NoError(t, err)
	require.Len(t, m.Notes, 1)
	require.Contains(t, m.Notes[0], "softmax")
	require.Equal(t, -1.0, m.Lower)
	require.Equal(t, 2.0, m.Upper)
	m, err = onnx.Load("testdata/vit_new.onnx", onnx.Options{})
	require.NoError(t, err)
	require.Empty(t, m.Notes)
	require.Equal(t, 1.0, m.Upper)
}

// TestFixedBatch: a file that mixes the images of its fixed batch is refused, not loaded wrongly.
func TestFixedBatch(t *testing.T) {
	path := edit(t, "cnn_fixed1", func(p *protos.ModelProto) {
		// Normalize over the batch: the reshape to [1, ...] looks like one of a fixed batch of 1.
		node := p.Graph.Node[len(p.Graph.Node)-1]
		out := node.Output[0]
		node.Output[0] = "raw"
		shift := &protos.NodeProto{OpType: "ReduceMax", Input: []string{"raw", "axes"}, Output: []string{"top"},
			Attribute: []*protos.AttributeProto{{Name: "keepdims", Type: protos.AttributeProto_INT, I: 1}}}
		sub := &protos.NodeProto{OpType: "Sub", Input: []string{"raw", "top"}, Output: []string{out}}
		p.Graph.Node = append(p.Graph.Node, shift, sub)
		p.Graph.Initializer = append(p.Graph.Initializer, &protos.TensorProto{Name: "axes", DataType: 7, Dims: []int64{1}, Int64Data: []int64{0}})
	})
	_, err := onnx.Load(path, onnx.Options{})
	require.ErrorContains(t, err, "export with a dynamic batch axis")
}
