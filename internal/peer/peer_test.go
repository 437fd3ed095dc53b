package peer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A script is asked and answers; one that ends without a word is an error.
func TestStart(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(script, []byte("echo versions\nwhile read name; do echo 0.5; done\n"), 0o600))
	ask, err := start("sh", script)
	require.NoError(t, err)
	for range 2 {
		seconds, err := ask("any")
		require.NoError(t, err)
		require.InDelta(t, 0.5, seconds, 0)
	}
	require.NoError(t, os.WriteFile(script, []byte("exit 3\n"), 0o600))
	_, err = start("sh", script)
	require.Error(t, err)
	require.InDelta(t, 2, median([]float64{3, 1, 2}), 0)
}

// What a script prints comes back, and without a Python the test is skipped.
func TestOutput(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(script, []byte("echo said $1 >&2\necho printed $1\n"), 0o600))
	t.Setenv("BENCH_PYTHON", "sh")
	require.Equal(t, "printed it\n", string(Output(t, script, "it")))
	t.Setenv("BENCH_PYTHON", "")
	skipped := false
	t.Run("without", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		Output(t, script)
	})
	require.True(t, skipped)
}
