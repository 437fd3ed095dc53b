package gradsigns

import (
	"fmt"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.NetworkTable(), r.ReadingTable(), r.RemovalTable(), r.QuestionTable(), r.UnmarkedTable(), r.WrongTable(),
		r.ForgeryTable()}
}

func interval(values []float64) any {
	if len(values) == 0 {
		return "–"
	}
	return report.Interval(values)
}

// names are the networks' marks, in the order in which they were measured.
func (r *Result) names() (names []string) {
	for _, m := range r.Config.allMarks() {
		if len(r.For(m.Name)) > 0 {
			names = append(names, m.Name)
		}
	}
	return names
}

// title tells a mark's size with its name.
func (r *Result) title(name string) string {
	if rows := r.For(name); len(rows) > 0 && rows[0].Bits > 0 && (name == Marked || name == Settled) {
		return fmt.Sprintf("%s, %d/%d", name, rows[0].Bits, rows[0].Carriers)
	}
	return name
}

// NetworkTable tells what marks cost.
func (r *Result) NetworkTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "Networks",
		Caption: fmt.Sprintf("Bits and inputs that carry them; accuracy on test images, and on those of class %d, which is signed; the same "+
			"under PGD in l2, radius %g, for the signed class and the others; length of the mean gradient. Marks beyond %v were trained "+
			"with the first seed alone.", c.Target, c.Epsilon, c.Marks),
		Columns: []report.Column{{Name: "network"}, {Name: "accuracy", Percent: true, Format: "%.2f"},
			{Name: "signed class", Percent: true, Format: "%.2f"}, {Name: "PGD, signed class", Percent: true},
			{Name: "PGD, others", Percent: true}, {Name: "length", Format: "%.3g"}, {Name: "wrong bits", Percent: true, Format: "%.2f"}}}
	for _, name := range r.names() {
		rows := r.For(name)
		of := func(value func(m Measured) float64) any { return interval(study.Values(rows, study.Always(value))) }
		t.Rows = append(t.Rows, []any{r.title(name), of(func(m Measured) float64 { return m.Accuracy }),
			of(func(m Measured) float64 { return m.ClassAccuracy }), interval(study.Values(rows, robustClass)),
			interval(study.Values(rows, robustOthers)), of(func(m Measured) float64 { return m.Length }), interval(study.Values(rows, ber(own)))})
	}
	return t
}

// ReadingTable tells from how many images a mark is read.
func (r *Result) ReadingTable() *report.Table {
	t := &report.Table{Title: "Bit error rate, read from the network",
		Caption: fmt.Sprintf("From the first images of class %d, and from all %d. Without a mark: by the key of the main one.", r.Config.Target,
			r.Held),
		Columns: []report.Column{{Name: "network"}}}
	for _, n := range r.Config.few() {
		t.Columns = append(t.Columns, report.Column{Name: fmt.Sprint(n), Percent: true, Format: "%.2f"})
	}
	t.Columns = append(t.Columns, report.Column{Name: "all", Percent: true, Format: "%.2f"})
	for _, name := range r.names() {
		row := []any{r.title(name)}
		for _, n := range r.Config.few() {
			row = append(row, interval(study.Values(r.For(name), func(m Measured) (float64, bool) {
				for _, f := range m.Few {
					if f.Samples == n && f.BER != nil {
						return *f.BER, true
					}
				}
				return 0, false
			})))
		}
		t.Rows = append(t.Rows, append(row, interval(study.Values(r.For(name), ber(own)))))
	}
	return t
}

// RemovalTable tells what attacks leave of the mark, and of the network.
func (r *Result) RemovalTable() *report.Table {
	t := &report.Table{Title: "Removal",
		Caption: fmt.Sprintf("What is left of the main mark, %d bits, read from the attacked network over all test images of class %d; the "+
			"worst p-value over seeds; accuracy and what of it was lost. The claim is judged by the attacks marked so.", r.Config.Bits,
			r.Config.Target),
		Columns: []report.Column{{Name: "attack"}, {Name: "what"}, {Name: "judged"}, {Name: "accuracy", Percent: true, Format: "%.2f"},
			{Name: "lost", Percent: true, Format: "%.2f"}, {Name: "wrong bits", Format: "%.1f"}, {Name: "worst p", Format: "%.1e"}}}
	before := study.Values(r.For(Marked), study.Always(func(m Measured) float64 { return m.Accuracy }))
	for _, a := range r.Config.attacks(nil, nil) {
		rows := r.Attack(a.Name)
		if len(rows) == 0 {
			continue
		}
		of := func(value func(m Removed) float64) []float64 { return study.Values(rows, study.Always(value)) }
		after := of(func(m Removed) float64 { return m.Accuracy })
		t.Rows = append(t.Rows, []any{a.Name, a.About, yes(a.Judged), interval(after), interval(study.Minus(before, after)),
			interval(of(func(m Removed) float64 { return float64(m.Own.Errors) })), worst(of(func(m Removed) float64 { return m.Own.PValue }))})
	}
	return t
}

func yes(judged bool) string {
	if judged {
		return "yes"
	}
	return ""
}

