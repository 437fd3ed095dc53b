package weights

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.AccuracyTable(), r.GapUnderAttackTable(), r.CertifiedTable(), r.BoundTable(), r.LayerTable(),
		r.BitsTable(), r.GapTable(), r.MethodTable()}
}

// main are the methods that figures and small tables show: cross-entropy, the bound alone at each factor, and adversarial
// training.
func (r *Result) main() (names []string) {
	for _, lambda := range r.Config.Lambdas {
		names = append(names, Name(lambda, 0))
	}
	return append(names, ATw)
}

// column is a column of a table, and the number that it shows.
type column struct {
	report.Column
	number
}

func percent(n number, format string, args ...any) column {
	return column{report.Column{Name: fmt.Sprintf(format, args...), Percent: true, Best: report.Highest}, n}
}

// rows adds rows to a table, one for each of the methods, of means over its networks; cells stand before them.
func (r *Result) rows(t *report.Table, methods []string, cells []any, columns []column) *report.Table {
	for _, method := range methods {
		row := append([]any{method}, cells...)
		for _, c := range columns {
			row = append(row, report.Interval(r.values(method, c.number)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// table has a row for each method.
func (r *Result) table(title, caption string, columns []column) *report.Table {
	t := &report.Table{Title: title, Caption: caption, Columns: []report.Column{{Name: "model"}}}
	for _, c := range columns {
		t.Columns = append(t.Columns, c.Column)
	}
	var names []string
	for _, m := range r.Config.Methods() {
		names = append(names, m.Name)
	}
	return r.rows(t, names, nil, columns)
}

// AccuracyTable shows what attacks on weights leave of each method's accuracy.
func (r *Result) AccuracyTable() *report.Table {
	c := r.Config
	columns := []column{percent(clean, "clean")}
	for _, epsilon := range c.Epsilon {
		columns = append(columns, percent(c.attacked(epsilon), "PGD %g", epsilon))
	}
	last := c.Epsilon[len(c.Epsilon)-1]
	return r.table("Accuracy under weight attack", fmt.Sprintf("One perturbation of all weights for the %d test examples, each weight by at "+
		"most the radius; weight PGD, %d steps. Random: the worst of %d random corners at the largest radius.", c.Test, c.Steps, c.Draws),
		append(columns, percent(c.random(last), "random %g", last)))
}

// GapUnderAttackTable shows the generalization gap of each method, without and under attacks on weights.
func (r *Result) GapUnderAttackTable() *report.Table {
	c := r.Config
	columns := []column{{report.Column{Name: "no attack", Percent: true, Best: report.Lowest}, c.gap(0)}}
	for _, epsilon := range c.Epsilon {
		columns = append(columns, column{report.Column{Name: fmt.Sprintf("PGD %g", epsilon), Percent: true}, c.gap(epsilon)})
	}
	return r.table("Generalization gap under weight attack", fmt.Sprintf("Accuracy on %d of the training examples minus that on as many test "+
		"examples, each set with a perturbation of its own.", c.Test), columns)
}

// CertifiedTable shows each method's certified accuracy.
func (r *Result) CertifiedTable() *report.Table {
	c, columns := r.Config, []column(nil)
	for _, epsilon := range c.Certify {
		columns = append(columns, percent(c.certified(epsilon), "bound %g", epsilon), percent(c.intervals(epsilon), "intervals %g", epsilon))
	}
	return r.table("Certified accuracy", "Share of test examples whose right prediction no perturbation of all weights inside the radius can "+
		"change: by the margin bound, and by intervals.", columns)
}

// BoundTable shows what attacks on the bounds reached.
func (r *Result) BoundTable() *report.Table {
	at := r.Config.VerifyAt
	t := &report.Table{Title: "Attacks on the bounds",
		Caption: fmt.Sprintf("%d test examples at each of %d radii from %g to %g: random perturbations, and PGD with a perturbation for each "+
			"example of its own. Tightness: fall of the margin divided by its bound, at the first radius.",
			r.Config.VerifyImages, len(at), at[0], at[len(at)-1]),
		Columns: []report.Column{{Name: "model"}, {Name: "median tightness", Format: "%.3f", Best: report.Highest},
			{Name: "largest tightness", Format: "%.3f"}, {Name: "broken"}, {Name: "tried"}}}
	for _, method := range r.Config.Methods() {
		largest, broken, tried := math.NaN(), 0, 0
		for i, m := range r.For(method.Name) {
			if v := m.Checks[0].MaxTightness; i == 0 || v > largest {
				largest = v
			}
			broken, tried = broken+m.broken()+m.misrounded(), tried+m.tried()
		}
		row := []any{method.Name, r.mean(method.Name, r.Config.tightness(at[0])), largest, "–", "–"}
		if tried > 0 {
			row[3], row[4] = broken, tried
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// LayerTable shows what moving one layer's weights does.
func (r *Result) LayerTable() *report.Table {
	t := &report.Table{Title: "One layer at a time",
		Caption: fmt.Sprintf("Only one layer's weights move: its norm, the mean bound on the worst class's margin and the certified accuracy at "+
			"%g, and accuracy under weight PGD at %g.", r.Config.LayerCertify, r.Config.LayerEpsilon),
		Columns: []report.Column{{Name: "model"}, {Name: "layer"}, {Name: "norm", Format: "%.1f"}, {Name: "bound", Format: "%.3f"},
			{Name: "certified", Percent: true}, {Name: "attacked", Percent: true}}}
	for _, method := range r.main() {
		for k := range len(r.Config.Hidden) + 1 {
			norm := number{of: study.Always(func(m Measured) float64 { return m.Norms[k] })}
			r.rows(t, []string{method}, []any{k + 1}, []column{{number: norm}, {number: layer(k, func(l Layer) float64 { return l.Bound })},
				{number: layer(k, func(l Layer) float64 { return l.Certified })}, {number: layer(k, func(l Layer) float64 { return l.Attacked })}})
		}
	}
	return t
}

// BitsTable shows what rounding the weights does.
func (r *Result) BitsTable() *report.Table {
	t := &report.Table{Title: "Rounded weights",
		Caption: "Accuracy with every weight matrix rounded to so many bits, under weight PGD inside the radii that rounding cannot leave, and " +
			"certified inside them.",
		Columns: []report.Column{{Name: "model"}, {Name: "bits"}, {Name: "rounded", Percent: true}, {Name: "attacked", Percent: true},
			{Name: "certified", Percent: true}}}
	for _, method := range r.main() {
		for _, bits := range r.Config.Bits {
			r.rows(t, []string{method}, []any{bits}, []column{{number: r.Config.rounded(bits)}, {number: r.Config.roundedAttacked(bits)},
				{number: r.Config.roundedCertified(bits)}})
		}
	}
	return t
}

// GapTable shows the experiment on generalization.
func (r *Result) GapTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "Norms and generalization",
		Caption: fmt.Sprintf("%d training examples, %.0f %% of all labels random, %d epochs. Gaps: cross-entropy on test minus on training "+
			"examples, accuracy the other way round. The complexity bound is far above 1: it ranks networks, and says nothing about one.",
			c.GapTrain, 100*c.GapNoise, c.GapEpochs),
		Columns: []report.Column{{Name: "μ"}, {Name: "gap in cross-entropy"}, {Name: "gap in accuracy", Percent: true},
			{Name: "test accuracy", Percent: true, Best: report.Highest}, {Name: "product of norms"}, {Name: "complexity bound"}}}
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
