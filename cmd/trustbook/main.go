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
	"github.com/spf13/pflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal asks to stop, the second kills
	os.Exit(run(ctx, os.Args[1:]))
}

// run executes the command line and returns the exit status.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return fine
	case errors.As(err, new(quiet)):
		return failed
	case ctx.Err() != nil: // whatever the error: it came of stopping
		fmt.Fprintln(os.Stderr, "trustbook: stopped"+afterStop(command, args))
		return failed
	}
	fmt.Fprintln(os.Stderr, "trustbook: "+oneLine(err))
	if errors.As(err, new(usageError)) {
		return wrongUse
	}
	return failed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "trustbook",
		Short: "Replicate papers on trustworthy machine learning; attack your own model",
		Long: "Replicate papers on trustworthy machine learning; attack your own model.\n\n" +
			"Exit status: 0 fine, 1 failed or not replicated, 2 wrong use. Errors are one line on standard error.",
		Example: "  trustbook doctor\n" +
			"  trustbook replicate robust/joint --scale smoke\n" +
			"  trustbook attack --model M.onnx --inputs X.npy --labels Y.npy --epsilon 0.3 --out ADV.npy",
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("no command %q", args[0])
			}
			return nil
		},
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if err := c.ValidateRequiredFlags(); err != nil { // cobra checks too, but later and without its being wrong use
				return usagef("%s: see `%s --help`", err, c.CommandPath())
			}
			return checkNamed(c)
		},
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 100"))
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpCommand(newHelp())
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newDoctor(), newList(), newReplicate(), newAttack(), newWeights(), newScore(),
		newScan(), newCompareImages(), newWatermark(), newMerge(), newLedger(), newData(), newKernel(), newCache())
	markUsage(root)
	return root
}

// checkNamed refuses the first flag that was given an empty text, which an unset variable of a shell's script leaves: what it
// would have named must not be passed over.
func checkNamed(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		kind, value := f.Value.Type(), f.Value.String()
		if err == nil && (kind == "string" && value == "" || kind == "stringSlice" && value == "[]") {
			err = usagef("--%s: is empty: give a value, or leave the flag out: see `%s --help`", f.Name, c.CommandPath())
		}
	})
	return err
}

// newHelp is cobra's help command, but for an unknown topic being wrong use.
func newHelp() *cobra.Command {
	return &cobra.Command{Use: "help [COMMAND]", Short: "Help about a command",
		RunE: func(c *cobra.Command, args []string) error {
			topic, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("no command %q: see `trustbook --help`", strings.Join(args, " "))
			}
			return topic.Help()
		}}
}

// takes makes a command want the named arguments, as they stand in its usage line.
func takes(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == len(names):
			return nil
		case len(names) == 0:
			return fmt.Errorf("unexpected argument %q", args[0])
		case len(args) < len(names):
			return fmt.Errorf("missing argument %s", strings.Join(names[len(args):], " "))
		}
		return fmt.Errorf("unexpected argument %q after %s", args[len(names)], strings.Join(names, " "))
	}
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("no command %q", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(commands...)
	return c
}

// markUsage makes flag and argument errors of every command count as wrong use.
func markUsage(c *cobra.Command) {
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%s: see `%s --help`", err, c.CommandPath())
	})
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usagef("%s: see `%s --help`", err, c.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		markUsage(sub)
	}
}
