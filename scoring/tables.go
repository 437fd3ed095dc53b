package scoring

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.MeasureTable(), r.VariantTable(), r.InvarianceTable(), r.ZooTable()}
}

// MeasureTable tells how well each measure, and the best of random ones, predicts the gap.
func (r *Result) MeasureTable() *report.Table {
	best := func(name, format string) report.Column {
		return report.Column{Name: name, Best: report.Highest, Format: format}
	}
	t := &report.Table{Title: "How well measures predict the gap",
		Caption: fmt.Sprintf("Zoos of %d networks, means over %d seeds with 95 %% intervals. τ: Kendall's rank correlation with the gap. "+
			"CMI: conditional mutual information times 100, the competition's score. All measures are turned to grow with the gap.",
			len(r.Config.Networks()), len(r.Config.Seeds)),
		Columns: []report.Column{{Name: "measure"}, best("τ", "%.2f"), best("adjusted R²", "%.2f"), best("CMI", "%.1f")}}
	for _, name := range r.MeasureNames() {
		of := func(number func(Evaluation) float64) any { return report.Interval(r.evaluations(name, number)) }
		t.Rows = append(t.Rows, []any{name, of(tauOf), of(r2Of), of(cmiOf)})
	}
	of := func(number func(Chance) float64) any {
		return report.Interval(study.Values(r.Chances, study.Always(number)))
	}
	t.Rows = append(t.Rows, []any{fmt.Sprintf("best 5 %% of %d random measures", r.Config.Random),
		of(func(x Chance) float64 { return x.TopTau }), of(func(x Chance) float64 { return x.TopR2 }),
		of(func(x Chance) float64 { return x.Top })})
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

// VariantTable tells how much the open choices matter: Kendall's τ of each variant, by curve that begins at magnitude 0.
func (r *Result) VariantTable() *report.Table {
	t := &report.Table{Title: "Do the open choices matter?", Caption: "Kendall's τ with the gap, means over seeds.",
		Columns: []report.Column{{Name: "score"}}}
	var curves []string
	for _, name := range r.CurveNames() {
		if at := r.magnitudes(name); len(at) > 0 && at[0] == 0 {
			curves = append(curves, name)
			t.Columns = append(t.Columns, report.Column{Name: name, Format: "%.2f", Best: report.Highest})
		}
	}
	for _, v := range Variants {
		row := []any{v.Name}
		for _, name := range curves {
			row = append(row, report.Interval(r.eachSeed(func(seed int64) (float64, bool) {
				scores := study.Values(r.zoo(seed), func(m Measured) (float64, bool) {
					s, err := v.Score(m.Curves[name])
					return s, err == nil
				})
				tau, err := KendallTauB(scores, r.zooGaps(seed))
				return tau, err == nil
			})))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// InvarianceTable has the scores of the networks that learned an invariance.
func (r *Result) InvarianceTable() *report.Table {
	t := &report.Table{Title: "Scores and invariance to rotation",
		Caption: "Networks whose training examples were turned by up to an angle, scored under rotation from -90° to 90°. The Pal-score is of " +
			"the folded curve.",
		Columns: []report.Column{{Name: "width"}, {Name: "turned by up to", Format: "%g°"}, {Name: "Gi", Best: report.Lowest, Format: "%.3f"},
			{Name: "Pal", Best: report.Highest, Format: "%.1f"}}}
	for _, width := range r.Config.Widths {
		for _, angle := range r.Config.Angles {
			t.Rows = append(t.Rows, []any{width, angle, r.invariance(width, angle, giOf), r.invariance(width, angle, palOf)})
		}
	}
	return t
}

// invariance is a score of the networks of a width and angle, over seeds; of nothing where it is undefined for one.
func (r *Result) invariance(width int, angle float64, score func(Curve) (float64, error)) report.Estimate {
	some := study.Where(r.Invariants, func(v Invariant) bool { return v.Width == width && v.Angle == angle })
	return report.Interval(study.Values(some, ofCurve(score)))
}

// ZooTable averages over the networks with each value of each hyper-parameter.
func (r *Result) ZooTable() *report.Table {
	percent := func(name string) report.Column { return report.Column{Name: name, Percent: true} }
	t := &report.Table{Title: "The zoo",
		Caption: fmt.Sprintf("Means over all networks that have a setting, with intervals over seeds. %d networks a seed.",
			len(r.Config.Networks())),
		Columns: []report.Column{{Name: "setting"}, percent("training accuracy"), percent("test accuracy"), percent("gap"),
			{Name: "epochs", Format: "%.0f"}}}
	networks := r.Config.Networks()
	for k, h := range networks[0].Hyperparameters() {
		var values []string
		for _, n := range networks {
			if v := n.Hyperparameters()[k].Value; !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
		if len(values) < 2 {
			continue
		}
		for _, value := range values {
			mean := func(of func(m Measured) float64) any {
				return report.Interval(r.eachSeed(func(seed int64) (float64, bool) {
					some := study.Where(r.zoo(seed), func(m Measured) bool { return m.Hyperparameters()[k].Value == value })
					return stat.Mean(study.Values(some, study.Always(of)), nil), len(some) > 0
				}))
			}
			t.Rows = append(t.Rows, []any{h.Name + " " + value, mean(func(m Measured) float64 { return m.TrainAccuracy }),
				mean(func(m Measured) float64 { return m.TestAccuracy }), mean(Measured.Gap),
				mean(func(m Measured) float64 { return float64(m.Epochs) })})
		}
	}
	return t
}
