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
	var entries []entry
	for _, dir := range dirs {
		e, err := loadEntry(dir)
		if err != nil {
			return "", fmt.Errorf("ledger: %w", err)
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return strings.Compare(a.result.Paper, b.result.Paper) })

	var b strings.Builder
	b.WriteString(ledgerIntro)
	summary(&b, entries)
	for _, e := range entries {
		fmt.Fprintf(&b, "\n## %s\n\n", e.name())
		e.claimRows(&b)
		if by := e.result.provenance(); by != "" {
			b.WriteString("\n<sub>" + by + "</sub>\n")
		}
	}
	return b.String(), nil
}

const ledgerIntro = `# Replication ledger

Generated from saved results; do not edit. Each claim is a sentence of a paper, judged part by part. Verdicts follow from the ` +
	`numbers alone, by the two-sided 95% Student-t interval over seeds:

| | a part of a claim | a claim |
|:---|:---|:---|
| 🟢&nbsp;replicated | the interval lies wholly on its side of the threshold | all parts are replicated |
| 🟡&nbsp;replicated&nbsp;in&nbsp;part | | some parts are replicated |
| 🔴&nbsp;contradicted | the interval lies wholly on the other side | no part is replicated, and one at least is contradicted |
| ❔&nbsp;inconclusive | the threshold lies inside the interval | none is replicated or contradicted, and one at least is inconclusive |
| ⬜&nbsp;not&nbsp;tested | not measured, or a control does not hold | no part was tested |

A threshold marked *ours* is not the paper's: small print says why it is what it is. There stand the controls too, without which ` +
	`a part counts as not tested, and numbers beside it, which decide nothing. Counts are sums over the seeds; each must be 0. ` +
	`A claim that does not replicate stays, with its numbers.

`

// entry is what the ledger takes from a folder.
type entry struct {
	result resultJSON
	claims []Claim
}

func loadEntry(dir string) (e entry, err error) {
	if e.claims, err = LoadClaims(filepath.Join(dir, "claims.json")); err != nil {
		return e, err
	}
	path := filepath.Join(dir, "result.json")
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &e.result)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("%s: %w", path, err)
	}
	if e.result.Paper == "" && len(e.claims) > 0 {
		e.result.Paper, _, _ = strings.Cut(e.claims[0].ID, "/")
	}
	return e, nil
}

// name is the heading of a folder's section.
func (e entry) name() string {
	return joinNonEmpty(" · ", escapeCell(e.result.Paper), escapeCell(e.result.Title), escapeCell(e.result.Slug))
}

// summary counts the verdicts of each paper, and lists them by number: what held is seen before anything is read.
func summary(b *strings.Builder, entries []entry) {
	b.WriteString("| paper | claims |")
	for _, v := range verdicts {
		fmt.Fprintf(b, " %s&nbsp;%s |", v.Mark(), unbroken(string(v)))
	}
	b.WriteString("\n|:---|:---|" + strings.Repeat("---:|", len(verdicts)) + "\n")
	total := map[Verdict]int{}
	line := func(name, marks string, counts map[Verdict]int) {
		fmt.Fprintf(b, "| %s | %s |", name, marks)
		for _, v := range verdicts {
			fmt.Fprintf(b, " %d |", counts[v])
		}
		b.WriteString("\n")
	}
	for _, e := range entries {
		counts := map[Verdict]int{}
		var marks []string
		for _, c := range e.claims {
			d := c.Decide()
			counts[d.Verdict]++
			total[d.Verdict]++
			mark := d.Verdict.Mark() + "&nbsp;" + escapeCell(c.number())
			if d.Verdict == InPart {
				mark += fmt.Sprintf("&nbsp;(%d/%d)", d.K, d.N)
			}
			marks = append(marks, mark)
		}
		line(e.name(), strings.Join(marks, " "), counts)
	}
	if len(entries) > 1 {
		line("**all**", "", total)
	}
}

