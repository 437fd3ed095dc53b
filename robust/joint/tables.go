package joint

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/certify"
	"github.com/trustbook/trustbook/study"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.AccuracyTable(), r.BoundTable(), r.GridTable(), r.MethodTable()}
}

// shown are the pairs of radii of the main table, as far as the grid has them.
var shown = [][2]float64{{0, 0}, {0, 0.002}, {0, 0.003}, {0, 0.005}, {0.05, 0}, {0.05, 0.002}, {0.05, 0.005}, {0.1, 0}, {0.1, 0.005}}

// AccuracyTable shows each model's accuracy under the main pairs of radii.
func (r *Result) AccuracyTable() *report.Table {
	t := &report.Table{
		Title: "Accuracy under joint attack",
		Caption: fmt.Sprintf("Columns: radii (εx of inputs, εw of weights). One weight perturbation for the %d test examples, one input "+
			"perturbation each; joint PGD, %d steps. Certified at (%g, %g).",
			r.Config.Test, r.Config.Steps, r.Config.CertifyInput, r.Config.CertifyWeight),
		Columns: []report.Column{{Name: "model"}},
	}
	var pairs [][2]float64
	for _, p := range shown {
		if len(r.at(r.Config.Methods[0], p[0], p[1])) > 0 {
			pairs = append(pairs, p)
			t.Columns = append(t.Columns, report.Column{Name: fmt.Sprintf("(%g, %g)", p[0], p[1]), Percent: true, Best: report.Highest})
		}
	}
	t.Columns = append(t.Columns, report.Column{Name: "certified", Percent: true, Best: report.Highest})
	for _, method := range r.Config.Methods {
		row := []any{method}
		for _, p := range pairs {
			row = append(row, report.Interval(r.at(method, p[0], p[1])))
		}
		t.Rows = append(t.Rows, append(row, report.Interval(r.certifiedOf(method))))
	}
	return t
}

// certifiedOf is a method's certified accuracy at (CertifyInput, CertifyWeight), one value a seed; none if no curve has them.
func (r *Result) certifiedOf(method string) []float64 {
	at := slices.Index(r.Config.CertifyScales, 1)
	return study.Values(r.For(method), func(m Measured) (float64, bool) {
		if at < 0 {
			return 0, false
		}
		return m.Certified[at], true
	})
}

// BoundTable holds losses under attack against their bound.
func (r *Result) BoundTable() *report.Table {
	c := r.Config
	t := &report.Table{
		Title: "The bound against attacks on it",
		Caption: fmt.Sprintf("At (%g, %g), on %d test examples: mean cross-entropy without perturbation, under joint PGD with a weight "+
			"perturbation for each example, and its bound; fall of the margin divided by its bound; perturbations that broke a bound at "+
			"all %d pairs of radii, of all that were tried.", c.CertifyInput, c.CertifyWeight, c.VerifyImages, len(c.VerifyAt())),
		Columns: []report.Column{{Name: "model"}, {Name: "clean loss"}, {Name: "attacked"}, {Name: "bound", Best: report.Lowest},
			{Name: "median tightness", Format: "%.3f"}, {Name: "input term"}, {Name: "weight term"}, {Name: "cross term"},
			{Name: "broken"}, {Name: "tried"}},
	}
	for _, method := range c.Methods {
		var clean, attacked, bound, tight, input, weight, cross []float64
		broken, tried := 0, 0
		for _, m := range r.For(method) {
			v := m.Checks[certifiedPair]
			clean, attacked, bound = append(clean, v.Clean), append(attacked, v.Attacked), append(bound, v.Upper)
			tight = append(tight, v.MedianTightness)
			input, weight, cross = append(input, m.InputTerm), append(weight, m.WeightTerm), append(cross, m.CrossTerm)
			b, n := certify.Tally(m.Checks)
			broken, tried = broken+b, tried+n
		}
		t.Rows = append(t.Rows, []any{method, stat.Mean(clean, nil), stat.Mean(attacked, nil), stat.Mean(bound, nil),
			stat.Mean(tight, nil), stat.Mean(input, nil), stat.Mean(weight, nil), stat.Mean(cross, nil), broken, tried})
	}
	return t
}

// GridTable has the accuracy at every pair of radii.
func (r *Result) GridTable() *report.Table {
	t := &report.Table{
		Title:   "Accuracy grid",
		Caption: "Every pair of radii.",
		Columns: []report.Column{{Name: "model"}, {Name: "input radius"}, {Name: "weight radius"}, {Name: "accuracy", Percent: true}},
	}
	for _, method := range r.Config.Methods {
		for _, input := range r.Config.EpsilonInput {
			for _, weight := range r.Config.EpsilonWeight {
				t.Rows = append(t.Rows, []any{method, input, weight, report.Interval(r.at(method, input, weight))})
			}
		}
	}
	return t
}

// MethodTable says how each model was trained.
func (r *Result) MethodTable() *report.Table {
	t := &report.Table{Title: "Compared methods", Columns: []report.Column{{Name: "model"}, {Name: "training"}}}
	methods, err := methodsNamed(r.Config.Methods)
	if err != nil {
		return t
	}
	for _, m := range methods {
		t.Rows = append(t.Rows, []any{m.Name, m.About})
	}
	return t
}
