package vit

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2103.15670"

// Claims judges the sentences of the paper's abstract by the numbers of the run.
func (r *Result) Claims() []report.Claim {
	clean := func(m Measured) float64 { return m.Clean }
	claims := []report.Claim{
		{
			Sentence: "Under white-box and transfer attacks, vision transformers are more robust than convolutional networks.",
			What:     "PGD accuracy of ViT minus CNN",
			Parts: []report.ClaimPart{
				{Statement: "more robust than CNN under PGD", Test: r.minus(ViT, CNN, "PGD accuracy", r.pgd, report.Above, 0)},
				{Statement: "more robust than ResNet under PGD", Test: r.minus(ViT, ResNet, "PGD accuracy", r.pgd, report.Above, 0)},
				{Statement: "more robust to transfer", Test: r.asymmetry(CNN, ViT)},
			},
		},
		{
			Sentence: "Features of vision transformers hold less low-level information.",
			What:     "R² of the image's high frequencies from the blocks' outputs, ViT minus CNN",
			Parts: []report.ClaimPart{
				{Statement: "less than CNN",
					Test: plain(r.minus(ViT, CNN, "R² of high frequencies (mean over blocks)", Measured.lowLevel, report.Below, 0))},
				{Statement: "less than ResNet",
					Test: plain(r.minus(ViT, ResNet, "R² of high frequencies (mean over blocks)", Measured.lowLevel, report.Below, 0))},
			},
		},
		{
			Sentence: "Convolutional or tokens-to-token blocks raise the clean accuracy of vision transformers and lower their robustness.",
			What:     "PGD accuracy with a convolutional stem minus without",
			Parts: []report.ClaimPart{
				{Statement: "a convolutional stem lowers robustness", Test: r.minus(StemViT, ViT, "PGD accuracy", r.pgd, report.Below, 0)},
				{Statement: "tokens-to-token lowers robustness", Test: r.minus(T2T, ViT, "PGD accuracy", r.pgd, report.Below, 0)},
				{Statement: "a convolutional stem raises clean accuracy",
					Test: r.minus(StemViT, ViT, "clean accuracy", clean, report.Above, 0)},
				{Statement: "tokens-to-token raises clean accuracy", Test: r.minus(T2T, ViT, "clean accuracy", clean, report.Above, 0)},
			},
		},
		{
			Sentence: "The larger the share of transformer blocks in a mixed model, the more robust it is; more or wider blocks of a pure transformer do not guarantee it.",
			What:     "PGD accuracy with transformer blocks only minus with half of them",
			Parts: []report.ClaimPart{
				{Statement: "all blocks are more robust than half of them",
					Test: r.minus(ViT, Half, "PGD accuracy", r.pgd, report.Above, 0)},
				{Statement: "half of the blocks are more robust than none",
					Test: r.minus(Half, NoTransformer, "PGD accuracy", r.pgd, report.Above, 0)},
				{Statement: "more or wider blocks do not guarantee it", Test: r.notBoth()},
			},
		},
		{
			Sentence: "Pre-training on larger data does not significantly improve robustness.",
			What:     "PGD accuracy of ViT with pre-training minus without (a proxy: pre-trained on rendered characters)",
			Parts: []report.ClaimPart{{Statement: "no significant improvement",
				Test: r.minus(PretrainedViT, ViT, "PGD accuracy", r.pgd, report.AtMost, 0.05)}},
		},
		{
			Sentence: "Adversarial training is also applicable to vision transformers.",
			What:     "PGD accuracy at the training radius, adversarially trained minus natural ViT",
			Parts: []report.ClaimPart{
				{Statement: "PGD training works",
					Test: r.minus(ViTPGD, ViT, "PGD accuracy at the training radius", r.pgdTrained, report.AtLeast, 0.15)},
				{Statement: "TRADES works",
					Test: r.minus(ViTTRADES, ViT, "PGD accuracy at the training radius", r.pgdTrained, report.AtLeast, 0.15)},
			},
		},
		{
			Sentence: "Vision transformers are less sensitive to high-frequency perturbations, and what a network learns of low-level features correlates with its robustness to them.",
			What:     "accuracy lost to the high frequencies of PGD, ViT minus CNN",
			Parts: []report.ClaimPart{
				{Statement: "less sensitive to high frequencies",
					Test: r.minus(ViT, CNN, "accuracy lost to high frequencies", r.highLoss, report.Below, 0)},
				{Statement: "low-level features go with sensitivity to high frequencies", Test: r.correlation()},
			},
		},
	}
	for i := range claims {
		c := &claims[i]
		c.ID, c.ComparedWith = fmt.Sprintf("%s/%d", paperID, i+1), "the abstract's words; it gives no number"
		c.Scale, c.Dataset, c.N, c.Seeds = r.Config.Scale, r.Data, r.Config.Test, r.Config.Seeds
		switch {
		case len(r.Config.Imported) > 0:
			c.Parts, c.Reason = nil, "imported networks: how they were built and trained is not known here"
		case r.Config.Scale == "smoke":
			c.Parts, c.Reason = nil, "smoke scale: it proves that everything runs, its numbers mean nothing"
		case slices.ContainsFunc(c.Parts, func(p report.ClaimPart) bool { return len(p.Values) == 0 }):
			c.Parts, c.Reason = nil, "the run left out a model that the claim needs"
		}
	}
	return claims
}

