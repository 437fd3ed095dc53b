package hardlabel

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
		Title: "Hard-label attacks and the data manifold",
		Subtitle: "*Hard-label Manifolds: Unexpected Advantages of Query Efficiency for Finding On-manifold Adversarial Examples*, 2021, " +
			"[arXiv 2103.03325](https://arxiv.org/abs/2103.03325)",
		Lead: report.Textf("An attack that sees nothing but a model's decisions has to find its way by asking. The paper says that such "+
			"attacks, where they search in few dimensions, end nearer to the data, and that decisions tell of the data's manifold. Here "+
			"%s and %s attack natural and adversarially trained networks, with %d seeds, on %s, in directions of all pixels and of "+
			"smaller spaces; and decisions about two spheres are held against a closed form.\n\nThe paper's abstract could be read, not its "+
			"text. How distance from the manifold is measured, how attacks and spaces are combined, the spheres and all settings are our "+
			"operationalization.", HopSkipJump, SignOPT, len(c.Seeds), r.Data),
		Keys:   r.keys(),
		Claims: r.Claims(),
		Sections: []report.Section{
			{Title: "How attacks find their way", Parts: []report.Part{
				report.Text("Each attack runs once an image, and is read at several budgets of queries: what it had found is what a run with " +
					"that budget returns. All begin with noise. A reduced space replaces random directions alone; distances are those of all pixels."),
				r.MethodTable(), r.NetworkTable(), r.QueryFigure(), r.Path(Natural, HopSkipJump), r.Path(Robust, HopSkipJump),
				r.Perturbations(Natural)}},
			{Title: "How far from the manifold they end", Parts: []report.Part{
				report.Text("Near an image the data are taken to be flat: the mean μ of the nearest training images and the directions V in which " +
					"those are spread most. The tangent residual of x is"),
				report.Formula("D(x) = ‖(I − VᵀV)(x − μ)‖,"),
				report.Text("and the excess is how much more of it the adversarial image has than the clean one. A smaller perturbation is nearer " +
					"to the data by itself, so perturbations are compared at matched lengths, too, and by the share of their length that leaves " +
					"the plane."),
				r.DistortionFigure(), r.DecreaseFigure(), r.RatioTable(), r.CloudFigure()}},
			{Title: "Decisions beside gradients", Parts: []report.Part{r.ReachFigure(), r.ReachTable()}},
			{Title: "Decisions as an oracle of the manifold", Parts: []report.Part{
				report.Text("Two concentric spheres are the classes. At points of a network's decision boundary, steps in random directions are " +
					"asked about; the decision is held against the change of the distance from the source's sphere, which is known. Where the " +
					"boundary is flat and directions are normal, a cosine ρ between its normal and the gradient of that distance gives"),
				report.Formula("I(ρ) = ln 2 − E H(Φ(ρb / √(1 − ρ²)))"),
				report.Text("nats, with b normal and H the entropy of a coin."),
				r.InformationFigure(), r.SpaceFigure(), r.SphereTable()}},
			{Title: "Every number", Parts: []report.Part{r.DistanceTable()}},
		},
		Settings: []report.Setting{
			{Name: "scale", Value: c.Scale}, {Name: "data", Value: fmt.Sprintf("%s, %d training images a seed", r.Data, c.Train)},
			{Name: "networks", Value: fmt.Sprintf("3x3 convolutions %v with mean pooling, dense %d; Adam 1e-3, batch %d", c.Channels, c.Dense,
				c.BatchSize)},
			{Name: "training", Value: fmt.Sprintf("%d epochs; %d and %d adversarial ones, PGD-%d in linf, radius %.3g", c.Epochs, c.WarmUp,
				c.RobustEpochs, c.Steps, c.Epsilon)},
			{Name: "autoencoder", Value: fmt.Sprintf("halves %d times, %d filters, %d other images, %d epochs", c.Halvings, c.Filters, c.Held,
				c.AutoencoderEpochs)},
			{Name: "attacks", Value: fmt.Sprintf("%d images, %v queries; natural network in %v: %v", c.Images, c.Budgets, c.Spaces[:2], c.Deep)},
			{Name: "manifold", Value: fmt.Sprintf("%d neighbors, %d dimensions", c.Neighbors, c.Rank)},
			{Name: "seeds", Value: fmt.Sprint(c.Seeds)},
		},
	}
}

// keys are the figures at the top of the report.
func (r *Result) keys() []report.Key {
	c := r.Config
	mean := func(method string, of number) string {
		values := study.Values(r.For(method), of)
		if len(values) == 0 {
			return "–"
		}
		return fmt.Sprintf("%.0f%%", 100*stat.Mean(values, nil))
	}
	note := fmt.Sprintf("excess of the residual, %s, %d queries", c.reduced(), c.queries())
	all := []report.Key{}
	for _, method := range r.methods() {
		for _, attack := range Searches {
			all = append(all, report.Key{Label: "Decrease, " + attack + ", " + method,
				Value: mean(method, paired(attack, c.reduced(), c.queries(), (*Pair).Decrease)), Note: note})
		}
	}
	return all
}
