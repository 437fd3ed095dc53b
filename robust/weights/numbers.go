package weights

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// number is one that networks have, for claims, tables and figures, if it was measured.
type number struct {
	what  string
	of    func(Measured) (float64, bool)
	ratio bool // not a percentage
}

// values takes a number from every network of a method; none where one lacks it.
func (r *Result) values(method string, n number) []float64 { return study.Values(r.For(method), n.of) }

func (r *Result) mean(method string, n number) float64 { return stat.Mean(r.values(method, n), nil) }

// at is a number that stands at a place in a list of the measurements; not measured where the settings leave it out.
func at[S comparable](what string, settings []S, setting S, of func(m Measured, i int) float64) number {
	i := slices.Index(settings, setting)
	return number{what: fmt.Sprintf(what, setting), of: func(m Measured) (float64, bool) {
		if i < 0 {
			return 0, false
		}
		return of(m, i), true
	}}
}

var clean = number{what: "clean accuracy", of: study.Always(func(m Measured) float64 { return m.Clean })}

// attacked is the accuracy under weight PGD inside a radius; 0 is no attack.
func (c Config) attacked(radius float64) number {
	if radius == 0 {
		return clean
	}
	return at("accuracy under weight PGD at %g", c.Epsilon, radius, func(m Measured, i int) float64 { return m.Attacked[i] })
}

func (c Config) random(radius float64) number {
	if radius == 0 {
		return clean
	}
	return at("accuracy with random weights at %g", c.Epsilon, radius, func(m Measured, i int) float64 { return m.Random[i] })
}

// gap is the generalization gap under weight PGD inside a radius; 0 is no attack.
func (c Config) gap(radius float64) number {
	if radius == 0 {
		return number{what: "generalization gap (training minus test accuracy)",
			of: study.Always(func(m Measured) float64 { return m.CleanTrain - m.Clean })}
	}
	return at("generalization gap at %g", c.Epsilon, radius, func(m Measured, i int) float64 { return m.AttackedTrain[i] - m.Attacked[i] })
}

func (c Config) certified(radius float64) number {
	return at("certified accuracy at %g", c.Certify, radius, func(m Measured, i int) float64 { return m.CertifiedBound[i] })
}

func (c Config) intervals(radius float64) number {
	return at("accuracy certified by intervals at %g", c.Certify, radius, func(m Measured, i int) float64 { return m.CertifiedIBP[i] })
}

// rounded is the accuracy with rounded weights, roundedAttacked that under weight PGD inside the radii that rounding
// cannot leave, roundedCertified what is certified inside them.
func (c Config) rounded(bits int) number {
	return at("accuracy with weights of %d bits", c.Bits, bits, func(m Measured, i int) float64 { return m.Bits[i].Rounded })
}

func (c Config) roundedAttacked(bits int) number {
	return at("accuracy inside the radii of %d bits", c.Bits, bits, func(m Measured, i int) float64 { return m.Bits[i].Attacked })
}

func (c Config) roundedCertified(bits int) number {
	return at("certified accuracy inside the radii of %d bits", c.Bits, bits, func(m Measured, i int) float64 { return m.Bits[i].Certified })
}

func (c Config) tightness(radius float64) number {
	n := at("median fall of the margin under attack, divided by its bound, at %g", c.VerifyAt, radius,
		func(m Measured, i int) float64 { return m.Checks[i].MedianTightness })
	n.ratio = true
	return n
}

// fall tells whether the attacks on the bounds do anything.
var fall = number{what: "median fall of the margin under attack, divided by its bound, the largest over the radii", ratio: true,
	of: func(m Measured) (largest float64, ok bool) {
		for _, v := range m.Checks {
			largest = max(largest, v.MedianTightness)
		}
		return largest, len(m.Checks) > 0
	}}

// layer is a number of a layer perturbed alone, from 0.
func layer(k int, of func(Layer) float64) number {
	return number{of: func(m Measured) (float64, bool) {
		if k >= len(m.Layers) {
			return 0, false
		}
		return of(m.Layers[k]), true
	}}
}

// layerCost tells whether attacks on single layers do anything.
var layerCost = number{what: "largest accuracy lost to weight PGD on one layer", of: func(m Measured) (cost float64, ok bool) {
	for _, l := range m.Layers {
		cost = max(cost, m.Clean-l.Attacked)
	}
	return cost, len(m.Layers) > 0
}}

// layerOrder compares the order of the layers by their bounds with that by what attacking them costs.
var layerOrder = number{what: "Kendall's τ over the layers between what the bound allows and what attacking the layer costs", ratio: true,
	of: func(m Measured) (float64, bool) {
		var bound, cost []float64
		for _, l := range m.Layers {
			bound, cost = append(bound, l.Bound), append(cost, m.Clean-l.Attacked)
		}
		if len(bound) < 2 {
			return 0, false
		}
		return stat.Kendall(bound, cost, nil), true
	}}

// lostTo is what an accuracy lacks to the clean one.
func lostTo(what string, left number) number {
	return number{what: fmt.Sprintf("accuracy lost to %s (%s)", what, left.what), of: func(m Measured) (float64, bool) {
		a, ok := left.of(m)
		return m.Clean - a, ok
	}}
}

// of tests a number of a method.
func (r *Result) of(method string, n number, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: n.what + ", " + method, Values: r.values(method, n), Relation: relation, Threshold: threshold, Percent: !n.ratio}
}

// minus tests the difference of a number between two methods, seed by seed.
func (r *Result) minus(method, other string, n number, relation report.Relation, threshold float64) report.Test {
	t := r.of(method+" minus "+other, n, relation, threshold)
	t.Values = study.Minus(r.values(method, n), r.values(other, n))
	return t
}

// broken counts the perturbations, of those tried, that broke a bound.
func (m Measured) broken() (n int) {
	for _, v := range m.Checks {
		n += v.Margin + v.IBP + v.Loss
	}
	return n
}

func (m Measured) tried() (n int) {
	for _, v := range m.Checks {
		n += v.Random + v.Adversarial
	}
	return n
}

// misrounded counts examples with a certificate that rounding misclassifies all the same.
func (m Measured) misrounded() (n int) {
	for _, b := range m.Bits {
		n += b.Broken
	}
	return n
}
