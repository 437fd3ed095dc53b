package nets_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

func TestParameters(t *testing.T) {
	cnn, err := nets.NewCNN(nets.CNNConfig{})
	require.NoError(t, err)
	require.Equal(t, (9+1)*32+(9*32+1)*64+(7*7*64+1)*128+(128+1)*10, cnn.NumParameters())
	require.Equal(t, []string{"/conv_0/weights", "/conv_0/biases", "/conv_1/weights", "/conv_1/biases",
		"/dense_0/weights", "/dense_0/biases", "/dense_1/weights", "/dense_1/biases"}, cnn.WeightPaths)
	mlp, err := nets.NewMLP(nets.MLPConfig{Hidden: []int{100, 50}, NoBias: true})
	require.NoError(t, err)
	require.Equal(t, 784*100+100*50+50*10, mlp.NumParameters())
	require.Equal(t, []nets.DenseLayer{{Weight: "/dense_0/weights", Activation: nets.ActReLU},
		{Weight: "/dense_1/weights", Activation: nets.ActReLU}, {Weight: "/dense_2/weights"}}, mlp.Dense)
	require.Equal(t, []int{784, 100}, mlp.Weights()[0].Shape().Dimensions)
}

// TestInitialWeights: equal seeds give equal weights, other seeds others; they are centered, with He's deviation
// (sqrt(2/fan-in), within 5 standard errors) and normal (a normal value lies within one deviation with probability
// 0.6827); biases are zero.
func TestInitialWeights(t *testing.T) {
	build := func(seed int64) *nets.Model {
		m, err := nets.NewCNN(nets.CNNConfig{Seed: seed})
		require.NoError(t, err)
		return m
	}
	m := build(7)
	require.Equal(t, flatWeights(t, m), flatWeights(t, build(7)))
	require.NotEqual(t, flatWeights(t, m), flatWeights(t, build(8)))
	for _, w := range m.Weights() {
		value, err := w.Value()
		require.NoError(t, err)
		flat := tensors.MustCopyFlatData[float32](value)
		if value.Rank() == 1 {
			require.Equal(t, make([]float32, len(flat)), flat)
			continue
		}
		d := value.Shape().Dimensions
		n := float64(len(flat))
		he := math.Sqrt(2 / float64(value.Size()/d[len(d)-1]))
		var sum, squares, inside float64
		for _, v := range flat {
			sum += float64(v)
			squares += float64(v) * float64(v)
			if math.Abs(float64(v)) < he {
				inside++
			}
		}
		require.InDelta(t, 0, sum/n, 5*he/math.Sqrt(n), w.Path())
		require.InEpsilon(t, he, math.Sqrt(squares/n), 5/math.Sqrt(2*n), w.Path())
		require.InDelta(t, 0.6827, inside/n, 5*math.Sqrt(0.6827*0.3173/n), w.Path())
	}
}

func TestConstructorErrors(t *testing.T) {
	nan := math.NaN()
	for want, c := range map[string]nets.MLPConfig{
		"every size must be at least 1": {Hidden: []int{10, 0}},
		"MLP sizes [-3 10]":             {Input: []int{-3}},
		"pixel bounds [1, 0]":           {Lower: 1},
		"pixel bounds [NaN, 1]":         {Lower: nan, Upper: 1},
		"pixel bounds [0, +Inf]":        {Upper: math.Inf(1)},
	} {
		_, err := nets.NewMLP(c)
		require.ErrorContains(t, err, want)
	}
	for want, c := range map[string]nets.CNNConfig{
		"want height, width, channels":    {Input: []int{28, 28}},
		"too small for 2 poolings":        {Input: []int{3, 3, 1}},
		"every size must be at least 1":   {Channels: []int{-1}},
		"CNN sizes [28 28 1 32 64 128 -":  {Classes: -2},
		"CNN sizes [28 28 1 32 64 -1 10]": {Dense: -1},
		"Strided and MeanPool":            {Strided: true, MeanPool: true},
		"pixel bounds [0.5, 0.5]":         {Lower: 0.5, Upper: 0.5},
	} {
		_, err := nets.NewCNN(c)
		require.ErrorContains(t, err, want)
	}
}

func TestClone(t *testing.T) {
	m := tinyMLP(t, 1)
	before := flatWeights(t, m)
	c, err := m.Clone()
	require.NoError(t, err)
	require.Equal(t, before, flatWeights(t, c))
	other := tinyMLP(t, 2)
	require.NoError(t, c.CopyWeights(other))
	require.Equal(t, flatWeights(t, other), flatWeights(t, c))
	require.Equal(t, before, flatWeights(t, m))

	wide, err := nets.NewMLP(nets.MLPConfig{Input: []int{3}, Hidden: []int{5}, Classes: 2})
	require.NoError(t, err)
	require.ErrorContains(t, m.CopyWeights(wide), "copying weight")
	linear, err := nets.NewMLP(nets.MLPConfig{Input: []int{3}, Classes: 2})
	require.NoError(t, err)
	require.ErrorContains(t, m.CopyWeights(linear), "copying 2 weight tensors")
	require.Equal(t, before, flatWeights(t, m))
}

