package maml

import (
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/fewshot/meta"
	"github.com/trustbook/trustbook/report"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2102.10454"

func robust(m Measured) float64   { return m.Tested.RA }
func standard(m Measured) float64 { return m.Tested.SA }

// Claims judges the sentences of the paper's abstract by the numbers of the run. Thresholds come from the specification of this
// replication, which set them by runs on other seeds; the paper's tables were not to be had.
func (r *Result) Claims() []report.Claim {
	c := r.Config
	of := func(method, what string, number func(m Measured) float64, relation report.Relation, threshold float64) report.Test {
		return report.Test{What: what + " of " + method, Values: r.values(method, number), Relation: relation, Threshold: threshold, Percent: true}
	}
	less := func(method, other, what string, number func(m Measured) float64, relation report.Relation, threshold float64) report.Test {
		return report.Test{What: what + " of " + method + " minus that of " + other, Values: minus(r.values(method, number), r.values(other, number)),
			Relation: relation, Threshold: threshold, Percent: true}
	}
	maps := func(what string, number func(m *meta.Maps) float64, methods ...string) []float64 {
		var lists [][]float64
		for _, method := range methods {
			lists = append(lists, r.values(method, func(m Measured) float64 {
				if m.Maps == nil {
					return 0
				}
				return number(m.Maps)
			}))
		}
		if len(lists) == 1 {
			return lists[0]
		}
		return minus(lists[0], lists[1])
	}
	claims := []report.Claim{
		{
			Sentence: "When: robustifying the meta-update alone is enough, and its robustness survives fine-tuning on clean images.",
			What:     "robust accuracy after clean fine-tuning, with a robust meta-update minus without",
			Parts: []report.ClaimPart{
				{Statement: "robust with a robust meta-update", Test: less(Out, MAML, "robust accuracy", robust, report.AtLeast, 0.15)},
				{Statement: "no less robust than with both updates robust",
					Test: less(Out, Both, "robust accuracy", robust, report.AtLeast, -0.08)},
				{Statement: "more robust than with robust fine-tuning alone",
					Test: less(Out, In, "robust accuracy", robust, report.AtLeast, 0.08)},
				{Statement: "clean accuracy is kept", Test: less(MAML, Out, "accuracy", standard, report.AtMost, 0.18)},
				{Statement: "MAML has learned", Test: of(MAML, "accuracy", standard, report.AtLeast, 0.60)},
				// Not for want of gradients: what follows would show it.
				{Statement: "a stronger attack takes little more", Test: report.Test{
					What:   "robust accuracy of out that 50 steps and three restarts take away",
					Values: r.masking(func(m *Masking) float64 { return m.Usual - m.Strong }), Relation: report.AtMost, Threshold: 0.08, Percent: true}},
				{Statement: "PGD takes more than one step", Test: report.Test{
					What:   "robust accuracy of out under one step minus that under PGD",
					Values: r.masking(func(m *Masking) float64 { return m.Fast - m.Usual }), Relation: report.AtLeast, Threshold: -0.02, Percent: true}},
				{Statement: "no attack is idle", Test: report.Test{
					What: "methods whose attack gained accuracy, or left part of its radius on some image", Values: r.idle(), Relation: report.Zero}},
			},
		},
		{
			Sentence: "Neuron activation maps explain it: what excites neurons of the robust meta-model is structured, and stays so after fine-tuning.",
			What:     "share of low frequencies in what excites neurons, with a robust meta-update minus without",
			Parts: []report.ClaimPart{
				{Statement: "what excites neurons is structured", Test: report.Test{
					What:   "share of low frequencies, out minus MAML",
					Values: maps("low", func(m *meta.Maps) float64 { return m.LowFrequency }, Out, MAML), Relation: report.Above, Percent: true}},
				{Statement: "it stays so after fine-tuning", Test: report.Test{
					What:   "cosine of the maps of out before and after fine-tuning",
					Values: maps("cosine", func(m *meta.Maps) float64 { return m.Cosine }, Out), Relation: report.AtLeast, Threshold: 0.5}},
			},
			N: c.Neurons,
		},
		{
			Sentence: "How: the regularizer takes unlabeled data, fast attack generation, and light fine-tuning.",
			What:     "robust accuracy with fast attacks in training (FGSM) minus that with slow ones (PGD-7)",
			Parts: []report.ClaimPart{
				{Statement: "fast attack generation does", Test: less(Out, Slow, "robust accuracy", robust, report.AtLeast, -0.05)},
				{Statement: "TRADES makes robust", Test: less(Trades, MAML, "robust accuracy", robust, report.AtLeast, 0.15)},
				{Statement: "unlabeled data do", Test: less(Unlabeled, Trades, "robust accuracy", robust, report.AtLeast, -0.03)},
				{Statement: "more unlabeled data do", Test: less(More, Trades, "robust accuracy", robust, report.AtLeast, -0.03)},
				{Statement: "light fine-tuning does", Test: less(ANIL, MAML, "robust accuracy", robust, report.AtLeast, 0.15)},
			},
		},
		{
			Sentence: "An auxiliary contrastive task improves the robustness of meta-learning.",
			What:     "robust accuracy with the contrastive task minus without",
			Parts: []report.ClaimPart{{Statement: "more robust with the contrastive task",
				Test: less(CL, Trades, "robust accuracy", robust, report.Above, 0)}},
		},
	}
	for i := range claims {
		claim := &claims[i]
		claim.ID, claim.ComparedWith = fmt.Sprintf("%s/%d", paperID, i+1), "the abstract's words; it gives no number"
		claim.Scale, claim.Dataset, claim.Seeds = c.Scale, c.Dataset, c.Seeds
		if claim.N == 0 {
			claim.N = c.TestTasks
		}
		switch {
		case c.Scale == "smoke":
			claim.Parts, claim.Reason = nil, "smoke scale: it proves that everything runs, its numbers mean nothing"
		case slices.ContainsFunc(claim.Parts, func(p report.ClaimPart) bool { return len(p.Values) == 0 }):
			claim.Parts, claim.Reason = nil, "the run left out a method that the claim needs"
		}
	}
	return claims
}

// idle counts, for each seed, the methods on which the attack did not do its work.
func (r *Result) idle() []float64 {
	counts := make([]float64, len(r.Config.Seeds))
	for _, m := range r.Models {
		if i := slices.Index(r.Config.Seeds, m.Seed); i >= 0 && (m.Tested.RA > m.Tested.SA || m.Tested.LeastShift < 0.99) {
			counts[i]++
		}
	}
	return counts
}

func minus(a, b []float64) (d []float64) {
	for i := range a {
		if i < len(b) {
			d = append(d, a[i]-b[i])
		}
	}
	return d
}
