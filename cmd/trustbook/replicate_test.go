package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smoke is the run that is killed: small enough for ten kills, with training in two phases, and every attack and bound.
func smoke(out string) []string {
	return []string{"replicate", "robust/joint", "--scale", "smoke", "--set", "train=256", "--set", "test=40", "--set", "hidden=[24,16]",
		"--set", `methods=["Standard","Reg"]`, "--set", "verify_random=50", "--seeds", "3", "--backend", testBackend(), "--out", out}
}

// testBackend is the one asked for, else the CPU, whose results are the same bytes each time.
func testBackend() string {
	if b := os.Getenv("GOMLX_BACKEND"); b != "" {
		return b
	}
	return "xla:cpu"
}

// results are the bytes of everything that a run shows, times left out.
func results(t *testing.T, out string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		name, _ := filepath.Rel(out, path)
		if err != nil || d.IsDir() || name == "run.json" || strings.HasPrefix(name, "state"+string(filepath.Separator)) {
			return err
		}
		data, err := os.ReadFile(path)
		files[name] = string(data)
		return err
	}))
	return files
}

func same(t *testing.T, want, got map[string]string) {
	t.Helper()
	for name := range want {
		assert.True(t, want[name] == got[name], "%s differs from that of the undisturbed run", name)
	}
	for name := range got {
		assert.Contains(t, want, name, "left behind")
	}
}

// killedAfter runs a call and kills it after a while; it tells whether the call ended first.
func killedAfter(t *testing.T, dir string, wait time.Duration, args ...string) (ended bool) {
	t.Helper()
	c := command(dir, args...)
	var stderr bytes.Buffer
	c.Stderr, c.Stdout = &stderr, io.Discard
	require.NoError(t, c.Start())
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err := <-done:
		require.NoError(t, err, stderr.String())
		return true
	case <-time.After(wait):
		require.NoError(t, c.Process.Kill())
		<-done
		return false
	}
}

// Killed at ten random moments, a run goes on and ends with the bytes of an undisturbed one; so does one stopped by Ctrl-C.
func TestReplicateResumes(t *testing.T) {
	dir := t.TempDir()
	start := time.Now()
	first := trustbook(t, dir, smoke("undisturbed")...)
	whole := time.Since(start)
	require.Equal(t, fine, first.status, first.stderr)
	require.Contains(t, first.stdout, "Report: undisturbed/report.html")
	require.LessOrEqual(t, strings.Count(first.stderr, "\n"), 22, "the log is short")
	want := results(t, filepath.Join(dir, "undisturbed"))
	for _, name := range []string{"result.json", "claims.json", "report.html"} {
		require.NotEmpty(t, want[name])
	}
	require.NotContains(t, want["result.json"], dir, "no paths in results")

	// What is killed late has done its work and is writing results, so such a run is begun anew without the work of the
	// earlier ones; the moments grow, so that every stage is hit.
	random := rand.New(rand.NewPCG(2102, 11935))
	out, killed := filepath.Join(dir, "killed"), 0
	for killed < 10 {
		share := (float64(killed) + random.Float64()) / 10
		if killedAfter(t, dir, time.Duration(share*0.6*float64(whole)), smoke("killed")...) {
			same(t, want, results(t, out))
			require.NoError(t, os.RemoveAll(out))
			continue
		}
		killed++
		for name, data := range results(t, out) { // what is there is whole
			if !strings.HasPrefix(filepath.Base(name), ".") { // a temporary file may stay, under another name
				assert.True(t, want[name] == data, "%s is half-written", name)
			}
		}
	}
	last := trustbook(t, dir, smoke("killed")...)
	require.Equal(t, fine, last.status, last.stderr)
	same(t, want, results(t, out))

	// The files alone, from finished work: killed between and within writes.
	for _, name := range []string{"result.json", "report.html", "claims.json"} {
		require.NoError(t, os.Remove(filepath.Join(out, name)))
	}
	start = time.Now()
	require.Equal(t, fine, trustbook(t, dir, smoke("killed")...).status)
	again := time.Since(start)
	same(t, want, results(t, out))
	for range 3 {
		require.NoError(t, os.RemoveAll(filepath.Join(out, "tables")))
		killedAfter(t, dir, time.Duration((0.3+0.7*random.Float64())*float64(again)), smoke("killed")...)
	}
	require.Equal(t, fine, trustbook(t, dir, smoke("killed")...).status)
	same(t, want, results(t, out))

	t.Run("Ctrl-C", func(t *testing.T) {
		c := command(dir, smoke("stopped")...)
		var stderr bytes.Buffer
		c.Stderr, c.Stdout = &stderr, io.Discard
		require.NoError(t, c.Start())
		time.Sleep(whole / 2)
		require.NoError(t, c.Process.Signal(syscall.SIGINT))
		require.Error(t, c.Wait())
		require.Equal(t, failed, c.ProcessState.ExitCode(), stderr.String())
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		require.Equal(t, `trustbook: stopped; to go on from here: trustbook replicate robust/joint --scale smoke --set train=256 --set test=40 --set 'hidden=[24,16]' `+
			`--set 'methods=["Standard","Reg"]' --set verify_random=50 --seeds 3 --backend `+testBackend()+` --out stopped`, lines[len(lines)-1])
		require.NotContains(t, strings.Join(lines[:len(lines)-1], "\n"), "stopped;")
		require.NoFileExists(t, filepath.Join(dir, "stopped", "result.json"))
		require.Equal(t, fine, trustbook(t, dir, smoke("stopped")...).status)
		same(t, want, results(t, filepath.Join(dir, "stopped")))
	})
}
