package representation

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// waves are n examples of three classes in five values, of which one label in seven is wrong if noisy; testdata in a formula.
func waves(n, from int, noisy bool) (*tensors.Tensor, []int32) {
	var x []float64
	var labels []int32
	for k := range n {
		i := from + k
		for j := range 5 {
			v := math.Sin(float64(7*i+3*j*j)) + 5*float64(j)
			if i%3 == j%3 {
				v += 0.8
			}
			x = append(x, v)
		}
		y := int32(i % 3)
		if noisy && k%7 == 0 {
			y = (y + 1) % 3
		}
		labels = append(labels, y)
	}
	return tensors.FromFlatDataAndDimensions(x, n, 5), labels
}

// TestProbeAsScikitLearn: weights, biases (of mean 0) and accuracies of scikit-learn 1.9.1, LogisticRegression(C=1/L2, tol=1e-13,
// solver="newton-cholesky") on the same data.
func TestProbeAsScikitLearn(t *testing.T) {
	e := testengine.Quick(t)
	x, labels := waves(60, 0, true)
	test, testLabels := waves(40, 100, false)
	for _, c := range []struct {
		l2      float64
		weights [][]float64
		biases  []float64
		train   float64
		test    float64
	}{
		{1, [][]float64{{0.5132479, -1.13833922, -0.45156025, 0.96045849, 0.88858773},
			{1.11758985, 1.18889555, -0.53720277, -0.66506284, 0.0455938},
			{-1.63083775, -0.05055633, 0.98876303, -0.29539565, -0.93418153}}, []float64{-22.14123254, 8.26261963, 13.87861292}, 50. / 60, 37. / 40},
		{10, [][]float64{{0.34276109, -0.2297689, -0.17166415, 0.29529628, 0.03067379},
			{0.15652272, 0.28617075, -0.19259879, -0.14264679, 0.22307841},
			{-0.49928381, -0.05640185, 0.36426294, -0.15264949, -0.2537522}}, []float64{-2.26754721, -1.90596808, 4.17351528}, 41. / 60, 31. / 40},
	} {
		p := Probe{L2: c.l2}
		l, err := p.Fit(t.Context(), e, x, labels)
		require.NoError(t, err)
		for k, w := range c.weights {
			require.InDeltaSlice(t, w, l.Weights[k], 1e-7)
		}
		require.InDeltaSlice(t, c.biases, l.Biases, 1e-6)
		accuracy, err := p.Accuracy(t.Context(), e, x, labels, x, labels)
		require.NoError(t, err)
		require.InDelta(t, c.train, accuracy, 1e-12)
		accuracy, err = p.Accuracy(t.Context(), e, x, labels, test, testLabels)
		require.NoError(t, err)
		require.InDelta(t, c.test, accuracy, 1e-12)
	}
}

// TestProbeAnyScale: values that differ by factors of ten thousand have the optimum of values that do not, where the penalty
// hardly matters; labels need not be in a row.
func TestProbeAnyScale(t *testing.T) {
	e := testengine.Quick(t)
	_, labels := waves(60, 0, true)
	rng := rand.New(rand.NewPCG(2, 2))
	values, scaled := make([]float64, 300), make([]float64, 300)
	for i := range values {
		values[i] = rng.NormFloat64()
		scaled[i] = values[i] * math.Pow(10, float64(i%5))
	}
	x := tensors.FromFlatDataAndDimensions(values, 60, 5)
	for i := range labels {
		labels[i] = 5 * labels[i]
	}
	plain, err := Probe{L2: 1e-6}.Fit(t.Context(), e, x, labels)
	require.NoError(t, err)
	got, err := Probe{L2: 1e-6}.Fit(t.Context(), e, tensors.FromFlatDataAndDimensions(scaled, 60, 5), labels)
	require.NoError(t, err)
	require.Equal(t, []int32{0, 5, 10}, got.Labels)
	for k, w := range got.Weights {
		for j, v := range w {
			require.InDelta(t, plain.Weights[k][j], v*math.Pow(10, float64(j)), 1e-3)
		}
	}
	predicted, err := got.Predict(tensors.FromFlatDataAndDimensions(scaled, 60, 5))
	require.NoError(t, err)
	want, err := plain.Predict(x)
	require.NoError(t, err)
	require.Equal(t, want, predicted)
}

