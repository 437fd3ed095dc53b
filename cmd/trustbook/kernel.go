package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/trustbook/trustbook/kernel"
)

func newKernel() *cobra.Command {
	c := &cobra.Command{Use: "kernel", Short: "The notebook kernel", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	var o kernel.Options
	install := &cobra.Command{
		Use:   "install",
		Short: "Install the GoNB kernel, wired to this module and its plugin",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			done, err := kernel.Install(c.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "Notebook kernel:", done.Dir)
			return nil
		},
	}
	install.Flags().StringVar(&o.Home, "home", "", "checkout that notebooks import (default: this one)")
	install.Flags().StringVar(&o.Prefix, "prefix", "", "Python environment that gets the kernel (default: the checkout's .venv)")
	install.Flags().StringVar(&o.Backend, "backend", "", "backend of the notebooks (default: what the engine finds)")
	c.AddCommand(install)
	return c
}
