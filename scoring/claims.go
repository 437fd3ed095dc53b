package scoring

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2104.03469"

// The curves that the claims speak of.
var (
	interCurve = CurveName(Mixup{Kind: InterClass}, 0)
	intraCurve = CurveName(Mixup{Kind: IntraClass}, 0)
	noiseCurve = CurveName(GaussianNoise{}, 0)
)

// score is one of the paper's two.
type score struct {
	name string
	of   func(curve string) string // its measure's name
}

var scores = []score{{"Gi-score", giName}, {"Pal-score", palName}}

// Claims judges the sentences of the paper's abstract, and one of its follow-up's, by the numbers of the run. The abstracts
// give no number, and the papers' tables were not to be had: thresholds are the direction, 0, where nothing else is said.
func (r *Result) Claims() []report.Claim {
	const words = "the abstract's words; it gives no number"
	c := r.Config
	claims := []report.Claim{
		{
			Sentence: "The Gi-score and the Pal-score are robust measures of a network's invariance to perturbations.",
			What: "rank correlation (Kendall's τ) of each score under rotation with the angle up to which training examples were " +
				"turned, over networks",
			Parts: r.invarianceParts(), ComparedWith: words, N: c.RotationSample,
		},
		{
			Sentence: "They accurately predict generalization gaps, the difference between accuracy on training and test sets.",
			What:     "share of the gaps' variance over the zoo that a straight line through the scores explains, adjusted R²",
			Parts:    r.accuracyParts(), ComparedWith: words,
		},
		{
			Sentence: "They predict gaps better than norms and margins of the network do.",
			What: "Kendall's τ with the gap of the Gi-score under Gaussian noise, and CMI of the Pal-score under inter-class mixup, minus " +
				"those of norms and margins",
			Parts: r.baselineParts(), ComparedWith: "common baselines of the field; the abstract names none",
		},
		{
			Sentence: "With intra- and inter-class mixup they beat the previous best measures on a majority of the competition's tasks " +
				"(abstract of the follow-up, arXiv 2106.04765).",
			What:  "CMI of each score under mixup minus that of the competition's winner",
			Parts: r.winnerParts(), ComparedWith: "the follow-up's abstract, on networks of the competition; here on this zoo",
		},
	}
	return study.Source{Paper: paperID, Scale: c.Scale, Dataset: r.Data, N: len(c.Networks()), Seeds: c.Seeds}.Number(claims)
}

// invarianceParts ask whether each score follows the invariance that training taught.
func (r *Result) invarianceParts() []report.ClaimPart {
	controls := []report.Test{
		{What: "lowest accuracy of a network on its training examples as they are", Values: r.eachSeed(r.upright), Relation: report.AtLeast,
			Threshold: 0.80, Percent: true},
		{What: "accuracy that rotation takes from the networks whose training examples were turned least", Values: r.eachSeed(r.confused),
			Relation: report.AtLeast, Threshold: 0.05, Percent: true},
	}
	return []report.ClaimPart{
		{Statement: "the Gi-score measures the invariance: it falls as invariance grows", Controls: controls,
			Test:   r.follows("Gi-score", giOf, report.Below, 0),
			Beside: []report.Test{r.follows("Gi-score", giOf, report.AtMost, -0.8)}},
		{Statement: "the Pal-score measures the invariance: it rises as invariance grows", Controls: controls,
			Test: r.follows("folded Pal-score", palOf, report.Above, 0),
			Beside: []report.Test{{What: "steps of the angle, over all widths, at which the Pal-score does not rise", Relation: report.Zero,
				Values: r.eachSeed(r.palFalls)}}},
	}
}

