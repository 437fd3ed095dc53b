package maml

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot/meta"
	"github.com/trustbook/trustbook/report"
)

// synthetic is a result with the given robust accuracies, clean accuracies of 0.7, and maps of so many waves along an image, for
// MAML, and for out before and after fine-tuning.
func synthetic(robust map[string]float64, waves [3]int) *Result {
	r := &Result{Config: Config{Ways: 5}.WithDefaults(), Shape: []int{16, 16, 1}}
	curve := []meta.Accuracy{{SA: 0.7, RA: 0.3}}
	r.Sweeps = []Sweep{{Method: MAML, Steps: curve, Epsilon: curve}}
	for _, method := range r.Config.Methods {
		for i, seed := range r.Config.Seeds {
			e := 0.001 * float64(i)
			m := Measured{Method: method, Seed: seed, History: meta.History{Loss: []float64{2, 1}},
				Tested: meta.Accuracy{SA: 0.7 + e, RA: robust[method] + e*e, LeastShift: 1}}
			switch method {
			case MAML:
				m.Maps = &meta.Maps{Before: wave(waves[0], e), After: wave(waves[0], e)}
			case Out:
				m.Maps = &meta.Maps{Before: wave(waves[1], e), After: wave(waves[2], e), Cosine: 0.6 + e}
				m.Masking = &Masking{Fast: 0.45 + e, Usual: 0.44, Strong: 0.41}
			}
			r.Models = append(r.Models, m)
		}
	}
	return r
}

// wave is a map, with a little of another frequency.
func wave(cycles int, other float64) [][]float64 {
	values := make([]float64, 256)
	for i := range values {
		x := 2 * math.Pi * float64(i%16) / 16
		values[i] = math.Sin(float64(cycles)*x) + other*math.Sin(4*x)
	}
	return [][]float64{values}
}

// TestClaimsTurnOutEachWay: numbers as the paper tells them replicate every claim, numbers the other way contradict each, and
// where what a claim presupposes does not hold, or was not measured, it is not tested.
func TestClaimsTurnOutEachWay(t *testing.T) {
	told := func() map[string]float64 {
		return map[string]float64{MAML: 0.15, In: 0.2, Out: 0.45, Both: 0.46, Trades: 0.4,
			Unlabeled: 0.41, More: 0.42, Slow: 0.45, ANIL: 0.4, CL: 0.45}
	}
	verdicts := func(r *Result) (all []report.Verdict) {
		for _, c := range r.Claims() {
			require.NoError(t, c.Check())
			all = append(all, c.Verdict())
		}
		return all
	}
	all := func(v report.Verdict) []report.Verdict { return []report.Verdict{v, v, v, v} }
	require.Equal(t, all(report.Replicated), verdicts(synthetic(told(), [3]int{6, 1, 1})))

	other := told()
	for method := range other {
		other[method] = 0.1
	}
	other[Both], other[Trades] = 0.6, 0.14
	require.Equal(t, all(report.Contradicted), verdicts(synthetic(other, [3]int{1, 6, 6})))

	// Structured, but not for long; robust by one way and not by another.
	mixed := told()
	mixed[Both], mixed[ANIL], mixed[CL] = 0.6, 0.1, 0.4
	r := synthetic(mixed, [3]int{6, 1, 7})
	require.Equal(t, []report.Verdict{report.InPart, report.InPart, report.InPart, report.Inconclusive}, func() []report.Verdict {
		r.Models[len(r.Models)-1].Tested.RA -= 0.01 // of CL
		r.Models[len(r.Models)-2].Tested.RA += 0.01
		return verdicts(r)
	}())

	change := func(of func(m *Measured)) *Result {
		r := synthetic(told(), [3]int{6, 1, 1})
		for i := range r.Models {
			of(&r.Models[i])
		}
		return r
	}
	not := all(report.NotTested)
	blind := func(m *Measured) { m.Tested.SA = 0.2 }
	require.Equal(t, not, verdicts(change(blind)), "no network has learned")
	idle := func(m *Measured) { m.Tested.RA = m.Tested.SA }
	require.Equal(t, []report.Verdict{not[0], report.Replicated, not[2], not[3]}, verdicts(change(idle)), "the attack takes nothing")
	for _, of := range []func(m *Measured){
		func(m *Measured) { m.Tested.LeastShift = 0.5 },
		func(m *Measured) { m.Masking = nil },
		func(m *Measured) {
			if m.Masking != nil {
				m.Masking = &Masking{Fast: 0.45, Usual: 0.44, Strong: 0.2}
			}
		},
		func(m *Measured) {
			if m.Masking != nil {
				m.Masking = &Masking{Fast: 0.2, Usual: 0.44, Strong: 0.44}
			}
		},
	} {
		require.Equal(t, not[0], change(of).Claims()[0].Verdict(), "gradients vanish")
	}
	r = change(func(m *Measured) { m.Maps = nil })
	require.Equal(t, not[1], r.Claims()[1].Verdict())

	// What was not measured is not tested, and shown as nothing.
	few := synthetic(told(), [3]int{6, 1, 1})
	few.Models = append(few.For(MAML), few.For(Out)...)
	require.Equal(t, []report.Verdict{report.InPart, report.Replicated, report.InPart, not[3]}, verdicts(few))
	few.Models = few.For(MAML)
	require.Equal(t, not, verdicts(few))
	require.Equal(t, "–", few.keys()[2].Value)
	for _, table := range few.Tables() {
		require.NotEmpty(t, table.Rows, table.Title)
	}
	require.Zero(t, few.MaskingTable().Rows[0][1].(report.Estimate).N)
	require.Zero(t, few.AccuracyTable().Rows[0][3].(report.Estimate).N, "MAML has no adversarial fine-tuning")
	require.NoError(t, few.Document().WriteFile(t.TempDir()+"/report.html"))

	smoke := synthetic(told(), [3]int{6, 1, 1})
	smoke.Config.Scale = "smoke"
	require.Equal(t, not, verdicts(smoke))
}
