package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/ipynb"
)

// TestCommittedNotebooks lints every notebook of the checkout.
func TestCommittedNotebooks(t *testing.T) {
	files, err := filepath.Glob("../../notebooks/*.ipynb")
	require.NoError(t, err)
	require.NotEmpty(t, files, "no notebooks")
	for _, file := range files {
		problems, err := lintFile(file)
		require.NoError(t, err)
		for _, p := range problems {
			t.Errorf("%s: %s", filepath.Base(file), p)
		}
	}
}

// notebook writes a notebook of a title and one code cell for each source.
func notebook(t *testing.T, sources ...string) string {
	t.Helper()
	cells := []any{map[string]any{"cell_type": "markdown", "id": "title", "metadata": map[string]any{}, "source": "# Title"}}
	for _, s := range sources {
		cells = append(cells, map[string]any{"cell_type": "code", "metadata": map[string]any{},
			"source": s, "outputs": []any{}, "execution_count": nil})
	}
	data, err := json.Marshal(map[string]any{"nbformat": 4, "nbformat_minor": 5, "cells": cells,
		"metadata": map[string]any{"kernelspec": map[string]any{"name": "gonb", "display_name": "Go (gonb)", "language": "go"}}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "00_test.ipynb")
	require.NoError(t, os.WriteFile(file, data, 0o644))
	return file
}

// nbcheck runs the command and returns what it printed.
func nbcheck(args ...string) (string, error) {
	var out bytes.Buffer
	root := command()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.Execute()
	return out.String(), err
}

// TestRunFindsWhatTheKernelHides executes a notebook whose every failure Jupyter reports as success, or nearly.
func TestRunFindsWhatTheKernelHides(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a kernel")
	}
	file := notebook(t, "!exit 3", "%nosuchmagic", "%%\nundefinedName()")
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	out, err := nbcheck("run", "--timeout", "2m", file)
	require.ErrorIs(t, err, errProblems, out)
	assert.Contains(t, out, "cell 2: a command failed with exit status 3")
	assert.Contains(t, out, "cell 3: ")
	assert.Contains(t, out, "unknown or not implemented")
	assert.Contains(t, out, "undefined: undefinedName", "what the compiler said")
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, before, after, "the notebook itself is not touched")
}

// TestCommitWritesOutputsBack runs a cell that imports the checkout, with no set-up cell and no network.
func TestCommitWritesOutputsBack(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a kernel")
	}
	t.Setenv("GOPROXY", "off")
	file := notebook(t, "import \"github.com/trustbook/trustbook/engine\"", "%%\nfmt.Println(len(engine.Specs), os.Getenv(\"SCALE\"))")
	out, err := nbcheck("commit", "--timeout", "5m", file)
	require.NoError(t, err, out)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	nb, err := ipynb.Parse(data)
	require.NoError(t, err)
	require.Len(t, nb.Cells[2].Outputs, 1)
	assert.Equal(t, "5 quick\n", nb.Cells[2].Outputs[0].Text)
	out, err = nbcheck("lint", file)
	assert.NoError(t, err, out)

	out, err = nbcheck("render", "--dark", file)
	require.NoError(t, err, out)
	page, err := os.ReadFile(strings.TrimSpace(out))
	require.NoError(t, err)
	assert.Contains(t, string(page), "5 quick")
}

// TestTourAlone: copied away from what lies beside it, the tour says in one line what is missing and what to do.
func TestTourAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a kernel")
	}
	data, err := os.ReadFile("../../notebooks/00_tour.ipynb")
	require.NoError(t, err)
	tour, err := ipynb.Parse(data)
	require.NoError(t, err)
	var sources []string
	for _, c := range tour.Cells {
		for _, needed := range []string{"import (", "func digits()", "onnx.Load("} {
			if c.Type == "code" && strings.Contains(c.Source, needed) {
				sources = append(sources, c.Source)
			}
		}
	}
	require.Len(t, sources, 3)
	file, dir := notebook(t, sources...), t.TempDir()
	out, err := nbcheck("run", "--timeout", "5m", "--out", dir, file)
	require.ErrorIs(t, err, errProblems, out)
	data, err = os.ReadFile(filepath.Join(dir, filepath.Base(file)))
	require.NoError(t, err)
	executed, err := ipynb.Parse(data)
	require.NoError(t, err)
	said := ""
	for _, o := range executed.Cells[3].Outputs {
		said += o.Text
	}
	require.Contains(t, said, "models/mnist_cnn.onnx: no such file: copy the folder notebooks/models")
	require.NotContains(t, said, "goroutine")
	require.LessOrEqual(t, strings.Count(said, "\n"), 3, said)
}

func TestWrongUse(t *testing.T) {
	file := notebook(t, "x")
	for _, args := range [][]string{
		{"lint"}, {"lint", "none.ipynb"}, {"run", "--scale", "huge", file}, {"run", "--timeout", "-1s", file}, {"render"}, {"nosuch"},
	} {
		_, err := nbcheck(args...)
		require.Error(t, err, args)
		assert.NotErrorIs(t, err, errProblems)
		assert.NotContains(t, err.Error(), "\n\n")
	}
	broken := filepath.Join(t.TempDir(), "x.ipynb")
	require.NoError(t, os.WriteFile(broken, []byte("{"), 0o644))
	out, err := nbcheck("lint", broken)
	assert.ErrorIs(t, err, errProblems)
	assert.Contains(t, out, "not valid JSON")
}

// A command's scale is its own default, whatever the others'.
func TestScales(t *testing.T) {
	for name, want := range map[string]string{"run": "smoke", "commit": "quick"} {
		c, _, err := command().Find([]string{name})
		require.NoError(t, err)
		scale := c.Flags().Lookup("scale")
		assert.Equal(t, want, scale.Value.String(), name)
	}
}
