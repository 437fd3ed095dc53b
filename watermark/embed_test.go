package watermark

import (
	"context"
	"fmt"
	"math"
	"os"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// TestEmbed: no errors on a marked network, chance on one that was trained alike, and about the same accuracy.
func TestEmbed(t *testing.T) {
	n, e, ctx := networks(t), testengine.Training(t), context.Background()
	count := n.targets.Shape().Dimensions[0]
	r, err := Extract(ctx, e, n.marked, n.key, n.targets, allTarget(count))
	require.NoError(t, err)
	require.Zero(t, r.Errors)
	require.Equal(t, 64, r.Decided)
	require.Equal(t, 0x1p-64, r.PValue)
	u, err := Extract(ctx, e, n.plain, n.key, n.targets, nil)
	require.NoError(t, err)
	low, high := Interval(64, 0.999)
	require.GreaterOrEqual(t, u.Errors, low)
	require.LessOrEqual(t, u.Errors, high)
	require.Greater(t, accuracy(t, n.marked, n.images, n.labels), accuracy(t, n.plain, n.images, n.labels)-0.02)
	require.Greater(t, accuracy(t, n.plain, n.images, n.labels), 0.88)
}

// TestNull: 2,000 keys on either network, each a product of matrix and vector.
func TestNull(t *testing.T) {
	n, e, ctx := networks(t), testengine.Training(t), context.Background()
	for name, m := range map[string]*nets.Model{"marked": n.marked, "plain": n.plain} {
		v, err := InputGradient(ctx, e, m, target, n.targets)
		require.NoError(t, err)
		low, high := Interval(64, 0.999)
		sum, squares, outside := 0.0, 0.0, 0
		const keys = 2000
		for i := range keys {
			r := smallKey(t, fmt.Sprint("wrong ", i)).Read(v)
			require.Equal(t, 64, r.Decided)
			sum, squares = sum+float64(r.Errors), squares+float64(r.Errors*r.Errors)
			if r.Errors < low || r.Errors > high {
				outside++
			}
		}
		mean := sum / keys
		require.InDelta(t, 32, mean, 0.36, name)
		require.InDelta(t, 4, math.Sqrt(squares/keys-mean*mean), 0.25, name)
		require.LessOrEqual(t, outside, 8, name)
	}
}

func flat(t *testing.T, m *nets.Model) (all []float32) {
	for _, w := range m.Weights() {
		value, err := w.Value()
		require.NoError(t, err)
		all = append(all, tensors.MustCopyFlatData[float32](value)...)
	}
	return all
}

// With lambda 0 neither key nor method changes a bit, and the step with the regularizer in it makes the same step as the one
// without.
func TestLambdaZero(t *testing.T) {
	e, ctx := testengine.Training(t), context.Background()
	d, err := loadDigits()
	require.NoError(t, err)
	run := func(secret string, method Method) []float32 {
		m := smallNet(t, 2)
		x := Embedder{Phases: []Phase{{20, 1e-3, 0}}, Batch: 50, TargetPerBatch: 10, Method: method, Seed: 3}
		_, err := x.Embed(ctx, e, m, smallKey(t, secret), d.train, fit.Options{})
		require.NoError(t, err)
		return flat(t, m)
	}
	want := run("a", Surrogate)
	require.Equal(t, want, run("b", DoubleBackprop))

	for _, method := range []Method{Surrogate, DoubleBackprop} {
		x := Embedder{Phases: []Phase{{20, 1e-3, 0}}, Batch: 50, TargetPerBatch: 10, Method: method, Seed: 3}.withDefaults()
		m := smallNet(t, 2)
		require.NoError(t, x.validate(m, smallKey(t, "a"), d.train))
		r := &embedding{e: e, x: x, k: smallKey(t, "a"), train: d.train, given: m, m: m}
		require.NoError(t, r.begin(true))
		for i := range 20 {
			_, _, err := r.update(append(r.targets.batch(i), r.others.batch(i)...), x.Phases[0], true)
			require.NoError(t, err)
		}
		require.Equal(t, want, flat(t, m), method)
	}
	loss, err := Loss(smallKey(t, "a"), 0, "", 0)
	require.NoError(t, err)
	require.Equal(t, fit.CrossEntropy().Name, loss.Name)
}

// Batches have as many images of the target as they should, and all images get their turn.
func TestBatches(t *testing.T) {
	p := &pool{rows: []int32{3, 5, 7, 11, 13, 17, 19}, take: 3, steps: 2, seed: 1}
	for epoch := range 3 {
		seen := map[int32]int{}
		for i := range 2 {
			for _, row := range p.batch(2*epoch + i) {
				require.Contains(t, p.rows, row)
				seen[row]++
			}
		}
		require.Len(t, seen, 6)
	}
	again := &pool{rows: p.rows, take: 3, steps: 2, seed: 1}
	require.Equal(t, p.batch(5), again.batch(5), "a batch depends on its number alone")
}

// stopAt cancels after so many steps.
type stopAt struct {
	steps  int
	cancel func()
}

func (s *stopAt) Begin(string, int, int) {}
func (s *stopAt) End()                   {}
func (s *stopAt) Advance(n int) {
	if s.steps -= n; s.steps <= 0 {
		s.cancel()
	}
}

// A marking that was stopped goes on to the same weights and history; one that was finished is found again, and under another
// key, or schedule, not.
func TestEmbedResumes(t *testing.T) {
	e, ctx := testengine.Training(t), context.Background()
	d, err := loadDigits()
	require.NoError(t, err)
	train := d.train // the same shapes everywhere, which compile once
	x := Embedder{Phases: []Phase{{12, 1e-3, 0.3}, {12, 1e-3, 0}}, Batch: 50, TargetPerBatch: 10, Seed: 1}
	m := smallNet(t, 3)
	want, err := x.Embed(ctx, e, m, smallKey(t, "secret"), train, fit.Options{})
	require.NoError(t, err)
	require.Len(t, want.Loss, 1)

	dir, stopped := t.TempDir(), smallNet(t, 3)
	before := flat(t, stopped)
	going, cancel := context.WithCancel(ctx)
	_, err = x.Embed(going, e, stopped, smallKey(t, "secret"), train, fit.Options{Dir: dir, Progress: &stopAt{15, cancel}})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, flat(t, stopped), "as it was")
	got, err := x.Embed(ctx, e, stopped, smallKey(t, "secret"), train, fit.Options{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, flat(t, m), flat(t, stopped))

	found := smallNet(t, 3)
	steps := &stopAt{1 << 30, func() {}}
	got, err = x.Embed(ctx, e, found, smallKey(t, "secret"), train, fit.Options{Dir: dir, Progress: steps})
	require.NoError(t, err)
	require.Equal(t, 1<<30, steps.steps, "nothing was trained")
	require.Equal(t, want, got)
	require.Equal(t, flat(t, m), flat(t, found))
	for _, other := range []func(){
		func() { _, err = x.Embed(ctx, e, smallNet(t, 3), smallKey(t, "other"), train, fit.Options{Dir: dir}) },
		func() {
			y := x
			y.Seed = 2
			_, err = y.Embed(ctx, e, smallNet(t, 3), smallKey(t, "secret"), train, fit.Options{Dir: dir})
		},
	} {
		files, _ := os.ReadDir(dir)
		other()
		require.NoError(t, err)
		more, _ := os.ReadDir(dir)
		require.Len(t, more, len(files)+1)
	}
}

// TestLoss: the cross-entropy of all images plus lambda times the regularizer of those of the target, of which there may be none.
func TestLoss(t *testing.T) {
	e, k, m := testengine.Training(t), goldenKey(t), goldenModel[float64](t)
	loss, err := Loss(k, 0.3, DoubleBackprop, 0)
	require.NoError(t, err)
	value := func(labels []int32) float64 {
		exec, err := model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, x, y *Node) *Node { return loss.Build(scope, m, x, y) })
		require.NoError(t, err)
		out, err := exec.Call(append(goldenX, []float64{3, 1, 2, 0}), labels)
		require.NoError(t, err)
		return tensors.ToScalar[float64](out[0])
	}
	entropy := func(labels []int32) (sum float64) {
		for i, x := range append(goldenX, []float64{3, 1, 2, 0}) {
			z, all := make([]float64, 3), 0.0
			for c := range z {
				z[c] = goldenA[c]
				for j := range x {
					z[c] += goldenW[c][j] * x[j]
				}
				all += math.Exp(z[c])
			}
			sum += math.Log(all) - z[labels[i]]
		}
		return sum / 3
	}
	require.InDelta(t, entropy([]int32{0, 0, 1})+0.3*0.8040588584, value([]int32{0, 0, 1}), 1e-9)
	require.InDelta(t, entropy([]int32{1, 2, 1}), value([]int32{1, 2, 1}), 1e-9)

	train := fit.Data{Images: tensors.FromValue([][]float32{{0, 0.5, 1, 0.2}, {0.3, 1, 0, 0.9}}), Labels: []int32{0, 1}}
	trained := goldenModel[float32](t)
	c := fit.Config{Phases: []fit.Phase{{Epochs: 2, Loss: loss}}, BatchSize: 2}
	_, err = fit.Train(context.Background(), e, trained, train, c)
	require.NoError(t, err)
	require.NotEqual(t, flat(t, goldenModel[float32](t)), flat(t, trained))
}

