package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/robust"
)

// modelFlags are the flags of commands that study a model of the user's on labeled images.
type modelFlags struct {
	model, inputs, labels, bounds, scale, output string

	// factor multiplies pixels; options finds it. 0: neither --scale nor --bounds tells what pixels mean, so integers are refused.
	factor float64
	named  string // flag of the model's file; empty: model
}

func (f *modelFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.model, "model", "", "ONNX `FILE` of the model")
	flags.StringVar(&f.inputs, "inputs", "", "NPY `FILE` with the images")
	flags.StringVar(&f.labels, "labels", "", "NPY `FILE` with the labels")
	f.registerReading(flags)
	for _, name := range []string{"inputs", "labels"} {
		_ = c.MarkFlagRequired(name)
	}
}

// registerReading registers the flags that say how model and images are to be read.
func (f *modelFlags) registerReading(flags *pflag.FlagSet) {
	flags.StringVar(&f.bounds, "bounds", "0,1", "smallest and largest legal pixel value, `LOWER,UPPER`")
	flags.StringVar(&f.scale, "scale", "", "`FACTOR` by which pixels are multiplied when read, such as 1/255; integers need this or --bounds")
	flags.StringVar(&f.output, "output", "", "`NAME` of the output that holds the logits, of a model with several")
}

// arraysHelp says what the arrays are, at the end of a command's help.
const arraysHelp = "Images are floats [n, ...] in the layout that the model takes, or integers with --scale or --bounds. Labels are\n" +
	"integers [n] or [n, 1], or one-hot [n, classes]."

// modelSettings are the flags that say how the model and the arrays are to be read.
var modelSettings = []string{"inputs", "labels", "bounds", "scale", "output"}

// options reads bounds, scale and output.
func (f *modelFlags) options(changed func(flag string) bool) (o onnx.Options, err error) {
	o.Output = f.output
	low, high, ok := strings.Cut(f.bounds, ",")
	var errLow, errHigh error
	o.Lower, errLow = strconv.ParseFloat(strings.TrimSpace(low), 64)
	o.Upper, errHigh = strconv.ParseFloat(strings.TrimSpace(high), 64)
	if !ok || errLow != nil || errHigh != nil || !(float32(o.Lower) < float32(o.Upper)) || !finite32(o.Lower) || !finite32(o.Upper) {
		return o, usagef("--bounds %s: want LOWER,UPPER with the lower below the upper, such as 0,1", f.bounds)
	}
	if changed("bounds") {
		f.factor = 1
	}
	if changed("scale") {
		if f.factor, ok = parseScale(f.scale); !ok {
			return o, usagef("--scale %s: want a number > 0 or a fraction, such as 1/255", f.scale)
		}
	}
	return o, nil
}

// parseScale reads a number or a fraction, finite and > 0.
func parseScale(text string) (float64, bool) {
	above, below, fraction := strings.Cut(text, "/")
	v, err := strconv.ParseFloat(strings.TrimSpace(above), 64)
	if fraction && err == nil {
		var by float64
		by, err = strconv.ParseFloat(strings.TrimSpace(below), 64)
		v /= by
	}
	return v, err == nil && v > 0 && finite32(v)
}

// finite32 tells whether a number is finite as the float32 that models work with.
func finite32(v float64) bool { return math.Abs(v) <= math.MaxFloat32 }

// readImages reads the images that a flag names, scaled.
func (f *modelFlags) readImages(flag, path string) (images *tensors.Tensor, err error) {
	if f.factor > 0 {
		images, err = npy.ReadImagesScaled(path, f.factor)
	} else {
		images, err = npy.ReadImages(path)
	}
	if integers := new(npy.IntegerPixels); errors.As(err, &integers) {
		err = fmt.Errorf("holds %s, not float32: give --scale 1/%d for a model that takes 0 to 1, or --bounds 0,%d for one that takes "+
			"them as they are", integers.Type, integers.White, integers.White)
	}
	if err != nil {
		return nil, wrongFile(flag, path, err)
	}
	return images, nil
}

// load reads the model for images that a flag names.
func (f *modelFlags) load(o onnx.Options, images *tensors.Tensor, flag, path string) (*nets.Model, error) {
	o.InputShape = images.Shape().Dimensions[1:]
	m, err := onnx.Load(f.model, o)
	if errors.Is(err, onnx.ErrInputShape) {
		return nil, wrongFile(flag, path, fmt.Errorf("images have shape %v, which the model does not take: %w", images.Shape().Dimensions, err))
	}
	if err != nil {
		return nil, wrongFile(cmp.Or(f.named, "model"), f.model, err)
	}
	return m, checkImages(m, images, flag, path)
}

// checkImages reports images that the model does not take.
func checkImages(m *nets.Model, images *tensors.Tensor, flag, path string) error {
	err := m.CheckImages(images)
	if errors.Is(err, nets.ErrOutside) {
		err = fmt.Errorf("%w: --bounds names others, --scale 1/255 brings 0 to 255 to 0 to 1", err)
	}
	if err != nil {
		return wrongFile(flag, path, err)
	}
	return nil
}

// read reads the model and the arrays and checks that they fit each other; what is wrong with them is wrong use.
func (f *modelFlags) read(o onnx.Options) (m *nets.Model, images *tensors.Tensor, labels []int32, err error) {
	if images, err = f.readImages("inputs", f.inputs); err != nil {
		return nil, nil, nil, err
	}
	if labels, err = npy.ReadLabels(f.labels); err != nil {
		return nil, nil, nil, wrongFile("labels", f.labels, err)
	}
	if m, err = f.load(o, images, "inputs", f.inputs); err != nil {
		return nil, nil, nil, err
	}
	if err := (robust.Goal{Labels: labels}).Validate(images.Shape().Dimensions[0], m); err != nil {
		return nil, nil, nil, wrongFile("labels", f.labels, err)
	}
	return m, images, labels, nil
}
