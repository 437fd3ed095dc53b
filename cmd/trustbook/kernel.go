package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/kernel"
)

func newKernel() *cobra.Command {
	var o kernel.Options
	install := &cobra.Command{
		Use:   "install",
		Short: "Install the GoNB kernel, wired to this module and its plugin",
		Args:  takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			done, err := kernel.Install(c.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "Notebook kernel:", done.Dir)
			return nil
		},
	}
	install.Flags().StringVar(&o.Home, "home", "", "`DIR` of the checkout that notebooks import (default: this one)")
	install.Flags().StringVar(&o.Prefix, "prefix", "", "`DIR` of the Python environment that gets the kernel (default: the checkout's .venv)")
	install.Flags().StringVar(&o.Backend, "backend", "", "`SPEC` of the notebooks' backend (default: what the engine finds)")
	return group("kernel", "The notebook kernel", install)
}
