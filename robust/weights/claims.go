package weights

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2103.02200"

// The settings that the claims speak of.
const (
	claimLambda  = 3e-3
	claimEpsilon = 0.005
	claimCertify = 1e-4
	claimBits    = 3
)

// Claims judges the sentences of the paper's abstract by the numbers of the run. Thresholds come from the specification of
// this replication; the abstract gives none, and the paper's tables were not to be had.
func (r *Result) Claims() []report.Claim {
	c := r.Config
	ours, ce := Name(claimLambda, 0), Name(0, 0)
	underPGD := fmt.Sprintf("accuracy under weight PGD at %g", claimEpsilon)
	claims := []report.Claim{
		{
			Sentence: "A formal analysis bounds the pairwise class margins of feed-forward networks with non-negative monotone activations " +
				"under norm-bounded weight perturbations.",
			What: "perturbations, random, adversarial and by rounding, that break a bound",
			Parts: []report.ClaimPart{
				{Statement: "no perturbation breaks a bound", Test: r.broken()},
				{Statement: "the bound is not vacuous",
					Test: r.each(ours, fmt.Sprintf("median of the fall of the margin under attack, divided by its bound, of %s at %g", ours, claimCertify),
						func(m Measured) float64 { return m.Checks[slices.Index(c.VerifyAt, claimCertify)].MedianTightness }, report.AtLeast, 0.1,
						slices.Contains(c.VerifyAt, claimCertify))},
			},
			N: c.VerifyImages,
		},
		{
			Sentence: "The same analysis gives a Rademacher complexity that tells about generalization.",
			What:     "rank correlation (Kendall's τ) of the complexity bound with the generalization gap",
			Parts: []report.ClaimPart{
				{Statement: "the complexity ranks networks as their gaps do",
					Test: r.perSeed("Kendall's τ between the bound and the gap in cross-entropy, over the factors μ", r.Kendall, report.AtLeast, 0.8)},
				{Statement: "holding it down narrows the gap",
					Test: r.perSeed(fmt.Sprintf("gap in cross-entropy at μ=%g minus that at μ=0", c.GapMus[len(c.GapMus)-1]), r.gapChange, report.Below, 0)},
			},
			N: c.GapTest,
		},
		{
			Sentence: "A theory-driven loss trains networks that generalize and are robust against weight perturbations.",
			What:     "accuracy under weight PGD with the loss and with cross-entropy",
			Parts: []report.ClaimPart{
				{Statement: "more robust than with cross-entropy",
					Test: r.difference(ours, ce, underPGD, report.AtLeast, 0.15, r.attackedAt)},
				{Statement: "robust", Test: r.accuracy(ours, underPGD, report.AtLeast, 0.65, r.attackedAt)},
				{Statement: "certified robustness", Test: r.certified(ours, report.AtLeast, 0.85)},
				{Statement: "no certified robustness with cross-entropy", Test: r.certified(ce, report.AtMost, 0.20)},
				{Statement: "clean accuracy is kept",
					Test: r.accuracy(ours, "clean accuracy", report.AtLeast, 0.91, func(method string) []float64 {
						return r.values(method, func(m Measured) float64 { return m.Clean })
					})},
				{Statement: "generalizes better", Test: r.gapDifference(ours, ce)},
			},
		},
		{
			Sentence: "Experiments validate the analysis.",
			What:     "rank correlation (Kendall's τ) over the layers of what the bound allows and what attacking the layer alone costs",
			Parts: []report.ClaimPart{
				{Statement: "with cross-entropy, layers cost what the bound allows",
					Test: r.each(ce, "Kendall's τ of "+ce, layerKendall, report.AtLeast, 0.8, true)},
				{Statement: "with the loss, layers cost what the bound allows",
					Test: r.each(ours, "Kendall's τ of "+ours, layerKendall, report.AtLeast, 0.8, true)},
			},
		},
		{
			Sentence: "Sensitivity to weight perturbation matters for model compression.",
			What:     fmt.Sprintf("accuracy with weights of %d bits, with the loss and with cross-entropy", claimBits),
			Parts: []report.ClaimPart{
				{Statement: "the loss helps after rounding",
					Test: r.difference(ours, ce, fmt.Sprintf("accuracy with weights of %d bits", claimBits), report.Above, 0, r.roundedAt)},
				{Statement: "rounding breaks no certificate",
					Test: r.perSeed("examples with a certificate that rounding misclassifies, over all networks", r.brokenByRounding, report.Zero, 0)},
			},
		},
	}
	for i := range claims {
		claim := &claims[i]
		claim.ID = fmt.Sprintf("%s/%d", paperID, i+1)
		claim.ComparedWith = "the abstract's words; it gives no number"
		claim.Scale, claim.Dataset, claim.Seeds = c.Scale, r.Data, c.Seeds
		if claim.N == 0 {
			claim.N = c.Test
		}
		switch {
		case c.Scale == "smoke":
			claim.Parts, claim.Reason = nil, "smoke scale: it proves that everything runs, its numbers mean nothing"
		case slices.ContainsFunc(claim.Parts, func(p report.ClaimPart) bool { return len(p.Values) == 0 }):
			claim.Parts, claim.Reason = nil, "the run left out a method, radius or number of bits that the claim needs"
		}
	}
	return claims
}

