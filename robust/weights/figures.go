package weights

import (
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Figures returns the run's figures.
func (r *Result) Figures() []*report.Figure {
	return []*report.Figure{r.AttackFigure(), r.TightnessFigure(), r.CertifiedFigure(), r.LayerFigure(), r.BitsFigure(),
		r.GapFigure(), r.GridFigure()}
}

// line is a method's mean over x, with the interval over seeds.
func line[X int | float64](r *Result, name, method string, x []X, of func(X) number) report.Line {
	l := report.Line{Name: name}
	for _, v := range x {
		e := report.Interval(r.values(method, of(v)))
		l.X, l.Y = append(l.X, float64(v)), append(l.Y, e.Mean)
		if len(r.Config.Seeds) > 1 {
			l.Low, l.High = append(l.Low, max(0, e.Low)), append(l.High, min(1, e.High))
		}
	}
	return l
}

// panel has a line for each of the main methods.
func panel[X int | float64](r *Result, title string, xAxis report.Axis, yLabel string, x []X, of func(X) number) report.Panel {
	p := report.Panel{Title: title, X: xAxis, Y: report.Axis{Label: yLabel, Min: 0, Max: 1, Percent: true}}
	for _, method := range r.main() {
		p.Marks = append(p.Marks, line(r, method, method, x, of))
	}
	return p
}

// AttackFigure shows accuracy over the radius, with random perturbations of cross-entropy's networks as control.
func (r *Result) AttackFigure() *report.Figure {
	radii := append([]float64{0}, r.Config.Epsilon...)
	p := panel(r, "", report.Axis{Label: "weight radius"}, "accuracy", radii, r.Config.attacked)
	p.Marks = append(p.Marks, line(r, ce+", random", ce, radii, r.Config.random))
	return &report.Figure{Title: "Accuracy under weight attack", Panels: []report.Panel{p}, PanelHeight: 3.6, Caption: "Weight PGD, one " +
		"perturbation for all examples. Random perturbations of the same size do nothing: it is the direction that breaks a network."}
}

// TightnessFigure counts how much of the bound an attack on each example reaches, in the first seed.
func (r *Result) TightnessFigure() *report.Figure {
	at := max(0, slices.Index(r.Config.VerifyAt, claimCertify))
	panel := report.Panel{X: report.Axis{Label: "fall of the margin / bound", Max: 1}, Y: report.Axis{Label: "examples", Percent: true}}
	for _, method := range []string{ce, Name(r.Config.Lambdas[len(r.Config.Lambdas)-1], 0)} {
		for _, m := range r.For(method) {
			if m.Seed == r.Config.Seeds[0] {
				panel.Marks = append(panel.Marks, report.Histogram{Name: method, Values: m.Checks[at].Tightness, Min: 0, Max: 1, Bins: 40})
			}
		}
	}
	return &report.Figure{Title: "How tight the bound is", Panels: []report.Panel{panel}, PanelHeight: 3,
		Caption: fmt.Sprintf("PGD with a weight perturbation for each test example of its own, at radius %g. No example passes 1. Training with "+
			"the bound makes it several times tighter.", r.Config.VerifyAt[at])}
}

// CertifiedFigure shows certified accuracy over the radius, by both bounds.
func (r *Result) CertifiedFigure() *report.Figure {
	x, y := report.Axis{Label: "weight radius", Log: true}, "certified accuracy"
	return &report.Figure{Title: "Certified accuracy", PanelHeight: 3, Panels: []report.Panel{
		panel(r, "margin bound", x, y, r.Config.Certify, r.Config.certified),
		panel(r, "intervals", x, y, r.Config.Certify, r.Config.intervals),
	}, Caption: "Share of test examples whose prediction no weight perturbation inside the radius can change."}
}

// LayerFigure compares what the bound allows one layer with what attacking it costs.
func (r *Result) LayerFigure() *report.Figure {
	bound := report.Panel{Title: "bound", X: report.Axis{Label: "layer"}, Y: report.Axis{Label: "fall of the margin", Log: true}}
	cost := report.Panel{Title: "attack", X: report.Axis{Label: "layer"}, Y: report.Axis{Label: "accuracy lost", Percent: true}}
	for _, method := range r.main() {
		b, c := report.Line{Name: method}, report.Line{Name: method}
		for k := range len(r.Config.Hidden) + 1 {
			b.X, c.X = append(b.X, float64(k+1)), append(c.X, float64(k+1))
			b.Y = append(b.Y, r.mean(method, layer(k, func(l Layer) float64 { return l.Bound })))
			c.Y = append(c.Y, r.mean(method, lostTo("layer", layer(k, func(l Layer) float64 { return l.Attacked }))))
		}
		bound.Marks, cost.Marks = append(bound.Marks, b), append(cost.Marks, c)
	}
	return &report.Figure{Title: "Which layer matters", Panels: []report.Panel{bound, cost}, PanelHeight: 3,
		Caption: fmt.Sprintf("Left: mean bound on the worst class's margin if only this layer's weights move by %g. Right: accuracy lost to "+
			"weight PGD on this layer alone at %g.", r.Config.LayerCertify, r.Config.LayerEpsilon)}
}

// BitsFigure holds rounding against the worst perturbation of the same size.
func (r *Result) BitsFigure() *report.Figure {
	c, x := r.Config, report.Axis{Label: "bits"}
	return &report.Figure{Title: "Rounding and the worst perturbation of its size", PanelHeight: 2.8, Columns: 3, Width: 8,
		Panels: []report.Panel{
			panel(r, "rounded", x, "accuracy", c.Bits, c.rounded), panel(r, "attacked", x, "accuracy", c.Bits, c.roundedAttacked),
			panel(r, "certified", x, "accuracy", c.Bits, c.roundedCertified),
		}, Caption: "Rounding to a number of bits moves each weight by at most half a step. " +
			"Left: what it does. Middle: what weight PGD does inside the same radii. Right: what is certified inside them."}
}

// GapFigure holds the complexity bound against the generalization gap.
func (r *Result) GapFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "complexity bound", Log: true}, Y: report.Axis{Label: "gap in cross-entropy"}}
	for _, mu := range r.Config.GapMus {
		points := report.Points{Name: fmt.Sprintf("μ=%g", mu)}
		for _, g := range study.Where(r.Gaps, func(g GapPoint) bool { return g.Mu == mu }) {
			points.X, points.Y = append(points.X, g.Complexity), append(points.Y, g.Loss())
		}
		panel.Marks = append(panel.Marks, points)
	}
	return &report.Figure{Title: "The complexity bound ranks networks by their gap", PanelHeight: 3.4, Width: 6,
		Panels: []report.Panel{panel}, Caption: "One point a seed and factor μ of the norms. The bound's value is vacuous; its order is not."}
}

