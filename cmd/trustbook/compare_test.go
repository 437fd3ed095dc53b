package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/generative"
)

func TestCompareImages(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	var x, y []float32
	var real, generated [][]float64
	for i := range 25 {
		var a, b []float64
		for j := range 4 {
			n := float64(4*i + j)
			x, y = append(x, float32(math.Sin(n*n*.37))), append(y, float32(math.Cos(n*n*.23)+.2))
			a, b = append(a, float64(x[4*i+j])), append(b, float64(y[4*i+j]))
		}
		real, generated = append(real, a), append(generated, b)
	}
	saveArray(t, at("a.npy"), x, 25, 4)
	saveArray(t, at("b.npy"), y, 25, 2, 2) // further axes are features
	args := []string{"compare-images", "--real", "a.npy", "--generated", "b.npy", "--k", "3", "--seed", "7"}
	got := trustbook(t, dir, append(args, "--json", "--out", "c.json")...)
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "frechet", "frechet_infinity.value", "kernel", "precision", "recall", "notes", "k", "seed")
	want, err := generative.Measure(real, generated, generative.Options{K: 3, Seed: 7})
	require.NoError(t, err)
	var found generative.Measures
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &found))
	require.Empty(t, found.Notes)
	found.Notes = want.Notes
	require.Equal(t, *want, found)
	kept, err := os.ReadFile(at("c.json"))
	require.NoError(t, err)
	require.JSONEq(t, got.stdout, string(kept))
	got = trustbook(t, dir, args...)
	require.Equal(t, fine, got.status, got.stderr)
	for _, word := range []string{"FID-f", "KID-f", "needs an Inception", "precision", "coverage", "25 real and 25 generated"} {
		require.Contains(t, got.stdout, word)
	}

	x[5] = float32(math.NaN())
	saveArray(t, at("nan.npy"), x, 25, 4)
	saveArray(t, at("wide.npy"), y, 20, 5)
	for _, c := range []struct{ args, words []string }{
		{args[:3], []string{"generated", "--help"}},
		{with(args, "--real", "absent.npy"), []string{"--real absent.npy", "no such file"}},
		{with(args, "--real", "nan.npy"), []string{"--real nan.npy", "feature 1 of sample 1 is NaN"}},
		{with(args, "--generated", "wide.npy"), []string{"--generated wide.npy", "5 features, --real has 4"}},
		{with(args, "--k", "25"), []string{"--real a.npy", "25 samples: want more than --k 25"}},
		{with(args, "--k", "0"), []string{"--k 0: must be at least 1"}},
		{with(args, "--layer", "1"), []string{"--layer is for --features"}},
		{with(args, "--features", "a.npy"), []string{"--features needs --layer"}},
		{with(args, "--out", "a.npy"), []string{"--out a.npy", "is the file of --real"}},
	} {
		fails(t, dir, command(dir, c.args...), wrongUse, c.words...)
	}
}

// Features of a network's layer: those of the same images are the same.
func TestCompareImagesOfModel(t *testing.T) {
	dir, _ := attackFolder(t)
	args := []string{"compare-images", "--real", "x.npy", "--generated", "x.npy", "--features", "m.onnx", "--layer", "1"}
	got := trustbook(t, dir, append(args, "--json")...)
	require.Equal(t, fine, got.status, got.stderr)
	var found compared
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &found))
	require.Equal(t, 6, found.Real)
	require.InDelta(t, 0, found.Frechet/found.DiversityReal, 1e-6)
	require.Equal(t, 1.0, found.Coverage)
	require.Zero(t, found.Nearest)
	require.Positive(t, found.DiversityReal)
	for _, c := range []struct{ args, words []string }{
		{with(args, "--layer", "9"), []string{"--layer 9", "layers 1 to"}},
		{with(args, "--features", "x.npy"), []string{"--features x.npy"}},
		{with(args, "--generated", "y.npy"), []string{"--generated y.npy"}},
	} {
		fails(t, dir, command(dir, c.args...), wrongUse, c.words...)
	}
}
