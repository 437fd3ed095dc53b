package joint

import (
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/report"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2102.11935"

// Claims judges the sentences of the paper's abstract by the numbers of the run. Thresholds come from the
// specification of this replication; the paper's abstract gives none, and its tables were not to be had.
func (r *Result) Claims() []report.Claim {
	c := r.Config
	claims := []report.Claim{
		{
			Sentence: "Adversarially trained models that are robust to input perturbations are still vulnerable to weight perturbations.",
			What:     "accuracy of AT-x under the universal weight attack",
			Parts: []report.ClaimPart{
				{Statement: "adversarially trained models are vulnerable to weight perturbations",
					Test: r.accuracy(ATx, 0, 0.01, report.AtMost, 0.25)},
				{Statement: "they are robust to input perturbations", Test: r.accuracy(ATx, 0.1, 0, report.AtLeast, 0.60)},
				{Statement: "standard models are not", Test: r.accuracy(Standard, 0.1, 0, report.AtMost, 0.15)},
				{Statement: "they withstand weight perturbations hardly better than standard models",
					Test: r.difference(ATx, Standard, 0, 0.01, report.AtMost, 0.10)},
			},
		},
		{
			Sentence: "They are even more vulnerable to weight perturbations than standard models.",
			What:     "accuracy of AT-x minus Standard under the universal weight attack, at every radius",
			Parts:    r.weightOnly(),
		},
		{
			Sentence: "Judging robustness to inputs alone or to weights alone gives a false sense of security: joint perturbations do more than either.",
			What:     "accuracy under the joint attack minus the lower of the two singular attacks; bounds that add up to more than the joint one",
			Parts: []report.ClaimPart{
				{Statement: "joint perturbations do more than either, standard training", Test: r.joint(Standard, 0.05, 0.002)},
				{Statement: "joint perturbations do more than either, adversarial training", Test: r.joint(ATx, 0.05, 0.002)},
				{Statement: "singular bounds never add up to more than the joint bound",
					Test: r.count("cases where the singular bounds add up to more than the joint bound", func(m Measured) int { return m.Undercounts })},
			},
		},
		{
			Sentence: "Error analysis bounds the loss sensitivity of multi-layer ReLU networks under l-infinity perturbations of inputs and weights.",
			What:     "perturbations, random and adversarial, that break a bound",
			Parts: []report.ClaimPart{
				{Statement: "no perturbation breaks a bound",
					Test: r.count("perturbed examples that break a bound on margin or loss", func(m Measured) (n int) {
						for _, v := range m.Checks {
							n += v.Margin + v.IBP + v.Loss
						}
						return n
					})},
				{Statement: "the bound is not vacuous",
					Test: r.each(Reg, "mean bound on the loss of Reg at the certified radii (a guess has 2.30)",
						func(m Measured) float64 { return m.Checks[certifiedPair].Upper }, report.AtMost, 2)},
			},
		},
		{
			Sentence: "Regularization derived from the analysis improves robustness against joint input-weight perturbations.",
			What:     "accuracy of Reg minus Standard under the joint attack",
			Parts: []report.ClaimPart{
				{Statement: "more robust to joint perturbations than standard training",
					Test: r.difference(Reg, Standard, 0.05, 0.005, report.AtLeast, 0.15)},
				{Statement: "more robust to joint perturbations than adversarial training",
					Test: r.difference(Reg, ATx, 0.05, 0.005, report.Above, 0)},
				{Statement: "robust to joint perturbations", Test: r.accuracy(Reg, 0.05, 0.005, report.AtLeast, 0.38)},
				{Statement: "it helps adversarial training too", Test: r.difference(ATxRegW, ATx, 0.1, 0.005, report.AtLeast, 0.10)},
				{Statement: "certified robustness", Test: r.certified(Reg, report.AtLeast, 0.70)},
				{Statement: "no certified robustness of standard training", Test: r.certified(Standard, report.AtMost, 0.02)},
				{Statement: "no certified robustness of adversarial training", Test: r.certified(ATx, report.AtMost, 0.02)},
				{Statement: "clean accuracy is kept", Test: r.accuracy(Reg, 0, 0, report.AtLeast, 0.90)},
			},
		},
	}
	for i := range claims {
		claim := &claims[i]
		claim.ID = fmt.Sprintf("%s/%d", paperID, i+1)
		claim.ComparedWith = "the abstract's words; it gives no number"
		claim.Scale, claim.Dataset, claim.N, claim.Seeds = c.Scale, r.Data, c.Test, c.Seeds
		switch {
		case c.Scale == "smoke":
			claim.Parts, claim.Reason = nil, "smoke scale: it proves that everything runs, its numbers mean nothing"
		case slices.ContainsFunc(claim.Parts, func(p report.ClaimPart) bool { return len(p.Values) == 0 }):
			claim.Parts, claim.Reason = nil, "the run left out a method or a pair of radii that the claim needs"
		}
	}
	return claims
}

// certifiedPair is the index in VerifyAt of (CertifyInput, CertifyWeight).
const certifiedPair = 1

// at returns a method's accuracies at a pair of radii, one a seed; none if the run left it out.
func (r *Result) at(method string, input, weight float64) (values []float64) {
	i, j := slices.Index(r.Config.EpsilonInput, input), slices.Index(r.Config.EpsilonWeight, weight)
	if i < 0 || j < 0 {
		return nil
	}
	for _, m := range r.For(method) {
		values = append(values, m.Accuracy[i][j])
	}
	return values
}

func (r *Result) accuracy(method string, input, weight float64, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: fmt.Sprintf("accuracy of %s at %s", method, radii(input, weight)), Values: r.at(method, input, weight),
		Relation: relation, Threshold: threshold, Percent: true}
}

