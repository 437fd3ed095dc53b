package weights

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.AccuracyTable(), r.GapUnderAttackTable(), r.CertifiedTable(), r.BoundTable(), r.LayerTable(), r.BitsTable(),
		r.GapTable(), r.MethodTable()}
}

// main are the methods that figures and small tables show: cross-entropy, the bound alone at each factor, and adversarial
// training.
func (r *Result) main() (names []string) {
	for _, lambda := range r.Config.Lambdas {
		names = append(names, Name(lambda, 0))
	}
	return append(names, ATw)
}

// number is one that each network has.
type number func(Measured) float64

// each takes a number from every network of a method.
func (r *Result) each(method string, of number) []float64 {
	return study.Values(r.For(method), study.Always(of))
}

// row adds a row of the means of a method's networks to a table.
func (r *Result) row(t *report.Table, method string, more []any, of ...number) {
	row := append([]any{method}, more...)
	for _, f := range of {
		row = append(row, report.Interval(r.each(method, f)))
	}
	t.Rows = append(t.Rows, row)
}

// rows adds a row for each method.
func (r *Result) rows(t *report.Table, of []number) *report.Table {
	for _, m := range r.Config.Methods() {
		r.row(t, m.Name, nil, of...)
	}
	return t
}

func percent(format string, args ...any) report.Column {
	return report.Column{Name: fmt.Sprintf(format, args...), Percent: true, Best: report.Highest}
}

// AccuracyTable shows what attacks on weights leave of each method's accuracy.
func (r *Result) AccuracyTable() *report.Table {
	c, last := r.Config, len(r.Config.Epsilon)-1
	t := &report.Table{Title: "Accuracy under weight attack",
		Caption: fmt.Sprintf("One perturbation of all weights for the %d test examples, each weight by at most the radius; weight PGD, %d steps. "+
			"Random: the worst of %d random corners at the largest radius.", c.Test, c.Steps, c.Draws),
		Columns: []report.Column{{Name: "model"}, percent("clean")}}
	of := []number{func(m Measured) float64 { return m.Clean }}
	for i, epsilon := range c.Epsilon {
		t.Columns, of = append(t.Columns, percent("PGD %g", epsilon)), append(of, func(m Measured) float64 { return m.Attacked[i] })
	}
	t.Columns = append(t.Columns, percent("random %g", c.Epsilon[last]))
	return r.rows(t, append(of, func(m Measured) float64 { return m.Random[last] }))
}

// GapUnderAttackTable shows the generalization gap of each method, without and under attacks on weights.
func (r *Result) GapUnderAttackTable() *report.Table {
	t := &report.Table{Title: "Generalization gap under weight attack",
		Caption: fmt.Sprintf("Accuracy on %d of the training examples minus that on as many test examples, each set with a perturbation of its own.",
			r.Config.Test),
		Columns: []report.Column{{Name: "model"}, {Name: "no attack", Percent: true, Best: report.Lowest}}}
	of := []number{func(m Measured) float64 { return m.CleanTrain - m.Clean }}
	for i, epsilon := range r.Config.Epsilon {
		t.Columns = append(t.Columns, report.Column{Name: fmt.Sprintf("PGD %g", epsilon), Percent: true})
		of = append(of, func(m Measured) float64 { return m.AttackedTrain[i] - m.Attacked[i] })
	}
	return r.rows(t, of)
}

// CertifiedTable shows each method's certified accuracy.
func (r *Result) CertifiedTable() *report.Table {
	t := &report.Table{Title: "Certified accuracy",
		Caption: "Share of test examples whose right prediction no perturbation of all weights inside the radius can change: by the margin bound, " +
			"and by intervals.",
		Columns: []report.Column{{Name: "model"}}}
	var of []number
	for i, epsilon := range r.Config.Certify {
		t.Columns = append(t.Columns, percent("bound %g", epsilon), percent("intervals %g", epsilon))
		of = append(of, func(m Measured) float64 { return m.CertifiedBound[i] }, func(m Measured) float64 { return m.CertifiedIBP[i] })
	}
	return r.rows(t, of)
}

