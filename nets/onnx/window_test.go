package onnx_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWindows compares operators that resize, convolve, pool and normalize with what testdata/make_windows.py found.
func TestWindows(t *testing.T) {
	all := readReferences[*reference](t, "testdata/windows.json.gz")
	require.Greater(t, len(all), 120)
	backend := sequential(t)
	for _, r := range all {
		t.Run(r.Name, func(t *testing.T) {
			m, err := r.load(t.TempDir())
			if r.Refused != "" {
				require.ErrorContains(t, err, r.Refused)
				return
			}
			require.NoError(t, err)
			r.eachImage = true
			require.Empty(t, r.compare(backend, m))
		})
	}
}