// pgd is the accuracy under PGD at the reference radius.
func (r *Result) pgd(m Measured) float64 {
	return m.PGD[slices.Index(r.Config.Epsilon, r.Config.Reference)]
}

// pgdTrained is the accuracy under PGD at the radius of adversarial training.
func (r *Result) pgdTrained(m Measured) float64 {
	return m.PGD[slices.Index(r.Config.Epsilon, r.Config.TrainEpsilon)]
}

// lowLevel is the mean R² over the blocks.
func (m Measured) lowLevel() float64 {
	sum := 0.0
	for _, b := range m.Blocks {
		sum += b.R2
	}
	return sum / float64(max(1, len(m.Blocks)))
}

// highLoss is the accuracy that PGD takes with its high frequencies alone.
func (r *Result) highLoss(m Measured) float64 {
	for _, f := range m.Filtered {
		if f.Mask == highMask && f.Size == r.middleSize() {
			return m.Clean - f.Accuracy
		}
	}
	return 0
}

// values are what a function gives for each seed's network of a model; nil if the run left the model out.
func (r *Result) values(model string, of func(Measured) float64) (values []float64) {
	for _, m := range r.For(model) {
		values = append(values, of(m))
	}
	return values
}

// minus tests the difference of two models, seed by seed.
func (r *Result) minus(a, b, what string, of func(Measured) float64, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: fmt.Sprintf("%s, %s minus %s", what, a, b), Values: minus(r.values(a, of), r.values(b, of)),
		Relation: relation, Threshold: threshold, Percent: true}
}

func plain(t report.Test) report.Test {
	t.Percent = false
	return t
}

// asymmetry tests that perturbations of a carry over to b less often than those of b to a.
func (r *Result) asymmetry(a, b string) report.Test {
	t := report.Test{What: fmt.Sprintf("transfer success %s to %s minus %s to %s", a, b, b, a), Relation: report.Below, Percent: true}
	for _, x := range r.Transfers {
		if i, j := slices.Index(x.Models, a), slices.Index(x.Models, b); i >= 0 && j >= 0 {
			t.Values = append(t.Values, x.Both[i][j]-x.Both[j][i])
		}
	}
	return t
}

// notBoth tests that at least one of more and wider blocks fails to help by five points.
func (r *Result) notBoth() report.Test {
	t := report.Test{What: fmt.Sprintf("PGD accuracy, the lesser of %s and %s, minus %s", DeepViT, WideViT, ViT), Relation: report.AtMost, Threshold: 0.05, Percent: true}
	deep, wide := minus(r.values(DeepViT, r.pgd), r.values(ViT, r.pgd)), minus(r.values(WideViT, r.pgd), r.values(ViT, r.pgd))
	for i := range min(len(deep), len(wide)) {
		t.Values = append(t.Values, min(deep[i], wide[i]))
	}
	return t
}

// correlation tests that, over the naturally trained networks of a seed, more low-level information goes with more
// accuracy lost to high frequencies.
func (r *Result) correlation() report.Test {
	t := report.Test{What: "correlation of R² and accuracy lost to high frequencies, over natural networks", Relation: report.Above}
	for _, seed := range r.Config.Seeds {
		var x, y []float64
		for _, m := range r.Networks {
			if models, err := modelsNamed([]string{m.Model}); err == nil && m.Seed == seed && models[0].natural() && len(m.Blocks) > 0 {
				x, y = append(x, m.lowLevel()), append(y, r.highLoss(m))
			}
		}
		if len(x) > 2 {
			t.Values = append(t.Values, stat.Correlation(x, y, nil))
		}
	}
	return t
}

func minus(a, b []float64) (d []float64) {
	for i := range min(len(a), len(b)) {
		d = append(d, a[i]-b[i])
	}
	return d
}
