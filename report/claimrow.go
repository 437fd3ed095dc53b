package report

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"strings"
)

// claimRow is a claim as a document shows it; a claim of one part has that part's numbers in its own row.
type claimRow struct {
	ID, Sentence       string
	Verdict            badge
	Share              string // "2 of 3" of a claim replicated in part
	Note               string
	What               string // of a claim of several parts
	Reported, Compared string
	Basis              string // n, seeds, scale, data set
	Parts              []partRow
	Single             *partRow
}

// badge is a verdict as it is drawn: a word with a sign, told apart without colors too.
type badge struct {
	Class, Mark string
	Verdict     Verdict
}

type partRow struct {
	Number, Statement, What          string
	Verdict                          badge
	Note                             string
	Estimate, Interval, Target, Ours string
	Chart                            template.HTML
	Controls, Beside                 []sideRow
}

// sideRow is a control, with its sign, or a number beside a part.
type sideRow struct{ Mark, What, Measured, Target string }

type verdictCount struct {
	badge
	Count int
}

func (v Verdict) badge() badge {
	switch v {
	case Replicated:
		return badge{"yes", "✓", v}
	case InPart:
		return badge{"some", "◐", v}
	case Contradicted:
		return badge{"no", "✗", v}
	case Inconclusive:
		return badge{"unsure", "?", v}
	}
	return badge{"open", "–", NotTested}
}

func countVerdicts(claims []Claim) []verdictCount {
	var counts []verdictCount
	for _, v := range verdicts {
		n := 0
		for _, c := range claims {
			if c.Verdict() == v {
				n++
			}
		}
		if n > 0 {
			counts = append(counts, verdictCount{v.badge(), n})
		}
	}
	return counts
}

// row lays the claim out; alike tells that what all claims are compared with is said once, above them.
func (c Claim) row(alike bool) claimRow {
	d := c.Decide()
	r := claimRow{ID: c.ID, Sentence: c.Sentence, Verdict: d.Verdict.badge(), Note: d.Note,
		Reported: c.Reported, Basis: c.basis()}
	if !alike {
		r.Compared = c.ComparedWith
	}
	if d.Verdict == InPart {
		r.Share = fmt.Sprintf("%d of %d", d.K, d.N)
	}
	if len(c.Parts) == 1 {
		single := c.Parts[0].row(d.Parts[0])
		single.What = c.what()
		r.Single = &single
		return r
	}
	r.What = c.What
	for i, p := range c.Parts {
		part := p.row(d.Parts[i])
		part.Number = c.partNumber(i)
		r.Parts = append(r.Parts, part)
	}
	return r
}

func (p ClaimPart) row(o Outcome) partRow {
	r := partRow{Statement: p.Statement, What: p.what(), Verdict: o.Verdict.badge(), Note: o.Note, Target: p.Test.target(), Ours: p.Ours}
	r.Estimate, r.Interval = p.estimate()
	if o.Verdict != NotTested { // no picture of what was not tested
		r.Chart = p.chart(o)
	}
	for _, t := range p.Controls {
		r.Controls = append(r.Controls, t.side())
	}
	for _, t := range p.Beside {
		r.Beside = append(r.Beside, t.side())
	}
	return r
}

// side lays out a test that does not decide; the sign tells whether it holds.
func (t Test) side() sideRow {
	r := sideRow{Mark: "✗", What: t.What, Measured: cmp.Or(t.measured(), "not measured"), Target: t.target()}
	switch {
	case t.Relation == "" || len(t.Values) == 0:
		r.Mark = ""
	case t.met():
		r.Mark = "✓"
	case t.Decide().Verdict == Inconclusive:
		r.Mark = "?"
	}
	return r
}

// chart draws the values of the seeds as dots, their interval as a bar and the threshold as a dashed line,
// with the side where the claim holds shaded. The numbers stand beside it as text.
func (t Test) chart(o Outcome) template.HTML {
	e := o.Estimate
	if t.Relation == Zero || !allFinite(t.Values) || !allFinite([]float64{e.Mean, t.Threshold}) {
		return ""
	}
	low, high := rangeOf(t.Values, []float64{t.Threshold, e.Low, e.High})
	if math.IsInf(high-low, 0) {
		return ""
	}
	if high == low {
		low, high = low-1, high+1
	}
	const width, height, edge = 220.0, 30.0, 12.0
	x := func(v float64) float64 { return edge + (width-2*edge)*(v-low)/(high-low) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="forest" viewBox="0 0 %g %g" aria-hidden="true">`, width, height)
	at := x(t.Threshold)
	if t.Relation == AtLeast || t.Relation == Above {
		fmt.Fprintf(&b, `<rect class="side" x="%.1f" y="2" width="%.1f" height="%g" rx="3"/>`, at, width-at, height-4)
	} else {
		fmt.Fprintf(&b, `<rect class="side" x="0" y="2" width="%.1f" height="%g" rx="3"/>`, at, height-4)
	}
	fmt.Fprintf(&b, `<line class="axis" x1="0" x2="%g" y1="15" y2="15"/>`, width)
	fmt.Fprintf(&b, `<line class="goal" x1="%.1f" x2="%.1f" y1="1" y2="29"/>`, at, at)
	if !math.IsNaN(e.Low) {
		fmt.Fprintf(&b, `<line class="range" x1="%.1f" x2="%.1f" y1="15" y2="15"/>`, x(e.Low), x(e.High))
		for _, end := range []float64{e.Low, e.High} {
			fmt.Fprintf(&b, `<line class="range cap" x1="%.1f" x2="%.1f" y1="10" y2="20"/>`, x(end), x(end))
		}
		for _, v := range t.Values {
			fmt.Fprintf(&b, `<circle class="seed" cx="%.1f" cy="15" r="2.6"/>`, x(v))
		}
	}
	m := x(e.Mean)
	fmt.Fprintf(&b, `<path class="mean" d="M%.1f 9l6 6-6 6-6-6z"/></svg>`, m)
	return template.HTML(b.String())
}
