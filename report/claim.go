package report

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Confidence is the level of every interval in the ledger: two-sided, Student's t over seeds.
const Confidence = 0.95

// Verdict says what the numbers of a claim show.
type Verdict string

// The verdicts, as they stand in claims.json.
const (
	Replicated    Verdict = "replicated"
	NotReplicated Verdict = "not replicated"
	NotTested     Verdict = "not tested"
)

// Mark returns the sign of the verdict in Markdown and text: 🟢, 🔴 or ⚪.
func (v Verdict) Mark() string {
	switch v {
	case Replicated:
		return "🟢"
	case NotReplicated:
		return "🔴"
	}
	return "⚪"
}

// Relation is what a measured quantity must satisfy with respect to a threshold.
type Relation string

// The relations, as they stand in claims.json. Zero is for counts (violations of a bound, say): each
// seed's count must be 0, and no threshold is used.
const (
	AtLeast Relation = "at least"
	AtMost  Relation = "at most"
	Above   Relation = "above"
	Below   Relation = "below"
	Zero    Relation = "zero"
)

// Test is one comparison that must hold for a claim.
type Test struct {
	// What is measured, in words: "robust accuracy, joint minus standard".
	What string
	// Values holds one measurement a seed, in the order of the claim's seeds.
	Values []float64
	// Relation is the comparison that must hold with Threshold.
	Relation  Relation
	Threshold float64
	// Percent shows the numbers as percentages; they stay fractions in Values, Threshold and JSON.
	Percent bool
}

// Claim is one sentence of a paper made testable. It holds what was measured, never a verdict: [Claim.Decide]
// computes that from the values alone, whenever it is asked for.
type Claim struct {
	// ID is the arXiv id and the claim's number: "2102.11935/1".
	ID string
	// Sentence is the claim in the paper's words or close to them.
	Sentence string
	// What says in words what is measured. Empty: the first test's What.
	What string
	// ComparedWith says what the paper reports, or what the numbers are held against. Empty: the
	// thresholds of the tests.
	ComparedWith string
	// Reason says why the claim is not tested, where it has no values.
	Reason string
	// Scale (smoke, quick or paper) and Dataset say where the values come from.
	Scale, Dataset string
	// N is the number of examples that each value rests on.
	N int
	// Seeds are the seeds of the runs, one for each value of a test.
	Seeds []int64
	// Tests must all hold. The first is the headline: its mean and interval stand in the ledger.
	Tests []Test
}

// Decision is what the values of a claim amount to.
type Decision struct {
	Verdict Verdict
	// Note says what a reader must know about the verdict; empty when there is nothing to say.
	Note string
	// Headline is the outcome of the first test, Tests the outcomes of all.
	Headline Outcome
	Tests    []Outcome
}

