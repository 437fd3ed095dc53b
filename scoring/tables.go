package scoring

import (
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.measureTable(), r.variantTable(), r.invarianceTable(), r.zooTable()}
}

func (r *Result) measureTable() *report.Table {
	best := func(name, format string) report.Column {
		return report.Column{Name: name, Best: report.Highest, Format: format}
	}
	t := &report.Table{Title: "How well measures predict the gap",
		Caption: fmt.Sprintf("Zoos of %d networks, means over %d seeds with 95 %% intervals. τ: Kendall's rank correlation with the gap. CMI: conditional mutual "+
			"information times 100, the competition's score. All measures are turned to grow with the gap.", len(r.Config.Networks()), len(r.Config.Seeds)),
		Columns: []report.Column{{Name: "measure"}, best("τ", "%.2f"), best("adjusted R²", "%.2f"), best("CMI", "%.1f")}}
	for _, name := range r.MeasureNames() {
		t.Rows = append(t.Rows, []any{name, report.Interval(r.evaluations(name, tauOf)), report.Interval(r.evaluations(name, r2Of)), report.Interval(r.evaluations(name, cmiOf))})
	}
	of := func(f func(x Chance) float64) any {
		var values []float64
		for _, x := range r.Chances {
			values = append(values, f(x))
		}
		return report.Interval(values)
	}
	t.Rows = append(t.Rows, []any{fmt.Sprintf("best 5 %% of %d random measures", r.Config.Random), of(func(x Chance) float64 { return x.TopTau }),
		of(func(x Chance) float64 { return x.TopR2 }), of(func(x Chance) float64 { return x.Top })})
	return t
}

// Variant is another way to take a score of the same curves.
type Variant struct {
	Name  string
	Score func(c Curve) (float64, error)
}

// Variants are the choices that the paper's abstract leaves open, and a coarser grid.
var Variants = []Variant{
	{"Gi, perfect ideal", func(c Curve) (float64, error) { return GiScore(c, IdealPerfect) }},
	{"Gi, invariant ideal", func(c Curve) (float64, error) { return GiScore(c, IdealInvariant) }},
	{"Gi, every other magnitude", func(c Curve) (float64, error) { return GiScore(everyOther(c), IdealPerfect) }},
	{"−Pal, 0.6 over 0.1", func(c Curve) (float64, error) { return negative(PalScore(c, PalFractions{})) }},
	{"−Pal, 0.1 over 0.4", func(c Curve) (float64, error) { return negative(PalScore(c, PalFractions{Top: 0.1, Bottom: 0.4})) }},
	{"−Pal, every other magnitude", func(c Curve) (float64, error) { return negative(PalScore(everyOther(c), PalFractions{})) }},
	{"error at the largest magnitude", func(c Curve) (float64, error) { return 1 - c.Accuracies[len(c.Accuracies)-1], c.Validate() }},
}

func negative(v float64, err error) (float64, error) { return -v, err }

func everyOther(c Curve) (coarse Curve) {
	for i := 0; i < len(c.Magnitudes); i += 2 {
		coarse.Magnitudes, coarse.Accuracies = append(coarse.Magnitudes, c.Magnitudes[i]), append(coarse.Accuracies, c.Accuracies[i])
	}
	return coarse
}

// variantTable tells how much the open choices matter: Kendall's τ of each variant, by curve.
func (r *Result) variantTable() *report.Table {
	t := &report.Table{Title: "Do the open choices matter?", Caption: "Kendall's τ with the gap, means over seeds.", Columns: []report.Column{{Name: "score"}}}
	var curves []string
	for _, name := range r.CurveNames() {
		if len(r.Zoo) > 0 && r.Zoo[0].Curves[name].Magnitudes[0] == 0 {
			curves = append(curves, name)
			t.Columns = append(t.Columns, report.Column{Name: name, Format: "%.2f", Best: report.Highest})
		}
	}
	for _, v := range Variants {
		row := []any{v.Name}
		for _, name := range curves {
			var taus []float64
			for _, seed := range r.Config.Seeds {
				var scores []float64
				for _, m := range r.Zoo {
					if m.Seed != seed {
						continue
					}
					if s, err := v.Score(m.Curves[name]); err == nil {
						scores = append(scores, s)
					}
				}
				tau, err := KendallTauB(scores, r.gaps(seed))
				if err == nil {
					taus = append(taus, tau)
				}
			}
			row = append(row, report.Interval(taus))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Result) invarianceTable() *report.Table {
	t := &report.Table{Title: "Scores and invariance to rotation",
		Caption: "Networks whose training examples were turned by up to an angle, scored under rotation from -90° to 90°. The Pal-score is of the folded curve.",
		Columns: []report.Column{{Name: "width"}, {Name: "turned by up to", Format: "%g°"}, {Name: "Gi", Best: report.Lowest, Format: "%.3f"}, {Name: "Pal", Best: report.Highest, Format: "%.1f"}}}
	for _, width := range r.Config.Widths {
		for _, angle := range r.Config.Angles {
			gi, pal := r.invariance(width, angle)
			t.Rows = append(t.Rows, []any{width, angle, report.Interval(gi), report.Interval(pal)})
		}
	}
	return t
}

// invariance are the scores of a width and angle, one a seed; a Pal-score that is undefined is left out.
func (r *Result) invariance(width int, angle float64) (gi, pal []float64) {
	for _, v := range r.Invariants {
		if v.Width != width || v.Angle != angle {
			continue
		}
		g, p, err := v.Scores()
		gi = append(gi, g)
		if err == nil {
			pal = append(pal, p)
		}
	}
	return gi, pal
}

// zooTable averages over the networks with each value of each hyper-parameter.
func (r *Result) zooTable() *report.Table {
	percent := func(name string) report.Column { return report.Column{Name: name, Percent: true} }
	t := &report.Table{Title: "The zoo", Caption: fmt.Sprintf("Means over all networks that have a setting, with intervals over seeds. %d networks a seed.", len(r.Config.Networks())),
		Columns: []report.Column{{Name: "setting"}, percent("training accuracy"), percent("test accuracy"), percent("gap"), {Name: "epochs", Format: "%.0f"}}}
	if len(r.Zoo) == 0 {
		return t
	}
	for k, h := range r.Zoo[0].Hyperparameters() {
		var values []string
		by := map[string]bool{}
		for _, m := range r.Zoo {
			if v := m.Hyperparameters()[k].Value; !by[v] {
				by[v], values = true, append(values, v)
			}
		}
		if len(values) < 2 {
			continue
		}
		for _, value := range values {
			mean := func(of func(m Measured) float64) any {
				return report.Interval(r.perSeed(func(seed int64) float64 {
					var all []float64
					for _, m := range r.Zoo {
						if m.Seed == seed && m.Hyperparameters()[k].Value == value {
							all = append(all, of(m))
						}
					}
					return stat.Mean(all, nil)
				}))
			}
			t.Rows = append(t.Rows, []any{h.Name + " " + value, mean(func(m Measured) float64 { return m.TrainAccuracy }),
				mean(func(m Measured) float64 { return m.TestAccuracy }), mean(Measured.Gap), mean(func(m Measured) float64 { return float64(m.Epochs) })})
		}
	}
	return t
}
