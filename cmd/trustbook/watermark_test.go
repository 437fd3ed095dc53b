package main

import (
	"encoding/json"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oip"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/watermark"
)

// markFolder holds a model, images as of class 2, and the arrays of a key.
func markFolder(t *testing.T) (dir string) {
	t.Helper()
	dir, _ = attackFolder(t)
	k, err := watermark.NewKey([]byte("sesame"), "Acme Ltd", watermark.KeyOptions{Shape: []int{1, 28, 28}, Target: 2, Bits: 40, Carriers: 200})
	require.NoError(t, err)
	var matrix []float64
	var carriers, bits []int64
	for _, row := range k.Matrix {
		matrix, bits = append(matrix, row...), append(bits, 0)
	}
	for _, c := range k.Carriers {
		carriers = append(carriers, int64(c))
	}
	saveArray(t, filepath.Join(dir, "K.npy"), matrix, 40, 200)
	saveArray(t, filepath.Join(dir, "I.npy"), carriers, 200)
	saveArray(t, filepath.Join(dir, "W.npy"), bits, 40)
	saveArray(t, filepath.Join(dir, "two.npy"), []int64{2, 2, 2, 2, 2, 2}, 6)
	return dir
}

func mark(args ...string) []string { return append([]string{"watermark"}, args...) }

var fromArrays = mark("keygen", "--matrix", "K.npy", "--carriers", "I.npy", "--signature", "W.npy", "--target", "2", "--shape", "1,28,28")

// forged makes a key that calls the model's own bits its signature, as anyone can.
func forged(t *testing.T, dir string) {
	t.Helper()
	require.Equal(t, fine, trustbook(t, dir, append(slices.Clone(fromArrays), "--out", "zeros.key")...).status)
	got := trustbook(t, dir, mark("extract", "--model", "m.onnx", "--key", "zeros.key", "--inputs", "x.npy", "--labels", "two.npy",
		"--json")...)
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "errors", "decided", "bits", "ber", "p_value", "projections", "examples", "backend", "notes")
	var r watermark.Reading
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
	require.Len(t, r.Projections, 40)
	require.Equal(t, 40, r.Decided)
	var bits []int64
	ones := 0
	for _, b := range r.Bits {
		bits, ones = append(bits, int64(b)), ones+int(b)
	}
	require.Equal(t, ones, r.Errors, "of a signature of zeros")
	saveArray(t, filepath.Join(dir, "W.npy"), bits, 40)
	require.Equal(t, fine, trustbook(t, dir, append(slices.Clone(fromArrays), "--out", "key")...).status)
}