func TestCheckImages(t *testing.T) {
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{2, 2}, Lower: -1, Upper: 1})
	require.NoError(t, err)
	batch := func(values ...float32) *tensors.Tensor {
		return tensors.FromFlatDataAndDimensions(values, len(values)/4, 2, 2)
	}
	inf := float32(math.Inf(1))
	require.NoError(t, m.CheckImages(batch(-1, 0, 0.5, 1)))
	require.NoError(t, m.CheckImages(batch(-1-5e-7, 0, 0, 1+5e-7)), "rounding is forgiven")
	for want, x := range map[string]*tensors.Tensor{
		"image value 1.7 at [1,2] is outside the bounds [-1, 1]": batch(0, 0, 0, 0, 0, 0, 1.7, 0),
		"image value -1.1 at [0,0] is outside":                   batch(-1.1, nan, 0, 0),
		"image value NaN at [0,3] is not finite":                 batch(0, 0, 0, nan),
		"image value +Inf at [0,1] is not finite":                batch(0, inf, 0, 0),
		"image value -Inf at [1,0] is not finite":                batch(0, 0, 0, 0, -inf, 0, 0, 0),
		"wants float32 [n, 2, 2]":                                tensors.FromFlatDataAndDimensions(make([]float64, 4), 1, 2, 2),
		"want float32 [n, 2, 2]":                                 nil,
		"have shape (Float32)[1, 4]":                             tensors.FromFlatDataAndDimensions(make([]float32, 4), 1, 4),
		"have shape (Float32)[2, 2]":                             tensors.FromFlatDataAndDimensions(make([]float32, 4), 2, 2),
		"wants at least one":                                     tensors.FromShape(mustShape(0, 2, 2)),
	} {
		err := m.CheckImages(x)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestCheckLabels(t *testing.T) {
	m := tinyMLP(t, 1)
	require.NoError(t, m.CheckLabels([]int32{0, 1, 1}))
	require.ErrorContains(t, m.CheckLabels([]int32{0, 1, 2}), "label 2 at row 2: the network has 2 classes")
	require.ErrorContains(t, m.CheckLabels([]int32{-1}), "label -1 at row 0")
}

// TestPredictor: the batch size, the padding of the last batch and the neighbors in a batch change nothing.
func TestPredictor(t *testing.T) {
	m := mlp(t)
	const n = 11
	x := images(m, n, 4)
	flat := tensors.MustCopyFlatData[float32](x)
	var want [][]float32
	var classes []int32
	for i := range n {
		row := float32s(slowLogits(m, doubles(t, m), flat[i*6:(i+1)*6], "CNN max"))
		want = append(want, row)
		classes = append(classes, int32(slices.Index(row, slices.Max(row))))
	}
	for _, batch := range []int{0, 1, 4, n, n + 2} {
		p, err := nets.NewPredictor(testengine.Quick(t).Backend(), m, batch)
		require.NoError(t, err)
		got, err := p.Logits(x)
		require.NoError(t, err)
		require.Len(t, got, n)
		for i := range got {
			require.InDeltaSlice(t, want[i], got[i], 1e-5)
		}
		predicted, err := p.Classes(x)
		require.NoError(t, err)
		require.Equal(t, classes, predicted)
		accuracy, err := p.Accuracy(x, classes)
		require.NoError(t, err)
		require.Equal(t, 1.0, accuracy)
		wrong := slices.Clone(classes)
		for i := range 3 {
			wrong[i] = (wrong[i] + 1) % 3
		}
		accuracy, err = p.Accuracy(x, wrong)
		require.NoError(t, err)
		require.Equal(t, 8.0/11, accuracy)
	}
}

func TestPredictorReadsWeightsAnew(t *testing.T) {
	a, b := tinyMLP(t, 1), tinyMLP(t, 2)
	x := images(a, 5, 1)
	logits := func(m *nets.Model) *nets.Predictor {
		p, err := nets.NewPredictor(testengine.Quick(t).Backend(), m, 2)
		require.NoError(t, err)
		return p
	}
	p := logits(a)
	before, err := p.Logits(x)
	require.NoError(t, err)
	require.NoError(t, a.CopyWeights(b))
	after, err := p.Logits(x)
	require.NoError(t, err)
	want, err := logits(b).Logits(x)
	require.NoError(t, err)
	require.NotEqual(t, before, after)
	require.Equal(t, want, after)
}

func TestPredictorErrors(t *testing.T) {
	m := tinyMLP(t, 1)
	b := testengine.Quick(t).Backend()
	_, err := nets.NewPredictor(b, m, -1)
	require.ErrorContains(t, err, "batch size -1")
	p, err := nets.NewPredictor(b, m, 4)
	require.NoError(t, err)
	x := images(m, 3, 1)
	_, err = p.Logits(tensors.FromFlatDataAndDimensions([]float32{0, 2, 0}, 1, 3))
	require.ErrorContains(t, err, "image value 2 at [0,1] is outside")
	_, err = p.Accuracy(x, []int32{0, 1})
	require.ErrorContains(t, err, "2 labels for 3 images")
	_, err = p.Accuracy(x, []int32{0, 1, 2})
	require.ErrorContains(t, err, "label 2 at row 2: the network has 2 classes")

	// A network whose weights have become NaN predicts nothing.
	require.NoError(t, m.Weights()[0].SetValue(tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{nan}, 12), 3, 4)))
	_, err = p.Classes(x)
	require.ErrorContains(t, err, "not finite")
}

func doubles(t *testing.T, m *nets.Model) []*tensors.Tensor {
	t.Helper()
	var all []*tensors.Tensor
	for _, w := range m.Weights() {
		value, err := w.Value()
		require.NoError(t, err)
		all = append(all, double(value))
	}
	return all
}

func float32s(values []float64) []float32 {
	all := make([]float32, len(values))
	for i, v := range values {
		all[i] = float32(v)
	}
	return all
}
