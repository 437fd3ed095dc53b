package gradsigns

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
	"github.com/trustbook/trustbook/watermark"
)

// traits are what a made-up run shows.
type traits struct {
	errors          int     // of the main mark, read from the network
	learned         float64 // accuracy without a mark
	price, ofClass  float64 // of accuracy, and of the signed class
	remote          int     // errors through answers
	found           int     // wrong keys that read as the network's
	left            int     // errors after any attack
	paid            float64 // accuracy that any attack costs
	most            int     // bits that a mark holds without an error
	unmarkedIsShown bool
}

// told are numbers as the paper tells them.
func told() traits {
	return traits{learned: 0.98, price: 0.001, ofClass: 0.002, left: 1, paid: 0.01, most: 256}
}

func bits(errors, n int) Bits {
	ber := float64(errors) / float64(n)
	return Bits{errors, n, &ber, watermark.PValue(errors, n)}
}

func synthetic(x traits) *Result {
	c := Config{}.WithDefaults()
	r := &Result{Config: c, Data: "made up", Shape: []int{2, 2, 1}, Held: 980}
	number := func(v float64) *float64 { return &v }
	for i, seed := range c.Seeds {
		e := 0.0001 * float64(i)
		for _, m := range c.MarksOf(i) {
			one := Measured{Mark: m.Name, Seed: seed, Bits: m.Bits, Carriers: m.Carriers, Accuracy: x.learned - x.price - e,
				ClassAccuracy: x.learned - x.ofClass + e, RobustClass: number(0.1), RobustOthers: number(0.5), Length: 5,
				Wrong: &Wrong{Keys: c.Keys, Mean: 32, SD: 4, Found: x.found}}
			switch {
			case m.Bits == 0:
				one.Accuracy, one.ClassAccuracy, one.Own = x.learned, x.learned, bits(31, c.Bits)
			case m.Name == Marked || m.Name == Settled:
				one.Own = bits(x.errors, m.Bits)
			case m.Bits > x.most:
				one.Own = bits(1, m.Bits)
			default:
				one.Own = bits(0, m.Bits)
			}
			for _, n := range c.few() {
				one.Few = append(one.Few, Few{n, one.Own})
			}
			r.Networks = append(r.Networks, one)
		}
		for _, a := range c.attacks(nil, nil) {
			r.Removals = append(r.Removals, Removed{Attack: a.Name, Seed: seed, Accuracy: x.learned - x.price - x.paid, Own: bits(x.left, c.Bits)})
		}
		read := func(q Question, errors int, accuracy float64) Read {
			b := bits(errors, c.Bits)
			result := watermark.NotShown
			if b.PValue < watermark.Level {
				result = watermark.Marked
			}
			return Read{Question: q.Name, Estimator: string(q.Estimator), Step: q.Step, Samples: q.Samples, Queries: 1280, Ones: 32, Result: result,
				Accuracy: &accuracy, Bits: b}
		}
		one := Reads{Seed: seed}
		for _, q := range c.Questions() {
			errors, accuracy := x.left, x.learned-x.price-x.paid
			if q.Name == Exact {
				errors, accuracy = x.remote, x.learned-x.price
			}
			one.Marked = append(one.Marked, read(q, errors, accuracy))
		}
		for k, q := range c.unmarkedQuestions() {
			errors := 30
			if x.unmarkedIsShown {
				errors = 0
			}
			one.Unmarked = append(one.Unmarked, read(q, errors, 0.9))
			if k == 0 {
				one.Wrong = append(one.Wrong, read(q, 30, 0.9))
			}
		}
		r.Readings = append(r.Readings, one)
	}
	return r
}

func verdicts(t *testing.T, r *Result) (all []report.Verdict) {
	t.Helper()
	require.NoError(t, report.CheckClaims(r.Claims()))
	for _, c := range r.Claims() {
		all = append(all, c.Verdict())
	}
	return all
}

