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
