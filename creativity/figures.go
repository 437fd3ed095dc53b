package creativity

import (
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Figures returns the run's figures.
func (r *Result) Figures() []*report.Figure {
	return []*report.Figure{r.ScoreFigure(), r.DetectionFigure(), r.ShareFigure(), r.SubsetFigure(), r.NodeFigure(), r.PointFigure()}
}

// Samples shows the same latents decoded as ever and in every mode.
func (r *Result) Samples() *report.Grid {
	g := &report.Grid{Title: "The same latents, decoded in every mode",
		Caption: "Each column is one test image's latent, first seed; the first row decodes it as ever."}
	add := func(name string, pixels []byte) {
		size := 1
		for _, d := range r.Shape {
			size *= d
		}
		var row []report.Image
		for one := range slices.Chunk(pixels, size) {
			values := make([]float32, size)
			for i, v := range one {
				values[i] = float32(v) / 255
			}
			row = append(row, report.NewImage(values, r.Shape...))
		}
		g.RowNames, g.Rows = append(g.RowNames, name), append(g.Rows, row)
	}
	for i, l := range r.Looks {
		if i == 0 {
			add("as ever", l.Usual)
		}
		if l.Method != Unchanged {
			add(l.Method, l.Images)
		}
	}
	return g
}

// panels makes a panel of each method's look.
func (r *Result) panels(of func(l Look) report.Panel) (panels []report.Panel) {
	for _, l := range r.Looks {
		p := of(l)
		p.Title = l.Method
		panels = append(panels, p)
	}
	return panels
}

// ScoreFigure shows the scores of single samples.
func (r *Result) ScoreFigure() *report.Figure {
	most := 0.
	for _, l := range r.Looks {
		most = max(most, slices.Max(l.NormalScores), slices.Max(l.ModeScores))
	}
	return &report.Figure{Title: "Scores of single samples", Columns: 2, PanelHeight: 2.2,
		Caption: "Kolmogorov-Smirnov scores of subsets of the changed layer's nodes, two tails, first seed.",
		Panels: r.panels(func(l Look) report.Panel {
			bins := func(name string, values []float64) report.Mark {
				return report.Histogram{Name: name, Values: values, Max: most, Bins: 40}
			}
			return report.Panel{X: report.Axis{Label: "score"}, Y: report.Axis{Label: "density"},
				Marks: []report.Mark{bins("as ever", l.NormalScores), bins("in the mode", l.ModeScores)}}
		})}
}

// bars compares a number of the methods.
func (r *Result) bars(names []string, of func(i int) number, most float64) report.Bars {
	bars := report.Bars{Groups: r.Config.Methods}
	for i, name := range names {
		s := report.BarSeries{Name: name}
		for _, method := range r.Config.Methods {
			e := report.Interval(study.Values(r.For(method), of(i)))
			s.Values = append(s.Values, e.Mean)
			if len(r.Config.Seeds) > 1 {
				s.Low, s.High = append(s.Low, max(0, e.Low)), append(s.High, min(most, e.High))
			}
		}
		bars.Series = append(bars.Series, s)
	}
	return bars
}

// DetectionFigure compares the spaces.
func (r *Result) DetectionFigure() *report.Figure {
	var names []string
	for _, s := range Spaces {
		names = append(names, string(s))
	}
	f := &report.Figure{Title: "Detection by space", Columns: 1, PanelHeight: 2.6,
		Caption: "The line is chance. Below it samples of the mode have lower scores than normal ones: they are told apart as " +
			"well, in the other direction."}
	axis := report.Axis{Label: "AUC", Min: 0, Max: 1}
	chance := report.Level{Name: "chance", At: 0.5}
	f.Panels = append(f.Panels, report.Panel{Title: "single samples", Y: axis,
		Marks: []report.Mark{r.bars(names, func(i int) number { return r.shown().single(Spaces[i]) }, 1), chance}})
	for _, share := range r.Config.Shares {
		f.Panels = append(f.Panels, report.Panel{Title: fmt.Sprintf("groups of %d, %g%% in the mode", r.Config.Group, 100*share), Y: axis,
			Marks: []report.Mark{r.bars(names, func(i int) number { return r.shown().groupAUC(Spaces[i], share) }, 1), chance}})
	}
	return f
}

// ShareFigure shows the detection of groups against the share of the mode's samples in them.
func (r *Result) ShareFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "share of the group in the mode", Percent: true}, Y: report.Axis{Label: "AUC", Min: 0, Max: 1}}
	for _, method := range r.Config.Methods {
		line := report.Line{Name: method}
		for _, share := range slices.Sorted(slices.Values(r.Config.Shares)) {
			if values := study.Values(r.For(method), r.shown().groupAUC(ChangedLayer, share)); len(values) > 0 {
				e := report.Interval(values)
				line.X, line.Y = append(line.X, share), append(line.Y, e.Mean)
				if len(values) > 1 {
					line.Low, line.High = append(line.Low, max(0, e.Low)), append(line.High, min(1, e.High))
				}
			}
		}
		panel.Marks = append(panel.Marks, line)
	}
	panel.Marks = append(panel.Marks, report.Level{Name: "chance", At: 0.5})
	return &report.Figure{Title: "Detection by share", Caption: "In the changed layer.", Panels: []report.Panel{panel}, PanelHeight: 3}
}

