package weights

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/robust/certify"
)

// TestDigits trains cross-entropy and the loss on real digits and holds them to the specification: what random and chosen
// perturbations do, that no perturbation beats the bounds, and what the loss buys.
//
// It computes more than it compiles, and takes three times as long without XLA's optimizations: for its sake all tests of
// this package take the engine with them.
func TestDigits(t *testing.T) {
	e, c := testengine.Training(t), Config{Seeds: []int64{1}}.WithDefaults()
	s, err := Open(t.Context(), e, c)
	require.NoError(t, err)
	d := s.Data
	var jobs []fit.Job
	for _, lambda := range []float64{0, claimLambda} {
		job, err := s.plan(Method{Loss: Loss(lambda, 0, c.EpsilonTrain)}, 1)
		require.NoError(t, err)
		jobs = append(jobs, job)
	}
	_, err = fit.TrainAll(t.Context(), e, jobs, nil, "train")
	require.NoError(t, err)
	a, err := NewAssessor(e, jobs[0].Model, 1000)
	require.NoError(t, err)
	test := fit.Data{Images: d.Images, Labels: d.Labels}
	accuracy := func(net *nets.Model, by robust.Attack, radius float64) float64 {
		require.NoError(t, a.Net.CopyWeights(net))
		v, err := a.Accuracy(t.Context(), by, test, []float64{radius}, 1)
		require.NoError(t, err)
		return v
	}
	certified := func(net *nets.Model, radius float64) float64 {
		require.NoError(t, a.Net.CopyWeights(net))
		b, err := a.Bounds(test, []float64{radius})
		require.NoError(t, err)
		return certify.Share(b.Certified(test.Labels))
	}
	ce, ours, pgd := jobs[0].Model, jobs[1].Model, attack.JointPGD{}
	clean, attacked := accuracy(ce, pgd, 0), accuracy(ce, pgd, claimEpsilon)
	rounded, err := a.Rounded(t.Context(), test, 16)
	require.NoError(t, err)
	require.InDelta(t, clean, matches(rounded, test.Labels), 0.002)
	require.GreaterOrEqual(t, accuracy(ce, attack.RandomWeights{}, claimEpsilon), 0.90)
	require.LessOrEqual(t, attacked, 0.60)
	require.LessOrEqual(t, accuracy(ce, attack.JointPGD{Steps: 50}, claimEpsilon), attacked+0.02)

	require.GreaterOrEqual(t, accuracy(ours, pgd, 0), 0.91)
	require.GreaterOrEqual(t, accuracy(ours, pgd, claimEpsilon), max(0.65, attacked+0.15))
	require.GreaterOrEqual(t, certified(ours, claimCertify), 0.85)
	require.LessOrEqual(t, certified(ce, claimCertify), 0.20)

	v, err := certify.NewVerifier(e, a.Net)
	require.NoError(t, err)
	defer v.Close()
	images, labels, err := d.Sample(100)
	require.NoError(t, err)
	for _, net := range []*nets.Model{ce, ours} {
		require.NoError(t, a.Net.CopyWeights(net))
		tried := 0
		for _, radius := range c.VerifyAt {
			found, err := v.Verify(t.Context(), images, labels, robust.Threat{Weights: []float64{radius}},
				certify.VerifyConfig{Random: 2000, Seed: 1})
			require.NoError(t, err)
			require.Zero(t, found.Margin+found.IBP+found.Loss, "radius %g", radius)
			tried += found.Random + found.Adversarial
		}
		require.Greater(t, tried, 10_000)
	}
}
