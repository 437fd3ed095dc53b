package joint

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/certify"
)

// synthetic is a result in which the accuracies of each method under no attack, inputs, weights, and both are given.
func synthetic(accuracies map[string][4]float64, broken int) *Result {
	c := Config{EpsilonInput: []float64{0, 0.05, 0.1}}.WithDefaults()
	r := &Result{Config: c}
	for _, m := range Methods() {
		a := accuracies[m.Name]
		for i, seed := range c.Seeds {
			e := 0.001 * float64(i)
			weight := []float64{a[0] - e, a[2] - e, a[2] - e, a[2] - e}
			both := []float64{a[1] - e, a[3] - e, a[3] - e, a[3] - e}
			r.Models = append(r.Models, Measured{Method: m.Name, Seed: seed, Accuracy: [][]float64{weight, both, both},
				Certified: []float64{1, 1, 1, 1, 1}, Checks: []certify.Verification{{}, {Clean: 0.1, Attacked: 0.2 + e, Upper: 0.5, Margin: broken}}})
		}
	}
	return r
}

// TestClaimsTurnOutEachWay: numbers as the paper tells them replicate every claim, numbers the other way contradict
// each, and where what a claim presupposes does not hold it is not tested.
func TestClaimsTurnOutEachWay(t *testing.T) {
	told := func() map[string][4]float64 {
		return map[string][4]float64{Standard: {0.98, 0.10, 0.60, 0.05}, ATx: {0.97, 0.90, 0.40, 0.20}, Reg: {0.95, 0.80, 0.90, 0.70},
			ATxRegW: {0.95, 0.90, 0.90, 0.80}}
	}
	verdicts := func(r *Result) (all []report.Verdict) {
		for _, c := range r.Claims() {
			require.NoError(t, c.Check())
			all = append(all, c.Verdict())
		}
		return all
	}
	require.Equal(t, []report.Verdict{"replicated", "replicated", "replicated", "replicated", "replicated"}, verdicts(synthetic(told(), 0)))

	other := told()
	other[ATx] = [4]float64{0.97, 0.90, 0.95, 0.95}      // stands both attacks at once
	other[Standard] = [4]float64{0.98, 0.10, 0.60, 0.75} // better off with both
	other[ATxRegW] = [4]float64{0.95, 0.90, 0.90, 0.30}
	require.Equal(t, slices.Repeat([]report.Verdict{"contradicted"}, 5), verdicts(synthetic(other, 1)))

	blind := told()
	for m, a := range blind {
		a[0] = 0.5
		blind[m] = a
	}
	require.Equal(t, []report.Verdict{"not tested", "not tested", "not tested", "replicated", "not tested"}, verdicts(synthetic(blind, 0)))

	// What was not measured is not tested, whatever the rest says.
	few := synthetic(told(), 0)
	few.Config.EpsilonWeight = []float64{0, 0.1, 0.2, 0.3}
	require.Equal(t, []report.Verdict{"not tested", "replicated", "not tested", "replicated", "not tested"}, verdicts(few))
	few = synthetic(told(), 0)
	few.Models = few.For(Reg)
	for i, v := range verdicts(few) {
		require.Equal(t, report.NotTested, v, "claim %d", i+1)
	}
	few.Config.CertifyScales = []float64{0.1, 10}
	require.Empty(t, few.certifiedOf(Reg))
}
