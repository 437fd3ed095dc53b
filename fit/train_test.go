package fit

import (
	"context"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// The network learns, the history says so, the same seed gives the same bits and another seed others.
func TestLearnsAndRepeats(t *testing.T) {
	e := testengine.Quick(t)
	train, validation := blobs(400, 1), blobs(301, 2) // 301: the last validation batch is not full
	c := Config{Phases: []Phase{{8, noisy()}}, BatchSize: 32, LearningRate: 1e-2, Seed: 3, Validation: &validation}
	m, again, other := mlp(t, 1), mlp(t, 1), mlp(t, 1)
	h, err := Train(context.Background(), e, m, train, c)
	require.NoError(t, err)
	require.Len(t, h.Loss, 8)
	assert.Less(t, h.Loss[7], 0.3*h.Loss[0])
	assert.Greater(t, h.TrainAccuracy[7], 0.97)
	assert.Less(t, h.TrainAccuracy[0], h.TrainAccuracy[7])
	p, err := nets.NewPredictor(e.Backend(), m, 50)
	require.NoError(t, err)
	accuracy, err := p.Accuracy(validation.Images, validation.Labels)
	require.NoError(t, err)
	assert.Greater(t, accuracy, 0.97)
	assert.Equal(t, accuracy, h.Accuracy[7], "measured by another way")

	h2, err := Train(context.Background(), e, again, train, c)
	require.NoError(t, err)
	assert.Equal(t, h, h2)
	assert.Equal(t, weights(t, m), weights(t, again))
	for v := range m.Store.IterVariables() {
		assert.Contains(t, m.WeightPaths, v.Path(), "training leaves nothing behind in the store")
	}
	c.Seed = 4
	_, err = Train(context.Background(), e, other, train, c)
	require.NoError(t, err)
	assert.NotEqual(t, weights(t, m), weights(t, other))

	// Negative control: with labels that have nothing to do with the images, nothing can be learned about new ones.
	shuffled := train
	shuffled.Labels = make([]int32, len(train.Labels))
	for i, j := range Permutation(len(train.Labels), 9, 0) {
		shuffled.Labels[i] = train.Labels[j]
	}
	h, err = Train(context.Background(), e, mlp(t, 1), shuffled, c)
	require.NoError(t, err)
	assert.Less(t, h.Accuracy[7], 0.6)
}

// quadratic is half the squared distance of all weights to a target, whatever the data: its gradient is weights-target.
func quadratic(target float64) Loss {
	return Loss{Name: "quadratic", Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
		sum := Const(images.Graph(), float32(0))
		for _, w := range m.Weights() {
			sum = Add(sum, ReduceAllSum(Square(AddScalar(w.NodeValue(images.Graph()), -target))))
		}
		return MulScalar(sum, 0.5)
	}}
}

// Gradient descent on a quadratic has a closed form: w_k = target + (1-rate)^k (w_0 - target).
func TestSGDClosedForm(t *testing.T) {
	for _, e := range []*engine.Engine{testengine.Quick(t), testengine.Pure(t)} {
		m := mlp(t, 1)
		before := weights(t, m)
		c := Config{Phases: []Phase{{2, quadratic(0.25)}, {1, quadratic(0.25)}}, BatchSize: 10, LearningRate: 0.1, Optimizer: SGD}
		_, err := Train(context.Background(), e, m, blobs(43, 1), c) // 4 steps an epoch, 3 examples left out
		require.NoError(t, err)
		for i, w := range weights(t, m) {
			want := 0.25 + math.Pow(0.9, 12)*(float64(before[i])-0.25)
			require.InDelta(t, want, float64(w), 1e-6, e.Name())
		}
	}
}

// softmaxRegression is a second implementation in plain Go, in float64: cross-entropy of a linear classifier with
// biases, and Adam as in the paper's algorithm 1, with moments that start anew in each phase.
type softmaxRegression struct {
	inputs, classes int
	w, m, v         []float64 // weights [inputs, classes], then biases [classes]
	step            float64
}

