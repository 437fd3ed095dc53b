package report

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>&amp;|*_` + "`\n\x1b[31m"

// elements returns the names of all elements of an HTML text, and every attribute.
func elements(t *testing.T, text string) (names []string, attributes []xml.Attr) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return names, attributes
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok {
			names = append(names, start.Name.Local)
			attributes = append(attributes, start.Attr...)
		}
	}
}

// assertHarmless checks with an HTML parser that no element or attribute came from a text.
func assertHarmless(t *testing.T, text string) {
	t.Helper()
	names, attributes := elements(t, text)
	assert.NotContains(t, names, "script")
	for _, a := range attributes {
		assert.False(t, strings.HasPrefix(a.Name.Local, "on"), a.Name.Local)
		if a.Name.Local == "href" || a.Name.Local == "src" {
			assert.Regexp(t, `^(https?://|#|data:image/png;base64,)`, a.Value)
		}
	}
}

func TestTableEscapes(t *testing.T) {
	table := &Table{Title: hostile, Caption: hostile, Columns: []Column{{Name: hostile}, {Name: "x", Best: Highest}},
		Rows: [][]any{{hostile, 1}, {hostile, 2}}}
	out := table.HTML()
	assertHarmless(t, out)
	names, _ := elements(t, out)
	assert.NotContains(t, names, "img")
	assert.Contains(t, out, "&lt;script&gt;")
	md := table.Markdown()
	assert.NotContains(t, md, "<script")
	assert.NotContains(t, md, "<img")
	for _, line := range strings.Split(md, "\n") {
		if strings.HasPrefix(line, "|") { // a cell adds no columns
			assert.Equal(t, 3, strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"), line)
		}
	}
	assert.NotContains(t, table.Text(), "\x1b")
}

func TestTableRenderings(t *testing.T) {
	table := &Table{Title: "Accuracy", Caption: "Five seeds.",
		Columns: []Column{{Name: "Model"}, {Name: "Robust", Percent: true, Best: Highest},
			{Name: "Loss", Format: "%.2f", Best: Lowest}, {Name: "n"}},
		Rows: [][]any{{"standard", 0.0412, 2.5, 500}, {"joint", Estimate{0.9234, 0.9, 0.9468, 5}, 0.333, 500},
			{"none", math.NaN(), nil, nil}, {"short"}}}
	assert.Equal(t, "**Accuracy**\n\n"+
		"| Model | Robust | Loss | n |\n|:--- | ---:| ---:| ---:|\n"+
		"| standard | 4.1% | 2.50 | 500 |\n| joint | **92.3% [90.0%, 94.7%]** | **0.33** | 500 |\n"+
		"| none | – |  |  |\n| short |  |  |  |\n\n*Five seeds.*\n", table.Markdown())
	assert.Contains(t, table.HTML(), `<strong>92.3%</strong> <span class="ci" style="opacity:.7;font-size:88%">[90.0%, 94.7%]</span>`)
	assert.Contains(t, table.HTML(), `<td align="right"><strong>0.33</strong></td>`)
	assert.Contains(t, table.Text(), "0.33*")
	assert.Equal(t, "Model,Robust,Robust_low,Robust_high,Loss,n\nstandard,0.0412,,,2.5,500\njoint,0.9234,0.9,0.9468,0.333,500\n"+
		"none,NaN,,,,\nshort,,,,,\n", table.CSV())
	assert.ErrorContains(t, (&Table{Title: "t", Columns: []Column{{Name: "a"}}, Rows: [][]any{{1, 2}}}).Check(), "2 cells for 1 columns")
	assert.ErrorContains(t, (&Table{Title: "t", Columns: []Column{{Name: "a"}}, Rows: [][]any{{strings.ToUpper}}}).Check(),
		`column "a" holds a func(string) string`)
	assert.ErrorContains(t, (&Table{}).Check(), "no columns")
}

// Floats and texts come back from CSV exactly, read by the standard library.
func TestCSVRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	table := &Table{Columns: []Column{{Name: `a "quoted", name`}, {Name: "x", Format: "%.1f"}, {Name: "y"}}}
	var floats []float64
	var texts []string
	for i := range 500 {
		x := math.Float64frombits(r.Uint64())
		if math.IsNaN(x) {
			x = math.SmallestNonzeroFloat64
		}
		text := strings.Map(func(c rune) rune { return []rune("a,\"\n |é")[int(c)%7] }, strconv.Itoa(r.IntN(1e9)))
		floats, texts = append(floats, x), append(texts, text)
		table.Rows = append(table.Rows, []any{text, x, float32(i) / 3})
	}
	records, err := csv.NewReader(strings.NewReader(table.CSV())).ReadAll()
	require.NoError(t, err)
	require.Len(t, records, 501)
	assert.Equal(t, `a "quoted", name`, records[0][0])
	for i, record := range records[1:] {
		x, err := strconv.ParseFloat(record[1], 64)
		require.NoError(t, err)
		assert.Equal(t, floats[i], x)
		y, err := strconv.ParseFloat(record[2], 32)
		require.NoError(t, err)
		assert.Equal(t, float32(i)/3, float32(y))
		assert.Equal(t, texts[i], record[0])
	}
}

