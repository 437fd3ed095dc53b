package maml

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/fewshot/meta"
	"github.com/trustbook/trustbook/report"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.AccuracyTable(), r.MapTable(), r.MaskingTable(), r.SeedTable()}
}

// AccuracyTable compares the methods.
func (r *Result) AccuracyTable() *report.Table {
	c := r.Config
	percent := func(name string) report.Column { return report.Column{Name: name, Percent: true, Best: report.Highest} }
	t := &report.Table{Title: "Accuracy after fine-tuning", Caption: fmt.Sprintf("%d-way, %d-shot, %d test tasks with %d query images of "+
		"each class, judged together. Robust: under PGD-%d against the fine-tuned network, radius %.3g. Intervals over seeds. Fine-tuning sees "+
		"clean images; for methods that train with adversarial fine-tuning, two columns give that too, over %d tasks. Cost: passes forward and "+
		"backward a task in a meta-update.", c.Ways, c.Shots, c.TestTasks,
		c.TestQueries, c.AttackSteps, c.Epsilon, min(c.TestTasks, c.SweepTasks)),
		Columns: []report.Column{{Name: "method"}, percent("accuracy"), percent("robust"), percent("accuracy, robust fine-tuning"),
			percent("robust, robust fine-tuning"), {Name: "cost", Format: "%.0f", Best: report.Lowest}, {Name: "training"}}}
	numbers := []number{standard, robust, adversarial(func(a meta.Accuracy) float64 { return a.SA }),
		adversarial(func(a meta.Accuracy) float64 { return a.RA })}
	for _, name := range c.Methods {
		m, row := c.Method(name), []any{name}
		for _, of := range numbers {
			row = append(row, report.Interval(r.values(name, of)))
		}
		training := m.String()
		if found := r.For(name); len(found) > 0 && found[0].Unlabeled > 0 {
			training += fmt.Sprintf(", %d unlabeled of each class", found[0].Unlabeled)
		}
		t.Rows = append(t.Rows, append(row, float64(m.Passes()), training))
	}
	return t
}

// MapTable has the numbers of what excites neurons.
func (r *Result) MapTable() *report.Table {
	t := &report.Table{Title: "What excites neurons",
		Caption: "Means over neurons, with intervals over seeds. Low frequencies: share of a map's energy below a quarter of " +
			"Nyquist's frequency.",
		Columns: []report.Column{{Name: "method"}, {Name: "low frequencies", Percent: true}, {Name: "after fine-tuning", Percent: true},
			{Name: "cosine before and after fine-tuning", Format: "%.2f"}}}
	for _, name := range []string{MAML, Out} {
		row := []any{name}
		for _, of := range []func(m meta.Maps) float64{
			func(m meta.Maps) float64 { return m.LowFrequency },
			func(m meta.Maps) float64 { return stat.Mean(r.lowFrequencies(m.After), nil) },
			func(m meta.Maps) float64 { return m.Cosine },
		} {
			row = append(row, report.Interval(r.values(name, maps(of))))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// MaskingTable shows out under weaker and stronger attacks.
func (r *Result) MaskingTable() *report.Table {
	t := &report.Table{Title: "Weaker and stronger attacks on out", Caption: fmt.Sprintf("The same %d test tasks of each seed, intervals "+
		"over seeds. Were robustness a lack of gradients, one step would do more than many, or many more much more.", r.Config.MaskingTasks),
		Columns: []report.Column{{Name: "attack"}, {Name: "robust accuracy", Percent: true}}}
	for _, attack := range []struct {
		name     string
		accuracy func(m Masking) float64
	}{
		{"FGSM", func(m Masking) float64 { return m.Fast }},
		{fmt.Sprintf("PGD-%d", r.Config.AttackSteps), func(m Masking) float64 { return m.Usual }},
		{"PGD-50, worst of 3 restarts", func(m Masking) float64 { return m.Strong }},
	} {
		t.Rows = append(t.Rows, []any{attack.name, report.Interval(r.values(Out, masking(attack.accuracy)))})
	}
	return t
}

// SeedTable has the intervals over test tasks, seed by seed.
func (r *Result) SeedTable() *report.Table {
	t := &report.Table{Title: "Seed by seed",
		Caption: fmt.Sprintf("Means over %d test tasks, with 95 %% intervals over these tasks.", r.Config.TestTasks),
		Columns: []report.Column{{Name: "method"}, {Name: "seed", Format: "%.0f"}, {Name: "accuracy", Percent: true},
			{Name: "robust", Percent: true}}}
	around := func(mean, half float64) report.Estimate {
		if r.Config.TestTasks < 2 {
			half = math.NaN() // one task has no interval
		}
		return report.Estimate{Mean: mean, Low: mean - half, High: mean + half, N: r.Config.TestTasks}
	}
	for _, m := range r.Models {
		t.Rows = append(t.Rows, []any{m.Method, float64(m.Seed), around(m.Tested.SA, m.Tested.SAHalf), around(m.Tested.RA, m.Tested.RAHalf)})
	}
	return t
}
