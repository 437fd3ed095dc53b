package scoring

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/report"
)

// told are the numbers of a synthetic result.
type told struct {
	noise, inter, intra, others Evaluation // of the scores by curve, and of all they are held against
	gap, trained                float64    // gaps lie this far on either side of 0.2
	learns                      float64    // what a degree of training does to the accuracy at every rotation but none
}

func synthetic(n told) *Result {
	r := &Result{Config: Config{}.WithDefaults(), Evaluations: map[string][]Evaluation{}}
	for k, seed := range r.Config.Seeds {
		e := 0.001 * float64(k)
		add := func(v Evaluation, names ...string) {
			for _, name := range names {
				r.Evaluations[name] = append(r.Evaluations[name], Evaluation{Tau: v.Tau - e, AdjustedR2: v.AdjustedR2 - e, CMI: v.CMI - e})
			}
		}
		add(n.noise, giName(noiseCurve), palName(noiseCurve))
		add(n.inter, giName(interCurve), palName(interCurve))
		add(n.intra, giName(intraCurve), palName(intraCurve))
		add(n.others, BaselineNames...)
		r.Chances = append(r.Chances, Chance{Top: 3, OfShuffled: 0.1})
		for _, side := range []float64{-1, 1} {
			r.Zoo = append(r.Zoo, Measured{Seed: seed, TrainAccuracy: n.trained, TestAccuracy: n.trained - 0.2 - side*n.gap})
		}
		for _, width := range r.Config.Widths {
			for _, angle := range r.Config.Angles {
				v := Invariant{Width: width, Angle: angle, Seed: seed, Curve: Curve{Magnitudes: Rotation{}.Magnitudes()}}
				for _, m := range v.Curve.Magnitudes {
					a := n.trained
					if m != 0 {
						a = 0.5 + n.learns*angle - e
					}
					v.Curve.Accuracies = append(v.Curve.Accuracies, a)
				}
				r.Invariants = append(r.Invariants, v)
			}
		}
	}
	return r
}

func verdicts(t *testing.T, r *Result) (claims []string) {
	t.Helper()
	for _, c := range r.Claims() {
		require.NoError(t, c.Check())
		claims = append(claims, c.Decide().String())
	}
	return claims
}

// TestClaimsTurnOutEachWay: numbers as the paper tells them replicate every claim, numbers the other way contradict
// each, and where what a claim presupposes does not hold, or what it needs was left out, it is not tested.
func TestClaimsTurnOutEachWay(t *testing.T) {
	good, bad := Evaluation{Tau: 0.8, AdjustedR2: 0.8, CMI: 20}, Evaluation{Tau: 0.2, AdjustedR2: 0.2, CMI: 2}
	as := told{noise: good, inter: good, intra: good, others: bad, gap: 0.1, trained: 0.99, learns: 0.004}
	require.Equal(t, []string{"replicated", "replicated", "replicated", "replicated"}, verdicts(t, synthetic(as)))
	require.Equal(t, []int{200, 48}, []int{synthetic(as).Claims()[0].N, synthetic(as).Claims()[1].N}, "examples, then networks")

	other := as
	other.noise, other.inter, other.intra, other.others, other.learns = bad, bad, bad, good, -0.004
	require.Equal(t, []string{"contradicted", "contradicted", "contradicted", "contradicted"}, verdicts(t, synthetic(other)))

	// A score that explains all, the wrong way round, predicts nothing.
	reversed := as
	reversed.noise = Evaluation{Tau: -0.9, AdjustedR2: 0.9, CMI: 20}
	require.Equal(t, []string{"replicated", "replicated in part (2 of 4)", "replicated in part (3 of 6)", "replicated"},
		verdicts(t, synthetic(reversed)))

	none := []string{"not tested", "not tested", "not tested", "not tested"}
	unlearned, alike := as, as
	unlearned.trained, alike.gap = 0.7, 0.001
	require.Equal(t, none, verdicts(t, synthetic(unlearned)))
	require.Equal(t, []string{"replicated", "not tested", "not tested", "not tested"}, verdicts(t, synthetic(alike)))
	require.Equal(t, none, verdicts(t, &Result{Config: Config{}.WithDefaults()}))
}

// TestWhatWasNotMeasured is not tested, whatever the rest says, and never 0.
func TestWhatWasNotMeasured(t *testing.T) {
	good, bad := Evaluation{Tau: 0.8, AdjustedR2: 0.8, CMI: 20}, Evaluation{Tau: 0.2, AdjustedR2: 0.2, CMI: 2}
	as := told{noise: good, inter: good, intra: good, others: bad, gap: 0.1, trained: 0.99, learns: 0.004}
	few := synthetic(as)
	delete(few.Evaluations, giName(intraCurve))
	delete(few.Evaluations, palName(intraCurve))
	require.Equal(t, []string{"replicated", "replicated", "replicated", "replicated in part (2 of 4)"}, verdicts(t, few))

	// One angle has no order, and one seed without networks leaves no interval over seeds.
	for name, keep := range map[string]func(v Invariant) bool{
		"one angle": func(v Invariant) bool { return v.Angle == 0 },
		"one seed":  func(v Invariant) bool { return v.Seed != 3 },
		"nothing":   func(Invariant) bool { return false },
	} {
		some := synthetic(as)
		all := some.Invariants
		some.Invariants = nil
		for _, v := range all {
			if keep(v) {
				some.Invariants = append(some.Invariants, v)
			}
		}
		require.Equal(t, "not tested", verdicts(t, some)[0], name)
		require.Empty(t, some.eachSeed(some.palFalls), name)
	}

	// A Pal-score that is undefined for one network is not 0 for it, in no place.
	undefined := synthetic(as)
	c := &undefined.Invariants[0].Curve
	for i := range c.Accuracies {
		c.Accuracies[i] = 0
	}
	claim := undefined.Claims()[0]
	require.Equal(t, report.NotTested, claim.Parts[1].Decide().Verdict)
	require.Empty(t, claim.Parts[1].Values)
	require.Empty(t, claim.Parts[1].Beside[0].Values)
	at := undefined.Invariants[0]
	require.Zero(t, undefined.invariance(at.Width, at.Angle, palOf).N)
	require.Equal(t, 5, undefined.invariance(at.Width, at.Angle, giOf).N)
	require.Contains(t, undefined.InvarianceTable().Text(), "–")
	_, err := undefined.RotationFigure().PNG()
	require.NoError(t, err)
}
