package fit_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// blobs draws points around one random center a class, in [0, 1]^inputs.
func blobs(n, inputs, classes int, seed uint64) fit.Data {
	rng := rand.New(rand.NewPCG(seed, 3))
	centers := make([][]float64, classes)
	for k := range centers {
		for range inputs {
			centers[k] = append(centers[k], 0.2+0.6*rng.Float64())
		}
	}
	values, labels := make([]float32, 0, n*inputs), make([]int32, n)
	for i := range n {
		labels[i] = int32(i % classes)
		for j := range inputs {
			values = append(values, float32(min(1, max(0, centers[labels[i]][j]+0.1*rng.NormFloat64()))))
		}
	}
	return fit.Data{Images: tensors.FromFlatDataAndDimensions(values, n, inputs), Labels: labels}
}

func mlp(t testing.TB, inputs, classes int, hidden ...int) *nets.Model {
	t.Helper()
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{inputs}, Hidden: hidden, Classes: classes, Seed: 4})
	require.NoError(t, err)
	return m
}

func weights(t testing.TB, m *nets.Model) (all []float32) {
	t.Helper()
	for _, w := range m.Weights() {
		all = append(all, tensors.MustCopyFlatData[float32](w.MustValue())...)
	}
	return all
}

func ce(epochs ...int) fit.Config {
	c := fit.Config{BatchSize: 20, LearningRate: 3e-3, Seed: 5}
	for _, e := range epochs {
		c.Phases = append(c.Phases, fit.Phase{Epochs: e, Loss: fit.CrossEntropy()})
	}
	return c
}

func TestLearns(t *testing.T) {
	e, data := testengine.Get(t), blobs(400, 10, 4, 1)
	c := ce(12)
	c.Validation = &data
	m := mlp(t, 10, 4, 16)
	before := m.Store.NumVariables()
	h, err := fit.Train(context.Background(), e, m, data, c)
	require.NoError(t, err)
	require.Len(t, h.Loss, 12)
	require.Less(t, h.Loss[11], 0.5*h.Loss[0])
	require.Greater(t, h.Accuracy[11], 0.95)
	require.Equal(t, before, m.Store.NumVariables(), "the optimizer must leave the store as it found it")
}

// TestAdam compares three steps on a linear softmax classifier with Adam written out in plain Go.
func TestAdam(t *testing.T) {
	const n, inputs, classes, rate = 60, 3, 3, 3e-3
	data := blobs(n, inputs, classes, 2)
	m := mlp(t, inputs, classes)
	start := weights(t, m)
	c := ce(1)
	_, err := fit.Train(context.Background(), testengine.Get(t), m, data, c)
	require.NoError(t, err)

	x := tensors.MustCopyFlatData[float32](data.Images)
	w := make([]float64, len(start)) // weights [inputs, classes], then biases
	for i, v := range start {
		w[i] = float64(v)
	}
	first, second := make([]float64, len(w)), make([]float64, len(w))
	order := fit.Permutation(n, c.Seed, 0)
	for step := range n / c.BatchSize {
		g := make([]float64, len(w))
		for _, r := range order[step*c.BatchSize : (step+1)*c.BatchSize] {
			var p [classes]float64
			sum := 0.0
			for j := range classes {
				z := w[inputs*classes+j]
				for i := range inputs {
					z += float64(x[int(r)*inputs+i]) * w[i*classes+j]
				}
				p[j] = math.Exp(z)
				sum += p[j]
			}
			for j := range classes {
				d := p[j] / sum
				if int32(j) == data.Labels[r] {
					d--
				}
				d /= float64(c.BatchSize)
				for i := range inputs {
					g[i*classes+j] += d * float64(x[int(r)*inputs+i])
				}
				g[inputs*classes+j] += d
			}
		}
		for i := range w {
			first[i] = 0.9*first[i] + 0.1*g[i]
			second[i] = 0.999*second[i] + 0.001*g[i]*g[i]
			a, b := 1-math.Pow(0.9, float64(step+1)), 1-math.Pow(0.999, float64(step+1))
			w[i] -= rate * (first[i] / a) / (math.Sqrt(second[i]/b) + 1e-8)
		}
	}
	for i, v := range weights(t, m) {
		require.InDelta(t, w[i], v, 2e-5, "weight %d", i)
	}
}

