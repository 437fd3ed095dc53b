package weights

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.accuracyTable(), r.gapsTable(), r.certifiedTable(), r.boundTable(), r.layerTable(), r.bitsTable(), r.gapTable(), r.methodTable()}
}

func (r *Result) methods() (names []string) {
	for _, m := range r.Config.Methods() {
		names = append(names, m.Name)
	}
	return names
}

// main are the methods that figures and small tables show: cross-entropy, the bound alone at each factor, and adversarial
// training.
func (r *Result) main() (names []string) {
	for _, lambda := range r.Config.Lambdas {
		names = append(names, Name(lambda, 0))
	}
	return append(names, ATw)
}

func percent(name string) report.Column {
	return report.Column{Name: name, Percent: true, Best: report.Highest}
}

func (r *Result) accuracyTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "Accuracy under weight attack",
		Caption: fmt.Sprintf("One perturbation of all weights for the %d test examples, each weight by at most the radius; weight PGD, %d steps. "+
			"Random: the worst of %d random corners at the largest radius.", c.Test, c.Steps, c.Draws),
		Columns: []report.Column{{Name: "model"}, percent("clean")}}
	for _, epsilon := range c.Epsilon {
		t.Columns = append(t.Columns, percent(fmt.Sprintf("PGD %g", epsilon)))
	}
	last := len(c.Epsilon) - 1
	t.Columns = append(t.Columns, percent(fmt.Sprintf("random %g", c.Epsilon[last])))
	for _, method := range r.methods() {
		row := []any{method, report.Interval(r.values(method, func(m Measured) float64 { return m.Clean }))}
		for i := range c.Epsilon {
			row = append(row, report.Interval(r.values(method, func(m Measured) float64 { return m.Attacked[i] })))
		}
		t.Rows = append(t.Rows, append(row, report.Interval(r.values(method, func(m Measured) float64 { return m.Random[last] }))))
	}
	return t
}

func (r *Result) gapsTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "Generalization gap under weight attack",
		Caption: fmt.Sprintf("Accuracy on %d of the training examples minus that on as many test examples, each set with a perturbation of its own.", c.Test),
		Columns: []report.Column{{Name: "model"}, {Name: "no attack", Percent: true, Best: report.Lowest}}}
	for _, epsilon := range c.Epsilon {
		t.Columns = append(t.Columns, report.Column{Name: fmt.Sprintf("PGD %g", epsilon), Percent: true})
	}
	for _, method := range r.methods() {
		row := []any{method, report.Interval(r.values(method, func(m Measured) float64 { return m.CleanTrain - m.Clean }))}
		for i := range c.Epsilon {
			row = append(row, report.Interval(r.values(method, func(m Measured) float64 { return m.AttackedTrain[i] - m.Attacked[i] })))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Result) certifiedTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "Certified accuracy",
		Caption: "Share of test examples whose right prediction no perturbation of all weights inside the radius can change: by the margin bound, and by intervals.",
		Columns: []report.Column{{Name: "model"}}}
	for _, epsilon := range c.Certify {
		t.Columns = append(t.Columns, percent(fmt.Sprintf("bound %g", epsilon)), percent(fmt.Sprintf("intervals %g", epsilon)))
	}
	for _, method := range r.methods() {
		row := []any{method}
		for i := range c.Certify {
			row = append(row, report.Interval(r.values(method, func(m Measured) float64 { return m.CertifiedBound[i] })),
				report.Interval(r.values(method, func(m Measured) float64 { return m.CertifiedIBP[i] })))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Result) boundTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "Attacks on the bounds",
		Caption: fmt.Sprintf("%d test examples at each of %d radii from %g to %g: random perturbations, and PGD with a perturbation for each example of its own. "+
			"Tightness: fall of the margin divided by its bound, at the first radius.", c.VerifyImages, len(c.VerifyAt), c.VerifyAt[0], c.VerifyAt[len(c.VerifyAt)-1]),
		Columns: []report.Column{{Name: "model"}, {Name: "median tightness", Format: "%.3f", Best: report.Highest}, {Name: "largest tightness", Format: "%.3f"},
			{Name: "broken"}, {Name: "tried"}}}
	for _, method := range r.methods() {
		broken, tried := 0, 0
		for _, m := range r.For(method) {
			for _, v := range m.Checks {
				broken, tried = broken+v.Margin+v.IBP+v.Loss, tried+v.Random+v.Adversarial
			}
			for _, b := range m.Bits {
				broken += b.Broken
			}
		}
		t.Rows = append(t.Rows, []any{method, stat.Mean(r.values(method, func(m Measured) float64 { return m.Checks[0].MedianTightness }), nil),
			slices.Max(r.values(method, func(m Measured) float64 { return m.Checks[0].MaxTightness })), broken, tried})
	}
	return t
}

