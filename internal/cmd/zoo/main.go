// Command zoo has networks of torchvision, timm, Keras and scikit-learn exported, and looks at what the ONNX importer makes of
// them: logits beside ONNX Runtime's, input gradients beside PyTorch's, time and memory to the first step.
//
//	zoo --python .bench/bin/python --out docs/models.md
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
)

// about is what the exporting side says of a network.
type about struct {
	Name, Exporter string
	TorchSeconds   float64 `json:"torch_seconds"`
	TorchGradient  float64 `json:"torch_gradient"` // difference of its gradient in single precision from that in double
}

// row is a line of the table.
type row struct {
	About   about
	Outcome outcome
	Export  string   // why there is no file
	Double  *outcome // of the network in double precision, where it differs in single precision
}

const script = "internal/cmd/zoo/zoo.py"

func main() {
	python := flag.String("python", ".bench/bin/python", "a Python that make bench-python made")
	out := flag.String("out", "docs/models.md", "the page to write")
	only := flag.String("only", "", "names that hold this, of one or both exporters: resnet18, timm/, dynamo")
	state := flag.String("state", "results/zoo", "folder of outcomes, so that what was done is not done again")
	folder := flag.String("check", "", "check the network in this folder and print the outcome as JSON")
	note := flag.String("note", "", "a sentence for the page: what else was so when it was measured")
	again := flag.Bool("again", false, "measure anew what was measured before, but compare nothing more in double precision")
	kept := flag.Bool("kept", false, "write the page of the outcomes that there are, and check nothing new")
	flag.Parse()
	do := func() error { return run(*python, *out, *only, *state, *note, *kept, *again) }
	if *folder != "" {
		do = func() error { return printOutcome(*folder) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "zoo:", err)
		os.Exit(1)
	}
}

func run(python, out, only, state, note string, kept, again bool) error {
	list, err := exec.Command(python, script, "list").Output()
	if err != nil {
		return errors.Wrapf(err, "%s %s list: want a Python that `make bench-python` made", python, script)
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return errors.WithStack(err)
	}
	var rows []row
	for line := range strings.Lines(string(list)) {
		name, exporter, _ := strings.Cut(strings.TrimSpace(line), " ")
		path := filepath.Join(state, strings.ReplaceAll(name, "/", "-")+"-"+exporter+".json")
		if !strings.Contains(line, only) {
			continue
		}
		r, err := before(path)
		if kept && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if !kept {
			r, err = one(python, name, exporter, path, again)
		}
		if err != nil {
			return err
		}
		fmt.Println(r.line())
		rows = append(rows, r)
	}
	return write(out, note, rows)
}

// one exports and checks a network, or reads what came of it before. Where it differs in single precision, the same
// network in double precision tells whether rounding is why.
func one(python, name, exporter, path string, again bool) (r row, err error) {
	if r, err = before(path); errors.Is(err, fs.ErrNotExist) || err == nil && again {
		r.About = about{Name: name, Exporter: exporter}
		r.Export, r.Outcome, err = exported(python, &r.About, "single")
	}
	if err == nil && !again && r.Export == "" && r.Outcome.Refusal == "" && !r.Outcome.near() && r.Double == nil {
		again := r.About
		failed, o, problem := exported(python, &again, "double")
		if failed != "" {
			o.Refusal = failed
		}
		r.Double, err = &o, problem
	}
	if err != nil {
		return r, err
	}
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return r, errors.WithStack(err)
	}
	return r, errors.WithStack(renameio.WriteFile(path, b, 0o600))
}

// before is what came of a network before.
func before(path string) (r row, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return r, errors.WithStack(err)
	}
	return r, errors.Wrap(json.Unmarshal(b, &r), path)
}

// exported exports a network of that precision and checks the file, if there is one.
func exported(python string, a *about, precision string) (failed string, o outcome, err error) {
	dir, err := os.MkdirTemp("", "zoo-")
	if err != nil {
		return "", o, errors.WithStack(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	said, err := exec.CommandContext(ctx, python, script, "export", a.Name, a.Exporter, dir, precision).CombinedOutput()
	if err != nil {
		return lastLine(string(said), err), o, nil
	}
	b, err := os.ReadFile(filepath.Join(dir, "about.json"))
	if err != nil {
		return "", o, errors.WithStack(err)
	}
	if err := json.Unmarshal(b, a); err != nil {
		return "", o, errors.Wrap(err, "about.json")
	}
	return "", inProcess(dir), nil
}

// inProcess checks a network in a process of its own, whose memory is the network's, for ten minutes at most.
func inProcess(dir string) (o outcome) {
	self, err := os.Executable()
	if err != nil {
		return outcome{Refusal: err.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, self, "--check", dir)
	var said strings.Builder
	c.Stderr = &said
	b, err := c.Output()
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	switch {
	case ctx.Err() != nil:
		return outcome{Refusal: "not done after ten minutes"}
	case err != nil:
		return outcome{Refusal: lastLine(said.String(), err)}
	}
	return o
}

// lastLine is the last line of what a process said before it ended with this error.
func lastLine(said string, err error) string {
	said = strings.TrimSpace(said)
	if said == "" {
		return err.Error()
	}
	return said[strings.LastIndex(said, "\n")+1:]
}
