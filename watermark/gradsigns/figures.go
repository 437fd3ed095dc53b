package gradsigns

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
	"github.com/trustbook/trustbook/watermark"
)

// Figures returns the run's figures.
func (r *Result) Figures() []*report.Figure {
	return []*report.Figure{r.ProjectionFigure(), r.PriceFigure(), r.QueryFigure(), r.RemovalFigure(), r.CapacityFigure(), r.WrongFigure()}
}

// Gradients shows the mean gradients that marks are in, for the first seed.
func (r *Result) Gradients() *report.Grid {
	g := &report.Grid{Title: "What the mark looks like",
		Caption: fmt.Sprintf("The mean gradient of the loss over test images of class %d: blue is negative, red is positive, each at its own "+
			"scale. Rows and carriers are random, so that no sign can be told; size and place can. First seed.", r.Config.Target)}
	var row []report.Image
	for _, l := range r.Looks {
		one := report.NewImage(l.Gradient, r.Shape...)
		one.Diverging = true
		largest := 0.0
		for _, v := range l.Gradient {
			largest = max(largest, math.Abs(float64(v)))
		}
		one.Range[1] = float32(largest)
		one.Caption = fmt.Sprintf("±%.2g", largest)
		g.Columns, row = append(g.Columns, l.Network), append(row, one)
	}
	if len(row) > 0 {
		g.Rows = [][]report.Image{row}
	}
	return g
}

// ProjectionFigure shows the projections that are the bits.
func (r *Result) ProjectionFigure() *report.Figure {
	f := &report.Figure{Title: "Projections of the gradient", Columns: 3, PanelHeight: 2,
		Caption: "Of the mean gradient on the rows of the owner's matrix, with the sign of the signature: above 0 the bit is right. First seed."}
	for _, l := range r.Looks {
		f.Panels = append(f.Panels, report.Panel{Title: l.Network, X: report.Axis{Label: "projection"}, Y: report.Axis{Label: "density"},
			Marks: []report.Mark{report.Histogram{Values: l.Projections, Bins: 24}}})
	}
	return f
}

// PriceFigure shows what the mark costs.
func (r *Result) PriceFigure() *report.Figure {
	names := []string{Unmarked, Marked, Settled}
	bars := report.Bars{}
	numbers := []func(m Measured) (float64, bool){
		func(m Measured) (float64, bool) { return m.Accuracy, true }, func(m Measured) (float64, bool) { return m.ClassAccuracy, true },
		robustOthers, robustClass}
	bars.Groups = []string{"accuracy", "signed class", "PGD, other classes", "PGD, signed class"}
	for _, name := range names {
		s := report.BarSeries{Name: name}
		for _, of := range numbers {
			e := report.Interval(study.Values(r.For(name), of))
			s.Values = append(s.Values, e.Mean)
			if len(r.Config.Seeds) > 1 {
				s.Low, s.High = append(s.Low, max(0, e.Low)), append(s.High, min(1, e.High))
			}
		}
		bars.Series = append(bars.Series, s)
	}
	return &report.Figure{Title: "The price of the mark", PanelHeight: 2.8,
		Caption: fmt.Sprintf("Accuracy on test images, and under PGD in l2, radius %g. A mark needs large gradients where a network is sure of "+
			"itself, and those are what attacks follow.", r.Config.Epsilon),
		Panels: []report.Panel{{Y: report.Axis{Label: "accuracy", Percent: true, Max: 1}, Marks: []report.Mark{bars}}}}
}

// QueryFigure shows how bits come right with queries.
func (r *Result) QueryFigure() *report.Figure {
	p := report.Panel{X: report.Axis{Label: "queries", Log: true}, Y: report.Axis{Label: "wrong or undecided bits", Percent: true}}
	lines := map[string]*report.Line{}
	var order []string
	for _, q := range r.Config.curves() {
		name := fmt.Sprintf("%s, step %g", q.Name, q.Step)
		if lines[name] == nil {
			lines[name], order = &report.Line{Name: name}, append(order, name)
		}
		of := func(reads Reads) []Read { return reads.Curves }
		bits := float64(r.Config.Bits)
		values := study.Values(r.Readings, answer(of, q, func(one Read) (float64, bool) {
			return (float64(one.Errors) + bits - float64(one.Decided)) / bits, true
		}))
		if len(values) == 0 {
			continue
		}
		queries := study.Values(r.Readings, answer(of, q, func(one Read) (float64, bool) { return float64(one.Queries), true }))
		line, e := lines[name], report.Interval(values)
		line.X, line.Y = append(line.X, queries[0]), append(line.Y, e.Mean)
		if len(values) > 1 {
			line.Low, line.High = append(line.Low, max(0, e.Low)), append(line.High, min(1, e.High))
		}
	}
	for _, name := range order {
		if len(lines[name].X) > 0 {
			p.Marks = append(p.Marks, *lines[name])
		}
	}
	return &report.Figure{Title: "Bits against queries", PanelHeight: 3,
		Caption: "In pairs along the key's rows, but for the random directions, which stand for a reader that knows the carriers and not the " +
			"rows until it has the gradient. Means over seeds with 95 % intervals.",
		Panels: []report.Panel{p}}
}

// ruined is what an attack may cost of accuracy to be shown.
const ruined = 0.1

