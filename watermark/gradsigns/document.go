package gradsigns

import (
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Document is the run as a report that stands alone.
func (r *Result) Document() *report.Document {
	c := r.Config
	q := c.remote()
	return &report.Document{
		Title: "GradSigns: a watermark in the gradient",
		Subtitle: "*Don't Forget to Sign the Gradients!*, Aramoon, Chen and Qu, MLSys 2021, " +
			"[arXiv 2103.03701](https://arxiv.org/abs/2103.03701)",
		Lead: report.Textf("Who owns a network that answers behind somebody else's door? GradSigns trains a network so that the gradient of its "+
			"loss with respect to the input has chosen signs along secret directions. The signs are a signature, and whoever knows the directions "+
			"reads it again through predictions. Here networks are marked with %d seeds on %s, the marks are read through answers that tell "+
			"more and less, and a thief tries to remove them.\n\nThe paper's abstract and its authors' code could be read, not its text. The "+
			"code settles the method; schedule, thresholds, attacks' settings and the reading in pairs are our operationalization.",
			len(c.Seeds), r.Data),
		Keys:   r.keys(),
		Claims: r.Claims(),
		Sections: []report.Section{
			{Title: "A signature in the gradient", Parts: []report.Part{
				report.Textf("The secret key is some of the inputs, I, and a matrix K with a row for each bit of the signature w. With v the mean "+
					"gradient of the cross-entropy over images of class %d,", c.Target),
				report.Formula("y = K v_I,   R = −(1/b) Σ w_j ln σ(y_j) + (1 − w_j) ln(1 − σ(y_j))"),
				report.Text("is added to the loss, and the bits are read as the signs of y. If rows are symmetric and independent of the network, " +
					"the wrong bits of any network are exactly binomial around one half: the p-value needs no assumption on networks."),
				r.NetworkTable(), r.ReadingTable(), r.Gradients(), r.ProjectionFigure(), r.WrongFigure(), r.WrongTable()}},
			{Title: "What it costs", Parts: []report.Part{r.PriceFigure()}},
			{Title: "Through answers alone", Parts: []report.Part{
				report.Textf("A bit is the sign of a directional derivative, so two questions along its row answer it: c(x + δ) − c(x − δ), with c "+
					"the cross-entropy. That takes 2 · %d · %d = %d queries with %d images, whatever the number of inputs.", c.Bits, q.Samples,
					2*c.Bits*q.Samples, q.Samples),
				r.QuestionTable(), r.QueryFigure(), r.UnmarkedTable()}},
			{Title: "A thief who wants it gone", Parts: []report.Part{
				report.Textf("The thief has the network, %d images of the same kind and this text, but not the key. An attack counts while the "+
					"network is worth having: it may cost two points of accuracy.", c.Thief),
				r.RemovalFigure(), r.RemovalTable()}},
			{Title: "A forger who says it is his", Parts: []report.Part{
				report.Text("Read any network's bits by a random matrix, call them your signature: no bit is wrong. So a p-value counts only for a " +
					"key that was committed to, by a hash that others witnessed, before the network appeared."), r.ForgeryTable()}},
			{Title: "How much it holds", Parts: []report.Part{r.CapacityFigure()}},
		},
		Settings: []report.Setting{
			{Name: "scale", Value: c.Scale},
			{Name: "data", Value: fmt.Sprintf("%s, %d training images a seed, %d others", r.Data, c.Train, c.Thief)},
			{Name: "network", Value: fmt.Sprintf("strided 3x3 convolutions %v, dense %d", c.Channels, c.Dense)},
			{Name: "marking", Value: fmt.Sprintf("Adam, batch %d with %d of class %d; steps, rate, λ: %d, 1e-3, 0.3; %d, 1e-3, 0.1; %d, 2e-4, 0.1; "+
				"settled: %d, 2e-4, 0", c.Batch, c.PerTarget, c.Target, c.Steps[0], c.Steps[1], c.Steps[2], c.Steps[3])},
			{Name: "main mark", Value: fmt.Sprintf("%d bits on %d inputs", c.Bits, c.Carriers)},
			{Name: "attacks", Value: fmt.Sprintf("%d epochs of fine-tuning, distillation and extraction; %d with FGSM or a penalty", c.Epochs,
				c.RobustEpochs)},
			{Name: "seeds", Value: fmt.Sprint(c.Seeds)},
		},
	}
}

// keys are the figures at the top of the report.
func (r *Result) keys() []report.Key {
	c := r.Config
	q := c.remote()
	mean := func(values []float64, format string, scale float64) string {
		if len(values) == 0 {
			return "–"
		}
		return fmt.Sprintf(format, scale*stat.Mean(values, nil))
	}
	accuracy := study.Always(func(m Measured) float64 { return m.Accuracy })
	lost := study.Minus(study.Values(r.For(Unmarked), accuracy), study.Values(r.For(Marked), accuracy))
	kept, judged := 0, 0
	for _, claim := range r.Claims()[3:4] {
		for _, p := range claim.Parts {
			judged++
			if p.Decide().Verdict == report.Replicated {
				kept++
			}
		}
	}
	return []report.Key{
		{Label: "Wrong bits through answers", Value: mean(study.Values(r.Readings, answer(onMarked, q, failed)), "%.1f", 1),
			Note: fmt.Sprintf("of %d, %d queries", c.Bits, 2*c.Bits*q.Samples)},
		{Label: "Accuracy that it costs", Value: mean(lost, "%.2f points", 100), Note: "all classes"},
		{Label: "Attacks withstood", Value: fmt.Sprintf("%d of %d", kept, judged), Note: "p < 1e-9 at two points of accuracy"},
	}
}