// TestWatermarkKeys: what keygen and commit write, print and refuse to overwrite.
func TestWatermarkKeys(t *testing.T) {
	dir := markFolder(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("sesame\n"), 0o600))
	t.Setenv("TRUSTBOOK_TEST_SECRET", "sesame")
	options := mark("keygen", "--owner", "Acme Ltd", "--shape", "1,28,28", "--target", "2", "--bits", "40", "--carriers", "200")
	one := trustbook(t, dir, append(options, "--secret-file", "secret", "--out", "one", "--json")...)
	require.Equal(t, fine, one.status, one.stderr)
	requireKeys(t, one.stdout, "out", "shape", "target", "bits", "carriers", "notes")
	require.Equal(t, fine, trustbook(t, dir, append(options, "--secret-from", "TRUSTBOOK_TEST_SECRET", "--out", "two")...).status)
	require.Equal(t, fine, trustbook(t, dir, append(options, "--out", "chance")...).status)
	first, err := os.ReadFile(filepath.Join(dir, "one"))
	require.NoError(t, err)
	second, err := os.ReadFile(filepath.Join(dir, "two"))
	require.NoError(t, err)
	require.Equal(t, first, second)
	third, err := os.ReadFile(filepath.Join(dir, "chance"))
	require.NoError(t, err)
	require.NotEqual(t, first, third)
	info, err := os.Stat(filepath.Join(dir, "one"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	got := trustbook(t, dir, mark("commit", "--key", "one", "--model", "m.onnx", "--out", "commitment", "--json")...)
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "hash", "weights", "out")
	require.NotContains(t, got.stdout, "nonce")
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{append(options, "--out", "one"), []string{"--out one: is there already"}},
		{append(options, "--out", "absent/k"), []string{"there is no folder absent"}},
		{with(append(options, "--out", "k"), "--carriers", "800"), []string{"keygen: 800 carriers exceed 784 inputs"}},
		{with(append(options, "--out", "k"), "--carriers", "I.npy"), []string{"--carriers I.npy: want a whole number"}},
		{with(with(append(options, "--out", "k"), "--carriers", "128"), "--bits", "512"),
			[]string{"512 bits on 128 carriers: attainable with probability"}},
		{with(append(options, "--out", "k"), "--shape", "1,x"), []string{"--shape 1,x"}},
		{with(append(options, "--out", "k"), "--target", "-1"), []string{"target -1"}},
		{append(options, "--out", "k", "--secret-from", "TRUSTBOOK_NOT_SET"), []string{"the environment variable is not set"}},
		{append(options, "--out", "k", "--secret-file", "nothing"), []string{"--secret-file nothing: cannot be read"}},
		{append(options, "--out", "k", "--signature", "W.npy"), []string{"--signature goes with --matrix"}},
		{with(append(slices.Clone(fromArrays), "--out", "k"), "--matrix", "x.npy"),
			[]string{"key: 40 bits in the signature, 6 rows in the matrix"}},
		{with(append(slices.Clone(fromArrays), "--out", "k"), "--matrix", "y.npy"), []string{"--matrix y.npy"}},
		{with(append(slices.Clone(fromArrays), "--out", "k"), "--signature", "y.npy"),
			[]string{"--signature y.npy: value at row 2 is neither 0 nor 1"}},
		{append(slices.Clone(fromArrays), "--out", "k", "--bits", "9"), []string{"--bits does not go with --matrix"}},
		{mark("commit", "--key", "one", "--out", "commitment"), []string{"--out commitment: is there already"}},
		{mark("commit", "--key", "x.npy", "--out", "c"), []string{"--key x.npy"}},
		{mark("commit", "--key", "one", "--model", "x.npy", "--out", "c"), []string{"--model x.npy"}},
	} {
		t.Run(c.words[0], func(t *testing.T) { fails(t, dir, command(dir, c.args...), wrongUse, c.words...) })
	}
	few := trustbook(t, dir, append(with(options, "--bits", "16"), "--out", "few")...)
	require.Equal(t, fine, few.status, few.stderr)
	require.Contains(t, few.stdout, "Note: 16 bits cannot give p < 1e-09")
}

