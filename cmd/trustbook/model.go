package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/robust"
)

// modelFlags are the flags of commands that study a model of the user's on labeled images.
type modelFlags struct {
	model, inputs, labels, bounds string
}

func (f *modelFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.model, "model", "", "ONNX `FILE` of the model")
	flags.StringVar(&f.inputs, "inputs", "", "NPY `FILE` with the images")
	flags.StringVar(&f.labels, "labels", "", "NPY `FILE` with the labels")
	flags.StringVar(&f.bounds, "bounds", "0,1", "smallest and largest legal pixel value, `LOWER,UPPER`")
	for _, name := range []string{"model", "inputs", "labels"} {
		_ = c.MarkFlagRequired(name)
	}
}

// options reads the bounds.
func (f *modelFlags) options() (o nets.ONNXOptions, err error) {
	low, high, ok := strings.Cut(f.bounds, ",")
	var errLow, errHigh error
	o.Lower, errLow = strconv.ParseFloat(strings.TrimSpace(low), 64)
	o.Upper, errHigh = strconv.ParseFloat(strings.TrimSpace(high), 64)
	if !ok || errLow != nil || errHigh != nil || !(o.Lower < o.Upper) || math.IsInf(o.Lower, 0) || math.IsInf(o.Upper, 0) {
		return o, usagef("--bounds %s: want LOWER,UPPER with the lower below the upper, such as 0,1", f.bounds)
	}
	return o, nil
}

// read reads the model and the arrays and checks that they fit each other; what is wrong with them is wrong use.
func (f *modelFlags) read(o nets.ONNXOptions) (m *nets.Model, images *tensors.Tensor, labels []int32, err error) {
	if images, err = npy.ReadImages(f.inputs); err != nil {
		return nil, nil, nil, wrongFile("inputs", f.inputs, err)
	}
	if labels, err = npy.ReadLabels(f.labels); err != nil {
		return nil, nil, nil, wrongFile("labels", f.labels, err)
	}
	o.InputShape = images.Shape().Dimensions[1:]
	m, err = nets.LoadONNX(f.model, o)
	if err != nil && strings.Contains(err.Error(), "given input shape") {
		return nil, nil, nil, wrongFile("inputs", f.inputs, fmt.Errorf("images have shape %v, which the model does not take: %w", images.Shape().Dimensions, err))
	}
	if err != nil {
		return nil, nil, nil, wrongFile("model", f.model, err)
	}
	if err := m.CheckImages(images); err != nil {
		return nil, nil, nil, wrongFile("inputs", f.inputs, err)
	}
	if err := (robust.Goal{Labels: labels}).Validate(images.Shape().Dimensions[0], m); err != nil {
		return nil, nil, nil, wrongFile("labels", f.labels, err)
	}
	return m, images, labels, nil
}
