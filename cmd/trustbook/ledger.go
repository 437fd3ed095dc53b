package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/report"
)

func newLedger() *cobra.Command {
	var results []string
	var out string
	c := &cobra.Command{
		Use:   "ledger [--results] DIR... [--out FILE]",
		Short: "Write the replication ledger from the results of runs",
		Long: "Write the replication ledger, in Markdown, from the results of runs: what each paper claims beside what was measured.\n" +
			"Verdicts are decided again from the saved numbers. Name output folders of runs, or a folder that holds several.",
		Example: "  trustbook ledger --results results --out docs/replication.md",
		Args:    cobra.ArbitraryArgs, // what a shell makes of --results results/*
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 && !c.Flags().Changed("results") {
				results = nil
			}
			dirs, err := runFolders(append(results, args...))
			if err != nil {
				return err
			}
			if out != "" {
				if err := checkOutFile("out", out); err != nil {
					return err
				}
			}
			text, err := report.Ledger(dirs...)
			if err != nil {
				return err
			}
			if out == "" {
				_, err = fmt.Fprint(c.OutOrStdout(), text)
				return err
			}
			if err := renameio.WriteFile(out, []byte(text), 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "Ledger:", out)
			return err
		},
	}
	c.Flags().StringSliceVar(&results, "results", []string{"results"}, "output `DIR` of a run, or a folder of such; repeatable")
	c.Flags().StringVar(&out, "out", "", "Markdown `FILE` (default: standard output)")
	return c
}

// runFolders finds the folders with claims among the given ones and right below them. Each of the given must hold some.
func runFolders(given []string) ([]string, error) {
	var dirs []string
	for _, dir := range given {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, usagef("--results %s: no such folder: run `trustbook replicate` first", dir)
		}
		found := []string{}
		if isFile(filepath.Join(dir, claimsFile)) {
			found = append(found, dir)
		} else if entries, err := os.ReadDir(dir); err == nil {
			for _, entry := range entries {
				if isFile(filepath.Join(dir, entry.Name(), claimsFile)) {
					found = append(found, filepath.Join(dir, entry.Name()))
				}
			}
		}
		if len(found) == 0 {
			return nil, usagef("--results %s: no %s there or right below: run `trustbook replicate` first", dir, claimsFile)
		}
		for _, f := range found {
			if !slices.Contains(dirs, f) {
				dirs = append(dirs, f)
			}
		}
	}
	return dirs, nil
}

// claimsFile holds the claims in the output folder of a run.
const claimsFile = "claims.json"

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