// TestClaimsTurnOutEachWay: numbers as the paper tells them replicate every claim, numbers the other way contradict each, and
// where what a claim presupposes does not hold it is not tested.
func TestClaimsTurnOutEachWay(t *testing.T) {
	const yes, part, no, none = report.Replicated, report.InPart, report.Contradicted, report.NotTested
	require.Equal(t, []report.Verdict{yes, yes, yes, yes, yes}, verdicts(t, synthetic(told())))
	for name, plant := range map[string]struct {
		change func(x *traits)
		want   []report.Verdict
	}{
		"a network that has not learned":   {func(x *traits) { x.learned = 0.3 }, []report.Verdict{part, none, yes, yes, none}},
		"a mark that reads with errors":    {func(x *traits) { x.errors = 1 }, []report.Verdict{part, yes, yes, yes, yes}},
		"no mark at all":                   {func(x *traits) { x.errors, x.remote = 30, 30 }, []report.Verdict{part, none, part, none, yes}},
		"any key reads":                    {func(x *traits) { x.found = 1 }, []report.Verdict{part, yes, yes, yes, yes}},
		"nothing that is said of the mark": {func(x *traits) { x.errors, x.found = 30, 1 }, []report.Verdict{no, none, part, none, yes}},
		"two points of accuracy":           {func(x *traits) { x.price, x.ofClass = 0.02, 0.02 }, []report.Verdict{yes, no, yes, yes, yes}},
		"the signed class pays":            {func(x *traits) { x.ofClass = 0.03 }, []report.Verdict{yes, part, yes, yes, yes}},
		"answers tell nothing":             {func(x *traits) { x.remote = 30 }, []report.Verdict{yes, yes, part, yes, yes}},
		"the innocent are accused":         {func(x *traits) { x.unmarkedIsShown = true }, []report.Verdict{yes, yes, part, yes, yes}},
		"answers tell nothing but accusing": {func(x *traits) { x.remote, x.unmarkedIsShown = 30, true },
			[]report.Verdict{yes, yes, no, yes, yes}},
		"attacks that work":             {func(x *traits) { x.left = 9 }, []report.Verdict{yes, yes, yes, no, yes}},
		"attacks that ruin the network": {func(x *traits) { x.left, x.paid = 30, 0.05 }, []report.Verdict{yes, yes, yes, none, yes}},
		"small marks alone":             {func(x *traits) { x.most = 64 }, []report.Verdict{yes, yes, yes, yes, no}},
	} {
		x := told()
		plant.change(&x)
		require.Equal(t, plant.want, verdicts(t, synthetic(x)), name)
	}
}

// TestClaimsNeedNumbers: what was not measured for every seed is no number.
func TestClaimsNeedNumbers(t *testing.T) {
	r := synthetic(told())
	r.Networks = study.Where(r.Networks, func(m Measured) bool { return m.Mark != Unmarked })
	r.Removals = nil
	r.Readings[0].Marked = nil
	claims := r.Claims()
	for _, c := range claims {
		for i, p := range c.Parts {
			switch p.Decide().Verdict {
			case report.Replicated:
				require.Contains(t, []string{"and nothing else is"}, p.Statement, "%s, part %d", c.ID, i+1)
			default:
				require.Equal(t, report.NotTested, p.Decide().Verdict, "%s, part %d: %s", c.ID, i+1, p.Statement)
			}
		}
	}
}

// TestJudged: the robustness claim is judged attack by attack, and by nothing that was seen to cost more than it allows.
func TestJudged(t *testing.T) {
	parts := map[string]bool{}
	for _, p := range synthetic(told()).Claims()[3].Parts {
		require.False(t, parts[p.Statement], "%s twice", p.Statement)
		parts[p.Statement] = true
		require.Len(t, p.Controls, 2)
	}
	require.Len(t, parts, 25)
	for _, costly := range []string{"3 bits", "4 bits", "pruning 90%", "overwriting, other class"} {
		require.False(t, parts[costly])
	}
}
