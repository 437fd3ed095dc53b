package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The half-width of the interval of values with known mean and deviation gives the t quantile back. The
// values are those of printed tables (0.975 quantile; NIST/SEMATECH handbook, table 1.3.6.7.2).
func TestIntervalUsesStudentsT(t *testing.T) {
	for df, want := range map[int]float64{1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 29: 2.045, 99: 1.984} {
		n := df + 1
		values := make([]float64, n)
		for i := range values {
			values[i] = 10
		}
		values[0], values[1] = 9, 11 // variance 2/(n-1)
		e := Interval(values)
		sd := math.Sqrt(2 / float64(n-1))
		assert.InDelta(t, 10, e.Mean, 1e-12)
		assert.InDelta(t, want, (e.High-e.Low)/2/(sd/math.Sqrt(float64(n))), 6e-4, "df %d", df)
		assert.Equal(t, n, e.N)
	}
	// A worked example: 1 2 3 4 5 has mean 3, s = 1.5811, interval 3 ± 2.776·0.7071.
	e := Interval([]float64{1, 2, 3, 4, 5})
	assert.InDelta(t, 1.0368, e.Low, 1e-4)
	assert.InDelta(t, 4.9632, e.High, 1e-4)
	one := Interval([]float64{7})
	assert.Equal(t, 7.0, one.Mean)
	assert.True(t, math.IsNaN(one.Low) && math.IsNaN(one.High))
	same := Interval([]float64{0.1, 0.1, 0.1})
	assert.Equal(t, Estimate{0.1, 0.1, 0.1, 3}, same)
}

// A t interval covers the true mean in 95% of repetitions; the binomial deviation at 4000 is 0.34 points.
func TestIntervalCoversTheMean(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const trials = 4000
	covered := 0
	for range trials {
		values := make([]float64, 5)
		for i := range values {
			values[i] = 3 + 2*r.NormFloat64()
		}
		if e := Interval(values); e.Low <= 3 && 3 <= e.High {
			covered++
		}
	}
	assert.InDelta(t, 0.95, float64(covered)/trials, 4*0.0034)
}

// claimOf makes a claim of parts with one test each, and as many seeds as they have values.
func claimOf(tests ...Test) Claim {
	var parts []ClaimPart
	for i, t := range tests {
		parts = append(parts, ClaimPart{Statement: fmt.Sprint("statement ", i+1), Test: t})
	}
	return claimOfParts(parts...)
}

func claimOfParts(parts ...ClaimPart) Claim {
	c := Claim{ID: "2102.11935/1", Sentence: "A sentence.", Parts: parts}
	for _, p := range parts {
		for len(c.Seeds) < len(p.Values) {
			c.Seeds = append(c.Seeds, int64(len(c.Seeds)+1))
		}
	}
	return c
}

