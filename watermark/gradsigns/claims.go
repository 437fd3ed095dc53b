package gradsigns

import (
	"fmt"
	"math"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
	"github.com/trustbook/trustbook/watermark"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2103.03701"

// Thresholds that are ours.
const (
	negligible = 0.01 // of accuracy
	worthwhile = 0.02 // of accuracy, that a thief gives for an attack
	large      = 128  // bits
)

// proven is the p-value at which a mark counts as shown, as [Bits.proof] gives it.
var proven = -math.Log10(watermark.Level)

// Claims judges the sentences of the paper's abstract by the numbers of the run.
func (r *Result) Claims() []report.Claim {
	c := r.Config
	claims := []report.Claim{
		{
			Sentence: "The owner's signature is embedded into the gradient of the cross-entropy cost function with respect to the model's inputs.",
			Parts:    []report.ClaimPart{r.carried(), r.alone()},
		},
		{
			Sentence: "The impact on the protected model's performance is negligible.",
			Parts: []report.ClaimPart{r.price("accuracy", "accuracy", func(m Measured) float64 { return m.Accuracy }),
				r.price("of the signed class too", fmt.Sprintf("accuracy on class %d", c.Target), func(m Measured) float64 { return m.ClassAccuracy })},
		},
		{
			Sentence: "The watermark can be verified remotely, through prediction interfaces.",
			Parts:    []report.ClaimPart{r.verified(), r.accused()},
		},
		{Sentence: "The watermark is robust against all known counter-watermark attacks."},
		{
			Sentence: "A large amount of information can be embedded.",
			Parts:    []report.ClaimPart{r.capacity()},
		},
	}
	for _, a := range c.attacks(nil, nil) {
		if a.Judged {
			claims[3].Parts = append(claims[3].Parts, r.withstands(a))
		}
	}
	for _, q := range c.Questions() {
		if q.Judged {
			claims[3].Parts = append(claims[3].Parts, r.seenThrough(q))
		}
	}
	return study.Source{Paper: paperID, Scale: c.Scale, Dataset: r.Data, N: r.Held, Seeds: c.Seeds}.Number(claims)
}

func percent(t report.Test) report.Test {
	t.Percent = true
	return t
}

// test is a number of the networks with a mark.
func (r *Result) test(mark, what string, of func(m Measured) float64, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: what, Values: study.Values(r.For(mark), study.Always(of)), Relation: relation, Threshold: threshold}
}

// less is a number of networks with a mark minus that of the ones without.
func (r *Result) less(mark, what string, of func(m Measured) (float64, bool), relation report.Relation, threshold float64) report.Test {
	return percent(report.Test{What: what, Relation: relation, Threshold: threshold,
		Values: study.Minus(study.Values(r.For(mark), of), study.Values(r.For(Unmarked), of))})
}

// learned is the control that the network without a mark can do its task.
func (r *Result) learned() report.Test {
	return percent(r.test(Unmarked, "accuracy without a mark", func(m Measured) float64 { return m.Accuracy }, report.AtLeast, 0.8))
}

// present is the control that the mark was there.
func (r *Result) present() report.Test {
	proof := func(m Measured) float64 { return m.Own.proof() }
	return r.test(Marked, "-log10 p of the mark, read from the network", proof, report.AtLeast, proven)
}

func ber(of func(m Measured) Bits) func(m Measured) (float64, bool) {
	return func(m Measured) (float64, bool) {
		if b := of(m).BER; b != nil {
			return *b, true
		}
		return 0, false
	}
}

func own(m Measured) Bits { return m.Own }

func (r *Result) carried() report.ClaimPart {
	c := r.Config
	p := report.ClaimPart{Statement: "marked networks carry the signature", Controls: []report.Test{r.learned()},
		Test: r.test(Marked, fmt.Sprintf("wrong or undecided bits of %d, read from %d test images of class %d", c.Bits, r.Held, c.Target),
			func(m Measured) float64 { return float64(m.Own.Errors + m.Bits - m.Own.Decided) }, report.Zero, 0)}
	for _, n := range c.few() {
		p.Beside = append(p.Beside, percent(report.Test{What: fmt.Sprintf("bit error rate, read from %d images", n),
			Values: study.Values(r.For(Marked), func(m Measured) (float64, bool) {
				for _, f := range m.Few {
					if f.Samples == n && f.BER != nil {
						return *f.BER, true
					}
				}
				return 0, false
			})}))
	}
	p.Beside = append(p.Beside, percent(report.Test{What: "bit error rate, settled", Values: study.Values(r.For(Settled), ber(own))}))
	return p
}

// wrong is a number of what keys say that have nothing to do with a network.
func wrong(of func(w Wrong) float64) func(m Measured) (float64, bool) {
	return func(m Measured) (float64, bool) {
		if m.Wrong == nil {
			return 0, false
		}
		return of(*m.Wrong), true
	}
}

