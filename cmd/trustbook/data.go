package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/datasets"
	"github.com/trustbook/trustbook/report"
)

// dataSet is a data set in `trustbook data list --json`.
type dataSet struct {
	Name      string   `json:"name"`
	What      string   `json:"what"`
	Source    string   `json:"source"`
	Bytes     int64    `json:"bytes"`
	Files     []string `json:"files"`
	Available bool     `json:"available"`
	Where     string   `json:"where"` // the folder, or "generated"; empty where it must be fetched
}

func newData() *cobra.Command {
	var o datasets.Options
	list := newDataList(&o)
	fetch := &cobra.Command{
		Use: "fetch NAME", Short: "Download a data set into the cache, resumable and checked", Args: takes("NAME"),
		Annotations: map[string]string{onStop: "resumes"},
		RunE: func(c *cobra.Command, args []string) error {
			if err := knownData(c.Context(), args[0]); err != nil {
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
		Use: "verify NAME", Short: "Read a data set and check it", Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := knownData(c.Context(), args[0]); err != nil {
				return err
			}
			return verify(c, args[0], o)
		},
	}
	for _, sub := range []*cobra.Command{list, fetch, check} {
		sub.Flags().StringVar(&o.Dir, "data-dir", "", "`DIR` that holds the files (default: the cache)")
	}
	return group("data", "Data sets: list, fetch, verify", list, fetch, check)
}

func newDataList(o *datasets.Options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the data sets and where they are", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			all := []dataSet{}
			t := &report.Table{Columns: []report.Column{{Name: "name"}, {Name: "what"}, {Name: "source"}, {Name: "download"}, {Name: "where it is"}}}
			for _, info := range datasets.List(c.Context(), *o) {
				d := dataSet{Name: info.Name, What: info.What, Source: info.Source, Bytes: info.Bytes, Files: append([]string{}, info.Files...),
					Available: info.Available != "", Where: info.Available}
				all = append(all, d)
				where := shortPaths(d.Where)
				if !d.Available {
					where = "not here: trustbook data fetch " + d.Name
				}
				t.Rows = append(t.Rows, []any{d.Name, d.What, d.Source, megabytes(d), where})
			}
			if asJSON {
				return printJSON(c, all)
			}
			return printTable(c, t)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// megabytes tells the size of a download where it is known.
func megabytes(d dataSet) string {
	if d.Bytes == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f MB", float64(d.Bytes)/1e6)
}

func verify(c *cobra.Command, name string, o datasets.Options) error {
	summary, err := datasets.Verify(c.Context(), name, o)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), summary)
	return err
}

// knownData makes an unknown name wrong use.
func knownData(ctx context.Context, name string) error {
	var names []string
	for _, info := range datasets.List(ctx, datasets.Options{}) {
		if info.Name == strings.ToLower(name) {
			return nil
		}
		names = append(names, info.Name)
	}
	return usagef("no data set %q: want one of %s", name, strings.Join(names, ", "))
}