// TestKNNAsScikitLearn: accuracies of scikit-learn 1.9.1, KNeighborsClassifier(k), on the same data.
func TestKNNAsScikitLearn(t *testing.T) {
	e := testengine.Quick(t)
	x, labels := waves(60, 0, true)
	test, testLabels := waves(40, 100, false)
	for k, want := range map[int][2]float64{1: {1, 33. / 40}, 4: {51. / 60, 39. / 40}, 15: {35. / 60, 29. / 40}} {
		accuracy, err := KNNAccuracy(e, k, x, labels, x, labels)
		require.NoError(t, err)
		require.InDelta(t, want[0], accuracy, 1e-12, k)
		accuracy, err = KNNAccuracy(e, k, x, labels, test, testLabels)
		require.NoError(t, err)
		require.InDelta(t, want[1], accuracy, 1e-12, k)
	}
}

func TestBadFeatures(t *testing.T) {
	e := testengine.Quick(t)
	x, labels := waves(6, 0, false)
	values := tensors.MustCopyFlatData[float64](x)
	values[7] = math.NaN()
	bad := tensors.FromFlatDataAndDimensions(values, 6, 5)
	narrow := tensors.FromFlatDataAndDimensions(make([]float64, 12), 6, 2)
	for _, c := range []struct {
		want   string
		p      Probe
		x      *tensors.Tensor
		labels []int32
		test   *tensors.Tensor
	}{
		{"linear probe: all 6 examples have label 4: want at least 2 classes", Probe{}, x, []int32{4, 4, 4, 4, 4, 4}, x},
		{"linear probe: 3 labels for 6 examples: give one each", Probe{}, x, labels[:3], x},
		{"linear probe: feature NaN at [1,2] is not finite", Probe{}, bad, labels, x},
		{"linear probe: test set: feature NaN at [1,2]", Probe{}, x, labels, bad},
		{"label -1 at row 2", Probe{}, x, []int32{0, 0, -1, 0, 0, 0}, x},
		{"no features given", Probe{}, nil, labels, x},
		{"want float32 or float64 [n, values], at least one of each", Probe{}, tensors.FromValue([]float64{1}), labels, x},
		{"L2 = -1", Probe{L2: -1}, x, labels, x},
		{"features have 2 values, it was trained on 5", Probe{}, x, labels, narrow},
	} {
		_, err := c.p.Accuracy(t.Context(), e, c.x, c.labels, c.test, labels)
		require.ErrorContains(t, err, c.want)
	}
	_, err := KNNAccuracy(e, 7, x, labels, x, labels)
	require.ErrorContains(t, err, "k=7 of 6 training points: want 1 to their number")
	_, err = KNNAccuracy(e, 1, x, labels, narrow, labels)
	require.ErrorContains(t, err, "points have 2 values, training points have 5")
	_, err = KNNAccuracy(e, 1, x, labels[:2], x, labels)
	require.ErrorContains(t, err, "knn: training set: 2 labels for 6 examples")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Probe{}.Fit(ctx, e, x, labels)
	require.ErrorIs(t, err, context.Canceled)
}

// augmented runs an augmentation on images from a seed.
func augmented(t *testing.T, a Augmentation, seed int64, images *tensors.Tensor) []float32 {
	t.Helper()
	store := model.NewStore()
	require.NoError(t, store.SetRNGStateFromSeed(seed))
	out, err := model.CallOnce(testengine.Quick(t).Backend(), store, a.Graph, images)
	require.NoError(t, err)
	require.Equal(t, images.Shape(), out.Shape())
	return tensors.MustCopyFlatData[float32](out)
}

// pictures are random images.
func pictures(n, height, width, channels int) *tensors.Tensor {
	rng := rand.New(rand.NewPCG(1, 9))
	values := make([]float32, n*height*width*channels)
	for i := range values {
		values[i] = rng.Float32()
	}
	return tensors.FromFlatDataAndDimensions(values, n, height, width, channels)
}

// TestAugmentations: images stay within 0 and 1, change, each in its own way, and in the same way under the same seed.
func TestAugmentations(t *testing.T) {
	one := tensors.MustCopyFlatData[float32](pictures(1, 6, 8, 3))
	var twice []float32
	for range 16 {
		twice = append(twice, one...)
	}
	images := tensors.FromFlatDataAndDimensions(twice, 16, 6, 8, 3)
	names := map[string]bool{}
	for _, a := range []Augmentation{ShiftBy(2), RotateBy(20), CropFrom(0.3), Flip(), AddNoise(0.2), JitterColors(0.5),
		InTurn(ShiftBy(1), Flip()), RotateBy(10)} {
		require.False(t, names[a.Name])
		names[a.Name] = true
		got := augmented(t, a, 1, images)
		require.Equal(t, got, augmented(t, a, 1, images), a.Name)
		require.NotEqual(t, got, augmented(t, a, 2, images), a.Name)
		kinds := map[float32]bool{}
		for i := range 16 {
			sum := float32(0)
			for k, v := range got[i*144 : (i+1)*144] {
				require.True(t, v >= 0 && v <= 1, a.Name)
				sum += v * float32(k)
			}
			kinds[sum] = true
		}
		require.Greater(t, len(kinds), 1, a.Name)
	}
}

