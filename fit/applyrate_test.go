package fit

import (
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// TestApplyRate: a rate that is an input makes the steps of one that is a constant.
func TestApplyRate(t *testing.T) {
	e := testengine.Quick(t)
	steps := func(input bool) []float32 {
		store := model.NewStore()
		w, err := store.CreateVariable("/w", tensors.FromValue([]float32{1, -2, 3}))
		require.NoError(t, err)
		rule := Rule{LearningRate: 0.01}
		require.NoError(t, rule.Begin(store.Scope("/rule"), []*model.Variable{w}))
		exec, err := model.NewExec(e.Backend(), store, func(_ *model.Scope, rate *Node) {
			value := w.NodeValue(rate.Graph())
			gradients := Gradient(ReduceAllSum(Square(value)), value)
			if input {
				rule.ApplyRate(store.Scope("/rule"), rate, []*model.Variable{w}, gradients)
			} else {
				rule.Apply(store.Scope("/rule"), 3, []*model.Variable{w}, gradients)
			}
		})
		require.NoError(t, err)
		for range 3 {
			_, err := exec.Call(float32(0.01))
			require.NoError(t, err)
		}
		value, err := w.Value()
		require.NoError(t, err)
		return tensors.MustCopyFlatData[float32](value)
	}
	require.Equal(t, steps(false), steps(true))
}
