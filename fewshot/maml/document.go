package maml

import (
	"fmt"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Document is the run as a report that stands alone.
func (r *Result) Document() *report.Document {
	c := r.Config
	return &report.Document{
		Title: "Robust meta-learning: when, and how",
		Subtitle: "Ren Wang, Kaidi Xu, Sijia Liu, Pin-Yu Chen, Tsui-Wei Weng, Chuang Gan, Meng Wang: *On Fast Adversarial Robustness " +
			"Adaptation in Model-Agnostic Meta-Learning*, ICLR 2021, [arXiv 2102.10454](https://arxiv.org/abs/2102.10454)",
		Lead: report.Textf("A meta-model learns a new task from a handful of images. Where must it meet adversarial examples so that the "+
			"*fine-tuned* network resists them: in fine-tuning, in the meta-update, or in both? Here %d methods are meta-trained with %d seeds "+
			"on %s, and attacked after fine-tuning.", len(c.Methods), len(c.Seeds), r.Data),
		Keys:   r.keys(),
		Claims: r.Claims(),
		Sections: []report.Section{
			{Title: "When and how", Parts: []report.Part{
				report.Text("Each task i is learned by gradient descent from the meta-parameters θ; these are trained so that it goes well:"),
				report.Formula("θ_{i} ← θ_{i} − α ∇ [ℓ(θ_{i}; support) + γ_{in} R(θ_{i}; support)],   " +
					"min_{θ} mean_{i} ℓ(θ_{i}; query) + γ_{out} R(θ_{i}; query)"),
				report.Text("R is the loss on adversarial images, or their distance from clean predictions (TRADES)."),
				r.AccuracyFigure(), r.AccuracyTable(), r.SweepFigure(), r.MaskingTable()}},
			{Title: "What neurons see", Parts: []report.Part{r.MapTable()}},
			{Title: "Training", Parts: []report.Part{r.TrainingFigure(), r.SeedTable()}},
		},
		Settings: []report.Setting{
			{Name: "scale", Value: c.Scale}, {Name: "data", Value: r.Data},
			{Name: "tasks", Value: fmt.Sprintf("%d-way, %d-shot, %d query images of each class in training, %d in testing",
				c.Ways, c.Shots, c.Queries, c.TestQueries)},
			{Name: "network", Value: fmt.Sprintf("four blocks of %d filters, batch normalization with each batch's own statistics", c.Filters)},
			{Name: "training", Value: fmt.Sprintf("%d updates of %d tasks, Adam %g; fine-tuning %d steps of %g, in testing %d",
				c.Updates, c.Batch, c.LR, c.InnerSteps, c.InnerLR, c.TestSteps)},
			{Name: "attack", Value: fmt.Sprintf("FGSM from a random start in training, PGD-%d in testing, radius %.4g", c.AttackSteps, c.Epsilon)},
			{Name: "seeds", Value: fmt.Sprint(c.Seeds)},
		},
	}
}

// keys are the figures at the top of the report.
func (r *Result) keys() (keys []report.Key) {
	for _, name := range []string{MAML, In, Out, Both} {
		keys = append(keys, report.Key{Label: name, Value: study.Percent(r.values(name, robust)), Note: "robust accuracy"})
	}
	return keys
}