func TestEmbedRefuses(t *testing.T) {
	e, ctx := testengine.Training(t), context.Background()
	d, err := loadDigits()
	require.NoError(t, err)
	train, k := d.train.Sample(100, 1), smallKey(t, "secret")
	big, err := nets.NewMLP(nets.MLPConfig{Input: []int{3, 32, 32}, Hidden: []int{4}, Classes: 10})
	require.NoError(t, err)
	binary, err := nets.NewMLP(nets.MLPConfig{Input: []int{side, side, 1}, Hidden: []int{4}, Classes: 2})
	require.NoError(t, err)
	for _, c := range []struct {
		m    *nets.Model
		x    Embedder
		want string
	}{
		{big, Embedder{}, "embed: key: made for [14 14 1], model takes [3 32 32]"},
		{binary, Embedder{}, "embed: key: made for class 3, the model has classes 0 to 1"},
		{smallNet(t, 1), Embedder{Batch: 1000}, "batches take 100 and 900"},
		{smallNet(t, 1), Embedder{Batch: 10, TargetPerBatch: 10}, "TargetPerBatch = 10 of Batch = 10"},
		{smallNet(t, 1), Embedder{Method: "magic"}, `method "magic": want "surrogate" or "double backpropagation"`},
		{smallNet(t, 1), Embedder{Step: -1}, "Step = -1"},
		{smallNet(t, 1), Embedder{Phases: []Phase{{5, 0, 1}}}, "phase 1: 5 steps, rate 0, lambda 1"},
		{smallNet(t, 1), Embedder{Phases: []Phase{{0, 1, 1}}}, "have no steps"},
	} {
		_, err := c.x.Embed(ctx, e, c.m, k, train, fit.Options{})
		require.ErrorContains(t, err, c.want)
	}
	for _, lambda := range []float64{-1, math.NaN(), math.Inf(1)} {
		_, err := Loss(k, lambda, "", 0)
		require.ErrorContains(t, err, "lambda")
	}
	_, err = Extract(ctx, e, big, k, d.targets, nil)
	require.EqualError(t, err, "key: made for [14 14 1], model takes [3 32 32]")
	_, err = Extract(ctx, e, smallNet(t, 1), k, d.targets, []int32{3})
	require.ErrorContains(t, err, "extract: 1 labels for")
	labels := allTarget(d.targets.Shape().Dimensions[0])
	labels[3] = 7
	_, err = Extract(ctx, e, smallNet(t, 1), k, d.targets, labels)
	require.EqualError(t, err, "extract: input 3 has label 7; key's target is 3")

	dead := goldenModel[float32](t)
	require.NoError(t, dead.Weights()[0].SetValue(tensors.FromValue(make3x4())))
	r, err := Extract(ctx, e, dead, goldenKey(t), tensors.FromValue([][]float32{{0, 0, 0, 1}}), nil)
	require.NoError(t, err)
	require.Equal(t, []int{0, 0}, []int{r.Errors, r.Decided})
	require.Nil(t, r.BER)
	require.Equal(t, 1.0, r.PValue)
	require.Equal(t, []int8{-1, -1, -1, -1}, r.Bits)
	require.Equal(t, []string{"zero gradient on all carriers; undecided"}, r.Notes)
}

func make3x4() [][]float32 {
	return [][]float32{make([]float32, 4), make([]float32, 4), make([]float32, 4)}
}
