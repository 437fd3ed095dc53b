package report

import (
	"fmt"
	"slices"
	"strings"
)

// ClaimTable lays claims out as a table: a row for each claim with its verdict, and under it a row for each of its parts:
// the statement, what was measured with its interval over seeds, what it must be, and the part's verdict. A claim of one
// part is one row. What all claims share stands in the title and the caption.
func ClaimTable(claims []Claim) *Table {
	t := &Table{Title: "Claims", Columns: []Column{{Name: "Verdict"}, {Name: "Claim"}, {Name: "Measured [95% interval]"}, {Name: "Must be"}}}
	paper := shared(claims, func(c Claim) string { before, _, _ := strings.Cut(c.ID, "/"); return before })
	basis := shared(claims, Claim.basis)
	compared := shared(claims, func(c Claim) string { return c.ComparedWith })
	if paper != nil {
		t.Title = "Claims of arXiv " + *paper
	}
	var caption []string
	if basis == nil {
		t.Columns = append(t.Columns, Column{Name: "Basis"})
	} else {
		caption = append(caption, "Measured on: "+*basis+".")
	}
	if compared != nil {
		caption = append(caption, "Compared with: "+*compared+".")
	}
	for _, c := range claims {
		name := c.ID
		if paper != nil {
			name = c.number() + "."
		}
		d := c.Decide()
		about := []string{labeled("paper reports", c.Reported)}
		if compared == nil {
			about = append(about, labeled("compared with", c.ComparedWith))
		}
		row := []any{d, strong(name + " " + c.Sentence)}
		if len(c.Parts) == 1 {
			p := c.Parts[0]
			measured := joinNonEmpty(": ", c.what(), p.measured())
			row = append(row, joinNonEmpty("; ", append([]string{measured, d.Note}, about...)...), p.target())
		} else {
			row = append(row, joinNonEmpty("; ", append([]string{c.What, d.Note}, about...)...), nil)
		}
		if basis == nil {
			row = append(row, c.basis())
		}
		t.Rows = append(t.Rows, row)
		if len(c.Parts) == 1 {
			continue
		}
		for i, p := range c.Parts {
			measured := joinNonEmpty(": ", p.what(), p.measured())
			t.Rows = append(t.Rows, []any{d.Parts[i].Verdict, c.partNumber(i) + " " + p.Statement,
				joinNonEmpty("; ", measured, d.Parts[i].Note), p.target()})
		}
	}
	if slices.ContainsFunc(claims, func(c Claim) bool {
		return slices.ContainsFunc(c.Parts, func(p ClaimPart) bool { return p.Ours != "" })
	}) {
		caption = append(caption, "Ours: a threshold that the paper does not give.")
	}
	t.Caption = strings.Join(caption, " ")
	return t
}

// number is the claim's number within its paper, partNumber that of a part: "2" and "2.1".
func (c Claim) number() string          { return c.ID[strings.LastIndex(c.ID, "/")+1:] }
func (c Claim) partNumber(i int) string { return fmt.Sprintf("%s.%d", c.number(), i+1) }
func labeled(label, text string) string {
	if text == "" {
		return ""
	}
	return label + ": " + text
}

// what returns what is measured, where the statement does not say it already.
func (p ClaimPart) what() string {
	if p.What == p.Statement {
		return ""
	}
	return p.What
}

// target returns what the part's numbers must be: "≥ 15% (ours)".
func (p ClaimPart) target() string {
	if p.Ours != "" {
		return p.Test.target() + " (ours)"
	}
	return p.Test.target()
}

// measured returns the mean with its interval: "22.2% [20.1%, 24.3%]".
func (t Test) measured() string {
	mean, interval := t.estimate()
	return joinNonEmpty(" ", mean, interval)
}

// shared returns what all claims have in common, nil where they differ or none has it.
func shared(claims []Claim, of func(Claim) string) *string {
	var common *string
	for _, c := range claims {
		s := of(c)
		if s == "" {
			continue
		}
		if common == nil {
			common = &s
		} else if *common != s {
			return nil
		}
	}
	return common
}

// basis says what the numbers rest on: "n = 500, 5 seeds, quick, mnist".
func (c Claim) basis() string {
	var n, seeds string
	if c.N > 0 {
		n = fmt.Sprintf("n = %d", c.N)
	}
	switch len(c.Seeds) {
	case 0:
	case 1:
		seeds = fmt.Sprintf("seed %d", c.Seeds[0])
	default:
		seeds = fmt.Sprintf("%d seeds", len(c.Seeds))
	}
	return joinNonEmpty(", ", n, seeds, c.Scale, c.Dataset)
}

func joinNonEmpty(sep string, parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, sep)
}

func oneLine(s string) string { return strings.Join(strings.Fields(plainText(s)), " ") }
