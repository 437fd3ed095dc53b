// Package report turns results into things that people read: a [Table], a [Figure] (PNG), a [Grid] of
// images, an [Animation] of grids, the ledger of [Claim] verdicts, and one self-contained HTML [Document]. [Show] displays any of
// them in a GoNB notebook and prints them elsewhere; [Bar] shows how long a job still takes.
//
// Everything is deterministic: the same values give the same bytes, and no time, path or machine name is
// written.
//
//	t := &report.Table{
//		Title:   "Accuracy under PGD",
//		Columns: []report.Column{{Name: "Model"}, {Name: "Robust", Percent: true, Best: report.Highest}},
//		Rows:    [][]any{{"standard", 0.041}, {"adversarial", 0.923}},
//	}
//	err := report.Show(t)
package report
