package report

import "strings"

// ClaimTable lays claims out as a table: verdict, sentence, what was measured beside what it is compared
// with, the interval over seeds, the number of examples and seeds, and the scale.
func ClaimTable(claims []Claim) *Table {
	t := &Table{Title: "Claims", Columns: []Column{{Name: "Verdict"}, {Name: "Claim"}, {Name: "Measured"},
		{Name: "95% interval"}, {Name: "Compared with"}, {Name: "n"}, {Name: "Seeds"}, {Name: "Scale"}, {Name: "Note"}}}
	for _, c := range claims {
		d := c.Decide()
		measured, interval := c.headline()
		t.Rows = append(t.Rows, []any{d.Verdict, c.ID + " " + c.Sentence, joinNonEmpty(" = ", c.what(), measured),
			interval, c.comparedWith(), c.N, len(c.Seeds), joinNonEmpty(", ", c.Scale, c.Dataset), d.Note})
	}
	return t
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
