package joint

import (
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// Figures returns the run's figures.
func (r *Result) Figures() []*report.Figure {
	return []*report.Figure{r.AttackFigure(), r.GridFigure(), r.BoundFigure(), r.CertifiedFigure(), r.TermFigure()}
}

// AttackFigure shows each model under the three attacks.
func (r *Result) AttackFigure() *report.Figure {
	input, weight := middle(r.Config.EpsilonInput), middle(r.Config.EpsilonWeight)
	bars := report.Bars{Groups: r.Config.Methods}
	for _, s := range []struct {
		name          string
		input, weight float64
	}{
		{"no attack", 0, 0}, {fmt.Sprintf("inputs, εx %g", input), input, 0},
		{fmt.Sprintf("weights, εw %g", weight), 0, weight}, {"both", input, weight},
	} {
		series := report.BarSeries{Name: s.name}
		for _, method := range r.Config.Methods {
			e := report.Interval(r.at(method, s.input, s.weight))
			series.Values = append(series.Values, e.Mean)
			if len(r.Config.Seeds) > 1 {
				series.Low, series.High = append(series.Low, max(0, e.Low)), append(series.High, min(1, e.High))
			}
		}
		bars.Series = append(bars.Series, series)
	}
	return &report.Figure{Title: "One attack or both", Caption: "Accuracy without attack, " +
		"with inputs or weights attacked alone, and with both attacked together. " +
		"A model that stands one attack can fall to the other.",
		Panels: []report.Panel{{Y: report.Axis{Label: "accuracy", Min: 0, Max: 1, Percent: true}, Marks: []report.Mark{bars}}}, PanelHeight: 3.4}
}

// GridFigure is one heat map a model.
func (r *Result) GridFigure() *report.Figure {
	f := &report.Figure{Title: "Accuracy over both budgets",
		Caption: "Mean accuracy under joint attack over the grid of input and weight radii."}
	for _, method := range r.Config.Methods {
		heat := report.Heat{Label: "accuracy", Min: 0, Max: 1, Percent: true, Format: "%.0f"}
		for _, w := range r.Config.EpsilonWeight {
			heat.X = append(heat.X, fmt.Sprintf("%g", w))
		}
		for _, input := range r.Config.EpsilonInput {
			heat.Y = append(heat.Y, fmt.Sprintf("%g", input))
			var row []float64
			for _, weight := range r.Config.EpsilonWeight {
				row = append(row, stat.Mean(r.at(method, input, weight), nil))
			}
			heat.Z = append(heat.Z, row)
		}
		f.Panels = append(f.Panels, report.Panel{Title: method, X: report.Axis{Label: "weight radius"},
			Y: report.Axis{Label: "input radius"}, Marks: []report.Mark{heat}})
	}
	return f
}

// BoundFigure holds the loss that an attack reached against its bound, for each example of the first seed.
func (r *Result) BoundFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "cross-entropy under attack", Log: true}, Y: report.Axis{Label: "bound", Log: true},
		Marks: []report.Mark{report.Diagonal{Name: "attack = bound"}}}
	for _, method := range []string{Standard, ATx, Reg} {
		for _, m := range r.For(method) {
			if v := m.Checks[certifiedPair]; m.Seed == r.Config.Seeds[0] {
				panel.Marks = append(panel.Marks, report.Points{Name: method, X: floor(v.AttackedLoss), Y: floor(v.UpperLoss)})
			}
		}
	}
	return &report.Figure{Title: "No attack beats the bound", Caption: fmt.Sprintf("Each point is a test example "+
		"at (εx %g, εw %g), attacked with a weight "+
		"perturbation of its own: all lie above the diagonal. Training with the bound brings it down by orders of magnitude.",
		r.Config.CertifyInput, r.Config.CertifyWeight),
		Panels: []report.Panel{panel}, Width: 6, PanelHeight: 4.2}
}

// CertifiedFigure shows certified accuracy as both radii grow together.
func (r *Result) CertifiedFigure() *report.Figure {
	c := r.Config
	panel := report.Panel{X: report.Axis{Label: fmt.Sprintf("multiple of (εx %g, εw %g)", c.CertifyInput, c.CertifyWeight), Log: true},
		Y: report.Axis{Label: "certified accuracy", Min: 0, Max: 1, Percent: true}}
	for _, method := range r.Config.Methods {
		line := report.Line{Name: method, X: r.Config.CertifyScales}
		for i := range r.Config.CertifyScales {
			var values []float64
			for _, m := range r.For(method) {
				values = append(values, m.Certified[i])
			}
			line.Y = append(line.Y, stat.Mean(values, nil))
		}
		panel.Marks = append(panel.Marks, line)
	}
	return &report.Figure{Title: "Certified accuracy", Caption: "Share of test examples whose prediction " +
		"no joint perturbation inside the radii can change, by the margin bound.",
		Panels: []report.Panel{panel}, PanelHeight: 3.2}
}

// TermFigure splits the bound into what inputs, weights and their interaction contribute.
func (r *Result) TermFigure() *report.Figure {
	bars := report.Bars{Groups: r.Config.Methods, Stacked: true,
		Series: []report.BarSeries{{Name: "inputs"}, {Name: "weights"}, {Name: "both together"}}}
	for _, method := range r.Config.Methods {
		var terms [3]float64
		for _, m := range r.For(method) {
			for i, v := range []float64{m.InputTerm, m.WeightTerm, m.CrossTerm} {
				terms[i] += v
			}
		}
		total := terms[0] + terms[1] + terms[2]
		for i, v := range terms {
			bars.Series[i].Values = append(bars.Series[i].Values, v/total)
		}
	}
	return &report.Figure{Title: "What the bound is made of", Caption: "Share of the worst class's bound that " +
		"inputs, weights and their interaction contribute. " +
		"The interaction is what two separate analyses miss.",
		Panels:      []report.Panel{{Y: report.Axis{Label: "share of the bound", Min: 0, Max: 1, Percent: true}, Marks: []report.Mark{bars}}},
		PanelHeight: 3}
}

// middle is the value of a grid that shows most: the one after the first non-zero one, if there is one.
func middle(grid []float64) float64 {
	return grid[min(2, len(grid)-1)]
}

// floor keeps losses positive for logarithmic axes.
func floor(values []float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = max(v, 1e-6)
	}
	return out
}