// broken counts perturbations that break a bound, over all networks of a seed.
func (r *Result) broken() report.Test {
	return r.perSeed("perturbed examples that break a bound on margin or loss, over all networks", func(seed int64) (n float64) {
		for _, m := range r.Models {
			if m.Seed != seed {
				continue
			}
			for _, v := range m.Checks {
				n += float64(v.Margin + v.IBP + v.Loss)
			}
		}
		return n + r.brokenByRounding(seed)
	}, report.Zero, 0)
}

func (r *Result) brokenByRounding(seed int64) (n float64) {
	for _, m := range r.Models {
		if m.Seed == seed {
			for _, b := range m.Bits {
				n += float64(b.Broken)
			}
		}
	}
	return n
}

// perSeed takes one number from each seed.
func (r *Result) perSeed(what string, of func(seed int64) float64, relation report.Relation, threshold float64) report.Test {
	t := report.Test{What: what, Relation: relation, Threshold: threshold}
	for _, seed := range r.Config.Seeds {
		t.Values = append(t.Values, of(seed))
	}
	return t
}

// each takes a number from every network of a method; from none, if the run did not measure it.
func (r *Result) each(method, what string, of func(Measured) float64, relation report.Relation, threshold float64, measured bool) report.Test {
	t := report.Test{What: what, Relation: relation, Threshold: threshold}
	if measured {
		t.Values = r.values(method, of)
	}
	return t
}

// attackedAt, certifiedAt and roundedAt take what the claims speak of, if the run measured it.
func (r *Result) attackedAt(method string) []float64 {
	i := slices.Index(r.Config.Epsilon, claimEpsilon)
	if i < 0 {
		return nil
	}
	return r.values(method, func(m Measured) float64 { return m.Attacked[i] })
}

func (r *Result) certifiedAt(method string) []float64 {
	i := slices.Index(r.Config.Certify, claimCertify)
	if i < 0 {
		return nil
	}
	return r.values(method, func(m Measured) float64 { return m.CertifiedBound[i] })
}

func (r *Result) roundedAt(method string) []float64 {
	i := slices.Index(r.Config.Bits, claimBits)
	if i < 0 {
		return nil
	}
	return r.values(method, func(m Measured) float64 { return m.Bits[i].Rounded })
}

func (r *Result) certified(method string, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: fmt.Sprintf("certified accuracy of %s at %g", method, claimCertify), Values: r.certifiedAt(method),
		Relation: relation, Threshold: threshold, Percent: true}
}

func (r *Result) accuracy(method, what string, relation report.Relation, threshold float64, of func(method string) []float64) report.Test {
	return report.Test{What: what + " of " + method, Values: of(method), Relation: relation, Threshold: threshold, Percent: true}
}

func (r *Result) difference(method, other, what string, relation report.Relation, threshold float64, of func(method string) []float64) report.Test {
	return r.accuracy(method+" minus "+other, what, relation, threshold, func(string) []float64 { return minus(of(method), of(other)) })
}

func (r *Result) gapDifference(method, other string) report.Test {
	gap := func(m Measured) float64 { return m.CleanTrain - m.Clean }
	return report.Test{What: fmt.Sprintf("generalization gap (training minus test accuracy) of %s minus %s", method, other),
		Values: minus(r.values(method, gap), r.values(other, gap)), Relation: report.Below, Percent: true}
}

// gapChange is the gap at the largest factor minus that without.
func (r *Result) gapChange(seed int64) float64 {
	var gaps []float64
	for _, g := range r.Gaps {
		if g.Seed == seed {
			gaps = append(gaps, g.Loss())
		}
	}
	return gaps[len(gaps)-1] - gaps[0]
}

// layerKendall compares the order of the layers by their bounds with that by what attacking them costs.
func layerKendall(m Measured) float64 {
	var bound, cost []float64
	for _, l := range m.Layers {
		bound, cost = append(bound, l.Bound), append(cost, m.Clean-l.Attacked)
	}
	return stat.Kendall(bound, cost, nil)
}

func minus(a, b []float64) (d []float64) {
	for i := range a {
		if i < len(b) {
			d = append(d, a[i]-b[i])
		}
	}
	return d
}
