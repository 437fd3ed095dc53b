package pfsgan

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot/paired"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// pictures are n images of noise in squares, so that there is something to learn.
func pictures(seed uint64, n int) *tensors.Tensor {
	rng := rand.New(rand.NewPCG(seed, 7))
	pixels := make([]float32, n*16*16*3)
	for i := range n {
		var colors [16 * 3]float32
		for k := range colors {
			colors[k] = float32(rng.Float64()*1.8 - 0.9)
		}
		for p := range 16 * 16 {
			for c := range 3 {
				pixels[(i*256+p)*3+c] = colors[(p/64*4+p%16/4)*3+c]
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(pixels, n, 16, 16, 3)
}

func tiny() Config {
	return Config{Channels: 2, Content: 3, Source: Schedule{Steps: 3, Batch: 4}, Target: Schedule{Steps: 4, Batch: 5}, Frames: 2, Seed: 1}
}

func perceptual(t *testing.T) *Perceptual {
	m, err := nets.NewCNN(nets.CNNConfig{Input: []int{16, 16, 3}, Channels: []int{2, 3}, Dense: 4, Lower: -1, Upper: 1, Seed: 3})
	require.NoError(t, err)
	return &Perceptual{Model: m, Scale: 2}
}

func values(t *testing.T, n *nets.Network) (all []float32) {
	for _, w := range n.Weights() {
		v, err := w.Value()
		require.NoError(t, err)
		all = append(all, tensors.MustCopyFlatData[float32](v)...)
	}
	for _, path := range n.StatePaths {
		v, err := n.Store.GetVariable(path).Value()
		require.NoError(t, err)
		all = append(all, tensors.MustCopyFlatData[float32](v)...)
	}
	return all
}

func few() *paired.Set { return &paired.Set{Source: pictures(2, 4), Target: pictures(3, 4)} }

// stopAfter cancels a training after so many steps.
type stopAfter struct {
	steps  int
	cancel context.CancelFunc
}

func (s *stopAfter) Begin(string, int, int) {}
func (s *stopAfter) End()                   {}
func (s *stopAfter) Advance(n int) {
	if s.steps -= n; s.steps <= 0 {
		s.cancel()
	}
}

// TestAdapt: what is frozen stays, what learns moves; a training that is stopped ends with the same bytes.
func TestAdapt(t *testing.T) {
	e, ctx := testengine.Quick(t), t.Context()
	s, losses, err := TrainSource(ctx, e, tiny(), pictures(1, 8), perceptual(t), fit.Options{})
	require.NoError(t, err)
	require.Len(t, losses[LossReconstruction], 3)
	before := [][]float32{values(t, &s.Generator.Network), values(t, &s.Content.Network), values(t, &s.Perceptual.Model.Network)}

	whole, err := Adapt(ctx, e, s, few(), pictures(1, 8), tiny(), fit.Options{})
	require.NoError(t, err)
	require.Equal(t, before[0], values(t, &whole.before.Network), "the source's generator is frozen")
	require.Equal(t, before[1], values(t, &whole.Content.Network), "and so is the encoder of contents")
	adopted := s.Perceptual.Model.Network
	adopted.Store = whole.store
	require.Equal(t, before[2], values(t, &adopted), "and the perceptual network")
	require.Equal(t, before[0], values(t, &s.Generator.Network), "the source stays as it is")
	require.NotEqual(t, before[0], values(t, &whole.Generator.Network))
	require.NotEqual(t, before[1], values(t, &whole.Appearance.Network))
	require.NotEqual(t, values(t, &s.Content.Front.Network), values(t, &whole.Front.Network))
	require.Len(t, whole.Film, 3, "before the first step, and after each half")
	require.Len(t, whole.Losses[Relation4], 4)

	stopped, cancel := context.WithCancel(ctx)
	dir := t.TempDir()
	_, err = Adapt(stopped, e, s, few(), pictures(1, 8), tiny(), fit.Options{Dir: dir, Progress: &stopAfter{2, cancel}})
	require.ErrorIs(t, err, context.Canceled)
	again, err := Adapt(ctx, e, s, few(), pictures(1, 8), tiny(), fit.Options{Dir: dir})
	require.NoError(t, err)
	for i := range whole.Film {
		require.Equal(t, flat(whole.Film[i]), flat(again.Film[i]))
	}
	require.Equal(t, whole.Losses, again.Losses)
	found, err := Adapt(ctx, e, s, few(), pictures(1, 8), tiny(), fit.Options{Dir: dir})
	require.NoError(t, err)
	for _, other := range []*Target{again, found} {
		a, err := whole.Synthesize(e, pictures(1, 8), few().Target)
		require.NoError(t, err)
		b, err := other.Synthesize(e, pictures(1, 8), few().Target)
		require.NoError(t, err)
		require.Equal(t, []int{8, 16, 16, 3}, a.Shape().Dimensions)
		require.Equal(t, flat(a), flat(b))
	}
	require.Equal(t, flat(whole.Film[2])[:768], flat(found.Film[2])[:768])
	drawn, err := whole.Sample(e, 3, 1)
	require.NoError(t, err)
	require.Equal(t, []int{3, 16, 16, 3}, drawn.Shape().Dimensions)
}

// begun are the networks of stage 2 before the first step, and a batch.
func begun(t *testing.T, c Config) (*Target, []any) {
	s, err := NewSource(16, perceptual(t), tiny())
	require.NoError(t, err)
	target, err := newTarget(s, c.WithDefaults())
	require.NoError(t, err)
	d, err := target.data(testengine.Quick(t), s, few(), pictures(1, 8))
	require.NoError(t, err)
	batches, err := target.batches(d)
	require.NoError(t, err)
	batch, err := batches(0)
	require.NoError(t, err)
	return target, batch
}

// TestFrontBeginsAlike: as long as the front is the encoder's own, two equal images are a pair.
func TestFrontBeginsAlike(t *testing.T) {
	target, _ := begun(t, tiny())
	exec, err := model.NewExec(testengine.Quick(t).Backend(), target.store, func(scope *model.Scope, images *Node) *Node {
		return ReduceAllMean(Abs(relation(target.content(scope, images), target.inTarget(scope, images))))
	})
	require.NoError(t, err)
	out, err := exec.Call(pictures(5, 3))
	require.NoError(t, err)
	require.Zero(t, tensors.ToScalar[float32](out[0]))
}

// TestWhoLearnsFromRelations: relations of given images teach the front alone, those of made ones the generator too.
func TestWhoLearnsFromRelations(t *testing.T) {
	target, batch := begun(t, tiny())
	weight := target.Generator.WeightPaths[2]
	exec, err := model.NewExec(testengine.Quick(t).Backend(), target.store, func(scope *model.Scope, inputs []*Node) []*Node {
		x := inputsOf(inputs)
		w := target.store.GetVariable(weight).NodeValue(x.target.Graph())
		given, _ := target.frontLoss(scope, x)
		made := target.Generator.Images(scope, latent(cycled(x.others, x.batch()), x.others))
		third, fourth := target.relations(scope, x, made)
		return []*Node{ReduceAllSum(Abs(Gradient(given, w)[0])), ReduceAllSum(Abs(Gradient(Add(third, fourth), w)[0]))}
	})
	require.NoError(t, err)
	out, err := exec.Call(batch...)
	require.NoError(t, err)
	require.Zero(t, tensors.ToScalar[float32](out[0]))
	require.Positive(t, tensors.ToScalar[float32](out[1]))
}

// TestWithoutRelation: without its term, the generator learns the same whatever the front is.
func TestWithoutRelation(t *testing.T) {
	e, ctx := testengine.Quick(t), t.Context()
	c := tiny()
	c.RelationWeight = -1
	var trained [2][]float32
	for i := range trained {
		target, _ := begun(t, c)
		s, err := NewSource(16, perceptual(t), tiny())
		require.NoError(t, err)
		if i == 1 {
			w := target.Front.Weights()[0]
			require.NoError(t, w.SetValue(tensors.FromFlatDataAndDimensions(make([]float32, w.Shape().Size()), w.Shape().Dimensions...)))
		}
		d, err := target.data(e, s, few(), pictures(1, 8))
		require.NoError(t, err)
		a, err := target.alternation(s, d)
		require.NoError(t, err)
		_, err = a.Train(ctx, e, fit.Options{})
		require.NoError(t, err)
		trained[i] = values(t, &target.Generator.Network)
	}
	require.Equal(t, trained[0], trained[1])
}

// moveBiases adds to all vectors of a store: biases of 0 would leave what comes out of ReLU at its kink.
func moveBiases(t *testing.T, store *model.Store) {
	rng := rand.New(rand.NewPCG(1, 8))
	for v := range store.IterVariables() {
		if v.Shape().Rank() != 1 || v.DType() != dtypes.Float32 {
			continue
		}
		value, err := v.Value()
		require.NoError(t, err)
		all := flat(value)
		for i := range all {
			all[i] += float32(0.1 + 0.2*rng.Float64())
		}
		require.NoError(t, v.SetValue(tensors.FromFlatDataAndDimensions(all, v.Shape().Dimensions...)))
	}
}

// TestGradient compares the slope of stage 2's loss, along the gradient of each network that learns from it, with central differences.
// Nothing may depend on what is drawn: colors do not shift, codes have no spread, and the source's generator looks at contents alone.
func TestGradient(t *testing.T) {
	c := tiny()
	c.NoShift, c.AdversarialWeight = true, 1
	target, batch := begun(t, c)
	encoder := target.Appearance
	moveBiases(t, target.store)
	for _, path := range encoder.WeightPaths[len(encoder.WeightPaths)-2:] { // of the logarithm of the variance
		v := target.store.GetVariable(path)
		all := make([]float32, v.Shape().Size())
		if v.Shape().Rank() == 1 {
			for i := range all {
				all[i] = -60
			}
		}
		require.NoError(t, v.SetValue(tensors.FromFlatDataAndDimensions(all, v.Shape().Dimensions...)))
	}
	dense := target.before.Weights()[0]
	v, err := dense.Value()
	require.NoError(t, err)
	rows := flat(v)
	clear(rows[:c.Content*dense.Shape().Dimensions[1]])
	require.NoError(t, dense.SetValue(tensors.FromFlatDataAndDimensions(rows, dense.Shape().Dimensions...)))
	learning := map[string][]string{"generator": target.Generator.WeightPaths, "front": target.Front.WeightPaths,
		"appearance": encoder.WeightPaths}
	names := []string{"generator", "front", "appearance"}
	exec, err := model.NewExec(testengine.Quick(t).Backend(), target.store, func(scope *model.Scope, inputs []*Node) []*Node {
		g := inputs[0].Graph()
		scope.Store().SetTraining(g, true)
		loss := func() *Node {
			v, _ := target.generatorLoss(scope, inputsOf(inputs[1:]))
			return v
		}
		before := map[string]*Node{}
		var paths []string
		var weights []*Node
		for _, name := range names {
			for _, path := range learning[name] {
				before[path] = target.store.GetVariable(path).NodeValue(g)
				paths, weights = append(paths, path), append(weights, before[path])
			}
		}
		gradients := map[string]*Node{}
		for i, d := range Gradient(loss(), weights...) {
			gradients[paths[i]] = d
		}
		var found []*Node
		for _, name := range names {
			length := ScalarZero(g, inputs[0].DType())
			for _, path := range learning[name] {
				length = Add(length, ReduceAllSum(Square(gradients[path])))
			}
			length = Sqrt(length)
			var ends []*Node
			for _, sign := range []float64{1, -1} {
				for _, path := range learning[name] {
					step := MulScalar(Mul(Div(gradients[path], length), inputs[0]), sign)
					target.store.GetVariable(path).SetNodeValue(Add(before[path], step))
				}
				ends = append(ends, loss())
			}
			for _, path := range learning[name] {
				target.store.GetVariable(path).SetNodeValue(before[path])
			}
			found = append(found, length, Div(Sub(ends[0], ends[1]), MulScalar(inputs[0], 2)))
		}
		return found
	})
	require.NoError(t, err)
	out, err := exec.Call(append([]any{float32(6e-4)}, batch...)...)
	require.NoError(t, err)
	for i, name := range names {
		slope, difference := float64(tensors.ToScalar[float32](out[2*i])), float64(tensors.ToScalar[float32](out[2*i+1]))
		require.Positive(t, slope, name)
		require.InEpsilon(t, slope, difference, 0.01, name)
		t.Log(name, slope, difference)
	}
}

// TestGate: adversarial terms wait until images come back, and then stay.
func TestGate(t *testing.T) {
	c := tiny()
	c.Gate = 1e-9
	_, losses, err := TrainSource(t.Context(), testengine.Quick(t), c, pictures(1, 8), nil, fit.Options{})
	require.NoError(t, err)
	require.Equal(t, []float64{0, 0, 0}, losses[LossJudge])
	require.Equal(t, []float64{0, 0, 0}, losses[LossAdversarial])
	c.Gate = 1e9
	_, losses, err = TrainSource(t.Context(), testengine.Quick(t), c, pictures(1, 8), nil, fit.Options{})
	require.NoError(t, err)
	require.Zero(t, losses[LossJudge][0], "the gate opens behind the first judge's step")
	require.NotZero(t, losses[LossJudge][1])
	require.NotZero(t, losses[LossAdversarial][0])
}

// TestGateStaysOpen: images that fit worse again do not close it.
func TestGateStaysOpen(t *testing.T) {
	c := tiny()
	c.Gate = 1e-9
	s, err := NewSource(16, nil, c)
	require.NoError(t, err)
	require.NoError(t, s.store.GetVariable(gatePath).SetValue(tensors.FromScalar(float32(1))))
	a, err := s.alternation(pictures(1, 8))
	require.NoError(t, err)
	losses, err := a.Train(t.Context(), testengine.Quick(t), fit.Options{})
	require.NoError(t, err)
	for i := range 3 {
		require.NotZero(t, losses[LossJudge][i])
		require.NotZero(t, losses[LossAdversarial][i])
	}
}

// TestDefaultsTwice: what was filled in may be given again, terms that were taken away included.
func TestDefaultsTwice(t *testing.T) {
	c := Config{RelationWeight: -1, AdversarialWeight: -2}.WithDefaults()
	require.Equal(t, c, c.WithDefaults())
	require.Equal(t, [3]float64{10, 0, 0}, c.weights())
}

// TestBaselines: all make images, and only UNIT translates.
func TestBaselines(t *testing.T) {
	e, ctx, c := testengine.Quick(t), t.Context(), tiny()
	s, err := NewSource(16, nil, c)
	require.NoError(t, err)
	source := pictures(1, 8)
	all := map[string]*Baseline{}
	all["scratch"], err = TrainScratch(ctx, e, few().Target, c, fit.Options{})
	require.NoError(t, err)
	all["fine-tuned"], err = FineTune(ctx, e, s, few().Target, c, fit.Options{})
	require.NoError(t, err)
	all["CoGAN"], err = TrainCoGAN(ctx, e, source, few().Target, c, fit.Options{})
	require.NoError(t, err)
	all["UNIT"], err = TrainUNIT(ctx, e, source, few(), c, fit.Options{})
	require.NoError(t, err)
	for name, b := range all {
		images, err := b.Sample(e, 3, 1)
		require.NoError(t, err)
		require.Equal(t, []int{3, 16, 16, 3}, images.Shape().Dimensions)
		for _, v := range flat(images) {
			require.LessOrEqual(t, math.Abs(float64(v)), 1.)
		}
		translated, err := b.Translate(e, source)
		if name == "UNIT" {
			require.NoError(t, err)
			require.Equal(t, []int{8, 16, 16, 3}, translated.Shape().Dimensions)
			for _, v := range flat(translated) {
				require.LessOrEqual(t, math.Abs(float64(v)), 1.)
			}
			require.NotEqual(t, flat(translated)[:768], flat(translated)[768:2*768], "other contents, other images")
			_, err = b.Translate(e, tensors.FromFlatDataAndDimensions(make([]float32, 2*32*32*3), 2, 32, 32, 3))
			require.ErrorContains(t, err, "images of 32×32, the networks take 16×16")
		} else {
			require.ErrorContains(t, err, "train UNIT")
		}
		_, err = b.Sample(e, 0, 1)
		require.ErrorContains(t, err, "want at least 1")
	}
}

func TestBadInput(t *testing.T) {
	e, ctx, c := testengine.Quick(t), t.Context(), tiny()
	s, err := NewSource(16, nil, c)
	require.NoError(t, err)
	large := tensors.FromFlatDataAndDimensions(make([]float32, 4*32*32*3), 4, 32, 32, 3)
	gray := tensors.FromFlatDataAndDimensions(make([]float32, 2*16*16), 2, 16, 16, 1)
	for want, run := range map[string]func() error{
		"few-shot set is not paired: 4 source, 3 target images": func() error {
			_, err := Adapt(ctx, e, s, &paired.Set{Source: pictures(1, 4), Target: pictures(1, 3)}, pictures(1, 8), c, fit.Options{})
			return err
		},
		"8 source images for a batch of 9": func() error {
			c := tiny()
			c.Target.Batch = 9
			_, err := Adapt(ctx, e, s, few(), pictures(1, 8), c, fit.Options{})
			return err
		},
		"no few-shot set": func() error {
			_, err := Adapt(ctx, e, s, nil, pictures(1, 8), c, fit.Options{})
			return err
		},
		"has 1 channels: want 3": func() error { _, _, err := TrainSource(ctx, e, c, gray, nil, fit.Options{}); return err },
		"want [n, size, size, 3]": func() error {
			flat := tensors.FromFlatDataAndDimensions(make([]float32, 6), 2, 3)
			_, _, err := TrainSource(ctx, e, c, flat, nil, fit.Options{})
			return err
		},
		"size 20 is not 4·2^n": func() error {
			odd := tensors.FromFlatDataAndDimensions(make([]float32, 4*20*20*3), 4, 20, 20, 3)
			_, _, err := TrainSource(ctx, e, c, odd, nil, fit.Options{})
			return err
		},
		"Content = 3, Appearance = 4: must be equal": func() error {
			c := tiny()
			c.Appearance = 4
			_, err := NewSource(16, nil, c)
			return err
		},
		"AdversarialWeight = NaN: must be finite": func() error {
			c := tiny()
			c.AdversarialWeight = math.NaN()
			_, err := NewSource(16, nil, c)
			return err
		},
		"perceptual layers [2 1 3]: want three rising": func() error {
			p := perceptual(t)
			p.Layers = []int{2, 1, 3}
			_, err := NewSource(16, p, c)
			return err
		},
		"source and target sizes differ: 16×16, 32×32": func() error {
			_, err := TrainCoGAN(ctx, e, pictures(1, 8), large, c, fit.Options{})
			return err
		},
		"source and target sizes differ: 32×32, 16×16": func() error {
			c := c
			c.Target.Batch = 4
			_, err := TrainUNIT(ctx, e, large, few(), c, fit.Options{})
			return err
		},
		"pairs of 32×32, the source's networks take 16×16": func() error {
			_, err := Adapt(ctx, e, s, &paired.Set{Source: large, Target: large}, pictures(1, 8), c, fit.Options{})
			return err
		},
		"1 appearances": func() error { _, err := s.Swap(e, pictures(1, 2), pictures(1, 1)); return err },
		"images of 32×32, the networks take 16×16": func() error {
			_, _, err := s.Codes(e, large)
			return err
		},
	} {
		require.ErrorContains(t, run(), want)
	}
}

// TestForeignCheckpoint: a file of another configuration under this one's name is as good as absent: the training starts anew and
// replaces it.
func TestForeignCheckpoint(t *testing.T) {
	e, ctx := testengine.Quick(t), t.Context()
	fileIn := func(dir string) string {
		files, err := filepath.Glob(filepath.Join(dir, "*.bin"))
		require.NoError(t, err)
		require.Len(t, files, 1)
		return files[0]
	}
	train := func(dir string, channels int) ([]float32, int) {
		c, steps := tiny(), &count{}
		c.Channels = channels
		b, err := TrainScratch(ctx, e, few().Target, c, fit.Options{Dir: dir, Progress: steps})
		require.NoError(t, err)
		return values(t, &b.Generator.Network), steps.n
	}
	narrow, wide := t.TempDir(), t.TempDir()
	want, steps := train(narrow, 2)
	require.Equal(t, 4, steps)
	train(wide, 3)
	ours, err := os.ReadFile(fileIn(narrow))
	require.NoError(t, err)
	foreign, err := os.ReadFile(fileIn(wide))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(fileIn(narrow), foreign, 0o600))
	got, steps := train(narrow, 2)
	require.Equal(t, 4, steps, "trained anew")
	require.Equal(t, want, got)
	again, err := os.ReadFile(fileIn(narrow))
	require.NoError(t, err)
	require.Equal(t, ours, again)
	got, steps = train(narrow, 2)
	require.Zero(t, steps, "found")
	require.Equal(t, want, got)
}

// count counts the steps of a training.
type count struct{ n int }

func (c *count) Begin(string, int, int) {}
func (c *count) End()                   {}
func (c *count) Advance(n int)          { c.n += n }