func TestDecidePart(t *testing.T) {
	wide := []float64{0.5, 0.7, 0.9} // mean 0.7, interval [0.203, 1.197]
	low, high := Interval(wide).Low, Interval(wide).High
	eps := func(x, to float64) float64 { return math.Nextafter(x, to) }
	for name, c := range map[string]struct {
		test    Test
		verdict Verdict
		note    string
	}{
		"at least, far above":         {Test{Values: []float64{0.9, 0.91, 0.92}, Relation: AtLeast, Threshold: 0.5}, Replicated, ""},
		"at least, far below":         {Test{Values: []float64{0.1, 0.11, 0.12}, Relation: AtLeast, Threshold: 0.5}, Contradicted, ""},
		"at least, inside":            {Test{Values: wide, Relation: AtLeast, Threshold: 0.5}, Inconclusive, ""},
		"at most, far below":          {Test{Values: []float64{0.1, 0.11, 0.12}, Relation: AtMost, Threshold: 0.5}, Replicated, ""},
		"below, inside":               {Test{Values: wide, Relation: Below, Threshold: 0.8}, Inconclusive, ""},
		"at least, touches low":       {Test{Values: wide, Relation: AtLeast, Threshold: low}, Replicated, ""},
		"at least, beyond low":        {Test{Values: wide, Relation: AtLeast, Threshold: eps(low, 1)}, Inconclusive, ""},
		"at least, touches high":      {Test{Values: wide, Relation: AtLeast, Threshold: high}, Inconclusive, ""},
		"at least, beyond high":       {Test{Values: wide, Relation: AtLeast, Threshold: eps(high, 2)}, Contradicted, ""},
		"above, touches low":          {Test{Values: wide, Relation: Above, Threshold: low}, Inconclusive, ""},
		"above, before low":           {Test{Values: wide, Relation: Above, Threshold: eps(low, 0)}, Replicated, ""},
		"above, touches high":         {Test{Values: wide, Relation: Above, Threshold: high}, Contradicted, ""},
		"above, before high":          {Test{Values: wide, Relation: Above, Threshold: eps(high, 0)}, Inconclusive, ""},
		"at most, touches high":       {Test{Values: wide, Relation: AtMost, Threshold: high}, Replicated, ""},
		"at most, before high":        {Test{Values: wide, Relation: AtMost, Threshold: eps(high, 0)}, Inconclusive, ""},
		"at most, touches low":        {Test{Values: wide, Relation: AtMost, Threshold: low}, Inconclusive, ""},
		"at most, before low":         {Test{Values: wide, Relation: AtMost, Threshold: eps(low, 0)}, Contradicted, ""},
		"below, touches high":         {Test{Values: wide, Relation: Below, Threshold: high}, Inconclusive, ""},
		"below, beyond high":          {Test{Values: wide, Relation: Below, Threshold: eps(high, 2)}, Replicated, ""},
		"below, touches low":          {Test{Values: wide, Relation: Below, Threshold: low}, Contradicted, ""},
		"below, beyond low":           {Test{Values: wide, Relation: Below, Threshold: eps(low, 1)}, Inconclusive, ""},
		"at least, all equal to it":   {Test{Values: []float64{1, 1}, Relation: AtLeast, Threshold: 1}, Replicated, ""},
		"above, all equal to it":      {Test{Values: []float64{1, 1}, Relation: Above, Threshold: 1}, Contradicted, ""},
		"at most, all equal to it":    {Test{Values: []float64{1, 1}, Relation: AtMost, Threshold: 1}, Replicated, ""},
		"below, all equal to it":      {Test{Values: []float64{1, 1}, Relation: Below, Threshold: 1}, Contradicted, ""},
		"all equal, width of nothing": {Test{Values: []float64{0.1, 0.1, 0.1}, Relation: Above, Threshold: eps(0.1, 0)}, Replicated, ""},
		"one seed, right":             {Test{Values: []float64{0.6}, Relation: Above, Threshold: 0.5}, Inconclusive, "one seed: no interval"},
		"one seed, wrong":             {Test{Values: []float64{0.4}, Relation: Above, Threshold: 0.5}, Inconclusive, "one seed: no interval"},
		"zero":                        {Test{Values: []float64{0, 0, 0}, Relation: Zero}, Replicated, ""},
		"zero, one seed":              {Test{Values: []float64{0}, Relation: Zero}, Replicated, ""},
		"zero, one seed, violation":   {Test{Values: []float64{2}, Relation: Zero}, Contradicted, ""},
		"zero, one violation":         {Test{Values: []float64{0, 1, 0}, Relation: Zero}, Contradicted, ""},
		"zero, canceling":             {Test{Values: []float64{-1, 1}, Relation: Zero}, Contradicted, ""},
		"negative zero is a zero":     {Test{Values: []float64{math.Copysign(0, -1)}, Relation: Zero}, Replicated, ""},
		"zero, not a number":          {Test{Values: []float64{0, math.NaN()}, Relation: Zero}, NotTested, "a value is not finite"},
		"no values":                   {Test{Relation: Above}, NotTested, "no values were measured"},
		"zero, no values":             {Test{Relation: Zero}, NotTested, "no values were measured"},
		"not a number":                {Test{Values: []float64{math.NaN(), 1}, Relation: Above}, NotTested, "a value is not finite"},
		"infinite":                    {Test{Values: []float64{math.Inf(1)}, Relation: Above}, NotTested, "a value is not finite"},
		"threshold not a number": {Test{Values: []float64{1, 1}, Relation: Above, Threshold: math.NaN()}, NotTested,
			"a value is not finite"},
		"unknown relation": {Test{Values: []float64{1, 1}, Relation: "about", Threshold: 1}, NotTested, `unknown relation "about"`},
		"overflow": {Test{Values: []float64{math.MaxFloat64, -math.MaxFloat64, math.MaxFloat64}, Relation: Above}, NotTested,
			"the values are too large for an interval"},
	} {
		t.Run(name, func(t *testing.T) {
			d := claimOf(c.test).Decide()
			assert.Equal(t, c.verdict, d.Parts[0].Verdict)
			assert.Equal(t, c.note, d.Parts[0].Note)
			assert.Equal(t, c.verdict, d.Verdict, "a claim of one part is what the part is")
			assert.Equal(t, c.note, d.Note)
		})
	}
}

