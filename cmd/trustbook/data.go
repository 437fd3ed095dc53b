package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/trustbook/trustbook/datasets"
	"github.com/trustbook/trustbook/report"
)

func newData() *cobra.Command {
	c := &cobra.Command{Use: "data", Short: "Data sets: list, fetch, verify", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	var o datasets.Options
	var asJSON bool
	list := &cobra.Command{
		Use: "list", Short: "List the data sets and where they are", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all := datasets.List(c.Context(), o)
			if asJSON {
				return printJSON(c, all)
			}
			t := &report.Table{Columns: []report.Column{{Name: "name"}, {Name: "what"}, {Name: "source"}, {Name: "MB", Format: "%.1f"}, {Name: "available"}}}
			for _, info := range all {
				available := info.Available
				if available == "" {
					available = "trustbook data fetch " + info.Name
				}
				t.Rows = append(t.Rows, []any{info.Name, info.What, info.Source, float64(info.Bytes) / 1e6, available})
			}
			printTable(c, t)
			return nil
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	fetch := &cobra.Command{
		Use: "fetch NAME", Short: "Download a data set into the cache, resumable and checked", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := knownData(c, args[0]); err != nil {
				return err
			}
			o.Progress = report.NewBar()
			if err := datasets.Fetch(c.Context(), args[0], o); err != nil {
				return err
			}
			return verify(c, args[0], o)
		},
	}
	check := &cobra.Command{
		Use: "verify NAME", Short: "Read a data set and check it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := knownData(c, args[0]); err != nil {
				return err
			}
			return verify(c, args[0], o)
		},
	}
	for _, sub := range []*cobra.Command{list, fetch, check} {
		sub.Flags().StringVar(&o.Dir, "data-dir", "", "folder that holds the files (default: the cache)")
	}
	c.AddCommand(list, fetch, check)
	return c
}

func verify(c *cobra.Command, name string, o datasets.Options) error {
	summary, err := datasets.Verify(c.Context(), name, o)
	if err == nil {
		fmt.Fprintln(c.OutOrStdout(), summary)
	}
	return err
}

// knownData makes an unknown name wrong use.
func knownData(c *cobra.Command, name string) error {
	names := ""
	for _, info := range datasets.List(c.Context(), datasets.Options{}) {
		if info.Name == name {
			return nil
		}
		names += " " + info.Name
	}
	return usagef("no data set %q: want one of%s", name, names)
}
