package pairgan

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/generative"
	"github.com/trustbook/trustbook/report"
)

// traits are what a made-up run shows of the method, and of the others.
type traits struct {
	real, swapped, color float64
	fid, others          float64
	diversity, less      float64 // with the relation loss, and of all others
	content, shuffled    float64
	memory, ink          float64
	digitsSeen           float64
}

// told are numbers as the paper tells them.
func told() traits {
	return traits{real: 0.95, swapped: 0.85, color: 0.95, fid: 30, others: 60, diversity: 1, less: 0.9, content: 0.9, shuffled: 0.1, memory: 1,
		ink: 0.5, digitsSeen: 0.95}
}

func synthetic(x traits) *Result {
	c := Config{}.WithDefaults()
	r := &Result{Config: c, Data: "made up", Shape: []int{2, 2, 3}}
	for i, seed := range c.Seeds {
		e := 0.001 * float64(i)
		r.Sources = append(r.Sources, Separated{Seed: seed, Real: x.real, Again: 0.9, Swapped: x.swapped + e, Color: x.color - e})
	}
	for _, name := range c.Methods {
		for i, seed := range c.Seeds {
			e := 0.001 * float64(i)
			m := Measured{Method: name, Seed: seed, Pairs: c.Pairs, Frechet: x.others + e, Diversity: x.less - e, Memory: 1, Real: x.digitsSeen,
				Fidelity: generative.Fidelity{Precision: 0.5}}
			share := 0.5
			switch name {
			case Full:
				share = x.content + e
				m.Frechet, m.Diversity, m.Memory, m.Ink = x.fid-e, x.diversity+e, x.memory, &x.ink
			case Shuffled:
				share = x.shuffled
			}
			m.Content = &share
			r.Methods = append(r.Methods, m)
		}
	}
	return r
}

// TestClaims: verdicts follow the numbers, part by part.
func TestClaims(t *testing.T) {
	verdicts := func(change func(x *traits)) (all [][]report.Verdict) {
		x := told()
		change(&x)
		for _, c := range synthetic(x).Claims() {
			var parts []report.Verdict
			for _, p := range c.Parts {
				parts = append(parts, p.Decide().Verdict)
			}
			all = append(all, parts)
		}
		return all
	}
	for _, parts := range verdicts(func(*traits) {}) {
		for _, v := range parts {
			require.Equal(t, report.Replicated, v)
		}
	}
	for _, c := range []struct {
		change      func(x *traits)
		claim, part int
		want        report.Verdict
	}{
		{func(x *traits) { x.fid = 90 }, 0, 0, report.Contradicted},
		{func(x *traits) { x.fid = 90 }, 3, 0, report.Contradicted},
		{func(x *traits) { x.memory = 0 }, 0, 0, report.NotTested},
		{func(x *traits) { x.digitsSeen = 0.5 }, 0, 0, report.NotTested},
		{func(x *traits) { x.swapped = 0.3 }, 1, 0, report.Contradicted},
		{func(x *traits) { x.real = 0.5 }, 1, 0, report.NotTested},
		{func(x *traits) { x.color = 0.5 }, 1, 1, report.Contradicted},
		{func(x *traits) { x.content = 0.5 }, 1, 2, report.Contradicted},
		{func(x *traits) { x.shuffled = 0.8 }, 1, 2, report.NotTested},
		{func(x *traits) { x.ink = -0.5 }, 1, 3, report.Contradicted},
		{func(x *traits) { x.diversity = 0.8 }, 2, 0, report.Contradicted},
		{func(x *traits) { x.diversity = 0.8 }, 3, 1, report.Contradicted},
	} {
		require.Equal(t, c.want, verdicts(c.change)[c.claim][c.part], "claim %d, part %d", c.claim+1, c.part+1)
	}
}

// TestClaimsNeedNumbers: what was not measured is not tested.
func TestClaimsNeedNumbers(t *testing.T) {
	r := synthetic(told())
	r.Methods = r.Methods[:len(r.Config.Seeds)] // the method alone
	for i, c := range r.Claims() {
		for _, p := range c.Parts {
			if i != 1 || p.Statement == "content crosses to the target" {
				require.Equal(t, report.NotTested, p.Decide().Verdict, p.Statement)
			}
		}
	}
	for _, table := range r.Tables() {
		require.NoError(t, table.Check())
	}
	r.Config.Scale = "smoke"
	for _, c := range r.Claims() {
		require.Empty(t, c.Parts)
	}
}
