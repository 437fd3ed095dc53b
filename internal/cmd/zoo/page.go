package main

import (
	"fmt"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
)

// What counts as right: single precision, of networks up to a hundred layers deep.
const nearLogits, nearGradient = 1e-4, 1e-3

// near tells whether a network was run, and is as near to the others as it must be.
func (o outcome) near() bool {
	return o.Refusal == "" && o.First > 0 && o.Logits <= nearLogits && o.Gradient <= nearGradient
}

func (r row) verdict() string {
	switch o := r.Outcome; {
	case r.Export != "":
		return "no file: " + r.Export
	case o.Refusal != "":
		_, why, found := strings.Cut(o.Refusal, "model.onnx: ")
		if !found {
			why = o.Refusal
		}
		return "refused: " + why
	case o.near() || r.Double != nil && r.Double.near():
		return "right"
	case r.Double == nil || r.Double.Refusal != "":
		return "open: not compared in double precision"
	case o.Logits > nearLogits:
		return "**other logits**"
	}
	return "**other gradient**"
}

// gradient is the difference, and where it is large that in double precision, or why there is none.
func (r row) gradient() string {
	if r.About.TorchSeconds == 0 {
		return fmt.Sprintf("%.0e", r.Outcome.Gradient)
	}
	found := fmt.Sprintf("%.0e (%.0e)", r.Outcome.Gradient, r.About.TorchGradient)
	switch {
	case r.Double == nil:
		return found
	case r.Double.Refusal != "":
		return found + ", in double: " + r.Double.Refusal
	}
	return fmt.Sprintf("%s, in double %.0e, logits %.0e", found, r.Double.Gradient, r.Double.Logits)
}

func (r row) line() string {
	o := r.Outcome
	if r.Export != "" || o.Refusal != "" {
		return fmt.Sprintf("| %s | %s | %s | | | | | | |", r.About.Name, r.About.Exporter, strings.ReplaceAll(r.verdict(), "|", "/"))
	}
	ratio := ""
	if r.About.TorchSeconds > 0 {
		ratio = fmt.Sprintf("%.2f", o.Step/r.About.TorchSeconds)
	}
	return fmt.Sprintf("| %s | %s | %s | %.0e | %s | %.1f | %.1f | %.2f | %s |", r.About.Name, r.About.Exporter, r.verdict(),
		o.Logits, r.gradient(), o.First, float64(o.Memory)/(1<<30), o.Step, ratio)
}

const top = `# Networks that load

Written by ` + "`make zoo`" + `: networks of torchvision, timm and Keras with random weights, exported by PyTorch's two exporters and Keras'
(on PyTorch), eight images of the network's own size, on two cores; and classifiers of scikit-learn, trained on its digits.
*Logits* is the largest difference from ONNX Runtime's over the largest logit: right is at most %g. *Gradient* is how far the
input gradient of the summed cross-entropy is from PyTorch's in double precision, as norms, and in brackets how far PyTorch's own in
single precision is: where a value is so near a kink of ReLU or of max-pooling that rounding decides on which side it lies, both
differ. scikit-learn's is by central differences. Right is at most %g. What is not right was exported and run in double precision
too, on two images, where rounding hardly ever decides, beside PyTorch's logits and gradient: what is right there is. *First* is
seconds from opening the file to the first gradient, most of it compiling, and *memory* what the process held until then and through
three more, in GiB, eight images at a time, or fewer where they would take gigabytes; *step* is seconds of a further gradient of all
eight, and *ratio* that over PyTorch's, measured just before.

%d of %d files are right, of %d networks. %s

| network | exporter | verdict | logits | gradient | first | memory | step | ratio |
|---|---|---|---|---|---|---|---|---|
`

// write puts the page in place at once; the note tells what it was measured beside.
func write(path, note string, rows []row) error {
	right, networks := 0, map[string]bool{}
	var lines strings.Builder
	for _, r := range rows {
		if r.verdict() == "right" {
			right++
		}
		networks[r.About.Name] = true
		lines.WriteString(r.line() + "\n")
	}
	page := fmt.Sprintf(top, nearLogits, nearGradient, right, len(rows), len(networks), note) + lines.String()
	return errors.WithStack(renameio.WriteFile(path, []byte(page), 0o644))
}
