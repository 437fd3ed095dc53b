// Command zoo has PyTorch export the networks of torchvision and timm, by both of its exporters, and looks at what the ONNX
// importer makes of them: logits beside ONNX Runtime's, input gradients beside PyTorch's, time and memory to the first step.
//
//	zoo --python .bench/bin/python --out docs/models.md
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pkg/errors"
)

// about is what the exporting side says of a network.
type about struct {
	Name, Exporter string
	Opset          int
	Parameters     int
	Side           int
	TorchSeconds   float64 `json:"torch_seconds"`
	TorchGradient  float64 `json:"torch_gradient"` // difference of its gradient in single precision from that in double
	Operators      []string
}

// row is a line of the table.
type row struct {
	About   about
	Outcome outcome
	Export  string // why there is no file
}

const script = "internal/cmd/zoo/zoo.py"

func main() {
	python := flag.String("python", ".bench/bin/python", "a Python with torch, torchvision, timm, onnxscript and onnxruntime")
	out := flag.String("out", "docs/models.md", "the page to write")
	only := flag.String("only", "", "names that hold this, of one or both exporters: resnet18, timm/, dynamo")
	state := flag.String("state", "results/zoo", "folder of outcomes, so that what was done is not done again")
	folder := flag.String("check", "", "check the network in this folder and print the outcome as JSON")
	flag.Parse()
	do := func() error { return run(*python, *out, *only, *state) }
	if *folder != "" {
		do = func() error { return printOutcome(*folder) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "zoo:", err)
		os.Exit(1)
	}
}

func run(python, out, only, state string) error {
	list, err := exec.Command(python, script, "list").Output()
	if err != nil {
		return errors.Wrapf(err, "%s %s list: want a Python that `make bench-python` made", python, script)
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return errors.WithStack(err)
	}
	var rows []row
	for name := range strings.FieldsSeq(string(list)) {
		for _, exporter := range []string{"torchscript", "dynamo"} {
			path := filepath.Join(state, strings.ReplaceAll(name, "/", "-")+"-"+exporter+".json")
			if !strings.Contains(name+" "+exporter, only) {
				continue
			}
			r, err := one(python, name, exporter, path)
			if err != nil {
				return err
			}
			fmt.Println(r.line())
			rows = append(rows, r)
		}
	}
	return write(out, rows)
}

// one exports and checks a network, or reads what came of it before.
func one(python, name, exporter, path string) (r row, err error) {
	if b, err := os.ReadFile(path); err == nil {
		return r, errors.Wrap(json.Unmarshal(b, &r), path)
	}
	dir, err := os.MkdirTemp("", "zoo-")
	if err != nil {
		return r, errors.WithStack(err)
	}
	defer os.RemoveAll(dir)
	r.About = about{Name: name, Exporter: exporter}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	export := exec.CommandContext(ctx, python, script, "export", name, exporter, dir)
	if said, err := export.CombinedOutput(); err != nil {
		r.Export = lastLine(string(said))
	} else {
		b, err := os.ReadFile(filepath.Join(dir, "about.json"))
		if err != nil {
			return r, errors.WithStack(err)
		}
		if err := json.Unmarshal(b, &r.About); err != nil {
			return r, errors.Wrap(err, "about.json")
		}
		r.Outcome = inProcess(dir)
	}
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return r, errors.WithStack(err)
	}
	if err := os.WriteFile(path+".part", b, 0o600); err != nil {
		return r, errors.WithStack(err)
	}
	return r, errors.WithStack(os.Rename(path+".part", path))
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
		return outcome{Refusal: lastLine(said.String() + "\n" + err.Error())}
	}
	return o
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
