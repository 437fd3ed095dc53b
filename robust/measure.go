package robust

import (
	"context"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
)

// measured is what the referee finds on one example's input perturbation.
type measured struct {
	norm    float64 // in the threat's norm, in float64
	outside float64 // how far the worst pixel is outside the bounds
	finite  bool
}

// measure compares perturbed with clean images, in float64, batch by batch on the device.
func (v *Victim) measure(ctx context.Context, norm Norm, clean, perturbed *tensors.Tensor) ([]measured, error) {
	if !perturbed.Shape().Equal(clean.Shape()) {
		return nil, errors.Errorf("robust: the attack returned shape %s for inputs of shape %s", perturbed.Shape(), clean.Shape())
	}
	step, err := v.compile("measure/"+norm.String(), func(_ *Oracle, args []*Node) []*Node {
		size := v.exampleSize()
		a := ConvertDType(Reshape(args[0], -1, size), dtypes.Float64)
		b := ConvertDType(Reshape(args[1], -1, size), dtypes.Float64)
		length := Reshape(Length(norm, Sub(b, a)), -1)
		over := ReduceMax(Max(AddScalar(b, -v.Model.Upper), Neg(AddScalar(b, -v.Model.Lower))), -1)
		finite := ConvertDType(ReduceMin(ConvertDType(IsFinite(b), dtypes.Int32), -1), dtypes.Int32)
		return []*Node{length, over, finite}
	})
	if err != nil {
		return nil, err
	}
	a, err := tensors.CopyFlatData[float32](clean)
	if err != nil {
		return nil, err
	}
	b, err := tensors.CopyFlatData[float32](perturbed)
	if err != nil {
		return nil, err
	}
	n := clean.Shape().Dimensions[0]
	result := make([]measured, 0, n)
	for rows := range v.Batches(Rows(n)) {
		out, err := step.Call(ctx, nil, v.Images(a, rows), v.Images(b, rows))
		if err != nil {
			return nil, err
		}
		lengths, err := tensors.CopyFlatData[float64](out[0])
		if err != nil {
			return nil, err
		}
		over, err := tensors.CopyFlatData[float64](out[1])
		if err != nil {
			return nil, err
		}
		finite, err := tensors.CopyFlatData[int32](out[2])
		if err != nil {
			return nil, err
		}
		for i := range rows {
			result = append(result, measured{norm: lengths[i], outside: max(0, over[i]), finite: finite[i] == 1})
		}
	}
	return result, nil
}

// finiteOnly returns the perturbed images, with the clean one in place of each that is not finite.
func (v *Victim) finiteOnly(found []measured, clean, perturbed *tensors.Tensor) (*tensors.Tensor, error) {
	if !slices.ContainsFunc(found, func(m measured) bool { return !m.finite }) {
		return perturbed, nil
	}
	from, err := tensors.CopyFlatData[float32](clean)
	if err != nil {
		return nil, err
	}
	to, err := tensors.CopyFlatData[float32](perturbed)
	if err != nil {
		return nil, err
	}
	size := v.exampleSize()
	for i, m := range found {
		if !m.finite {
			copy(to[i*size:(i+1)*size], from[i*size:])
		}
	}
	return tensors.FromFlatDataAndDimensions(to, perturbed.Shape().Dimensions...), nil
}
