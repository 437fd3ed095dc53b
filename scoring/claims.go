package scoring

import (
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2104.03469"

// The curves that the claims speak of.
var (
	interCurve = CurveName(Mixup{Kind: InterClass}, 0)
	intraCurve = CurveName(Mixup{Kind: IntraClass}, 0)
	noiseCurve = CurveName(GaussianNoise{}, 0)
)

// Claims judges the sentences of the paper's abstract, and one of its follow-up's, by the numbers of the run. Thresholds come
// from the specification of this replication, set by runs on other seeds; the papers' tables were not to be had.
func (r *Result) Claims() []report.Claim {
	c := r.Config
	test := func(what string, values []float64, relation report.Relation, threshold float64) report.Test {
		return report.Test{What: what, Values: values, Relation: relation, Threshold: threshold}
	}
	of := func(measure, what string, number func(v Evaluation) float64, relation report.Relation, threshold float64) report.Test {
		return test(what+" of "+measure, r.evaluations(measure, number), relation, threshold)
	}
	less := func(measure, other, what string, number func(v Evaluation) float64, relation report.Relation, threshold float64) report.Test {
		return test(what+" of "+measure+" minus that of "+other, minus(r.evaluations(measure, number), r.evaluations(other, number)), relation, threshold)
	}
	top := func(measure string) report.Test {
		var chance []float64
		for _, x := range r.Chances {
			chance = append(chance, x.Top)
		}
		return test("CMI of "+measure+" minus the 95th percentile of random measures", minus(r.evaluations(measure, cmiOf), chance), report.Above, 0)
	}
	claims := []report.Claim{
		{
			Sentence: "The Gi-score and the Pal-score are robust measures of a network's invariance to perturbations.",
			What:     "rank correlation (Kendall's τ) of the Gi-score under rotation with the angle up to which training examples were turned",
			Parts: []report.ClaimPart{
				{Statement: "the Gi-score follows the invariance",
					Test: test("Kendall's τ of angle and Gi-score", r.perSeed(r.giOverAngles), report.AtMost, -0.8)},
				{Statement: "the Pal-score follows the invariance",
					Test: test("steps of the angle, over all widths, at which the Pal-score does not rise", r.perSeed(r.palFalls), report.Zero, 0)},
			},
			N: c.RotationSample, ComparedWith: "the abstract's words; it gives no number",
		},
		{
			Sentence: "They accurately predict generalization gaps, the difference between accuracy on training and test sets.",
			What:     "rank correlation (Kendall's τ) of the Gi-score under Gaussian noise with the gap, over the zoo",
			Parts: []report.ClaimPart{
				{Statement: "the Gi-score under noise ranks gaps", Test: of(giName(noiseCurve), "Kendall's τ", tauOf, report.AtLeast, 0.6)},
				{Statement: "the Gi-score under noise explains gaps",
					Test: of(giName(noiseCurve), "adjusted R²", r2Of, report.AtLeast, 0.6)},
				{Statement: "the Pal-score under noise ranks gaps",
					Test: of(palName(noiseCurve), "Kendall's τ", tauOf, report.AtLeast, 0.6)},
				{Statement: "the Gi-score under mixup ranks gaps", Test: of(giName(interCurve), "Kendall's τ", tauOf, report.AtLeast, 0.2)},
				{Statement: "the Pal-score under mixup predicts better than chance", Test: top(palName(interCurve))},
				{Statement: "the Gi-score under noise predicts better than chance", Test: top(giName(noiseCurve))},
				{Statement: "there is something to predict", Test: test("standard deviation of the gaps",
					r.perSeed(func(seed int64) float64 { return stat.StdDev(r.gaps(seed), nil) }), report.AtLeast, 0.04)},
				{Statement: "the networks have learned",
					Test: test("lowest training accuracy in the zoo", r.perSeed(r.leastTrained), report.AtLeast, 0.9)},
			},
			ComparedWith: "the abstract's words; it gives no number",
		},
		{
			Sentence: "They predict gaps better than norms and margins of the network do.",
			What:     "Kendall's τ of the Gi-score under Gaussian noise minus that of the Frobenius norm",
			Parts: []report.ClaimPart{
				{Statement: "the Gi-score predicts better than the Frobenius norm",
					Test: less(giName(noiseCurve), Frobenius, "Kendall's τ", tauOf, report.AtLeast, 0.3)},
				{Statement: "the Gi-score predicts better than the spectral norm",
					Test: less(giName(noiseCurve), Spectral, "Kendall's τ", tauOf, report.Above, 0)},
				{Statement: "the Gi-score predicts better than the margin",
					Test: less(giName(noiseCurve), Margin, "Kendall's τ", tauOf, report.Above, 0)},
				{Statement: "the Pal-score predicts better than the Frobenius norm",
					Test: less(palName(interCurve), Frobenius, "CMI", cmiOf, report.Above, 0)},
				{Statement: "the Pal-score predicts better than the spectral norm",
					Test: less(palName(interCurve), Spectral, "CMI", cmiOf, report.Above, 0)},
				{Statement: "the Pal-score predicts better than the margin",
					Test: less(palName(interCurve), Margin, "CMI", cmiOf, report.Above, 0)},
			},
			ComparedWith: "common baselines of the field; the abstract names none",
		},
		{
			Sentence: "With intra- and inter-class mixup they beat the previous best measures on a majority of the competition's tasks (abstract of the follow-up, arXiv 2106.04765).",
			What:     "CMI of the negative Pal-score under inter-class mixup minus that of the competition's winner",
			Parts: []report.ClaimPart{
				{Statement: "inter-class mixup beats the winner",
					Test: less(palName(interCurve), DaviesBouldin, "CMI", cmiOf, report.Above, 0)},
				{Statement: "intra-class mixup beats the winner",
					Test: less(palName(intraCurve), DaviesBouldin, "CMI", cmiOf, report.Above, 0)},
			},
			ComparedWith: "the follow-up's abstract, on networks of the competition; here on this zoo",
		},
	}
	for i := range claims {
		claim := &claims[i]
		claim.ID = paperID + "/" + string(rune('1'+i))
		claim.Scale, claim.Dataset, claim.Seeds = c.Scale, r.Data, c.Seeds
		if claim.N == 0 {
			claim.N = len(c.Networks())
		}
		switch {
		case c.Scale == "smoke":
			claim.Parts, claim.Reason = nil, "smoke scale: it proves that everything runs, its numbers mean nothing"
		case slices.ContainsFunc(claim.Parts, func(p report.ClaimPart) bool { return len(p.Values) == 0 }):
			claim.Parts, claim.Reason = nil, "the run left out a curve that the claim needs"
		}
	}
	return claims
}

func minus(a, b []float64) (d []float64) {
	for i := range a {
		if i < len(b) {
			d = append(d, a[i]-b[i])
		}
	}
	return d
}

// leastTrained is the lowest training accuracy in a seed's zoo.
func (r *Result) leastTrained(seed int64) float64 {
	least := 1.0
	for _, m := range r.Zoo {
		if m.Seed == seed {
			least = min(least, m.TrainAccuracy)
		}
	}
	return least
}

// giOverAngles is the rank correlation of angle and Gi-score over a seed's networks.
func (r *Result) giOverAngles(seed int64) float64 {
	var angles, scores []float64
	for _, v := range r.Invariants {
		if v.Seed == seed {
			gi, _, err := v.Scores()
			if err != nil { // a curve that is measured is valid
				panic(err)
			}
			angles, scores = append(angles, v.Angle), append(scores, gi)
		}
	}
	tau, err := KendallTauB(angles, scores)
	if err != nil { // all the same: no relation
		return 0
	}
	return tau
}

// palFalls counts the steps to the next angle, with equal width, at which the Pal-score does not rise.
func (r *Result) palFalls(seed int64) (falls float64) {
	last := map[int]float64{}
	for _, v := range r.Invariants {
		if v.Seed != seed {
			continue
		}
		_, pal, err := v.Scores()
		if err != nil { // nothing is right in the first tenth of the range: as low as can be
			pal = 0
		}
		if before, ok := last[v.Width]; ok && pal <= before {
			falls++
		}
		last[v.Width] = pal
	}
	return falls
}
