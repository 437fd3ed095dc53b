package report

import (
	"fmt"
	"strings"
)

// ClaimTable lays claims out as a table: verdict, sentence, what was measured with its interval over seeds
// and a note, beside what it is compared with, and what the numbers rest on. Claims with several tests show
// the first; the note names a test that fails. What all claims share stands in the title
// and the caption.
func ClaimTable(claims []Claim) *Table {
	t := &Table{Title: "Claims", Columns: []Column{{Name: "Verdict"}, {Name: "Claim"}, {Name: "Measured [95% interval]"}, {Name: "Compared with"}}}
	paper := shared(claims, func(c Claim) string { before, _, _ := strings.Cut(c.ID, "/"); return before })
	basis := shared(claims, Claim.basis)
	if paper != nil {
		t.Title = "Claims of arXiv " + *paper
	}
	if basis == nil {
		t.Columns = append(t.Columns, Column{Name: "Basis"})
	} else {
		t.Caption = "Measured on: " + *basis + "."
	}
	for _, c := range claims {
		measured, interval := c.headline()
		name := c.ID
		if paper != nil {
			_, number, _ := strings.Cut(c.ID, "/")
			name = number + "."
		}
		row := []any{c.Verdict(), name + " " + c.Sentence, joinNonEmpty("; ", joinNonEmpty(": ", c.what(), joinNonEmpty(" ", measured, interval)), c.Decide().Note), c.comparedWith()}
		if basis == nil {
			row = append(row, c.basis())
		}
		t.Rows = append(t.Rows, row)
	}
	return t
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

// headline formats the mean and the interval of the first test.
func (c Claim) headline() (measured, interval string) {
	if len(c.Tests) == 0 || len(c.Tests[0].Values) == 0 {
		return "", ""
	}
	return c.Tests[0].estimate()
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
