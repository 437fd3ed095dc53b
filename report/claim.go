package report

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Confidence is the level of every interval in the ledger: two-sided, Student's t over seeds.
const Confidence = 0.95

// Verdict says what the numbers of a claim, or of a part of it, show.
type Verdict string

// The verdicts, as they stand in claims.json. InPart is for claims alone: some parts are replicated, not all.
const (
	Replicated   Verdict = "replicated"
	InPart       Verdict = "replicated in part"
	Contradicted Verdict = "contradicted"
	Inconclusive Verdict = "inconclusive"
	NotTested    Verdict = "not tested"
)

// verdicts are all of them, in the order in which they are counted.
var verdicts = []Verdict{Replicated, InPart, Contradicted, Inconclusive, NotTested}

// Mark returns the sign of the verdict in Markdown and text: 🟢, 🟡, 🔴, ❔ or ⬜. The word stands beside it wherever a
// reader may not see colors.
func (v Verdict) Mark() string {
	switch v {
	case Replicated:
		return "🟢"
	case InPart:
		return "🟡"
	case Contradicted:
		return "🔴"
	case Inconclusive:
		return "❔"
	}
	return "⬜"
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

// Test is one comparison of measured values with a threshold.
type Test struct {
	// What is measured, in words: "robust accuracy, joint minus standard".
	What string
	// Values holds one measurement a seed, in the order of the claim's seeds; none where it was not measured.
	Values []float64
	// Relation is the comparison that must hold with Threshold.
	Relation  Relation
	Threshold float64
	// Percent shows the numbers as percentages; they stay fractions in Values, Threshold and JSON.
	Percent bool
}

// ClaimPart is one statement of a claim's sentence with the one test that decides it.
type ClaimPart struct {
	// Statement gives the words of the sentence that are judged, in short.
	Statement string
	// Test decides. Its threshold is the direction, 0, or the paper's own number, unless Ours says otherwise.
	Test
	// Ours says why the threshold is what it is, where a word of the sentence demands a size ("vulnerable",
	// "negligible") and the paper gives none; empty elsewhere.
	Ours string
	// Controls tell whether the part was tested at all: that the networks have learned, that the attack is not idle.
	Controls []Test
	// Beside are further numbers of ours, stricter ones say: shown, they decide nothing. Without a Relation the
	// number stands alone.
	Beside []Test
}

// Claim is one sentence of a paper made testable, part by part. It holds what was measured, never a verdict:
// [Claim.Decide] computes that from the values alone, whenever it is asked for.
type Claim struct {
	// ID is the arXiv id and the claim's number: "2102.11935/1".
	ID string
	// Sentence is the claim in the paper's words or close to them.
	Sentence string
	// What says in words what is measured. Empty: the first part's What.
	What string
	// Reported is the number that the paper reports, with its unit: "12 points (table 3)". Empty where none is known.
	Reported string
	// ComparedWith says what the numbers are held against. Empty: the thresholds of the parts.
	ComparedWith string
	// Reason says why the claim is not tested, where it has no values.
	Reason string
	// Scale (smoke, quick or paper) and Dataset say where the values come from.
	Scale, Dataset string
	// N is the number of examples that each value rests on.
	N int
	// Seeds are the seeds of the runs, one for each value of a test.
	Seeds []int64
	// Parts are the statements of the sentence, in its order. The first is the headline of claims.json.
	Parts []ClaimPart
}

var claimID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}/[A-Za-z0-9._-]{1,32}$`)

// Check returns an error that says what is wrong with the claim: a malformed id, an empty sentence or statement, an
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
	for i, p := range c.Parts {
		where := fmt.Sprintf("claim %s, part %d", c.ID, i+1)
		if strings.TrimSpace(p.Statement) == "" {
			return fmt.Errorf("%s has no statement: write what it judges, in the sentence's words", where)
		}
		if err := p.check(where, len(c.Seeds)); err != nil {
			return err
		}
		for k, t := range p.Controls {
			if err := t.check(fmt.Sprintf("%s, control %d", where, k+1), len(c.Seeds)); err != nil {
				return err
			}
		}
		for k, t := range p.Beside {
			if t.Relation == "" {
				t.Relation = Above // a number that stands alone
			}
			if err := t.check(fmt.Sprintf("%s, number %d beside it", where, k+1), len(c.Seeds)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t Test) check(where string, seeds int) error {
	switch {
	case !t.Relation.known():
		return fmt.Errorf("%s: unknown relation %.40q: use at least, at most, above, below or zero", where, string(t.Relation))
	case !allFinite([]float64{t.Threshold}):
		return fmt.Errorf("%s: the threshold must be a finite number", where)
	case len(t.Values) != 0 && len(t.Values) != seeds:
		return fmt.Errorf("%s: %d values for %d seeds: give one value a seed", where, len(t.Values), seeds)
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
	if c.What == "" && len(c.Parts) > 0 {
		return c.Parts[0].What
	}
	return c.What
}

// comparedWith returns what the numbers are held against.
func (c Claim) comparedWith() string {
	if c.ComparedWith != "" {
		return c.ComparedWith
	}
	var parts []string
	for _, p := range c.Parts {
		if s := p.Test.target(); !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

// target returns the comparison that must hold: "≥ 0.1"; empty for a number that stands alone.
func (t Test) target() string {
	signs := map[Relation]string{AtLeast: "≥", AtMost: "≤", Above: ">", Below: "<"}
	switch {
	case t.Relation == "":
		return ""
	case t.Relation == Zero:
		return "= 0"
	case t.Percent:
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
