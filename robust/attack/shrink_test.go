package attack_test

import (
	"context"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// A network that takes gradients fastest a few examples at a time gets them so, with the same result.
func TestShrink(t *testing.T) {
	v, p := perceptron(t, 19, 3)
	for _, a := range []robust.Attack{attack.PGD{Steps: 5, NoRandom: true}, attack.APGD{Steps: 5}} {
		run := func() []float32 {
			out, err := a.Perturb(context.Background(), v, p)
			require.NoError(t, err)
			return tensors.MustCopyFlatData[float32](out.Images)
		}
		v.Model.GradientBatch = 0
		want := run()
		v.Model.GradientBatch = 5
		for i, got := range run() {
			assert.InDelta(t, want[i], got, 1e-6, a.Name())
		}
	}
	assert.Equal(t, 16, v.Batch)
	restore := v.Shrink()
	if v.Engine.Name() == "xla:cpu" {
		assert.Equal(t, 5, v.Batch)
	} else {
		assert.Equal(t, 16, v.Batch)
	}
	restore()
	assert.Equal(t, 16, v.Batch)
}
