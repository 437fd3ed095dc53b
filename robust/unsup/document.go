package unsup

import (
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Document is the run as a report that stands alone.
func (r *Result) Document() *report.Document {
	c := r.Config
	return &report.Document{
		Title: "Adversarial examples without labels",
		Subtitle: "*Adversarial Examples can be Effective Data Augmentation for Unsupervised Machine Learning*, Hsu et al., AAAI 2022, " +
			"[arXiv 2103.01895](https://arxiv.org/abs/2103.01895)",
		Lead: report.Textf("Without labels nothing is misclassified. The paper calls an example adversarial that a network treats no worse "+
			"than the image it came from, and that shares as little with that image as possible, by an estimate of mutual information. Networks "+
			"that learn from such examples too are to become better. Here examples are searched with %d seeds on %s, and networks of %d kinds "+
			"learn from them, beside networks that learn for as long from noise of the same size.\n\nThe paper's abstract and its authors' code "+
			"for the attacks could be read, not its text. Small images, networks, the lengths of training and thresholds are our "+
			"operationalization.", len(c.Seeds), r.Data, len(c.AllTasks())),
		Keys:   r.keys(),
		Claims: r.Claims(),
		Sections: []report.Section{
			{Title: "What two images share", Parts: []report.Part{
				report.Text("Information needs many samples, and an image is one. So samples are made of it: the maps of a network's first " +
					"convolution, or random projections. A small network T learns to tell pairs that belong together from pairs that do not, and"),
				report.Formula("I(x, x̃) = mean T(aᵢ, bᵢ) − ln mean exp T(aᵢ, bπ(i))"),
				report.Text("is the estimate. On numbers whose information is known it comes out right."), r.EstimateTable()}},
			{Title: "The search", Parts: []report.Part{
				report.Formula("min over δ, max over c ≥ 0:   c · f⁺(δ) + I(x, x + δ),   f(δ) = ‖x − Φ(x + δ)‖² − ‖x − Φ(x)‖²"),
				report.Text("The weight c grows while f is violated and shrinks otherwise, so that one search does what a penalty takes several " +
					"for."),
				r.Examples(Convolutional), r.TraceFigure(), r.AttackTable(), r.BudgetFigure(), r.SearchTable()}},
			{Title: "The same with labels", Parts: []report.Part{
				report.Text("Against a classifier f is the margin of its logits, and an example is to share as much as it can."),
				r.SupervisedTable()}},
			{Title: "Learning anew", Parts: []report.Part{
				report.Text("A network that learns from twice as many images for as many epochs takes twice the steps, and twice the steps alone " +
					"make it better. And noise makes networks better as well. So each gain is told three times: with as many epochs, with as many " +
					"steps, and against noise of the same norm. Only the last is the examples' own."),
				r.GainFigure(), r.GainTable(), r.RetrainingTable()}},
		},
		Settings: []report.Setting{
			{Name: "scale", Value: c.Scale},
			{Name: "data", Value: fmt.Sprintf("%s, made smaller to %dx%d; %d images a seed to learn from, %d with labels for classifiers, %d to "+
				"test",
				r.Data, c.Side, c.Side, c.Train, c.Probe, c.Test)},
			{Name: "networks", Value: fmt.Sprintf("autoencoders: 3x3 convolutions 16, 8 with two poolings (Adadelta); dense with 32 values "+
				"(RMSProp 2.5e-3); the same, sparse (Adam 1e-3); concrete, which selects %d pixels (Adam 1e-3); contrastive: 16, 32, dense 64, "+
				"embeddings of 32",
				c.Selected)},
			{Name: "training", Value: fmt.Sprintf("batches of %d; %d steps, concrete %d, contrastive %d", c.Batch, c.Steps, c.SelectSteps,
				c.ContrastSteps)},
			{Name: "search", Value: c.search(c.Search, 0).Name() + fmt.Sprintf("; contrastive %d steps, %d pairs of views", c.ContrastSearch,
				c.Copies)},
			{Name: "budget", Value: "l∞ 1: any image, as in the authors' code"},
			{Name: "seeds", Value: fmt.Sprint(c.Seeds)},
		},
	}
}

// keys are the figures at the top of the report.
func (r *Result) keys() []report.Key {
	mean := func(values []float64) string {
		if len(values) == 0 {
			return "–"
		}
		return fmt.Sprintf("%.0f %%", 100*stat.Mean(values, nil))
	}
	rate := study.Values(r.Task(Convolutional), study.Always(func(m Learned) float64 { return m.Attack.Rate }))
	gain := func(than string) []float64 {
		return study.Values(r.Task(Convolutional), func(m Learned) (float64, bool) { return m.Gain(Adversarial, than) })
	}
	return []report.Key{
		{Label: "Images with an example", Value: mean(rate), Note: "convolutional autoencoder"},
		{Label: "Error that is gone", Value: mean(gain(Originals)), Note: "learning from examples too, as many steps"},
		{Label: "Of that, beyond noise", Value: mean(gain(Matched)), Note: "of the same norm"},
	}
}
