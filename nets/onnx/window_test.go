package onnx_test

import (
	"strings"
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
			if strings.Contains(r.Name, "align") && err != nil { // what the file here has is ONNX Runtime's
				require.ErrorContains(t, err, "ONNX Runtime and the format differ in it")
				return
			}
			require.NoError(t, err)
			r.eachImage = true
			require.Empty(t, r.compare(backend, m))
		})
	}
}
