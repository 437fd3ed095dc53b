package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// claimRow is a claim as a document shows it.
type claimRow struct {
	ID, Sentence, Class, Mark string
	Verdict                   Verdict
	Note                      string
	Compared                  string
	Tests                     []testRow
	Basis                     string // n, seeds, scale, data set
}

type testRow struct {
	What, Estimate, Interval, Target, Note string
	Chart                                  template.HTML
}

type verdictCount struct {
	Class, Mark string
	Verdict     Verdict
	Count       int
}

var verdictClasses = map[Verdict][2]string{Replicated: {"yes", "✓"}, NotReplicated: {"no", "✗"}, NotTested: {"open", "–"}}

func countVerdicts(claims []Claim) []verdictCount {
	var counts []verdictCount
	for _, v := range []Verdict{Replicated, NotReplicated, NotTested} {
		n := 0
		for _, c := range claims {
			if c.Verdict() == v {
				n++
			}
		}
		if n > 0 {
			counts = append(counts, verdictCount{verdictClasses[v][0], verdictClasses[v][1], v, n})
		}
	}
	return counts
}

func (c Claim) row() claimRow {
	d := c.Decide()
	r := claimRow{ID: c.ID, Sentence: c.Sentence, Class: verdictClasses[d.Verdict][0], Mark: verdictClasses[d.Verdict][1],
		Verdict: d.Verdict, Note: d.Note, Compared: c.ComparedWith}
	for i, t := range c.Tests {
		o := d.Tests[i]
		tr := testRow{What: t.What, Target: t.target()}
		if i == 0 && c.What != "" {
			tr.What = c.What
		}
		tr.Estimate, tr.Interval = t.estimate()
		if len(t.Values) > 0 {
			tr.Chart = t.chart(o)
		}
		r.Tests = append(r.Tests, tr)
	}
	r.Basis = c.basis()
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
	fmt.Fprintf(&b, `<line class="axis" x1="0" x2="%g" y1="15" y2="15"/><line class="goal" x1="%.1f" x2="%.1f" y1="1" y2="29"/>`, width, at, at)
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
