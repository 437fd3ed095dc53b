package fit

import (
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// TestRulesAsPyTorch: five steps down (w₀-1)² + 2(w₁-½)² + ½(w₂+2)² in float64, as torch.optim of PyTorch 2.15 makes them from
// the same start: RMSprop(lr=0.01, alpha=0.9, eps=1e-8) and Adadelta(lr=1, rho=0.95, eps=1e-6).
func TestRulesAsPyTorch(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want [][]float64 // after the first, the second and the fifth step
	}{
		{Rule{Optimizer: RMSProp, LearningRate: 0.01}, [][]float64{{0.5316227756, -0.9683772236, 1.9683772236},
			{0.5538415379, -0.9456686050, 1.9455221006}, {0.6023846357, -0.8948373390, 1.8940234828}}},
		{Rule{Optimizer: Adadelta}, [][]float64{{0.5044720912, -0.9955278653, 1.9955278668},
			{0.5089812818, -0.9910053520, 1.9910012306}, {0.5225307332, -0.9772980009, 1.9772448551}}},
	} {
		store := model.NewStore()
		w, err := store.CreateVariable("/w", tensors.FromValue([]float64{0.5, -1, 2}))
		require.NoError(t, err)
		weights := []*model.Variable{w}
		require.NoError(t, c.rule.Begin(store.Scope("/rule"), weights))
		exec, err := model.NewExec(testengine.Quick(t).Backend(), store, func(_ *model.Scope, factors *Node) {
			value := w.NodeValue(factors.Graph())
			loss := ReduceAllSum(Mul(factors, Square(Sub(value, Const(factors.Graph(), []float64{1, 0.5, -2})))))
			c.rule.Apply(store.Scope("/rule"), 5, weights, Gradient(loss, value))
		})
		require.NoError(t, err)
		for step := range 5 {
			_, err := exec.Call([]float64{1, 2, 0.5})
			require.NoError(t, err)
			value, err := w.Value()
			require.NoError(t, err)
			at := map[int]int{0: 0, 1: 1, 4: 2}
			if k, ok := at[step]; ok {
				require.InDeltaSlice(t, c.want[k], tensors.MustCopyFlatData[float64](value), 1e-9, "%s, step %d", c.rule.Optimizer, step+1)
			}
		}
	}
}

// TestRuleNeedsNoMore: what a rule keeps of each weight is all that checkpoints hold of it.
func TestRuleNeedsNoMore(t *testing.T) {
	for optimizer, want := range map[Optimizer]int{SGD: 1, RMSProp: 2, Adadelta: 3, Adam: 3, "": 3} {
		store := model.NewStore()
		w, err := store.CreateVariable("/w", tensors.FromValue([]float32{1}))
		require.NoError(t, err)
		require.NoError(t, Rule{Optimizer: optimizer}.Begin(store.Scope("/rule"), []*model.Variable{w}))
		count := -1 // the weight itself
		for range store.IterVariables() {
			count++
		}
		require.Equal(t, want, count, optimizer)
	}
	require.ErrorContains(t, Rule{Optimizer: "lbfgs"}.validate(), `want "adam", "adam64", "sgd", "rmsprop" or "adadelta"`)
	require.ErrorContains(t, Rule{Optimizer: Adadelta, WeightDecay: 1}.validate(), `0 without "adam"`)
}
