package removal_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/watermark"
	"github.com/trustbook/trustbook/watermark/removal"
)

var brief = removal.Training{Rate: 1e-2, Epochs: 2, Batch: 30}

func thiefsKey(t testing.TB) *watermark.Key {
	t.Helper()
	k, err := watermark.NewKey([]byte("thief"), "thief", watermark.KeyOptions{Shape: []int{8, 8, 1}, Target: 1, Bits: 8, Carriers: 32})
	require.NoError(t, err)
	return k
}

// all are the attacks, some trainings of them long enough to learn something.
func all(t testing.TB) []removal.Removal {
	t.Helper()
	return []removal.Removal{
		removal.FineTune{Training: brief},
		removal.AdversarialFineTune{Training: brief},
		removal.GradientPenalty{Training: brief},
		removal.Prune{Share: 0.5},
		removal.PruneFineTune{Training: brief, Share: 0.5},
		removal.FinePrune{Training: brief, Share: 0.5},
		removal.Quantize{Bits: 4},
		removal.Distill{Training: removal.Training{Rate: 1e-2, Epochs: 20, Batch: 30}, Temperature: 2},
		removal.ExtractModel{Training: removal.Training{Rate: 1e-2, Epochs: 20, Batch: 30}},
		removal.Overwrite{Key: thiefsKey(t), Embedder: watermark.Embedder{Phases: []watermark.Phase{{Steps: 5, Rate: 1e-3, Lambda: 0.3}}, Batch: 30}},
	}
}

func trained(t *testing.T) (*nets.Model, fit.Data) {
	t.Helper()
	m, data := mlp(t, 16), blobs(120, 1)
	_, err := fit.Train(t.Context(), testengine.Quick(t), m, data,
		fit.Config{Phases: []fit.Phase{{Epochs: 10, Loss: fit.CrossEntropy()}}, BatchSize: 30, LearningRate: 1e-2})
	require.NoError(t, err)
	return m, data
}

