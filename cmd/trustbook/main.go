// Command trustbook replicates papers on trustworthy machine learning and attacks models that users bring.
//
//	trustbook doctor
//	trustbook replicate robust/joint
//	trustbook attack --model M.onnx --inputs X.npy --labels Y.npy --attack pgd --norm linf --epsilon 0.3 --out ADV.npy
//
// Exit status: 0 fine, 1 failed or not replicated, 2 wrong use. Errors are one line on standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	fine     = 0
	failed   = 1
	wrongUse = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run executes the command line and returns the exit status.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return fine
	case errors.As(err, new(quiet)):
		return failed
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "trustbook: stopped; the same command goes on from here")
		return failed
	}
	fmt.Fprintln(os.Stderr, "trustbook: "+strings.Join(strings.Fields(err.Error()), " "))
	if errors.As(err, new(usageError)) {
		return wrongUse
	}
	return failed
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// quiet ends with status 1 without a message of its own: what is to be said was printed.
type quiet struct{ error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "trustbook",
		Short:         "Replicate papers on trustworthy machine learning; attack your own model",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("no command %q: see `trustbook --help`", args[0])
			}
			return nil
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newDoctor(), newList(), newReplicate(), newAttack(), newData(), newKernel(), newLedger())
	markUsage(root)
	return root
}

// markUsage makes flag and argument errors of every command count as wrong use.
func markUsage(c *cobra.Command) {
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%s: see `%s --help`", err, c.CommandPath())
	})
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		markUsage(sub)
	}
}