func (r *Result) alone() report.ClaimPart {
	c := r.Config
	p := report.ClaimPart{Statement: "others do not",
		Test: report.Test{What: fmt.Sprintf("keys that read with p < %.0e though the network was not marked with them: the owner's on the "+
			"network without a mark, and %d others on each", watermark.Level, c.Keys), Relation: report.Zero}}
	found := wrong(func(w Wrong) float64 { return float64(w.Found) })
	a, b := study.Values(r.For(Marked), found), study.Values(r.For(Unmarked), func(m Measured) (float64, bool) {
		n, ok := found(m)
		if m.Own.PValue < watermark.Level {
			n++
		}
		return n, ok
	})
	if len(a) == len(b) {
		for i := range a {
			p.Values = append(p.Values, a[i]+b[i])
		}
	}
	outside := wrong(func(w Wrong) float64 { return float64(w.Outside) / float64(w.Keys) })
	mean := wrong(func(w Wrong) float64 { return w.Mean / float64(c.Bits) })
	for _, mark := range []string{Unmarked, Marked} {
		p.Beside = append(p.Beside,
			percent(report.Test{What: "mean bit error rate of wrong keys, " + mark, Values: study.Values(r.For(mark), mean)}),
			percent(report.Test{What: "wrong keys outside the 99.9 % interval of a half, " + mark, Values: study.Values(r.For(mark), outside)}))
	}
	p.Beside = append(p.Beside, percent(report.Test{What: "bit error rate of the owner's key without a mark",
		Values: study.Values(r.For(Unmarked), ber(own))}))
	return p
}

func (r *Result) price(statement, what string, of func(m Measured) float64) report.ClaimPart {
	p := report.ClaimPart{Statement: statement, Controls: []report.Test{r.learned(), r.present()},
		Test: r.less(Marked, what+", marked minus without a mark", study.Always(of), report.Above, -negligible),
		Ours: fmt.Sprintf("%g point: what one trains anew for", 100*negligible),
		Beside: []report.Test{
			r.less(Settled, what+", marked and settled minus without a mark", study.Always(of), report.Above, -negligible)}}
	pgd := fmt.Sprintf("accuracy under PGD in l2, radius %g", r.Config.Epsilon)
	for _, mark := range []string{Marked, Settled} {
		if statement == "accuracy" {
			p.Beside = append(p.Beside, r.less(mark, pgd+", other classes, "+mark+" minus without", robustOthers, "", 0))
		} else {
			p.Beside = append(p.Beside, r.less(mark, pgd+", signed class, "+mark+" minus without", robustClass, "", 0))
		}
	}
	return p
}

func robustClass(m Measured) (float64, bool)  { return deref(m.RobustClass) }
func robustOthers(m Measured) (float64, bool) { return deref(m.RobustOthers) }

func deref(v *float64) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return *v, true
}

// answer picks what a question brought.
func answer(of func(r Reads) []Read, q Question, value func(r Read) (float64, bool)) func(r Reads) (float64, bool) {
	return func(r Reads) (float64, bool) {
		for _, one := range of(r) {
			if one.is(q) {
				return value(one)
			}
		}
		return 0, false
	}
}

func onMarked(r Reads) []Read   { return r.Marked }
func onUnmarked(r Reads) []Read { return r.Unmarked }
func byAnother(r Reads) []Read  { return r.Wrong }

func proof(r Read) (float64, bool)  { return r.proof(), true }
func failed(r Read) (float64, bool) { return float64(r.Errors), true }
func ones(r Read) (float64, bool)   { return float64(r.Ones) / float64(r.Decided), r.Decided > 0 }
func shown(r Read) (float64, bool) {
	if r.Result == watermark.Marked {
		return 1, true
	}
	return 0, true
}

// remote is the question that remote verification is judged by.
func (c Config) remote() Question { return c.Questions()[1] }

func (r *Result) verified() report.ClaimPart {
	c := r.Config
	q := c.remote()
	p := report.ClaimPart{Statement: "verified", Controls: []report.Test{r.present()},
		Test: report.Test{What: fmt.Sprintf("-log10 p through probabilities, %d queries", 2*c.Bits*q.Samples), Relation: report.AtLeast,
			Threshold: proven, Values: study.Values(r.Readings, answer(onMarked, q, proof))},
		Ours: "p < 1e-9: no accident"}
	for _, other := range c.Questions()[:5] {
		p.Beside = append(p.Beside, report.Test{What: fmt.Sprintf("wrong bits of %d, %s, step %g, %d images", c.Bits, other.Estimator,
			other.Step, other.Samples), Values: study.Values(r.Readings, answer(onMarked, other, failed))})
	}
	return p
}

