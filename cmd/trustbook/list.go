package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/trustbook/trustbook/report"
)

// listed is a paper in `trustbook list --json`.
type listed struct {
	ID       string         `json:"id"`
	Slug     string         `json:"slug"`
	Title    string         `json:"title"`
	Notebook string         `json:"notebook"`
	Claims   []report.Claim `json:"claims"` // of the last run, if there was one
}

func newList() *cobra.Command {
	var out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the papers, where they live, and the verdicts of the last run",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var all []listed
			t := &report.Table{Columns: []report.Column{{Name: "paper"}, {Name: "title"}, {Name: "package"}, {Name: "notebook"}, {Name: "last verdicts"}}}
			for _, p := range papers {
				item := listed{ID: p.id, Slug: p.slug, Title: p.title, Notebook: "notebooks/" + p.notebook, Claims: []report.Claim{}}
				verdicts := "not run yet"
				if claims, err := report.LoadClaims(filepath.Join(out, strings.ReplaceAll(p.slug, "/", "-"), "claims.json")); err == nil {
					item.Claims, verdicts = claims, ""
					for _, claim := range claims {
						verdicts += claim.Decide().Verdict.Mark()
					}
				}
				all = append(all, item)
				t.Rows = append(t.Rows, []any{p.id, p.title, p.slug, item.Notebook, verdicts})
			}
			if asJSON {
				return printJSON(c, all)
			}
			printTable(c, t)
			return nil
		},
	}
	c.Flags().StringVar(&out, "results", "results", "folder with the output folders of runs")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
