package meta

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
)

// A trainer that was stopped, and trained something else meanwhile, goes on to the same bytes, and finds them again.
func TestTrainerResumes(t *testing.T) {
	net, err := NewMLP(MLP{})
	require.NoError(t, err)
	trainer, err := NewTrainer(testengine.Quick(t), net, Method{Name: "MAML", Inner: InnerLoop{Steps: 1, LR: 0.01}, LR: 1e-3})
	require.NoError(t, err)
	defer trainer.Close()
	train := func(ctx context.Context, o TrainOptions) (*MetaModel, error) {
		return trainer.Train(ctx, fewshot.Sinusoid{Seed: 1}, o)
	}
	values := func(m *MetaModel) (all [][]float32) {
		for _, p := range m.Parameters {
			all = append(all, tensors.MustCopyFlatData[float32](p))
		}
		return all
	}
	o := TrainOptions{Updates: 12, Seed: 1, Dir: t.TempDir()}
	want, err := train(t.Context(), o)
	require.NoError(t, err)
	file := "maml-" + trainer.Key(fewshot.Sinusoid{Seed: 1}, o) + ".bin"
	bytes, err := os.ReadFile(filepath.Join(o.Dir, file))
	require.NoError(t, err)
	expected := values(want)

	o.Dir = t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = &studytest.Stopper{Left: 4, Stop: cancel}
	_, err = train(ctx, o)
	cancel()
	require.ErrorIs(t, err, context.Canceled)
	other, err := train(t.Context(), TrainOptions{Updates: 3, Seed: 2})
	require.NoError(t, err)
	require.NotEqual(t, expected, values(other))
	require.Equal(t, expected, values(want), "a result is its own")
	done := 0
	o.Progress = &studytest.Stopper{Stop: func() { done++ }}
	got, err := train(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, 12-5, done)
	require.Equal(t, want.History, got.History)
	require.Equal(t, expected, values(got))
	again, err := os.ReadFile(filepath.Join(o.Dir, file))
	require.NoError(t, err)
	require.Equal(t, bytes, again)

	got, err = train(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, 12-5, done, "found, not trained again")
	require.Equal(t, expected, values(got))
}
