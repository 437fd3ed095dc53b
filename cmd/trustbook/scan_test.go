package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// scanFolder holds a background of nine samples of three nodes, and five samples to scan.
func scanFolder(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	columns := [3][9]float64{{0, 0, 0, 1, 2, 2, 3, 5, 8}, {0, 1, 1, 1, 1, 2, 3, 3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9}}
	var background []float64
	for i := range 9 {
		background = append(background, columns[0][i], columns[1][i], columns[2][i])
	}
	saveArray(t, filepath.Join(dir, "b.npy"), background, 9, 3)
	saveArray(t, filepath.Join(dir, "a.npy"), []float64{0, 1, 9.5, 2, 3.5, 0.5, 8, 0, 5, 9, -1, 5.5, 1, 1, 9}, 5, 3)
	return dir
}

// foundBy is the part of the JSON that the tests look at.
type foundBy struct {
	Singles []single
	Group   *struct {
		Score, Alpha float64
		Rows, Nodes  []int
	}
}

func TestScan(t *testing.T) {
	dir := scanFolder(t)
	args := []string{"scan", "--background", "b.npy", "--activations", "a.npy", "--json"}
	scan := func(more ...string) (found foundBy) {
		got := trustbook(t, dir, append(slices.Clone(args), more...)...)
		require.Equal(t, fine, got.status, got.stderr)
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &found))
		require.Len(t, found.Singles, 5)
		return found
	}
	// p-values times 10, by hand: (10 9 1) (6 2 10) (2 10 6) (1 10 5) (7 9 2); of k nodes up to α Berk-Jones is k·ln(1/α).
	found := scan()
	for i, want := range []single{{0, -math.Log(0.1), 0.1, []int{2}}, {1, -math.Log(0.2), 0.2, []int{1}}, {2, -math.Log(0.2), 0.2, []int{0}},
		{3, -math.Log(0.1), 0.1, []int{0}}, {4, -math.Log(0.2), 0.2, []int{2}}} {
		require.InDelta(t, want.Score, found.Singles[i].Score, 1e-12)
		want.Score = found.Singles[i].Score
		require.Equal(t, want, found.Singles[i])
	}
	require.Nil(t, found.Group)
	exact, climbed := scan("--group", "--exact", "--out", "exact.json"), scan("--group", "--restarts", "30")
	require.NotNil(t, exact.Group)
	require.InDelta(t, exact.Group.Score, climbed.Group.Score, 1e-12)
	require.Greater(t, exact.Group.Score, -math.Log(0.1))
	var kept foundBy
	text, err := os.ReadFile(filepath.Join(dir, "exact.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &kept))
	require.Equal(t, exact, kept)
	got := trustbook(t, dir, append(args[:5:5], "--group", "--tail", "two", "--score", "kolmogorov-smirnov")...)
	require.Equal(t, fine, got.status, got.stderr)
	require.Contains(t, got.stdout, "Samples least like the background")
	require.Contains(t, got.stdout, "kolmogorov-smirnov, two tail")
}

// Activations of a model: images that are like no others are found, in a layer as by hand from its activations.
func TestScanModel(t *testing.T) {
	dir, _ := attackFolder(t)
	args := []string{"scan", "--model", "m.onnx", "--inputs", "x.npy", "--background-inputs", "x.npy", "--layer", "1"}
	got := trustbook(t, dir, append(args, "--json")...)
	require.Equal(t, fine, got.status, got.stderr)
	var found foundBy
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &found))
	require.NotEmpty(t, found.Singles)
	for _, c := range []struct{ args, words []string }{
		{with(args, "--layer", "9"), []string{"--layer 9", "layers 1 to"}},
		{with(args, "--layer", "0"), []string{"--layer 0", "layers 1 to"}},
		{with(args, "--inputs", "y.npy"), []string{"--inputs y.npy"}},
		{with(args, "--model", "x.npy"), []string{"--model x.npy"}},
		{append(args, "--activations", "x.npy"), []string{"--activations does not go with --model"}},
		{args[:7], []string{"--model needs --layer"}},
	} {
		fails(t, dir, command(dir, c.args...), wrongUse, c.words...)
	}
}

func TestScanRefuses(t *testing.T) {
	dir := scanFolder(t)
	save := func(name string, values []float64, shape ...int) {
		saveArray(t, filepath.Join(dir, name), values, shape...)
	}
	save("nan.npy", []float64{1, math.NaN(), 2}, 1, 3)
	save("two.npy", []float64{1, 2}, 1, 2)
	save("same.npy", []float64{1, 2, 3, 1, 2, 3}, 2, 3)
	save("one.npy", []float64{1, 2, 3}, 1, 3)
	save("flat.npy", []float64{1, 2, 3}, 3)
	save("none.npy", nil, 0, 3)
	save("wide.npy", make([]float64, 25*3), 25, 3)
	args := []string{"scan", "--background", "b.npy", "--activations", "a.npy", "--out", "scan.json"}
	for _, c := range []struct{ args, words []string }{
		{with(args, "--activations", "nan.npy"), []string{"--activations nan.npy", "node 1 is NaN"}},
		{with(args, "--background", "nan.npy"), []string{"--background nan.npy", "NaN"}},
		{with(args, "--activations", "two.npy"), []string{"--activations two.npy", "2 nodes, want 3"}},
		{with(args, "--background", "same.npy"), []string{"all 2 samples of the background are the same"}},
		{with(args, "--background", "one.npy"), []string{"a background of one sample"}},
		{with(args, "--background", "none.npy"), []string{"--background none.npy", "[0 3]"}},
		{with(args, "--activations", "flat.npy"), []string{"--activations flat.npy", "has shape [3]"}},
		{with(args, "--activations", "absent.npy"), []string{"no such file"}},
		{with(args, "--alpha-max", "0"), []string{"--alpha-max 0"}},
		{with(args, "--alpha-max", "1.5"), []string{"--alpha-max 1.5"}},
		{with(args, "--alpha-max", "NaN"), []string{"--alpha-max NaN"}},
		{with(args, "--score", "bj"), []string{`score "bj"`, "berk-jones"}},
		{with(args, "--tail", "both"), []string{`tail "both"`, "upper, lower or two"}},
		{with(args, "--restarts", "0"), []string{"--restarts 0", "at least 1"}},
		{append(args, "--exact"), []string{"--exact is for --group"}},
		{with(args, "--layer", "1"), []string{"--layer does not go with --activations"}},
		{args[:3], []string{"either --background and --activations"}},
		{[]string{"scan", "--activations", "a.npy"}, []string{"--activations needs --background"}},
		{with(args, "--out", "absent/scan.json"), []string{"no folder"}},
		{with(args, "--out", "a.npy"), []string{"--out a.npy", "is the file of --activations"}},
		{with(args, "--out", "b.npy"), []string{"--out b.npy", "is the file of --background"}},
	} {
		fails(t, dir, command(dir, c.args...), wrongUse, c.words...)
	}
	require.NoFileExists(t, filepath.Join(dir, "scan.json"))
}
