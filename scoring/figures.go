package scoring

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Figures returns the run's figures.
func (r *Result) Figures() []*report.Figure {
	return []*report.Figure{r.CurveFigure(), r.GapFigure(), r.MeasureFigure(), r.RotationFigure()}
}

// main are the curves of the figures: those that claims speak of, as far as they were measured.
func (r *Result) main() (names []string) {
	for _, name := range []string{interCurve, intraCurve, noiseCurve} {
		if slices.Contains(r.CurveNames(), name) {
			names = append(names, name)
		}
	}
	return names
}

// AnatomyFigure shows a curve, its cumulative curve with the area that the Gi-score doubles, and the two areas whose ratio the
// Pal-score is.
func AnatomyFigure(c Curve) (*report.Figure, error) {
	t, p, err := c.Cumulative()
	if err != nil {
		return nil, err
	}
	ideal := slices.Clone(t)
	share, accuracy := report.Axis{Label: "share of the range"}, report.Axis{Label: "cumulative accuracy", Min: 0, Max: 1}
	response := report.Panel{Title: "response", X: report.Axis{Label: "magnitude"}, Y: fullAccuracy,
		Marks: []report.Mark{report.Line{Name: "network", X: c.Magnitudes, Y: c.Accuracies}}}
	cumulative := report.Panel{Title: "Gi: twice the shaded area", X: share, Y: accuracy, Marks: []report.Mark{
		report.Line{Name: "network", X: t, Y: p, Low: p, High: ideal, NoPoints: true},
		report.Line{Name: "ideal", X: t, Y: ideal, NoPoints: true}}}
	bands := report.Panel{Title: "Pal: right area over left", X: share, Y: accuracy,
		Marks: []report.Mark{report.Line{Name: "network", X: t, Y: p, NoPoints: true}}}
	for _, part := range []struct {
		name     string
		from, to float64
	}{{"first 10 %", 0, 0.1}, {"last 60 %", 0.4, 1}} {
		x := Linspace(part.from, part.to, 61)
		line := report.Line{Name: part.name, X: x, NoPoints: true, Low: make([]float64, len(x))}
		for _, at := range x {
			line.Y = append(line.Y, area(t, p, at-1e-6, at+1e-6)/(min(at+1e-6, 1)-max(at-1e-6, 0)))
		}
		line.High = line.Y
		bands.Marks = append(bands.Marks, line)
	}
	return row("From a response curve to two scores", "", response, cumulative, bands), nil
}

// fullAccuracy is the axis of accuracies from 0 to 1.
var fullAccuracy = report.Axis{Label: "accuracy", Min: 0, Max: 1, Percent: true}

// row is a figure of panels side by side, three a row.
func row(title, caption string, panels ...report.Panel) *report.Figure {
	return &report.Figure{Title: title, Caption: caption, Panels: panels, Columns: 3, Width: 9, PanelHeight: 2.8}
}

// wrongLabels names the networks of one label noise.
func wrongLabels(noise float64) string { return fmt.Sprintf("%g%% of labels wrong", 100*noise) }

// CurveFigure shows the curves of the zoo, by label noise, which shapes the gap most.
func (r *Result) CurveFigure() *report.Figure {
	f := row("Response curves of the zoo", "Accuracy on training examples as they are perturbed: mean over all networks with equally noisy "+
		"labels, and the range from the 5th to the 95th percentile. The more labels are wrong, the larger is the gap.")
	for _, name := range r.main() {
		panel := report.Panel{Title: name, X: report.Axis{Label: "magnitude"}, Y: report.Axis{Label: "accuracy", Percent: true}}
		for _, noise := range r.Config.LabelNoise {
			line := report.Line{Name: wrongLabels(noise), X: r.magnitudes(name), NoPoints: true}
			some := study.Where(r.Zoo, func(m Measured) bool { return m.Noise == noise })
			for i := range line.X {
				values := study.Values(some, study.Always(func(m Measured) float64 { return m.Curves[name].Accuracies[i] }))
				slices.Sort(values)
				line.Y = append(line.Y, stat.Mean(values, nil))
				line.Low = append(line.Low, stat.Quantile(0.05, stat.Empirical, values, nil))
				line.High = append(line.High, stat.Quantile(0.95, stat.Empirical, values, nil))
			}
			panel.Marks = append(panel.Marks, line)
		}
		f.Panels = append(f.Panels, panel)
	}
	return f
}

