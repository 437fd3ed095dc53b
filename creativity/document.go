package creativity

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
		Title: "Creative decoding, found by subset scanning",
		Subtitle: "Celia Cintas, Payel Das, Brian Quanz, Skyler Speakman, Victor Akinwande, Pin-Yu Chen: *Towards creativity " +
			"characterization of " +
			"generative models via group-based subset scanning*, SDG workshop, ICLR 2021, [arXiv 2104.00479](https://arxiv.org/abs/2104.00479)",
		Lead: report.Textf("A decoder can be made to paint what it was not trained to, by having nodes work together that rarely "+
			"do. The paper asks "+
			"whether such images can be recognized by the nodes of a hidden layer that behave unlike they do for training images, and "+
			"whether these tell "+
			"more than the pixels. Here %d autoencoders decode %d test images as ever and as many others in %d modes, on %s.\n\nThe "+
			"paper's abstract and "+
			"poster could be read, not its text, and of the creative decoder abstracts only: the modes are our operationalization. "+
			"That a change of a layer "+
			"shows in that layer is half by construction; the layer before it, which no mode can move, and samples decoded as ever "+
			"are the controls.",
			len(c.Seeds), c.Samples, len(c.Methods), r.Data),
		Keys:   r.keys(),
		Claims: r.Claims(),
		Sections: []report.Section{
			{Title: "What is decoded", Parts: []report.Part{
				report.Text("An autoencoder is trained on images. In the second hidden layer of its decoder, nodes are ordered by how " +
					"often they are active " +
					"in training images, and a mode changes some of them."),
				r.Samples(), r.MethodTable(), r.LabelTable()}},
			{Title: "Detection", Parts: []report.Part{
				report.Text("The activation of a node in a sample becomes an empirical p-value against its activations in training " +
					"images. In any subset of " +
					"nodes and samples, about a share α of such p-values should be at most α; a subset scores by how many more there are,"),
				report.Formula("F = max_{α} (N_{α} − N α) / √N,"),
				report.Text("with N p-values of which N_{α} are at most α. A scan finds the subset with the highest score: of nodes for " +
					"one sample, exactly; of " +
					"nodes and samples for a group, by turns. Groups that are compared have one size: larger ones score higher by themselves."),
				r.ScoreFigure(), r.DetectionFigure(), r.DetectionTable(), r.ShareFigure()}},
			{Title: "How many nodes, and which", Parts: []report.Part{
				r.SubsetFigure(), r.SubsetTable(), r.NodeFigure(), r.PointFigure(), r.NodeTable()}},
			{Title: "Every number", Parts: []report.Part{r.EveryTable()}},
		},
		Settings: []report.Setting{
			{Name: "scale", Value: c.Scale}, {Name: "data", Value: fmt.Sprintf("%s, %d training images a seed", r.Data, c.Train)},
			{Name: "autoencoder", Value: fmt.Sprintf("dense, hidden %v, %d latents, ReLU, Bernoulli likelihood", c.Hidden, c.Latent)},
			{Name: "training", Value: fmt.Sprintf("Adam 1e-3, batch %d, %d epochs", c.BatchSize, c.Epochs)},
			{Name: "background", Value: fmt.Sprintf("decodings of %d training images", c.Background)},
			{Name: "groups", Value: fmt.Sprintf("%d of each kind, %d samples each, %d starts and the ladder", c.Runs, c.Group, c.Starts)},
			{Name: "seeds", Value: fmt.Sprint(c.Seeds)},
		},
	}
}

// keys are the figures at the top of the report.
func (r *Result) keys() []report.Key {
	mean := func(of number) string {
		values := study.Values(r.For(judgedMode), of)
		if len(values) == 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f", stat.Mean(values, nil))
	}
	return []report.Key{
		{Label: "Single samples, changed layer", Value: mean(judged.single(ChangedLayer)), Note: "AUC, " + judgedMode},
		{Label: "Single samples, pixels", Value: mean(judged.single(Pixels)), Note: "AUC, images of 8 bits"},
		{Label: "A tenth of a group, changed layer", Value: mean(judged.groupAUC(ChangedLayer, tenth)), Note: "AUC"},
		{Label: "A tenth of a group, pixels", Value: mean(judged.groupAUC(Pixels, tenth)), Note: "AUC"},
	}
}
