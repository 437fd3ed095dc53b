package pairgan

import (
	"fmt"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.SourceTable(), r.MethodTable(), r.ContentTable(), r.PairsTable()}
}

func interval(values []float64) any {
	if len(values) == 0 {
		return "–"
	}
	return report.Interval(values)
}

// SourceTable tells of stage 1.
func (r *Result) SourceTable() *report.Table {
	t := &report.Table{Title: "Content and appearance in the source",
		Caption: "Held-out images: the share whose digit a classifier sees that no training used, of the images, of what is put together from " +
			"their codes, and of each content in another image's appearance; and how often the swapped image has the other's color.",
		Columns: []report.Column{{Name: "seed"}, {Name: "images", Percent: true}, {Name: "reconstructed", Percent: true},
			{Name: "swapped", Percent: true}, {Name: "color follows", Percent: true}, {Name: "squared error", Format: "%.3f"}}}
	for _, m := range r.Sources {
		t.Rows = append(t.Rows, []any{m.Seed, m.Real, m.Again, m.Swapped, m.Color, m.Error})
	}
	return t
}

// MethodTable compares methods by the distributions of their samples.
func (r *Result) MethodTable() *report.Table {
	t := &report.Table{Title: "Samples against held-out target images",
		Caption: fmt.Sprintf("%d samples a method, %d pairs to learn from. FID-f and KID-f are distances by %d features of a classifier of "+
			"target images; they compare methods within this table. Diversity is a share of that of real images, newness the distance to the "+
			"few-shot images as a share of that of held-out ones.", r.Config.HeldOut, r.Config.Pairs, features),
		Columns: []report.Column{{Name: "method"}, {Name: "FID-f", Format: "%.1f"}, {Name: "KID-f", Format: "%.1f"},
			{Name: "precision", Percent: true}, {Name: "recall", Percent: true}, {Name: "density", Format: "%.2f"},
			{Name: "coverage", Percent: true}, {Name: "diversity", Format: "%.2f"}, {Name: "digits", Format: "%.1f"},
			{Name: "newness", Format: "%.2f"}}}
	for _, name := range r.Config.Methods {
		of := func(n number) any { return interval(study.Values(r.For(name), n)) }
		t.Rows = append(t.Rows, []any{name, of(frechet), of(kernel), of(precision), of(always(func(m Measured) float64 { return m.Recall })),
			of(always(func(m Measured) float64 { return m.Density })), of(coverage), of(diversity), of(classes), of(memory)})
	}
	return t
}

// ContentTable tells whether samples show what they were made of.
func (r *Result) ContentTable() *report.Table {
	t := &report.Table{Title: "Do samples show what they were made of?",
		Caption: "The share of samples that show the digit of the source image whose content they were given: what distances of distributions " +
			"do not see. The squared error is that of the few pairs' own reconstructions; the last column tells how the ink's color follows the " +
			"appearance, the least correlation of a channel in which inks differ.",
		Columns: []report.Column{{Name: "method"}, {Name: "digit kept", Percent: true}, {Name: "squared error", Format: "%.3f"},
			{Name: "ink follows", Format: "%.2f"}}}
	for _, name := range r.Config.Methods {
		rows := r.For(name)
		if len(study.Values(rows, content)) == 0 {
			continue
		}
		wrong := study.Values(rows, func(m Measured) (float64, bool) { return optional(m.Error) })
		t.Rows = append(t.Rows, []any{name, interval(study.Values(rows, content)), interval(wrong), interval(study.Values(rows, ink))})
	}
	return t
}

// with are the measurements of [Full] with so many pairs.
func (r *Result) with(pairs int) []Measured {
	if pairs == r.Config.Pairs {
		return r.For(Full)
	}
	return study.Where(r.Swept, func(m Measured) bool { return m.Pairs == pairs })
}

// PairsTable shows what more pairs bring.
func (r *Result) PairsTable() *report.Table {
	t := &report.Table{Title: "How many pairs it takes", Caption: "The method with other numbers of pairs, of the same stage 1.",
		Columns: []report.Column{{Name: "pairs"}, {Name: "FID-f", Format: "%.1f"}, {Name: "diversity", Format: "%.2f"},
			{Name: "digit kept", Percent: true}}}
	for _, k := range r.Config.numbers() {
		rows := r.with(k)
		if len(rows) == 0 {
			continue
		}
		t.Rows = append(t.Rows, []any{k, interval(study.Values(rows, frechet)), interval(study.Values(rows, diversity)),
			interval(study.Values(rows, content))})
	}
	return t
}
