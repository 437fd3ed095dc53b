package vit

import (
	"fmt"
	"math"
	"slices"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Figures returns the run's figures; for imported networks, those that need to know nothing but their logits.
func (r *Result) Figures() []*report.Figure {
	figures := []*report.Figure{r.CurveFigure(), r.ScatterFigure()}
	if r.carried() {
		figures = append(figures, r.TransferFigure())
	}
	figures = append(figures, r.FrequencyFigure(), r.EnergyFigure())
	if len(r.Config.Imported) > 0 {
		return figures
	}
	return append(figures, r.BlockFigure(), r.TrainingFigure())
}

// share is an axis from 0 to 100 %.
func share(label string) report.Axis { return report.Axis{Label: label, Min: 0, Max: 1, Percent: true} }

// line joins numbers of a model.
func (r *Result) line(model string, x []float64, of ...number) report.Line {
	l := report.Line{Name: model, X: x}
	for _, n := range of {
		l.Y = append(l.Y, r.mean(model, n))
	}
	return l
}

// CurveFigure shows accuracy over the radius.
func (r *Result) CurveFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "radius"}, Y: share("accuracy under PGD")}
	numbers := []number{clean}
	for _, e := range r.Config.Epsilon {
		numbers = append(numbers, r.pgd(e))
	}
	for _, model := range r.natural() {
		panel.Marks = append(panel.Marks, r.line(model, append([]float64{0}, r.Config.Epsilon...), numbers...))
	}
	return &report.Figure{Title: "Accuracy over the radius", Panels: []report.Panel{panel}, PanelHeight: 3.6,
		Caption: "Naturally trained networks under PGD; the leftmost point is clean accuracy."}
}

// ScatterFigure is the paper's main picture: clean against robust accuracy.
func (r *Result) ScatterFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "clean accuracy", Percent: true},
		Y: report.Axis{Label: fmt.Sprintf("accuracy under PGD at %.3g", r.Config.Reference), Percent: true}}
	for _, model := range r.natural() {
		if x := r.values(model, clean); len(x) > 0 {
			panel.Marks = append(panel.Marks, report.Points{Name: model, X: x, Y: r.values(model, r.pgd(r.Config.Reference))})
		}
	}
	return &report.Figure{Title: "Clean and robust accuracy", Panels: []report.Panel{panel}, Width: 6, PanelHeight: 4,
		Caption: "One point a seed. In the paper's figure the transformers lie above the convolutional networks."}
}

// carried tells whether any transfer was measured: whether any two networks have an image right.
func (r *Result) carried() bool {
	_, rates := r.meanTransfer()
	return slices.ContainsFunc(slices.Concat(rates...), func(v float64) bool { return !math.IsNaN(v) })
}

// TransferFigure is the heat map of transfer; there is nothing to draw where no two networks have an image right.
func (r *Result) TransferFigure() *report.Figure {
	models, rates := r.meanTransfer()
	heat := report.Heat{X: models, Y: models, Z: rates, Label: "success", Min: 0, Max: 1, Percent: true, Format: "%.0f"}
	return &report.Figure{Title: "Which attacks carry over", PanelHeight: 4,
		Caption: fmt.Sprintf("FGSM at %.3g crafted on the network of the row, tried on that of the column: share misclassified among images "+
			"that both have right. The diagonal is the white-box attack.", r.Config.Reference),
		Panels: []report.Panel{{X: report.Axis{Label: "tried on"}, Y: report.Axis{Label: "crafted on"}, Marks: []report.Mark{heat}}}}
}

