package uae

import (
	"context"
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// quick is the tuned setting with fewer steps and a narrower estimator.
func quick() Search {
	return Search{StepSize: 0.1, Steps: 60, EstimatorSteps: 1, EstimatorRate: 1e-4, Hidden: 8, Code: 4, Batch: 20}
}

func TestReconstruction(t *testing.T) {
	const n, epsilon = 40, 0.5
	e, m, images := testengine.Quick(t), autoencoder(t), strokes(n, 7)
	o, err := Reconstruction(m)
	require.NoError(t, err)
	x, err := FirstConv(m)
	require.NoError(t, err)
	require.Equal(t, 8, x.Samples())
	s := quick()
	s.Epsilon, s.Trace, s.Seed = epsilon, 3, 1
	ex, err := s.Generate(context.Background(), e, o, x, images)
	require.NoError(t, err)
	v, err := Check(context.Background(), e, o, images, ex, epsilon)
	require.NoError(t, err)
	require.Empty(t, v.Outside)
	require.Empty(t, v.Wrong)
	require.Equal(t, ex.Success, v.Success)
	require.GreaterOrEqual(t, ex.Rate(), 0.6)
	require.InDelta(t, 0.45, ex.Dead, 0.1, "images are mostly black, and half of the first perturbation goes below")
	require.Equal(t, 60, ex.GradientSteps)
	agrees(t, ex, v)

	// A referee that is handed other images notices.
	broken := *ex
	broken.Images = strokes(n, 8)
	v, err = Check(context.Background(), e, o, images, &broken, epsilon)
	require.NoError(t, err)
	require.NotEmpty(t, v.Outside)
	require.NotEmpty(t, v.Wrong)
}

// agrees requires of examples that they are what their traces say, and the referee.
func agrees(t *testing.T, ex *Examples, v *Verdict) {
	t.Helper()
	successes, lower := 0, 0
	for i, ok := range ex.Success {
		require.InDelta(t, ex.Violation[i], v.Violation[i], 1e-4)
		require.Equal(t, ok, ex.FirstSuccess[i] > 0)
		if !ok {
			require.True(t, math.IsNaN(ex.FirstMI[i]))
			continue
		}
		successes++
		require.LessOrEqual(t, ex.Violation[i], 0.0)
		require.Positive(t, ex.MI[i])
		require.LessOrEqual(t, ex.MI[i], ex.FirstMI[i])
		if ex.MI[i] < ex.FirstMI[i] {
			lower++
		}
	}
	require.GreaterOrEqual(t, float64(lower), 0.4*float64(successes))
	for i, trace := range ex.Traces {
		require.Len(t, trace.C, 60)
		best, c := math.Inf(1), 1e-3
		for k := range trace.C {
			c = max((1-0.1/math.Pow(float64(k+1), 0.25))*c+0.1*max(trace.Violation[k], 0), 0)
			require.InEpsilon(t, c, trace.C[k], 1e-4)
			if trace.Violation[k] <= 0 && trace.MI[k] > 0 {
				best = min(best, trace.MI[k])
			}
		}
		if ex.Success[i] {
			require.Equal(t, best, ex.MI[i])
		}
	}
}

// TestSimilarity: by projections that are drawn anew, so that none is learned by heart, an image shares more with itself than with others.
func TestSimilarity(t *testing.T) {
	images := strokes(2, 1)
	m, err := blind(images)
	require.NoError(t, err)
	o, err := Reconstruction(m)
	require.NoError(t, err)
	x, err := RandomProjection(24, 4)
	require.NoError(t, err)
	s := Search{Hidden: 16, Code: 8, EstimatorRate: 1e-2}
	same, err := s.Similarity(context.Background(), testengine.Quick(t), o, x, images, images, 60)
	require.NoError(t, err)
	others, err := s.Similarity(context.Background(), testengine.Quick(t), o, x, images, strokes(2, 2), 60)
	require.NoError(t, err)
	require.Greater(t, mean(same), mean(others)+0.2)
}

func mean(values []float64) (sum float64) {
	for _, v := range values {
		sum += v / float64(len(values))
	}
	return sum
}

// TestBatchesDoNotMatter: eight together are eight one by one, for the random numbers of an image and for those that all see.
func TestBatchesDoNotMatter(t *testing.T) {
	e, m := testengine.Quick(t), convolutional(t, []int{side, side, 1}, 1)
	reconstruction, err := Reconstruction(m)
	require.NoError(t, err)
	maps, err := FirstConv(m)
	require.NoError(t, err)
	lines, err := RandomProjection(4, 6)
	require.NoError(t, err)
	for _, c := range []struct {
		name   string
		images int
		o      *Objective
		x      *Expansion
		s      Search
	}{
		{"maps", 8, reconstruction, maps, Search{Steps: 5, EstimatorSteps: 2, Hidden: 4, Code: 2, EstimatorRate: 1e-4}},
		{"projections", 3, reconstruction, lines, Search{Method: Penalty, Rounds: 2, Steps: 3, EstimatorSteps: 1, Hidden: 4, Code: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all [2]*Examples
			images := strokes(c.images, 3)
			for i, batch := range []int{c.images, 1} {
				s := c.s
				s.Batch, s.Seed, s.StepSize, s.Trace = batch, 5, 0.05, 8
				all[i], err = s.Generate(context.Background(), e, c.o, c.x, images)
				require.NoError(t, err)
			}
			together, single := all[0], all[1]
			require.Equal(t, single.Success, together.Success)
			require.InDeltaSlice(t, tensors.MustCopyFlatData[float32](single.Images), tensors.MustCopyFlatData[float32](together.Images), 1e-5)
			require.InDeltaSlice(t, single.MI, together.MI, 1e-4)
			for i := range single.Traces {
				require.InDeltaSlice(t, single.Traces[i].MI, together.Traces[i].MI, 1e-4)
				require.InDeltaSlice(t, single.Traces[i].C, together.Traces[i].C, 1e-4)
			}
			require.NotEqual(t, together.Traces[0].MI, together.Traces[1].MI)
		})
	}
}

// TestSquaredL2: without an estimator the search goes as far away as f allows; the penalty keeps c through a round.
func TestSquaredL2(t *testing.T) {
	e, images := testengine.Quick(t), strokes(6, 3)
	m, err := blind(images)
	require.NoError(t, err)
	o, err := Reconstruction(m)
	require.NoError(t, err)
	s := Search{Method: Penalty, Distance: SquaredL2, Rounds: 2, Steps: 30, StepSize: 0.2, Epsilon: 0.3, Trace: 1}
	ex, err := s.Generate(context.Background(), e, o, nil, images)
	require.NoError(t, err)
	require.Nil(t, ex.MI)
	require.Equal(t, 1.0, ex.Rate(), "f is 0 everywhere")
	require.Equal(t, 60, ex.GradientSteps)
	require.InDelta(t, 1e-3, ex.Traces[0].C[29], 1e-9)
	require.InDelta(t, 5e-4, ex.Traces[0].C[59], 1e-9, "half, after a round with a success")
	require.Equal(t, 1, ex.FirstSuccess[0])
	clean, adv := tensors.MustCopyFlatData[float32](images), tensors.MustCopyFlatData[float32](ex.Images)
	for i := range side * side { // as far as the box lets it, if the start was not on the wrong side of it
		d := math.Abs(float64(adv[i] - clean[i]))
		require.True(t, adv[i] == 0 || adv[i] == 1 || math.Abs(d-0.3) < 1e-6, "pixel %d moved by %g", i, d)
	}
}

// blind is a network that puts out the same whatever it sees.
func blind(images *tensors.Tensor) (*nets.Model, error) {
	shape := images.Shape().Dimensions[1:]
	m := &nets.Model{Network: nets.Network{Name: "blind", Store: model.NewStore()}, InputShape: shape, Upper: 1, Classes: product(shape)}
	m.Logits = func(_ *model.Scope, x *Node) *Node { return ZerosLike(x) }
	return m, nil
}

// TestBlackImage: what projections make of an image of zeros cannot be standardized, so that it is left as it is, with a note.
func TestBlackImage(t *testing.T) {
	images := strokes(3, 3)
	flat := tensors.MustCopyFlatData[float32](images)
	clear(flat[side*side : 2*side*side])
	images = tensors.FromFlatDataAndDimensions(flat, 3, side, side, 1)
	m, err := blind(images)
	require.NoError(t, err)
	o, err := Reconstruction(m)
	require.NoError(t, err)
	x, err := RandomProjection(3, 5)
	require.NoError(t, err)
	ex, err := Search{Steps: 2, EstimatorSteps: 1, Hidden: 3, Code: 2}.Generate(context.Background(), testengine.Quick(t), o, x, images)
	require.NoError(t, err)
	require.Contains(t, ex.Notes, "uae: projection of sample 1 has zero variance (all-zero image): left as it is")
	require.False(t, ex.Success[1])
	require.Zero(t, ex.L2[1])
}

// TestStops: between steps, and with nothing else than the context's error.
func TestStops(t *testing.T) {
	images := strokes(2, 3)
	m, err := blind(images)
	require.NoError(t, err)
	o, err := Reconstruction(m)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	s := Search{Distance: SquaredL2, Steps: 1000, Progress: stopper{stop}}
	_, err = s.Generate(ctx, testengine.Quick(t), o, nil, images)
	require.ErrorIs(t, err, context.Canceled)
}

type stopper struct{ stop func() }

func (stopper) Begin(string, int, int) {}
func (s stopper) Advance(int)          { s.stop() }
func (stopper) End()                   {}

// TestAttack: under the contract of attacks, in every goal, with maps and with projections.
func TestAttack(t *testing.T) {
	e, images := testengine.Quick(t), strokes(6, 5)
	m, err := nets.NewCNN(nets.CNNConfig{Input: []int{side, side, 1}, Channels: []int{4}, Dense: 8, Classes: 3, Seed: 2})
	require.NoError(t, err)
	v, err := robust.NewVictim(e, m, 6)
	require.NoError(t, err)
	clean, err := v.Predictions(context.Background(), images, nil)
	require.NoError(t, err)
	targets := make([]int32, len(clean))
	for i, c := range clean {
		targets[i] = (c + 1) % 3
	}
	search := Supervised()
	search.Hidden, search.Code, search.Steps = 8, 4, 100
	for _, c := range []struct {
		name string
		goal robust.Goal
		want float64
	}{{"label-free", robust.Goal{}, 0.98}, {"targeted", robust.Goal{Targets: targets}, 0.5}} {
		t.Run(c.name, func(t *testing.T) {
			o, err := robust.Evaluate(context.Background(), v, Attack{Search: search}, robust.Problem{Images: images, Goal: c.goal,
				Threat: robust.Threat{Norm: robust.Linf, Epsilon: 1}, Seed: 3})
			require.NoError(t, err)
			for _, check := range o.Checks {
				require.False(t, check.Raised, "%s: %s", check.Name, check.Meaning)
			}
			require.GreaterOrEqual(t, o.SuccessRate, c.want)
			require.GreaterOrEqual(t, o.MeanQueries, 101.0)
			again, err := robust.Evaluate(context.Background(), v, Attack{Search: search}, robust.Problem{Images: images, Goal: c.goal,
				Threat: robust.Threat{Norm: robust.Linf, Epsilon: 1}, Seed: 3})
			require.NoError(t, err)
			require.Equal(t, tensors.MustCopyFlatData[float32](o.Perturbed), tensors.MustCopyFlatData[float32](again.Perturbed))
		})
	}
	small, err := robust.Evaluate(context.Background(), v, Attack{Search: search}, robust.Problem{Images: images,
		Threat: robust.Threat{Norm: robust.Linf, Epsilon: 0.01}})
	require.NoError(t, err)
	require.LessOrEqual(t, small.MaxNorm, 0.01+1e-6)
	_, err = robust.Evaluate(context.Background(), v, Attack{}, robust.Problem{Images: images,
		Threat: robust.Threat{Norm: robust.L2, Epsilon: 1}})
	require.ErrorContains(t, err, "minmax moves in linf, not in l2: use PGD")
}

func TestBadInput(t *testing.T) {
	e, images := testengine.Quick(t), strokes(5, 3)
	m := convolutional(t, []int{side, side, 1}, 1)
	o, err := Reconstruction(m)
	require.NoError(t, err)
	x, err := FirstConv(m)
	require.NoError(t, err)
	changed := func(at int, v float32) *tensors.Tensor {
		flat := tensors.MustCopyFlatData[float32](images)
		flat[at] = v
		return tensors.FromFlatDataAndDimensions(flat, 5, side, side, 1)
	}
	for _, c := range []struct {
		s      Search
		o      *Objective
		x      *Expansion
		images *tensors.Tensor
		want   string
	}{
		{Search{Beta: 1.5}, o, x, images, "minmax: beta must be in (0,1], got 1.5"},
		{Search{Beta: -0.1}, o, x, images, "minmax: beta must be in (0,1], got -0.1"},
		{Search{Epsilon: -1}, o, x, images, "minmax: epsilon must be finite and > 0, got -1"},
		{Search{StepSize: -1}, o, x, images, "minmax: step size alpha must be finite and > 0, got -1"},
		{Search{StepSize: math.NaN()}, o, x, images, "must be finite and > 0, got NaN"},
		{Search{Method: Penalty, Rounds: -1}, o, x, images, "penalty: rounds must be >= 1, got -1"},
		{Search{Method: 7}, o, x, images, "Method = 7"},
		{Search{}, o, nil, images, "needs an objective and, but for SquaredL2, an expansion"},
		{Search{}, o, x, changed(4*side*side+3, -0.5), "uae: sample 4 has value -0.5, outside [0,1]"},
		{Search{}, o, x, changed(0, float32(math.NaN())), "uae: sample 0 has value NaN, outside [0,1]"},
		{Search{}, o, x, nil, "uae: empty batch"},
		{Search{}, o, x, tensors.FromValue([][]float32{{1}}), "wants float32 [n, 8, 8, 1]"},
	} {
		_, err := c.s.Generate(context.Background(), e, c.o, c.x, c.images)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "\n")
	}

	_, err = RandomProjection(1, 10)
	require.EqualError(t, err, "mine: need >= 2 expanded samples, got 1")
	dense, err := nets.NewMLP(nets.MLPConfig{Input: []int{side, side, 1}})
	require.NoError(t, err)
	_, err = FirstConv(dense)
	require.EqualError(t, err, "uae: model exposes no conv features; use RandomProjection")
	flat := *m
	flat.Logits = func(scope *model.Scope, x *Node) *Node {
		return Reshape(m.Logits(scope, x), x.Shape().Dimensions[0], -1)
	}
	_, err = Reconstruction(&flat)
	require.EqualError(t, err, "reconstruction: output [8,64] does not match input [8,8,8,1]")
	_, err = Margin(dense, robust.Goal{Labels: []int32{0, 11}}, 0)
	require.ErrorContains(t, err, "label 11 at row 1")
	_, err = Margin(dense, robust.Goal{}, 0)
	require.ErrorContains(t, err, "without labels or targets")
	margin, err := Margin(dense, robust.Goal{Labels: []int32{0, 1}}, 0)
	require.NoError(t, err)
	_, err = Search{Distance: SquaredL2}.Generate(context.Background(), e, margin, nil, images)
	require.ErrorContains(t, err, "2 labels for 5 images")
	_, err = Contrastive(m, 1, 0.5, func(_ *model.Scope, x *Node) *Node { return x })
	require.ErrorContains(t, err, "with 1 copies")

	nan, err := Loss("bad", m, func(_ *model.Scope, clean, images *Node) *Node {
		return Where(IsPositive(ReduceSum(Sub(images, clean), 1, 2, 3)), squares(images), MulScalar(squares(images), math.NaN()))
	})
	require.NoError(t, err)
	_, err = Search{Distance: SquaredL2}.Generate(context.Background(), e, nan, nil, images)
	require.ErrorContains(t, err, "uae: bad of small autoencoder is NaN at step 1, sample")
	diverging := convolutional(t, []int{side, side, 1}, 1)
	wide, err := FirstConv(diverging)
	require.NoError(t, err)
	_, err = Search{Steps: 50, EstimatorSteps: 1, Hidden: 4, Code: 2, EstimatorRate: 1e30}.Generate(context.Background(), e, o, wide, images)
	require.ErrorContains(t, err, "mine: estimate is NaN at step")
}

