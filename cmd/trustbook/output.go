package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/trustbook/trustbook/report"
)

// printJSON writes a value as indented JSON on standard output.
func printJSON(c *cobra.Command, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), string(data))
	return err
}

// printTable writes a table as text on standard output.
func printTable(c *cobra.Command, t *report.Table) {
	fmt.Fprintln(c.OutOrStdout(), t.Text())
}
