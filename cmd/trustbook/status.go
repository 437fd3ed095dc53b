package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/engine"
)

// Exit statuses. What the user gave and must change is wrong use: flags, and the files that `attack` is given. What
// may pass without a change of the command line is a failure: a missing plugin, a data set that is absent or damaged,
// a claim that does not replicate in all its parts, a stop by Ctrl-C.
const (
	fine     = 0
	failed   = 1
	wrongUse = 2
)

// usageError is a mistake in the command line, or in a file that it names.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// wrongFile is wrong use of the flag that names the file. The message loses the package that found the mistake.
func wrongFile(flag, path string, err error) error {
	text := oneLine(err)
	for _, prefix := range []string{"npy: ", "nets: ", "robust: ", "scan: ", path + ": "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return usagef("--%s %s: %s", flag, path, text)
}

// quiet ends with status 1 without a message of its own: what is to be said was printed.
type quiet struct{ error }

func (e quiet) Unwrap() error { return e.error }

// openEngine opens a backend; one that does not exist is wrong use, one that is not installed a failure.
func openEngine(backend string) (*engine.Engine, error) {
	e, err := engine.OpenWith(backend, engine.Options{Programs: engine.UserPrograms()})
	if errors.Is(err, engine.ErrUnknown) {
		return nil, usageError{err}
	}
	return e, err
}

// backendHelp explains --backend.
const backendHelp = "`SPEC` of the backend: xla, xla:cpu, xla:cuda, xla:/path/plugin.so or go (default $GOMLX_BACKEND, else xla)"

// onStop is the annotation that tells what a stopped command leaves: "resumes" or "nothing".
const onStop = "on stop"

// afterStop says what to do after Ctrl-C.
func afterStop(c *cobra.Command, args []string) string {
	switch c.Annotations[onStop] {
	case "nothing":
		return "; nothing was written"
	case "":
		return ""
	}
	words := []string{"trustbook"}
	for _, a := range args {
		words = append(words, quote(a))
	}
	return "; to go on from here: " + strings.Join(words, " ")
}

// quote makes a word safe to paste into a shell.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=+.,:/@%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

var errNotWell = quiet{errors.New("not all is well")}
var errNotReplicated = quiet{errors.New("not every claim is replicated")}