// Controls decide whether a part was tested, whatever its test says; numbers beside it decide nothing.
func TestDecideControls(t *testing.T) {
	pass := Test{What: "learned", Values: []float64{0.95, 0.96, 0.94}, Relation: AtLeast, Threshold: 0.9, Percent: true}
	fail, open, none, bad := pass, pass, pass, pass
	fail.Values, open.Values, none.Values, bad.Values = []float64{0.5, 0.51, 0.52}, []float64{0.95, 0.9, 0.8}, nil, []float64{math.NaN(), 1, 1}
	for want, values := range map[Verdict][]float64{Replicated: {1, 1.1, 1.2}, Contradicted: {-1, -1.1, -1.2}, Inconclusive: {-1, 0, 1}} {
		p := ClaimPart{Test: Test{Values: values, Relation: Above}, Beside: []Test{pass, fail, open, none, bad, {Values: []float64{1, 2, 3}}}}
		p.Controls = []Test{pass, pass}
		assert.Equal(t, want, p.Decide().Verdict)
		for _, control := range []Test{fail, open, none, bad} {
			p.Controls = []Test{pass, control}
			assert.Equal(t, NotTested, p.Decide().Verdict)
		}
	}
	p := ClaimPart{Test: Test{Values: []float64{1, 2}, Relation: Above}, Controls: []Test{pass, fail}}
	assert.Equal(t, "a control does not hold: learned is 51.0% [48.5%, 53.5%], must be ≥ 90%", p.Decide().Note)
	p.Controls = []Test{none}
	assert.Equal(t, "a control was not measured: learned", p.Decide().Note)
	// One seed: a count is decided, with controls by their values.
	count := ClaimPart{Test: Test{Values: []float64{0}, Relation: Zero},
		Controls: []Test{{Values: []float64{0.95}, Relation: AtLeast, Threshold: 0.9}}}
	assert.Equal(t, Replicated, count.Decide().Verdict)
	count.Controls[0].Values[0] = 0.8
	assert.Equal(t, NotTested, count.Decide().Verdict)
}

