package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/watermark"
)

// removeFolder holds what `watermark remove` takes: the model and arrays of attackFolder, and two keys.
func removeFolder(t *testing.T) (dir string, args []string) {
	t.Helper()
	dir, _ = attackFolder(t)
	for _, owner := range []string{"owner", "thief"} {
		k, err := watermark.NewKey([]byte(owner), owner, watermark.KeyOptions{Shape: []int{1, 28, 28}, Target: 2})
		require.NoError(t, err)
		require.NoError(t, k.Write(filepath.Join(dir, owner+".key")))
	}
	other, err := watermark.NewKey([]byte("x"), "", watermark.KeyOptions{Shape: []int{3, 3, 1}, Bits: 4})
	require.NoError(t, err)
	require.NoError(t, other.Write(filepath.Join(dir, "other.key")))
	return dir, []string{"watermark", "remove", "--model", "m.onnx", "--inputs", "x.npy", "--labels", "y.npy", "--attack", "prune",
		"--out", "out.onnx"}
}

// TestRemove: a model goes in, another comes out, which loads; the mark is read before and after; nothing of the key is told.
func TestRemove(t *testing.T) {
	dir, args := removeFolder(t)
	key, err := watermark.ReadKey(filepath.Join(dir, "owner.key"))
	require.NoError(t, err)
	args = append(args, "--key", "owner.key", "--verify-inputs", "x.npy", "--json")
	got := trustbook(t, dir, args...)
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "attack", "before.accuracy", "after.accuracy", "before.errors", "after.decided", "after.p_value", "tested",
		"out", "seed", "backend", "notes")
	var r removed
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
	require.Equal(t, "pruning (share 0.5)", r.Attack)
	require.Equal(t, 64, *r.Before.Decided)
	for _, secret := range []string{fmt.Sprint(key.Matrix[0][0])[:8], fmt.Sprint(key.Carriers[:4]), fmt.Sprint(key.Signature[:8])} {
		require.NotContains(t, got.stdout+got.stderr, strings.Trim(secret, "[]"))
	}

	// What came out is a model, which pruning by the same share does not change; without a key there are no errors.
	first, err := os.ReadFile(filepath.Join(dir, "out.onnx"))
	require.NoError(t, err)
	again := trustbook(t, dir, with(with(args[:12], "--model", "out.onnx"), "--out", "twice.onnx")...)
	require.Equal(t, fine, again.status, again.stderr)
	require.Contains(t, again.stdout, "before")
	require.NotContains(t, again.stdout, "errors")
	twice, err := os.ReadFile(filepath.Join(dir, "twice.onnx"))
	require.NoError(t, err)
	require.Equal(t, first, twice)
}

// TestRemoveTrains: an attack that trains finds what it kept.
func TestRemoveTrains(t *testing.T) {
	dir, args := removeFolder(t)
	args = append(with(args, "--attack", "fine-tune"), "--epochs", "1", "--batch-size", "6", "--state", "kept", "--test-inputs", "x.npy",
		"--test-labels", "y.npy")
	require.Equal(t, fine, trustbook(t, dir, args...).status)
	first, err := os.ReadFile(filepath.Join(dir, "out.onnx"))
	require.NoError(t, err)
	kept, err := os.ReadDir(filepath.Join(dir, "kept"))
	require.NoError(t, err)
	require.Len(t, kept, 1)
	require.Equal(t, fine, trustbook(t, dir, with(args, "--out", "twice.onnx")...).status)
	twice, err := os.ReadFile(filepath.Join(dir, "twice.onnx"))
	require.NoError(t, err)
	require.Equal(t, first, twice)
}

// TestRemoveRefuses: what is wrong is told in one line, with status 2, and nothing is written.
func TestRemoveRefuses(t *testing.T) {
	dir, args := removeFolder(t)
	saveArray(t, filepath.Join(dir, "five.npy"), []int64{0, 1, 2, 3, 4}, 5)
	before := listing(t, dir)
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--attack", "wash"}, "--attack wash: want fine-tune, prune"},
		{[]string{"--share", "1"}, "--share 1: want 0 to below 1"},
		{[]string{"--bits", "8"}, "--bits: prune has no such setting; it has --share"},
		{[]string{"--attack", "quantize", "--bits", "1"}, "--bits 1: want 2 to 16"},
		{[]string{"--attack", "fine-tune", "--rate", "-1"}, "--rate -1: must be finite and > 0"},
		{[]string{"--attack", "fine-tune", "--epochs", "0"}, "--epochs 0: must be at least 1"},
		{[]string{"--attack", "overwrite"}, "needs --overwrite-key"},
		{[]string{"--attack", "overwrite", "--overwrite-key", "other.key"}, "--overwrite-key other.key: made for [3 3 1], model takes [1 28 28]"},
		{[]string{"--key", "owner.key"}, "--key and --verify-inputs: give both or neither"},
		{[]string{"--test-inputs", "x.npy"}, "--test-inputs and --test-labels: give both or neither"},
		{[]string{"--test-inputs", "x.npy", "--test-labels", "five.npy"}, "--test-labels five.npy: 5 labels for 6 images"},
		{[]string{"--key", "absent.key", "--verify-inputs", "x.npy"}, "--key absent.key"},
		{[]string{"--key", "owner.key", "--verify-inputs", "y.npy"}, "--verify-inputs y.npy"},
		{[]string{"--out", "absent/out.onnx"}, "there is no folder absent"},
		{[]string{"--out", "x.npy"}, "is the file of --inputs"},
		{[]string{"--model", "short.onnx"}, "--model short.onnx"},
	} {
		call := slices.Clone(args)
		for i := 0; i < len(c.flags); i += 2 {
			call = with(call, c.flags[i], c.flags[i+1])
		}
		got := trustbook(t, dir, call...)
		require.Equal(t, wrongUse, got.status, "%v: %s", c.flags, got.stderr)
		require.Contains(t, got.stderr, c.want)
		require.Equal(t, 1, strings.Count(got.stderr, "\n"), got.stderr)
		require.Empty(t, got.stdout)
		require.Equal(t, before, listing(t, dir))
	}
}