func (s *softmaxRegression) train(x []float32, y []int32, rate float64) (loss float64) {
	batch := len(y)
	g := make([]float64, len(s.w))
	for b := range batch {
		row := x[b*s.inputs : (b+1)*s.inputs]
		z := slices.Clone(s.w[s.inputs*s.classes:])
		for i, v := range row {
			for j := range z {
				z[j] += float64(v) * s.w[i*s.classes+j]
			}
		}
		sum := 0.0
		for _, v := range z {
			sum += math.Exp(v)
		}
		loss += (math.Log(sum) - z[y[b]]) / float64(batch)
		for j := range z {
			d := math.Exp(z[j]) / sum
			if int32(j) == y[b] {
				d--
			}
			d /= float64(batch)
			for i, v := range row {
				g[i*s.classes+j] += d * float64(v)
			}
			g[s.inputs*s.classes+j] += d
		}
	}
	s.step++
	for k := range s.w {
		s.m[k] = 0.9*s.m[k] + 0.1*g[k]
		s.v[k] = 0.999*s.v[k] + 0.001*g[k]*g[k]
		m, v := s.m[k]/(1-math.Pow(0.9, s.step)), s.v[k]/(1-math.Pow(0.999, s.step))
		s.w[k] -= rate * m / (math.Sqrt(v) + 1e-8)
	}
	return loss
}

func TestAdamAgainstPlainGo(t *testing.T) {
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{6, 6, 1}, Classes: 3, Seed: 1})
	require.NoError(t, err)
	data := blobs(50, 1)
	c := Config{Phases: []Phase{{2, CrossEntropy()}, {1, CrossEntropy()}}, BatchSize: 8, LearningRate: 0.01, Seed: 11}
	s := &softmaxRegression{inputs: 36, classes: 3}
	for _, w := range weights(t, m) {
		s.w = append(s.w, float64(w))
	}
	var losses []float64
	pixels := tensors.MustCopyFlatData[float32](data.Images)
	for epoch := range 3 {
		if epoch == 0 || epoch == 2 { // phases start
			s.m, s.v, s.step = make([]float64, len(s.w)), make([]float64, len(s.w)), 0
		}
		order := Permutation(50, 11, epoch)
		sum := 0.0
		for b := range 6 { // the last 2 of 50 are left out
			var x []float32
			var y []int32
			for _, row := range order[b*8 : (b+1)*8] {
				x, y = append(x, pixels[row*36:(row+1)*36]...), append(y, data.Labels[row])
			}
			sum += s.train(x, y, 0.01)
		}
		losses = append(losses, sum/6)
	}
	h, err := Train(context.Background(), testengine.Quick(t), m, data, c)
	require.NoError(t, err)
	for i, w := range weights(t, m) {
		require.InDelta(t, s.w[i], float64(w), 2e-5) // float32 against float64 over 18 steps of 0.01
	}
	assert.InDeltaSlice(t, losses, h.Loss, 1e-5)
}

// A loss that is not finite stops the run, names where, and leaves neither a result nor changed weights.
func TestNotFinite(t *testing.T) {
	e := testengine.Quick(t)
	m, dir := mlp(t, 1), t.TempDir()
	before := weights(t, m)
	c := Config{Phases: []Phase{{3, CrossEntropy()}}, BatchSize: 10, LearningRate: 1e38, Optimizer: SGD}
	// No checkpoint of the first step, which is well, however long compiling takes.
	_, err := TrainOrLoad(context.Background(), e, m, blobs(50, 1), c, Options{Dir: dir, CheckpointEvery: time.Hour})
	require.ErrorContains(t, err, "in epoch 1 of phase 1")
	assert.Regexp(t, `step [2-5] `, err.Error())
	oneLine(t, err)
	assert.Equal(t, before, weights(t, m))
	files, _ := os.ReadDir(dir)
	assert.Empty(t, files)

	// The last step's update can spoil the weights with no loss left to show it.
	c = Config{Phases: []Phase{{1, quadratic(-3e38)}}, BatchSize: 50, LearningRate: 10, Optimizer: SGD}
	_, err = TrainOrLoad(context.Background(), e, m, blobs(50, 1), c, Options{Dir: dir, CheckpointEvery: -1})
	require.ErrorContains(t, err, "not finite")
	assert.Equal(t, before, weights(t, m))
	files, _ = os.ReadDir(dir)
	assert.Empty(t, files)
}

func oneLine(t *testing.T, err error) {
	t.Helper()
	assert.NotContains(t, strings.TrimSpace(err.Error()), "\n")
}

