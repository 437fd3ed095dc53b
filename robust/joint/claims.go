package joint

import (
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/certify"
	"github.com/trustbook/trustbook/study"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2102.11935"

// The radii at which claims are judged: those of the specification of this replication, with weights perturbed so far
// that accuracy falls, and not so far that every network is left guessing.
const (
	judgedInput  = 0.05
	judgedWeight = 0.005
	trainedInput = 0.1 // the radius of adversarial training
)

// Claims judges the sentences of the paper's abstract by the numbers of the run. The abstract gives no number, and the
// paper's tables were not to be had: thresholds are the direction, 0, where nothing else is said.
func (r *Result) Claims() []report.Claim {
	c := r.Config
	learned := func(method string) report.Test { return r.accuracy(method, 0, 0, report.AtLeast, 0.80) }
	idle := r.lost(Standard, 0, r.largestWeight(), report.AtLeast, 0.05)
	claims := []report.Claim{
		{
			Sentence: "Adversarially trained models that are robust to input perturbations are still vulnerable to weight perturbations.",
			Parts: []report.ClaimPart{{
				Statement: "still vulnerable to weight perturbations",
				Test:      r.lost(ATx, 0, judgedWeight, report.AtLeast, 0.25),
				Ours:      "vulnerable: one image in four is lost to the attack",
				Controls: []report.Test{r.accuracy(ATx, trainedInput, 0, report.AtLeast, 0.60),
					r.accuracy(Standard, trainedInput, 0, report.AtMost, 0.15), learned(ATx)},
				Beside: []report.Test{r.accuracy(ATx, 0, judgedWeight, "", 0)},
			}},
		},
		{
			Sentence: "They are even more vulnerable to weight perturbations than standard models.",
			Parts: []report.ClaimPart{{
				Statement: "more vulnerable to weight perturbations than standard models",
				Test: report.Test{What: "accuracy of AT-x minus Standard under the universal weight attack, mean over the radii",
					Values: r.weightOnly(), Relation: report.Below, Percent: true},
				Controls: []report.Test{learned(ATx), learned(Standard), idle},
				Beside:   r.eachWeight(),
			}},
		},
		{
			Sentence: "Judging robustness to inputs alone or to weights alone gives a false sense of security: " +
				"joint perturbations do more than either.",
			Parts: []report.ClaimPart{
				{Statement: "joint perturbations do more than either to a standard model", Test: r.joint(Standard, 0.002),
					Controls: []report.Test{learned(Standard)},
					Beside: []report.Test{r.count("cases where the bounds of inputs and weights add up to more than the joint bound",
						func(m Measured) int { return m.Undercounts })}},
				{Statement: "and to an adversarially trained one", Test: r.joint(ATx, 0.002), Controls: []report.Test{learned(ATx)}},
			},
		},
		{
			Sentence: "Error analysis bounds the loss sensitivity of multi-layer ReLU networks " +
				"under l-infinity perturbations of inputs and weights.",
			Parts: []report.ClaimPart{{
				Statement: "bounds the loss sensitivity (a theorem: only a mistake in it or in our code could contradict it)",
				Test: r.count("perturbed examples, random and adversarial, that break a bound on margin or loss", func(m Measured) int {
					broken, _ := certify.Tally(m.Checks)
					return broken
				}),
				Controls: []report.Test{r.each(Standard, "loss under attack minus clean loss at the certified radii",
					func(m Measured) float64 { v := m.Checks[certifiedPair]; return v.Attacked - v.Clean }, report.Above, 0)},
				Beside: []report.Test{r.each(Reg, "mean bound on the loss of Reg at the certified radii; a guess has 2.30",
					func(m Measured) float64 { return m.Checks[certifiedPair].Upper }, report.Below, 2.30)},
			}},
		},
		{
			Sentence: "Regularization derived from the analysis improves robustness against joint input-weight perturbations.",
			Parts: []report.ClaimPart{
				{Statement: "improves a standard model", Test: r.difference(Reg, Standard, judgedInput, judgedWeight, report.Above, 0),
					Controls: []report.Test{learned(Reg), learned(Standard), r.lost(Standard, judgedInput, judgedWeight, report.AtLeast, 0.05)},
					Beside: []report.Test{r.difference(Reg, ATx, judgedInput, judgedWeight, report.Above, 0),
						r.certified(Reg), r.certified(Standard), r.certified(ATx)}},
				{Statement: "improves an adversarially trained model", Test: r.difference(ATxRegW, ATx, judgedInput, judgedWeight, report.Above, 0),
					Controls: []report.Test{learned(ATx), learned(ATxRegW), r.lost(ATx, judgedInput, judgedWeight, report.AtLeast, 0.05)},
					Beside:   []report.Test{r.difference(ATxRegW, ATx, trainedInput, judgedWeight, report.Above, 0)}},
			},
		},
	}
	return study.Source{Paper: paperID, Scale: c.Scale, Dataset: r.Data, N: c.Test, Seeds: c.Seeds}.Number(claims)
}

// certifiedPair is the index in VerifyAt of (CertifyInput, CertifyWeight).
const certifiedPair = 1

// at returns a method's accuracies at a pair of radii, one a seed; none if the run left it out.
func (r *Result) at(method string, input, weight float64) []float64 {
	i, j := slices.Index(r.Config.EpsilonInput, input), slices.Index(r.Config.EpsilonWeight, weight)
	return study.Values(r.For(method), func(m Measured) (float64, bool) {
		if i < 0 || j < 0 {
			return 0, false
		}
		return m.Accuracy[i][j], true
	})
}

func (r *Result) accuracy(method string, input, weight float64, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: fmt.Sprintf("accuracy of %s at %s", method, radii(input, weight)), Values: r.at(method, input, weight),
		Relation: relation, Threshold: threshold, Percent: true}
}

