package study

import (
	"cmp"
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// Source says where the numbers of a run's claims come from.
type Source struct {
	Paper   string // arXiv id
	Scale   string
	Dataset string
	N       int // examples that each number rests on, of claims that do not say so themselves
	Seeds   []int64
}

// Number gives the claims their numbers, from 1, and the source of their values. At smoke scale no claim is tested: the
// scale proves that everything runs, and its numbers mean nothing. What a claim has to say for itself stays.
func (s Source) Number(claims []report.Claim) []report.Claim {
	for i := range claims {
		c := &claims[i]
		c.ID = fmt.Sprintf("%s/%d", s.Paper, i+1)
		c.Scale, c.Dataset, c.N, c.Seeds = s.Scale, s.Dataset, cmp.Or(c.N, s.N), s.Seeds
		if s.Scale == "smoke" {
			c.Parts, c.Reason = nil, "smoke scale: it proves that everything runs, its numbers mean nothing"
		}
	}
	return claims
}

// Values takes one number from each of a method's networks; none where one of the networks lacks it: what was not
// measured for every seed is not measured.
func Values[T any](measured []T, of func(T) (float64, bool)) []float64 {
	values := make([]float64, 0, len(measured))
	for _, m := range measured {
		v, ok := of(m)
		if !ok {
			return nil
		}
		values = append(values, v)
	}
	return values
}

// Always makes a number that every network has one for [Values].
func Always[T any](of func(T) float64) func(T) (float64, bool) {
	return func(m T) (float64, bool) { return of(m), true }
}

// Minus subtracts seed by seed; nil where one of the lists is of other seeds or was not measured.
func Minus(a, b []float64) []float64 {
	if len(a) != len(b) {
		return nil
	}
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

// Percent writes the mean of accuracies, "–" where there are none.
func Percent(values []float64) string {
	if len(values) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f%%", 100*stat.Mean(values, nil))
}

// Where returns the elements for which the condition holds, in their order.
func Where[T any](all []T, holds func(T) bool) (some []T) {
	for _, x := range all {
		if holds(x) {
			some = append(some, x)
		}
	}
	return some
}