// BoundTable shows what attacks on the bounds reached.
func (r *Result) BoundTable() *report.Table {
	at := r.Config.VerifyAt
	t := &report.Table{Title: "Attacks on the bounds",
		Caption: fmt.Sprintf("%d test examples at each of %d radii from %g to %g: random perturbations, and PGD with a perturbation for each example "+
			"of its own. Tightness: fall of the margin divided by its bound, at the first radius.", r.Config.VerifyImages, len(at), at[0], at[len(at)-1]),
		Columns: []report.Column{{Name: "model"}, {Name: "median tightness", Format: "%.3f", Best: report.Highest},
			{Name: "largest tightness", Format: "%.3f"}, {Name: "broken"}, {Name: "tried"}}}
	for _, method := range r.Config.Methods() {
		row := []any{method.Name, "–", "–", "–", 0}
		if found := r.For(method.Name); len(found) > 0 {
			broken, tried := 0, 0
			for _, m := range found {
				broken, tried = broken+m.broken()+m.misrounded(), tried+m.tried()
			}
			row = []any{method.Name, stat.Mean(r.each(method.Name, func(m Measured) float64 { return m.Checks[0].MedianTightness }), nil),
				slices.Max(r.each(method.Name, func(m Measured) float64 { return m.Checks[0].MaxTightness })), broken, tried}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// LayerTable shows what moving one layer's weights does.
func (r *Result) LayerTable() *report.Table {
	t := &report.Table{Title: "One layer at a time",
		Caption: fmt.Sprintf("Only one layer's weights move: its norm, the mean bound on the worst class's margin and the certified accuracy at %g, "+
			"and accuracy under weight PGD at %g.", r.Config.LayerCertify, r.Config.LayerEpsilon),
		Columns: []report.Column{{Name: "model"}, {Name: "layer"}, {Name: "norm", Format: "%.1f"}, {Name: "bound", Format: "%.3f"},
			{Name: "certified", Percent: true}, {Name: "attacked", Percent: true}}}
	for _, method := range r.main() {
		for k := range len(r.Config.Hidden) + 1 {
			r.row(t, method, []any{k + 1}, func(m Measured) float64 { return m.Norms[k] }, func(m Measured) float64 { return m.Layers[k].Bound },
				func(m Measured) float64 { return m.Layers[k].Certified }, func(m Measured) float64 { return m.Layers[k].Attacked })
		}
	}
	return t
}

// BitsTable shows what rounding the weights does.
func (r *Result) BitsTable() *report.Table {
	t := &report.Table{Title: "Rounded weights",
		Caption: "Accuracy with every weight matrix rounded to so many bits, under weight PGD inside the radii that rounding cannot leave, and certified " +
			"inside them.",
		Columns: []report.Column{{Name: "model"}, {Name: "bits"}, {Name: "rounded", Percent: true}, {Name: "attacked", Percent: true},
			{Name: "certified", Percent: true}}}
	for _, method := range r.main() {
		for i, bits := range r.Config.Bits {
			r.row(t, method, []any{bits}, func(m Measured) float64 { return m.Bits[i].Rounded },
				func(m Measured) float64 { return m.Bits[i].Attacked }, func(m Measured) float64 { return m.Bits[i].Certified })
		}
	}
	return t
}

// GapTable shows the experiment on generalization.
func (r *Result) GapTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "Norms and generalization",
		Caption: fmt.Sprintf("%d training examples, %.0f %% of all labels random, %d epochs. Gaps: cross-entropy on test minus on training examples, "+
			"accuracy the other way round. The complexity bound is far above 1: it ranks networks, and says nothing about one.",
			c.GapTrain, 100*c.GapNoise, c.GapEpochs),
		Columns: []report.Column{{Name: "μ"}, {Name: "gap in cross-entropy"}, {Name: "gap in accuracy", Percent: true},
			percent("test accuracy"), {Name: "product of norms"}, {Name: "complexity bound"}}}
	for _, mu := range c.GapMus {
		points := study.Where(r.Gaps, func(g GapPoint) bool { return g.Mu == mu })
		row := []any{fmt.Sprintf("%g", mu)}
		for _, of := range []func(GapPoint) float64{GapPoint.Loss, GapPoint.Accuracy, func(g GapPoint) float64 { return g.TestAccuracy },
			func(g GapPoint) float64 { return floats.Prod(g.Norms) }, func(g GapPoint) float64 { return g.Complexity }} {
			row = append(row, report.Interval(study.Values(points, study.Always(of))))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// MethodTable says how each model was trained.
func (r *Result) MethodTable() *report.Table {
	t := &report.Table{Title: "Compared methods", Columns: []report.Column{{Name: "model"}, {Name: "training"}}}
	for _, m := range r.Config.Methods() {
		t.Rows = append(t.Rows, []any{m.Name, m.About})
	}
	return t
}