// GapFigure holds the gap against Gi-scores, with the line of least squares.
func (r *Result) GapFigure() *report.Figure {
	first := r.Config.Seeds[0]
	f := row("Scores predict the gap", fmt.Sprintf("One point a network of seed %d; dashed: least squares. Numbers in the table are means "+
		"over all seeds.", first))
	for _, name := range r.main() {
		panel := report.Panel{Title: giName(name), X: report.Axis{Label: "Gi-score"}, Y: report.Axis{Label: "gap", Percent: true}}
		var x, y []float64
		for _, noise := range r.Config.LabelNoise {
			points := report.Points{Name: wrongLabels(noise)}
			for _, m := range r.zoo(first) {
				if gi, err := giOf(m.Curves[name]); err == nil && m.Noise == noise {
					points.X, points.Y = append(points.X, gi), append(points.Y, m.Gap())
				}
			}
			x, y = append(x, points.X...), append(y, points.Y...)
			panel.Marks = append(panel.Marks, points)
		}
		if fit, err := LinearFit(x, y); err == nil {
			ends := []float64{slices.Min(x), slices.Max(x)}
			panel.Marks = append(panel.Marks, report.Line{Name: "least squares", X: ends, NoPoints: true,
				Y: []float64{fit.Intercept + fit.Slope*ends[0], fit.Intercept + fit.Slope*ends[1]}})
		}
		f.Panels = append(f.Panels, panel)
	}
	return f
}

// shortNames are the measures of the figure that compares them, for the axis.
var shortNames = []struct{ measure, short string }{
	{giName(interCurve), "Gi inter"}, {palName(interCurve), "−Pal inter"},
	{giName(intraCurve), "Gi intra"}, {palName(intraCurve), "−Pal intra"},
	{giName(noiseCurve), "Gi noise"}, {palName(noiseCurve), "−Pal noise"}, {Frobenius, "norm"}, {Spectral, "spectral"}, {Margin, "−margin"},
	{TrainingError, "training"}, {Sharpness, "sharpness"}, {MixupError, "mixup"}, {DaviesBouldin, "DB × mixup"},
}

// MeasureFigure compares measures by rank correlation and by the competition's score, beside chance.
func (r *Result) MeasureFigure() *report.Figure {
	f := &report.Figure{Title: "Measures against the gap", PanelHeight: 2.4, Columns: 1, Width: 10,
		Caption: "Means with intervals over seeds. Layers other than the input are in the table. DB: Davies-Bouldin index."}
	for _, kind := range []struct {
		title, axis string
		of          func(Evaluation) float64
		chance      func(Chance) float64
	}{{"Kendall's τ", "τ", tauOf, func(x Chance) float64 { return x.TopTau }},
		{"conditional mutual information × 100", "CMI", cmiOf, func(x Chance) float64 { return x.Top }}} {
		var groups []string
		s := report.BarSeries{Name: "measure"}
		for _, n := range shortNames {
			if len(r.Evaluations[n.measure]) == 0 {
				continue
			}
			groups = append(groups, n.short)
			e := report.Interval(r.evaluations(n.measure, kind.of))
			if s.Values = append(s.Values, e.Mean); len(r.Config.Seeds) > 1 {
				s.Low, s.High = append(s.Low, e.Low), append(s.High, e.High)
			}
		}
		chance := report.Level{Name: "best 5 % by chance", At: stat.Mean(study.Values(r.Chances, study.Always(kind.chance)), nil)}
		f.Panels = append(f.Panels, report.Panel{Title: kind.title, Y: report.Axis{Label: kind.axis},
			Marks: []report.Mark{report.Bars{Groups: groups, Series: []report.BarSeries{s}}, chance}})
	}
	return f
}

// RotationFigure shows what learning a rotation does to the curve and to both scores.
func (r *Result) RotationFigure() *report.Figure {
	c := r.Config
	width := c.Widths[len(c.Widths)-1]
	curves := report.Panel{Title: fmt.Sprintf("response, width %d", width), X: report.Axis{Label: "rotation in degrees"}, Y: fullAccuracy}
	for _, angle := range c.Angles {
		line := report.Line{Name: fmt.Sprintf("±%g°", angle), X: Rotation{}.Magnitudes(), NoPoints: true}
		some := study.Where(r.Invariants, func(v Invariant) bool { return v.Width == width && v.Angle == angle })
		for i := range line.X {
			line.Y = append(line.Y, stat.Mean(study.Values(some, study.Always(func(v Invariant) float64 { return v.Curve.Accuracies[i] })), nil))
		}
		curves.Marks = append(curves.Marks, line)
	}
	panels := []report.Panel{curves}
	for _, s := range []struct {
		title, axis string
		of          func(Curve) (float64, error)
	}{{"Gi-score", "Gi-score", giOf}, {"Pal-score, folded", "Pal-score", palOf}} {
		panel := report.Panel{Title: s.title, X: report.Axis{Label: "turned by up to, degrees"}, Y: report.Axis{Label: s.axis}}
		for _, w := range c.Widths {
			line := report.Line{Name: fmt.Sprintf("width %d", w), X: c.Angles}
			for _, angle := range c.Angles {
				e := r.invariance(w, angle, s.of)
				if line.Y = append(line.Y, e.Mean); len(c.Seeds) > 1 {
					line.Low, line.High = append(line.Low, e.Low), append(line.High, e.High)
				}
			}
			panel.Marks = append(panel.Marks, line)
		}
		panels = append(panels, panel)
	}
	return row("Invariance that was learned", "Networks that saw their examples turned by random angles, under rotation: means over seeds.",
		panels...)
}
