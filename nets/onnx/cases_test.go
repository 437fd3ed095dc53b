package onnx_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fileCase is a file of testdata/make_cases.py.
type fileCase struct {
	reference
	Kind string
	Note string // part of a note that must be told; empty: there must be none
}

// TestCases: kinds of files that were once loaded as other networks, refused for false reasons, or without gradients.
func TestCases(t *testing.T) {
	backend := sequential(t)
	for _, c := range readReferences[*fileCase](t, "testdata/cases.json.gz") {
		t.Run(c.Kind+"/"+c.Name, func(t *testing.T) {
			m, err := c.load(t.TempDir())
			if c.Refused != "" {
				require.ErrorContains(t, err, c.Refused)
				require.NotContains(t, err.Error(), "\n")
				return
			}
			require.NoError(t, err)
			if c.Note == "" {
				require.Empty(t, m.Notes)
			} else {
				require.Contains(t, strings.Join(m.Notes, "\n"), c.Note)
			}
			for i, row := range c.Logits { // one number an example: two classes
				if len(row) == 1 && strings.Contains(c.Note, "probability") {
					row[0] = math.Log(row[0] / (1 - row[0]))
				}
				if len(row) == 1 {
					c.Logits[i] = []float64{-row[0] / 2, row[0] / 2}
				}
			}
			require.Len(t, c.Logits[0], m.Classes)
			require.Empty(t, c.compare(backend, m))
		})
	}
}
