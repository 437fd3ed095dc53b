package vit

import (
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// number is a number of a network that tables, figures and claims show; not ok where it was not measured.
type number func(m Measured) (value float64, ok bool)

// judgedMask is the mask by which sensitivity to high frequencies is judged.
const judgedMask = "high"

func clean(m Measured) (float64, bool) { return m.Clean, true }

func strong(m Measured) (float64, bool) { return m.Strong, true }

// fgsm and pgd are the accuracies under attack at a radius.
func (r *Result) fgsm(epsilon float64) number {
	return func(m Measured) (float64, bool) { return entry(m.FGSM, slices.Index(r.Config.Epsilon, epsilon)) }
}

func (r *Result) pgd(epsilon float64) number {
	return func(m Measured) (float64, bool) { return entry(m.PGD, slices.Index(r.Config.Epsilon, epsilon)) }
}

// filtered is the accuracy under PGD with only some frequencies left.
func filtered(mask string, size int) number {
	return func(m Measured) (float64, bool) {
		for _, f := range m.Filtered {
			if f.Mask == mask && f.Size == size {
				return f.Accuracy, true
			}
		}
		return 0, false
	}
}

// lost is the clean accuracy minus another: what an attack takes.
func lost(accuracy number) number {
	return func(m Measured) (float64, bool) {
		left, ok := accuracy(m)
		return m.Clean - left, ok
	}
}

// lostToHigh is the accuracy that PGD takes with its high frequencies alone.
func (r *Result) lostToHigh() number { return lost(filtered(judgedMask, r.middleSize())) }

// r2 is what can be read off a block, lowLevel the mean over the blocks.
func r2(block int) number {
	return func(m Measured) (float64, bool) { return entry(m.r2s(), block) }
}

func lowLevel(m Measured) (float64, bool) { return stat.Mean(m.r2s(), nil), len(m.Blocks) > 0 }

func (m Measured) r2s() (all []float64) {
	for _, b := range m.Blocks {
		all = append(all, b.R2)
	}
	return all
}

func entry(list []float64, i int) (float64, bool) {
	if i < 0 || i >= len(list) {
		return 0, false
	}
	return list[i], true
}

// masks are those of the run, in the order of its results.
func (r *Result) masks() []Filtered {
	if len(r.Networks) == 0 {
		return nil
	}
	return r.Networks[0].Filtered
}

// middleSize is the r of the masks that figures and claims look at.
func (r *Result) middleSize() int {
	if f := r.masks(); len(f) > 0 {
		return f[len(f)/2].Size
	}
	return 0 // which no mask has
}

// values are a number of each seed's network of a model; none if the run left the model out or did not measure it.
func (r *Result) values(model string, of number) []float64 { return study.Values(r.For(model), of) }

// mean is that of the values, NaN without any.
func (r *Result) mean(model string, of number) float64 { return stat.Mean(r.values(model, of), nil) }

// cell is the interval over seeds in a table; for fewer than three seeds, where an interval says nothing, the mean.
func (r *Result) cell(model string, of number) any {
	if values := r.values(model, of); len(values) >= 3 {
		return report.Interval(values)
	}
	return r.mean(model, of)
}

// natural are the models of the run that were trained without attacks or pre-training; all of them if they are imported
// or if there are none.
func (r *Result) natural() []string {
	names := study.Where(r.Config.Models, func(name string) bool { return len(r.Config.Imported) > 0 || modelOf(name).natural() })
	if names == nil {
		return r.Config.Models
	}
	return names
}

// transfer is the success, seed by seed, of perturbations crafted on one model on another; none if a seed lacks it.
func (r *Result) transfer(source, target string) []float64 {
	return study.Values(r.Transfers, func(t Transfer) (float64, bool) { return t.success(source, target) })
}
