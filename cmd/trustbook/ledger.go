package main

import (
	"github.com/spf13/cobra"
)

func newLedger() *cobra.Command {
	return &cobra.Command{Use: "ledger", Hidden: true}
}
