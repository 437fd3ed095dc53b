package onnx

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOpenWithin: where a link out of the folder was laid after the path had been looked at, it is not followed.
func TestOpenWithin(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "model")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "far"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "near"), nil, 0o600))
	for name, target := range map[string]string{"out": "../far", "absolute": filepath.Join(dir, "far"), "within": "near"} {
		require.NoError(t, os.Symlink(target, filepath.Join(folder, name)))
		f, err := openWithin(folder, name)
		if name == "within" {
			require.NoError(t, err)
			require.NoError(t, f.Close())
			continue
		}
		require.ErrorContains(t, err, "external data")
		require.ErrorContains(t, err, "escapes")
	}
}
