package pairgan

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
		Title: "A generator from a few pairs",
		Subtitle: "*Paired Few-Shot GAN*, Teng et al., ICASSP 2021, " +
			"[arXiv 2102.12765](https://arxiv.org/abs/2102.12765)",
		Lead: report.Textf("Of one domain there are many images, of another a few, each with a counterpart in the first: the same content in "+
			"another appearance. The paper learns to tell content from appearance in the first domain, and carries that over to the second by "+
			"the few pairs. Here %d pairs of %s teach a generator, with %d seeds; it is compared with four others that have the same steps, "+
			"with itself less one term, and with itself on pairs that were shuffled.\n\nThe paper's abstract and its authors' code could be read, "+
			"not its text or its numbers. A small classifier stands in for the VGG network that is trained on photographs, and another one for "+
			"the Inception network that samples are measured by; data, sizes and thresholds are ours.", c.Pairs, r.Data, len(c.Seeds)),
		Keys:   r.keys(),
		Claims: r.Claims(),
		Sections: []report.Section{
			{Title: "Content and appearance", Parts: []report.Part{
				report.Text("An image is put together again from a code of its content and one of its appearance. With another appearance its " +
					"deeper features are to stay, and that appearance is to be found in it."),
				report.Formula("x̂ = G(a, c),   x̃ = G(a′, c),   a′ ~ N(0, I)"), r.SwapGrid(), r.SourceTable()}},
			{Title: "A few pairs", Parts: []report.Part{
				report.Text("The target's generator begins as the source's. The relation of two images is the squared difference of their " +
					"contents, value by value; those of a pair are alike, in whatever colors the target image is shifted to, and those of others are " +
					"as far apart as their source images."),
				report.Formula("ρ(x, x′) = (μₛ(x) − μₜ(x′))²"), r.PairGrid(), r.Film(), r.SynthesisGrid(), r.LossFigure()}},
			{Title: "Against others", Parts: []report.Part{r.MethodGrid(), r.MethodTable(),
				report.Text("A distance of distributions asks whether samples look like the target's. It does not ask whether they show what they " +
					"were made of: that is a second question, and a classifier answers it."),
				r.ContentTable(), r.TradeFigure(), r.MemoryGrid()}},
			{Title: "How few", Parts: []report.Part{r.PairsFigure(), r.PairsTable()}},
		},
		Settings: []report.Setting{
			{Name: "scale", Value: c.Scale},
			{Name: "data", Value: fmt.Sprintf("%s, %dx%d; %d source images, %d pairs, %d held-out pairs", r.Data, c.Size, c.Size, c.Train, c.Pairs,
				c.HeldOut)},
			{Name: "networks", Value: fmt.Sprintf("residual, %d channels; codes of %d and %d values", c.Channels, c.Code, c.Code)},
			{Name: "stage 1", Value: fmt.Sprintf("%d steps of %d images, Adam %g; perceptual features of a classifier of source images, times %g",
				c.SourceSteps, c.Batch, c.SourceRate, c.Feature)},
			{Name: "stage 2 and baselines", Value: fmt.Sprintf("%d steps, %d source images in each, Adam %g; weights 10, 0.1 and 1 of "+
				"reconstruction, judge and relation", c.TargetSteps, c.TargetBatch, c.TargetRate)},
			{Name: "measured by", Value: fmt.Sprintf("%d features of a classifier of all target images", features)},
			{Name: "seeds", Value: fmt.Sprint(c.Seeds)},
		},
	}
}

// keys are the figures at the top of the report.
func (r *Result) keys() []report.Key {
	mean := func(values []float64, format string, scale float64) string {
		if len(values) == 0 {
			return "–"
		}
		return fmt.Sprintf(format, scale*stat.Mean(values, nil))
	}
	return []report.Key{
		{Label: "Samples that show their digit", Value: mean(study.Values(r.For(Full), content), "%.0f %%", 100), Note: Full},
		{Label: "The same", Value: mean(study.Values(r.For(Shuffled), content), "%.0f %%", 100), Note: Shuffled},
		{Label: "FID-f", Value: mean(study.Values(r.For(Full), frechet), "%.0f", 1),
			Note: "from scratch " + mean(study.Values(r.For(Scratch), frechet), "%.0f", 1)},
	}
}
