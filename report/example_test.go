package report_test

import (
	"fmt"
	"os"

	"github.com/trustbook/trustbook/report"
)

// A table prints to Output, and shows as HTML in a notebook.
func ExampleShow() {
	report.Output = os.Stdout
	err := report.Show(&report.Table{
		Title:   "Accuracy under PGD",
		Columns: []report.Column{{Name: "Model"}, {Name: "Robust", Percent: true, Best: report.Highest}},
		Rows:    [][]any{{"standard", 0.041}, {"adversarial", report.Interval([]float64{0.92, 0.93, 0.925})}},
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// Accuracy under PGD
	// ╭─────────────┬───────────────────────╮
	// │ Model       │                Robust │
	// ├─────────────┼───────────────────────┤
	// │ standard    │                  4.1% │
	// │ adversarial │ 92.5% [91.3%, 93.7%]* │
	// ╰─────────────┴───────────────────────╯
}

// The verdict follows from the values: the interval of the second part includes the threshold, 0.
func ExampleClaim_Decide() {
	c := report.Claim{
		ID: "2102.11935/1", Sentence: "Joint training is more accurate, with attacks and without.", Seeds: []int64{1, 2, 3},
		Parts: []report.ClaimPart{{
			Statement: "more accurate under attack",
			Test:      report.Test{What: "gain in robust accuracy", Values: []float64{0.04, 0.03, 0.05}, Relation: report.Above},
		}, {
			Statement: "more accurate without",
			Test:      report.Test{What: "gain in clean accuracy", Values: []float64{0.01, -0.01, 0.02}, Relation: report.Above},
		}},
	}
	d := c.Decide()
	fmt.Println(d)
	fmt.Println(d.Note)
	// Output:
	// replicated in part (1 of 2)
	// 1 inconclusive
}

// A figure of one panel with two lines; PNG returns the picture.
func ExampleFigure_PNG() {
	f := &report.Figure{Title: "Robust accuracy", Panels: []report.Panel{{
		X: report.Axis{Label: "epsilon"}, Y: report.Axis{Label: "accuracy", Percent: true, Max: 1},
		Marks: []report.Mark{
			report.Line{Name: "standard", X: []float64{0, 0.1, 0.2}, Y: []float64{0.98, 0.4, 0.05}},
			report.Line{Name: "adversarial", X: []float64{0, 0.1, 0.2}, Y: []float64{0.97, 0.9, 0.8}},
		},
	}}}
	data, err := f.PNG()
	fmt.Println(string(data[1:4]), err)
	// Output:
	// PNG <nil>
}