// accuracyParts ask of each score how much it explains, under noise and under the follow-up's mixup.
func (r *Result) accuracyParts() (parts []report.ClaimPart) {
	chance := study.Values(r.Chances, study.Always(func(x Chance) float64 { return x.Top }))
	shuffled := report.Test{What: "|τ| of a score with gaps that were shuffled", Relation: report.AtMost, Threshold: 0.3,
		Values: study.Values(r.Chances, study.Always(func(x Chance) float64 { return x.OfShuffled }))}
	for _, p := range []struct {
		curve, under string
		tau          float64 // the specification's bound for Kendall's τ
	}{{noiseCurve, "Gaussian noise", 0.6}, {interCurve, "inter-class mixup", 0.2}} {
		for _, s := range scores {
			measure := s.of(p.curve)
			parts = append(parts, report.ClaimPart{
				Statement: "the " + s.name + " accurately predicts gaps, under " + p.under,
				Test: report.Test{What: "adjusted R² of " + measure + ", negative where it orders gaps the wrong way round",
					Values: r.evaluations(measure, signedR2), Relation: report.AtLeast, Threshold: 0.6},
				Ours:     "accurately: a straight line leaves at most two fifths of the gaps' variance unexplained",
				Controls: r.judgeable(),
				Beside: []report.Test{
					{What: "Kendall's τ of " + measure, Values: r.evaluations(measure, tauOf), Relation: report.AtLeast, Threshold: p.tau},
					{What: "CMI of " + measure + " minus the 95th percentile of random measures", Relation: report.Above,
						Values: study.Minus(r.evaluations(measure, cmiOf), chance)}, shuffled},
			})
		}
	}
	return parts
}

// baselineParts hold the Gi-score under noise, by rank correlation, and the Pal-score under mixup, by the competition's
// score, against norms and margins; beside stands the same with curve and judge exchanged.
func (r *Result) baselineParts() (parts []report.ClaimPart) {
	for _, s := range []struct {
		score
		curve, other string
		test, beside judge
	}{{scores[0], noiseCurve, interCurve, byTau, byCMI}, {scores[1], interCurve, noiseCurve, byCMI, byTau}} {
		for _, b := range []struct{ measure, name string }{{Frobenius, "Frobenius norm"}, {Spectral, "spectral norm"}, {Margin, "margin"}} {
			part := report.ClaimPart{Statement: "the " + s.name + " predicts better than the " + b.name, Controls: r.judgeable(),
				Test: r.lead(s.of(s.curve), b.measure, s.test), Beside: []report.Test{r.lead(s.of(s.other), b.measure, s.beside)}}
			if s.curve == noiseCurve && b.measure == Frobenius { // the specification's bound
				strict := part.Test
				strict.Relation, strict.Threshold = report.AtLeast, 0.3
				part.Beside = append(part.Beside, strict)
			}
			parts = append(parts, part)
		}
	}
	return parts
}

// winnerParts hold both scores under both kinds of mixup against the competition's winner.
func (r *Result) winnerParts() (parts []report.ClaimPart) {
	for _, m := range []struct{ curve, kind string }{{interCurve, "inter-class"}, {intraCurve, "intra-class"}} {
		for _, s := range scores {
			parts = append(parts, report.ClaimPart{
				Statement: "with " + m.kind + " mixup the " + s.name + " beats the winner", Controls: r.judgeable(),
				Test: r.lead(s.of(m.curve), DaviesBouldin, byCMI), Beside: []report.Test{r.lead(s.of(m.curve), DaviesBouldin, byTau)}})
		}
	}
	return parts
}

// judgeable are the controls of whatever is said about gaps: they differ, and they are those of networks that have learned.
func (r *Result) judgeable() []report.Test {
	return []report.Test{
		{What: "standard deviation of the gaps", Relation: report.AtLeast, Threshold: 0.04, Percent: true,
			Values: r.eachSeed(func(seed int64) (float64, bool) {
				gaps := r.zooGaps(seed)
				return stat.StdDev(gaps, nil), len(gaps) > 1
			})},
		{What: "lowest training accuracy in the zoo", Values: r.eachSeed(r.leastTrained), Relation: report.AtLeast, Threshold: 0.9,
			Percent: true},
	}
}

