package report

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDocumentIsDeterministic(t *testing.T) {
	a, err := sampleDocument().HTML()
	require.NoError(t, err)
	b, err := sampleDocument().HTML()
	require.NoError(t, err)
	assert.Equal(t, string(a), string(b))
	path := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, sampleDocument().WriteFile(path))
	c, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(a), string(c))
	if to := os.Getenv("REPORT_SAMPLE"); to != "" { // to look at the sample in a browser
		require.NoError(t, sampleDocument().WriteFile(to))
		_, err := Save(filepath.Dir(to), sampleTable(), sampleLines(), sampleHeat(), sampleMixed(), sampleGrid())
		require.NoError(t, err)
	}
}

func hostileDocument() *Document {
	claim := claimOf(Test{What: hostile, Values: []float64{1, 2}, Relation: Above}, Test{What: hostile, Relation: Above})
	for i := range claim.Parts {
		p := &claim.Parts[i]
		p.Statement, p.Ours, p.Controls, p.Beside = hostile, hostile, []Test{p.Test}, []Test{p.Test}
	}
	single := claim
	single.ID, single.Parts = "2102.11935/2", claim.Parts[1:]
	for _, c := range []*Claim{&claim, &single} {
		c.Sentence, c.What, c.Reported, c.ComparedWith, c.Scale, c.Dataset = hostile, hostile, hostile, hostile, hostile, hostile
	}
	open := Claim{ID: "1/2", Sentence: hostile, Reason: hostile}
	link := Text(hostile + "\n\n- " + hostile + "\n[a](javascript:alert(1)) [b](https://x.org/\"onclick=\"alert(1)) **" + hostile + "**")
	return &Document{Title: hostile, Subtitle: link, Lead: link, Keys: []Key{{hostile, hostile, hostile}},
		Claims: []Claim{claim, single, open},
		Sections: []Section{{hostile, []Part{link, Formula(hostile + "_{" + hostile + "}"),
			&Table{Title: hostile, Caption: hostile, Columns: []Column{{Name: hostile}}, Rows: [][]any{{hostile}}},
			&Figure{Title: "f", Caption: hostile, Alt: hostile, Panels: []Panel{{Marks: []Mark{Line{X: []float64{1, 2}, Y: []float64{1, 2}}}}}}}}},
		Settings: []Setting{{hostile, hostile}}, Command: hostile, Versions: []Setting{{hostile, hostile}}}
}

func TestDocumentEscapes(t *testing.T) {
	data, err := hostileDocument().HTML()
	require.NoError(t, err)
	assertHarmless(t, string(data))
	assert.NotContains(t, string(data), "javascript:alert(1)\"")
	assert.NotContains(t, string(data), "\x1b")
	names, _ := elements(t, string(data))
	pictures := 0
	for _, n := range names {
		if n == "img" {
			pictures++
		}
	}
	assert.Equal(t, 1, pictures, "only the figure's own")
}

// The page needs nothing from elsewhere, has one title, headings without gaps, a text for each picture,
// and ids that stand once.
func TestDocumentStandsAlone(t *testing.T) {
	data, err := sampleDocument().HTML()
	require.NoError(t, err)
	names, attributes := elements(t, string(data))
	for _, n := range []string{"script", "link", "iframe", "object", "base"} {
		assert.NotContains(t, names, n)
	}
	assert.NotContains(t, documentStyle, "url(")
	assert.NotContains(t, documentStyle, "@import")
	level, h1 := 0, 0
	for _, n := range names {
		if len(n) == 2 && n[0] == 'h' && n[1] >= '1' && n[1] <= '6' {
			assert.LessOrEqual(t, int(n[1]-'0'), level+1, "a level of headings is left out")
			level = int(n[1] - '0')
			if n == "h1" {
				h1++
			}
		}
	}
	assert.Equal(t, 1, h1)
	ids := map[string]bool{}
	alts := 0
	for _, a := range attributes {
		switch a.Name.Local {
		case "id":
			assert.False(t, ids[a.Value], a.Value)
			ids[a.Value] = true
		case "alt":
			alts++
			assert.Greater(t, len(a.Value), 20)
		case "href":
			if to, ok := strings.CutPrefix(a.Value, "#"); ok {
				assert.Contains(t, string(data), "id=\""+to+"\"")
			}
		}
	}
	assert.Equal(t, 4, alts)
	assert.Contains(t, string(data), "prefers-color-scheme: dark")
}

