package vit

import (
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// Document is the run as a report that stands alone.
func (r *Result) Document() *report.Document {
	c := r.Config
	transfer := []report.Part{r.TransferTable()}
	if r.carried() {
		transfer = []report.Part{r.TransferFigure(), r.TransferTable()}
	}
	d := &report.Document{
		Title: "Are vision transformers more robust than convolutional networks?",
		Subtitle: "Rulin Shao, Zhouxing Shi, Jinfeng Yi, Pin-Yu Chen, Cho-Jui Hsieh: *On the Adversarial Robustness of Vision Transformers*, " +
			"[arXiv 2103.15670](https://arxiv.org/abs/2103.15670), first version",
		Lead: report.Textf("The paper attacks transformers that were pre-trained on millions of images and finds them more robust than "+
			"convolutional networks. Here %d networks were attacked on %s. **Ours are small and trained from scratch**, which is where "+
			"transformers are weakest: a claim that does not hold here may still hold at the paper's size, and the other way round.",
			len(r.Networks), r.Data),
		Keys:   r.keys(),
		Claims: r.Claims(),
		Sections: []report.Section{
			{Title: "White-box attacks", Parts: []report.Part{r.CurveFigure(), r.AccuracyTable(), r.ScatterFigure()}},
			{Title: "Transfer", Parts: transfer},
			{Title: "Frequencies", Parts: []report.Part{
				report.Text("The perturbation δ of PGD is filtered after the attack: IDCT(DCT(δ) ⊙ M), then clipped to legal pixels. Nothing is " +
					"rescaled, so a filtered perturbation is weaker than the whole, and a single pixel may move further than the radius."),
				r.FrequencyFigure(), r.EnergyFigure(), r.FrequencyTable()}},
		},
		Settings: []report.Setting{{Name: "scale", Value: c.Scale}, {Name: "data", Value: r.Data}, {Name: "seeds", Value: fmt.Sprint(c.Seeds)},
			{Name: "attacks", Value: fmt.Sprintf("FGSM; PGD-%d; APGD-%d", c.Steps, c.StrongSteps)}},
	}
	if len(c.Imported) > 0 {
		d.Lead = report.Textf("%d networks that were trained elsewhere were attacked on %s.", len(r.Networks), r.Data)
		return d
	}
	var features []report.Part
	if g := r.Pictures(); g != nil {
		features = append(features, g)
	}
	d.Sections = append(d.Sections, report.Section{Title: "Low-level features", Parts: append(features, r.BlockFigure(), r.BlockTable())},
		report.Section{Title: "Training", Parts: []report.Part{r.TrainingFigure(), r.ModelTable()}})
	d.Settings = append(d.Settings,
		report.Setting{Name: "transformers",
			Value: fmt.Sprintf("patch %d, width %d, depth %d, %d heads", c.patchOf(r.Shape), c.Width, c.Depth, c.Heads)},
		report.Setting{Name: "training", Value: fmt.Sprintf("%d examples, AdamW %g, weight decay %g, batch %d, cosine with warm-up, %d epochs "+
			"(transformers %d)", c.Train, c.LearningRate, c.WeightDecay, c.BatchSize, c.Epochs, 2*c.Epochs)})
	return d
}

// keys are the figures at the top of the report.
func (r *Result) keys() (keys []report.Key) {
	for _, model := range []string{CNN, ViT, ViTPGD} {
		if values := r.values(model, r.pgd(r.Config.Reference)); len(values) > 0 {
			keys = append(keys, report.Key{Label: model + " under PGD", Value: fmt.Sprintf("%.1f%%", 100*stat.Mean(values, nil)),
				Note: fmt.Sprintf("accuracy at %.3g", r.Config.Reference)})
		}
	}
	return keys
}
