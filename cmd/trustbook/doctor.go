package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/datasets"
	"github.com/trustbook/trustbook/kernel"
	"github.com/trustbook/trustbook/report"
)

func newDoctor() *cobra.Command {
	var backend string
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what this machine has, and how to get what it lacks",
		Args:  takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			found := kernel.Doctor(c.Context(), kernel.DoctorOptions{Backend: backend, Extra: dataChecks})
			print := func() error { return printTable(c, doctorTable(found)) }
			if asJSON {
				print = func() error { return printJSON(c, found) }
			}
			if err := print(); err != nil {
				return err
			}
			if !found.OK {
				return errNotWell
			}
			return nil
		},
	}
	c.Flags().StringVar(&backend, "backend", "", backendHelp)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func doctorTable(found kernel.Report) *report.Table {
	t := &report.Table{Columns: []report.Column{{Name: "check"}, {Name: ""}, {Name: "found"}, {Name: "to mend it"}}}
	for _, check := range found.Checks {
		mark := "ok"
		if !check.OK {
			mark = "✗"
		}
		t.Rows = append(t.Rows, []any{check.Name, mark, shortPaths(check.Found), shortPaths(check.Fix)})
	}
	return t
}

// dataChecks lists the data sets. One that must be fetched is no fault of the machine; MNIST, the default, must be there.
func dataChecks(ctx context.Context) (checks []kernel.Check) {
	for _, info := range datasets.List(ctx, datasets.Options{}) {
		check := kernel.Check{Name: "data " + info.Name, OK: true, Found: info.Available}
		if info.Available == "" {
			check.Found, check.Fix = "not here", "trustbook data fetch "+info.Name
			check.OK = info.Name != "mnist"
		}
		checks = append(checks, check)
	}
	return checks
}
