package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/internal/testengine"
)

// program is the binary under test, built once: users run processes, and what counts is what those leave behind.
var program, home string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "trustbook-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program, home = filepath.Join(dir, "trustbook"), engine.ProjectRoot()
		if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// command prepares a call in a folder, with the plugin of this checkout.
func command(dir string, args ...string) *exec.Cmd {
	c := exec.Command(program, args...)
	c.Dir = dir
	c.Env = testengine.Environment(append(os.Environ(), engine.HomeEnv+"="+home))
	if os.Getenv(engine.ProgramsEnv) == "" { // nothing of the user's is read or written
		c.Env = append(c.Env, engine.ProgramsEnv+"="+filepath.Join(filepath.Dir(program), "programs"))
	}
	return c
}

// ended is what a call left.
type ended struct {
	status         int
	stdout, stderr string
}

// end runs a call to its end.
func end(t *testing.T, c *exec.Cmd) ended {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return ended{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func trustbook(t *testing.T, dir string, args ...string) ended {
	t.Helper()
	return end(t, command(dir, args...))
}

// listing names every file and folder below a folder, with sizes.
func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size := info.Size()
		if d.IsDir() {
			size = 0
		}
		names = append(names, fmt.Sprintf("%s %d", path, size))
		return nil
	}))
	return names
}

// fails checks a call that must fail with one clear line and leave nothing behind.
func fails(t *testing.T, dir string, c *exec.Cmd, status int, words ...string) {
	t.Helper()
	before := listing(t, dir)
	got := end(t, c)
	require.Equal(t, status, got.status, "stderr: %s", got.stderr)
	require.Empty(t, got.stdout)
	require.Equal(t, 1, strings.Count(got.stderr, "\n"), "one line: %s", got.stderr)
	require.Regexp(t, `^trustbook: .*\n$`, got.stderr)
	require.NotContains(t, got.stderr, "goroutine")
	for _, word := range words {
		require.Contains(t, got.stderr, word)
	}
	require.Equal(t, before, listing(t, dir), "something was left behind")
}

// saveArray writes an NPY file as numpy.save does.
func saveArray[T float32 | float64 | int32 | int64](t *testing.T, path string, values []T, shape ...int) {
	t.Helper()
	var data bytes.Buffer
	require.NoError(t, binary.Write(&data, binary.LittleEndian, values))
	var zero T
	descr := map[string]string{"float32": "<f4", "float64": "<f8", "int32": "<i4", "int64": "<i8"}[fmt.Sprintf("%T", zero)]
	dims := ""
	for _, d := range shape {
		dims += fmt.Sprintf("%d, ", d)
	}
	if len(shape) > 1 {
		dims = strings.TrimSuffix(dims, ", ")
	} else {
		dims = strings.TrimSuffix(dims, " ")
	}
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, dims)
	head += strings.Repeat(" ", 63-(10+len(head))%64) + "\n"
	file := append([]byte("\x93NUMPY\x01\x00"), byte(len(head)), byte(len(head)>>8))
	file = append(append(file, head...), data.Bytes()...)
	require.NoError(t, os.WriteFile(path, file, 0o600))
}

// blobs are n images [1, 28, 28] of soft strokes, all alike on every machine.
func blobs(n int) []float32 {
	images := make([]float32, 0, n*28*28)
	for i := range n {
		cx, cy, r := 9+float64(i%5)*2, 8+float64(i%7)*2, 4+float64(i%3)*2
		for y := range 28 {
			for x := range 28 {
				d := math.Hypot(float64(x)-cx, float64(y)-cy) - r
				images = append(images, float32(math.Round(255*math.Exp(-d*d/3))/255))
			}
		}
	}
	return images
}