func TestDecideClaim(t *testing.T) {
	tests := map[byte]Test{
		'r': {Values: []float64{1, 1.1}, Relation: Above}, 'c': {Values: []float64{-1, -1.1}, Relation: Above},
		'i': {Values: []float64{-1, 1}, Relation: Above}, 'n': {Relation: Above},
	}
	for parts, want := range map[string]struct{ words, note string }{
		"":    {"not tested", "no values were measured"},
		"r":   {"replicated", ""},
		"rr":  {"replicated", ""},
		"rc":  {"replicated in part (1 of 2)", "1 contradicted"},
		"ri":  {"replicated in part (1 of 2)", "1 inconclusive"},
		"rn":  {"replicated in part (1 of 2)", "1 not tested"},
		"rrc": {"replicated in part (2 of 3)", "1 contradicted"},
		"cc":  {"contradicted", ""},
		"cin": {"contradicted", "1 contradicted, 1 inconclusive, 1 not tested"},
		"ii":  {"inconclusive", ""},
		"in":  {"inconclusive", "1 inconclusive, 1 not tested"},
		"nn":  {"not tested", "no values were measured"},
	} {
		var chosen []Test
		for _, kind := range []byte(parts) {
			chosen = append(chosen, tests[kind])
		}
		d := claimOf(chosen...).Decide()
		assert.Equal(t, want.words, d.String(), parts)
		assert.Equal(t, want.note, d.Note, parts)
		assert.Equal(t, len(parts), d.N)
		assert.Equal(t, strings.Count(parts, "r"), d.K)
	}
	c := claimOf(tests['n'])
	c.Reason = "needs ImageNet"
	assert.Equal(t, "needs ImageNet", c.Decide().Note)
	one := claimOf(Test{Values: []float64{1}, Relation: Above}, Test{Values: []float64{2}, Relation: Below})
	assert.Equal(t, "one seed: no interval", one.Decide().Note, "what all parts have to say is said once")
	marks := map[string]bool{}
	for _, v := range verdicts {
		marks[v.Mark()] = true
		marks[v.badge().Mark] = true
	}
	assert.Len(t, marks, 2*len(verdicts))
}

// randomPart makes a part whose numbers are exact under shifts, of n seeds.
func randomPart(r *rand.Rand, n int) ClaimPart {
	values := make([]float64, n)
	center := r.NormFloat64()
	for i := range values {
		values[i] = float64(int(1024*(center+r.NormFloat64()*0.3))) / 1024
	}
	return ClaimPart{Statement: "s", Test: Test{What: "w", Values: values,
		Relation: []Relation{AtLeast, AtMost, Above, Below}[r.IntN(4)], Threshold: 0.25}}
}

// A part depends on nothing but order-free statistics: it is the same for permuted seeds, is contradicted where the
// contrary is replicated, mirrors under negation, and moving all values to the right side never turns replicated into
// something else. It agrees with the interval that is shown beside it.
func TestPartProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	mirror := map[Relation]Relation{AtLeast: AtMost, AtMost: AtLeast, Above: Below, Below: Above}
	contrary := map[Relation]Relation{AtLeast: Below, Below: AtLeast, Above: AtMost, AtMost: Above}
	opposite := map[Verdict]Verdict{Replicated: Contradicted, Contradicted: Replicated, Inconclusive: Inconclusive}
	seen := map[Verdict]int{}
	for range 3000 {
		p := randomPart(r, 1+r.IntN(6))
		verdict := p.Decide().Verdict
		seen[verdict]++
		changed := func(change func(t *Test)) Verdict {
			other := p.Test
			other.Values = slices.Clone(p.Values)
			change(&other)
			return other.Decide().Verdict
		}
		n, rel := len(p.Values), p.Relation
		assert.Equal(t, verdict, changed(func(t *Test) { r.Shuffle(n, func(i, j int) { t.Values[i], t.Values[j] = t.Values[j], t.Values[i] }) }))
		assert.Equal(t, opposite[verdict], changed(func(t *Test) { t.Relation = contrary[rel] }))
		assert.Equal(t, verdict, changed(func(t *Test) {
			t.Relation, t.Threshold = mirror[rel], -t.Threshold
			for i := range t.Values {
				t.Values[i] *= -1
			}
		}))
		step := 0.5
		if rel == AtMost || rel == Below {
			step = -0.5
		}
		if verdict == Replicated {
			assert.Equal(t, Replicated, changed(func(t *Test) {
				for i := range t.Values {
					t.Values[i] += step
				}
			}))
		}
		if e := Interval(p.Values); n > 1 {
			right := rel == AtLeast && e.Low >= 0.25 || rel == Above && e.Low > 0.25 ||
				rel == AtMost && e.High <= 0.25 || rel == Below && e.High < 0.25
			assert.Equal(t, right, verdict == Replicated)
		}
	}
	for _, v := range []Verdict{Replicated, Contradicted, Inconclusive} {
		assert.Greater(t, seen[v], 300)
	}
}

