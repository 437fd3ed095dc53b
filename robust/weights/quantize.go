package weights

import (
	"math"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/study"
)

// Quantize rounds the weights of a network to so many bits, 2 to 16: each matrix or kernel to the nearest of 2^bits - 1
// evenly spaced values, symmetric around 0 and as wide as its largest absolute value (post-training quantization, one
// scale a tensor). Vectors, such as biases, stay as they are, as they do in practice. The network itself is not touched.
func Quantize(m *nets.Model, bits int) ([]*tensors.Tensor, error) {
	if err := study.First("weights", checkBits(bits)); err != nil {
		return nil, err
	}
	var rounded []*tensors.Tensor
	for _, w := range m.Weights() {
		value, err := w.Value()
		if err != nil {
			return nil, err
		}
		flat, err := tensors.CopyFlatData[float32](value)
		if err != nil {
			return nil, err
		}
		if w.Shape().Rank() > 1 {
			nets.RoundBits(flat, bits)
		}
		rounded = append(rounded, tensors.FromFlatDataAndDimensions(flat, w.Shape().Dimensions...))
	}
	return rounded, nil
}

// RoundingRadii are the radii, one a weight tensor, inside which Quantize stays: half a step, 1/(2(2^(bits-1)-1)) of a tensor's
// largest absolute value.
func RoundingRadii(m *nets.Model, bits int) ([]float64, error) {
	if err := study.First("weights", checkBits(bits)); err != nil {
		return nil, err
	}
	radii, err := robust.RelativeRadii(m, 0.5/(math.Exp2(float64(bits-1))-1))
	if err != nil {
		return nil, err
	}
	for i, w := range m.Weights() {
		if w.Shape().Rank() < 2 {
			radii[i] = 0
			continue
		}
		radii[i] *= 1 + 1e-6 // rounded weights are stored in float32
	}
	return radii, nil
}

func checkBits(all ...int) error {
	for _, bits := range all {
		if bits < 2 || bits > 16 {
			return errors.Errorf("%d bits: want 2 to 16", bits)
		}
	}
	return nil
}
