package onnx_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets/onnx"
)

// TestForeignWeights: what ONNX Runtime fuses has as many weights as before, and they can be written back.
func TestForeignWeights(t *testing.T) {
	parameters := map[string]int{}
	wrote := 0
	for _, c := range readReferences[*fileCase](t, "testdata/cases.json.gz") {
		if c.Kind != "ONNX Runtime's own" || c.Refused != "" {
			continue
		}
		dir := t.TempDir()
		m, err := c.load(dir)
		require.NoError(t, err, c.Name)
		for _, w := range m.Weights() {
			parameters[c.Name] += w.Shape().Size()
		}
		if len(m.WeightPaths) == 0 {
			continue
		}
		change(t, m)
		again, _ := rewritten(t, filepath.Join(dir, "m.onnx"), m, onnx.Options{})
		require.Equal(t, weightsIn(t, m), weightsIn(t, again), c.Name)
		wrote++
	}
	require.Greater(t, wrote, 40)
	for name, size := range parameters {
		if of, fused := strings.CutSuffix(name, "ORT_ENABLE_EXTENDED"); fused {
			require.Equal(t, parameters[of+"ORT_ENABLE_BASIC"], size, name)
		}
	}
}
