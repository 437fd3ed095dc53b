package watermark

import (
	"context"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// Extract reads the key's bits from a network at hand: from the mean gradient over images [n, Shape...] of the key's target.
// Labels are checked; nil says that all images are of the target. A network whose gradient is zero on all carriers decides
// nothing: the reading says so.
func Extract(ctx context.Context, e *engine.Engine, m *nets.Model, k *Key, images *tensors.Tensor, labels []int32) (*Reading, error) {
	if err := k.check(); err != nil {
		return nil, errors.WithMessage(err, "key")
	}
	if err := k.Fits(m); err != nil {
		return nil, err
	}
	if err := k.CheckLabels(images, labels); err != nil {
		return nil, errors.WithMessage(err, "extract")
	}
	v, err := InputGradient(ctx, e, m, k.Target, images)
	if err != nil {
		return nil, err
	}
	return k.Read(v), nil
}

// CheckLabels reports labels that are not the key's target; nil says that all are.
func (k *Key) CheckLabels(images *tensors.Tensor, labels []int32) error {
	if labels == nil {
		return nil
	}
	if images != nil && images.Rank() > 0 && images.Shape().Dimensions[0] != len(labels) {
		return errors.Errorf("%d labels for %d images: give one each", len(labels), images.Shape().Dimensions[0])
	}
	for i, y := range labels {
		if int(y) != k.Target {
			return errors.Errorf("input %d has label %d; key's target is %d", i, y, k.Target)
		}
	}
	return nil
}

// InputGradient is v: the mean over images [n, InputShape...] of the gradient of the cross-entropy of class target with respect to
// the input, flattened.
func InputGradient(ctx context.Context, e *engine.Engine, m *nets.Model, target int, images *tensors.Tensor) ([]float64, error) {
	if err := m.CheckImages(images); err != nil {
		return nil, errors.WithMessage(err, "extract")
	}
	if target < 0 || target >= m.Classes {
		return nil, errors.Errorf("extract: class %d: the model has classes 0 to %d", target, m.Classes-1)
	}
	exec, err := model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, x, weights *Node) *Node {
		return inputGradient(scope, m, x, weights, target)
	})
	if err != nil {
		return nil, err
	}
	defer exec.Finalize()
	exec.WithName("mean input gradient")
	pixels, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	n := images.Shape().Dimensions[0]
	size, batch := len(pixels)/n, min(n, 100)
	if m.GradientBatch > 0 {
		batch = min(batch, m.GradientBatch)
	}
	dims := append([]int{batch}, images.Shape().Dimensions[1:]...)
	sum := make([]float64, size)
	for from := 0; from < n; from += batch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows := min(batch, n-from)
		x := make([]float32, batch*size)
		copy(x, pixels[from*size:(from+rows)*size])
		weights := slices.Concat(slices.Repeat([]float32{1}, rows), make([]float32, batch-rows))
		out, err := exec.Call(tensors.FromFlatDataAndDimensions(x, dims...), weights)
		if err != nil {
			return nil, errors.WithMessagef(err, "extract: %s", m.Name)
		}
		part, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return nil, err
		}
		for i, v := range part {
			if v-v != 0 {
				return nil, errors.Errorf("extract: the gradient at coordinate %d is %g, not finite: %s has bad weights", i, v, m.Name)
			}
			sum[i] += float64(v) / float64(n)
		}
	}
	return sum, nil
}