// claimRows writes a row for each claim, and under it one for each of its parts; what all claims share stands above.
func (e entry) claimRows(b *strings.Builder) {
	basis := shared(e.claims, Claim.fullBasis)
	compared := shared(e.claims, func(c Claim) string { return c.ComparedWith })
	var above []string
	if basis != nil {
		above = append(above, "Measured on "+escapeCell(*basis)+".")
	}
	if compared != nil {
		above = append(above, "Compared with "+escapeCell(*compared)+".")
	}
	if len(above) > 0 {
		b.WriteString(strings.Join(above, " ") + "\n\n")
	}
	b.WriteString("| verdict | claim | measured [95% interval] | must be |\n|:---|:---|:---|:---|\n")
	for _, c := range e.claims {
		d := c.Decide()
		small := []string{labeled("Paper reports", c.Reported)}
		if compared == nil {
			small = append(small, labeled("Compared with", c.ComparedWith))
		}
		if basis == nil {
			small = append(small, labeled("Measured on", c.fullBasis()))
		}
		verdict := d.Verdict.Mark() + "&nbsp;**" + unbroken(string(d.Verdict)) + "**"
		if d.Verdict == InPart {
			verdict += fmt.Sprintf("<br>%d of %d parts", d.K, d.N)
		}
		measured, target, what := "", "", c.What
		if len(c.Parts) == 1 {
			p := c.Parts[0]
			measured, target, what = p.bold(), p.markedTarget(), c.what()
			small = append(small, p.smallPrint()...)
		}
		small = append([]string{what, d.Note}, small...)
		row(b, verdict, "**"+escapeCell(c.number()+". "+c.Sentence)+"**"+smaller(small), measured, target)
		if len(c.Parts) == 1 {
			continue
		}
		for i, p := range c.Parts {
			o := d.Parts[i]
			small := append([]string{p.what(), o.Note}, p.smallPrint()...)
			measured := p.bold()
			if o.Verdict == NotTested { // a number that says nothing
				measured = strings.ReplaceAll(measured, "**", "")
			}
			row(b, o.Verdict.Mark()+"&nbsp;"+unbroken(string(o.Verdict)), escapeCell(c.partNumber(i)+" "+p.Statement)+smaller(small),
				measured, p.markedTarget())
		}
	}
}

// smallPrint says why the threshold is ours, and tells the numbers that do not decide.
func (p ClaimPart) smallPrint() (lines []string) {
	if p.Ours != "" {
		lines = append(lines, "Threshold ours: "+p.Ours)
	}
	for kind, tests := range [2][]Test{p.Controls, p.Beside} {
		for _, t := range tests {
			s := t.side()
			number := joinNonEmpty(", must be ", s.Measured, s.Target)
			lines = append(lines, joinNonEmpty(" ", joinNonEmpty(": ", [2]string{"Control", "Beside"}[kind], s.What, number), s.Mark))
		}
	}
	return lines
}

// bold is what was measured, the mean emphasized, in pieces that do not break.
func (t Test) bold() string {
	mean, interval := t.estimate()
	if mean == "" {
		return ""
	}
	return joinNonEmpty(" ", "**"+unbroken(mean)+"**", unbroken(interval))
}

func (p ClaimPart) markedTarget() string {
	target := unbroken(p.Test.target())
	if p.Ours != "" {
		target += " *ours*"
	}
	return target
}

func row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// smaller sets lines in small print below what a cell holds.
func smaller(lines []string) (s string) {
	for _, line := range lines {
		if line != "" {
			s += "<br><sub>" + escapeCell(line) + "</sub>"
		}
	}
	return s
}

// escapeCell makes a text safe in a cell of a Markdown table, and in a line of its own.
func escapeCell(s string) string { return strings.ReplaceAll(escapeMarkdown(oneLine(s)), "|", `\|`) }

// unbroken is a safe text whose words stay on one line.
func unbroken(s string) string { return strings.ReplaceAll(escapeCell(s), " ", "&nbsp;") }

// provenance names the backend and the versions that gave the numbers.
func (r resultJSON) provenance() string {
	var parts []string
	if r.Backend != "" {
		parts = append(parts, "Backend "+escapeCell(r.Backend))
	}
	var names []string
	for name := range r.Versions {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		parts = append(parts, escapeCell(name+" "+r.Versions[name]))
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, " · ") + "."
}

// fullBasis says what the numbers rest on, with each seed.
func (c Claim) fullBasis() string {
	var n, seeds string
	if c.N > 0 {
		n = fmt.Sprintf("n = %d", c.N)
	}
	if len(c.Seeds) > 0 {
		seeds = "seeds " + seedList(c.Seeds)
	}
	return joinNonEmpty(" · ", n, seeds, c.Scale, c.Dataset)
}

// seedList lists seeds: "3, 5", "1 to 10".
func seedList(seeds []int64) string {
	last := seeds[len(seeds)-1]
	row := len(seeds) > 2
	for i, s := range seeds {
		row = row && s == seeds[0]+int64(i)
	}
	if row {
		return fmt.Sprintf("%d to %d", seeds[0], last)
	}
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(seeds)), ", "), "[]")
}
