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
	s, err := Open(b.Context(), testengine.Get(b), Config{})
	require.NoError(b, err)
	defer s.Close()
	for _, name := range MethodNames {
		b.Run(name, func(b *testing.B) {
			t, err := s.prepare(name)
			require.NoError(b, err)
			source, err := fewshot.NewSampler(s.Classes, s.episodes(name, 1))
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
	s, err := Open(b.Context(), testengine.Get(b), Config{})
	require.NoError(b, err)
	defer s.Close()
	source, err := fewshot.NewSampler(s.Unseen, fewshot.Episodes{Tasks: 1})
	require.NoError(b, err)
	o := s.options(meta.InnerLoop{}, 0)
	o.Tasks = 1
	_, err = s.evaluator.Evaluate(b.Context(), s.Net.Init(1), source, o) // compiles
	require.NoError(b, err)
	o.Tasks = b.N
	b.ResetTimer()
	_, err = s.evaluator.Evaluate(b.Context(), s.Net.Init(1), source, o)
	require.NoError(b, err)
}
