package fit

import (
	"context"
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// Gradient descent on a quadratic, where every step contracts by the rate of its own: two phases of 8 and 4 steps.
func TestCosineClosedForm(t *testing.T) {
	for _, warmUp := range []int{0, 3, 6} {
		m := mlp(t, 1)
		before := weights(t, m)
		c := Config{Phases: []Phase{{2, quadratic(0.25)}, {1, quadratic(0.25)}}, BatchSize: 10, LearningRate: 0.1, Optimizer: SGD,
			Cosine: true, WarmUpSteps: warmUp}
		_, err := Train(context.Background(), testengine.Quick(t), m, blobs(43, 1), c)
		require.NoError(t, err)
		left := 1.0
		for _, steps := range []int{8, 4} {
			warm := min(warmUp, steps)
			for s := range steps {
				rate := 0.1
				if s < warm {
					rate *= float64(s+1) / float64(warm)
				} else {
					rate *= (1 + math.Cos(math.Pi*float64(s-warm)/float64(steps-warm))) / 2
				}
				left *= 1 - rate
			}
		}
		for i, w := range weights(t, m) {
			require.InDelta(t, 0.25+left*(float64(before[i])-0.25), float64(w), 1e-6)
		}
	}
}

// flat is a loss without a slope.
var flat = Loss{Name: "flat", Build: func(_ *model.Scope, m *nets.Model, images, labels *Node) *Node {
	return MulScalar(quadratic(0).Build(nil, m, images, labels), 0)
}}

// Where the loss is flat, decay alone moves the weights, each by its share of the rate.
func TestWeightDecay(t *testing.T) {
	m := mlp(t, 1)
	before := weights(t, m)
	c := Config{Phases: []Phase{{1, flat}}, BatchSize: 10, LearningRate: 0.1, WeightDecay: 0.5}
	_, err := Train(context.Background(), testengine.Quick(t), m, blobs(40, 1), c)
	require.NoError(t, err)
	for i, w := range weights(t, m) {
		require.InDelta(t, math.Pow(1-0.1*0.5, 4)*float64(before[i]), float64(w), 1e-6)
	}
}