// TestWatermarkVerify: a key that was read off a model is marked, and no evidence; a committed one is registered; another key is
// not shown, with status 1. Nothing of a key is printed.
func TestWatermarkVerify(t *testing.T) {
	dir := markFolder(t)
	forged(t, dir)
	args := mark("verify", "--model", "m.onnx", "--key", "key", "--inputs", "x.npy", "--samples", "6", "--step-size", "0.05")
	got := trustbook(t, dir, append(args, "--json")...)
	require.Equal(t, fine, got.status, got.stderr+got.stdout)
	requireKeys(t, got.stdout, "errors", "decided", "ber", "p_value", "queries", "verdict", "registered", "commitment", "level",
		"seed", "backend", "notes")
	var v watermark.Verdict
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &v))
	require.Equal(t, watermark.Marked, v.Result)
	require.Equal(t, 480, v.Queries)
	require.Equal(t, "unregistered: p is not evidence", v.Commitment)
	k, err := watermark.ReadKey(filepath.Join(dir, "key"))
	require.NoError(t, err)
	carriers, err := json.Marshal(k.Carriers[:3])
	require.NoError(t, err)
	compact := strings.Join(strings.Fields(got.stdout+got.stderr), "")
	require.NotContains(t, compact, strings.Trim(string(carriers), "[]"))
	require.NotContains(t, compact, "bits")

	require.Equal(t, fine, trustbook(t, dir, mark("commit", "--key", "key", "--out", "commitment")...).status)
	words := trustbook(t, dir, append(args, "--commitment", "commitment")...)
	require.Equal(t, fine, words.status, words.stderr)
	require.Contains(t, words.stdout, "marked")
	require.NotContains(t, words.stdout, "unregistered")
	strict := trustbook(t, dir, append(args, "--level", "8e-25")...)
	require.Equal(t, failed, strict.status)
	require.Contains(t, strict.stdout, "not shown")
	require.Regexp(t, `(?s)^[^\n]*verify`, strict.stderr+"verify", "no error but the bar's lines")

	options := mark("keygen", "--shape", "1,28,28", "--target", "2", "--out", "other")
	require.Equal(t, fine, trustbook(t, dir, options...).status)
	other := trustbook(t, dir, with(args, "--key", "other")...)
	require.Equal(t, failed, other.status)
	require.Contains(t, other.stdout, "not shown")

	require.NoError(t, os.Chmod(filepath.Join(dir, "other"), 0o644))
	color, err := watermark.NewKey([]byte("x"), "", watermark.KeyOptions{Shape: []int{3, 32, 32}})
	require.NoError(t, err)
	require.NoError(t, color.Write(filepath.Join(dir, "color")))
	for _, c := range []struct {
		flag, value string
		words       []string
	}{
		{"--labels", "y.npy", []string{"verify: input 0 has label 0; key's target is 2"}},
		{"--key", "other", []string{"--key other: mode 0644; run chmod 600 other"}},
		{"--key", "absent", []string{"--key absent: no such file"}},
		{"--key", "m.onnx", []string{"--key m.onnx: is no key file"}},
		{"--key", "color", []string{"key: made for [3 32 32]", "[1 28 28]"}},
		{"--queries", "100", []string{"verify: 40 bits x 6 images x 2 = 480 queries exceed budget 100"}},
		{"--queries", "0", []string{"--queries 0"}},
		{"--samples", "7", []string{"verify: 7 images wanted, 6 given"}},
		{"--estimator", "magic", []string{"--estimator magic: want directional, forward"}},
		{"--step-size", "0", []string{"--step-size 0"}},
		{"--level", "1", []string{"--level 1"}},
		{"--commitment", "absent", []string{"--commitment absent"}},
		{"--journal", "x.npy", []string{"--journal x.npy: is the file of --inputs"}},
		{"--url", "http://localhost:1", []string{"--model and --url: give one of them"}},
		{"--rate", "3", []string{"--rate: is for a model behind --url"}},
	} {
		t.Run(c.flag+c.value, func(t *testing.T) { fails(t, dir, command(dir, with(args, c.flag, c.value)...), wrongUse, c.words...) })
	}
}

// TestWatermarkRemote: a verification by HTTP that was killed goes on, asks nothing twice, and reports what the server counted.
func TestWatermarkRemote(t *testing.T) {
	dir := markFolder(t)
	forged(t, dir)
	m, err := onnx.Load(filepath.Join(dir, "m.onnx"), onnx.Options{Upper: 1})
	require.NoError(t, err)
	e, err := openEngine("")
	require.NoError(t, err)
	defer e.Close()
	end, err := watermark.ModelEndpoint(e, m, 1)
	require.NoError(t, err)
	s := &oip.Server{Name: "digits", Shape: []int{1, 28, 28}, Answers: "probabilities",
		Trouble: oip.Troubles("none slow none drop none none slow none none none"), Scores: nil}
	s.Scores = func(x []float32) []float32 { return logitsOf(t, end, x) }
	server := httptest.NewServer(s)
	defer server.Close()
	args := mark("verify", "--url", server.URL, "--model-name", "digits", "--key", "key", "--inputs", "x.npy", "--samples", "6",
		"--step-size", "0.05", "--batch-size", "8", "--concurrency", "1", "--journal", "j", "--json")
	c := command(dir, args...)
	var stderr strings.Builder
	c.Stderr = &stderr
	require.NoError(t, c.Start())
	require.Eventually(t, func() bool { return s.Counts().Answered > 60 }, 20*time.Second, time.Millisecond)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.Error(t, c.Wait())
	require.Contains(t, stderr.String(), "trustbook: stopped; to go on from here: trustbook watermark verify")
	require.Less(t, s.Counts().Answered, 480)

	got := trustbook(t, dir, args...)
	require.Equal(t, fine, got.status, got.stderr+got.stdout)
	requireKeys(t, got.stdout, "verdict", "queries", "endpoint.name", "endpoint.answers", "endpoint.asked.rows")
	var v watermark.Verdict
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &v))
	require.Equal(t, 480, v.Queries)
	require.Equal(t, 480, s.Counts().Answered)
	require.Zero(t, s.Counts().Twice)
	require.Equal(t, watermark.Marked, v.Result)
	fails(t, dir, command(dir, with(args, "--url", "localhost")...), wrongUse, "want http://HOST:PORT")
	fails(t, dir, command(dir, with(args, "--query-budget", "0")...), wrongUse, "--query-budget 0")
}

