// Command checkall runs every check of the checkout that it is started in: formatting and lint, the Go tests, and the
// notebooks from clean at smoke scale. It prints what failed, and ends with the count of everything that was tried:
// every linter, every Go test and subtest, every notebook.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// count is what the last line says.
type count struct{ passed, failed, skipped int }

func (c count) String() string {
	line := fmt.Sprintf("%d passed, %d failed", c.passed, c.failed)
	if c.skipped > 0 {
		line += fmt.Sprintf(", %d skipped", c.skipped)
	}
	return line
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	keepPrograms()
	var total count
	lint(ctx, &total)
	goTests(ctx, &total)
	notebooks(ctx, &total)
	if ctx.Err() != nil {
		total.failed++
		fmt.Println("interrupted")
	}
	stop()
	fmt.Println(total)
	if total.failed > 0 || total.passed == 0 {
		os.Exit(1)
	}
}

// keepPrograms has all tests and notebooks share what XLA compiles, where the user set nothing else: some thirty programs start, and
// each cell of a notebook is one more. It is the user's folder, also for notebooks, which run with a cache of their own; and it is the
// same at each run, so that Go knows the results of tests again.
func keepPrograms() {
	const variable = "TRUSTBOOK_PROGRAMS" // engine.ProgramsEnv, without all that engine brings
	cache, err := os.UserCacheDir()
	if os.Getenv(variable) == "" && err == nil {
		os.Setenv(variable, filepath.Join(cache, "trustbook", "programs"))
	}
}

// outcome is what came of one check, and the lines that tell it.
type outcome struct {
	passed bool
	text   string
}

// check runs a program that is one check: it passes with exit status 0, and where quiet with no output besides.
func check(ctx context.Context, name string, quiet bool, program string, args ...string) outcome {
	start := time.Now()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	took := time.Since(start).Round(100 * time.Millisecond)
	if err == nil && (!quiet || len(bytes.TrimSpace(out)) == 0) {
		return outcome{true, fmt.Sprintf("ok    %s (%s)\n", name, took)}
	}
	text := fmt.Sprintf("FAIL  %s (%s)\n%s", name, took, indent(string(out)))
	if err != nil {
		text += fmt.Sprintf("      %v\n", err)
	}
	return outcome{false, text}
}

// add counts and prints an outcome.
func (c *count) add(o outcome) {
	if o.passed {
		c.passed++
	} else {
		c.failed++
	}
	fmt.Print(o.text)
}

// step is a check that nothing else runs beside.
func (c *count) step(ctx context.Context, name string, quiet bool, program string, args ...string) {
	if ctx.Err() == nil {
		c.add(check(ctx, name, quiet, program, args...))
	}
}

func lint(ctx context.Context, total *count) {
	goCommand := goProgram()
	files, err := goFiles()
	if err != nil {
		total.failed++
		fmt.Println("FAIL  list of Go files:", err)
		return
	}
	total.step(ctx, "gofmt", true, "gofmt", append([]string{"-l"}, files...)...)
	total.step(ctx, "go mod verify", false, goCommand, "mod", "verify")
	total.step(ctx, "go vet", false, goCommand, "vet", "./...")
	total.step(ctx, "staticcheck", false, filepath.Join(".tools", "staticcheck"), "./...")
	total.step(ctx, "golangci-lint", false, filepath.Join(".tools", "golangci-lint"), "run", "./...")
}

// goFiles lists the checkout's Go files; hidden folders hold what is not ours.
func goFiles() ([]string, error) {
	var files []string
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return nil
	})
	return files, err
}

// notebooks executes each at smoke scale, two at a time: most of it is compiling cells, which leaves a core idle.
func notebooks(ctx context.Context, total *count) {
	files, _ := filepath.Glob(filepath.Join("notebooks", "*.ipynb"))
	if len(files) == 0 {
		total.failed++
		fmt.Println("FAIL  notebooks: there is none")
	}
	turns, outcomes := make(chan struct{}, 2), make(chan outcome)
	for _, file := range files {
		go func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			outcomes <- check(ctx, file, false, filepath.Join("bin", "nbcheck"), "run", "--scale", "smoke", file)
		}()
	}
	for range files {
		if o := <-outcomes; ctx.Err() == nil {
			total.add(o)
		}
	}
}

func goProgram() string {
	if program := os.Getenv("GO"); program != "" {
		return program
	}
	return "go"
}

func indent(text string) string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return ""
	}
	return "      " + strings.ReplaceAll(text, "\n", "\n      ") + "\n"
}