// GridFigure shows both factors.
func (r *Result) GridFigure() *report.Figure {
	c := r.Config
	attack, certify := c.Epsilon[len(c.Epsilon)/2], c.Certify[0]
	f := &report.Figure{Title: "Both factors of the loss", PanelHeight: 2.4, Columns: 3, Width: 8,
		Caption: fmt.Sprintf("Means over seeds: accuracy without attack, under weight PGD at %g, certified at %g by the margin bound.",
			attack, certify)}
	for _, kind := range []struct {
		title string
		of    number
	}{{"clean", clean}, {"attacked", c.attacked(attack)}, {"certified", c.certified(certify)}} {
		heat := report.Heat{Label: "accuracy", Min: 0, Max: 1, Percent: true, Format: "%.0f"}
		for _, mu := range c.Mus {
			heat.X = append(heat.X, fmt.Sprintf("%g", mu))
		}
		for _, lambda := range c.Lambdas {
			heat.Y = append(heat.Y, fmt.Sprintf("%g", lambda))
			var row []float64
			for _, mu := range c.Mus {
				row = append(row, r.mean(Name(lambda, mu), kind.of))
			}
			heat.Z = append(heat.Z, row)
		}
		f.Panels = append(f.Panels, report.Panel{Title: kind.title, X: report.Axis{Label: "μ"}, Y: report.Axis{Label: "λ"},
			Marks: []report.Mark{heat}})
	}
	return f
}