// logitsOf are logits of what an endpoint answers.
func logitsOf(t *testing.T, e watermark.Endpoint, x []float32) []float32 {
	p, err := e.Probabilities(t.Context(), tensors.FromFlatDataAndDimensions(x, 1, 1, 28, 28))
	if err != nil {
		panic(err)
	}
	z := tensors.MustCopyFlatData[float32](p)
	for i, v := range z {
		z[i] = logOf(v)
	}
	return z
}

func logOf(p float32) float32 { return float32(math.Log(max(float64(p), 1e-30))) }

// TestWatermarkEmbed: a model goes in, the same with other weights comes out; a run that was finished is found again.
func TestWatermarkEmbed(t *testing.T) {
	dir := markFolder(t)
	require.Equal(t, fine, trustbook(t, dir, append(slices.Clone(fromArrays), "--out", "key")...).status)
	saveArray(t, filepath.Join(dir, "more.npy"), blobs(20), 20, 1, 28, 28)
	labels := make([]int64, 20)
	for i := range labels {
		labels[i] = int64(i % 5)
	}
	saveArray(t, filepath.Join(dir, "labels.npy"), labels, 20)
	args := mark("embed", "--key", "key", "--model", "m.onnx", "--inputs", "more.npy", "--labels", "labels.npy", "--batch-size", "10",
		"--target-per-batch", "2", "--phase", "6,0.001,0.3", "--phase", "2,0.001,0", "--state", "kept", "--out", "m2.onnx")
	got := trustbook(t, dir, append(args, "--json")...)
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "before.accuracy", "after.target_accuracy", "after.errors", "after.decided", "after.p_value", "out", "seed",
		"backend", "notes")
	first, err := os.ReadFile(filepath.Join(dir, "m2.onnx"))
	require.NoError(t, err)
	source, err := os.ReadFile(filepath.Join(dir, "m.onnx"))
	require.NoError(t, err)
	require.NotEqual(t, source, first)
	words := trustbook(t, dir, with(args, "--out", "m3.onnx")...)
	require.Equal(t, fine, words.status, words.stderr)
	require.Contains(t, words.stdout, "Marked model: m3.onnx")
	second, err := os.ReadFile(filepath.Join(dir, "m3.onnx"))
	require.NoError(t, err)
	require.Equal(t, first, second)
	for _, c := range []struct {
		flag, value string
		words       []string
	}{
		{"--out", "m.onnx", []string{"--out m.onnx: is the file of --model"}},
		{"--phase", "6", []string{"--phase 6: want STEPS,RATE,LAMBDA"}},
		{"--phase", "6,0,1", []string{"--phase 6,0,1"}},
		{"--method", "magic", []string{"--method magic"}},
		{"--step-size", "-1", []string{"--step-size -1"}},
		{"--batch-size", "30", []string{"embed: 4 images of class 2 and 16 others: batches take 2 and 28"}},
		{"--labels", "two.npy", []string{"6 labels for 20"}},
	} {
		t.Run(c.flag+c.value, func(t *testing.T) { fails(t, dir, command(dir, with(args, c.flag, c.value)...), wrongUse, c.words...) })
	}
}