// Every text color has a contrast of at least 4.5 (WCAG 2 AA) with every background that it stands on, in
// light, dark and print.
func TestDocumentContrast(t *testing.T) {
	blocks := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllStringSubmatch(documentStyle, -1)
	require.Len(t, blocks, 3)
	for k, block := range blocks {
		colors := map[string]color.NRGBA{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{3,6});`).FindAllStringSubmatch(block[1], -1) {
			h := m[2]
			if len(h) == 3 {
				h = string([]byte{h[0], h[0], h[1], h[1], h[2], h[2]})
			}
			var c color.NRGBA
			_, err := fmt.Sscanf(h, "%02x%02x%02x", &c.R, &c.G, &c.B)
			require.NoError(t, err)
			colors[m[1]] = c
		}
		pairs := [][2]string{{"yes", "yes-wash"}, {"no", "no-wash"}, {"open", "open-wash"}, {"yes", "card"}}
		for _, ink := range []string{"ink", "soft", "link"} {
			for _, ground := range []string{"page", "card", "wash"} {
				pairs = append(pairs, [2]string{ink, ground})
			}
		}
		for _, p := range pairs {
			a, ok := colors[p[0]]
			b, ok2 := colors[p[1]]
			require.True(t, ok && ok2, "%v", p)
			hi, lo := luminance(a)+0.05, luminance(b)+0.05
			if hi < lo {
				hi, lo = lo, hi
			}
			assert.GreaterOrEqual(t, hi/lo, 4.5, "block %d: %v", k, p)
		}
	}
}

func TestDocumentErrors(t *testing.T) {
	bad := &Figure{Title: "f"}
	for want, d := range map[string]*Document{
		"no title":      {},
		"has no title":  {Title: "t", Sections: []Section{{}}},
		"part 1 is nil": {Title: "t", Sections: []Section{{"s", []Part{nil}}}},
		"is nil":        {Title: "t", Sections: []Section{{"s", []Part{(*Figure)(nil)}}}},
		"no panels":     {Title: "t", Sections: []Section{{"s", []Part{bad}}}},
		"malformed":     {Title: "t", Claims: []Claim{{}}},
	} {
		path := filepath.Join(t.TempDir(), "report.html")
		assert.ErrorContains(t, d.WriteFile(path), want)
		_, err := os.Stat(path)
		assert.ErrorIs(t, err, os.ErrNotExist)
	}
}

func TestMarkup(t *testing.T) {
	for in, want := range map[string]string{
		"a **b** *c* `d*e*`":             "a <strong>b</strong> <em>c</em> <code>d*e*</code>",
		"x_{i}^{2}":                      "x<sub>i</sub><sup>2</sup>",
		"a_{b_{c}}":                      "a<sub>b<sub>c</sub></sub>",
		"2 * 3 * 4":                      "2 * 3 * 4",
		"x_{open":                        "x_{open",
		"[a](https://b.org/c?d=e&f=g)":   `<a href="https://b.org/c?d=e&amp;f=g">a</a>`,
		"[a](javascript:alert(1))":       "[a](javascript:alert(1))",
		"[a](data:text/html,x) [b](//c)": "[a](data:text/html,x) [b](//c)",
		"snake_case and 5^th":            "snake_case and 5^th",
		"‖δ‖_{∞} ≤ ε & more":             "‖δ‖<sub>∞</sub> ≤ ε &amp; more",
	} {
		assert.Equal(t, want, string(inline(in)))
	}
	assert.Equal(t, "<p>a b</p>\n<ul>\n<li>c</li>\n<li>d</li>\n</ul>\n<p>e</p>\n", string(Text("a\nb\n- c\n- d\n\ne").paragraphs()))
	h, err := Formula("max_{x} L(x)").html()
	require.NoError(t, err)
	assert.Equal(t, "<p class=\"formula\"><span class=\"up\">max</span><sub>x</sub> L(x)</p>\n", string(h))
}

func FuzzMarkup(f *testing.F) {
	f.Add(hostile)
	f.Add("a **b *c* `d` [e](https://f) g_{h^{i}}")
	f.Fuzz(func(t *testing.T, s string) {
		for _, out := range []string{string(inline(s)), string(Text(s).paragraphs()), render(plainText(s), true, 0)} {
			// Outside our own tags, no angle bracket remains.
			allowed := regexp.MustCompile(`</?(?:p|ul|li|code|strong|em|sub|sup|a|span)(?: (?:href="https?://[^"<>]*"|class="up"))?>`)
			rest := allowed.ReplaceAllString(out, "")
			if strings.ContainsAny(rest, "<>") {
				t.Fatalf("%q gave %q", s, out)
			}
		}
	})
}
