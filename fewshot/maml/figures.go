package maml

import (
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// Figures returns the run's figures.
func (r *Result) Figures() []*report.Figure {
	return []*report.Figure{r.AccuracyFigure(), r.SweepFigure(), r.TrainingFigure()}
}

// axis is that of accuracies.
var axis = report.Axis{Label: "accuracy", Min: 0, Max: 1, Percent: true}

// AccuracyFigure compares the methods.
func (r *Result) AccuracyFigure() *report.Figure {
	bars := report.Bars{Groups: r.Config.Methods}
	for _, kind := range []struct {
		name string
		of   number
	}{{"accuracy", standard}, {"robust accuracy", robust}} {
		s := report.BarSeries{Name: kind.name}
		for _, name := range r.Config.Methods {
			e := report.Interval(r.values(name, kind.of))
			if s.Values = append(s.Values, e.Mean); len(r.Config.Seeds) > 1 {
				s.Low, s.High = append(s.Low, e.Low), append(s.High, e.High)
			}
		}
		bars.Series = append(bars.Series, s)
	}
	return &report.Figure{Title: "Where to robustify, and how",
		Caption: "After fine-tuning on clean images, which is all that a user of a meta-model does. Means with intervals over seeds.",
		Panels:  []report.Panel{{Y: axis, Marks: []report.Mark{bars}}}, Width: 9, PanelHeight: 3}
}

// SweepFigure shows the first seed's accuracies over steps of fine-tuning and over radii.
func (r *Result) SweepFigure() *report.Figure {
	clean := report.Panel{Title: "accuracy", X: report.Axis{Label: "steps of fine-tuning"}, Y: axis}
	attacked := report.Panel{Title: "robust accuracy", X: report.Axis{Label: "steps of fine-tuning"}, Y: axis}
	radii := report.Panel{Title: "robust accuracy", X: report.Axis{Label: "radius × 255"}, Y: axis}
	for _, s := range r.Sweeps {
		a, b, e := report.Line{Name: s.Method}, report.Line{Name: s.Method}, report.Line{Name: s.Method}
		for _, v := range s.Steps {
			a.X, b.X = append(a.X, float64(v.Step)), append(b.X, float64(v.Step))
			a.Y, b.Y = append(a.Y, v.SA), append(b.Y, v.RA)
		}
		for i, v := range s.Epsilon {
			e.X, e.Y = append(e.X, 255*r.Config.SweepEpsilon[i]), append(e.Y, v.RA)
		}
		clean.Marks, attacked.Marks, radii.Marks = append(clean.Marks, a), append(attacked.Marks, b), append(radii.Marks, e)
	}
	return &report.Figure{Title: "Robustness survives fine-tuning",
		Caption: fmt.Sprintf("Seed %d, %d test tasks. Fine-tuning sees clean images only.", r.Config.Seeds[0], r.Config.SweepTasks),
		Panels:  []report.Panel{clean, attacked, radii}, Columns: 3, Width: 9, PanelHeight: 2.8}
}

// TrainingFigure shows the query loss over the updates, smoothed.
func (r *Result) TrainingFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "meta-update"}, Y: report.Axis{Label: "query loss after adaptation"}}
	const window = 20
	for _, name := range r.Config.Methods {
		found := r.For(name)
		if len(found) == 0 {
			continue
		}
		line, loss := report.Line{Name: name, NoPoints: true}, found[0].History.Loss
		for i := 0; i < len(loss); i += window {
			part := loss[i:min(i+window, len(loss))]
			line.X, line.Y = append(line.X, float64(i)+float64(len(part))/2), append(line.Y, stat.Mean(part, nil))
		}
		panel.Marks = append(panel.Marks, line)
	}
	return &report.Figure{Title: "Meta-training",
		Caption: fmt.Sprintf("Seed %d: clean loss on the query images, means of %d updates.", r.Config.Seeds[0], window),
		Panels:  []report.Panel{panel}, PanelHeight: 3, Width: 8}
}

// MapGrid shows what excites neurons of a seed's networks: each row a method before or after fine-tuning.
func (r *Result) MapGrid(seed int64) *report.Grid {
	g := &report.Grid{Title: "What excites neurons", Caption: "One column a neuron of the last hidden layer: the change of a gray image " +
		"that excites it most. Red is brighter, blue darker."}
	row := func(name string, maps [][]float64) {
		var images []report.Image
		for _, values := range maps {
			pixels := make([]float32, r.Shape[0]*r.Shape[1])
			for i, v := range values { // channels are added up
				pixels[i*len(pixels)/len(values)] += float32(v)
			}
			image := report.NewImage(pixels, r.Shape[0], r.Shape[1])
			image.Diverging = true
			images = append(images, image)
		}
		g.RowNames, g.Rows = append(g.RowNames, name), append(g.Rows, images)
	}
	for _, m := range append(r.For(MAML), r.For(Out)...) {
		if m.Seed == seed && m.Maps != nil {
			row(m.Method, m.Maps.Before)
			row(m.Method+", fine-tuned", m.Maps.After)
		}
	}
	return g
}
