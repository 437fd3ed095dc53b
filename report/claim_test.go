package report

import (
	"bytes"
	"encoding/json"
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

func claimOf(tests ...Test) Claim {
	c := Claim{ID: "2102.11935/1", Sentence: "A sentence.", Tests: tests}
	for i := range tests {
		for len(c.Seeds) < len(tests[i].Values) {
			c.Seeds = append(c.Seeds, int64(len(c.Seeds)+1))
		}
	}
	return c
}

func TestDecide(t *testing.T) {
	wide := []float64{0.5, 0.7, 0.9} // mean 0.7, interval [0.203, 1.197]
	for name, c := range map[string]struct {
		test    Test
		verdict Verdict
		note    string
	}{
		"at least, far above":     {Test{Values: []float64{0.9, 0.91, 0.92}, Relation: AtLeast, Threshold: 0.5}, Replicated, ""},
		"at least, far below":     {Test{Values: []float64{0.1, 0.11, 0.12}, Relation: AtLeast, Threshold: 0.5}, NotReplicated, ""},
		"at least, too wide":      {Test{Values: wide, Relation: AtLeast, Threshold: 0.5}, NotReplicated, "inconclusive: the interval includes the threshold"},
		"at least, equal":         {Test{Values: []float64{1, 1}, Relation: AtLeast, Threshold: 1}, Replicated, ""},
		"above, equal":            {Test{Values: []float64{1, 1}, Relation: Above, Threshold: 1}, NotReplicated, ""},
		"at most, far below":      {Test{Values: []float64{0.1, 0.11, 0.12}, Relation: AtMost, Threshold: 0.5}, Replicated, ""},
		"at most, equal":          {Test{Values: []float64{1, 1}, Relation: AtMost, Threshold: 1}, Replicated, ""},
		"below, equal":            {Test{Values: []float64{1, 1}, Relation: Below, Threshold: 1}, NotReplicated, ""},
		"below, too wide":         {Test{Values: wide, Relation: Below, Threshold: 0.8}, NotReplicated, "inconclusive: the interval includes the threshold"},
		"one seed, right":         {Test{Values: []float64{0.6}, Relation: Above, Threshold: 0.5}, Replicated, "one seed: no interval"},
		"one seed, wrong":         {Test{Values: []float64{0.4}, Relation: Above, Threshold: 0.5}, NotReplicated, "one seed: no interval"},
		"zero":                    {Test{Values: []float64{0, 0, 0}, Relation: Zero}, Replicated, ""},
		"zero, one violation":     {Test{Values: []float64{0, 1, 0}, Relation: Zero}, NotReplicated, ""},
		"zero, canceling":         {Test{Values: []float64{-1, 1}, Relation: Zero}, NotReplicated, ""},
		"no values":               {Test{Relation: Above}, NotTested, "no values were measured"},
		"not a number":            {Test{Values: []float64{math.NaN(), 1}, Relation: Above}, NotReplicated, "a value is not finite"},
		"infinite":                {Test{Values: []float64{math.Inf(1)}, Relation: Above}, NotReplicated, "a value is not finite"},
		"overflow":                {Test{Values: []float64{math.MaxFloat64, -math.MaxFloat64, math.MaxFloat64}, Relation: Above}, NotReplicated, "the values are too large for an interval"},
		"unknown relation":        {Test{Values: []float64{1, 1}, Relation: "about", Threshold: 1}, NotReplicated, `unknown relation "about"`},
		"threshold not a number":  {Test{Values: []float64{1, 1}, Relation: Above, Threshold: math.NaN()}, NotReplicated, "a value is not finite"},
		"negative zero is a zero": {Test{Values: []float64{math.Copysign(0, -1)}, Relation: Zero}, Replicated, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := claimOf(c.test).Decide()
			assert.Equal(t, c.verdict, d.Verdict)
			assert.Equal(t, c.note, d.Note)
		})
	}
}

