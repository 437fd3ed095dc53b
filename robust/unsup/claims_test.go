package unsup

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/report"
)

// traits are what a made-up run shows.
type traits struct {
	off           float64 // of estimates of information
	rate, noise   float64 // of successes, and of noise of their norm
	shared        float64 // with examples, where 1 is shared with noise
	early, late   float64 // violation
	penalty       float64 // steps to its first success, where MinMax takes 20
	fooled        float64 // of a classifier's images, where noise fools 0.1
	wrong         int
	learned       float64 // error by that of the mean image; accuracy is one minus that
	longer, equal float64 // what examples bring over the images alone
	noiseBrings   float64
}

// told are numbers as the paper tells them.
func told() traits {
	return traits{off: 0.01, rate: 0.7, noise: 0.1, shared: 0.5, early: 1, late: 0.1, penalty: 60, fooled: 1, learned: 0.2, longer: 0.2,
		equal:       0.1,
		noiseBrings: 0.02}
}

func synthetic(x traits) *Result {
	c := Config{}.WithDefaults()
	r := &Result{Config: c, Data: "made up", Shape: []int{2, 2, 1}}
	for i, seed := range c.Seeds {
		e := 0.001 * float64(i)
		r.Estimates = append(r.Estimates, Estimated{Seed: seed, Correlations: correlations, True: []float64{0, 0.14, 0.83},
			Estimates: []float64{e, 0.14, 0.83 - x.off}})
		for _, t := range c.AllTasks() {
			m := Learned{Network: t.Name, Seed: seed, Blank: 10,
				Attack: Attacked{Rate: x.rate + e, Noise: x.noise, Similarity: x.shared - e, NoisySame: 1, Wrong: x.wrong}}
			for _, a := range c.Arms() {
				gain := 0.0
				switch {
				case a.Beside == Adversarial && a.Longer:
					gain = x.longer + e
				case a.Beside == Adversarial:
					gain = x.equal + e
				case a.Beside == Matched || a.Beside == Distant:
					gain = x.noiseBrings
				}
				s := Score{Beside: a.name(), Longer: a.Longer}
				if t.reconstructs() {
					v := 10 * x.learned * (1 - gain)
					s.Error = &v
				} else {
					v := 1 - x.learned + gain
					s.Accuracy = &v
				}
				m.Scores = append(m.Scores, s)
			}
			r.Learned = append(r.Learned, m)
		}
		for _, search := range c.Searches(seed) {
			m := Searched{Search: search.Name, Seed: seed, Steps: 200, Rate: 0.7, Until: 20, Early: x.early + e, Late: x.late}
			if search.Name == ShortPenalty || search.Name == PenaltyL2 {
				m.Until = x.penalty + e
			}
			r.Searched = append(r.Searched, m)
		}
		r.Supervised = append(r.Supervised, Supervised{Seed: seed, Accuracy: 0.95, Images: 100, Rate: x.fooled - e, Noise: 0.1})
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

// TestClaimsTurnOutEachWay: numbers as the paper tells them replicate every claim, numbers the other way contradict each, and
// where what a claim presupposes does not hold it is not tested.
func TestClaimsTurnOutEachWay(t *testing.T) {
	const yes, part, no, none = report.Replicated, report.InPart, report.Contradicted, report.NotTested
	require.Equal(t, []report.Verdict{yes, yes, yes, yes}, verdicts(t, synthetic(told())))
	for name, plant := range map[string]struct {
		change func(x *traits)
		want   []report.Verdict
	}{
		"estimates are off":            {func(x *traits) { x.off = 0.2 }, []report.Verdict{part, yes, yes, yes}},
		"examples share more":          {func(x *traits) { x.shared = 1.2 }, []report.Verdict{part, yes, yes, yes}},
		"noise is as good":             {func(x *traits) { x.noise = 0.9 }, []report.Verdict{part, yes, yes, yes}},
		"nothing of it":                {func(x *traits) { x.noise, x.shared, x.off = 0.9, 1.2, 0.2 }, []report.Verdict{no, yes, yes, yes}},
		"violation grows":              {func(x *traits) { x.late = 2 }, []report.Verdict{yes, part, yes, yes}},
		"the penalty is better":        {func(x *traits) { x.penalty = 10 }, []report.Verdict{yes, part, yes, yes}},
		"both":                         {func(x *traits) { x.penalty, x.late = 10, 2 }, []report.Verdict{yes, no, yes, yes}},
		"the classifier stands":        {func(x *traits) { x.fooled = 0.05 }, []report.Verdict{yes, yes, no, yes}},
		"noise improves as much":       {func(x *traits) { x.noiseBrings = 0.15 }, []report.Verdict{yes, yes, yes, part}},
		"only longer training does":    {func(x *traits) { x.equal, x.noiseBrings = -0.1, 0 }, []report.Verdict{yes, yes, yes, part}},
		"examples harm":                {func(x *traits) { x.equal, x.longer = -0.1, -0.05 }, []report.Verdict{yes, yes, yes, no}},
		"networks have not learned":    {func(x *traits) { x.learned = 1.2 }, []report.Verdict{part, none, yes, none}},
		"the referee does not confirm": {func(x *traits) { x.wrong = 3 }, []report.Verdict{part, yes, yes, part}}, // but for drawn views
	} {
		x := told()
		plant.change(&x)
		require.Equal(t, plant.want, verdicts(t, synthetic(x)), name)
	}
}

// TestClaimsNeedNumbers: what was not measured for every seed is no number.
func TestClaimsNeedNumbers(t *testing.T) {
	r := synthetic(told())
	r.Estimates, r.Searched, r.Supervised = nil, nil, nil
	for i := range r.Learned {
		r.Learned[i].Scores = nil
	}
	for _, c := range r.Claims() {
		for i, p := range c.Parts {
			require.Equal(t, report.NotTested, p.Decide().Verdict, "%s, part %d: %s", c.ID, i+1, p.Statement)
		}
	}
}

// TestMatched: noise has the norm that is asked for, though pixels have bounds, and stays inside them.
func TestMatched(t *testing.T) {
	images := first(Shrink(glyphs(t), 8), 6)
	norms := []float64{0, 0.1, 0.5, 1, 2, 1e9}
	noisy := matched(images, norms, 3)
	for i, want := range norms {
		got := 0.0
		for _, x := range rowOf(noisy, i) {
			require.True(t, x >= 0 && x <= 1)
		}
		for k, x := range rowOf(noisy, i) {
			d := float64(x) - float64(rowOf(images, i)[k])
			got += d * d
		}
		if i < 5 {
			require.InDelta(t, want*want, got, 1e-5)
		} else {
			require.Greater(t, got, 10.0, "as far as the bounds let it")
		}
	}
	require.Equal(t, noisy.Value(), matched(images, norms, 3).Value())
	require.NotEqual(t, noisy.Value(), matched(images, norms, 4).Value())
}