func (r *Result) accused() report.ClaimPart {
	c := r.Config
	q := c.unmarkedQuestions()
	p := report.ClaimPart{Statement: "and nothing else is",
		Test: report.Test{What: "verdicts of marked on the network without a mark, and on the marked one by another key", Relation: report.Zero}}
	a, b := study.Values(r.Readings, answer(onUnmarked, q[0], shown)), study.Values(r.Readings, answer(byAnother, q[0], shown))
	if len(a) == len(b) {
		for i := range a {
			p.Values = append(p.Values, a[i]+b[i])
		}
	}
	for _, one := range q[1:] {
		p.Beside = append(p.Beside, percent(report.Test{What: fmt.Sprintf("ones read without a mark, %s, step %g", one.Estimator, one.Step),
			Values: study.Values(r.Readings, answer(onUnmarked, one, ones))}))
	}
	return p
}

const notByAccident = "p < 1e-9 after an attack that costs two points of accuracy at most: more, and the thief has little left"

// withstands judges an attack on the network.
func (r *Result) withstands(a Attack) report.ClaimPart {
	rows := r.Attack(a.Name)
	accuracy := func(m Removed) float64 { return m.Accuracy }
	price := percent(report.Test{What: "accuracy that the attack costs", Relation: report.AtMost, Threshold: worthwhile,
		Values: study.Minus(study.Values(r.For(Marked), study.Always(func(m Measured) float64 { return m.Accuracy })),
			study.Values(rows, study.Always(accuracy)))})
	return report.ClaimPart{Statement: a.Name, Ours: notByAccident, Controls: []report.Test{r.present(), price},
		Test: report.Test{What: "-log10 p after " + a.Name, Relation: report.AtLeast, Threshold: proven,
			Values: study.Values(rows, study.Always(func(m Removed) float64 { return m.Own.proof() }))},
		Beside: []report.Test{
			{What: fmt.Sprintf("wrong bits of %d", r.Config.Bits),
				Values: study.Values(rows, study.Always(func(m Removed) float64 { return float64(m.Own.Errors) }))},
			percent(report.Test{What: "accuracy after it", Values: study.Values(rows, study.Always(accuracy))})}}
}

// seenThrough judges what an endpoint hides.
func (r *Result) seenThrough(q Question) report.ClaimPart {
	c := r.Config
	worth := func(one Read) (float64, bool) { return deref(one.Accuracy) }
	price := percent(report.Test{What: "accuracy that it costs", Relation: report.AtMost, Threshold: worthwhile,
		Values: study.Minus(study.Values(r.Readings, answer(onMarked, c.remote(), worth)), study.Values(r.Readings, answer(onMarked, q, worth)))})
	return report.ClaimPart{Statement: q.Name, Ours: notByAccident, Controls: []report.Test{r.present(), price},
		Test: report.Test{What: "-log10 p, " + q.text(), Relation: report.AtLeast, Threshold: proven,
			Values: study.Values(r.Readings, answer(onMarked, q, proof))},
		Beside: []report.Test{
			{What: fmt.Sprintf("wrong bits of %d", c.Bits), Values: study.Values(r.Readings, answer(onMarked, q, failed))},
			percent(report.Test{What: "accuracy with it", Values: study.Values(r.Readings, answer(onMarked, q, worth))})}}
}

// sizes are the marks of all seeds but the main one's settled twin, by name.
func (c Config) sizes() (names []string) {
	for _, m := range c.MarksOf(1) {
		if m.Bits > 0 && !m.Settled {
			names = append(names, m.Name)
		}
	}
	return names
}

// capacity is the largest mark of each seed whose bits are all right.
func (r *Result) capacity() report.ClaimPart {
	c := r.Config
	var best []float64
	p := report.ClaimPart{Statement: "a large amount", Controls: []report.Test{r.learned()},
		Ours: fmt.Sprintf("%d bits: with so many a mark is evidence also where nobody witnessed when it was made (p < 2^-80 with 10 errors)",
			large)}
	for _, mark := range c.sizes() {
		rows := r.For(mark)
		if len(rows) != len(c.Seeds) {
			best = nil
			break
		}
		if best == nil {
			best = make([]float64, len(rows))
		}
		for i, m := range rows {
			if m.Own.Errors == 0 && m.Own.Decided == m.Bits {
				best[i] = max(best[i], float64(m.Bits))
			}
		}
		bits, carriers := rows[0].Bits, rows[0].Carriers
		p.Beside = append(p.Beside, percent(report.Test{What: fmt.Sprintf("bit error rate, %d bits on %d inputs", bits, carriers),
			Values: study.Values(rows, ber(own))}), r.less(mark, fmt.Sprintf("accuracy, %d bits on %d inputs minus without a mark", bits, carriers),
			study.Always(func(m Measured) float64 { return m.Accuracy }), "", 0))
	}
	p.Test = report.Test{What: "bits of the largest mark that reads without an error", Relation: report.AtLeast, Threshold: large,
		Values: best}
	return p
}