func TestAugmentationErrors(t *testing.T) {
	for want, a := range map[string]Augmentation{
		"augmentation crop 2: want 0.001 to 1":  CropFrom(2),
		"augmentation shift -1: want 0 to":      ShiftBy(-1),
		"augmentation noise NaN: want 0 to":     InTurn(Flip(), AddNoise(math.NaN())),
		"want [batch, height, width, channels]": Flip(),
	} {
		images := pictures(2, 4, 4, 1)
		if a.Name == "flip" {
			images = tensors.FromFlatDataAndDimensions(make([]float32, 8), 2, 4)
		}
		_, err := model.CallOnce(testengine.Quick(t).Backend(), model.NewStore(), a.Graph, images)
		require.ErrorContains(t, err, want)
	}
}

// TestShiftMovesPixels: each image is one that was moved by whole pixels, and every move that there is comes up.
func TestShiftMovesPixels(t *testing.T) {
	const n = 300
	values := make([]float32, n*5*5)
	for i := range n {
		values[i*25+2*5+2] = 1
	}
	got := augmented(t, ShiftBy(1), 3, tensors.FromFlatDataAndDimensions(values, n, 5, 5, 1))
	places := map[int]int{}
	for i := range n {
		for k, v := range got[i*25 : (i+1)*25] {
			if v != 0 {
				require.Equal(t, float32(1), v)
				places[k]++
			}
		}
	}
	require.Len(t, places, 9)
	for k, count := range places {
		require.True(t, k/5 >= 1 && k/5 <= 3 && k%5 >= 1 && k%5 <= 3)
		require.InDelta(t, n/9, count, 20)
	}
}

// TestSampled compares with plain loops: a quarter turn, and halfway between pixels with black outside.
func TestSampled(t *testing.T) {
	images := pictures(2, 3, 3, 2)
	flat := tensors.MustCopyFlatData[float32](images)
	exec, err := NewExec(testengine.Quick(t).Backend(), func(x *Node) []*Node {
		rows, columns := places(x)
		half := sampled(x, AddScalar(rows, 0.5), columns)
		return []*Node{sampled(x, columns, Sub(Scalar(x.Graph(), x.DType(), 2), rows)), half, Gradient(ReduceAllSum(half), x)[0]}
	})
	require.NoError(t, err)
	out, err := exec.Call(images)
	require.NoError(t, err)
	at := func(i, y, x, c int) float32 {
		if y > 2 {
			return 0
		}
		return flat[((i*3+y)*3+x)*2+c]
	}
	turned, half := out[0].Value().([][][][]float32), out[1].Value().([][][][]float32)
	slope := out[2].Value().([][][][]float32)
	for i := range 2 {
		for y := range 3 {
			for x := range 3 {
				for c := range 2 {
					require.InDelta(t, at(i, x, 2-y, c), turned[i][y][x][c], 1e-6)
					require.InDelta(t, (at(i, y, x, c)+at(i, y+1, x, c))/2, half[i][y][x][c], 1e-6)
					want := 1.0
					if y == 0 {
						want = 0.5
					}
					require.InDelta(t, want, slope[i][y][x][c], 1e-6)
				}
			}
		}
	}
}

// TestColors: brightness, contrast and saturation of a gray image are one factor and the distance from the mean; gray stays gray.
func TestColors(t *testing.T) {
	values := make([]float32, 8*4*3)
	for i := range values {
		values[i] = 0.4 + 0.02*float32(i/3%4)
	}
	got := augmented(t, JitterColors(0.3), 2, tensors.FromFlatDataAndDimensions(values, 8, 2, 2, 3))
	for i := range 32 {
		require.InDelta(t, got[3*i], got[3*i+1], 1e-6)
		require.InDelta(t, got[3*i], got[3*i+2], 1e-6)
	}
	for i := range 8 {
		var p [4]float64
		mean := 0.
		for k := range p {
			p[k] = float64(got[i*12+3*k])
			mean += p[k] / 4
		}
		brightness := mean / 0.43
		require.True(t, brightness > 0.69 && brightness < 1.31)
		contrast := (p[3] - p[0]) / 0.06 / brightness
		require.True(t, contrast > 0.69 && contrast < 1.31)
		require.InDelta(t, p[1]-p[0], p[3]-p[2], 1e-5)
	}
}