// TestContrastive: an image is as good as itself under the same views, and another is not; of views that are all alike the loss is
// ln(2·copies-1), whatever the image.
func TestContrastive(t *testing.T) {
	m := convolutional(t, []int{side, side, 1}, 1)
	images, others := strokes(3, 3), strokes(3, 9)
	noise := func(scope *model.Scope, images *Node) *Node {
		return Add(images, MulScalar(scope.RandomNormal(images.Graph(), images.Shape()), 0.1))
	}
	violation := func(augment Augment, adv *tensors.Tensor) []float32 {
		o, err := Contrastive(m, 2, 0.5, augment)
		require.NoError(t, err)
		exec, err := model.NewExec(testengine.Quick(t).Backend(), m.Store, func(scope *model.Scope, clean, adv, state *Node) *Node {
			return o.violation(scope, asked{clean: clean, images: adv, state: state}, nil)
		})
		require.NoError(t, err)
		f, err := exec.Call1(images, adv, []uint64{1, 2, 3})
		require.NoError(t, err)
		return tensors.MustCopyFlatData[float32](f)
	}
	require.Equal(t, []float32{0, 0, 0}, violation(noise, images))
	for _, f := range violation(noise, others) {
		require.NotZero(t, f)
	}
	still := func(_ *model.Scope, images *Node) *Node { return images }
	require.InDeltaSlice(t, []float32{0, 0, 0}, violation(still, others), 1e-5)
}
