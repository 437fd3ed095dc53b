package vit

import (
	"fmt"

	"github.com/trustbook/trustbook/report"
)

// Tables returns the run's tables, means over seeds, from three on with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	tables := []*report.Table{r.accuracyTable(), r.transferTable(), r.frequencyTable()}
	if len(r.Config.Imported) > 0 {
		return tables
	}
	return append(tables, r.blockTable(), r.modelTable())
}

func (r *Result) accuracyTable() *report.Table {
	c := r.Config
	t := &report.Table{
		Title: "Accuracy under attack",
		Caption: fmt.Sprintf("On %d test examples of %s, by l-infinity radius. PGD: %d steps of a tenth of the radius. APGD: %d steps, cross-entropy, then the targeted "+
			"ratio of logit differences, on %d examples at radius %.3g.", c.Test, r.Data, c.Steps, c.StrongSteps, min(c.StrongImages, c.Test), c.Reference),
		Columns: []report.Column{{Name: "model"}, {Name: "clean", Percent: true, Best: report.Highest}},
	}
	for _, e := range c.Epsilon {
		t.Columns = append(t.Columns, report.Column{Name: fmt.Sprintf("PGD %.3g", e), Percent: true, Best: report.Highest})
	}
	t.Columns = append(t.Columns, report.Column{Name: fmt.Sprintf("FGSM %.3g", c.Reference), Percent: true, Best: report.Highest},
		report.Column{Name: fmt.Sprintf("APGD %.3g", c.Reference), Percent: true, Best: report.Highest})
	for _, model := range c.Models {
		row := []any{model, spread(r.values(model, func(m Measured) float64 { return m.Clean }))}
		for i := range c.Epsilon {
			row = append(row, spread(r.values(model, func(m Measured) float64 { return m.PGD[i] })))
		}
		row = append(row, spread(r.values(model, r.fgsm)), spread(r.values(model, func(m Measured) float64 { return m.Strong })))
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Result) transferTable() *report.Table {
	t := &report.Table{
		Title: "Transfer",
		Caption: fmt.Sprintf("Share of test images that FGSM at radius %.3g, crafted on the network of the row, makes the network of the column get wrong, "+
			"among those that both classify right without it; means over seeds.", r.Config.Reference),
		Columns: []report.Column{{Name: "crafted on"}},
	}
	models, rates := r.meanTransfer()
	for i, m := range models {
		t.Columns = append(t.Columns, report.Column{Name: m, Percent: true})
		row := []any{m}
		for _, v := range rates[i] {
			row = append(row, v)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// meanTransfer averages Transfer.Both over the seeds.
func (r *Result) meanTransfer() (models []string, rates [][]float64) {
	for k, x := range r.Transfers {
		if k == 0 {
			models = x.Models
			for range models {
				rates = append(rates, make([]float64, len(models)))
			}
		}
		for i, row := range x.Both {
			for j, v := range row {
				rates[i][j] += v / float64(len(r.Transfers))
			}
		}
	}
	return models, rates
}

func (r *Result) frequencyTable() *report.Table {
	t := &report.Table{
		Title: "Attacks by frequency",
		Caption: fmt.Sprintf("Accuracy under PGD at radius %.3g when a mask over the discrete cosine transform leaves only some frequencies of the perturbation: "+
			"low keeps rows and columns below r, high those from r on, complement all but low. Nothing is rescaled.", r.Config.Reference),
		Columns: []report.Column{{Name: "model"}, {Name: "unfiltered", Percent: true}},
	}
	if len(r.Networks) == 0 {
		return t
	}
	masks := r.Networks[0].Filtered
	for _, f := range masks {
		t.Columns = append(t.Columns, report.Column{Name: fmt.Sprintf("%s, r = %d", f.Mask, f.Size), Percent: true})
	}
	for _, model := range r.Config.Models {
		row := []any{model, spread(r.values(model, r.pgd))}
		for i := range masks {
			row = append(row, spread(r.values(model, func(m Measured) float64 { return m.Filtered[i].Accuracy })))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Result) blockTable() *report.Table {
	t := &report.Table{
		Title:   "What blocks still know of fine detail",
		Caption: "R² of a linear read-out of the image's high frequencies from a block's output, on held-out images: 1 if nothing is lost, 0 if nothing is left.",
		Columns: []report.Column{{Name: "model"}, {Name: "block"}, {Name: "R²", Format: "%.2f"}},
	}
	for _, model := range r.Config.Models {
		found := r.For(model)
		if len(found) == 0 {
			continue
		}
		for i, b := range found[0].Blocks {
			t.Rows = append(t.Rows, []any{model, b.Block, spread(r.values(model, func(m Measured) float64 { return m.Blocks[i].R2 }))})
		}
	}
	return t
}

func (r *Result) modelTable() *report.Table {
	t := &report.Table{Title: "Compared models", Columns: []report.Column{{Name: "model"}, {Name: "what it is"}, {Name: "weights"}}}
	for _, name := range r.Config.Models {
		about, weights := "", 0
		if models, err := modelsNamed([]string{name}); err == nil {
			about = models[0].About
		}
		for _, m := range r.For(name) {
			weights = m.Parameters
		}
		t.Rows = append(t.Rows, []any{name, about, weights})
	}
	return t
}

// spread is the interval over seeds in a table; for fewer than three seeds, where an interval says nothing, the mean.
func spread(values []float64) any {
	if len(values) < 3 {
		return mean(values)
	}
	return report.Interval(values)
}

func (r *Result) fgsm(m Measured) float64 {
	for i, e := range r.Config.Epsilon {
		if e == r.Config.Reference {
			return m.FGSM[i]
		}
	}
	return 0
}