func TestRepeatsExactly(t *testing.T) {
	e, data := testengine.Get(t), blobs(200, 10, 4, 1)
	var all [2][]float32
	for i := range all {
		m := mlp(t, 10, 4, 16)
		_, err := fit.Train(context.Background(), e, m, data, ce(1, 2))
		require.NoError(t, err)
		all[i] = weights(t, m)
	}
	require.Equal(t, all[0], all[1])
}

// TestKilled trains in a child process that is killed at random moments, then compares with an undisturbed run.
func TestKilled(t *testing.T) {
	data, c := blobs(400, 10, 4, 1), ce(20, 60)
	if dir := os.Getenv("FIT_TEST_DIR"); dir != "" {
		m := mlp(t, 10, 4, 16)
		_, err := fit.TrainOrLoad(context.Background(), testengine.Get(t), m, data, c, fit.Options{Dir: dir, Progress: eager{}})
		require.NoError(t, err)
		return
	}
	e := testengine.Get(t)
	plain := mlp(t, 10, 4, 16)
	_, err := fit.Train(context.Background(), e, plain, data, c)
	require.NoError(t, err)

	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(9, 9))
	killed := 0
	for range 4 {
		child := exec.Command(os.Args[0], "-test.run=TestKilled$")
		child.Env = append(os.Environ(), "FIT_TEST_DIR="+dir)
		require.NoError(t, child.Start())
		time.AfterFunc(time.Duration(900+rng.IntN(1200))*time.Millisecond, func() { _ = child.Process.Kill() })
		if child.Wait() != nil {
			killed++
		}
	}
	t.Logf("killed %d of 4", killed)
	resumed := mlp(t, 10, 4, 16)
	_, err = fit.TrainOrLoad(context.Background(), e, resumed, data, c, fit.Options{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, weights(t, plain), weights(t, resumed))
	// A second call loads.
	again := mlp(t, 10, 4, 16)
	start := time.Now()
	_, err = fit.TrainOrLoad(context.Background(), e, again, data, c, fit.Options{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, weights(t, plain), weights(t, again))
	require.Less(t, time.Since(start), time.Second)
}

// eager slows steps down, so that a kill falls inside the training.
type eager struct{}

func (eager) Begin(string, int, int) {}
func (eager) Advance(int)            { time.Sleep(time.Millisecond) }
func (eager) End()                   {}

func TestCancelSaves(t *testing.T) {
	e, data, c := testengine.Get(t), blobs(200, 10, 4, 1), ce(5)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	_, err := fit.TrainOrLoad(ctx, e, mlp(t, 10, 4, 16), data, c, fit.Options{Dir: dir, Progress: &stopper{after: 17, stop: cancel}})
	require.ErrorIs(t, err, context.Canceled)
	files, err := filepath.Glob(filepath.Join(dir, "fit-*.bin"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	resumed, plain := mlp(t, 10, 4, 16), mlp(t, 10, 4, 16)
	s := &stopper{after: -1}
	_, err = fit.TrainOrLoad(context.Background(), e, resumed, data, c, fit.Options{Dir: dir, Progress: s})
	require.NoError(t, err)
	require.Equal(t, 17, s.done, "the progress must tell what was done before")
	_, err = fit.Train(context.Background(), e, plain, data, c)
	require.NoError(t, err)
	require.Equal(t, weights(t, plain), weights(t, resumed))

	// A damaged checkpoint is not trusted: training starts anew, to the same weights.
	raw, err := os.ReadFile(files[0])
	require.NoError(t, err)
	raw[len(raw)/2] ^= 1
	require.NoError(t, os.WriteFile(files[0], raw, 0o644))
	anew := mlp(t, 10, 4, 16)
	_, err = fit.TrainOrLoad(context.Background(), e, anew, data, c, fit.Options{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, weights(t, plain), weights(t, anew))
}

type stopper struct {
	after, done int
	stop        func()
}

func (s *stopper) Begin(_ string, done, _ int) { s.done = done }
func (s *stopper) Advance(n int) {
	if s.after -= n; s.after == 0 {
		s.stop()
	}
}
func (s *stopper) End() {}

func TestKeyTellsEverything(t *testing.T) {
	data, other := blobs(100, 10, 4, 1), blobs(100, 10, 4, 2)
	c := ce(2)
	key := func(m *nets.Model, backend string, d fit.Data, c fit.Config) string {
		k, err := fit.Key(m, backend, d, c)
		require.NoError(t, err)
		return k
	}
	m := mlp(t, 10, 4, 16)
	keys := map[string]string{key(m, "xla:cpu", data, c): "base"}
	add := func(what, k string) {
		require.NotContains(t, keys, k, what)
		keys[k] = what
	}
	add("backend", key(m, "go", data, c))
	add("data", key(m, "xla:cpu", other, c))
	add("architecture", key(mlp(t, 10, 4, 17), "xla:cpu", data, c))
	seeded, err := nets.NewMLP(nets.MLPConfig{Input: []int{10}, Hidden: []int{16}, Classes: 4, Seed: 6})
	require.NoError(t, err)
	add("initial weights", key(seeded, "xla:cpu", data, c))
	for what, change := range map[string]func(c *fit.Config){
		"seed": func(c *fit.Config) { c.Seed++ }, "rate": func(c *fit.Config) { c.LearningRate *= 2 },
		"batch": func(c *fit.Config) { c.BatchSize++ }, "epochs": func(c *fit.Config) { c.Phases[0].Epochs++ },
		"loss": func(c *fit.Config) { c.Phases[0].Loss.Name += "'" }, "validation": func(c *fit.Config) { c.Validation = &other },
	} {
		changed := ce(2)
		change(&changed)
		add(what, key(m, "xla:cpu", data, changed))
	}
}

func TestBadInput(t *testing.T) {
	e, data := testengine.Get(t), blobs(100, 10, 4, 1)
	bad := data
	bad.Labels = append([]int32{7}, data.Labels[1:]...)
	nan := blobs(100, 10, 4, 1)
	tensors.MustMutableFlatData(nan.Images, func(v []float32) { v[25] = float32(math.NaN()) })
	for name, c := range map[string]struct {
		data fit.Data
		edit func(*fit.Config)
		want string
	}{
		"label":         {bad, func(*fit.Config) {}, "label 7 at row 0: the network has 4 classes"},
		"NaN":           {nan, func(*fit.Config) {}, "at [2,5] is not finite"},
		"no images":     {fit.Data{}, func(*fit.Config) {}, "no images given"},
		"fewer labels":  {fit.Data{Images: data.Images, Labels: data.Labels[:9]}, func(*fit.Config) {}, "9 labels for 100 images"},
		"big batch":     {data, func(c *fit.Config) { c.BatchSize = 101 }, "BatchSize = 101 for 100 examples"},
		"no epochs":     {data, func(c *fit.Config) { c.Phases[0].Epochs = 0 }, "no epochs"},
		"negative rate": {data, func(c *fit.Config) { c.LearningRate = -1 }, "LearningRate = -1"},
		"diverges":      {data, func(c *fit.Config) { c.LearningRate = 1e30 }, "the loss is"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := ce(3)
			c.edit(&cfg)
			_, err := fit.Train(context.Background(), e, mlp(t, 10, 4, 16), c.data, cfg)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func Example() {
	c := fit.Config{Phases: []fit.Phase{{Epochs: 5, Loss: fit.CrossEntropy()}}, Seed: 1}
	fmt.Println(c.Phases[0].Loss.Name)
	// Output: cross-entropy
}
