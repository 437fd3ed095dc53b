package attack_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// convolutional is a small untrained network on images [12, 12, 3] whose logits are centered on n random images.
func convolutional(t *testing.T, n int) (*nets.Model, robust.Problem) {
	t.Helper()
	m, err := nets.NewCNN(nets.CNNConfig{Input: []int{12, 12, 3}, Channels: []int{6}, Dense: 12, Classes: 5, Seed: 2})
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(3, 4))
	flat := make([]float32, n*12*12*3)
	for i := range flat {
		flat[i] = rng.Float32()
	}
	p := robust.Problem{Images: tensors.FromFlatDataAndDimensions(flat, n, 12, 12, 3), Seed: 8}
	predictor, err := nets.NewPredictor(testengine.Quick(t).Backend(), m, 16)
	require.NoError(t, err)
	logits, err := predictor.Logits(p.Images)
	require.NoError(t, err)
	center := make([]float32, 5)
	for _, row := range logits {
		for k, z := range row {
			center[k] -= z / float32(n)
		}
	}
	w := m.Weights()
	require.NoError(t, w[len(w)-1].SetValue(tensors.FromValue(center)))
	p.Goal.Labels, err = predictor.Classes(p.Images)
	require.NoError(t, err)
	return m, p
}

// channelsFirst is the same network for images [3, 12, 12].
func channelsFirst(m *nets.Model) *nets.Model {
	c := *m
	c.InputShape = []int{3, 12, 12}
	c.Logits = func(scope *model.Scope, x *Node) *Node { return m.Logits(scope, TransposeAllAxes(x, 0, 2, 3, 1)) }
	return &c
}

func transpose(images *tensors.Tensor) *tensors.Tensor {
	flat := tensors.MustCopyFlatData[float32](images)
	out := make([]float32, len(flat))
	for i := range out {
		n, c, y, x := i/432, i/144%3, i/12%12, i%12
		out[i] = flat[((n*12+y)*12+x)*3+c]
	}
	return tensors.FromFlatDataAndDimensions(out, len(flat)/432, 3, 12, 12)
}

// TestSquareLayouts: the axis of the channels does not matter, nor does the batch.
func TestSquareLayouts(t *testing.T) {
	m, p := convolutional(t, 24)
	ctx, a := context.Background(), attack.SquareAttack{Queries: 60}
	var victims []*robust.Victim
	for batch, m := range map[int]*nets.Model{7: m, 8: channelsFirst(m)} {
		v, err := robust.NewVictim(testengine.Quick(t), m, batch)
		require.NoError(t, err)
		victims = append(victims, v)
	}
	for norm, epsilon := range map[robust.Norm]float64{robust.Linf: 0.02, robust.L2: 0.35} {
		p.Threat = robust.Threat{Norm: norm, Epsilon: epsilon}
		var outcomes []*robust.Outcome
		for _, v := range victims {
			q := p
			if v.Model.InputShape[0] == 3 {
				q.Images = transpose(p.Images)
			}
			o, err := robust.Evaluate(ctx, v, a, q)
			require.NoError(t, err)
			if v.Model.InputShape[0] != 3 {
				o.Perturbed = transpose(o.Perturbed)
			}
			outcomes = append(outcomes, o)
		}
		for _, o := range outcomes[1:] {
			require.Equal(t, outcomes[0].Success, o.Success, "%s", norm)
			require.Equal(t, outcomes[0].Queries, o.Queries)
			want, got := tensors.MustCopyFlatData[float32](outcomes[0].Perturbed), tensors.MustCopyFlatData[float32](o.Perturbed)
			for i := range want {
				require.InDelta(t, want[i], got[i], 1e-5)
			}
		}
		t.Logf("%s: robust accuracy %g", norm, outcomes[0].RobustAccuracy)
		require.Positive(t, outcomes[0].RobustAccuracy)
		require.Less(t, outcomes[0].RobustAccuracy, 1.0)
	}
}

// Which examples share a batch, and when solved ones leave it, changes nothing for those that stay.
func TestSquareLanes(t *testing.T) {
	m, p := convolutional(t, 24)
	p.Threat = robust.Threat{Norm: robust.Linf, Epsilon: 0.026}
	var outcomes []*robust.Outcome
	for _, batch := range []int{3, 32} {
		v, err := robust.NewVictim(testengine.Quick(t), m, batch)
		require.NoError(t, err)
		outcomes = append(outcomes, evaluate(t, v, attack.SquareAttack{Queries: 300}, p))
	}
	few, many := outcomes[0], outcomes[1]
	require.Positive(t, few.SuccessRate, "nothing leaves a batch")
	require.Equal(t, few.Success, many.Success)
	require.Equal(t, few.Queries, many.Queries)
	require.InDeltaSlice(t, tensors.MustCopyFlatData[float32](few.Perturbed), tensors.MustCopyFlatData[float32](many.Perturbed), 1e-5)
}

// A targeted search goes on until the target is met: those that fail have asked all their queries.
func TestSquareTargets(t *testing.T) {
	m, p := convolutional(t, 24)
	v, err := robust.NewVictim(testengine.Quick(t), m, 16)
	require.NoError(t, err)
	for _, y := range p.Goal.Labels {
		p.Goal.Targets = append(p.Goal.Targets, (y+1)%5)
	}
	p.Goal.Labels = nil
	p.Threat = robust.Threat{Norm: robust.Linf, Epsilon: 0.1}
	o := evaluate(t, v, attack.SquareAttack{Queries: 60}, p)
	require.Positive(t, o.SuccessRate)
	require.Less(t, o.SuccessRate, 1.0)
	for i, success := range o.Success {
		if !success {
			require.EqualValues(t, 60, o.Queries[i])
		}
	}
}

// TestSquareQueries: standing examples cost Queries, solved ones fewer, and no gradient is asked for. The perturbation is made
// of the corners of the ball, and of the whole budget in l2.
func TestSquareQueries(t *testing.T) {
	m, p := convolutional(t, 40)
	v, err := robust.NewVictim(testengine.Quick(t), m, 16)
	require.NoError(t, err)
	for norm, epsilon := range map[robust.Norm]float64{robust.Linf: 0.02, robust.L2: 0.35} {
		p.Threat = robust.Threat{Norm: norm, Epsilon: epsilon}
		o := evaluate(t, v, attack.SquareAttack{Queries: 30}, p)
		more := evaluate(t, v, attack.SquareAttack{Queries: 30, Restarts: 2}, p)
		clean, moved := tensors.MustCopyFlatData[float32](p.Images), tensors.MustCopyFlatData[float32](o.Perturbed)
		for i, q := range o.Queries {
			require.Zero(t, o.Grads[i])
			if o.Success[i] {
				require.LessOrEqual(t, q, int64(30))
				require.True(t, more.Success[i])
			} else {
				require.EqualValues(t, 30, q)
			}
			square := 0.0
			for j := i * 432; j < (i+1)*432; j++ {
				d := math.Abs(float64(moved[j]) - float64(clean[j]))
				square += d * d
				if norm == robust.Linf && moved[j] > 0 && moved[j] < 1 {
					require.InDelta(t, epsilon, d, 1e-6)
				}
			}
			if norm == robust.L2 {
				require.Greater(t, math.Sqrt(square), 0.8*epsilon)
			}
		}
		require.LessOrEqual(t, more.RobustAccuracy, o.RobustAccuracy)
		zero := p
		zero.Threat.Epsilon = 0
		require.Equal(t, clean, perturb(t, v, attack.SquareAttack{Queries: 20}, zero))
	}
}