func TestBadInput(t *testing.T) {
	e := testengine.Quick(t)
	ce := []Phase{{1, CrossEntropy()}}
	good := blobs(20, 1)
	with := func(change func(pixels []float32, labels []int32)) Data {
		pixels, labels := tensors.MustCopyFlatData[float32](good.Images), slices.Clone(good.Labels)
		change(pixels, labels)
		return Data{Images: tensors.FromFlatDataAndDimensions(pixels, 20, 6, 6, 1), Labels: labels}
	}
	small := Config{Phases: ce, BatchSize: 10}
	nan := float32(math.NaN())
	badLabel := with(func(_ []float32, labels []int32) { labels[4] = 3 })
	for _, test := range []struct {
		want  string
		train Data
		c     Config
	}{
		{"label 3 at row 4", badLabel, small},
		{"label -1", with(func(_ []float32, labels []int32) { labels[0] = -1 }), small},
		{"not finite", with(func(pixels []float32, _ []int32) { pixels[40] = nan }), small},
		{"outside the bounds", with(func(pixels []float32, _ []int32) { pixels[40] = 1.5 }), small},
		{"no images given", Data{}, small},
		{"19 labels for 20 images", Data{Images: good.Images, Labels: good.Labels[1:]}, small},
		{"wants float32 [n, 6, 6, 1]",
			Data{Images: tensors.FromFlatDataAndDimensions(make([]float32, 20*36), 20, 36), Labels: good.Labels}, small},
		{"BatchSize = 64 for 20 examples", good, Config{Phases: ce}},
		{"BatchSize = -1", good, Config{Phases: ce, BatchSize: -1}},
		{"no phases", good, Config{BatchSize: 10}},
		{"no epochs", good, Config{BatchSize: 10, Phases: []Phase{{0, CrossEntropy()}}}},
		{"phase 1: want a named loss", good, Config{BatchSize: 10, Phases: []Phase{{-1, CrossEntropy()}}}},
		{"phase 1: want a named loss", good, Config{BatchSize: 10, Phases: []Phase{{1, Loss{Build: CrossEntropy().Build}}}}},
		{"LearningRate = -0.1", good, Config{Phases: ce, BatchSize: 10, LearningRate: -0.1}},
		{"LearningRate = NaN", good, Config{Phases: ce, BatchSize: 10, LearningRate: math.NaN()}},
		{`Optimizer = "lion"`, good, Config{Phases: ce, BatchSize: 10, Optimizer: "lion"}},
		{"WeightDecay = -1", good, Config{Phases: ce, BatchSize: 10, WeightDecay: -1}},
		{`WeightDecay = 0.1 with "sgd"`, good, Config{Phases: ce, BatchSize: 10, WeightDecay: 0.1, Optimizer: SGD}},
		{"WarmUpSteps = 3", good, Config{Phases: ce, BatchSize: 10, WarmUpSteps: 3}},
		{"validation set: ", good, Config{Phases: ce, BatchSize: 10, Validation: &badLabel}},
		{"want a scalar", good, Config{BatchSize: 10, Phases: []Phase{{1, Loss{"vector",
			func(_ *model.Scope, _ *nets.Model, images, _ *Node) *Node { return images }}}}}},
		{"leaves weight /dense_0/weights replaced", good, Config{BatchSize: 10, Phases: []Phase{{1, Loss{"careless",
			func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
				w := m.Weights()[0]
				w.SetNodeValue(AddScalar(w.NodeValue(images.Graph()), 1))
				return CrossEntropy().Build(scope, m, images, labels)
			}}}}}},
	} {
		m, dir := mlp(t, 1), t.TempDir()
		before := weights(t, m)
		_, err := TrainOrLoad(context.Background(), e, m, test.train, test.c, Options{Dir: dir})
		if assert.ErrorContains(t, err, test.want) {
			oneLine(t, err)
		}
		assert.Equal(t, before, weights(t, m))
		files, _ := os.ReadDir(dir)
		assert.Empty(t, files, test.want)
	}
}

