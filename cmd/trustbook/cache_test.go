package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/engine"
)

// TestCache: a command's programs are kept for the next, shown and cleared; its results are the same with and without; and nothing is
// kept where that is said.
func TestCache(t *testing.T) {
	dir, args := attackFolder(t)
	folder := filepath.Join(dir, "programs")
	run := func(setting string, args ...string) string {
		c := command(dir, args...)
		c.Env = append(c.Env, engine.ProgramsEnv+"="+setting)
		got := end(t, c)
		require.Zero(t, got.status, got.stderr)
		return got.stdout
	}
	seconds := regexp.MustCompile(`"seconds": [0-9.e+-]+`)
	attack := func(setting string) string {
		return seconds.ReplaceAllString(run(setting, append(args, "--json")...), "")
	}
	require.Contains(t, run(folder, "cache", "show"), "0 compiled programs")
	without := attack("off")
	require.NoDirExists(t, folder)
	require.Equal(t, without, attack(folder), "compiled")
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	require.Equal(t, without, attack(folder), "found")
	require.NotContains(t, run(folder, "cache", "show"), "0 compiled programs (")
	require.True(t, strings.HasPrefix(run(folder, "cache", "clear"), "removed "))
	require.Contains(t, run(folder, "cache", "show"), "0 compiled programs")
	require.Contains(t, run("off", "cache", "show"), "not kept")
}