// lost tests the accuracy that an attack takes.
func (r *Result) lost(method string, input, weight float64, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: fmt.Sprintf("clean accuracy of %s minus that at %s", method, radii(input, weight)),
		Values: study.Minus(r.at(method, 0, 0), r.at(method, input, weight)), Relation: relation, Threshold: threshold, Percent: true}
}

func (r *Result) difference(method, other string, input, weight float64, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: fmt.Sprintf("accuracy of %s minus %s at %s", method, other, radii(input, weight)),
		Values: study.Minus(r.at(method, input, weight), r.at(other, input, weight)), Relation: relation, Threshold: threshold, Percent: true}
}

func (r *Result) largestWeight() float64 {
	return r.Config.EpsilonWeight[len(r.Config.EpsilonWeight)-1]
}

// eachWeight compares AT-x with Standard at every weight radius of the grid.
func (r *Result) eachWeight() (tests []report.Test) {
	for _, w := range r.Config.EpsilonWeight[1:] {
		tests = append(tests, r.difference(ATx, Standard, 0, w, report.Below, 0))
	}
	return tests
}

// weightOnly is the mean of these differences over the radii, seed by seed.
func (r *Result) weightOnly() (means []float64) {
	tests := r.eachWeight()
	for _, t := range tests {
		if means == nil {
			means = make([]float64, len(t.Values))
		}
		for i, v := range t.Values {
			means[i] += v / float64(len(tests))
		}
	}
	return means
}

// joint tests that the joint attack does more than either of its halves.
func (r *Result) joint(method string, weight float64) report.Test {
	singular := r.at(method, judgedInput, 0)
	for i, a := range r.at(method, 0, weight) {
		if i < len(singular) {
			singular[i] = min(singular[i], a)
		}
	}
	return report.Test{
		What:   fmt.Sprintf("accuracy of %s at %s minus the lower of the two singular attacks", method, radii(judgedInput, weight)),
		Values: study.Minus(r.at(method, judgedInput, weight), singular), Relation: report.Below, Percent: true}
}

// count sums a count over all methods, for each seed.
func (r *Result) count(what string, of func(Measured) int) report.Test {
	values := make([]float64, len(r.Config.Seeds))
	for _, m := range r.Models {
		values[slices.Index(r.Config.Seeds, m.Seed)] += float64(of(m))
	}
	return report.Test{What: what, Values: values, Relation: report.Zero}
}

// each takes a number from every network of a method.
func (r *Result) each(method, what string, of func(Measured) float64, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: what, Relation: relation, Threshold: threshold, Values: study.Values(r.For(method), study.Always(of))}
}

// certified tells the certified accuracy of a method at the radii of the run's settings.
func (r *Result) certified(method string) report.Test {
	return report.Test{What: fmt.Sprintf("certified accuracy of %s at (%g, %g)", method, r.Config.CertifyInput, r.Config.CertifyWeight),
		Values: r.certifiedOf(method), Percent: true}
}

// radii writes a pair of radii.
func radii(input, weight float64) string { return fmt.Sprintf("(εx %g, εw %g)", input, weight) }
