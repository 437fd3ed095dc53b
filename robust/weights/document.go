package weights

import (
	"fmt"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Document is the run as a report that stands alone.
func (r *Result) Document() *report.Document {
	c := r.Config
	return &report.Document{
		Title: "Robustness and generalization under weight perturbation",
		Subtitle: "Yu-Lin Tsai, Chia-Yi Hsu, Chia-Mu Yu, Pin-Yu Chen: *Formalizing Generalization and Robustness of Neural Networks to Weight " +
			"Perturbations*, [arXiv 2103.02200](https://arxiv.org/abs/2103.02200)",
		Lead: report.Textf("Weights move: they are rounded, they drift, they are tampered with. The paper bounds what that can do to the "+
			"margins of a network, ties the same quantities to generalization, and trains with them. Here %d networks (%d ways to train, %d seeds) "+
			"are attacked, rounded and certified on %s.\n\nWe could read the paper's abstract and first page only: the formulas and settings below "+
			"are our operationalization of its claims.",
			len(r.Models), len(c.Methods()), len(c.Seeds), r.Data),
		Keys:   r.keys(),
		Claims: r.Claims(),
		Sections: []report.Section{
			{Title: "Attacks on weights", Parts: []report.Part{
				report.Text("One perturbation of all weights, each by at most the radius, is sought along gradients of the loss on all test " +
					"examples. Random perturbations of the same size are the control."),
				r.AttackFigure(), r.AccuracyTable(), r.GapUnderAttackTable(), r.GridFigure()}},
			{Title: "The margin bound", Parts: []report.Part{
				report.Text("With |Δ| ≤ ε_{k} on the weights of layer k, the margin between classes i and j of a dense network can fall by at most"),
				report.Formula("B_{ij} = ‖W^{L}_{i} − W^{L}_{j}‖_{1} · e_{L−1} + 2 ε_{L} u_{L−1},   e_{k} = ‖W^{k}‖_{∞} e_{k−1} + ε_{k} u_{k−1},   " +
					"e_{0} = 0,   u_{0} = ‖x‖_{1}"),
				report.Text("where u_{k}, by intervals, bounds the sum of the activations. A radius of 0 leaves a layer as it is, so that one " +
					"formula serves one layer, several and all."),
				r.TightnessFigure(), r.BoundTable(), r.CertifiedFigure(), r.CertifiedTable()}},
			{Title: "One layer at a time", Parts: []report.Part{r.LayerFigure(), r.LayerTable()}},
			{Title: "Rounding", Parts: []report.Part{
				report.Text("Whoever compresses a network rounds its weights: a perturbation whose size is known. Its certificate covers every way " +
					"of rounding."),
				r.BitsFigure(), r.BitsTable()}},
			{Title: "Generalization", Parts: []report.Part{
				report.Text("The Rademacher complexity on n examples of d values, of size at most b, of networks with ‖W^{k}‖_{∞} ≤ s_{k} is at most"),
				report.Formula("2^{L−1} (Π_{k} s_{k}) b sqrt(2 ln(2d) / n)"),
				report.Text("and grows with the norms alone. The term μ Σ_{k} ‖W^{k}‖_{∞} of the loss holds them down."),
				r.GapFigure(), r.GapTable()}},
			{Title: "Compared methods", Parts: []report.Part{r.MethodTable()}},
		},
		Settings: []report.Setting{
			{Name: "scale", Value: c.Scale}, {Name: "data", Value: fmt.Sprintf("%s, %d training and %d test examples", r.Data, c.Train, c.Test)},
			{Name: "network", Value: fmt.Sprintf("dense ReLU, hidden %v, no biases", c.Hidden)},
			{Name: "training", Value: fmt.Sprintf("Adam %g, batch %d, %d epochs of cross-entropy, then %d of the method's own loss; "+
				"radius %g in the loss", c.LearningRate, c.BatchSize, c.WarmUp, c.Epochs, c.EpsilonTrain)},
			{Name: "attack", Value: fmt.Sprintf("weight PGD, %d steps, %d runs", c.Steps, c.Restarts)}, {Name: "seeds", Value: fmt.Sprint(c.Seeds)},
		},
	}
}

// keys are the figures at the top of the report.
func (r *Result) keys() []report.Key {
	c, percent := r.Config, func(method string, n number) string { return study.Percent(r.values(method, n)) }
	broken, tried := 0, 0
	for _, m := range r.Models {
		broken, tried = broken+m.broken(), tried+m.tried()
	}
	return []report.Key{
		{Label: ce + ", weights attacked", Value: percent(ce, c.attacked(claimEpsilon)), Note: fmt.Sprintf("at radius %g", claimEpsilon)},
		{Label: ours + ", weights attacked", Value: percent(ours, c.attacked(claimEpsilon)), Note: "the paper's loss"},
		{Label: ours + ", certified", Value: percent(ours, c.certified(claimCertify)), Note: fmt.Sprintf("at radius %g", claimCertify)},
		{Label: "Bounds broken", Value: fmt.Sprint(broken), Note: fmt.Sprintf("of %d perturbations", tried)},
	}
}
