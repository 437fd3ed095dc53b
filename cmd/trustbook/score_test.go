package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/scoring"
)

func TestScoreCurve(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	// The golden curve of scoring's tests: 1 - t.
	write("falling.csv", "magnitude,accuracy\n0,1\n0.1,.9\n0.2,.8\n0.3,.7\n0.4,.6\n0.5,.5\n0.6,.4\n0.7,.3\n0.8,.2\n0.9,.1\n1,0\n")
	for _, c := range []struct {
		args    []string
		gi, pal float64
	}{
		{nil, .335, 55.4736842105},
		{[]string{"--pal", "0.1,0.4"}, .335, .7210144928},
		{[]string{"--ideal", "invariant"}, .335, 55.4736842105},
	} {
		got := trustbook(t, dir, append([]string{"score", "--curve", "falling.csv", "--json"}, c.args...)...)
		require.Equal(t, fine, got.status, got.stderr)
		var scores struct{ Gi, Pal float64 }
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &scores))
		require.InDelta(t, c.gi, scores.Gi, 1e-9)
		require.InDelta(t, c.pal, scores.Pal, 1e-8)
	}
	write("both.csv", "magnitude,accuracy\n-1,.5\n0,1\n1,.7\n")
	got := trustbook(t, dir, "score", "--curve", "both.csv", "--fold")
	require.Equal(t, fine, got.status, got.stderr)
	require.Contains(t, got.stdout, "Scores of both.csv")
	write("text.csv", "magnitude,accuracy\n0,one\n1,0\n")
	write("percent.csv", "magnitude,accuracy\n0,100\n1,50\n")
	write("wrong.csv", "magnitude,accuracy\n0,0\n1,0\n")
	for _, c := range []struct{ args, words []string }{
		{[]string{}, []string{"either --curve, or --model"}},
		{[]string{"--curve", "absent.csv"}, []string{"--curve absent.csv", "no such file"}},
		{[]string{"--curve", "text.csv"}, []string{"--curve text.csv", "one", "no number"}},
		{[]string{"--curve", "percent.csv"}, []string{"percent instead of fraction"}},
		{[]string{"--curve", "wrong.csv"}, []string{"Pal-score undefined"}},
		{[]string{"--curve", "falling.csv", "--fold"}, []string{"opposite"}},
		{[]string{"--curve", "falling.csv", "--ideal", "best"}, []string{"--ideal best", "perfect or invariant"}},
		{[]string{"--curve", "falling.csv", "--pal", "0.5"}, []string{"--pal", "two fractions"}},
		{[]string{"--curve", "falling.csv", "--pal", "0,0.1"}, []string{"--pal 0,0.1"}},
		{[]string{"--curve", "falling.csv", "--layers", "1"}, []string{"--layers is for --model"}},
		{[]string{"--curve", "falling.csv", "--scale", "1/255"}, []string{"--scale is for --model"}},
		{[]string{"--curve", "falling.csv", "--output", "logits"}, []string{"--output is for --model"}},
		{[]string{"--curve", "falling.csv", "--model", "m.onnx"}, []string{"either --curve, or --model"}},
	} {
		fails(t, dir, command(dir, append([]string{"score"}, c.args...)...), wrongUse, c.words...)
	}
}

