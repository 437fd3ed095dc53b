package unsup

import (
	"fmt"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Figures returns the run's figures.
func (r *Result) Figures() []*report.Figure {
	return []*report.Figure{r.TraceFigure(), r.BudgetFigure(), r.GainFigure()}
}

// Examples shows images of the first seed, their examples by a network, and what the network makes of both.
func (r *Result) Examples(network string) *report.Grid {
	g := &report.Grid{Title: "Examples by the " + network + " network",
		Caption: "An image, its example, noise of the same norm, and what is reconstructed of image and example. Below an example stands f: " +
			"how much worse than the image it is reconstructed, in squares of pixels. First seed."}
	for _, l := range r.Looks {
		if l.Network != network {
			continue
		}
		rows := []struct {
			name   string
			pixels []float32
		}{{"image", l.Image}, {"example", l.Example}, {"noise", l.Noise}, {"Φ(image)", l.Reconstructed}, {"Φ(example)", l.ByExample}}
		if len(g.Rows) == 0 {
			for _, row := range rows {
				if len(row.pixels) > 0 {
					g.RowNames, g.Rows = append(g.RowNames, row.name), append(g.Rows, nil)
				}
			}
		}
		for i := range g.Rows {
			one := report.NewImage(rows[i].pixels, r.Shape...)
			if i == 1 {
				one.Caption = fmt.Sprintf("%+.2f", l.Violation)
				if !l.Success {
					one.Caption += ", none"
				}
			}
			g.Rows[i] = append(g.Rows[i], one)
		}
	}
	return g
}

// TraceFigure shows how MinMax goes.
func (r *Result) TraceFigure() *report.Figure {
	f := &report.Figure{Title: "How a search goes", Columns: 3, PanelHeight: 2.4,
		Caption: fmt.Sprintf("MinMax on %d images of the first seed: the violation f⁺, the weight c that follows it, and the estimate of the "+
			"information that image and example share.", traced)}
	rows := study.Where(r.Search(MinMax), func(m Searched) bool { return len(m.Traces) > 0 })
	if len(rows) == 0 {
		return f
	}
	panels := []report.Panel{{Title: "violation"}, {Title: "c"}, {Title: "estimate, nats"}}
	for i := range panels {
		panels[i].X.Label = "step"
	}
	for i, t := range rows[0].Traces {
		violation := make([]float64, len(t.Violation))
		for k, v := range t.Violation {
			violation[k] = max(0, v)
		}
		for k, y := range [][]float64{violation, t.C, t.MI} {
			line := report.Line{Name: fmt.Sprintf("image %d", i+1), Y: y, NoPoints: true}
			for step := range y {
				line.X = append(line.X, float64(step+1))
			}
			panels[k].Marks = append(panels[k].Marks, line)
		}
	}
	f.Panels = panels
	return f
}

// BudgetFigure shows how many images have an example within so many gradient steps.
func (r *Result) BudgetFigure() *report.Figure {
	p := report.Panel{X: report.Axis{Label: "gradient steps", Log: true}, Y: report.Axis{Label: "images with a success", Percent: true,
		Min: 0}}
	for _, x := range r.Config.Searches(0) {
		rows := r.Search(x.Name)
		if len(rows) == 0 || len(rows[0].Budgets) == 0 {
			continue
		}
		line := report.Line{Name: x.Name}
		for i, budget := range rows[0].Budgets {
			e := report.Interval(study.Values(rows, study.Always(func(m Searched) float64 { return m.Curve[i] })))
			line.X, line.Y = append(line.X, float64(budget)), append(line.Y, e.Mean)
			if len(rows) > 1 {
				line.Low, line.High = append(line.Low, max(0, e.Low)), append(line.High, min(1, e.High))
			}
		}
		p.Marks = append(p.Marks, line)
	}
	return &report.Figure{Title: "Successes against gradient steps", PanelHeight: 3.4,
		Caption: "The share of images with a success so far. A penalty's rounds begin anew, each with another weight. Means over seeds with " +
			"95 % intervals.", Panels: []report.Panel{p}}
}

// GainFigure shows what learning anew gains over the images alone.
func (r *Result) GainFigure() *report.Figure {
	f := &report.Figure{Title: "What learning from more gains", Columns: 2, PanelHeight: 2.8,
		Caption: "Over the images alone, trained once: on the left with as many steps, on the right with twice as many, which are as many " +
			"epochs. Share of the error that is gone, or points of accuracy. Means over seeds with 95 % intervals."}
	for _, longer := range []bool{false, true} {
		bars := report.Bars{}
		for _, t := range r.Config.AllTasks() {
			bars.Groups = append(bars.Groups, t.Name)
		}
		for _, a := range r.Config.Arms() {
			if a.Longer != longer || a.Noise > 0 || a.Beside == Originals {
				continue
			}
			s := report.BarSeries{Name: a.name()}
			for _, t := range r.Config.AllTasks() {
				values := study.Values(r.Task(t.Name), func(m Learned) (float64, bool) { return m.gain(a.name(), longer, Originals, false) })
				if len(values) == 0 {
					values = []float64{0}
				}
				e := report.Interval(values)
				s.Values = append(s.Values, e.Mean)
				if len(r.Config.Seeds) > 1 {
					s.Low, s.High = append(s.Low, e.Low), append(s.High, e.High)
				}
			}
			bars.Series = append(bars.Series, s)
		}
		f.Panels = append(f.Panels, report.Panel{Title: map[bool]string{false: "as many steps", true: "twice the steps"}[longer],
			Y: report.Axis{Label: "gain", Percent: true}, Marks: []report.Mark{bars}})
	}
	return f
}
