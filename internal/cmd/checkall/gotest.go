package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// event is a line of `go test -json`, see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	Elapsed     float64
	ImportPath  string // of build-output: the package that does not build
	FailedBuild string // of a package's fail: what did not build
}

// slow is from how many seconds on a passed test is told: whoever adds one should see what it costs.
const slow = 20

// goTests runs every Go test, two packages at a time: the backend uses all cores by itself.
func goTests(ctx context.Context, total *count) {
	if ctx.Err() != nil {
		return
	}
	cmd := exec.CommandContext(ctx, goProgram(), "test", "-p", "2", "-timeout", "20m", "-json", "./...")
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		total.failed++
		fmt.Println("FAIL  go test:", err)
		return
	}
	before := total.failed
	failure := tally(events, os.Stdout, total)
	if err := cmd.Wait(); failure == nil && total.failed == before {
		failure = err // it failed without saying why in its events
	}
	if failure != nil {
		total.failed++
		fmt.Println("FAIL  go test:", failure)
	}
}

// tally counts the tests in a stream of events, prints a line for each package, and the output of what failed.
// A package that fails outside its tests, because it does not build, panics or runs out of time, counts as one.
func tally(events io.Reader, out io.Writer, total *count) error {
	type key struct{ pkg, test string }
	texts := map[key]*strings.Builder{}
	builds := map[string]*strings.Builder{}
	failed := map[string]int{} // failed tests by package
	ran := map[string]int{}
	text := func(m *strings.Builder) string {
		if m == nil {
			return ""
		}
		return m.String()
	}
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(out, "      %s", line)
			}
			k := key{e.Package, e.Test}
			switch e.Action {
			case "build-output":
				if builds[e.ImportPath] == nil {
					builds[e.ImportPath] = &strings.Builder{}
				}
				builds[e.ImportPath].WriteString(e.Output)
			case "output":
				if texts[k] == nil {
					texts[k] = &strings.Builder{}
				}
				texts[k].WriteString(e.Output)
			case "pass", "fail", "skip":
				switch {
				case e.Test == "" && e.Action == "fail":
					if failed[e.Package] == 0 {
						total.failed++
						fmt.Fprint(out, indent(text(builds[e.FailedBuild])+text(texts[k])))
					}
					fmt.Fprintf(out, "FAIL  %s\n", e.Package)
				case e.Test == "":
					if ran[e.Package] > 0 {
						fmt.Fprintf(out, "ok    %s: %d tests (%.1fs)\n", e.Package, ran[e.Package], e.Elapsed)
					}
				case e.Action == "pass":
					total.passed++
					ran[e.Package]++
					if e.Elapsed >= slow {
						fmt.Fprintf(out, "slow  %s %s (%.1fs)\n", e.Package, e.Test, e.Elapsed)
					}
				case e.Action == "skip":
					total.skipped++
					fmt.Fprintf(out, "skip  %s %s\n%s", e.Package, e.Test, indent(text(texts[k])))
				default:
					total.failed++
					failed[e.Package]++
					fmt.Fprintf(out, "FAIL  %s %s\n%s", e.Package, e.Test, indent(text(texts[k])))
				}
				delete(texts, k)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
