package weights

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/certify"
)

// figures are what a synthetic network is made of: costs are the accuracies lost to an attack on each layer.
type figures struct {
	clean, seen, attacked, rounded, tightness float64
	costs                                     [4]float64
	broken                                    int
}

// synthetic is a result of cross-entropy's networks and those of the loss, and of gaps in cross-entropy over the factors.
func synthetic(ce, ours figures, gaps func(factor int) float64) *Result {
	r := &Result{Config: Config{}.WithDefaults()}
	c := r.Config
	for _, of := range []struct {
		name string
		figures
	}{{Name(0, 0), ce}, {Name(claimLambda, 0), ours}} {
		for i, seed := range c.Seeds {
			e := 0.001 * float64(i)
			if of.name != "CE" {
				e *= 2
			}
			m := Measured{Method: of.name, Seed: seed, Clean: of.clean - e, CleanTrain: of.seen + e, CertifiedBound: []float64{0.9, 0, 0},
				Attacked: slices.Repeat([]float64{of.attacked - e}, len(c.Epsilon))}
			for k, cost := range of.costs {
				m.Layers = append(m.Layers, Layer{Bound: float64(4 - k), Attacked: m.Clean - cost})
			}
			for range c.Bits {
				m.Bits = append(m.Bits, Bits{Rounded: of.rounded - e})
			}
			for range c.VerifyAt {
				m.Checks = append(m.Checks, certify.Verification{MedianTightness: of.tightness, Random: 10, Margin: of.broken})
			}
			r.Models = append(r.Models, m)
		}
	}
	for i, seed := range c.Seeds {
		for k, mu := range c.GapMus {
			r.Gaps = append(r.Gaps, GapPoint{Mu: mu, Seed: seed, TrainAccuracy: 0.95, Complexity: math.Exp(float64(-k)),
				TestLoss: gaps(k) + 0.001*float64(i)})
		}
	}
	return r
}

func verdicts(t *testing.T, r *Result) (all []report.Verdict) {
	t.Helper()
	require.NoError(t, report.CheckClaims(r.Claims()))
	for _, c := range r.Claims() {
		all = append(all, c.Verdict())
	}
	return all
}

// TestClaimsTurnOutEachWay: numbers as the paper tells them replicate every claim, numbers the other way contradict
// each, and where what a claim presupposes does not hold it is not tested.
func TestClaimsTurnOutEachWay(t *testing.T) {
	falling, rising := [4]float64{0.4, 0.3, 0.2, 0.1}, [4]float64{0.1, 0.2, 0.3, 0.4}
	ce := figures{clean: 0.95, seen: 0.99, attacked: 0.3, rounded: 0.8, tightness: 0.03, costs: falling}
	ours := figures{clean: 0.95, seen: 0.97, attacked: 0.8, rounded: 0.9, tightness: 0.2, costs: falling}
	narrowing := func(k int) float64 { return 3 - 0.4*float64(k) }
	all := func(v report.Verdict) []report.Verdict { return slices.Repeat([]report.Verdict{v}, 5) }
	told := func() *Result { return synthetic(ce, ours, narrowing) }
	require.Equal(t, all(report.Replicated), verdicts(t, told()))

	disordered, worse := ce, figures{clean: 0.90, seen: 0.99, attacked: 0.1, rounded: 0.7, tightness: 0.2, costs: rising, broken: 1}
	disordered.costs = rising
	widening := func(k int) float64 { return 1 + 0.4*float64(k) }
	require.Equal(t, all(report.Contradicted), verdicts(t, synthetic(disordered, worse, widening)))

	// Neither numbers that scatter around no difference nor one seed decide; counts are decided by one.
	open := synthetic(ce, ce, func(k int) float64 { return 1 + 0.4*float64(k%2) })
	for i := range open.Models {
		m := &open.Models[i]
		scatter := 0.01 * float64(i%2*2-1)
		m.CleanTrain, m.Attacked[1], m.Bits[7].Rounded = m.CleanTrain+scatter, m.Attacked[1]+scatter, m.Bits[7].Rounded+scatter
		if i%2 == 0 {
			slices.Reverse(m.Layers)
			for k := range m.Layers {
				m.Layers[k].Bound = float64(4 - k)
			}
		}
	}
	for i := range open.Gaps {
		if open.Gaps[i].Seed%2 == 0 {
			open.Gaps[i].Complexity = 1 / open.Gaps[i].Complexity
		}
	}
	undecided := []report.Verdict{"replicated", "inconclusive", "inconclusive", "inconclusive", "inconclusive"}
	require.Equal(t, undecided, verdicts(t, open))
	one := told()
	one.Config.Seeds = one.Config.Seeds[:1]
	one.Models, one.Gaps = slices.Concat(one.For("CE")[:1], one.For("λ=0.003")[:1]), one.Gaps[:6]
	require.Equal(t, undecided, verdicts(t, one))

	part := ours
	part.seen = 0.999
	require.Equal(t, "replicated in part (1 of 2)", synthetic(ce, part, narrowing).Claims()[2].Decide().String())

	// Networks that have not learned, attacks that do nothing, gaps that do not vary.
	blind, idle := ce, ce
	blind.clean, blind.tightness = 0.5, 0
	require.Equal(t, all(report.NotTested), verdicts(t, synthetic(blind, blind, func(int) float64 { return 1 })))
	idle.attacked, idle.rounded, idle.costs, idle.tightness = 0.94, 0.94, [4]float64{0.004, 0.003, 0.002, 0.001}, 0
	require.Equal(t, []report.Verdict{"not tested", "replicated", "replicated in part", "replicated in part", "not tested"},
		verdicts(t, synthetic(idle, ours, narrowing)))
}