// Outcome is what the values of one test amount to.
type Outcome struct {
	// Estimate is the mean over seeds with its interval; N is 0 where there are no values.
	Estimate Estimate
	// Holds tells whether the test's comparison is established.
	Holds bool
	// Note says why not, or what limits it.
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

// Decide computes the outcome of the test from its values.
func (t Test) Decide() Outcome {
	o := Outcome{Estimate: Interval(t.Values)}
	switch {
	case len(t.Values) == 0:
		o.Note = "no values"
		return o
	case !t.Relation.known():
		o.Note = fmt.Sprintf("unknown relation %q", t.Relation)
		return o
	case !allFinite(t.Values) || math.IsNaN(t.Threshold):
		o.Note = "a value is not finite"
		return o
	}
	if t.Relation == Zero {
		// Each count must be 0, not only their sum, so that no negative number can hide a violation.
		o.Holds = !slices.ContainsFunc(t.Values, func(v float64) bool { return v != 0 })
		return o
	}
	e := o.Estimate
	if len(t.Values) == 1 {
		o.Holds = t.Relation.holds(e.Mean, t.Threshold)
		o.Note = "one seed: no interval"
		return o
	}
	if !allFinite([]float64{e.Mean, e.Low, e.High}) {
		o.Note = "the values are too large for an interval"
		return o
	}
	bound := e.Low
	if t.Relation == AtMost || t.Relation == Below {
		bound = e.High
	}
	o.Holds = t.Relation.holds(bound, t.Threshold)
	if !o.Holds && t.Relation.holds(e.Mean, t.Threshold) {
		o.Note = "inconclusive: the interval includes the threshold"
	}
	return o
}

// Decide computes the verdict from the values: replicated where every test holds, not replicated where one
// does not, not tested where values are missing and no test fails.
func (c Claim) Decide() Decision {
	d := Decision{Verdict: Replicated, Headline: Outcome{Estimate: Interval(nil)}}
	var failed, missing, limits []string
	for i, t := range c.Tests {
		o := t.Decide()
		d.Tests = append(d.Tests, o)
		name := t.What
		if name == "" || len(c.Tests) == 1 {
			name = ""
		} else {
			name += ": "
		}
		switch {
		case len(t.Values) == 0:
			missing = append(missing, name+o.Note)
		case !o.Holds && o.Note == "":
			failed = append(failed, name+"the comparison does not hold")
		case !o.Holds:
			failed = append(failed, name+o.Note)
		case o.Note != "" && !slices.Contains(limits, o.Note):
			limits = append(limits, o.Note)
		}
		if i == 0 {
			d.Headline = o
		}
	}
	switch {
	case len(failed) > 0:
		d.Verdict = NotReplicated
		d.Note = strings.Join(failed, "; ")
		if len(c.Tests) == 1 {
			d.Note = d.Headline.Note
		}
	case len(c.Tests) == 0 || len(missing) > 0:
		d.Verdict = NotTested
		d.Note = c.Reason
		if d.Note == "" {
			d.Note = "no values were measured"
		}
	default:
		d.Note = strings.Join(limits, "; ")
	}
	return d
}

// Verdict returns the verdict of [Claim.Decide].
func (c Claim) Verdict() Verdict { return c.Decide().Verdict }

var claimID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}/[A-Za-z0-9._-]{1,32}$`)

// Check returns an error that says what is wrong with the claim: a malformed id, an empty sentence, an
// unknown relation, or a number of values that differs from the number of seeds.
func (c Claim) Check() error {
	switch {
	case !claimID.MatchString(c.ID):
		return fmt.Errorf("claim id %.80q is malformed: write the arXiv id and a number, such as 2102.11935/1", c.ID)
	case strings.TrimSpace(c.Sentence) == "":
		return fmt.Errorf("claim %s has no sentence: write the claim in the paper's words", c.ID)
	case c.N < 0:
		return fmt.Errorf("claim %s has n = %d: the number of examples cannot be negative", c.ID, c.N)
	}
	for i, t := range c.Tests {
		switch {
		case !t.Relation.known():
			return fmt.Errorf("claim %s, test %d: unknown relation %.40q: use at least, at most, above, below or zero", c.ID, i+1, string(t.Relation))
		case math.IsNaN(t.Threshold) || math.IsInf(t.Threshold, 0):
			return fmt.Errorf("claim %s, test %d: the threshold must be a finite number", c.ID, i+1)
		case len(t.Values) != 0 && len(t.Values) != len(c.Seeds):
			return fmt.Errorf("claim %s, test %d: %d values for %d seeds: give one value a seed", c.ID, i+1, len(t.Values), len(c.Seeds))
		}
	}
	return nil
}

// CheckClaims checks each claim and that no id stands twice.
func CheckClaims(claims []Claim) error {
	seen := make(map[string]bool, len(claims))
	var errs []error
	for _, c := range claims {
		if err := c.Check(); err != nil {
			errs = append(errs, err)
		} else if seen[c.ID] {
			errs = append(errs, fmt.Errorf("claim %s stands twice: give each claim its own number", c.ID))
		}
		seen[c.ID] = true
	}
	return errors.Join(errs...)
}

// what returns what is measured, in words.
func (c Claim) what() string {
	if c.What == "" && len(c.Tests) > 0 {
		return c.Tests[0].What
	}
	return c.What
}

// comparedWith returns what the numbers are held against.
func (c Claim) comparedWith() string {
	if c.ComparedWith != "" {
		return c.ComparedWith
	}
	var parts []string
	for _, t := range c.Tests {
		if s := t.target(); !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

// target returns the comparison that must hold: "≥ 0.1".
func (t Test) target() string {
	signs := map[Relation]string{AtLeast: "≥", AtMost: "≤", Above: ">", Below: "<"}
	if t.Relation == Zero {
		return "= 0"
	}
	if t.Percent {
		return signs[t.Relation] + " " + shortNumber(100*t.Threshold) + "%"
	}
	return signs[t.Relation] + " " + shortNumber(t.Threshold)
}

// number formats a value or threshold of the test.
func (t Test) number(x float64) string { return formatNumber(x, Column{Percent: t.Percent}) }

// estimate formats the mean of the values, for counts their sum, and the interval where there is one.
func (t Test) estimate() (mean, interval string) {
	switch {
	case len(t.Values) == 0:
		return "", ""
	case t.Relation == Zero:
		sum := 0.0
		for _, v := range t.Values {
			sum += v
		}
		return t.number(sum), ""
	}
	return Interval(t.Values).format(Column{Percent: t.Percent})
}

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