func TestNumbers(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 1: "1", -3: "-3", 0.5: "0.5", 0.123456: "0.1235", 12.3456: "12.35",
		123456.7: "123457", 1e-7: "1e-07", 1234567: "1234567", 1e12: "1e+12", 0.00012346: "0.0001235", math.Inf(1): "∞"} {
		assert.Equal(t, want, shortNumber(x), "%v", x)
	}
	assert.Equal(t, "0", shortNumber(math.Copysign(0, -1)))
	assert.Equal(t, "0.0%", formatNumber(-0.0001, Column{Percent: true}))
	assert.Equal(t, "0.00", formatNumber(-0.0001, Column{Format: "%.2f"}))
	assert.Equal(t, "0.0234 [0.0160, 0.0308]", formatCell(Estimate{0.0234, 0.01602, 0.03078, 5}, Column{}))
	assert.Equal(t, "0.0001 [0, 0.0001]", formatCell(Estimate{0.0001, 0, 0.0001, 5}, Column{Format: "%.4g"}))
	assert.Equal(t, "3", formatCell(Estimate{3, math.NaN(), math.NaN(), 1}, Column{}))
	assert.Equal(t, "🟢 replicated", formatCell(Replicated, Column{}))
}

func TestClaimTable(t *testing.T) {
	table := ClaimTable(sampleClaims())
	assert.Equal(t, "Claims of arXiv 2102.11935", table.Title)
	require.Len(t, table.Columns, 4)
	assert.Equal(t, "Measured on: n = 500, 5 seeds, quick, mnist. Compared with: the abstract's words. "+
		"Ours: a threshold that the paper does not give.", table.Caption)
	rows := func(i int) (cells []string) {
		for _, cell := range table.Rows[i] {
			cells = append(cells, formatCell(cell, Column{}))
		}
		return cells
	}
	// A claim of one part is one row.
	assert.Equal(t, []string{"🟢 replicated", "1. Joint perturbations of inputs and weights lower accuracy more than either alone.",
		"accuracy lost to the joint attack, beyond the stronger single attack: 22.2% [20.1%, 24.3%]; " +
			"paper reports: 20 to 40 points (figure 2)", "> 0%"}, rows(0))
	assert.Equal(t, []string{"🟡 replicated in part (1 of 4)",
		"3. Training with the joint regularizer is more robust than adversarial training, and costs no clean accuracy.",
		"accuracy of the joint regularizer minus adversarial training; 1 contradicted, 1 inconclusive, 1 not tested; " +
			"paper reports: 8.1 points (table 1)", ""}, rows(4))
	assert.Equal(t, []string{"🔴 contradicted", "3.3 no clean accuracy is lost",
		"clean accuracy: -2.3% [-3.1%, -1.6%]", "≥ -1% (ours)"}, rows(7))
	assert.Equal(t, []string{"⬜ not tested", "3.4 the same at depth",
		"accuracy of eight layers under the joint attack: 10.0% [10.0%, 10.0%]; " +
			"a control does not hold: clean accuracy of eight layers is 51.0% [39.9%, 62.1%], must be ≥ 90%", "> 0%"}, rows(8))
	assert.Contains(t, table.Markdown(), "| 🟢 replicated | **2. The bound")
	assert.Contains(t, table.HTML(), "<strong>2. The bound")
	text := table.Text()
	for _, want := range []string{"🟢 replicated", "🟡 replicated in part", "🔴 contradicted", "❔ inconclusive", "⬜ not tested",
		"3.4 the same at depth"} {
		assert.Contains(t, text, want)
	}
	for _, line := range strings.Split(text, "\n") {
		assert.LessOrEqual(t, utf8.RuneCountInString(line), 121)
	}
	// What all claims share stands once.
	same := ClaimTable(sampleClaims()[:1])
	assert.Len(t, same.Columns, 4)
	assert.Equal(t, "Measured on: n = 500, 5 seeds, quick, mnist. Compared with: the abstract's words.", same.Caption)
	other := sampleClaims()[:1]
	other = append(other, Claim{ID: "2103.00001/1", Sentence: "s"})
	assert.Equal(t, "Claims", ClaimTable(other).Title)
	assert.Equal(t, strong("2103.00001/1 s"), ClaimTable(other).Rows[1][1])
}

// A table fits the terminal where its words can wrap; numbers stay whole.
func TestTextWithin(t *testing.T) {
	table := &Table{Title: strings.Repeat("title ", 30), Caption: strings.Repeat("caption ", 30),
		Columns: []Column{{Name: "name"}, {Name: "what it is"}, {Name: "a number with a long name"}},
		Rows:    [][]any{{"first", strings.Repeat("word ", 40), 0.123456}, {"second", "/a/path/that/is/longer/than/its/column/may/ever/be", 2}}}
	for _, columns := range []int{60, 80, 100, 137} {
		text := table.TextWithin(columns)
		for _, line := range strings.Split(text, "\n") {
			assert.LessOrEqual(t, utf8.RuneCountInString(line), columns)
		}
		assert.Contains(t, text, "0.1235")
		assert.Equal(t, 40, strings.Count(text, "word"))
	}
	narrow := table.TextWithin(10) // cannot be: as narrow as it gets
	assert.Contains(t, narrow, "0.1235")
	wide := table.TextWithin(1000)
	assert.NotContains(t, wide, "├─────────┼", "rows of one line need no rules between them: "+wide)
	for _, line := range strings.Split(ClaimTable(sampleClaims()).TextWithin(80), "\n") {
		assert.LessOrEqual(t, utf8.RuneCountInString(line), 81) // an emoji is two columns wide
	}
}