// TestNotMeasuredIsNotTested: what the settings leave out, and runs without some of the networks, give no verdict, no zeros
// and no panic.
func TestNotMeasuredIsNotTested(t *testing.T) {
	f := figures{clean: 0.95, seen: 0.99, attacked: 0.3, rounded: 0.8, tightness: 0.03, costs: [4]float64{0.4, 0.3, 0.2, 0.1}}
	full := func() *Result { return synthetic(f, f, func(k int) float64 { return 3 - 0.4*float64(k) }) }
	r := full()
	r.Config.Epsilon, r.Config.Certify = []float64{0.1, 0.2, 0.3}, []float64{0.1, 0.2, 0.3}
	r.Config.Bits, r.Config.GapMus = []int{8, 7, 6}, []float64{0}
	r.Gaps = r.Gaps[:0]
	for _, seed := range r.Config.Seeds {
		r.Gaps = append(r.Gaps, GapPoint{Seed: seed, TestLoss: 1, Complexity: 2, TrainAccuracy: 1})
	}
	for claim, part := range map[int]int{1: 0, 2: 1, 4: 0} {
		o := r.Claims()[claim].Parts[part].Decide()
		require.Equal(t, report.NotTested, o.Verdict, "claim %d", claim+1)
		require.Zero(t, o.Estimate.N)
	}
	require.Empty(t, r.values(ce, r.Config.attacked(claimEpsilon)))

	r = full()
	r.Models, r.Gaps = nil, nil
	for i, v := range verdicts(t, r) {
		require.Equal(t, report.NotTested, v, "claim %d", i+1)
	}
	require.Empty(t, r.Claims()[0].Parts[0].Values, "no network, no count")
	for _, table := range r.Tables() {
		require.NoError(t, table.Check(), table.Title)
		require.NotContains(t, table.Markdown(), "NaN")
	}
	for _, row := range r.BoundTable().Rows {
		require.Equal(t, "–", row[3])
	}
	require.NotNil(t, r.Document())

	smoke := full()
	smoke.Config.Scale = "smoke"
	for _, c := range smoke.Claims() {
		require.Equal(t, report.NotTested, c.Verdict())
		require.Contains(t, c.Decide().Note, "smoke scale")
	}
}
