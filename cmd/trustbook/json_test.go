package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// keys are those of every object in a JSON text, by path: "[].name", "checks[].ok".
func keys(t *testing.T, text string) map[string]bool {
	t.Helper()
	var value any
	require.NoError(t, json.Unmarshal([]byte(text), &value), text)
	found := map[string]bool{}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for key, inner := range v {
				assert.Regexp(t, snake, key)
				at := key
				if path != "" {
					at = path + "." + key
				}
				found[at] = true
				walk(at, inner)
			}
		case []any:
			for _, inner := range v {
				walk(path+"[]", inner)
			}
		}
	}
	walk("", value)
	return found
}

// requireKeys checks that keys are there, and that all that are there stand in the documentation; settings are the paper's.
func requireKeys(t *testing.T, text string, want ...string) {
	t.Helper()
	found := keys(t, text)
	documentation, err := os.ReadFile(filepath.Join(home, "docs", "cli.md"))
	require.NoError(t, err)
	for path := range found {
		if !strings.HasPrefix(path, "config.") && !strings.HasPrefix(path, "versions.") {
			key := path[strings.LastIndex(path, ".")+1:]
			assert.Contains(t, string(documentation), "`"+key+"`", "undocumented key %s", path)
		}
	}
	for _, key := range want {
		require.True(t, found[key], "no %s in %s", key, text)
	}
}

func TestJSON(t *testing.T) {
	dir, attackArgs := attackFolder(t)

	got := trustbook(t, dir, "list", "--json")
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "[].id", "[].slug", "[].title", "[].package", "[].notebook", "[].claims")

	got = trustbook(t, dir, "data", "list", "--json")
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "[].name", "[].what", "[].source", "[].bytes", "[].files", "[].available", "[].where")
	var sets []struct {
		Name      string
		Files     []string
		Available bool
	}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &sets))
	for _, s := range sets {
		require.NotNil(t, s.Files, "%s: files must be a list", s.Name)
		if s.Name == "mnist" || s.Name == "glyphs" {
			require.True(t, s.Available, s.Name)
		}
	}

	got = trustbook(t, dir, "doctor", "--json")
	requireKeys(t, got.stdout, "ok", "checks[].name", "checks[].ok", "checks[].found", "checks[].fix")
	var doctor struct {
		OK     bool
		Checks []struct{ OK bool }
	}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &doctor))
	all := true
	for _, c := range doctor.Checks {
		all = all && c.OK
	}
	require.Equal(t, all, doctor.OK)
	require.Equal(t, map[bool]int{true: fine, false: failed}[all], got.status)
	require.Empty(t, got.stderr)

	got = trustbook(t, dir, append(attackArgs, "--json")...)
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "clean_accuracy", "robust_accuracy", "success_rate", "median_norm", "max_norm", "queries_per_example",
		"seconds", "backend", "seed", "checks", "checks[].name", "attack", "norm", "epsilon", "examples", "attacked", "notes")
	require.Equal(t, []any{}, notesIn(t, got.stdout))

	got = trustbook(t, dir, "weights", "--model", "m.onnx", "--inputs", "x.npy", "--labels", "y.npy",
		"--epsilon", "0.001", "--steps", "2", "--draws", "2", "--bits", "8,3", "--json")
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "clean_accuracy", "examples", "epsilon", "relative", "seed", "backend", "notes",
		"uncovered", "parts", "parts[].name", "parts[].weights", "parts[].random_accuracy", "parts[].attacked_accuracy",
		"parts[].certified_accuracy", "parts[].median_certified_margin",
		"quantized", "quantized[].bits", "quantized[].accuracy", "quantized[].attacked_accuracy", "quantized[].certified_accuracy")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "curve.csv"), []byte("magnitude,accuracy\n0,1\n0.5,0.75\n1,0.5\n"), 0o600))
	got = trustbook(t, dir, "score", "--curve", "curve.csv", "--json")
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "gi", "pal", "ideal", "pal_fractions", "points", "notes")
	got = trustbook(t, dir, "score", "--model", "m.onnx", "--inputs", "x.npy", "--labels", "y.npy",
		"--perturbations", "inter,noise", "--points", "3", "--out", "curves", "--json")
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "accuracy", "examples", "ideal", "pal_fractions", "seed", "backend",
		"scores", "scores[].perturbation", "scores[].layer", "scores[].gi", "scores[].pal", "scores[].magnitudes", "scores[].accuracies", "notes")
}

// notesIn are the notes of a JSON text.
func notesIn(t *testing.T, text string) []any {
	t.Helper()
	var out struct{ Notes []any }
	require.NoError(t, json.Unmarshal([]byte(text), &out))
	return out.Notes
}

