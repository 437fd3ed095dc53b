package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/report"
)

// listed is a paper in `trustbook list --json`.
type listed struct {
	ID       string         `json:"id"`
	Slug     string         `json:"slug"`
	Title    string         `json:"title"`
	Package  string         `json:"package"`
	Notebook string         `json:"notebook"` // "" where there is none yet
	Claims   []report.Claim `json:"claims"`   // of the last run, if there was one
}

func newList() *cobra.Command {
	var out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the papers, where they live, and the verdicts of the last run",
		Args:  takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOutFolder("results", out); err != nil {
				return err
			}
			all := []listed{}
			t := &report.Table{Columns: []report.Column{
				{Name: "paper"}, {Name: "title"}, {Name: "package"}, {Name: "notebook"}, {Name: "last verdicts"}}}
			for _, p := range papers {
				item := listed{ID: p.id, Slug: p.slug, Title: p.title, Package: engine.ModulePath + "/" + p.slug, Claims: []report.Claim{}}
				if p.notebook != "" {
					item.Notebook = "notebooks/" + p.notebook
				}
				verdicts := "not run yet"
				claims, err := report.LoadClaims(filepath.Join(out, p.folder(), claimsFile))
				switch {
				case err == nil:
					item.Claims, verdicts = claims, verdictLine(claims)
				case !errors.Is(err, fs.ErrNotExist):
					return err
				}
				all = append(all, item)
				t.Rows = append(t.Rows, []any{p.id, p.title, p.slug, item.Notebook, verdicts})
			}
			if asJSON {
				return printJSON(c, all)
			}
			return printTable(c, t)
		},
	}
	c.Flags().StringVar(&out, "results", "results", "`DIR` with the output folders of runs")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// verdictLine shows the verdicts of claims: their signs in their order, and in words how many there are of each.
func verdictLine(claims []report.Claim) (line string) {
	verdicts := []report.Verdict{report.Replicated, report.InPart, report.Contradicted, report.Inconclusive, report.NotTested}
	counts := make([]int, len(verdicts))
	for _, claim := range claims {
		v := claim.Verdict()
		line += v.Mark()
		counts[slices.Index(verdicts, v)]++
	}
	for i, n := range counts {
		if n > 0 {
			line += fmt.Sprintf("\n%d %s", n, verdicts[i])
		}
	}
	return line
}
