package maml

import (
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/fewshot/meta"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2102.10454"

// Claims judges the sentences of the paper's abstract by the numbers of the run. Thresholds are the direction, 0, where nothing
// else is said; the paper's tables were not to be had.
func (r *Result) Claims() []report.Claim {
	claims := []report.Claim{
		{
			Sentence: "When: robustifying the meta-update alone is enough, and its robustness survives fine-tuning on clean images.",
			Reported: "20.5 % robust accuracy with a robust meta-update (radius 2/255, unfinished), 1.0 % of MAML (4/255):" +
				" logs of the authors' code, MiniImageNet",
			Parts: []report.ClaimPart{
				{Statement: "robustifying the meta-update alone is enough: doing both adds next to nothing",
					Test:     r.less(Out, Both, report.Above, -0.05),
					Ours:     "enough: robust fine-tuning on top of it would add less than five points of robust accuracy",
					Controls: append(r.real(), r.learned(Out), r.learned(Both)),
					Beside:   []report.Test{r.less(Out, In, report.AtLeast, 0.08), r.less(Both, MAML, report.Above, 0)}},
				{Statement: "its robustness survives fine-tuning on clean images",
					Test:     r.less(Out, MAML, report.Above, 0),
					Controls: append(r.real(), r.learned(Out)),
					Beside: []report.Test{r.less(Out, MAML, report.AtLeast, 0.15), r.test("robust accuracy of out", Out, robust, "", 0),
						{What: "accuracy of MAML minus that of out", Values: study.Minus(r.values(MAML, standard), r.values(Out, standard)),
							Relation: report.AtMost, Threshold: 0.18, Percent: true}}},
			},
		},
		{
			Sentence: "Neuron activation maps explain it: what excites neurons of the robust meta-model is structured, " +
				"and stays so after fine-tuning.",
			Parts: []report.ClaimPart{
				{Statement: "what excites neurons of the robust meta-model is structured, unlike MAML's",
					Test:     r.structured("before", func(m meta.Maps) [][]float64 { return m.Before }),
					Controls: []report.Test{r.learned(MAML), r.learned(Out)}},
				{Statement: "and stays so after fine-tuning",
					Test:     r.structured("after", func(m meta.Maps) [][]float64 { return m.After }),
					Controls: []report.Test{r.learned(MAML), r.learned(Out)},
					Beside: []report.Test{{What: "cosine of the maps of out before and after fine-tuning",
						Values: r.values(Out, maps(func(m meta.Maps) float64 { return m.Cosine })), Relation: report.AtLeast, Threshold: 0.5}}},
			},
			N: r.Config.Neurons,
		},
		{
			Sentence: "How: the regularizer takes unlabeled data, fast attack generation, and light fine-tuning.",
			Parts: []report.ClaimPart{
				r.takes("takes unlabeled data: robust with them", Unlabeled, r.less(Unlabeled, Trades, report.AtLeast, -0.03),
					r.less(More, Trades, report.AtLeast, -0.03), r.less(Trades, MAML, report.AtLeast, 0.15)),
				r.takes("takes fast attack generation: robust with one step", Out, r.less(Out, Slow, report.AtLeast, -0.05)),
				r.takes("takes light fine-tuning: robust where the last layer alone is tuned", ANIL, r.less(ANIL, MAML, report.AtLeast, 0.15)),
			},
		},
		{
			Sentence: "An auxiliary contrastive task improves the robustness of meta-learning.",
			Parts: []report.ClaimPart{{Statement: "more robust with the contrastive task", Test: r.less(CL, Trades, report.Above, 0),
				Controls: []report.Test{r.attacked(), r.learned(Trades), r.learned(CL)}}},
		},
	}
	c := r.Config
	return study.Source{Paper: paperID, Scale: c.Scale, Dataset: c.Dataset, N: c.TestTasks, Seeds: c.Seeds}.Number(claims)
}

// test is of one number of a method.
func (r *Result) test(what, method string, of number, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: what, Values: r.values(method, of), Relation: relation, Threshold: threshold, Percent: true}
}

// less is about the difference between two methods' robust accuracies after clean fine-tuning.
func (r *Result) less(method, other string, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: fmt.Sprintf("robust accuracy of %s minus that of %s", method, other),
		Values: study.Minus(r.values(method, robust), r.values(other, robust)), Relation: relation, Threshold: threshold, Percent: true}
}

// takes is a statement that a way to train makes robust, with what is told beside it.
func (r *Result) takes(statement, method string, beside ...report.Test) report.ClaimPart {
	return report.ClaimPart{Statement: statement, Test: r.less(method, MAML, report.Above, 0),
		Controls: []report.Test{r.attacked(), r.learned(MAML), r.learned(method)}, Beside: beside}
}

// learned is a control: a network that guesses shows nothing.
func (r *Result) learned(method string) report.Test {
	return r.test(fmt.Sprintf("accuracy of %s, which guessing has %.0f%% of", method, 100/float64(r.Config.Ways)), method, standard,
		report.AtLeast, 2/float64(r.Config.Ways))
}

// attacked is a control: an attack that takes nothing from a network that was not made robust is idle.
func (r *Result) attacked() report.Test {
	return r.test("accuracy that the attack takes from MAML", MAML, taken, report.AtLeast, 0.10)
}

// real are controls of robustness: the attack works, moves each image as far as it may, and does not fail for want of gradients.
func (r *Result) real() []report.Test {
	return []report.Test{r.attacked(), r.learned(MAML),
		r.test("share of its radius by which the attack on out moved the image that it moved least", Out, shift, report.AtLeast, 0.99),
		r.test("robust accuracy of out that 50 steps and three restarts take away", Out,
			masking(func(m Masking) float64 { return m.Usual - m.Strong }), report.AtMost, 0.08),
		r.test("robust accuracy of out under one step minus that under PGD", Out,
			masking(func(m Masking) float64 { return m.Fast - m.Usual }), report.AtLeast, -0.02)}
}

// structured compares how much of what excites neurons is of low frequencies: of out, before or after it is fine-tuned, and of
// MAML before, as the paper's pictures do.
func (r *Result) structured(when string, of func(meta.Maps) [][]float64) report.Test {
	low := func(of func(meta.Maps) [][]float64) number {
		return maps(func(m meta.Maps) float64 { return stat.Mean(r.lowFrequencies(of(m)), nil) })
	}
	before := func(m meta.Maps) [][]float64 { return m.Before }
	return report.Test{What: fmt.Sprintf("share of low frequencies, out %s fine-tuning minus MAML", when),
		Values: study.Minus(r.values(Out, low(of)), r.values(MAML, low(before))), Relation: report.Above, Percent: true}
}

// lowFrequencies is the share of low frequencies in each map.
func (r *Result) lowFrequencies(maps [][]float64) (shares []float64) {
	for _, m := range maps {
		shares = append(shares, meta.LowFrequencies(m, r.Shape[0], r.Shape[1]))
	}
	return shares
}