func (r *Result) layerTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "One layer at a time",
		Caption: fmt.Sprintf("Only one layer's weights move: its norm, the mean bound on the worst class's margin and the certified accuracy at %g, and accuracy "+
			"under weight PGD at %g.", c.LayerCertify, c.LayerEpsilon),
		Columns: []report.Column{{Name: "model"}, {Name: "layer"}, {Name: "norm", Format: "%.1f"}, {Name: "bound", Format: "%.3f"},
			{Name: "certified", Percent: true}, {Name: "attacked", Percent: true}}}
	for _, method := range r.main() {
		for k := range len(c.Hidden) + 1 {
			layer := func(of func(l Layer) float64) report.Estimate {
				return report.Interval(r.values(method, func(m Measured) float64 { return of(m.Layers[k]) }))
			}
			t.Rows = append(t.Rows, []any{method, k + 1, report.Interval(r.values(method, func(m Measured) float64 { return m.Norms[k] })),
				layer(func(l Layer) float64 { return l.Bound }), layer(func(l Layer) float64 { return l.Certified }), layer(func(l Layer) float64 { return l.Attacked })})
		}
	}
	return t
}

func (r *Result) bitsTable() *report.Table {
	t := &report.Table{Title: "Rounded weights",
		Caption: "Accuracy with every weight matrix rounded to so many bits, under weight PGD inside the radii that rounding cannot leave, and certified inside them.",
		Columns: []report.Column{{Name: "model"}, {Name: "bits"}, {Name: "rounded", Percent: true}, {Name: "attacked", Percent: true}, {Name: "certified", Percent: true}}}
	for _, method := range r.main() {
		for i, bits := range r.Config.Bits {
			of := func(f func(b Bits) float64) report.Estimate {
				return report.Interval(r.values(method, func(m Measured) float64 { return f(m.Bits[i]) }))
			}
			t.Rows = append(t.Rows, []any{method, bits, of(func(b Bits) float64 { return b.Rounded }), of(func(b Bits) float64 { return b.Attacked }),
				of(func(b Bits) float64 { return b.Certified })})
		}
	}
	return t
}

func (r *Result) gapTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "Norms and generalization",
		Caption: fmt.Sprintf("%d training examples, %.0f %% of all labels random, %d epochs. Gaps: cross-entropy on test minus on training examples, accuracy the other "+
			"way round. The complexity bound is far above 1: it ranks networks, and says nothing about one.", c.GapTrain, 100*c.GapNoise, c.GapEpochs),
		Columns: []report.Column{{Name: "μ"}, {Name: "gap in cross-entropy"}, {Name: "gap in accuracy", Percent: true}, {Name: "test accuracy", Percent: true, Best: report.Highest},
			{Name: "product of norms"}, {Name: "complexity bound"}}}
	for _, mu := range c.GapMus {
		of := func(f func(g GapPoint) float64) report.Estimate {
			var values []float64
			for _, g := range r.Gaps {
				if g.Mu == mu {
					values = append(values, f(g))
				}
			}
			return report.Interval(values)
		}
		t.Rows = append(t.Rows, []any{fmt.Sprintf("%g", mu), of(GapPoint.Loss), of(GapPoint.Accuracy), of(func(g GapPoint) float64 { return g.TestAccuracy }),
			of(func(g GapPoint) float64 { return floats.Prod(g.Norms) }), of(func(g GapPoint) float64 { return g.Complexity })})
	}
	return t
}

func (r *Result) methodTable() *report.Table {
	t := &report.Table{Title: "Compared methods", Columns: []report.Column{{Name: "model"}, {Name: "training"}}}
	for _, m := range r.Config.Methods() {
		t.Rows = append(t.Rows, []any{m.Name, m.About})
	}
	return t
}
