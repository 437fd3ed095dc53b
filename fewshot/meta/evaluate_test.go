package meta

import (
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/internal/testengine"
)

// An attack that cannot reach its radius is no attack.
func TestEvalOptions(t *testing.T) {
	o := EvalOptions{Epsilon: 0.06, StepSize: 0.001, AttackSteps: 10}
	require.ErrorContains(t, o.withDefaults().validate(Pixels), "cannot reach epsilon")
}

// Regression is judged on the query points: labels that are 10 off there, and there alone, show as the error 100.
func TestJudgedOnQueries(t *testing.T) {
	net, err := NewMLP(MLP{})
	require.NoError(t, err)
	v, err := NewEvaluator(testengine.Quick(t), net)
	require.NoError(t, err)
	defer v.Close()
	var zeros []*tensors.Tensor
	for _, p := range net.Init(1) {
		zeros = append(zeros, constant(0, p.Shape().Dimensions...))
	}
	found, err := v.Evaluate(t.Context(), zeros, shifted{}, EvalOptions{At: []int{0}, Tasks: 4})
	require.NoError(t, err)
	require.InDelta(t, 100, found[0].SA, 1e-4)
}

// shifted are tasks of y = 0 whose queries say 10.
type shifted struct{}

func (shifted) Key() string { return "shifted" }

func (shifted) Batch(int) (*fewshot.Batch, error) {
	return &fewshot.Batch{Support: constant(1, 4, 5, 1), SupportLabels: constant(0, 4, 5, 1),
		Query: constant(1, 4, 3, 1), QueryLabels: constant(10, 4, 3, 1)}, nil
}
