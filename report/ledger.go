package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// resultJSON is what the ledger reads of a result.json.
type resultJSON struct {
	Paper    string            `json:"paper"`
	Title    string            `json:"title"`
	Slug     string            `json:"slug"`
	Backend  string            `json:"backend"`
	Versions map[string]string `json:"versions"`
}

// Ledger returns the replication ledger in Markdown, made from the claims.json and result.json of each
// folder: a section a folder, in the order of the papers' names and then of the folders, and a summary at
// the top. Verdicts are decided again from the values. A folder without a result.json is listed without
// backend and versions.
func Ledger(dirs ...string) (string, error) {
	if len(dirs) == 0 {
		return "", errors.New("ledger: no folders given: name folders that hold a claims.json")
	}
	type entry struct {
		result resultJSON
		claims []Claim
	}
	var entries []entry
	total := map[Verdict]int{}
	for _, dir := range dirs {
		var e entry
		var err error
		if e.claims, err = LoadClaims(filepath.Join(dir, "claims.json")); err != nil {
			return "", fmt.Errorf("ledger: %w", err)
		}
		path := filepath.Join(dir, "result.json")
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &e.result)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("ledger: %s: %w", path, err)
		}
		if e.result.Paper == "" && len(e.claims) > 0 {
			e.result.Paper, _, _ = strings.Cut(e.claims[0].ID, "/")
		}
		for _, c := range e.claims {
			total[c.Verdict()]++
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return strings.Compare(a.result.Paper, b.result.Paper) })

	var b strings.Builder
	b.WriteString("# Replication ledger\n\n")
	b.WriteString("Generated from saved results; do not edit. Each verdict follows from the numbers alone: a claim is replicated where, in each of its tests, the two-sided 95% Student-t interval over seeds lies on the right side of the threshold. A claim that does not replicate stays, with its numbers.\n\n")
	var counts []string
	for _, v := range []Verdict{Replicated, NotReplicated, NotTested} {
		counts = append(counts, fmt.Sprintf("%s %d %s", v.Mark(), total[v], v))
	}
	b.WriteString(strings.Join(counts, " · ") + "\n")
	for _, e := range entries {
		e.result.heading(&b)
		b.WriteString("\n" + ledgerTable(e.claims).Markdown())
		if by := e.result.provenance(); by != "" {
			b.WriteString("\n" + by + "\n")
		}
	}
	return b.String(), nil
}

func (r resultJSON) heading(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n", joinNonEmpty(" · ", escapeMarkdown(oneLine(r.Paper)), escapeMarkdown(oneLine(r.Title)), escapeMarkdown(oneLine(r.Slug))))
}

// provenance names the backend and the versions that gave the numbers.
func (r resultJSON) provenance() string {
	var parts []string
	if r.Backend != "" {
		parts = append(parts, "Backend "+escapeMarkdown(oneLine(r.Backend)))
	}
	var names []string
	for name := range r.Versions {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		parts = append(parts, escapeMarkdown(oneLine(name+" "+r.Versions[name])))
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, " · ") + "."
}

// ledgerTable has a row for each test of each claim, so that no number is hidden.
func ledgerTable(claims []Claim) *Table {
	t := &Table{Columns: []Column{{Name: "Verdict"}, {Name: "Claim"}, {Name: "Compared with"}, {Name: "Measured"},
		{Name: "95% interval"}, {Name: "Must be"}, {Name: "n"}, {Name: "Seeds"}, {Name: "Scale"}, {Name: "Note"}}}
	for _, c := range claims {
		d := c.Decide()
		number := c.ID[strings.LastIndex(c.ID, "/")+1:]
		first := []any{d.Verdict, number + ". " + c.Sentence, c.ComparedWith}
		last := []any{c.N, seedList(c.Seeds), joinNonEmpty(", ", c.Scale, c.Dataset), d.Note}
		if len(c.Tests) == 0 {
			t.Rows = append(t.Rows, slices.Concat(first, []any{c.What, nil, nil}, last))
		}
		for i, test := range c.Tests {
			mean, interval := test.estimate()
			what := test.What
			if i == 0 {
				what = c.what()
			}
			middle := []any{joinNonEmpty(": ", what, mean), interval, test.target()}
			if i > 0 {
				first, last = []any{nil, "also needed", nil}, []any{nil, nil, nil, d.Tests[i].Note}
			}
			t.Rows = append(t.Rows, slices.Concat(first, middle, last))
		}
	}
	return t
}

// seedList lists few seeds and counts many.
func seedList(seeds []int64) string {
	if len(seeds) > 8 {
		return fmt.Sprintf("%d", len(seeds))
	}
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(seeds)), ", "), "[]")
}
