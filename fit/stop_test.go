package fit

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// TestStopLoss: a phase ends after the first epoch whose loss is low enough, with the weights that as many epochs give, and
// a run that is stopped in the phase after it resumes.
func TestStopLoss(t *testing.T) {
	e := testengine.Quick(t)
	train := blobs(100, 1)
	whole := Config{BatchSize: 16, Seed: 5, LearningRate: 3e-3, Phases: []Phase{{Epochs: 12, Loss: CrossEntropy()}}}
	h, err := Train(context.Background(), e, mlp(t, 1), train, whole)
	require.NoError(t, err)
	const stop = 5
	require.Less(t, h.Loss[stop-1], h.Loss[stop-2], "the loss must fall for this test to say anything")
	early := whole
	early.Phases = []Phase{{Epochs: 12, Loss: CrossEntropy()}}
	early.StopLoss = (h.Loss[stop-1] + h.Loss[stop-2]) / 2
	m := mlp(t, 1)
	p := &counter{}
	got, err := TrainOrLoad(context.Background(), e, m, train, early, Options{Progress: p})
	require.NoError(t, err)
	require.Equal(t, h.Loss[:stop], got.Loss)
	require.Equal(t, p.total, p.last, "the epochs that were not needed count as done")
	short, few := mlp(t, 1), whole
	few.Phases = []Phase{{Epochs: stop, Loss: CrossEntropy()}}
	_, err = Train(context.Background(), e, short, train, few)
	require.NoError(t, err)
	require.Equal(t, weights(t, short), weights(t, m))

	early.Phases = append(early.Phases, Phase{Epochs: 1, Loss: noisy()})
	undisturbed := mlp(t, 1)
	_, err = Train(context.Background(), e, undisturbed, train, early)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	resumed, dir, steps := mlp(t, 1), t.TempDir(), 0
	_, err = TrainOrLoad(ctx, e, resumed, train, early, Options{Dir: dir, Progress: &counter{each: func(int) {
		if steps++; steps == stop*6+1+4 { // the epochs left out count once
			cancel()
		}
	}}})
	cancel()
	require.ErrorIs(t, err, context.Canceled)
	p = &counter{}
	_, err = TrainOrLoad(context.Background(), e, resumed, train, early, Options{Dir: dir, Progress: p})
	require.NoError(t, err)
	require.Len(t, p.tasks, 1, "only the second phase is left")
	require.Equal(t, weights(t, undisturbed), weights(t, resumed))

	early.StopLoss = -1
	_, err = Train(context.Background(), e, mlp(t, 1), train, early)
	require.ErrorContains(t, err, "StopLoss = -1")
}
