package fit

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/optimizer"
)

// cosine is an optimizer whose learning rate rises linearly over the first warmUp steps of a phase, then falls along
// half a cosine to zero at the phase's end (Loshchilov and Hutter, arXiv 1608.03983). Step s = 0, 1 ... is taken with
//
//	rate · min(1, (s+1)/warmUp) · (1 + cos(π·max(0, s-warmUp)/(steps-warmUp)))/2
type cosine struct {
	gradientOptimizer
	rate          float64
	warmUp, steps int
}

// UpdateGraphWithGradients sets the rate of this step, then updates with it.
func (c cosine) UpdateGraphWithGradients(scope *model.Scope, gradients []*Node, dtype dtypes.DType) {
	g := gradients[0].Graph()
	done := ConvertDType(optimizer.GetGlobalStepVar(scope).NodeValue(g), dtype)
	past := MaxScalar(AddScalar(done, -float64(c.warmUp)), 0)
	factor := MulScalar(OnePlus(Cos(MulScalar(past, math.Pi/float64(max(1, c.steps-c.warmUp))))), 0.5)
	if c.warmUp > 0 {
		factor = Mul(factor, MinScalar(MulScalar(AddScalar(done, 1), 1/float64(c.warmUp)), 1))
	}
	optimizer.LearningRateVar(scope, dtype, c.rate).SetNodeValue(MulScalar(factor, c.rate))
	c.gradientOptimizer.UpdateGraphWithGradients(scope, gradients, dtype)
}
