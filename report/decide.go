package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Decision is what the values of a claim amount to.
type Decision struct {
	Verdict Verdict
	// K of the claim's N parts are replicated.
	K, N int
	// Note says what a reader must know about the verdict; empty when there is nothing to say.
	Note string
	// Parts are the outcomes of the parts.
	Parts []Outcome
}

// String returns the verdict in words: "replicated", "replicated in part (2 of 3)".
func (d Decision) String() string {
	if d.Verdict == InPart {
		return fmt.Sprintf("%s (%d of %d)", d.Verdict, d.K, d.N)
	}
	return string(d.Verdict)
}

// Outcome is what the values of a test, or of a part with its controls, amount to.
type Outcome struct {
	// Verdict is Replicated, Contradicted, Inconclusive or NotTested.
	Verdict Verdict
	// Estimate is the mean over seeds with its interval; N is 0 where there are no values.
	Estimate Estimate
	// Note says why the verdict is not a firm one; empty where the numbers beside it tell all.
	Note string
}

// Interval returns the mean of the values with its two-sided 95% confidence interval, Student's t with
// len(values)-1 degrees of freedom. With one value there is no interval: Low and High are NaN.
func Interval(values []float64) Estimate {
	e := Estimate{Mean: math.NaN(), Low: math.NaN(), High: math.NaN(), N: len(values)}
	switch len(values) {
	case 0:
		return e
	case 1:
		e.Mean = values[0]
		return e
	}
	mean, sd := stat.MeanStdDev(values, nil)
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(len(values) - 1)}.Quantile(0.5 + Confidence/2)
	half := t * sd / math.Sqrt(float64(len(values)))
	if slices.Min(values) == slices.Max(values) { // free of rounding: equal values have no spread
		mean, half = values[0], 0
	}
	e.Mean, e.Low, e.High = mean, mean-half, mean+half
	return e
}

// oneSeed is the note of an outcome without an interval.
const oneSeed = "one seed: no interval"

// Decide computes the outcome of the test from its values: replicated where the interval lies wholly on the side that
// the relation asks for, contradicted where it lies wholly on the other, inconclusive where the threshold lies inside or
// one seed gives no interval, not tested without values that are finite. Zero asks each seed's count, one seed's too.
func (t Test) Decide() Outcome {
	o := Outcome{Verdict: NotTested, Estimate: Interval(t.Values)}
	e := o.Estimate
	switch {
	case len(t.Values) == 0:
		o.Note = "no values were measured"
	case !t.Relation.known():
		o.Note = fmt.Sprintf("unknown relation %q", t.Relation)
	case !allFinite(t.Values) || math.IsNaN(t.Threshold):
		o.Note = "a value is not finite"
	case t.Relation == Zero:
		// Each count must be 0, not only their sum, so that no negative number can hide a violation.
		o.Verdict = Replicated
		if slices.ContainsFunc(t.Values, func(v float64) bool { return v != 0 }) {
			o.Verdict = Contradicted
		}
	case len(t.Values) == 1:
		o.Verdict, o.Note = Inconclusive, oneSeed
	case !allFinite([]float64{e.Mean, e.Low, e.High}):
		o.Note = "the values are too large for an interval"
	case t.Relation.holds(e.Low, t.Threshold) && t.Relation.holds(e.High, t.Threshold):
		o.Verdict = Replicated
	case !t.Relation.holds(e.Low, t.Threshold) && !t.Relation.holds(e.High, t.Threshold):
		o.Verdict = Contradicted
	default:
		o.Verdict = Inconclusive
	}
	return o
}

// met tells whether a control holds: by its whole interval, and where one seed gives none by its value.
func (t Test) met() bool {
	o := t.Decide()
	return o.Verdict == Replicated || o.Note == oneSeed && t.Relation.holds(o.Estimate.Mean, t.Threshold)
}

// Decide computes the outcome of the part: that of its test, or not tested where a control was not measured or does not
// hold; the note then names the control and its number.
func (p ClaimPart) Decide() Outcome {
	o := p.Test.Decide()
	if o.Verdict == NotTested {
		return o
	}
	for _, control := range p.Controls {
		switch {
		case len(control.Values) == 0:
			o.Verdict, o.Note = NotTested, "a control was not measured: "+control.What
			return o
		case !control.met():
			o.Verdict = NotTested
			o.Note = fmt.Sprintf("a control does not hold: %s is %s, must be %s", control.What, control.measured(), control.target())
			return o
		}
	}
	return o
}

// Decide computes the verdict from the parts: replicated where all are, in part where some are; where none is,
// contradicted if any is, else inconclusive if any is, else not tested.
func (c Claim) Decide() Decision {
	d := Decision{N: len(c.Parts)}
	counts := map[Verdict]int{}
	var notes []string
	for _, p := range c.Parts {
		o := p.Decide()
		d.Parts = append(d.Parts, o)
		counts[o.Verdict]++
		if !slices.Contains(notes, o.Note) {
			notes = append(notes, o.Note)
		}
	}
	d.K = counts[Replicated]
	switch {
	case d.N > 0 && d.K == d.N:
		d.Verdict = Replicated
	case d.K > 0:
		d.Verdict = InPart
	case counts[Contradicted] > 0:
		d.Verdict = Contradicted
	case counts[Inconclusive] > 0:
		d.Verdict = Inconclusive
	default:
		d.Verdict = NotTested
	}
	d.Note = c.note(d, counts, notes)
	return d
}

// note says why the claim is not tested, what all parts have to say, or how the parts that are not replicated divide.
func (c Claim) note(d Decision, counts map[Verdict]int, notes []string) string {
	switch {
	case d.Verdict == NotTested && c.Reason != "":
		return c.Reason
	case d.N == 0:
		return "no values were measured"
	case len(notes) == 1 && notes[0] != "":
		return notes[0]
	case d.N == 1 || counts[d.Verdict] == d.N:
		return ""
	}
	var rest []string
	for _, v := range verdicts[1:] {
		if counts[v] > 0 {
			rest = append(rest, fmt.Sprintf("%d %s", counts[v], v))
		}
	}
	return strings.Join(rest, ", ")
}

// Verdict returns the verdict of [Claim.Decide].
func (c Claim) Verdict() Verdict { return c.Decide().Verdict }

func (r Relation) known() bool {
	return slices.Contains([]Relation{AtLeast, AtMost, Above, Below, Zero}, r)
}

func (r Relation) holds(x, threshold float64) bool {
	switch r {
	case AtLeast:
		return x >= threshold
	case AtMost:
		return x <= threshold
	case Above:
		return x > threshold
	case Below:
		return x < threshold
	}
	return false
}

func allFinite(values []float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
