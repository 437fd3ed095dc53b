package maml

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/fewshot/meta"
	"github.com/trustbook/trustbook/internal/testengine"
)

// BenchmarkUpdate measures a whole meta-update of the quick scale, for each method.
func BenchmarkUpdate(b *testing.B) {
	c := Config{}.WithDefaults()
	train, _, net, err := Load(b.Context(), c)
	require.NoError(b, err)
	for _, name := range MethodNames {
		b.Run(name, func(b *testing.B) {
			t, err := meta.NewTrainer(testengine.Get(b), net, c.Method(name))
			require.NoError(b, err)
			defer t.Close()
			source, err := fewshot.NewSampler(train, c.episodes(name, 1, train))
			require.NoError(b, err)
			_, err = t.Train(b.Context(), source, meta.TrainOptions{Updates: 1}) // compiles
			require.NoError(b, err)
			b.ResetTimer()
			_, err = t.Train(b.Context(), source, meta.TrainOptions{Updates: b.N})
			require.NoError(b, err)
		})
	}
}

// BenchmarkEvaluate measures the fine-tuning of test tasks and the attack on them, a task.
func BenchmarkEvaluate(b *testing.B) {
	c := Config{}.WithDefaults()
	_, test, net, err := Load(b.Context(), c)
	require.NoError(b, err)
	v, err := meta.NewEvaluator(testengine.Get(b), net)
	require.NoError(b, err)
	defer v.Close()
	source, err := fewshot.NewSampler(test, fewshot.Episodes{Tasks: 1})
	require.NoError(b, err)
	o := meta.EvalOptions{Epsilon: c.Epsilon, StepSize: c.stepSize(c.Epsilon), Tasks: 1}
	_, err = v.Evaluate(b.Context(), net.Init(1), source, o) // compiles
	require.NoError(b, err)
	o.Tasks = b.N
	b.ResetTimer()
	_, err = v.Evaluate(b.Context(), net.Init(1), source, o)
	require.NoError(b, err)
}