// worst is the largest of them.
func worst(p []float64) any {
	if len(p) == 0 {
		return "–"
	}
	largest := 0.0
	for _, v := range p {
		largest = max(largest, v)
	}
	return largest
}

// readTable makes a table of what questions brought.
func (r *Result) readTable(title, caption string, of func(r Reads) []Read, questions []Question) *report.Table {
	t := &report.Table{Title: title, Caption: caption, Columns: []report.Column{{Name: "endpoint"}, {Name: "asked"},
		{Name: "step", Format: "%.4g"}, {Name: "images"}, {Name: "queries"}, {Name: "accuracy", Percent: true}, {Name: "decided", Format: "%.1f"},
		{Name: "wrong bits", Format: "%.1f"}, {Name: "ones", Percent: true}, {Name: "worst p", Format: "%.1e"}}}
	for _, q := range questions {
		values := func(value func(one Read) (float64, bool)) []float64 {
			return study.Values(r.Readings, answer(of, q, value))
		}
		number := func(value func(one Read) float64) []float64 {
			return values(func(one Read) (float64, bool) { return value(one), true })
		}
		if len(number(func(Read) float64 { return 0 })) == 0 {
			continue
		}
		t.Rows = append(t.Rows, []any{q.Name, string(q.Estimator), q.Step, q.Samples,
			int(number(func(one Read) float64 { return float64(one.Queries) })[0]),
			interval(values(func(one Read) (float64, bool) { return deref(one.Accuracy) })),
			interval(number(func(one Read) float64 { return float64(one.Decided) })), interval(values(failed)), interval(values(ones)),
			worst(number(func(one Read) float64 { return one.PValue }))})
	}
	return t
}

// QuestionTable tells how the mark is read through answers.
func (r *Result) QuestionTable() *report.Table {
	return r.readTable("Through answers alone", fmt.Sprintf("The main mark, %d bits, asked of endpoints that hide more and less: how, how "+
		"far from an image in l2, from how many images a bit, with how many queries of the first seed; the accuracy of what the "+
		"endpoint answers; bits that were decided, those of them that were wrong, the share that read 1, the worst p-value over seeds.",
		r.Config.Bits),
		onMarked, r.Config.Questions())
}

// UnmarkedTable tells what is read where there is nothing to read.
func (r *Result) UnmarkedTable() *report.Table {
	return r.readTable("Without a mark", "The same key, asked of the network without a mark. Differences with one end at the image itself "+
		"(forward) read mostly ones, since the loss is convex there; such a reader finds marks wherever the signature has many ones.",
		onUnmarked, r.Config.unmarkedQuestions())
}

// WrongTable tells what other keys say.
func (r *Result) WrongTable() *report.Table {
	t := &report.Table{Title: "Wrong keys",
		Caption: fmt.Sprintf("%d keys of other secrets a network and seed, read from its gradient: wrong bits of %d, which are binomial "+
			"around the half; keys outside the binomial 99.9 %% interval; keys with p < 1e-9.", r.Config.Keys, r.Config.Bits),
		Columns: []report.Column{{Name: "network"}, {Name: "mean", Format: "%.2f"}, {Name: "deviation", Format: "%.2f"},
			{Name: "outside", Format: "%.1f"}, {Name: "found", Format: "%.0f"}}}
	for _, mark := range []string{Unmarked, Marked} {
		of := func(value func(w Wrong) float64) any { return interval(study.Values(r.For(mark), wrong(value))) }
		t.Rows = append(t.Rows, []any{r.title(mark), of(func(w Wrong) float64 { return w.Mean }), of(func(w Wrong) float64 { return w.SD }),
			of(func(w Wrong) float64 { return float64(w.Outside) }), of(func(w Wrong) float64 { return float64(w.Found) })})
	}
	return t
}

// ForgeryTable tells what keys say that were made after the fact.
func (r *Result) ForgeryTable() *report.Table {
	t := &report.Table{Title: "Forged keys",
		Caption: "Keys made after the fact, from the network without a mark. Their p-values are as good as a true owner's; " +
			"what they lack is a commitment from before.",
		Columns: []report.Column{{Name: "key"}, {Name: "wrong bits", Format: "%.1f"}, {Name: "worst p", Format: "%.1e"}, {Name: "commitment"}}}
	for _, f := range []struct {
		name string
		of   func(f Forged) Bits
	}{{"bits read first, then called the signature", func(f Forged) Bits { return f.Copied }},
		{"the same, through answers alone", func(f Forged) Bits { return f.Asked }},
		{"rows drawn until they fit a signature", func(f Forged) Bits { return f.Redrawn }}} {
		var failed, p []float64
		said := ""
		for _, m := range r.For(Unmarked) {
			if m.Forged != nil {
				failed, p, said = append(failed, float64(f.of(*m.Forged).Errors)), append(p, f.of(*m.Forged).PValue), m.Forged.Commitment
			}
		}
		if len(p) > 0 {
			t.Rows = append(t.Rows, []any{f.name, interval(failed), worst(p), said})
		}
	}
	return t
}