// judge is a way to tell how well a measure predicts.
type judge struct {
	name string
	of   func(Evaluation) float64
}

var byTau, byCMI = judge{"Kendall's τ", tauOf}, judge{"CMI", cmiOf}

// lead tests that a measure predicts better than another.
func (r *Result) lead(measure, other string, by judge) report.Test {
	return report.Test{What: by.name + " of " + measure + " minus that of " + other, Relation: report.Above,
		Values: study.Minus(r.evaluations(measure, by.of), r.evaluations(other, by.of))}
}

// signedR2 is the adjusted R², below 0 for a measure that falls as gaps grow.
func signedR2(v Evaluation) float64 {
	if v.Tau < 0 {
		return -math.Abs(v.AdjustedR2)
	}
	return v.AdjustedR2
}

// eachSeed takes one number from each seed; none at all where one seed has none.
func (r *Result) eachSeed(of func(seed int64) (float64, bool)) []float64 {
	return study.Values(r.Config.Seeds, of)
}

// lowest is the least number of all elements, if there are any and each has one.
func lowest[T any](all []T, of func(T) (float64, bool)) (float64, bool) {
	values := study.Values(all, of)
	if len(values) == 0 {
		return 0, false
	}
	return slices.Min(values), true
}

// leastTrained is the lowest training accuracy in a seed's zoo.
func (r *Result) leastTrained(seed int64) (float64, bool) {
	return lowest(r.zoo(seed), study.Always(func(m Measured) float64 { return m.TrainAccuracy }))
}

// invariants are a seed's networks of the experiment on invariance.
func (r *Result) invariants(seed int64) []Invariant {
	return study.Where(r.Invariants, func(v Invariant) bool { return v.Seed == seed })
}

// ofCurve takes a number from a network's curve under rotation, if it has that number.
func ofCurve(of func(Curve) (float64, error)) func(Invariant) (float64, bool) {
	return func(v Invariant) (float64, bool) {
		x, err := of(v.Curve)
		return x, err == nil
	}
}

// follows tests the rank correlation of the angle up to which examples were turned and a score, over a seed's networks.
func (r *Result) follows(name string, of func(Curve) (float64, error), relation report.Relation, threshold float64) report.Test {
	return report.Test{What: "Kendall's τ of angle and " + name, Relation: relation, Threshold: threshold,
		Values: r.eachSeed(func(seed int64) (float64, bool) {
			all := r.invariants(seed)
			angles := study.Values(all, study.Always(func(v Invariant) float64 { return v.Angle }))
			tau, err := KendallTauB(angles, study.Values(all, ofCurve(of)))
			return tau, err == nil
		})}
}

// upright is the lowest accuracy, of a seed's networks for invariance, on examples that are not turned.
func (r *Result) upright(seed int64) (float64, bool) {
	return lowest(r.invariants(seed), ofCurve(func(c Curve) (float64, error) { return c.At(0) }))
}

// confused is the accuracy that some rotation takes from the least invariant networks, the lowest over the widths.
func (r *Result) confused(seed int64) (float64, bool) {
	least := study.Where(r.invariants(seed), func(v Invariant) bool { return v.Angle == slices.Min(r.Config.Angles) })
	return lowest(least, ofCurve(func(c Curve) (float64, error) {
		a, err := c.At(0)
		if err != nil {
			return 0, err
		}
		return a - slices.Min(c.Accuracies), nil
	}))
}

// palFalls counts the steps to the next angle, with equal width, at which the Pal-score does not rise, if there are any.
func (r *Result) palFalls(seed int64) (falls float64, ok bool) {
	all := r.invariants(seed)
	pals := study.Values(all, ofCurve(palOf))
	for i := 1; i < len(pals); i++ {
		if all[i].Width != all[i-1].Width {
			continue
		}
		if ok = true; pals[i] <= pals[i-1] {
			falls++
		}
	}
	return falls, ok
}