// TestAll: every attack gives another network that is still worth having, leaves the one that it got as it was, repeats
// itself to the byte, finds what it kept, and stops when told.
func TestAll(t *testing.T) {
	e := testengine.Quick(t)
	m, data := trained(t)
	before, test := weights(t, m), blobs(60, 2)
	names := map[string]bool{}
	for _, r := range all(t) {
		t.Run(r.Name(), func(t *testing.T) {
			require.False(t, names[r.Name()])
			names[r.Name()] = true
			o := fit.Options{Dir: t.TempDir()}
			got, err := r.Apply(t.Context(), e, m, data, o)
			require.NoError(t, err)
			require.Equal(t, before, weights(t, m), "the network that was given has changed")
			require.NotEqual(t, before, weights(t, got))
			require.Equal(t, m.InputShape, got.InputShape)
			p, err := nets.NewPredictor(e.Backend(), got, 60)
			require.NoError(t, err)
			accuracy, err := p.Accuracy(test.Images, test.Labels)
			require.NoError(t, err)
			require.Greater(t, accuracy, 0.8)

			again, err := r.Apply(t.Context(), e, m, data, o)
			require.NoError(t, err)
			require.Equal(t, weights(t, got), weights(t, again))
			ctx, stop := context.WithCancel(t.Context())
			stop()
			_, err = r.Apply(ctx, e, m, data, fit.Options{})
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

// TestResumes: an attack that was stopped goes on to the same network.
func TestResumes(t *testing.T) {
	e, m, data := testengine.Quick(t), mlp(t, 16), blobs(120, 1)
	r := removal.Distill{Training: removal.Training{Epochs: 3, Batch: 30}}
	want, err := r.Apply(t.Context(), e, m, data, fit.Options{})
	require.NoError(t, err)
	o := fit.Options{Dir: t.TempDir(), CheckpointEvery: -1}
	ctx, stop := context.WithCancel(t.Context())
	o.Progress = &stopper{at: 5, stop: stop}
	_, err = r.Apply(ctx, e, m, data, o)
	require.ErrorIs(t, err, context.Canceled)
	o.Progress = nil
	got, err := r.Apply(t.Context(), e, m, data, o)
	require.NoError(t, err)
	require.Equal(t, weights(t, want), weights(t, got))
}

type stopper struct {
	at   int
	stop func()
}

func (*stopper) Begin(string, int, int) {}
func (*stopper) End()                   {}
func (s *stopper) Advance(n int) {
	if s.at -= n; s.at == 0 {
		s.stop()
	}
}

func TestPrune(t *testing.T) {
	m := cnn(t, 3)
	// Equal values at the limit: exactly as many go as the share says.
	w := m.Weights()[0]
	require.NoError(t, w.SetValue(tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{-0.05}, w.Shape().Size()), w.Shape().Dimensions...)))
	total := 0
	var sizes []float64
	for i, w := range m.Weights() {
		if w.Shape().Rank() > 1 {
			total += w.Shape().Size()
			for _, v := range weights(t, m)[i] {
				sizes = append(sizes, math.Abs(float64(v)))
			}
		}
	}
	slices.Sort(sizes)
	for _, share := range []float64{0, 0.1, 0.5, 0.93} {
		got, err := removal.Prune{Share: share}.Apply(t.Context(), nil, m, fit.Data{}, fit.Options{})
		require.NoError(t, err)
		zeros, want := 0, int(math.Round(share*float64(total)))
		before, after := weights(t, m), weights(t, got)
		for i, w := range m.Weights() {
			for j, v := range after[i] {
				switch {
				case w.Shape().Rank() == 1, v != 0:
					require.Equal(t, before[i][j], v)
				default:
					zeros++
					require.LessOrEqual(t, math.Abs(float64(before[i][j])), sizes[max(want-1, 0)])
				}
			}
		}
		require.Equal(t, want, zeros)
	}
}

// TestZerosStay: what was pruned is not trained again.
func TestZerosStay(t *testing.T) {
	e, m, data := testengine.Quick(t), mlp(t, 16), blobs(60, 1)
	got, err := removal.PruneFineTune{Share: 0.7, Training: brief}.Apply(t.Context(), e, m, data, fit.Options{})
	require.NoError(t, err)
	pruned, err := removal.Prune{Share: 0.7}.Apply(t.Context(), e, m, data, fit.Options{})
	require.NoError(t, err)
	require.NotEqual(t, weights(t, pruned), weights(t, got))
	after := weights(t, got)
	for i, w := range weights(t, pruned) {
		if pruned.Weights()[i].Shape().Rank() > 1 {
			for j, v := range w {
				require.Equal(t, v == 0, after[i][j] == 0)
			}
		}
	}
}

// TestFinePrune: the channels that are least active go, counted here in Go, and only they.
func TestFinePrune(t *testing.T) {
	e, m, data := testengine.Quick(t), cnn(t, 1), blobs(60, 1)
	a, err := nets.NewActivations(e.Backend(), m, 2, 0)
	require.NoError(t, err)
	rows, err := a.Of(data.Images)
	require.NoError(t, err)
	activity := make([]float64, 6)
	for _, row := range rows {
		for i, v := range row {
			activity[i%6] += math.Abs(float64(v)) // maps have their channels last
		}
	}
	sorted := slices.Sorted(slices.Values(activity))
	got, err := removal.FinePrune{Share: 0.5, Training: brief}.Apply(t.Context(), e, m, data, fit.Options{})
	require.NoError(t, err)
	dense := tensors.MustCopyFlatData[float32](got.Store.GetVariable(got.Dense[0].Weight).MustValue())
	for value := range 4 * 6 {
		silent := !slices.ContainsFunc(dense[value*12:(value+1)*12], func(v float32) bool { return v != 0 })
		require.Equal(t, activity[value%6] <= sorted[2], silent)
	}
	// Neurons of an MLP's last hidden layer, and of the first.
	for layer, hidden := range map[int]int{0: 8, 2: 20} {
		got, err := removal.FinePrune{Share: 0.25, Layer: layer, Training: brief}.Apply(t.Context(), e, mlp(t, 20, 8), data, fit.Options{})
		require.NoError(t, err)
		w := got.Store.GetVariable(got.Dense[max(layer, 1)-1].Weight)
		if layer == 0 {
			w = got.Store.GetVariable(got.Dense[2].Weight)
		}
		silent := 0
		for row := range slices.Chunk(tensors.MustCopyFlatData[float32](w.MustValue()), w.Shape().Dimensions[1]) {
			if !slices.ContainsFunc(row, func(v float32) bool { return v != 0 }) {
				silent++
			}
		}
		require.Equal(t, hidden/4, silent)
	}
}

func TestQuantize(t *testing.T) {
	m := cnn(t, 1)
	for _, bits := range []int{2, 4, 8, 16} {
		got, err := removal.Quantize{Bits: bits}.Apply(t.Context(), nil, m, fit.Data{}, fit.Options{})
		require.NoError(t, err)
		before, after := weights(t, m), weights(t, got)
		for i, w := range m.Weights() {
			if w.Shape().Rank() == 1 {
				require.Equal(t, before[i], after[i])
				continue
			}
			largest, values := 0.0, map[float32]bool{}
			for _, v := range before[i] {
				largest = max(largest, math.Abs(float64(v)))
			}
			step := largest / (math.Exp2(float64(bits-1)) - 1)
			for j, v := range after[i] {
				values[v] = true
				require.InDelta(t, before[i][j], v, step/2*(1+1e-5))
				require.InDelta(t, math.Round(float64(v)/step), float64(v)/step, 1e-2)
			}
			require.LessOrEqual(t, len(values), 1<<bits-1)
		}
	}
}

// TestPenalty: the loss and its gradient are those of double backpropagation.
func TestPenalty(t *testing.T) {
	e, m, data := testengine.Quick(t), mlp(t), blobs(9, 4) // softmax regression: smooth, so that differences agree closely
	loss := removal.Penalized(0.7, 0.01)
	exec, err := model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, x, y *Node) []*Node {
		w := scope.Store().GetVariable(m.WeightPaths[0]).NodeValue(x.Graph())
		got := loss.Build(scope, m, x, y)
		ce := nets.CrossEntropy(m.Logits(scope, x), y)
		g := Gradient(ReduceAllSum(ce), x)[0]
		want := Add(ReduceAllMean(ce), MulScalar(ReduceAllSum(Square(g)), 0.7/9))
		return []*Node{got, want, Gradient(got, w)[0], Gradient(want, w)[0]}
	})
	require.NoError(t, err)
	out, err := exec.Call(data.Images, data.Labels)
	require.NoError(t, err)
	require.InDelta(t, tensors.ToScalar[float32](out[1]), tensors.ToScalar[float32](out[0]), 1e-3)
	got, want := tensors.MustCopyFlatData[float32](out[2]), tensors.MustCopyFlatData[float32](out[3])
	largest, off := 0.0, 0.0
	for i := range want {
		largest, off = max(largest, math.Abs(float64(want[i]))), max(off, math.Abs(float64(want[i]-got[i])))
	}
	require.Less(t, off/largest, 2e-3)
	t.Logf("largest error of the gradient over its largest value: %.1e", off/largest)
}

