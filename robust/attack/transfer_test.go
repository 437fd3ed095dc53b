package attack_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// blobs are noisy copies of random pictures, one a class.
func blobs(n int, seed uint64) (*tensors.Tensor, []int32) {
	means, rng := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(seed, 3))
	var centers [classes][pixels]float64
	for c := range centers {
		for i := range centers[c] {
			centers[c][i] = 0.3 + 0.4*means.Float64()
		}
	}
	flat, labels := make([]float32, n*pixels), make([]int32, n)
	for i := range labels {
		labels[i] = int32(i % classes)
		for j := range pixels {
			flat[i*pixels+j] = float32(min(1, max(0, centers[labels[i]][j]+0.12*rng.NormFloat64())))
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, n, pixels), labels
}

// TestTransfer on trained networks: the diagonal is the white-box success rate, networks fool themselves at least as well
// as others, and clean mistakes count in one of the two figures only.
func TestTransfer(t *testing.T) {
	e := testengine.Quick(t)
	images, labels := blobs(600, 1)
	var victims []*robust.Victim
	for seed, hidden := range [][]int{{16}, {24, 12}} {
		m, err := nets.NewMLP(nets.MLPConfig{Input: []int{pixels}, Hidden: hidden, Classes: classes, Seed: int64(seed + 1)})
		require.NoError(t, err)
		_, err = fit.Train(context.Background(), e, m, fit.Data{Images: images, Labels: labels},
			fit.Config{Phases: []fit.Phase{{Epochs: 40, Loss: fit.CrossEntropy()}}, BatchSize: 60, Seed: 1})
		require.NoError(t, err)
		v, err := robust.NewVictim(e, m, 64)
		require.NoError(t, err)
		victims = append(victims, v)
	}
	var p robust.Problem
	p.Images, p.Goal.Labels = blobs(150, 2)
	p.Threat = robust.Threat{Epsilon: 0.08}
	for _, a := range []robust.Attack{attack.FGSM{}, attack.PGD{Steps: 10, NoRandom: true}} {
		m, err := robust.Transfer(context.Background(), victims, victims, a, p)
		require.NoError(t, err)
		var own, others float64
		for i, v := range victims {
			white := evaluate(t, v, a, p)
			require.Greater(t, white.CleanAccuracy, 0.7)
			require.InDelta(t, white.SuccessRate, m.Both[i][i], 1e-12)
			require.Equal(t, white.Attacked, m.Shared[i][i])
			require.InDelta(t, 1-white.RobustAccuracy, m.Rate[i][i], 0.01, "attacks may undo a mistake")
			for k := range victims {
				require.GreaterOrEqual(t, m.Rate[i][k], float64(m.Shared[i][k])*m.Both[i][k]/150)
				if i == k {
					own += m.Both[i][k] / 2
				} else {
					others += m.Both[i][k] / 2
				}
			}
		}
		t.Logf("%s: %v", a.Name(), m.Both)
		require.GreaterOrEqual(t, own, others)
		require.Positive(t, others, "nothing transfers: the test shows nothing")
	}
	still := p
	still.Threat.Epsilon = 0
	m, err := robust.Transfer(context.Background(), victims[:1], victims, attack.FGSM{}, still)
	require.NoError(t, err)
	require.Len(t, m.Rate, 1)
	require.Equal(t, []float64{0, 0}, m.Both[0])
	for k, v := range victims {
		require.InDelta(t, 1-evaluate(t, v, attack.FGSM{}, still).CleanAccuracy, m.Rate[0][k], 1e-12)
	}
}

// TestTransferRefuses: each is one line.
func TestTransferRefuses(t *testing.T) {
	v, p := perceptron(t, 4, 3)
	victim := func(m *nets.Model) []*robust.Victim {
		other, err := robust.NewVictim(v.Engine, m, 4)
		require.NoError(t, err)
		return []*robust.Victim{other}
	}
	unlabeled, weights, free := p, p, p
	unlabeled.Goal.Labels = nil
	weights.Threat.Weights = []float64{0.1}
	free.Threat.Epsilon = math.Inf(1)
	ok := []*robust.Victim{v}
	for want, c := range map[string]struct {
		sources, targets []*robust.Victim
		attack           robust.Attack
		p                robust.Problem
	}{
		"at least one":      {nil, ok, attack.FGSM{}, p},
		"none of them nil":  {ok, []*robust.Victim{nil}, attack.FGSM{}, p},
		"attack is nil":     {ok, ok, nil, p},
		"inputs of shape":   {ok, victim(oracle.RandomLinear(5, classes, 1).Model(0, 1)), attack.FGSM{}, p},
		"pixels in":         {ok, victim(oracle.RandomLinear(pixels, classes, 1).Model(0, 255)), attack.FGSM{}, p},
		"classes":           {ok, victim(oracle.RandomLinear(pixels, 7, 1).Model(0, 1)), attack.FGSM{}, p},
		"must have labels":  {ok, ok, attack.FGSM{}, unlabeled},
		"weights do not":    {ok, ok, attack.FGSM{}, weights},
		"no budget":         {ok, ok, attack.FGSM{}, free},
		"leaves the budget": {ok, ok, twice{attack.FGSM{}}, p},
	} {
		_, err := robust.Transfer(context.Background(), c.sources, c.targets, c.attack, c.p)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
}

// twice goes beyond the radius.
type twice struct{ robust.Attack }

func (a twice) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	p.Threat.Epsilon *= 2
	return a.Attack.Perturb(ctx, v, p)
}
