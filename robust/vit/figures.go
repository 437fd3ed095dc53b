package vit

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// Figures returns the run's figures; for imported networks, those that need to know nothing but their logits.
func (r *Result) Figures() []*report.Figure {
	figures := []*report.Figure{r.curveFigure(), r.scatterFigure(), r.transferFigure(), r.frequencyFigure(), r.energyFigure()}
	if len(r.Config.Imported) > 0 {
		return figures
	}
	return append(figures, r.blockFigure(), r.trainingFigure())
}

func mean(values []float64) float64 { return stat.Mean(values, nil) }

// natural are the models of the run that were trained without attacks or pre-training; all of them if they are imported
// or if there are none.
func (r *Result) natural() []string {
	var names []string
	for _, name := range r.Config.Models {
		if models, err := modelsNamed([]string{name}); len(r.Config.Imported) > 0 || err == nil && models[0].natural() {
			names = append(names, name)
		}
	}
	if names == nil {
		return r.Config.Models
	}
	return names
}

// curveFigure shows accuracy over the radius.
func (r *Result) curveFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "radius"}, Y: report.Axis{Label: "accuracy under PGD", Min: 0, Max: 1, Percent: true}}
	for _, model := range r.natural() {
		line := report.Line{Name: model, X: append([]float64{0}, r.Config.Epsilon...)}
		line.Y = append(line.Y, mean(r.values(model, func(m Measured) float64 { return m.Clean })))
		for i := range r.Config.Epsilon {
			line.Y = append(line.Y, mean(r.values(model, func(m Measured) float64 { return m.PGD[i] })))
		}
		panel.Marks = append(panel.Marks, line)
	}
	return &report.Figure{Title: "Accuracy over the radius", Caption: "Naturally trained networks under PGD; the leftmost point is clean accuracy.",
		Panels: []report.Panel{panel}, PanelHeight: 3.6}
}

// scatterFigure is the paper's main picture: clean against robust accuracy.
func (r *Result) scatterFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "clean accuracy", Percent: true},
		Y: report.Axis{Label: fmt.Sprintf("accuracy under PGD at %.3g", r.Config.Reference), Percent: true}}
	for _, model := range r.natural() {
		panel.Marks = append(panel.Marks, report.Points{Name: model, X: r.values(model, func(m Measured) float64 { return m.Clean }), Y: r.values(model, r.pgd)})
	}
	return &report.Figure{Title: "Clean and robust accuracy", Caption: "One point a seed. In the paper's figure the transformers lie above the convolutional networks.",
		Panels: []report.Panel{panel}, Width: 6, PanelHeight: 4}
}

// transferFigure is the heat map of transfer.
func (r *Result) transferFigure() *report.Figure {
	models, rates := r.meanTransfer()
	heat := report.Heat{X: models, Y: models, Z: rates, Label: "success", Min: 0, Max: 1, Percent: true, Format: "%.0f"}
	return &report.Figure{Title: "Which attacks carry over", Caption: fmt.Sprintf("FGSM at %.3g crafted on the network of the row, tried on that of the column: share "+
		"misclassified among images that both have right. The diagonal is the white-box attack.", r.Config.Reference),
		Panels: []report.Panel{{X: report.Axis{Label: "tried on"}, Y: report.Axis{Label: "crafted on"}, Marks: []report.Mark{heat}}}, PanelHeight: 4}
}

// frequencyFigure shows accuracy with only some frequencies of the perturbation.
func (r *Result) frequencyFigure() *report.Figure {
	names := r.natural()
	bars := report.Bars{Groups: names}
	series := func(name string, of func(Measured) float64) {
		s := report.BarSeries{Name: name}
		for _, model := range names {
			s.Values = append(s.Values, mean(r.values(model, of)))
		}
		bars.Series = append(bars.Series, s)
	}
	series("all frequencies", r.pgd)
	if len(r.Networks) > 0 {
		for i, f := range r.Networks[0].Filtered {
			if f.Size == r.middleSize() {
				series(fmt.Sprintf("%s, r = %d", f.Mask, f.Size), func(m Measured) float64 { return m.Filtered[i].Accuracy })
			}
		}
	}
	return &report.Figure{Title: "Low and high frequencies", Caption: fmt.Sprintf("Accuracy under PGD at %.3g when only some frequencies of the perturbation are left. "+
		"The lower a bar, the more these frequencies matter to the network.", r.Config.Reference),
		Panels: []report.Panel{{Y: report.Axis{Label: "accuracy", Min: 0, Max: 1, Percent: true}, Marks: []report.Mark{bars}}}, PanelHeight: 3.4}
}

// blockFigure shows what each block still knows.
func (r *Result) blockFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "block"}, Y: report.Axis{Label: "R² of the image's high frequencies", Min: 0, Max: 1}}
	for _, model := range r.natural() {
		line := report.Line{Name: model}
		found := r.For(model)
		if len(found) == 0 {
			continue
		}
		for i := range found[0].Blocks {
			line.X = append(line.X, float64(i+1))
			line.Y = append(line.Y, max(0, mean(r.values(model, func(m Measured) float64 { return m.Blocks[i].R2 }))))
		}
		if len(line.X) > 0 {
			panel.Marks = append(panel.Marks, line)
		}
	}
	return &report.Figure{Title: "Fine detail, block by block", Caption: "How well the image's high frequencies can be read, linearly, off what each block hands on; values below 0 are drawn at 0.",
		Panels: []report.Panel{panel}, PanelHeight: 3.4}
}

// trainingFigure compares natural, adversarial and TRADES training.
func (r *Result) trainingFigure() *report.Figure {
	bars := report.Bars{}
	clean, attacked := report.BarSeries{Name: "clean"}, report.BarSeries{Name: fmt.Sprintf("PGD %.3g", r.Config.TrainEpsilon)}
	compared := []string{CNN, CNNPGD, CNNTRADES, ViT, PretrainedViT, ViTPGD, ViTTRADES}
	if !slices.ContainsFunc(compared, func(model string) bool { return len(r.For(model)) > 0 }) {
		compared = r.Config.Models
	}
	for _, model := range compared {
		if len(r.For(model)) > 0 {
			bars.Groups = append(bars.Groups, model)
			clean.Values = append(clean.Values, mean(r.values(model, func(m Measured) float64 { return m.Clean })))
			attacked.Values = append(attacked.Values, mean(r.values(model, r.pgdTrained)))
		}
	}
	bars.Series = []report.BarSeries{clean, attacked}
	return &report.Figure{Title: "What training does", Caption: "Natural training, pre-training, adversarial training with PGD, and TRADES.",
		Panels: []report.Panel{{Y: report.Axis{Label: "accuracy", Min: 0, Max: 1, Percent: true}, Marks: []report.Mark{bars}}}, PanelHeight: 3.2}
}
