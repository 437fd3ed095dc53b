package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every command and flag explains itself.
func TestHelp(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		assert.NotEmpty(t, c.Short, c.CommandPath())
		assert.False(t, c.Hidden, c.CommandPath())
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot())

	dir := t.TempDir()
	for _, args := range [][]string{{}, {"--help"}, {"replicate", "--help"}, {"attack", "--help"}, {"weights", "--help"},
		{"score", "--help"}, {"merge", "--help"}, {"data"}, {"data", "fetch", "--help"},
		{"compare-images", "--help"}, {"kernel", "install", "--help"}, {"doctor", "--help"}, {"list", "--help"}, {"ledger", "--help"}} {
		got := trustbook(t, dir, args...)
		require.Equal(t, fine, got.status)
		require.Contains(t, got.stdout, "Usage:")
		require.Empty(t, got.stderr)
		for _, odd := range []string{"stringArray", "int64Slice", "(default [])"} {
			require.NotContains(t, got.stdout, odd, "a type of the library's in the help of %v", args)
		}
		for line := range strings.Lines(got.stdout) {
			assert.LessOrEqual(t, utf8.RuneCountInString(line), 121, line)
		}
	}
	require.Regexp(t, `^trustbook 0\.1\.0 \(go1\..*\)\n$`, trustbook(t, dir, "--version").stdout)
}
