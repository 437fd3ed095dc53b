package vit

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2103.15670"

// What the controls ask: a network has learned if it is right about half of the images, of photographs about three times
// as many as by chance; an attack or a filter tells something about networks if it takes five points from one of them and
// leaves five to one of them.
const (
	learned      = 0.50
	learnedColor = 0.30
	something    = 0.05
)

// Claims judges the sentences of the paper's abstract by the numbers of the run. The abstract gives no number; those
// reported are read off a plot of the authors', whose attack and radius are not named. Thresholds are the direction, 0,
// where nothing else is said.
func (r *Result) Claims() []report.Claim {
	c := r.Config
	claims := []report.Claim{r.robustnessClaim(), r.lowLevelClaim(), r.convolutionClaim(), r.proportionClaim(), r.preTrainingClaim(),
		r.trainingClaim(), r.frequencyClaim()}
	if len(c.Imported) > 0 {
		for i := range claims {
			claims[i].Parts, claims[i].Reason = nil, "imported networks: how they were built and trained is not known here"
		}
	}
	return study.Source{Paper: paperID, Scale: c.Scale, Dataset: r.Data, N: c.Test, Seeds: c.Seeds}.Number(claims)
}

func (r *Result) robustnessClaim() report.Claim {
	return report.Claim{
		Sentence: "Under white-box and transfer attacks, vision transformers are more robust than convolutional networks.",
		Reported: "40 to 48 % of three ViTs against 6 to 21.5 % of eight convolutional networks (read off a plot, ± 1 point)",
		Parts: []report.ClaimPart{
			r.underPGD("white-box: more robust than a plain convolutional network", ViT, CNN, report.Above),
			r.underPGD("white-box: more robust than a residual network", ViT, ResNet, report.Above),
			{
				Statement: "transfer: more robust to a convolutional network's perturbations than it is to a transformer's",
				Test:      r.asymmetry(CNN),
				Controls:  append(r.learned(CNN, ViT), r.fools(CNN), r.fools(ViT)),
				Beside:    []report.Test{r.asymmetry(ResNet)},
			},
		},
	}
}

func (r *Result) lowLevelClaim() report.Claim {
	less := func(statement, other string) report.ClaimPart {
		test := r.minus(ViT, other, "R² of high frequencies (mean over blocks)", lowLevel, report.Below)
		read := r.most("R² of high frequencies (mean over blocks)", lowLevel, ViT, other)
		test.Percent, read.Percent = false, false
		return report.ClaimPart{Statement: statement, Test: test, Controls: append(r.learned(ViT, other), read)}
	}
	return report.Claim{
		Sentence: "Features of vision transformers hold less low-level information.",
		Parts: []report.ClaimPart{less("less than those of a plain convolutional network", CNN),
			less("less than those of a residual network", ResNet)},
	}
}

func (r *Result) convolutionClaim() report.Claim {
	raises := func(statement, model string) report.ClaimPart {
		return report.ClaimPart{Statement: statement, Test: r.minus(model, ViT, "clean accuracy", clean, report.Above),
			Controls: r.learned(model, ViT)}
	}
	return report.Claim{
		Sentence: "Convolutional or tokens-to-token blocks raise the clean accuracy of vision transformers and lower their robustness.",
		Reported: "ViT-B/16 with a ResNet before it: clean 84.0 % against 75.7 %, robust 28 % against 40 %; T2T-ViT-14 and -24: clean " +
			"80.1 and 82.2 %, robust 13 and 20.7 % (read off a plot, ± 1 point)",
		Parts: []report.ClaimPart{
			raises("convolutional blocks raise clean accuracy", StemViT),
			raises("tokens-to-token blocks raise clean accuracy", T2T),
			r.underPGD("convolutional blocks lower robustness", StemViT, ViT, report.Below),
			r.underPGD("tokens-to-token blocks lower robustness", T2T, ViT, report.Below),
		},
	}
}

func (r *Result) proportionClaim() report.Claim {
	return report.Claim{
		Sentence: "The larger the share of transformer blocks in a mixed model, the more robust it is; more or wider blocks of a pure " +
			"transformer do not guarantee it.",
		Reported: "40 % of ViT-B/16, 28 % of the same behind a ResNet; 48, 40 and 46.5 % of ViT-S, B and L (read off a plot, ± 1 point)",
		Parts: []report.ClaimPart{
			r.underPGD("half of the blocks are more robust than none", Half, NoTransformer, report.Above),
			r.underPGD("all blocks are more robust than half of them", ViT, Half, report.Above),
			r.underPGD("more blocks do not guarantee it", DeepViT, ViT, report.AtMost),
			r.underPGD("wider blocks do not guarantee it", WideViT, ViT, report.AtMost),
		},
	}
}

func (r *Result) preTrainingClaim() report.Claim {
	part := r.underPGD("no significant improvement (a proxy: pre-trained on rendered characters)", PretrainedViT, ViT, report.AtMost)
	part.Threshold, part.Ours = 0.05, "significantly: five points, about what another seed changes"
	part.Beside = []report.Test{r.minus(PretrainedViT, ViT, "clean accuracy", clean, "")}
	return report.Claim{
		Sentence: "Pre-training on larger data does not significantly improve robustness.",
		Reported: "6.5 and 8 % with it (ResNeXt-ssl, ResNet50-swsl), 13.3 % without (ResNeXt-50) (read off a plot, ± 1 point)",
		Parts:    []report.ClaimPart{part},
	}
}

