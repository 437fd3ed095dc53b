package joint

import (
	"fmt"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/certify"
	"github.com/trustbook/trustbook/study"
)

// Document is the run as a report that stands alone.
func (r *Result) Document() *report.Document {
	c := r.Config
	d := &report.Document{
		Title: "Robustness of inputs and weights together",
		Subtitle: "Yu-Lin Tsai, Chia-Yi Hsu, Chia-Mu Yu, Pin-Yu Chen: *Non-Singular Adversarial Robustness of Neural Networks*, " +
			"ICASSP 2021, [arXiv 2102.11935](https://arxiv.org/abs/2102.11935)",
		Lead: report.Textf("A network can be attacked through its inputs, through its weights, or through both at once. The paper argues that "+
			"robustness to one of them alone misleads, bounds what both together can do, and trains with that bound. Here %d networks "+
			"(%d ways to train, %d seeds) are attacked and certified on %s.\n\nWe could read the paper's abstract and introduction only: the "+
			"formulas and settings below are our operationalization of its claims.", len(r.Models), len(c.Methods), len(c.Seeds), r.Data),
		Keys:   r.keys(),
		Claims: r.Claims(),
		Sections: []report.Section{
			{Title: "One attack or both", Parts: []report.Part{
				report.Text("Each network meets three adversaries: one that moves every pixel by up to εx, one that moves every weight by up to εw, " +
					"and one that does both at once. The weight perturbation is one for the whole test set, the input perturbation one for each image."),
				r.AttackFigure(), r.AccuracyTable(), r.GridFigure()}},
			{Title: "The bound", Parts: []report.Part{
				report.Text("With |ξ| ≤ εx on inputs and |Δ| ≤ ε_{k} on the weights of layer k, the margin " +
					"between classes i and j of a dense ReLU network can fall by at most"),
				report.Formula("B_{ij} = ‖W^{L}_{i} − W^{L}_{j}‖_{1} · e_{L−1} + 2 ε_{L} u_{L−1},   " +
					"e_{k} = ‖W^{k}‖_{∞} e_{k−1} + ε_{k} u_{k−1},   e_{0} = εx"),
				report.Text("where u_{k} bounds the sum of activations. The bound of both is at least the sum of the bounds of each: " +
					"their interaction is what two " +
					"singular analyses miss. Cross-entropy under attack is at most ln Σ_{j} exp(B_{yj} − m_{j}), with m_{j} the clean margins."),
				r.BoundFigure(), r.BoundTable(), r.TermFigure()}},
			{Title: "Training with the bound", Parts: []report.Part{
				report.Text("Reg adds the batch mean of the worst class's bound, one term for inputs and one for weights, to the loss. " +
					"Networks trained so are the only ones with a certificate. " +
					"Adversarial weight perturbation (AWP) and adversarial training on both (AT-joint) resist more " +
					"where they are attacked, but nothing is certified; the paper does not claim otherwise."),
				r.CertifiedFigure(), r.MethodTable()}},
			{Title: "Every number", Parts: []report.Part{r.GridTable()}},
		},
		Settings: []report.Setting{
			{Name: "scale", Value: c.Scale}, {Name: "data", Value: fmt.Sprintf("%s, %d training and %d test examples", r.Data, c.Train, c.Test)},
			{Name: "network", Value: fmt.Sprintf("dense ReLU, hidden %v, no biases", c.Hidden)},
			{Name: "training", Value: fmt.Sprintf(
				"Adam %g, batch %d, %d epochs of cross-entropy, then %d of the method's own loss", c.LearningRate, c.BatchSize, c.WarmUp, c.Epochs)},
			{Name: "attack", Value: fmt.Sprintf("joint PGD, %d steps, %d runs", c.Steps, c.Restarts)}, {Name: "seeds", Value: fmt.Sprint(c.Seeds)},
		},
	}
	return d
}

// keys are the figures at the top of the report.
func (r *Result) keys() []report.Key {
	broken, tried := 0, 0
	for _, m := range r.Models {
		b, n := certify.Tally(m.Checks)
		broken, tried = broken+b, tried+n
	}
	return []report.Key{
		{Label: "AT-x, inputs attacked", Value: study.Percent(r.at(ATx, 0.1, 0)), Note: "accuracy at εx 0.1"},
		{Label: "AT-x, weights attacked", Value: study.Percent(r.at(ATx, 0, judgedWeight)), Note: fmt.Sprintf("accuracy at εw %g", judgedWeight)},
		{Label: "Reg, certified", Value: study.Percent(r.certifiedOf(Reg)),
			Note: fmt.Sprintf("at (%g, %g)", r.Config.CertifyInput, r.Config.CertifyWeight)},
		{Label: "Bounds broken", Value: fmt.Sprint(broken), Note: fmt.Sprintf("of %d perturbations", tried)},
	}
}