func TestDecideNeedsEveryTest(t *testing.T) {
	good := Test{What: "good", Values: []float64{1, 1.1}, Relation: Above}
	bad := Test{What: "bad", Values: []float64{-1, -1.1}, Relation: Above}
	none := Test{What: "none", Relation: Above}
	assert.Equal(t, Replicated, claimOf(good, good).Verdict())
	assert.Equal(t, NotReplicated, claimOf(good, bad).Verdict())
	assert.Equal(t, NotReplicated, claimOf(none, bad).Verdict(), "a missing value does not hide a failure")
	assert.Equal(t, NotTested, claimOf(good, none).Verdict())
	assert.Equal(t, NotTested, claimOf().Verdict())
	c := claimOf()
	c.Reason = "needs ImageNet"
	assert.Equal(t, "needs ImageNet", c.Decide().Note)
	assert.Contains(t, claimOf(good, bad).Decide().Note, "bad: ")
}

// The verdict depends on nothing but order-free statistics: it is the same for permuted seeds, follows a
// common shift of values and threshold, mirrors under negation, and moving all values further to the right
// side never turns replicated into not replicated.
func TestDecideProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	mirror := map[Relation]Relation{AtLeast: AtMost, AtMost: AtLeast, Above: Below, Below: Above}
	seen := map[Verdict]int{}
	for range 3000 {
		n := 1 + r.IntN(6)
		values := make([]float64, n)
		center := r.NormFloat64()
		for i := range values {
			values[i] = float64(int(1024*(center+r.NormFloat64()*0.3))) / 1024 // exact under shifts
		}
		rel := []Relation{AtLeast, AtMost, Above, Below}[r.IntN(4)]
		test := Test{Values: values, Relation: rel, Threshold: 0.25}
		verdict := claimOf(test).Verdict()
		seen[verdict]++

		permuted := slices.Clone(values)
		r.Shuffle(n, func(i, j int) { permuted[i], permuted[j] = permuted[j], permuted[i] })
		assert.Equal(t, verdict, claimOf(Test{Values: permuted, Relation: rel, Threshold: 0.25}).Verdict())

		negated, better := make([]float64, n), make([]float64, n)
		step := 0.5
		if rel == AtMost || rel == Below {
			step = -0.5
		}
		for i, v := range values {
			negated[i], better[i] = -v, v+step
		}
		assert.Equal(t, verdict, claimOf(Test{Values: negated, Relation: mirror[rel], Threshold: -0.25}).Verdict())
		if verdict == Replicated {
			assert.Equal(t, Replicated, claimOf(Test{Values: better, Relation: rel, Threshold: 0.25}).Verdict())
		}
		// The verdict agrees with the interval that is shown beside it.
		if e := Interval(values); n > 1 {
			right := rel == AtLeast && e.Low >= 0.25 || rel == Above && e.Low > 0.25 || rel == AtMost && e.High <= 0.25 || rel == Below && e.High < 0.25
			assert.Equal(t, right, verdict == Replicated)
		}
	}
	assert.Greater(t, seen[Replicated], 300)
	assert.Greater(t, seen[NotReplicated], 300)
}