// RemovalFigure shows each attack as a point: what it leaves of the mark and of the network.
func (r *Result) RemovalFigure() *report.Figure {
	p := report.Panel{X: report.Axis{Label: "accuracy", Percent: true}, Y: report.Axis{Label: "wrong bits", Percent: true}}
	before := study.Values(r.For(Marked), study.Always(func(m Measured) float64 { return m.Accuracy }))
	bits := float64(r.Config.Bits)
	add := func(points *report.Points, accuracy, wrong []float64) {
		if len(accuracy) > 0 && len(wrong) > 0 {
			points.X, points.Y = append(points.X, report.Interval(accuracy).Mean), append(points.Y, report.Interval(wrong).Mean)
		}
	}
	first := report.Points{Name: "marked"}
	add(&first, before, study.Values(r.For(Marked), ber(own)))
	kinds := []report.Points{first, {Name: edited}, {Name: trainedOn}, {Name: remarked}, {Name: stolen}}
	for _, a := range r.Config.attacks(nil, nil) {
		rows := r.Attack(a.Name)
		after := study.Values(rows, study.Always(func(m Removed) float64 { return m.Accuracy }))
		if len(after) > 0 && len(before) > 0 && report.Interval(after).Mean < report.Interval(before).Mean-ruined {
			continue
		}
		for k := range kinds {
			if kinds[k].Name == a.Kind {
				add(&kinds[k], after, study.Values(rows, study.Always(func(m Removed) float64 { return float64(m.Own.Errors) / bits })))
			}
		}
	}
	for _, points := range kinds {
		if len(points.X) > 0 {
			p.Marks = append(p.Marks, points)
		}
	}
	most := watermark.MaxErrors(r.Config.Bits, watermark.Level)
	if most >= 0 {
		p.Marks = append(p.Marks, report.Level{Name: "p = 1e-9", At: (float64(most) + 0.5) / bits})
	}
	return &report.Figure{Title: "What attacks leave", PanelHeight: 4,
		Caption: "Each point is an attack on the network: a thief wants to be at the top right. Below the line the mark still counts as shown. " +
			"Means over seeds; attacks that cost more than ten points are left out.", Panels: []report.Panel{p}}
}

// CapacityFigure shows how many bits a mark can hold.
func (r *Result) CapacityFigure() *report.Figure {
	f := &report.Figure{Title: "How much a mark holds", PanelHeight: 2.8,
		Caption: "Bit error rate against the bits of a mark by the inputs that carry it. Behind, what is possible at all: the chance that a " +
			"random signature is attainable by no gradient whatever, by Cover's count, which rises around two bits an input."}
	p := report.Panel{X: report.Axis{Label: "bits by carrying inputs"}, Y: report.Axis{Label: "wrong bits", Percent: true, Min: 0}}
	type place struct{ x, y float64 }
	var found []place
	carriers := r.Config.Carriers
	for _, m := range r.Config.allMarks() {
		values := study.Values(r.For(m.Name), ber(own))
		if m.Bits == 0 || m.Settled || len(values) == 0 {
			continue
		}
		found = append(found, place{float64(m.Bits) / float64(m.Carriers), report.Interval(values).Mean})
		carriers = max(carriers, m.Carriers)
	}
	points := report.Points{Name: "marks"}
	for _, at := range found {
		points.X, points.Y = append(points.X, at.x), append(points.Y, at.y)
	}
	if len(points.X) > 0 {
		p.Marks = append(p.Marks, points)
	}
	curve := report.Line{Name: fmt.Sprintf("not attainable, %d inputs", carriers), NoPoints: true}
	for x := 0.05; x <= 2.4; x += 0.05 {
		curve.X, curve.Y = append(curve.X, x), append(curve.Y, 1-watermark.Cover(int(x*float64(carriers)), carriers))
	}
	p.Marks = append(p.Marks, curve)
	f.Panels = []report.Panel{p}
	return f
}

// WrongFigure shows how many bits keys get right that have nothing to do with the network.
func (r *Result) WrongFigure() *report.Figure {
	f := &report.Figure{Title: "Wrong keys", Columns: 2, PanelHeight: 2.2,
		Caption: "Wrong bits of keys of other secrets, all seeds, and the binomial distribution around one half, which is exact: over keys, " +
			"for any network."}
	bits := r.Config.Bits
	law := distuv.Binomial{N: float64(bits), P: 0.5}
	for _, mark := range []string{Unmarked, Marked} {
		counts, keys := make([]float64, bits+1), 0.0
		for _, m := range r.For(mark) {
			if m.Wrong != nil {
				for k, n := range m.Wrong.Histogram {
					counts[k], keys = counts[k]+float64(n), keys+float64(n)
				}
			}
		}
		if keys == 0 {
			continue
		}
		measured, exact := report.Points{Name: "keys"}, report.Line{Name: "binomial", NoPoints: true}
		for k := range counts {
			if exactly := law.Prob(float64(k)); exactly > 1e-5 {
				exact.X, exact.Y = append(exact.X, float64(k)), append(exact.Y, exactly)
				measured.X, measured.Y = append(measured.X, float64(k)), append(measured.Y, counts[k]/keys)
			}
		}
		f.Panels = append(f.Panels, report.Panel{Title: mark, X: report.Axis{Label: "wrong bits"}, Y: report.Axis{Label: "share", Percent: true},
			Marks: []report.Mark{exact, measured}})
	}
	return f
}
