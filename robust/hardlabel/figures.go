package hardlabel

import (
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/information"
	"github.com/trustbook/trustbook/study"
)

// Figures returns the run's figures.
func (r *Result) Figures() []*report.Figure {
	return []*report.Figure{r.QueryFigure(), r.DistortionFigure(), r.CloudFigure(), r.DecreaseFigure(), r.ReachFigure(), r.InformationFigure(),
		r.SpaceFigure()}
}

// panels makes a panel of each network and search.
func (r *Result) panels(of func(method, attack string) report.Panel) (panels []report.Panel) {
	for _, method := range r.methods() {
		for _, attack := range Searches {
			if p := of(method, attack); len(p.Marks) > 0 {
				p.Title = attack + ", " + method
				panels = append(panels, p)
			}
		}
	}
	return panels
}

// point is an interval over seeds at a place of a line.
func point(line *report.Line, x float64, values []float64) {
	if len(values) == 0 {
		return
	}
	e := report.Interval(values)
	line.X, line.Y = append(line.X, x), append(line.Y, e.Mean)
	if len(values) > 1 {
		line.Low, line.High = append(line.Low, e.Low), append(line.High, e.High)
	}
}

// QueryFigure shows how distances fall with queries.
func (r *Result) QueryFigure() *report.Figure {
	return &report.Figure{Title: "Distance against queries", Columns: 2, PanelHeight: 2.6,
		Caption: "Median l2 distance of the nearest adversarial image found so far, as the searches tell; means over seeds, with 95 % " +
			"intervals.",
		Panels: r.panels(func(method, attack string) report.Panel {
			p := report.Panel{X: report.Axis{Label: "queries", Log: true}, Y: report.Axis{Label: "l2 distance"}}
			for _, space := range r.Config.Spaces {
				line := report.Line{Name: space, NoPoints: true}
				for _, q := range r.questions(method, attack, space) {
					point(&line, float64(q), study.Values(r.For(method), func(m Measured) (float64, bool) { return m.distanceAfter(attack, space, q) }))
				}
				if len(line.X) > 0 {
					p.Marks = append(p.Marks, line)
				}
			}
			return p
		})}
}

// questions are the numbers of queries at which the first network's course is known.
func (r *Result) questions(method, attack, space string) []int {
	for _, m := range r.For(method) {
		for _, c := range m.Courses {
			if c.Attack == attack && c.Space == space {
				return c.Queries
			}
		}
	}
	return nil
}

// distanceAfter reads a course.
func (m Measured) distanceAfter(attack, space string, queries int) (float64, bool) {
	for _, c := range m.Courses {
		if k := slices.Index(c.Queries, queries); c.Attack == attack && c.Space == space && k >= 0 {
			return c.Distance[k], true
		}
	}
	return 0, false
}

// DistortionFigure shows how far off the manifold the way leads, at each length.
func (r *Result) DistortionFigure() *report.Figure {
	return &report.Figure{Title: "Distance from the manifold against distortion", Columns: 2, PanelHeight: 2.6,
		Caption: "Mean excess of the tangent residual over mean l2 distance; each point is a budget of queries, more queries lie farther to " +
			"the left. Means over seeds.",
		Panels: r.panels(func(method, attack string) report.Panel {
			p := report.Panel{X: report.Axis{Label: "l2 distance"}, Y: report.Axis{Label: "excess of the residual"}}
			for _, space := range r.Config.Spaces {
				line := report.Line{Name: space}
				for _, queries := range r.Config.budgetsOf(method, space) {
					of := func(value func(m Means) float64) []float64 {
						return study.Values(r.For(method), func(m Measured) (float64, bool) {
							row := m.Row(attack, space, queries)
							if row == nil || row.Of == nil {
								return 0, false
							}
							return value(*row.Of), true
						})
					}
					length, excess := of(func(m Means) float64 { return m.Length }), of(func(m Means) float64 { return m.Excess })
					if len(length) > 0 {
						line.X, line.Y = append(line.X, report.Interval(length).Mean), append(line.Y, report.Interval(excess).Mean)
					}
				}
				if len(line.X) > 0 {
					p.Marks = append(p.Marks, line)
				}
			}
			return p
		})}
}

// CloudFigure shows the images one by one.
func (r *Result) CloudFigure() *report.Figure {
	return &report.Figure{Title: "Image by image", Columns: 2, PanelHeight: 2.6,
		Caption: fmt.Sprintf("Excess of the tangent residual over l2 distance of what was found with %d queries, first seed. Clean images "+
			"are at 0, 0.", r.Config.queries()),
		Panels: r.panels(func(method, attack string) report.Panel {
			p := report.Panel{X: report.Axis{Label: "l2 distance"}, Y: report.Axis{Label: "excess of the residual"}}
			for _, l := range r.Looks {
				for _, c := range l.Clouds {
					if l.Method == method && c.Attack == attack {
						p.Marks = append(p.Marks, report.Points{Name: c.Space, X: c.Length, Y: c.Excess})
					}
				}
			}
			return p
		})}
}