// TestPenaltySmooths: the penalty and adversarial fine-tuning make input gradients smaller than plain fine-tuning does.
func TestPenaltySmooths(t *testing.T) {
	e := testengine.Quick(t)
	m, data := trained(t)
	size := func(r removal.Removal) float64 {
		got, err := r.Apply(t.Context(), e, m, data, fit.Options{})
		require.NoError(t, err)
		v, err := watermark.InputGradient(t.Context(), e, got, 1, data.Images)
		require.NoError(t, err)
		sum := 0.0
		for _, g := range v {
			sum += g * g
		}
		return math.Sqrt(sum)
	}
	longer := removal.Training{Rate: 1e-3, Epochs: 6, Batch: 30}
	plain := size(removal.FineTune{Training: longer})
	require.Less(t, size(removal.GradientPenalty{Training: longer}), plain)
	require.Less(t, size(removal.AdversarialFineTune{Training: longer}), plain)
}

// TestDistill: the student learns what the teacher says, not what labels say; labels are not needed, the student's network
// may be another, and it stays as it was.
func TestDistill(t *testing.T) {
	e := testengine.Quick(t)
	m, data := trained(t)
	student := mlp(t, 16)
	before := weights(t, student)
	got, err := removal.Distill{Student: student, Training: removal.Training{Rate: 1e-2, Epochs: 40, Batch: 30}}.Apply(t.Context(), e, m,
		fit.Data{Images: data.Images}, fit.Options{})
	require.NoError(t, err)
	require.Equal(t, before, weights(t, student))
	require.Equal(t, student.Name, got.Name)
	logits := func(m *nets.Model) []float32 {
		p, err := nets.NewPredictor(e.Backend(), m, 60)
		require.NoError(t, err)
		z, err := p.Logits(blobs(60, 8).Images)
		require.NoError(t, err)
		return slices.Concat(z...)
	}
	teacher, learned := softmaxes(logits(m)), softmaxes(logits(got))
	off := 0.0
	for i := range teacher {
		off += math.Abs(teacher[i]-learned[i]) / float64(len(teacher)/3)
	}
	require.Less(t, off, 0.1, "mean total variation, twice")
}

