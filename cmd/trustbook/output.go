package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
)

// printJSON writes a value as indented JSON on standard output.
func printJSON(c *cobra.Command, value any) error {
	e := json.NewEncoder(c.OutOrStdout())
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// printTable writes a table as text on standard output, as wide as the terminal.
func printTable(c *cobra.Command, t *report.Table) error {
	_, err := fmt.Fprint(c.OutOrStdout(), t.TextWithin(columns()))
	return err
}

// notesOf are the model's notes as a list for JSON, which is never null.
func notesOf(m *nets.Model) []string { return append([]string{}, m.Notes...) }

// printNotes writes what a user should know of a model, a line each.
func printNotes(c *cobra.Command, notes []string) {
	for _, note := range notes {
		fmt.Fprintln(c.OutOrStdout(), "Note:", note)
	}
}

// columns is the width of the terminal, 100 where standard output is none.
func columns() int {
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && width > 0 {
		return width
	}
	return 100
}

// shortPaths names paths in a text for reading: those below the working directory from there, those below the home
// folder from ~.
func shortPaths(text string) string {
	if here, err := os.Getwd(); err == nil && here != "/" {
		text = strings.ReplaceAll(text, here+string(filepath.Separator), "")
	}
	if home, err := os.UserHomeDir(); err == nil && home != "/" {
		text = strings.ReplaceAll(text, home+string(filepath.Separator), "~"+string(filepath.Separator))
	}
	return text
}

// input is a file that a flag names.
type input struct{ flag, path string }

// checkOutFile reports an output file that cannot be written, or that would overwrite an input, before the work whose result
// it is to hold.
func checkOutFile(flag, path string, inputs ...input) error {
	if out, err := os.Stat(path); err == nil {
		for _, in := range inputs {
			if info, err := os.Stat(in.path); err == nil && os.SameFile(info, out) {
				return usagef("--%s %s: is the file of --%s: name another", flag, path, in.flag)
			}
		}
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return usagef("--%s %s: not a regular file", flag, path)
	}
	folder := filepath.Dir(path)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return usagef("--%s %s: there is no folder %s: create it first", flag, path, folder)
	}
	probe, err := os.CreateTemp(folder, ".trustbook-*")
	if err != nil {
		return usagef("--%s %s: the folder %s cannot be written to", flag, path, folder)
	}
	probe.Close()
	os.Remove(probe.Name())
	return nil
}

// checkOutFolder reports an output folder that cannot be one. It creates nothing.
func checkOutFolder(flag, path string) error {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return usagef("--%s %s: not a folder", flag, path)
	}
	return nil
}
