package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smoke is the run that is killed: small enough to be killed often, with training in two phases, and every attack and bound.
func smoke(out string) []string {
	return []string{"replicate", "robust/joint", "--scale", "smoke", "--set", "train=256", "--set", "test=40", "--set", "hidden=[16]",
		"--set", `methods=["Standard","Reg"]`, "--set", "verify_random=50", "--seeds", "3", "--backend", testBackend(), "--out", out}
}

// undisturbedOut is the output folder of undisturbed, below its folder.
const undisturbedOut = "results/robust-joint"

// undisturbedRun is a smoke run from start to end, with --json.
type undisturbedRun struct {
	ended
	dir string
}

var theUndisturbed *undisturbedRun

// undisturbed runs once for all tests. They must not change its folder.
func undisturbed(t *testing.T) undisturbedRun {
	t.Helper()
	if theUndisturbed == nil {
		r := &undisturbedRun{dir: filepath.Join(filepath.Dir(program), "undisturbed")}
		require.NoError(t, os.Mkdir(r.dir, 0o700))
		r.ended = trustbook(t, r.dir, append(smoke(undisturbedOut), "--json")...)
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

// killedAtChange runs a call and kills it as soon as it has come a stage further, in out; it tells whether the call ended first.
func killedAtChange(t *testing.T, dir, out string, args ...string) (ended bool) {
	t.Helper()
	c := command(dir, args...)
	var stderr bytes.Buffer
	c.Stderr, c.Stdout = &stderr, io.Discard
	before := stage(out)
	require.NoError(t, c.Start())
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	for {
		select {
		case err := <-done:
			require.NoError(t, err, stderr.String())
			return true
		case <-time.After(time.Millisecond):
			if stage(out) != before {
				require.NoError(t, c.Process.Kill())
				return <-done == nil
			}
		}
	}
}

// stage says how far a run has come: how much of the work is kept, and which results are there.
func stage(out string) string {
	var text strings.Builder
	for _, pattern := range []string{"state/fit-*", "state/joint-*", "tables/*", "figures/*", "*.json"} {
		found, _ := filepath.Glob(filepath.Join(out, pattern))
		if !strings.HasPrefix(pattern, "state/") { // written in a moment
			found = found[:min(len(found), 1)]
		}
		fmt.Fprintf(&text, "%s: %d ", pattern, len(found))
	}
	return text.String()
}

// Killed whenever it has come a stage further, a run goes on and ends with the bytes of an undisturbed one; Ctrl-C in between
// does no harm.
func TestReplicateResumes(t *testing.T) {
	dir := t.TempDir()
	first := undisturbed(t)
	want := results(t, filepath.Join(first.dir, undisturbedOut))
	for _, name := range []string{"result.json", "claims.json", "report.html"} {
		require.NotEmpty(t, want[name])
		require.NotContains(t, want[name], first.dir, "no paths in results")
	}

	out, killed := filepath.Join(dir, "killed"), 0
	for ; !killedAtChange(t, dir, out, smoke("killed")...); killed++ {
		t.Logf("killed with %s", stage(out))
		require.Less(t, killed, 30, "no end to it")
		for name, data := range results(t, out) { // what is there is whole
			if !strings.HasPrefix(filepath.Base(name), ".") { // a temporary file may stay, under another name
				assert.True(t, want[name] == data, "%s is half-written", name)
			}
		}
		if killed == 0 { // Ctrl-C is one of the ways to stop
			stoppedAtChange(t, dir, "killed")
		}
	}
	require.GreaterOrEqual(t, killed, 4, "two networks, two measurements and what is written of them")
	same(t, want, results(t, out))

	// The files alone, from finished work.
	for _, name := range []string{"result.json", "report.html", "claims.json", "tables"} {
		require.NoError(t, os.RemoveAll(filepath.Join(out, name)))
	}
	killedAtChange(t, dir, out, smoke("killed")...)
	last := trustbook(t, dir, smoke("killed")...)
	require.Equal(t, fine, last.status, last.stderr)
	same(t, want, results(t, out))
}

// stoppedAtChange runs a smoke run and sends it Ctrl-C when it has come a stage further.
func stoppedAtChange(t *testing.T, dir, out string) {
	t.Helper()
	c := command(dir, smoke(out)...)
	var stderr bytes.Buffer
	c.Stderr, c.Stdout = &stderr, io.Discard
	before := stage(filepath.Join(dir, out))
	require.NoError(t, c.Start())
	for deadline := time.Now().Add(5 * time.Minute); stage(filepath.Join(dir, out)) == before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	require.NoError(t, c.Process.Signal(syscall.SIGINT)) // a process that is not waited for takes signals even if it ended
	require.Error(t, c.Wait(), "there was work left")
	require.Equal(t, failed, c.ProcessState.ExitCode(), stderr.String())
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	require.Equal(t, `trustbook: stopped; to go on from here: trustbook replicate robust/joint --scale smoke --set train=256 --set test=40 `+
		`--set 'hidden=[16]' --set 'methods=["Standard","Reg"]' --set verify_random=50 --seeds 3 `+
		`--backend `+testBackend()+` --out `+out, lines[len(lines)-1])
	require.NotContains(t, strings.Join(lines[:len(lines)-1], "\n"), "stopped;", "said once")
	require.NoFileExists(t, filepath.Join(dir, out, "result.json"))
}
