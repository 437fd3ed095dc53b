package scoring

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// Figures returns the run's figures.
func (r *Result) Figures() []*report.Figure {
	return []*report.Figure{r.curveFigure(), r.gapFigure(), r.measureFigure(), r.rotationFigure()}
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
	response := report.Panel{Title: "response", X: report.Axis{Label: "magnitude"}, Y: report.Axis{Label: "accuracy", Min: 0, Max: 1, Percent: true},
		Marks: []report.Mark{report.Line{Name: "network", X: c.Magnitudes, Y: c.Accuracies}}}
	cumulative := report.Panel{Title: "Gi: twice the shaded area", X: report.Axis{Label: "share of the range"}, Y: report.Axis{Label: "cumulative accuracy", Min: 0, Max: 1},
		Marks: []report.Mark{report.Line{Name: "network", X: t, Y: p, Low: p, High: ideal, NoPoints: true}, report.Line{Name: "ideal", X: t, Y: ideal, NoPoints: true}}}
	bands := report.Panel{Title: "Pal: right area over left", X: report.Axis{Label: "share of the range"}, Y: report.Axis{Label: "cumulative accuracy", Min: 0, Max: 1}}
	bands.Marks = append(bands.Marks, report.Line{Name: "network", X: t, Y: p, NoPoints: true})
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
	return &report.Figure{Title: "From a response curve to two scores", Panels: []report.Panel{response, cumulative, bands}, Columns: 3, Width: 9, PanelHeight: 2.8}, nil
}

// curveFigure shows the curves of the zoo, by label noise, which shapes the gap most.
func (r *Result) curveFigure() *report.Figure {
	f := &report.Figure{Title: "Response curves of the zoo", Caption: "Accuracy on training examples as they are perturbed: mean over all networks with equally noisy labels, " +
		"and the range from the 5th to the 95th percentile. The more labels are wrong, the larger is the gap.", PanelHeight: 2.8, Columns: 3, Width: 9}
	for _, name := range r.main() {
		panel := report.Panel{Title: name, X: report.Axis{Label: "magnitude"}, Y: report.Axis{Label: "accuracy", Percent: true}}
		for _, noise := range r.Config.LabelNoise {
			line := report.Line{Name: fmt.Sprintf("%g%% of labels wrong", 100*noise), NoPoints: true}
			for i := range r.Zoo[0].Curves[name].Magnitudes {
				var values []float64
				for _, m := range r.Zoo {
					if m.Noise == noise {
						values = append(values, m.Curves[name].Accuracies[i])
					}
				}
				slices.Sort(values)
				line.X = append(line.X, r.Zoo[0].Curves[name].Magnitudes[i])
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

// gapFigure holds the gap against Gi-scores, with the line of least squares.
func (r *Result) gapFigure() *report.Figure {
	f := &report.Figure{Title: "Scores predict the gap", PanelHeight: 2.8, Columns: 3, Width: 9,
		Caption: fmt.Sprintf("One point a network of seed %d; dashed: least squares. Numbers in the table are means over all seeds.", r.Config.Seeds[0])}
	for _, name := range r.main() {
		panel := report.Panel{Title: giName(name), X: report.Axis{Label: "Gi-score"}, Y: report.Axis{Label: "gap", Percent: true}}
		var x, y []float64
		for _, noise := range r.Config.LabelNoise {
			points := report.Points{Name: fmt.Sprintf("%g%% of labels wrong", 100*noise)}
			for _, m := range r.Zoo {
				if m.Seed != r.Config.Seeds[0] || m.Noise != noise {
					continue
				}
				if gi, err := GiScore(m.Curves[name], IdealPerfect); err == nil {
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
	{giName(interCurve), "Gi inter"}, {palName(interCurve), "−Pal inter"}, {giName(intraCurve), "Gi intra"}, {palName(intraCurve), "−Pal intra"},
	{giName(noiseCurve), "Gi noise"}, {palName(noiseCurve), "−Pal noise"}, {Frobenius, "norm"}, {Spectral, "spectral"}, {Margin, "−margin"},
	{TrainingError, "training"}, {Sharpness, "sharpness"}, {MixupError, "mixup"}, {DaviesBouldin, "DB × mixup"},
}

// measureFigure compares measures by rank correlation and by the competition's score, beside chance.
func (r *Result) measureFigure() *report.Figure {
	f := &report.Figure{Title: "Measures against the gap", PanelHeight: 2.4, Columns: 1, Width: 10,
		Caption: "Means with intervals over seeds. Layers other than the input are in the table. DB: Davies-Bouldin index."}
	var tau, information float64
	for _, x := range r.Chances {
		tau += x.TopTau / float64(len(r.Chances))
		information += x.Top / float64(len(r.Chances))
	}
	for _, kind := range []struct {
		title, axis string
		of          func(Evaluation) float64
		chance      float64
	}{{"Kendall's τ", "τ", tauOf, tau}, {"conditional mutual information × 100", "CMI", cmiOf, information}} {
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
		f.Panels = append(f.Panels, report.Panel{Title: kind.title, Y: report.Axis{Label: kind.axis}, Marks: []report.Mark{
			report.Bars{Groups: groups, Series: []report.BarSeries{s}}, report.Level{Name: "best 5 % by chance", At: kind.chance}}})
	}
	return f
}

// rotationFigure shows what learning a rotation does to the curve and to both scores.
func (r *Result) rotationFigure() *report.Figure {
	c := r.Config
	width := c.Widths[len(c.Widths)-1]
	curves := report.Panel{Title: fmt.Sprintf("response, width %d", width), X: report.Axis{Label: "rotation in degrees"}, Y: report.Axis{Label: "accuracy", Min: 0, Max: 1, Percent: true}}
	for _, angle := range c.Angles {
		line := report.Line{Name: fmt.Sprintf("±%g°", angle), X: Rotation{}.Magnitudes(), NoPoints: true}
		for i := range line.X {
			var values []float64
			for _, v := range r.Invariants {
				if v.Width == width && v.Angle == angle {
					values = append(values, v.Curve.Accuracies[i])
				}
			}
			line.Y = append(line.Y, stat.Mean(values, nil))
		}
		curves.Marks = append(curves.Marks, line)
	}
	gi := report.Panel{Title: "Gi-score", X: report.Axis{Label: "turned by up to, degrees"}, Y: report.Axis{Label: "Gi-score"}}
	pal := report.Panel{Title: "Pal-score, folded", X: report.Axis{Label: "turned by up to, degrees"}, Y: report.Axis{Label: "Pal-score"}}
	for _, w := range c.Widths {
		a, b := report.Line{Name: fmt.Sprintf("width %d", w), X: c.Angles}, report.Line{Name: fmt.Sprintf("width %d", w), X: c.Angles}
		for _, angle := range c.Angles {
			g, p := r.invariance(w, angle)
			ge, pe := report.Interval(g), report.Interval(p)
			a.Y, b.Y = append(a.Y, ge.Mean), append(b.Y, pe.Mean)
			if len(c.Seeds) > 1 {
				a.Low, a.High = append(a.Low, ge.Low), append(a.High, ge.High)
				b.Low, b.High = append(b.Low, pe.Low), append(b.High, pe.High)
			}
		}
		gi.Marks, pal.Marks = append(gi.Marks, a), append(pal.Marks, b)
	}
	return &report.Figure{Title: "Invariance that was learned", Caption: "Networks that saw their examples turned by random angles, under rotation: means over seeds.",
		Panels: []report.Panel{curves, gi, pal}, Columns: 3, Width: 9, PanelHeight: 2.8}
}