// A control that holds changes nothing, one that does not leaves the part untested; the order of parts does not change
// the verdict; and what is saved and loaded decides the same.
func TestClaimProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	seen := map[Verdict]int{}
	for range 2000 {
		n := 1 + r.IntN(5)
		var parts []ClaimPart
		for range 1 + r.IntN(4) {
			p := randomPart(r, n)
			switch r.IntN(8) {
			case 0:
				p.Values = nil
			case 1:
				p.Relation = Zero
			case 2:
				p.Beside = []Test{randomPart(r, n).Test, {What: "alone", Values: randomPart(r, n).Values}}
				p.Ours = "why"
			case 3:
				p.Controls = []Test{randomPart(r, n).Test}
			}
			parts = append(parts, p)
		}
		c := claimOfParts(parts...)
		for len(c.Seeds) < n {
			c.Seeds = append(c.Seeds, int64(len(c.Seeds)+1))
		}
		d := c.Decide()
		seen[d.Verdict]++

		data, err := FormatClaims([]Claim{c})
		require.NoError(t, err)
		back, err := ParseClaims(data)
		require.NoError(t, err)
		require.Equal(t, c, back[0])
		require.Equal(t, d.String(), back[0].Decide().String())

		k := r.IntN(len(parts))
		held := randomPart(r, n).Test
		held.Threshold, held.Relation = slices.Min(held.Values)-100, AtLeast
		controlled := slices.Clone(parts)
		controlled[k].Controls = append(slices.Clone(controlled[k].Controls), held)
		assert.Equal(t, d.Verdict, claimOfParts(controlled...).Verdict())
		held.Relation = AtMost
		controlled[k].Controls = []Test{held}
		assert.Equal(t, NotTested, claimOfParts(controlled...).Decide().Parts[k].Verdict)

		shuffled := slices.Clone(parts)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		assert.Equal(t, d.String(), claimOfParts(shuffled...).Decide().String())
	}
	for _, v := range verdicts {
		assert.Greater(t, seen[v], 50, v)
	}
}

func TestClaimsJSONRoundTrip(t *testing.T) {
	violations := ClaimPart{Statement: "no bound breaks", Test: Test{What: "violations", Values: []float64{0, 0, 0}, Relation: Zero}}
	claims := []Claim{
		{ID: "2102.11935/1", Sentence: "Joint perturbations do more harm <than> \"either\".", Reported: "12%",
			ComparedWith: "the abstract", Scale: "quick", Dataset: "mnist", N: 500, Seeds: []int64{1, 2, 3},
			Parts: []ClaimPart{{Statement: "more harm", Ours: "because",
				Test:     Test{What: "difference", Values: []float64{0.14, 0.16, 0.15}, Relation: AtLeast, Threshold: 0.05, Percent: true},
				Controls: []Test{{What: "learned", Values: []float64{0.9, 0.9, 0.9}, Relation: Above, Threshold: 0.1, Percent: true}},
				Beside:   []Test{{What: "norm", Values: []float64{1, 2, 3}}}}, violations}},
		{ID: "2102.11935/2", Sentence: "Not so.", Seeds: []int64{1, 2}, Parts: []ClaimPart{
			{Statement: "not", Test: Test{What: "loss", Values: []float64{2, 2}, Relation: Below, Threshold: 1}}}},
		{ID: "2102.11935/3", Sentence: "Not here.", Reason: "needs a GPU"},
	}
	data, err := FormatClaims(claims)
	require.NoError(t, err)
	back, err := ParseClaims(data)
	require.NoError(t, err)
	assert.Equal(t, claims, back)
	again, err := FormatClaims(back)
	require.NoError(t, err)
	assert.Equal(t, string(data), string(again))

	var keys []map[string]any
	require.NoError(t, json.Unmarshal(data, &keys))
	for _, k := range []string{"id", "sentence", "verdict", "replicated_of", "measured", "reported", "compared_with", "interval",
		"seeds", "scale", "dataset", "n", "parts"} {
		assert.Contains(t, keys[0], k)
	}
	assert.Equal(t, "replicated", keys[0]["verdict"])
	assert.Equal(t, "contradicted", keys[1]["verdict"])
	assert.Equal(t, "not tested", keys[2]["verdict"])
	assert.Nil(t, keys[2]["measured"])
	assert.InDelta(t, 0.15, keys[0]["measured"], 1e-12)
	assert.Len(t, keys[0]["interval"], 2)
	part := keys[0]["parts"].([]any)[0].(map[string]any)
	for _, k := range []string{"statement", "verdict", "what", "relation", "threshold", "percent", "values", "estimate", "interval",
		"ours", "controls", "beside"} {
		assert.Contains(t, part, k)
	}
	assert.Equal(t, true, part["controls"].([]any)[0].(map[string]any)["holds"])
}