// SubsetFigure compares numbers of nodes.
func (r *Result) SubsetFigure() *report.Figure {
	of := func(tail string) report.Panel {
		values := []func(s *Scan) float64{func(s *Scan) float64 { return s.NormalNodes }, func(s *Scan) float64 { return s.ModeNodes }}
		return report.Panel{Title: "tail: " + tail, Y: report.Axis{Label: "nodes"},
			Marks: []report.Mark{r.bars([]string{"as ever", "in the mode"}, func(i int) number {
				return func(m Measured) (float64, bool) {
					s := m.Scan(ChangedLayer, r.shown().score, tail)
					if s == nil {
						return 0, false
					}
					return values[i](s), true
				}
			}, float64(r.Config.nodes()))}}
	}
	return &report.Figure{Title: "Nodes in the subsets of single samples", Columns: 1, PanelHeight: 2.4,
		Caption: "Mean number of anomalous nodes in the changed layer. A subset of few, extreme nodes can have the higher score.",
		Panels:  []report.Panel{of("two"), of("upper")}}
}

// NodeFigure shows how often each node is found in normal samples and in those of a mode.
func (r *Result) NodeFigure() *report.Figure {
	return &report.Figure{Title: "Which nodes the scans highlight", Columns: 2,
		Caption: "Each point is a node of the changed layer: the share of normal samples, and of samples of the mode, in whose " +
			"subset it is. First seed.",
		Panels: r.panels(func(l Look) report.Panel {
			return report.Panel{X: report.Axis{Label: "as ever", Max: 1}, Y: report.Axis{Label: "in the mode", Max: 1},
				Marks: []report.Mark{report.Points{Name: "node", X: l.NormalNodes, Y: l.ModeNodes}, report.Diagonal{Name: "equally often"}}}
		})}
}

// PointFigure shows where samples lie by their highlighted nodes.
func (r *Result) PointFigure() *report.Figure {
	points := func(name string, at [][2]float64) report.Mark {
		p := report.Points{Name: name}
		for _, xy := range at {
			p.X, p.Y = append(p.X, xy[0]), append(p.Y, xy[1])
		}
		return p
	}
	return &report.Figure{Title: "Samples by their highlighted nodes", Columns: 2,
		Caption: "The first two principal components of the sets of nodes. First seed.",
		Panels: r.panels(func(l Look) report.Panel {
			return report.Panel{X: report.Axis{Label: "component 1"}, Y: report.Axis{Label: "component 2"},
				Marks: []report.Mark{points("as ever", l.NormalPoints), points("in the mode", l.ModePoints)}}
		})}
}