// DecreaseFigure compares the networks.
func (r *Result) DecreaseFigure() *report.Figure {
	c := r.Config
	panel := func(title string, axis report.Axis, of func(p *Pair) (float64, bool), at report.Level) report.Panel {
		var bars report.Bars
		for _, attack := range Searches {
			for _, space := range c.Spaces[1:] {
				bars.Groups = append(bars.Groups, attack+" "+space)
			}
		}
		for _, method := range r.methods() {
			s := report.BarSeries{Name: method}
			for _, attack := range Searches {
				for _, space := range c.Spaces[1:] {
					e := report.Interval(study.Values(r.For(method), paired(attack, space, c.queries(), of)))
					s.Values = append(s.Values, e.Mean)
					if len(c.Seeds) > 1 {
						s.Low, s.High = append(s.Low, e.Low), append(s.High, e.High)
					}
				}
			}
			bars.Series = append(bars.Series, s)
		}
		return report.Panel{Title: title, Y: axis, Marks: []report.Mark{bars, at}}
	}
	return &report.Figure{Title: "Decrease in reduced spaces, natural against robust", Columns: 1, PanelHeight: 2.6,
		Caption: fmt.Sprintf("After %d queries. Above: share by which the excess of the tangent residual is below that of the full space. "+
			"Below: the excess minus that of the full space, perturbations cut to the length of the shorter one.", c.queries()),
		Panels: []report.Panel{
			panel("decrease by share", report.Axis{Label: "decrease", Percent: true}, (*Pair).Decrease, report.Level{Name: "two-fold", At: twoFold}),
			panel("at matched l2", report.Axis{Label: "excess, minus full"}, matchedLess, report.Level{Name: "as in full space"})}}
}

// ReachFigure compares searches with gradients.
func (r *Result) ReachFigure() *report.Figure {
	f := &report.Figure{Title: "Decisions beside gradients", Columns: 2, PanelHeight: 2.8,
		Caption: "Share of images over the boundary within each l2 radius, with the largest number of queries in the full space; means " +
			"over seeds."}
	for _, method := range r.methods() {
		p := report.Panel{Title: method, X: report.Axis{Label: "l2 radius"}, Y: report.Axis{Label: "over the boundary", Percent: true, Max: 1}}
		for _, of := range [][2]string{{PGD, SpaceGradient}, {HopSkipJump, SpaceFull}, {SignOPT, SpaceFull}, {RayS, SpaceSigns}} {
			line := report.Line{Name: of[0]}
			for k, radius := range r.Config.Radii {
				values := study.Values(r.For(method), func(m Measured) (float64, bool) {
					shares := m.Reach(of[0], of[1])
					if shares == nil {
						return 0, false
					}
					return shares[k], true
				})
				if len(values) > 0 {
					line.X, line.Y = append(line.X, radius), append(line.Y, report.Interval(values).Mean)
				}
			}
			if len(line.X) > 0 {
				p.Marks = append(p.Marks, line)
			}
		}
		if len(p.Marks) > 0 {
			f.Panels = append(f.Panels, p)
		}
	}
	return f
}

// InformationFigure shows what decisions tell of the manifold, with the closed form.
func (r *Result) InformationFigure() *report.Figure {
	f := &report.Figure{Title: "Information about the manifold", Columns: 3, PanelHeight: 2.6,
		Caption: "Mutual information of a decision and the change of the distance from the source's sphere. Left: the closed form, and every " +
			"experiment at its measured cosine. Middle and right: means over seeds with 95 % intervals, and the closed form at the measured cosine."}
	curve := report.Line{Name: "closed form", NoPoints: true}
	for rho := 0.0; rho < 0.996; rho += 0.005 {
		curve.X, curve.Y = append(curve.X, rho), append(curve.Y, information.SignGaussian(rho))
	}
	measured := report.Points{Name: "measured"}
	for _, l := range r.Spheres {
		for _, x := range l.All {
			measured.X, measured.Y = append(measured.X, x.Rho), append(measured.Y, x.MI)
		}
	}
	left := report.Panel{X: report.Axis{Label: "cosine ρ", Max: 1}, Y: report.Axis{Label: "nats"}, Marks: []report.Mark{curve}}
	if len(measured.X) > 0 {
		left.Marks = append(left.Marks, measured)
	}
	f.Panels = append(f.Panels, left)
	for _, series := range []struct {
		name, label string
		at          []int
	}{{ByDimension, "dimensions", r.Config.Dimensions}, {ByTrainPoints, "training points", r.Config.TrainPoints}} {
		found, formula := report.Line{Name: "measured"}, report.Line{Name: "closed form"}
		for i, at := range series.at {
			point(&found, float64(at), study.Values(r.Spheres, sphere(series.name, i, nats)))
			if values := study.Values(r.Spheres, sphere(series.name, i, func(l Leaked) float64 { return l.ClosedForm })); len(values) > 0 {
				formula.X, formula.Y = append(formula.X, float64(at)), append(formula.Y, report.Interval(values).Mean)
			}
		}
		if len(found.X) > 0 {
			f.Panels = append(f.Panels, report.Panel{X: report.Axis{Label: series.label, Log: true}, Y: report.Axis{Label: "nats"},
				Marks: []report.Mark{formula, found}})
		}
	}
	return f
}