// The key is the same for the same run and changes with everything that the result depends on.
func TestKey(t *testing.T) {
	train, c := twoPhases()
	key := func(m *nets.Model, backend string, d Data, c Config) string {
		k, err := Key(m, backend, d, c)
		require.NoError(t, err)
		return k
	}
	want := key(mlp(t, 1), "xla:cpu", train, c)
	defaults := c
	defaults.Optimizer = Adam
	assert.Equal(t, want, key(mlp(t, 1), "xla:cpu", blobs(100, 1), defaults))

	keys := map[string]string{want: "the run itself"}
	other := func(what, k string) {
		assert.NotContains(t, keys, k, what)
		keys[k] = what
	}
	wider, err := nets.NewMLP(nets.MLPConfig{Input: []int{6, 6, 1}, Hidden: []int{17}, Classes: 3, Seed: 1})
	require.NoError(t, err)
	other("architecture", key(wider, "xla:cpu", train, c))
	other("initial weights", key(mlp(t, 2), "xla:cpu", train, c))
	frozen := mlp(t, 1)
	frozen.WeightPaths = frozen.WeightPaths[1:]
	other("what is trained", key(frozen, "xla:cpu", train, c))
	for what, bounds := range map[string][2]float64{"lower bound": {-1, 1}, "upper bound": {0, 2}} {
		bounded := mlp(t, 1)
		bounded.Lower, bounded.Upper = bounds[0], bounds[1]
		other(what, key(bounded, "xla:cpu", train, c))
	}
	other("backend", key(mlp(t, 1), "go", train, c))
	other("images", key(mlp(t, 1), "xla:cpu", Data{Images: blobs(100, 3).Images, Labels: train.Labels}, c))
	relabeled := Data{Images: train.Images, Labels: slices.Clone(train.Labels)}
	relabeled.Labels[99] = (relabeled.Labels[99] + 1) % 3
	other("labels", key(mlp(t, 1), "xla:cpu", relabeled, c))
	other("checksum", key(mlp(t, 1), "xla:cpu", Data{Images: train.Images, Labels: train.Labels, Checksum: "x"}, c))
	for what, change := range map[string]func(*Config){
		"batch size":     func(c *Config) { c.BatchSize++ },
		"learning rate":  func(c *Config) { c.LearningRate *= 2 },
		"optimizer":      func(c *Config) { c.Optimizer, c.WeightDecay = SGD, 0 },
		"weight decay":   func(c *Config) { c.WeightDecay = 0.1 },
		"no decay":       func(c *Config) { c.WeightDecay = 0 },
		"schedule":       func(c *Config) { c.Cosine, c.WarmUpSteps = false, 0 },
		"warm-up":        func(c *Config) { c.WarmUpSteps++ },
		"seed":           func(c *Config) { c.Seed++ },
		"validation":     func(c *Config) { c.Validation = nil },
		"stop":           func(c *Config) { c.StopLoss = 0.1 },
		"epochs":         func(c *Config) { c.Phases = []Phase{{3, noisy()}, {2, CrossEntropy()}} },
		"order of phase": func(c *Config) { c.Phases = []Phase{{2, CrossEntropy()}, {3, noisy()}} },
		"loss":           func(c *Config) { c.Phases = []Phase{{2, Loss{"noisy 0.2", noisy().Build}}, {3, CrossEntropy()}} },
	} {
		changed := c
		change(&changed)
		other(what, key(mlp(t, 1), "xla:cpu", train, changed))
	}
}

func TestPermutation(t *testing.T) {
	a, b := Permutation(100, 1, 0), Permutation(100, 1, 1)
	assert.Equal(t, a, Permutation(100, 1, 0))
	assert.NotEqual(t, a, b)
	assert.NotEqual(t, a, Permutation(100, 2, 0))
	slices.Sort(a)
	for i, v := range a {
		require.EqualValues(t, i, v)
	}
	// Cached results depend on these numbers; they must never change.
	assert.Equal(t, []int32{2, 4, 0, 1, 3, 5, 6, 7}, Permutation(8, 5, 2))
}

func TestRemember(t *testing.T) {
	dir, calls := t.TempDir(), 0
	compute := func() ([]float64, error) { calls++; return []float64{1.5, float64(calls)}, nil }
	for range 2 {
		v, err := Remember(dir, "k", compute)
		require.NoError(t, err)
		assert.Equal(t, []float64{1.5, 1}, v)
	}
	require.NoError(t, os.WriteFile(dir+"/k.json", []byte("[1.5,"), 0o644))
	v, err := Remember(dir, "k", compute)
	require.NoError(t, err)
	assert.Equal(t, []float64{1.5, 2}, v, "a damaged file counts as absent")
	_, err = Remember("", "k", compute)
	require.NoError(t, err)
	assert.Equal(t, 3, calls)
	_, err = Remember(dir, "bad", func() (float64, error) { return math.NaN(), nil })
	require.Error(t, err, "JSON holds no NaN")
}