// Results of runs made before claims had parts load, each test as a part.
func TestClaimsJSONOfBefore(t *testing.T) {
	claims, err := ParseClaims([]byte(`[{"id":"a/1","sentence":"S.","verdict":"not replicated","quantity":"gain",
		"compared_with":"the abstract","seeds":[1,2],
		"tests":[{"what":"gain","relation":"above","threshold":0,"values":[1,1.1],"estimate":1.05,"interval":[0.4,1.7],"holds":true},
			{"relation":"at most","threshold":2,"percent":true,"values":[3,3],"holds":false}]},
		{"id":"a/2","sentence":"T.","reason":"smoke","tests":[]}]`))
	require.NoError(t, err)
	assert.Equal(t, []ClaimPart{{Statement: "gain", Test: Test{What: "gain", Values: []float64{1, 1.1}, Relation: Above}},
		{Statement: "S.", Test: Test{Values: []float64{3, 3}, Relation: AtMost, Threshold: 2, Percent: true}}}, claims[0].Parts)
	assert.Equal(t, "replicated in part (1 of 2)", claims[0].Decide().String())
	assert.Equal(t, "smoke", claims[1].Decide().Note)
}

// NaN compares unequal to itself, so it is looked at alone.
func TestClaimsJSONKeepsNaN(t *testing.T) {
	data, err := FormatClaims([]Claim{claimOf(Test{Values: []float64{math.NaN(), 1}, Relation: Above})})
	require.NoError(t, err)
	back, err := ParseClaims(data)
	require.NoError(t, err)
	assert.True(t, math.IsNaN(back[0].Parts[0].Values[0]))
}

func TestTamperedVerdictDoesNotSurvive(t *testing.T) {
	c := claimOf(Test{What: "gain", Values: []float64{-1, -1.2, -0.9}, Relation: Above})
	c.Parts[0].Controls = []Test{{Values: []float64{1, 1, 1}, Relation: Above}}
	data, err := FormatClaims([]Claim{c})
	require.NoError(t, err)
	tampered := strings.NewReplacer(`"contradicted"`, `"replicated"`, `"holds": true`, `"holds": false`).Replace(string(data))
	require.NotEqual(t, string(data), tampered)
	back, err := ParseClaims([]byte(tampered))
	require.NoError(t, err)
	assert.Equal(t, Contradicted, back[0].Verdict())
	again, err := FormatClaims(back)
	require.NoError(t, err)
	assert.Equal(t, string(data), string(again))
}