func TestClaimsJSONRoundTrip(t *testing.T) {
	claims := []Claim{
		{ID: "2102.11935/1", Sentence: "Joint perturbations do more harm <than> \"either\".", ComparedWith: "the paper's 12%", Scale: "quick", Dataset: "mnist", N: 500,
			Seeds: []int64{1, 2, 3}, Tests: []Test{{What: "difference", Values: []float64{0.14, 0.16, 0.15}, Relation: AtLeast, Threshold: 0.05, Percent: true},
				{What: "violations", Values: []float64{0, 0, 0}, Relation: Zero}}},
		{ID: "2102.11935/2", Sentence: "Diverges.", Seeds: []int64{1, 2}, Tests: []Test{{What: "loss", Values: []float64{math.Inf(1), 2}, Relation: Below, Threshold: 1}}},
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
	for _, k := range []string{"id", "sentence", "verdict", "measured", "compared_with", "interval", "seeds", "scale", "dataset", "n", "tests"} {
		assert.Contains(t, keys[0], k)
	}
	assert.Equal(t, "replicated", keys[0]["verdict"])
	assert.Equal(t, "not replicated", keys[1]["verdict"])
	assert.Equal(t, "not tested", keys[2]["verdict"])
	assert.Nil(t, keys[2]["measured"])
	assert.InDelta(t, 0.15, keys[0]["measured"], 1e-12)
	assert.Len(t, keys[0]["interval"], 2)
}

// NaN compares unequal to itself, so it is looked at alone.
func TestClaimsJSONKeepsNaN(t *testing.T) {
	data, err := FormatClaims([]Claim{claimOf(Test{Values: []float64{math.NaN(), 1}, Relation: Above})})
	require.NoError(t, err)
	back, err := ParseClaims(data)
	require.NoError(t, err)
	assert.True(t, math.IsNaN(back[0].Tests[0].Values[0]))
}

func TestTamperedVerdictDoesNotSurvive(t *testing.T) {
	c := claimOf(Test{What: "gain", Values: []float64{-1, -1.2, -0.9}, Relation: Above})
	data, err := FormatClaims([]Claim{c})
	require.NoError(t, err)
	tampered := strings.NewReplacer(`"not replicated"`, `"replicated"`, `"holds": false`, `"holds": true`).Replace(string(data))
	require.NotEqual(t, string(data), tampered)
	back, err := ParseClaims([]byte(tampered))
	require.NoError(t, err)
	assert.Equal(t, NotReplicated, back[0].Verdict())
	again, err := FormatClaims(back)
	require.NoError(t, err)
	assert.Equal(t, string(data), string(again))
}

func TestBadClaims(t *testing.T) {
	ok := claimOf(Test{Values: []float64{1}, Relation: Above})
	for want, change := range map[string]func(c *Claim){
		"malformed":            func(c *Claim) { c.ID = "../../etc" },
		"no sentence":          func(c *Claim) { c.Sentence = " " },
		"negative":             func(c *Claim) { c.N = -1 },
		"unknown relation":     func(c *Claim) { c.Tests[0].Relation = "" },
		"threshold":            func(c *Claim) { c.Tests[0].Threshold = math.Inf(1) },
		"2 values for 1 seeds": func(c *Claim) { c.Tests[0].Values = []float64{1, 2} },
	} {
		c := ok
		c.Tests = slices.Clone(ok.Tests)
		change(&c)
		_, err := FormatClaims([]Claim{c})
		if assert.ErrorContains(t, err, want) {
			assert.NotContains(t, err.Error(), "\n")
		}
	}
	_, err := FormatClaims([]Claim{ok, ok})
	assert.ErrorContains(t, err, "twice")
	for _, bad := range []string{"", "{}", "[", "[1]", `[{"id":"a/1"}]`, `[{"id":"a/1","sentence":"s","seeds":[1],"tests":[{"relation":"above","values":[null]}]}]`, `[{"id":"a/1","sentence":"s","seeds":[1],"tests":[{"relation":"above","values":["1"]}]}]`} {
		_, err := ParseClaims([]byte(bad))
		assert.Error(t, err, bad)
	}
}

// Any data that is accepted gives claims whose JSON is a fixed point and whose verdicts come from values.
func FuzzParseClaims(f *testing.F) {
	data, err := FormatClaims([]Claim{claimOf(Test{What: "gain", Values: []float64{0.1, 0.2}, Relation: AtLeast, Threshold: 0.1}, Test{Values: []float64{0, 0}, Relation: Zero})})
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`[{"id":"a/1","sentence":"s","verdict":"replicated","seeds":[1,2],"tests":[{"relation":"below","values":["NaN","-Inf"]}]}]`))
	f.Add([]byte(`[{"id":"a/1","sentence":"s","verdict":7,"measured":[],"interval":{},"note":1,"tests":[]}]`))
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
		for _, c := range claims {
			d := c.Decide()
			if d.Verdict == Replicated {
				for _, test := range c.Tests {
					require.NotEmpty(t, test.Values)
				}
			}
		}
		ClaimTable(claims).HTML()
	})
}
