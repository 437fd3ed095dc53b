package main

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/robust"
)

// outcome is what became of one exported network.
type outcome struct {
	Refusal  string  `json:"refusal,omitempty"`
	Logits   float64 `json:"logits"`   // largest difference from ONNX Runtime's over the largest logit
	Gradient float64 `json:"gradient"` // norm of the difference from PyTorch's in double precision, over its norm
	First    float64 `json:"first"`    // seconds from reading the file to the first gradient
	Step     float64 `json:"step"`     // seconds of a further one, the fastest
	Memory   int64   `json:"memory"`   // bytes this process held at most
}

// check reads an exported network and takes the gradient of the summed cross-entropy by the images.
func check(folder string) (o outcome, err error) {
	begin := time.Now()
	at := func(name string) string { return filepath.Join(folder, name) }
	x, err := npy.ReadImages(at("x.npy"))
	if err != nil {
		return o, err
	}
	labels, err := npy.ReadLabels(at("y.npy"))
	if err != nil {
		return o, err
	}
	e, err := engine.Open("")
	if err != nil {
		return o, err
	}
	defer e.Close()
	m, err := onnx.Load(at("model.onnx"), onnx.Options{InputShape: x.Shape().Dimensions[1:]})
	if err != nil {
		return outcome{Refusal: err.Error()}, nil
	}
	v, err := robust.NewVictim(e, m, len(labels))
	if err != nil {
		return o, err
	}
	defer v.Shrink()()
	images := tensors.MustCopyFlatData[float32](x)
	compiled, err := v.Compile("zoo", func(of *robust.Oracle, args []*Node) []*Node {
		z := of.Logits(args[0])
		loss := ReduceAllSum(robust.CrossEntropy.Graph(z, args[1], false))
		return []*Node{z, of.Gradient(loss, args[0])[0]}
	})
	if err != nil {
		return outcome{Refusal: err.Error()}, nil
	}
	step := func() (logits, gradient []float32, err error) {
		for rows := range v.Batches(robust.Rows(len(labels))) {
			out, err := compiled.Call(context.Background(), nil, v.Images(images, rows), v.Ints(labels, rows))
			if err != nil {
				return nil, nil, err
			}
			logits = append(logits, tensors.MustCopyFlatData[float32](out[0])...)
			gradient = append(gradient, tensors.MustCopyFlatData[float32](out[1])...)
		}
		return logits, gradient, nil
	}
	logits, gradient, err := step()
	if err != nil {
		return outcome{Refusal: err.Error()}, nil
	}
	o.First, o.Step = time.Since(begin).Seconds(), math.Inf(1)
	for range 3 {
		again := time.Now()
		if _, _, err := step(); err != nil {
			return o, err
		}
		o.Step = min(o.Step, time.Since(again).Seconds())
	}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return o, errors.Wrap(err, "memory used")
	}
	o.Memory = used.Maxrss << 10 // kilobytes, on Linux
	if o.Logits, _, err = differs(at("logits.npy"), logits); err != nil {
		return o, err
	}
	_, o.Gradient, err = differs(at("gradient.npy"), gradient)
	return o, err
}

// differs compares values with those of a file: the largest difference over the largest value, and the norm of the differences
// over that of the values.
func differs(path string, found []float32) (largest, norm float64, err error) {
	t, err := npy.ReadImages(path)
	if err != nil {
		return 0, 0, err
	}
	want := tensors.MustCopyFlatData[float32](t)
	if len(want) != len(found) {
		return 0, 0, errors.Errorf("%s: %d values, and ours are %d", path, len(want), len(found))
	}
	var top, most, square, of float64
	for i, w := range want {
		d := math.Abs(float64(found[i]) - float64(w))
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		top, most = max(top, math.Abs(float64(w))), max(most, d)
		square, of = square+d*d, of+float64(w)*float64(w)
	}
	return share(most, top), math.Sqrt(share(square, of)), nil
}

// share is a difference over a size: of nothing at all 0, for the gradients of trees.
func share(difference, size float64) float64 {
	if difference == 0 {
		return 0
	}
	return difference / size
}

// printOutcome is what the process of one network does.
func printOutcome(folder string) error {
	o, err := check(folder)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}
