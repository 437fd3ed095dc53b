package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/engine"
)

func newCache() *cobra.Command {
	programs := func(use, short, line string, look func(setting string) (dir string, programs int, size int64, err error)) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: takes(),
			RunE: func(c *cobra.Command, _ []string) error {
				dir, n, size, err := look(engine.UserPrograms())
				if err != nil {
					return err
				}
				if dir == "" {
					_, err = fmt.Fprintf(c.OutOrStdout(), "compiled programs are not kept: %s=off\n", engine.ProgramsEnv)
					return err
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), line+"\n", n, float64(size)/1e6, shortPaths(dir))
				return err
			},
		}
	}
	return group("cache", "What XLA compiled, kept for later commands and cells: show, clear",
		programs("show", "Tell how much is kept, and where", "%d compiled programs (%.1f MB) in %s", engine.ProgramsIn),
		programs("clear", "Remove what is kept; it is compiled anew when it is needed", "removed %d compiled programs (%.1f MB) from %s",
			engine.ClearPrograms))
}