func TestScoreModel(t *testing.T) {
	dir, _ := attackFolder(t)
	good := []string{"score", "--model", "m.onnx", "--inputs", "x.npy", "--labels", "y.npy",
		"--perturbations", "inter,rotation", "--layers", "0,2", "--points", "3"}
	got := trustbook(t, dir, with(good, "--out", "curves")...)
	require.Equal(t, fine, got.status, got.stderr)
	require.Contains(t, got.stdout, "Scores of m")
	files, err := filepath.Glob(filepath.Join(dir, "curves", "*.csv"))
	require.NoError(t, err)
	require.Len(t, files, 3)
	for _, path := range files {
		c, err := scoring.LoadCurve(path)
		require.NoError(t, err)
		require.Len(t, c.Magnitudes, 3)
	}
	for _, c := range []struct {
		flag, value string
		words       []string
	}{
		{"--model", "absent.onnx", []string{"--model absent.onnx"}},
		{"--labels", "x.npy", []string{"--labels x.npy"}},
		{"--perturbations", "blur", []string{`perturbation "blur"`, "rotation"}},
		{"--perturbations", "intra", []string{"one sample", "needs two"}},
		{"--layers", "0,9", []string{"layer 9", "0, the input, to 3"}},
		{"--points", "1", []string{"--points 1: must be at least 2"}},
		{"--points", "0", []string{"--points 0: must be at least 2"}},
		{"--points", "-3", []string{"--points -3"}},
		{"--perturbations", "", []string{"--perturbations: is empty"}},
		{"--layers", "-1", []string{"layer -1"}},
		{"--scale", "x", []string{"--scale x"}},
		{"--output", "", []string{"--output: is empty"}},
		{"--batch-size", "0", []string{"--batch-size 0"}},
		{"--out", "x.npy", []string{"--out x.npy"}},
	} {
		t.Run(c.flag+c.value, func(t *testing.T) {
			status := wrongUse
			if c.value == "intra" {
				status = failed
			}
			fails(t, dir, command(dir, with(good, c.flag, c.value)...), status, c.words...)
		})
	}
	fails(t, dir, command(dir, "score", "--model", "m.onnx", "--inputs", "x.npy"), wrongUse, "--model needs --inputs and --labels")
}

// smallZoo is a run of the zoo of seconds.
func smallZoo(out string, more ...string) []string {
	return append([]string{"replicate", "scoring", "--scale", "smoke", "--set", "epochs=2", "--set", "random=5",
		"--set", "angles=[0]", "--set", "rotation_epochs=1", "--dataset", "glyphs", "--backend", testBackend(), "--out", out}, more...)
}

// Shards in folders of their own, merged, give the bytes of the whole run.
func TestShardsMerge(t *testing.T) {
	dir := t.TempDir()
	got := trustbook(t, dir, smallZoo("whole")...)
	require.Equal(t, fine, got.status, got.stderr)
	for _, part := range []string{"2/2", "1/2"} {
		got := trustbook(t, dir, smallZoo("s"+part[:1], "--shard", part)...)
		require.Equal(t, fine, got.status, got.stderr)
		require.Contains(t, got.stdout, "trustbook merge")
		require.NoFileExists(t, filepath.Join(dir, "s"+part[:1], "result.json"))
		if part == "2/2" {
			fails(t, dir, command(dir, "merge", "s2"), wrongUse, "shards that have not run", "1/2")
		}
	}
	got = trustbook(t, dir, "merge", "s1", "s2", "--out", "merged")
	require.Equal(t, fine, got.status, got.stderr)
	require.Contains(t, got.stdout, "Claims of arXiv 2104.03469")
	same(t, results(t, filepath.Join(dir, "whole")), results(t, filepath.Join(dir, "merged")))

	// A shard of another run does not fit, nor does a folder whose work is gone.
	note := filepath.Join(dir, "s2", "shards", "2-of-2.json")
	kept, err := os.ReadFile(note)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(note, bytes.Replace(kept, []byte(`"scale": "smoke"`), []byte(`"scale": "quick"`), 1), 0o600))
	fails(t, dir, command(dir, "merge", "s1", "s2"), wrongUse, "of another run")
	require.NoError(t, os.WriteFile(note, kept, 0o600))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "s2", "state")))
	fails(t, dir, command(dir, "merge", "s1", "s2", "--out", "again"), failed, "are not there", "every shard")
	require.NoError(t, os.WriteFile(note, []byte("{"), 0o600))
	fails(t, dir, command(dir, "merge", "s1", "s2"), wrongUse, "2-of-2.json", "damaged")
	fails(t, dir, command(dir, "merge", "s1", "whole"), wrongUse, "whole", "holds no shard")
	fails(t, dir, command(dir, "merge"), wrongUse, "missing argument DIR")
	for _, part := range []string{"0/3", "4/3", "1", "a/b", "1/0"} {
		fails(t, dir, command(dir, smallZoo("bad", "--shard", part)...), wrongUse, "--shard "+part)
	}
	fails(t, dir, command(dir, "replicate", "robust/vit", "--shard", "1/2", "--model", "x.onnx"), wrongUse, "runs as a whole only")
}