// FrequencyFigure shows accuracy with only some frequencies of the perturbation.
func (r *Result) FrequencyFigure() *report.Figure {
	bars := report.Bars{Groups: r.natural()}
	bars.Series = append(bars.Series, r.bars("all frequencies", bars.Groups, r.pgd(r.Config.Reference)))
	for _, f := range r.masks() {
		if f.Size == r.middleSize() {
			bars.Series = append(bars.Series, r.bars(fmt.Sprintf("%s, r = %d", f.Mask, f.Size), bars.Groups, filtered(f.Mask, f.Size)))
		}
	}
	return &report.Figure{Title: "Low and high frequencies", PanelHeight: 3.4,
		Caption: fmt.Sprintf("Accuracy under PGD at %.3g when only some frequencies of the perturbation are left. The lower a bar, the more "+
			"these frequencies matter to the network.", r.Config.Reference),
		Panels: []report.Panel{{Y: share("accuracy"), Marks: []report.Mark{bars}}}}
}

// bars is a number of each model.
func (r *Result) bars(name string, models []string, of number) report.BarSeries {
	s := report.BarSeries{Name: name}
	for _, model := range models {
		s.Values = append(s.Values, r.mean(model, of))
	}
	return s
}

// EnergyFigure shows at which frequencies PGD perturbs.
func (r *Result) EnergyFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "frequency", Min: 0, Max: 1}, Y: share("share of energy up to it")}
	var x []float64
	var numbers []number
	side := max(r.layout().Height, r.layout().Width)
	for k := range side {
		x = append(x, float64(k+1)/float64(side))
		numbers = append(numbers, func(m Measured) (float64, bool) { return entry(r.cumulative(m.Energy), k) })
	}
	for _, model := range r.natural() {
		panel.Marks = append(panel.Marks, r.line(model, x, numbers...))
	}
	noise := report.Line{Name: "white noise", NoPoints: true}
	for i := range 29 {
		x := float64(i) / 28
		noise.X, noise.Y = append(noise.X, x), append(noise.Y, x*x)
	}
	panel.Marks = append(panel.Marks, noise)
	return &report.Figure{Title: "Where perturbations have their energy", Panels: []report.Panel{panel}, PanelHeight: 3.2,
		Caption: fmt.Sprintf("Share of the energy of PGD's perturbations at radius %.3g up to each frequency of the cosine transform (the "+
			"larger of row and column, as a share of the side). Means over seeds.", r.Config.Reference)}
}

// BlockFigure shows what each block still knows.
func (r *Result) BlockFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "block"}, Y: report.Axis{Label: "R² of the image's high frequencies", Min: 0, Max: 1}}
	for _, model := range r.natural() {
		line := report.Line{Name: model}
		for i := range r.blocks(model) {
			line.X, line.Y = append(line.X, float64(i+1)), append(line.Y, max(0, r.mean(model, r2(i))))
		}
		if len(line.X) > 0 {
			panel.Marks = append(panel.Marks, line)
		}
	}
	return &report.Figure{Title: "Fine detail, block by block", Panels: []report.Panel{panel}, PanelHeight: 3.4,
		Caption: "How well the image's high frequencies can be read, linearly, off what each block hands on; values below 0 are drawn at 0."}
}

// TrainingFigure compares natural, adversarial and TRADES training.
func (r *Result) TrainingFigure() *report.Figure {
	compared := []string{CNN, CNNPGD, CNNTRADES, ViT, PretrainedViT, ViTPGD, ViTTRADES}
	bars := report.Bars{Groups: study.Where(compared, func(model string) bool { return slices.Contains(r.Config.Models, model) })}
	if bars.Groups == nil {
		bars.Groups = r.Config.Models
	}
	bars.Series = []report.BarSeries{r.bars("clean", bars.Groups, clean),
		r.bars(fmt.Sprintf("PGD %.3g", r.Config.TrainEpsilon), bars.Groups, r.pgd(r.Config.TrainEpsilon))}
	return &report.Figure{Title: "What training does", PanelHeight: 3.2,
		Caption: "Natural training, pre-training, adversarial training with PGD, and TRADES.",
		Panels:  []report.Panel{{Y: share("accuracy"), Marks: []report.Mark{bars}}}}
}
