// Command nbcheck lints, executes and verifies notebooks.
//
//	nbcheck lint notebooks/*.ipynb      is it fit to be committed?
//	nbcheck run notebooks/*.ipynb       does it run, from clean? Finds failures that the kernel hides
//	nbcheck commit notebooks/*.ipynb    run it at quick scale and write the outputs back
//	nbcheck render notebooks/x.ipynb    an HTML page to look at
//
// Exit status: 0 fine, 1 a notebook has a problem, 2 wrong use.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/internal/ipynb"
)

// errProblems ends a command whose problems are printed already.
var errProblems = errors.New("problems found")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command().ExecuteContext(ctx)
	switch {
	case err == nil:
	case errors.Is(err, errProblems):
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "nbcheck:", err)
		os.Exit(2)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{Use: "nbcheck", Short: "Lint, execute and verify notebooks", SilenceErrors: true, SilenceUsage: true}
	root.CompletionOptions.HiddenDefaultCmd = true
	var checked, committed execution // of their own: a flag's default is written to its variable when it is declared

	lint := &cobra.Command{Use: "lint FILE...", Short: "Check that notebooks are fit to be committed", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			return each(cmd, files, func(file string) ([]ipynb.Problem, error) { return lintFile(file) })
		}}

	run := &cobra.Command{Use: "run FILE...", Short: "Execute notebooks from clean and verify what came out", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			return each(cmd, files, func(file string) ([]ipynb.Problem, error) {
				_, problems, err := checked.verified(cmd.Context(), file)
				return problems, err
			})
		}}
	checked.flags(run, "smoke")
	run.Flags().StringVar(&checked.out, "out", "", "folder that keeps the executed notebooks")

	commit := &cobra.Command{Use: "commit FILE...", Short: "Execute notebooks and write their outputs back in place",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			return each(cmd, files, func(file string) ([]ipynb.Problem, error) { return committed.commit(cmd.Context(), file) })
		}}
	committed.flags(commit, "quick")

	var dark bool
	var page string
	render := &cobra.Command{Use: "render FILE", Short: "Write a notebook as an HTML page, without executing it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if page == "" {
				page = files[0][:len(files[0])-len(filepath.Ext(files[0]))] + ".html"
			}
			if err := renderFile(cmd.Context(), files[0], page, dark); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), page)
			return nil
		}}
	render.Flags().StringVar(&page, "out", "", "the page (default: beside the notebook)")
	render.Flags().BoolVar(&dark, "dark", false, "dark theme")

	root.AddCommand(lint, run, commit, render)
	return root
}

func (e *execution) flags(cmd *cobra.Command, scale string) {
	cmd.Flags().StringVar(&e.scale, "scale", scale, "smoke, quick or paper: the SCALE that the notebook sees")
	cmd.Flags().DurationVar(&e.timeout, "timeout", 30*time.Minute, "limit for one cell")
}

// each checks the files one after another and prints their problems. An error ends the walk.
func each(cmd *cobra.Command, files []string, check func(string) ([]ipynb.Problem, error)) error {
	failed := false
	for _, file := range files {
		start := time.Now()
		problems, err := check(file)
		if err != nil {
			return err
		}
		for _, p := range problems {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", file, p)
		}
		if len(problems) > 0 {
			failed = true
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: ok (%.1fs)\n", file, time.Since(start).Seconds())
	}
	if failed {
		return errProblems
	}
	return nil
}

// read parses a notebook; what is wrong with its content is a problem, that it cannot be read is an error.
func read(file string) (*ipynb.Notebook, int, []ipynb.Problem, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, 0, nil, err
	}
	nb, err := ipynb.Parse(data)
	if err != nil {
		return nil, len(data), []ipynb.Problem{{What: err.Error()}}, nil //nolint:nilerr // reported as a problem
	}
	return nb, len(data), nil, nil
}

func lintFile(file string) ([]ipynb.Problem, error) {
	nb, size, problems, err := read(file)
	if err != nil || problems != nil {
		return problems, err
	}
	return ipynb.Lint(nb, ipynb.LintOptions{Paper: isPaper(file), Size: size}), nil
}

// isPaper tells the papers' notebooks, <area>_<paper>.ipynb, from the numbered ones that introduce.
func isPaper(file string) bool {
	first := filepath.Base(file)[0]
	return first < '0' || first > '9'
}

// commit executes a notebook, and writes it back only if nothing is wrong with what came out.
func (e *execution) commit(ctx context.Context, file string) ([]ipynb.Problem, error) {
	nb, problems, err := e.verified(ctx, file)
	if err != nil || len(problems) > 0 {
		return problems, err
	}
	ipynb.Normalize(nb)
	data, err := nb.Encode()
	if err != nil {
		return nil, err
	}
	if nb, err = ipynb.Parse(data); err != nil {
		return nil, err
	}
	if problems := ipynb.Lint(nb, ipynb.LintOptions{Paper: isPaper(file), Size: len(data)}); len(problems) > 0 {
		return problems, nil
	}
	return nil, renameio.WriteFile(file, data, 0o644)
}
