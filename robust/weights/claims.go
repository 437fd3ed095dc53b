package weights

import (
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
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

// The methods that the claims speak of.
var ours, ce = Name(claimLambda, 0), Name(0, 0)

// Claims judges the sentences of the paper's abstract by the numbers of the run. The abstract gives no number, and the
// paper's tables were not to be had: thresholds are the direction, 0. Stricter ones, those of the specification of this
// replication, stand beside.
func (r *Result) Claims() []report.Claim {
	c := r.Config
	learned := []report.Test{r.of(ours, clean, report.AtLeast, 0.80), r.of(ce, clean, report.AtLeast, 0.80)}
	attacked, certified, rounded, tight := c.attacked(claimEpsilon), c.certified(claimCertify), c.rounded(claimBits), c.tightness(claimCertify)
	claims := []report.Claim{
		{
			Sentence: "A formal analysis bounds the pairwise class margins of feed-forward networks with non-negative monotone activations " +
				"under norm-bounded weight perturbations.",
			Parts: []report.ClaimPart{{
				Statement: "bounds the margins under weight perturbations (a theorem: only a mistake in it or in our code could contradict it)",
				Test: r.broken("perturbed examples, random, adversarial and by rounding, that break a bound, over all networks",
					func(m Measured) int { return m.broken() + m.misrounded() }),
				Controls: []report.Test{r.of(ce, fall, report.Above, 0)},
				Beside:   []report.Test{r.of(ours, tight, report.AtLeast, 0.1), r.of(ce, tight, "", 0)},
			}},
			N: c.VerifyImages,
		},
		{
			Sentence: "The same analysis gives a Rademacher complexity that tells about generalization.",
			Parts: []report.ClaimPart{{
				Statement: "a complexity that tells about generalization",
				Test:      r.overGaps("Kendall's τ of the complexity bound and the gap in cross-entropy, over the factors μ", Kendall, report.Above, 0),
				Controls: []report.Test{
					r.overGaps("training accuracy at μ=0, on noisy labels", func(g []GapPoint) float64 { return g[0].TrainAccuracy }, report.AtLeast, 0.6),
					r.overGaps("largest minus smallest gap in cross-entropy", rangeOfGaps, report.AtLeast, 0.1)},
				Beside: []report.Test{r.overGaps("the same τ", Kendall, report.AtLeast, 0.8),
					r.overGaps(fmt.Sprintf("gap in cross-entropy at μ=%g minus that at μ=0", c.GapMus[len(c.GapMus)-1]),
						func(g []GapPoint) float64 { return g[len(g)-1].Loss() - g[0].Loss() }, report.Below, 0)},
			}},
			N: c.GapTest,
		},
		{
			Sentence: "A theory-driven loss trains networks that generalize and are robust against weight perturbations.",
			Parts: []report.ClaimPart{
				{
					Statement: "networks that generalize", Test: r.minus(ours, ce, c.gap(0), report.Below, 0), Controls: learned,
					Beside: []report.Test{r.of(ours, clean, report.AtLeast, 0.91), r.minus(ours, ce, clean, "", 0)},
				},
				{
					Statement: "and are robust against weight perturbations", Test: r.minus(ours, ce, attacked, report.Above, 0),
					Controls: slices.Concat(learned, []report.Test{r.of(ce, lostTo("weight PGD", attacked), report.AtLeast, 0.05)}),
					Beside: []report.Test{r.minus(ours, ce, attacked, report.AtLeast, 0.15), r.of(ours, attacked, report.AtLeast, 0.65),
						r.of(ours, certified, report.AtLeast, 0.85), r.of(ce, certified, report.AtMost, 0.20), r.minus(ours, ATw, attacked, "", 0)},
				},
			},
		},
		{
			Sentence: "Experiments validate the analysis.",
			Parts: []report.ClaimPart{
				{Statement: "with cross-entropy, attacks cost more on the layers where the bound allows more",
					Test: r.of(ce, layerOrder, report.Above, 0), Controls: []report.Test{learned[1], r.of(ce, layerCost, report.AtLeast, 0.05)},
					Beside: []report.Test{r.of(ce, layerOrder, report.AtLeast, 0.8)}},
				{Statement: "and so they do with the loss", Test: r.of(ours, layerOrder, report.Above, 0),
					Controls: []report.Test{learned[0], r.of(ours, layerCost, report.AtLeast, 0.05)},
					Beside:   []report.Test{r.of(ours, layerOrder, report.AtLeast, 0.8)}},
			},
		},
		{
			Sentence: "Sensitivity to weight perturbation matters for model compression.",
			Parts: []report.ClaimPart{{
				Statement: "matters for compression: less sensitive networks keep more accuracy when their weights are rounded",
				Test:      r.minus(ours, ce, rounded, report.Above, 0),
				Controls:  slices.Concat(learned, []report.Test{r.of(ce, lostTo("rounding", rounded), report.AtLeast, 0.05)}),
				Beside: []report.Test{r.minus(ours, ce, lostTo("rounding", rounded), "", 0),
					r.broken("examples with a certificate that rounding misclassifies, over all networks", Measured.misrounded)},
			}},
		},
	}
	return study.Source{Paper: paperID, Scale: c.Scale, Dataset: r.Data, N: c.Test, Seeds: c.Seeds}.Number(claims)
}

// overGaps tests a number of each seed's networks of the experiment on generalization; it takes two at least.
func (r *Result) overGaps(what string, of func([]GapPoint) float64, relation report.Relation, threshold float64) report.Test {
	values := study.Values(r.Config.Seeds, func(seed int64) (float64, bool) {
		points := study.Where(r.Gaps, func(g GapPoint) bool { return g.Seed == seed })
		if len(points) < 2 {
			return 0, false
		}
		return of(points), true
	})
	return report.Test{What: what, Values: values, Relation: relation, Threshold: threshold}
}

func rangeOfGaps(points []GapPoint) float64 {
	var gaps []float64
	for _, g := range points {
		gaps = append(gaps, g.Loss())
	}
	return slices.Max(gaps) - slices.Min(gaps)
}

// broken sums a count over all networks of each seed; none where a seed has no network whose bounds were attacked.
func (r *Result) broken(what string, of func(Measured) int) report.Test {
	return report.Test{What: what, Relation: report.Zero, Values: study.Values(r.Config.Seeds, func(seed int64) (float64, bool) {
		broken, tried := 0, 0
		for _, m := range study.Where(r.Models, func(m Measured) bool { return m.Seed == seed }) {
			broken, tried = broken+of(m), tried+m.tried()
		}
		return float64(broken), tried > 0
	})}
}