func (r *Result) trainingClaim() report.Claim {
	radius := r.Config.TrainEpsilon
	gain := func(trained, natural string, relation report.Relation, threshold float64) report.Test {
		t := r.minus(trained, natural, "PGD accuracy at the training radius", r.pgd(radius), relation)
		t.Threshold = threshold
		return t
	}
	applicable := func(statement, model string, beside ...report.Test) report.ClaimPart {
		return report.ClaimPart{Statement: statement, Test: gain(model, ViT, report.Above, 0),
			Controls: append(r.learned(model, ViT), r.most("clean accuracy minus PGD accuracy at the training radius", lost(r.pgd(radius)), ViT)),
			Beside:   append([]report.Test{gain(model, ViT, report.AtLeast, 0.15)}, beside...)}
	}
	return report.Claim{
		Sentence: "Adversarial training is also applicable to vision transformers.",
		Parts: []report.ClaimPart{applicable("applicable: training with PGD makes one more robust", ViTPGD, gain(CNNPGD, CNN, "", 0)),
			applicable("applicable: TRADES makes one more robust", ViTTRADES)},
	}
}

func (r *Result) frequencyClaim() report.Claim {
	const what = "accuracy lost to high frequencies"
	less := func(statement, other string) report.ClaimPart {
		return report.ClaimPart{Statement: statement, Test: r.minus(ViT, other, what, r.lostToHigh(), report.Below),
			Controls: append(r.learned(ViT, other), r.most(what, r.lostToHigh(), ViT, other))}
	}
	names := r.natural()
	return report.Claim{
		Sentence: "Vision transformers are less sensitive to high-frequency perturbations, and what a network learns of low-level features " +
			"correlates with its robustness to them.",
		Parts: []report.ClaimPart{
			less("less sensitive than a plain convolutional network", CNN),
			less("less sensitive than a residual network", ResNet),
			{
				Statement: "the more a network learns of low-level features, the more it loses to high frequencies",
				Test:      r.correlation(names),
				Controls: append(r.learned(names...), r.spread(names, "R² of high frequencies (mean over blocks)", lowLevel),
					r.spread(names, what, r.lostToHigh())),
			},
		},
	}
}

// underPGD compares the accuracy of two models under PGD at the reference radius, which must be neither of all nor of none.
func (r *Result) underPGD(statement, a, b string, relation report.Relation) report.ClaimPart {
	radius := r.Config.Reference
	return report.ClaimPart{Statement: statement, Test: r.minus(a, b, "PGD accuracy", r.pgd(radius), relation),
		Controls: append(r.learned(a, b), r.most("clean accuracy minus PGD accuracy", lost(r.pgd(radius)), a, b),
			r.most("PGD accuracy", r.pgd(radius), a, b))}
}

// minus tests the difference of two models, seed by seed.
func (r *Result) minus(a, b, what string, of number, relation report.Relation) report.Test {
	return report.Test{What: fmt.Sprintf("%s, %s minus %s", what, a, b), Values: study.Minus(r.values(a, of), r.values(b, of)),
		Relation: relation, Percent: true}
}

// learned are controls: each model is right about more images than by chance.
func (r *Result) learned(models ...string) (controls []report.Test) {
	least := learned
	if r.Config.color() {
		least = learnedColor
	}
	for _, m := range models {
		controls = append(controls, report.Test{What: "clean accuracy of " + m, Values: r.values(m, clean), Relation: report.AtLeast,
			Threshold: least, Percent: true})
	}
	return controls
}

// most is a control: the largest number of the models is something.
func (r *Result) most(what string, of number, models ...string) report.Test {
	if len(models) > 1 {
		what += ", the most of any network compared"
	}
	return report.Test{What: what, Relation: report.AtLeast, Threshold: something, Percent: true,
		Values: r.eachSeed(models, func(all []float64) float64 { return slices.Max(all) }, of)}
}

// eachSeed makes one number a seed of numbers of several models, which lie one behind the other; none where a model lacks
// one of them.
func (r *Result) eachSeed(models []string, f func(all []float64) float64, of ...number) (values []float64) {
	for i := range r.Config.Seeds {
		var all []float64
		for _, n := range of {
			for _, m := range models {
				own := r.values(m, n)
				if len(own) != len(r.Config.Seeds) {
					return nil
				}
				all = append(all, own[i])
			}
		}
		values = append(values, f(all))
	}
	return values
}

// asymmetry tests that perturbations of a convolutional network carry over to the transformer less often than back.
func (r *Result) asymmetry(other string) report.Test {
	return report.Test{What: fmt.Sprintf("transfer success %s to %s minus %s to %s", other, ViT, ViT, other), Relation: report.Below,
		Percent: true, Values: study.Minus(r.transfer(other, ViT), r.transfer(ViT, other))}
}

// fools is a control: the perturbations fool at least the network that they were crafted on.
func (r *Result) fools(model string) report.Test {
	return report.Test{What: fmt.Sprintf("success of FGSM on %s itself", model), Values: r.transfer(model, model), Relation: report.AtLeast,
		Threshold: something, Percent: true}
}

// correlation is that of low-level information and of accuracy lost to high frequencies over models, three or more.
func (r *Result) correlation(models []string) report.Test {
	t := report.Test{What: "correlation of R² and accuracy lost to high frequencies, over natural networks", Relation: report.Above}
	if n := len(models); n > 2 {
		t.Values = r.eachSeed(models, func(all []float64) float64 { return stat.Correlation(all[:n], all[n:], nil) }, lowLevel, r.lostToHigh())
	}
	return t
}

// spread is a control: the models differ in a number.
func (r *Result) spread(models []string, what string, of number) report.Test {
	return report.Test{What: what + ", the largest of natural networks minus the smallest", Relation: report.AtLeast, Threshold: something,
		Values: r.eachSeed(models, func(all []float64) float64 { return slices.Max(all) - slices.Min(all) }, of)}
}
