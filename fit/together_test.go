package fit

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// Trained together or alone, stopped and resumed: the same weights, and progress that ends at its total.
func TestTrainAll(t *testing.T) {
	e := testengine.Quick(t)
	train, c := twoPhases()
	jobs := func(dir string) (all []Job) {
		for seed := range int64(3) {
			c.Seed = seed
			all = append(all, Job{Model: mlp(t, seed), Train: train, Config: c, Options: Options{Dir: dir}})
		}
		return all
	}
	var want [][]float32
	var histories []*History
	for _, j := range jobs("") {
		h, err := Train(context.Background(), e, j.Model, j.Train, j.Config)
		require.NoError(t, err)
		want, histories = append(want, weights(t, j.Model)), append(histories, h)
	}

	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped := jobs(dir)
	initial := weights(t, stopped[0].Model)
	_, err := TrainAll(ctx, e, stopped, &counter{each: func(step int) {
		if step == 30 {
			cancel()
		}
	}}, "train")
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, initial, weights(t, mlp(t, 0)))

	again := jobs(dir)
	p := &counter{}
	got, err := TrainAll(context.Background(), e, again, p, "train three")
	require.NoError(t, err)
	assert.Equal(t, histories, got)
	for i, j := range again {
		assert.Equal(t, want[i], weights(t, j.Model), "job %d", i)
	}
	assert.Equal(t, []string{"train three"}, p.tasks)
	assert.Equal(t, p.total, p.last)
	assert.Equal(t, 3*5*6, p.total)
	assert.Equal(t, 1, p.ended)

	p = &counter{}
	_, err = TrainAll(context.Background(), e, jobs(dir), p, "train three")
	require.NoError(t, err)
	assert.Equal(t, p.total, p.last, "all found on disk")
}

// The error that is told is that of the job that failed, not of those that were stopped for it.
func TestTrainAllError(t *testing.T) {
	train, c := twoPhases()
	bad := c
	bad.LearningRate = -1
	_, err := TrainAll(context.Background(), testengine.Quick(t), []Job{{Model: mlp(t, 1), Train: train, Config: c},
		{Model: mlp(t, 2), Train: train, Config: bad}, {Model: mlp(t, 3), Train: train, Config: c}}, nil, "")
	require.ErrorContains(t, err, "LearningRate = -1")
	got, err := TrainAll(context.Background(), testengine.Quick(t), nil, nil, "")
	require.NoError(t, err)
	require.Empty(t, got)
}
