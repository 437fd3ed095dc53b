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
	return []string{"replicate", "robust/joint", "--scale", "smoke", "--set", "train=256", "--set", "test=40", "--set", "hidden=[16]",
		"--set", `methods=["Standard","Reg"]`, "--set", "verify_random=50", "--seeds", "3", "--backend", testBackend(), "--out", out}
}

// undisturbedOut is the output folder of undisturbed, below its folder.
const undisturbedOut = "results/robust-joint"

// undisturbedRun is a smoke run from start to end, with --json.
type undisturbedRun struct {
	ended
	dir  string
	took time.Duration
}

var theUndisturbed *undisturbedRun

// undisturbed runs once for all tests. They must not change its folder.
func undisturbed(t *testing.T) undisturbedRun {
	t.Helper()
	if theUndisturbed == nil {
		r := &undisturbedRun{dir: filepath.Join(filepath.Dir(program), "undisturbed")}
		require.NoError(t, os.Mkdir(r.dir, 0o700))
		start := time.Now()
		r.ended = trustbook(t, r.dir, append(smoke(undisturbedOut), "--json")...)
		r.took = time.Since(start)
		require.Equal(t, fine, r.status, r.stderr)
		theUndisturbed = r
	}
	return *theUndisturbed
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
	if _, err := os.Stat(out); os.IsNotExist(err) { // killed early
		return files
	}
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

// stage says how far a run has come: files in its folders, empty where there are none.
func stage(out string) map[string]int {
	count := map[string]int{}
	for _, pattern := range []string{"state/fit-*", "state/joint-*", "tables/*", "figures/*", "*.json"} {
		found, _ := filepath.Glob(filepath.Join(out, pattern))
		if len(found) > 0 {
			count[pattern] = len(found)
		}
	}
	return count
}

// Killed at ten random moments, a run goes on and ends with the bytes of an undisturbed one; Ctrl-C in between does no harm.
func TestReplicateResumes(t *testing.T) {
	dir := t.TempDir()
	first := undisturbed(t)
	whole := first.took
	want := results(t, filepath.Join(first.dir, undisturbedOut))
	for _, name := range []string{"result.json", "claims.json", "report.html"} {
		require.NotEmpty(t, want[name])
		require.NotContains(t, want[name], first.dir, "no paths in results")
	}

	// Every tenth of the time is hit once, in random order. A run that ends before its time has all its work done: it must
	// be right too, and its folder is begun anew.
	random := rand.New(rand.NewPCG(2102, 11935))
	out, killed := filepath.Join(dir, "killed"), 0
	tenths := random.Perm(10)
	stopped := false
	for killed < 10 {
		if killed == 4 && !stopped { // Ctrl-C is one of the ways to stop
			stopped = !stoppedAfter(t, dir, whole*3/10, "killed")
			require.True(t, stopped || os.RemoveAll(out) == nil)
			continue
		}
		share := 0.6 * (float64(tenths[killed]) + random.Float64()) / 10
		start, fresh := time.Now(), len(stage(out)) == 0
		if killedAfter(t, dir, time.Duration(share*float64(whole)), smoke("killed")...) {
			if fresh { // the machine has less to do than it had
				whole = time.Since(start)
			}
			t.Logf("ended before %.2f of the whole time, now %v", share, whole)
			same(t, want, results(t, out))
			require.NoError(t, os.RemoveAll(out))
			continue
		}
		killed++
		t.Logf("killed at %.2f of the whole time, %v", share, stage(out))
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
	start := time.Now()
	require.Equal(t, fine, trustbook(t, dir, smoke("killed")...).status)
	again := time.Since(start)
	same(t, want, results(t, out))
	for range 3 {
		require.NoError(t, os.RemoveAll(filepath.Join(out, "tables")))
		ended := killedAfter(t, dir, time.Duration((0.4+0.6*random.Float64())*float64(again)), smoke("killed")...)
		t.Logf("killed while writing: %v, %v", !ended, stage(out))
	}
	require.Equal(t, fine, trustbook(t, dir, smoke("killed")...).status)
	same(t, want, results(t, out))
}

// stoppedAfter runs a smoke run and sends it Ctrl-C after a while; it tells whether the run ended first.
func stoppedAfter(t *testing.T, dir string, wait time.Duration, out string) (ended bool) {
	t.Helper()
	c := command(dir, smoke(out)...)
	var stderr bytes.Buffer
	c.Stderr, c.Stdout = &stderr, io.Discard
	require.NoError(t, c.Start())
	time.Sleep(wait)
	require.NoError(t, c.Process.Signal(syscall.SIGINT)) // a process that is not waited for takes signals even if it ended
	if c.Wait() == nil {
		return true
	}
	require.Equal(t, failed, c.ProcessState.ExitCode(), stderr.String())
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	require.Equal(t, `trustbook: stopped; to go on from here: trustbook replicate robust/joint --scale smoke --set train=256 --set test=40 --set 'hidden=[16]' `+
		`--set 'methods=["Standard","Reg"]' --set verify_random=50 --seeds 3 --backend `+testBackend()+` --out `+out, lines[len(lines)-1])
	require.NotContains(t, strings.Join(lines[:len(lines)-1], "\n"), "stopped;", "said once")
	require.NoFileExists(t, filepath.Join(dir, out, "result.json"))
	return false
}