func softmaxes(z []float32) (p []float64) {
	for row := range slices.Chunk(z, 3) {
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(float64(v - row[0]))
		}
		for _, v := range row {
			p = append(p, math.Exp(float64(v-row[0]))/sum)
		}
	}
	return p
}

// TestRedraw: fresh weights have nothing of the old but their size.
func TestRedraw(t *testing.T) {
	m := mlp(t, 400)
	got, err := removal.Redraw(m, 3)
	require.NoError(t, err)
	again, err := removal.Redraw(m, 3)
	require.NoError(t, err)
	require.Equal(t, weights(t, got), weights(t, again))
	before, after := weights(t, m)[0], weights(t, got)[0]
	var dot, a, b float64
	for i := range before {
		dot += float64(before[i]) * float64(after[i])
		a += float64(before[i]) * float64(before[i])
		b += float64(after[i]) * float64(after[i])
	}
	require.InDelta(t, 0, dot/math.Sqrt(a*b), 5/math.Sqrt(float64(len(before))))
	require.InEpsilon(t, a, b, 0.05)
}

// TestOnlyTarget: the name of overwriting tells nothing of the key but its target and length.
func TestOnlyTarget(t *testing.T) {
	require.Equal(t, "overwriting (class 1, 8 bits)", removal.Overwrite{Key: thiefsKey(t)}.Name())
}

func TestBadSettings(t *testing.T) {
	e, m, data := testengine.Quick(t), cnn(t, 1), blobs(12, 1)
	conv := *m
	conv.Dense, conv.Features = nil, nil
	for _, c := range []struct {
		r    removal.Removal
		m    *nets.Model
		data fit.Data
		want string
	}{
		{removal.Prune{Share: 1}, m, data, "share 1: want 0 to below 1"},
		{removal.Prune{Share: math.NaN()}, m, data, "share NaN"},
		{removal.PruneFineTune{Share: -0.5}, m, data, "share -0.5"},
		{removal.FinePrune{Share: 2}, m, data, "share 2"},
		{removal.FinePrune{Layer: 5}, m, data, "dense layer 5: there are 1 to 2"},
		{removal.FinePrune{}, mlp(t), data, "reads the image itself"},
		{removal.FinePrune{}, &conv, data, "does not end in dense layers"},
		{removal.FinePrune{}, m, fit.Data{}, "no images given"},
		{removal.Quantize{Bits: 1}, m, data, "1 bits: want 2 to 16"},
		{removal.Quantize{Bits: 17}, m, data, "17 bits"},
		{removal.AdversarialFineTune{Epsilon: -1}, m, data, "radius -1"},
		{removal.GradientPenalty{Weight: -1}, m, data, "weight -1"},
		{removal.GradientPenalty{Step: math.Inf(1)}, m, data, "step +Inf"},
		{removal.Distill{Temperature: -1}, m, data, "temperature -1"},
		{removal.Distill{}, m, fit.Data{}, "no images given"},
		{removal.Distill{Student: smaller(t)}, m, data, "the student takes [8 8 1] and tells 2 classes apart"},
		{removal.ExtractModel{Student: smaller(t)}, m, data, "the student takes"},
		{removal.ExtractModel{}, m, fit.Data{}, "no images given"},
		{removal.FineTune{}, m, fit.Data{Images: data.Images}, "0 labels for 12 images"},
		{removal.FineTune{}, m, fit.Data{}, "no images given"},
		{removal.FineTune{Training: removal.Training{Rate: -1}}, m, data, "rate"},
		{removal.FineTune{Training: removal.Training{Batch: 13}}, m, data, "BatchSize = 13 for 12 examples"},
		{removal.FineTune{}, nil, data, "no network given"},
		{removal.Overwrite{}, m, data, "no key to overwrite with"},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, err := c.r.Apply(t.Context(), e, c.m, c.data, fit.Options{})
			require.ErrorContains(t, err, c.want)
			require.True(t, strings.HasPrefix(err.Error(), "removal: "+c.r.Name()), err.Error())
			require.NotContains(t, err.Error(), "\n")
			require.False(t, errors.Is(err, context.Canceled))
		})
	}
}

func smaller(t *testing.T) *nets.Model {
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{8, 8, 1}, Classes: 2})
	require.NoError(t, err)
	return m
}