// What is to be known of a model stands in the JSON of all three commands and in their text: here that it ends in a softmax.
func TestNotes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(home, "nets", "onnx", "testdata", "sdpa_new")
	args := []string{"--model", path + ".onnx", "--inputs", path + "_x.npy", "--labels", path + "_y.npy",
		"--bounds", "-9,9", "--backend", "go"}
	for _, c := range [][]string{{"attack", "--attack", "fgsm", "--epsilon", "0.1"},
		{"weights", "--epsilon", "0.001", "--steps", "1", "--draws", "1", "--bits", "8"},
		{"score", "--points", "3", "--perturbations", "noise"}} {
		args := append(c, args...)
		got := trustbook(t, dir, append(args, "--json")...)
		require.Equal(t, fine, got.status, got.stderr)
		notes := notesIn(t, got.stdout)
		require.Len(t, notes, 1, c)
		require.Contains(t, notes[0], "ends in a softmax")
		got = trustbook(t, dir, args...)
		require.Equal(t, fine, got.status, got.stderr)
		require.Contains(t, got.stdout, "Note: "+notes[0].(string))
	}
}

// What replicate writes, what it prints with --json, and what list and the ledger make of it.
func TestReplicateFiles(t *testing.T) {
	first := undisturbed(t)
	dir, got := t.TempDir(), first.ended
	require.NoError(t, os.CopyFS(dir, os.DirFS(first.dir)))
	require.LessOrEqual(t, strings.Count(got.stderr, "\n"), 22, "the log is short: %s", got.stderr)
	claims, err := os.ReadFile(filepath.Join(dir, "results", "robust-joint", "claims.json"))
	require.NoError(t, err)
	var printed, saved bytes.Buffer
	require.NoError(t, json.Compact(&printed, []byte(got.stdout)))
	require.NoError(t, json.Compact(&saved, claims))
	require.Equal(t, saved.String(), printed.String())
	requireKeys(t, got.stdout, "[].id", "[].sentence", "[].verdict", "[].replicated_of", "[].parts",
		"[].measured", "[].compared_with", "[].interval", "[].seeds", "[].scale", "[].dataset", "[].n")

	result, err := os.ReadFile(filepath.Join(dir, "results", "robust-joint", "result.json"))
	require.NoError(t, err)
	requireKeys(t, string(result), "paper", "slug", "config", "versions", "versions.trustbook", "backend", "seeds", "tables", "figures")
	var r struct {
		Seeds           []int64
		Tables, Figures []string
	}
	require.NoError(t, json.Unmarshal(result, &r))
	require.Equal(t, []int64{3}, r.Seeds)
	for _, name := range append(r.Tables, r.Figures...) {
		require.FileExists(t, filepath.Join(dir, "results", "robust-joint", name))
	}
	require.NotEmpty(t, r.Tables)
	require.NotEmpty(t, r.Figures)

	got = trustbook(t, dir, smoke(undisturbedOut)...)
	require.Equal(t, fine, got.status, got.stderr)
	require.Contains(t, got.stdout, "Claims of arXiv 2102.11935")
	require.Contains(t, got.stdout, "Report: results/robust-joint/report.html")
	for line := range strings.Lines(got.stdout) {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 101, line)
	}

	got = trustbook(t, dir, "list", "--json")
	require.Equal(t, fine, got.status, got.stderr)
	requireKeys(t, got.stdout, "[].claims[].verdict")
	got = trustbook(t, dir, "list")
	require.Contains(t, got.stdout, "⬜⬜⬜⬜⬜")
	require.Contains(t, got.stdout, "5 not tested")

	t.Run("ledger", func(t *testing.T) {
		for _, args := range [][]string{
			{"--results", "results"}, {"--results", "results/robust-joint"}, {"results"}, {"--results", "results", "results/robust-joint"},
		} {
			got := trustbook(t, dir, append([]string{"ledger", "--out", "ledger.md"}, args...)...)
			require.Equal(t, fine, got.status, got.stderr)
			require.Equal(t, "Ledger: ledger.md\n", got.stdout)
			text, err := os.ReadFile(filepath.Join(dir, "ledger.md"))
			require.NoError(t, err)
			require.Contains(t, string(text), "# Replication ledger")
			require.Contains(t, string(text), "| ⬜&nbsp;1 ⬜&nbsp;2 ⬜&nbsp;3 ⬜&nbsp;4 ⬜&nbsp;5 | 0 | 0 | 0 | 0 | 5 |")
			require.Contains(t, string(text), "## 2102.11935 · robust/joint")
			require.Equal(t, string(text), trustbook(t, dir, append([]string{"ledger"}, args...)...).stdout)
		}
		fails(t, dir, command(dir, "ledger", "--out", "absent/ledger.md"), wrongUse, "absent")
		damaged := filepath.Join(dir, "damaged")
		require.NoError(t, os.Mkdir(damaged, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(damaged, "claims.json"), claims[:len(claims)/2], 0o600))
		fails(t, dir, command(dir, "ledger", "results", "damaged", "--out", "ledger.md"), failed, "damaged/claims.json")
	})
}