func (r *Result) difference(method, other string, input, weight float64, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: fmt.Sprintf("accuracy of %s minus %s at %s", method, other, radii(input, weight)),
		Values: minus(r.at(method, input, weight), r.at(other, input, weight)), Relation: relation, Threshold: threshold, Percent: true}
}

// weightOnly compares AT-x with Standard at every weight radius of the grid, the largest first.
func (r *Result) weightOnly() (parts []report.ClaimPart) {
	for _, w := range slices.Backward(r.Config.EpsilonWeight) {
		if w > 0 {
			parts = append(parts, report.ClaimPart{Statement: fmt.Sprintf("more vulnerable at radius %g", w),
				Test: r.difference(ATx, Standard, 0, w, report.Below, 0)})
		}
	}
	return parts
}

// joint tests that the joint attack does more than either of its halves.
func (r *Result) joint(method string, input, weight float64) report.Test {
	singular := r.at(method, input, 0)
	for i, a := range r.at(method, 0, weight) {
		if i < len(singular) {
			singular[i] = min(singular[i], a)
		}
	}
	return report.Test{What: fmt.Sprintf("accuracy of %s at %s minus the lower of the two singular attacks", method, radii(input, weight)),
		Values: minus(r.at(method, input, weight), singular), Relation: report.Below, Percent: true}
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
	t := report.Test{What: what, Relation: relation, Threshold: threshold}
	for _, m := range r.For(method) {
		t.Values = append(t.Values, of(m))
	}
	return t
}

// certified tests the certified accuracy of a method at the radii of the run's settings.
func (r *Result) certified(method string, relation report.Relation, threshold float64) report.Test {
	t := r.each(method, fmt.Sprintf("certified accuracy of %s at (%g, %g)", method, r.Config.CertifyInput, r.Config.CertifyWeight),
		func(m Measured) float64 { return m.certifiedAt(r.Config) }, relation, threshold)
	t.Percent = true
	return t
}

func minus(a, b []float64) (d []float64) {
	for i := range a {
		if i < len(b) {
			d = append(d, a[i]-b[i])
		}
	}
	return d
}

// radii writes a pair of radii.
func radii(input, weight float64) string { return fmt.Sprintf("(εx %g, εw %g)", input, weight) }
