package scoring

import (
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// Document is the run as a report that stands alone.
func (r *Result) Document() *report.Document {
	c := r.Config
	return &report.Document{
		Title: "Gi and Pal scores: generalization without a test set",
		Subtitle: "Yair Schiff, Brian Quanz, Payel Das, Pin-Yu Chen: *Gi and Pal Scores: Deep Neural Network Generalization Statistics*, " +
			"[arXiv 2104.03469](https://arxiv.org/abs/2104.03469)",
		Lead: report.Textf("How much worse will a network be on new examples? Two statistics of how its accuracy falls as its *training* "+
			"examples are perturbed, after the Gini coefficient and the Palma ratio of incomes, are to tell. Here %d networks (%d settings, "+
			"%d seeds) are trained on %s, scored, and compared with norms, margins, sharpness and the winner of the competition Predicting "+
			"Generalization in Deep Learning.\n\nWe could read the paper's abstract, and abstract and introduction of its follow-up: formulas "+
			"and settings are our reading of them.", len(r.Zoo), len(c.Networks()), len(c.Seeds), r.Data),
		Keys:   r.keys(),
		Claims: r.Claims(),
		Sections: []report.Section{
			{Title: "Scores", Parts: []report.Part{
				report.Text("A response curve A(α) is the accuracy on training examples perturbed by α. With t = α as a share of its range, and " +
					"P(t) = ∫_{0}^{t} A(s) ds,"),
				report.Formula("Gi = 2 ∫_{0}^{1} (t − P(t)) dt,   Pal = ∫_{0.4}^{1} P(t) dt / ∫_{0}^{0.1} P(t) dt"),
				report.Text("Gi is 0 for a network that no perturbation confuses, Pal is then 84. Gi and the negative of Pal are to grow with " +
					"the gap."),
				r.CurveFigure()}},
			{Title: "Predicting the gap", Parts: []report.Part{r.GapFigure(), r.MeasureTable(), r.MeasureFigure(), r.VariantTable()}},
			{Title: "Measuring invariance", Parts: []report.Part{r.RotationFigure(), r.InvarianceTable()}},
			{Title: "The zoo", Parts: []report.Part{r.ZooTable()}},
		},
		Settings: []report.Setting{
			{Name: "scale", Value: c.Scale},
			{Name: "data", Value: fmt.Sprintf("%s, %v training examples, %d test examples", r.Data, c.TrainSizes, c.Test)},
			{Name: "networks", Value: fmt.Sprintf("dense ReLU, widths %v, depths %v, dropout %v, weight decay %v",
				c.Widths, c.Depths, c.Dropouts, c.WeightDecays)},
			{Name: "training", Value: fmt.Sprintf("Adam %v, batch %v, %v of the labels wrong, until the loss is below %g or %d epochs",
				c.LearningRates, c.BatchSizes, c.LabelNoise, c.StopLoss, c.Epochs)},
			{Name: "curves", Value: fmt.Sprintf("%v at layers %v, on %d training examples", c.Perturbations, c.Layers, c.Sample)},
			{Name: "seeds", Value: fmt.Sprint(c.Seeds)},
		},
	}
}

// keys are the figures at the top of the report.
func (r *Result) keys() []report.Key {
	mean := func(measure string, of func(v Evaluation) float64, format string) string {
		values := r.evaluations(measure, of)
		if len(values) == 0 {
			return "–"
		}
		return fmt.Sprintf(format, stat.Mean(values, nil))
	}
	return []report.Key{
		{Label: "Gi under noise", Value: mean(giName(noiseCurve), tauOf, "τ = %.2f"), Note: "rank correlation with the gap"},
		{Label: "Gi under noise", Value: mean(giName(noiseCurve), r2Of, "R² = %.2f"), Note: "adjusted, of a straight line"},
		{Label: "−Pal, inter-class mixup", Value: mean(palName(interCurve), cmiOf, "CMI %.1f"), Note: "the competition's score"},
		{Label: "The competition's winner", Value: mean(DaviesBouldin, cmiOf, "CMI %.1f"), Note: "on the same zoo"},
	}
}