// SpaceFigure compares where directions come from, on spheres inside a larger space.
func (r *Result) SpaceFigure() *report.Figure {
	c := r.Config
	bars := report.Bars{Groups: []string{SpaceFull, SpaceManifold, SpaceRandom}}
	for _, of := range []struct {
		name  string
		value func(l Leaked) float64
	}{{"measured", nats}, {"closed form", func(l Leaked) float64 { return l.ClosedForm }}} {
		s := report.BarSeries{Name: of.name}
		for i := range bars.Groups {
			e := report.Interval(study.Values(r.Spheres, sphere(BySpace, i, of.value)))
			s.Values = append(s.Values, e.Mean)
			if len(c.Seeds) > 1 {
				s.Low, s.High = append(s.Low, e.Low), append(s.High, e.High)
			}
		}
		bars.Series = append(bars.Series, s)
	}
	return &report.Figure{Title: "Directions on the manifold tell more", PanelHeight: 2.6,
		Caption: fmt.Sprintf("Spheres of %d dimensions in %d: directions of the whole space, of the linear space that the spheres lie in, and "+
			"of a random one of as many dimensions.", c.SphereInside, c.Ambient),
		Panels: []report.Panel{{Y: report.Axis{Label: "nats"}, Marks: []report.Mark{bars}}}}
}

// image makes a picture of pixels of 8 bits.
func (r *Result) image(pixels []byte) report.Image {
	values := make([]float32, len(pixels))
	for i, v := range pixels {
		values[i] = float32(v) / 255
	}
	return report.NewImage(values, r.Shape...)
}

// Path shows what an attack on the network of a method had found of one image after more and more queries, in each space.
func (r *Result) Path(method, attack string) *report.Grid {
	g := &report.Grid{Title: fmt.Sprintf("The path of %s, %s network", attack, method),
		Caption: "The nearest adversarial image found after so many queries, with its l2 distance from the clean one, which comes first. " +
			"First seed."}
	for _, l := range r.Looks {
		if l.Method != method {
			continue
		}
		queries := l.pathQueries(attack)
		g.Columns = []string{"clean"}
		for _, q := range queries {
			g.Columns = append(g.Columns, fmt.Sprint(q))
		}
		for _, p := range l.Paths {
			if p.Attack != attack {
				continue
			}
			row := []report.Image{r.image(l.Clean)}
			for _, q := range queries {
				one := r.image(l.Clean)
				if k := slices.Index(p.Queries, q); k >= 0 {
					one = r.image(p.Images[k])
					one.Caption = fmt.Sprintf("%d: %.2f", q, p.Length[k])
				} else if q > p.Queries[len(p.Queries)-1] {
					break
				} else { // nothing yet
					one.Pixels, one.Caption = slices.Repeat([]float32{1}, len(one.Pixels)), "–"
				}
				row = append(row, one)
			}
			g.RowNames, g.Rows = append(g.RowNames, p.Space), append(g.Rows, row)
		}
	}
	return g
}

// pathQueries are the numbers of queries that any space has, but for those with another just behind them.
func (l Look) pathQueries(attack string) (all []int) {
	for _, p := range l.Paths {
		if p.Attack == attack {
			all = append(all, p.Queries...)
		}
	}
	slices.Sort(all)
	return slices.CompactFunc(all, func(a, before int) bool { return 10*a < 11*before })
}

// Perturbations shows the differences from the clean image that attacks end with, in each space.
func (r *Result) Perturbations(method string) *report.Grid {
	g := &report.Grid{Title: fmt.Sprintf("Perturbations, %s network", method),
		Caption: fmt.Sprintf("The adversarial image found with %d queries, or the last before, and its difference from the clean one: blue is "+
			"darker, red is brighter. First seed.", r.Config.queries())}
	for _, l := range r.Looks {
		if l.Method != method {
			continue
		}
		clean := r.image(l.Clean)
		for _, attack := range Searches {
			row, differences := []report.Image{clean}, []report.Image{{}}
			differences[0] = report.Difference(clean, clean)
			for _, p := range l.Paths {
				if p.Attack != attack {
					continue
				}
				k := 0
				for i, q := range p.Queries {
					if q <= r.Config.queries() {
						k = i
					}
				}
				found := r.image(p.Images[k])
				found.Caption = fmt.Sprintf("%s: %.2f", p.Space, p.Length[k])
				row, differences = append(row, found), append(differences, report.Difference(found, clean))
			}
			if len(row) > 1 {
				g.RowNames, g.Rows = append(g.RowNames, attack, ""), append(g.Rows, row, differences)
			}
		}
	}
	return g
}