func TestBadClaims(t *testing.T) {
	test := Test{Values: []float64{1}, Relation: Above}
	ok := func() Claim {
		return claimOfParts(ClaimPart{Statement: "s", Test: test, Controls: []Test{test}, Beside: []Test{test, {Values: []float64{1}}}})
	}
	for want, change := range map[string]func(c *Claim){
		"malformed":                               func(c *Claim) { c.ID = "../../etc" },
		"no sentence":                             func(c *Claim) { c.Sentence = " " },
		"no statement":                            func(c *Claim) { c.Parts[0].Statement = " " },
		"negative":                                func(c *Claim) { c.N = -1 },
		"part 1: unknown relation":                func(c *Claim) { c.Parts[0].Relation = "" },
		"control 1: unknown relation":             func(c *Claim) { c.Parts[0].Controls[0].Relation = "" },
		"number 1 beside it: unknown":             func(c *Claim) { c.Parts[0].Beside[0].Relation = "about" },
		"the threshold":                           func(c *Claim) { c.Parts[0].Threshold = math.Inf(1) },
		"number 2 beside it: the threshold":       func(c *Claim) { c.Parts[0].Beside[1].Threshold = math.NaN() },
		"part 1: 2 values for 1 seeds":            func(c *Claim) { c.Parts[0].Values = []float64{1, 2} },
		"part 1, control 1: 2 values for 1 seeds": func(c *Claim) { c.Parts[0].Controls[0].Values = []float64{1, 2} },
	} {
		c := ok()
		change(&c)
		_, err := FormatClaims([]Claim{c})
		if assert.ErrorContains(t, err, want) {
			assert.NotContains(t, err.Error(), "\n")
		}
	}
	_, err := FormatClaims([]Claim{ok(), ok()})
	assert.ErrorContains(t, err, "twice")
	part := func(s string) string { return `[{"id":"a/1","sentence":"s","seeds":[1],"parts":[{` + s + `}]}]` }
	for _, bad := range []string{"", "{}", "[", "[1]", `[{"id":"a/1"}]`, part(`"statement":"s","relation":"above","values":[null]`),
		part(`"statement":"s","relation":"above","values":["1"]`), part(`"relation":"above","values":[1]`), part(`"statement":"s"`),
		part(`"statement":"s","relation":"above","controls":[{"values":[1]}]`)} {
		_, err := ParseClaims([]byte(bad))
		assert.Error(t, err, bad)
	}
	_, err = ParseClaims([]byte(part(`"statement":"s","relation":"above","values":[1],"beside":[{"values":[1]}]`)))
	assert.NoError(t, err)
}

// Any data that is accepted gives claims whose JSON is a fixed point and whose verdicts come from values.
func FuzzParseClaims(f *testing.F) {
	data, err := FormatClaims(sampleClaims())
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`[{"id":"a/1","sentence":"s","verdict":"replicated","seeds":[1,2],"tests":[{"relation":"below","values":["NaN","-Inf"]}]}]`))
	f.Add([]byte(`[{"id":"a/1","sentence":"s","verdict":7,"measured":[],"interval":{},"note":1,"tests":[],"replicated_of":"x"}]`))
	f.Add([]byte(`[{"id":"a/1","sentence":"s","seeds":[1,2],"parts":[{"statement":"p","verdict":{},"relation":"zero","values":[0,0],"holds":3,
		"controls":[{"relation":"above","values":[1,"+Inf"]}],"beside":[{"values":[1,2],"threshold":1}]}]}]`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		claims, err := ParseClaims(data)
		if err != nil {
			return
		}
		once, err := FormatClaims(claims)
		require.NoError(t, err)
		back, err := ParseClaims(once)
		require.NoError(t, err)
		twice, err := FormatClaims(back)
		require.NoError(t, err)
		if !bytes.Equal(once, twice) {
			t.Fatalf("%s\nbecame\n%s", once, twice)
		}
		var b strings.Builder
		entry{claims: claims}.claimRows(&b)
		for _, c := range claims {
			d := c.Decide()
			require.LessOrEqual(t, d.K, d.N)
			require.Equal(t, d.Verdict == Replicated, d.N > 0 && d.K == d.N)
			for i, p := range c.Parts {
				require.True(t, d.Parts[i].Verdict == NotTested || len(p.Values) > 0)
			}
			c.row(false)
		}
		ClaimTable(claims).HTML()
	})
}