// bars are images of two classes, a bright row or a bright column, at a place that does not tell which.
func bars(n int, seed uint64) fit.Data {
	rng := rand.New(rand.NewPCG(seed, 5))
	pixels, labels := make([]float32, n*64), make([]int32, n)
	for i := range n {
		labels[i] = rng.Int32N(2)
		for at := rng.IntN(8); at >= 0; at = -1 {
			for k := range 8 {
				if labels[i] == 0 {
					pixels[i*64+at*8+k] = 1
				} else {
					pixels[i*64+k*8+at] = 1
				}
			}
		}
	}
	return fit.Data{Images: tensors.FromFlatDataAndDimensions(pixels, n, 8, 8, 1), Labels: labels}
}

// TestContrastive: trained without labels, a network has features that tell rows from columns better than pixels do to
// neighbors; a training that was stopped ends with the same weights.
func TestContrastive(t *testing.T) {
	e, images, others, few := testengine.Quick(t), bars(128, 1), bars(200, 2), bars(10, 3)
	c := Training{Steps: 60, BatchSize: 64, Rule: fit.Rule{LearningRate: 3e-3}, Augmentation: InTurn(ShiftBy(3), AddNoise(0.1)), Seed: 1}
	build := func() *nets.Contrastive {
		n, err := nets.NewContrastive(nets.ContrastiveConfig{Input: []int{8, 8, 1}, Channels: []int{8, 8}, Features: 16, Projection: 8, Seed: 1})
		require.NoError(t, err)
		return n
	}
	accuracy := func(n *nets.Contrastive) float64 {
		train, err := Features(e, n.Encoder(), few.Images)
		require.NoError(t, err)
		require.Equal(t, []int{10, 16}, train.Shape().Dimensions)
		test, err := Features(e, n.Encoder(), others.Images)
		require.NoError(t, err)
		accuracy, err := Probe{L2: 0.01}.Accuracy(t.Context(), e, train, few.Labels, test, others.Labels)
		require.NoError(t, err)
		return accuracy
	}
	trained := build()
	before := accuracy(trained)
	losses, err := Train(t.Context(), e, trained.Model(), images, c, fit.Options{})
	require.NoError(t, err)
	require.Len(t, losses[Loss], 60)
	t.Log(before, accuracy(trained), losses[Loss][0], losses[Loss][59])
	require.Less(t, losses[Loss][59], losses[Loss][0]-0.3)
	require.Greater(t, accuracy(trained), 0.95)

	dir := t.TempDir()
	stopped := build()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Train(ctx, e, stopped.Model(), images, c, fit.Options{Dir: dir, Progress: &stopper{after: 20, stop: cancel}})
	require.ErrorIs(t, err, context.Canceled)
	again, err := Train(t.Context(), e, stopped.Model(), images, c, fit.Options{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, losses, again)
	for i, w := range trained.Weights() {
		want, err := w.Value()
		require.NoError(t, err)
		got, err := stopped.Weights()[i].Value()
		require.NoError(t, err)
		require.Equal(t, want.Value(), got.Value())
	}
}

// stopper is a progress that stops the training.
type stopper struct {
	after int
	stop  func()
}

func (s *stopper) Begin(string, int, int) {}
func (s *stopper) End()                   {}
func (s *stopper) Advance(n int) {
	if s.after -= n; s.after == 0 {
		s.stop()
	}
}

func TestTrainingErrors(t *testing.T) {
	n, err := nets.NewContrastive(nets.ContrastiveConfig{Input: []int{8, 8, 1}})
	require.NoError(t, err)
	for want, c := range map[string]Training{
		"BatchSize = 128 for 10 images":           {},
		"BatchSize = 1 for 10 images: want 2, to": {BatchSize: 1},
		"give one of them":                        {BatchSize: 5, Steps: 1, Epochs: 1},
		"must be at least 1":                      {BatchSize: 5, Epochs: -1},
		"Temperature = -1":                        {BatchSize: 5, Temperature: -1},
		"a name that tells its parameters":        {BatchSize: 5, Augmentation: Augmentation{Name: "nothing"}},
		"contrastive network [8 8 1]":             {},
	} {
		_, err := Train(t.Context(), testengine.Quick(t), n.Model(), bars(10, 1), c, fit.Options{})
		require.ErrorContains(t, err, want)
	}
	_, err = Train(t.Context(), testengine.Quick(t), n.Model(), fit.Data{}, Training{}, fit.Options{})
	require.ErrorContains(t, err, "no images given")
	_, err = Features(testengine.Quick(t), n.Encoder(), pictures(2, 4, 4, 1))
	require.ErrorContains(t, err, "wants float32 [n, 8, 8, 1]")
	_, err = nets.NewContrastive(nets.ContrastiveConfig{Input: []int{3, 8, 1}})
	require.ErrorContains(t, err, "the first two at least 4, or fewer Channels")
}
