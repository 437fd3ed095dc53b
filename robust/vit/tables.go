package vit

import (
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// Tables returns the run's tables, means over seeds, from three on with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	tables := []*report.Table{r.AccuracyTable(), r.TransferTable(), r.FrequencyTable()}
	if len(r.Config.Imported) > 0 {
		return tables
	}
	return append(tables, r.BlockTable(), r.ModelTable())
}

// column is a number that a table shows for each model.
type column struct {
	name string
	best report.Best
	of   number
}

// fill gives the table a row a model.
func (r *Result) fill(t *report.Table, columns []column) *report.Table {
	t.Columns = []report.Column{{Name: "model"}}
	for _, c := range columns {
		t.Columns = append(t.Columns, report.Column{Name: c.name, Percent: true, Best: c.best})
	}
	for _, model := range r.Config.Models {
		row := []any{model}
		for _, c := range columns {
			row = append(row, r.cell(model, c.of))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// AccuracyTable shows each model's accuracy under the attacks.
func (r *Result) AccuracyTable() *report.Table {
	c := r.Config
	columns := []column{{"clean", report.Highest, clean}}
	for _, e := range c.Epsilon {
		columns = append(columns, column{fmt.Sprintf("PGD %.3g", e), report.Highest, r.pgd(e)})
	}
	columns = append(columns, column{fmt.Sprintf("FGSM %.3g", c.Reference), report.Highest, r.fgsm(c.Reference)},
		column{fmt.Sprintf("APGD %.3g", c.Reference), report.Highest, strong})
	return r.fill(&report.Table{
		Title: "Accuracy under attack",
		Caption: fmt.Sprintf("On %d test examples of %s, by l-infinity radius. PGD: %d steps of a tenth of the radius. APGD: %d steps, "+
			"cross-entropy, then the targeted ratio of logit differences, on %d examples at radius %.3g.",
			c.Test, r.Data, c.Steps, c.StrongSteps, min(c.StrongImages, c.Test), c.Reference),
	}, columns)
}

// TransferTable shows which attacks carry over.
func (r *Result) TransferTable() *report.Table {
	t := &report.Table{
		Title: "Transfer",
		Caption: fmt.Sprintf("Share of test images that FGSM at radius %.3g, crafted on the network of the row, makes the network of the "+
			"column get wrong, among those that both classify right without it; means over seeds.", r.Config.Reference),
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

// meanTransfer averages the successes over the seeds; NaN where there are none.
func (r *Result) meanTransfer() (models []string, rates [][]float64) {
	if len(r.Transfers) > 0 {
		models = r.Transfers[0].Models
	}
	for _, source := range models {
		var row []float64
		for _, target := range models {
			row = append(row, stat.Mean(r.transfer(source, target), nil))
		}
		rates = append(rates, row)
	}
	return models, rates
}

// FrequencyTable shows each model's accuracy under filtered perturbations.
func (r *Result) FrequencyTable() *report.Table {
	columns := []column{{"unfiltered", report.NoBest, r.pgd(r.Config.Reference)}}
	for _, f := range r.masks() {
		columns = append(columns, column{fmt.Sprintf("%s, r = %d", f.Mask, f.Size), report.NoBest, filtered(f.Mask, f.Size)})
	}
	return r.fill(&report.Table{
		Title: "Attacks by frequency",
		Caption: fmt.Sprintf("Accuracy under PGD at radius %.3g when a mask over the discrete cosine transform leaves only some frequencies "+
			"of the perturbation: low keeps rows and columns below r, high those from r on, complement all but low. Nothing is rescaled.",
			r.Config.Reference),
	}, columns)
}

// BlockTable shows what can be read off each block.
func (r *Result) BlockTable() *report.Table {
	t := &report.Table{
		Title: "What blocks still know of fine detail",
		Caption: "R² of a linear read-out of the image's high frequencies from a block's output, on held-out images: 1 if nothing is lost, " +
			"0 if nothing is left.",
		Columns: []report.Column{{Name: "model"}, {Name: "block"}, {Name: "R²", Format: "%.2f"}},
	}
	for _, model := range r.Config.Models {
		for i, b := range r.blocks(model) {
			t.Rows = append(t.Rows, []any{model, b.Block, r.cell(model, r2(i))})
		}
	}
	return t
}

// blocks are those of a model's first network.
func (r *Result) blocks(model string) []BlockRead {
	if found := r.For(model); len(found) > 0 {
		return found[0].Blocks
	}
	return nil
}

// ModelTable says what each model is.
func (r *Result) ModelTable() *report.Table {
	t := &report.Table{Title: "Compared models", Columns: []report.Column{{Name: "model"}, {Name: "what it is"}, {Name: "weights"}}}
	for _, name := range r.Config.Models {
		row := []any{name, modelOf(name).About}
		if found := r.For(name); len(found) > 0 {
			row = append(row, found[0].Parameters)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
