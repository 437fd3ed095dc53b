package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/internal/ipynb"
)

// execution runs notebooks through Jupyter.
type execution struct {
	scale   string
	timeout time.Duration // for one cell
	out     string        // keeps executed notebooks where not ""
}

// scales are the values of SCALE that notebooks know.
var scales = []string{"smoke", "quick", "paper"}

// verified executes a notebook from clean and returns what came out, with everything that is wrong with it.
func (e *execution) verified(ctx context.Context, file string) (*ipynb.Notebook, []ipynb.Problem, error) {
	if !slices.Contains(scales, e.scale) {
		return nil, nil, fmt.Errorf("scale %q: want one of %s", e.scale, strings.Join(scales, ", "))
	}
	if e.timeout < time.Second {
		return nil, nil, fmt.Errorf("timeout %v: want at least 1s", e.timeout)
	}
	committed, _, problems, err := read(file)
	if err != nil || problems != nil {
		return nil, problems, err
	}
	dir := e.out
	if dir == "" {
		if dir, err = os.MkdirTemp("", "nbcheck-*"); err != nil {
			return nil, nil, err
		}
		defer os.RemoveAll(dir)
	}
	// Errors do not stop the run, for Jupyter then writes no notebook, and what the compiler said is lost.
	// The shorthand --coalesce-streams would write in place, into the notebook that is being checked.
	err = jupyter(ctx, []string{"SCALE=" + e.scale}, "nbconvert", "--to", "notebook", "--execute", "--allow-errors",
		fmt.Sprintf("--ExecutePreprocessor.timeout=%d", int(e.timeout.Seconds())),
		"--CoalesceStreamsPreprocessor.enabled=True", "--output-dir", dir, file)
	if failed := new(jupyterError); errors.As(err, &failed) {
		return nil, []ipynb.Problem{{What: failed.Error()}}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	executed, _, problems, err := read(filepath.Join(dir, filepath.Base(file)))
	if err != nil || problems != nil {
		return nil, problems, err
	}
	return executed, ipynb.Verify(executed, committed), nil
}

// renderFile writes a notebook as a page of HTML.
func renderFile(ctx context.Context, file, page string, dark bool) error {
	dir, err := os.MkdirTemp("", "nbcheck-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args := []string{"nbconvert", "--to", "html", "--output-dir", dir, "--output", "page"}
	if dark {
		args = append(args, "--theme", "dark")
	}
	if err := jupyter(ctx, nil, append(args, file)...); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, "page.html"))
	if err != nil {
		return err
	}
	return renameio.WriteFile(page, data, 0o644)
}

// jupyterError is a run of Jupyter that failed.
type jupyterError struct{ last string }

func (e *jupyterError) Error() string { return "jupyter failed: " + e.last }

// jupyter runs the checkout's Jupyter, else the one on the PATH, and stops all of it, kernel included, with ctx.
func jupyter(ctx context.Context, env []string, args ...string) error {
	program := filepath.Join(engine.ProjectRoot(), ".venv", "bin", "jupyter")
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath("jupyter"); err != nil {
			return errors.New("jupyter is not installed: run `make setup`")
		}
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return &jupyterError{fmt.Sprintf("%v: %s", err, strings.Join(lines[max(0, len(lines)-12):], "\n"))}
	}
	return nil
}
