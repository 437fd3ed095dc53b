package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSave(t *testing.T) {
	dir := t.TempDir()
	small := func(title string) *Table {
		return &Table{Title: title, Columns: []Column{{Name: "x"}}, Rows: [][]any{{1.0 / 3}}}
	}
	parts := []Part{small("Robust accuracy (ε = 0.1)"), small("Robust accuracy"), small("robust ACCURACY"), small("../../etc/passwd"),
		small("ε"), small("Robust accuracy 2"), sampleGrid(), Text("words")}
	saved, err := Save(dir, parts...)
	require.NoError(t, err)
	assert.Equal(t, Saved{
		Tables: []string{"tables/robust-accuracy-0-1.csv", "tables/robust-accuracy.csv", "tables/robust-accuracy-2.csv",
			"tables/etc-passwd.csv", "tables/untitled.csv", "tables/robust-accuracy-2-2.csv"},
		Figures: []string{"figures/clean-perturbed-difference.png"}}, saved)
	first := map[string]string{}
	for _, name := range append(saved.Tables, saved.Figures...) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		first[name] = string(data)
	}
	assert.Equal(t, "x\n0.3333333333333333\n", first["tables/untitled.csv"])
	_, err = Save(dir, parts...)
	require.NoError(t, err)
	for name, want := range first {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Equal(t, want, string(data), name)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "tables"))
	require.NoError(t, err)
	assert.Len(t, entries, 6, "no temporary file is left")
}

func TestSaveWritesNothingOnError(t *testing.T) {
	dir := t.TempDir()
	for _, bad := range []Part{&Figure{Title: "empty"}, &Table{}, (*Table)(nil), (*Grid)(nil), nil} {
		_, err := Save(dir, sampleTable(), bad)
		assert.Error(t, err)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestLedger(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "b"), filepath.Join(dir, "a")
	require.NoError(t, os.Mkdir(one, 0o755))
	require.NoError(t, os.Mkdir(two, 0o755))
	require.NoError(t, SaveClaims(filepath.Join(one, "claims.json"), sampleClaims()))
	require.NoError(t, os.WriteFile(filepath.Join(one, "result.json"), []byte(`{"paper":"2102.11935","slug":"robust/joint",
		"backend":"xla:cpu","versions":{"gomlx":"v0.28.8","go":"go1.26"},"config":{"n":1}}`), 0o644))
	require.NoError(t, SaveClaims(filepath.Join(two, "claims.json"), []Claim{{ID: "2103.00001/1", Sentence: "A <b>bold</b> | claim."}}))
	text, err := Ledger(two, one)
	require.NoError(t, err)
	again, err := Ledger(one, two)
	require.NoError(t, err)
	assert.Equal(t, text, again)
	for _, want := range []string{
		"| 2102.11935 · robust/joint | 🟢&nbsp;1 🟢&nbsp;2 🟡&nbsp;3&nbsp;(1/4) 🔴&nbsp;4 ❔&nbsp;5 ⬜&nbsp;6 | 2 | 1 | 1 | 1 | 1 |",
		"| **all** |  | 2 | 1 | 1 | 1 | 2 |",
		"Measured on n = 500 · seeds 1 to 5 · quick · mnist. Compared with the abstract's words.",
		"## 2102.11935 · robust/joint", "## 2103.00001",
		"| 🟢&nbsp;**replicated** | **1. Joint perturbations of inputs and weights lower accuracy more than either alone.**<br>" +
			"<sub>accuracy lost to the joint attack, beyond the stronger single attack</sub><br>" +
			"<sub>Paper reports: 20 to 40 points (figure 2)</sub> | **22.2%** [20.1%,&nbsp;24.3%] | &gt;&nbsp;0% |",
		"| 🔴&nbsp;contradicted | 3.3 no clean accuracy is lost<br><sub>clean accuracy</sub><br>" +
			"<sub>Threshold ours: a point is what seeds differ by</sub> | **-2.3%** [-3.1%,&nbsp;-1.6%] | ≥&nbsp;-1% *ours* |",
		"<br><sub>Control: accuracy that the attack takes: 31.6% [28.6%, 34.6%], must be &gt; 0% ✓</sub>",
		"<br><sub>Beside: its norm of weights: 7.30 [7.10, 7.50]</sub>", "<sub>Backend xla:cpu · go go1.26 · gomlx v0.28.8.</sub>",
		"A &lt;b&gt;bold&lt;/b&gt; \\| claim.",
	} {
		assert.Contains(t, text, want)
	}
	// A verdict edited by hand does not reach the ledger.
	path := filepath.Join(one, "claims.json")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	edited := strings.ReplaceAll(string(data), `"verdict": "contradicted"`, `"verdict": "replicated"`)
	require.NoError(t, os.WriteFile(path, []byte(edited), 0o644))
	tampered, err := Ledger(one, two)
	require.NoError(t, err)
	assert.Equal(t, text, tampered)

	_, err = Ledger()
	assert.ErrorContains(t, err, "no folders")
	_, err = Ledger(filepath.Join(dir, "missing"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(one, "result.json"), []byte(`{"paper":`), 0o644))
	_, err = Ledger(one)
	assert.ErrorContains(t, err, "result.json")
}
