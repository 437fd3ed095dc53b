// Package studytest checks what every study promises: the same bytes however it came to its result.
package studytest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Run is a paper's Run.
type Run[C, R any] func(ctx context.Context, e *engine.Engine, c C) (R, error)

// Repeats runs a study and returns its result. The same result must come, to the byte, from a run that is stopped after
// each of the given numbers of steps and taken up again, from one that finds all done, and does nothing, and from shards
// that ran in folders of their own and were merged. Steps count from the start of each stretch.
func Repeats[C, R any](t *testing.T, e *engine.Engine, c C, run Run[C, R], stops []int, shards int) R {
	t.Helper()
	first, err := run(t.Context(), e, c)
	require.NoError(t, err)
	want := encode(t, first)
	resumes(t, e, c, run, stops, want)
	merges(t, e, c, run, shards, want)
	return first
}

func resumes[C, R any](t *testing.T, e *engine.Engine, c C, run Run[C, R], stops []int, want string) {
	t.Helper()
	*study.Field[string](&c, "Dir") = t.TempDir()
	progress := study.Field[report.Progress](&c, "Progress")
	for _, after := range stops {
		ctx, cancel := context.WithCancel(t.Context())
		*progress = &Stopper{Left: after, Stop: cancel}
		_, err := run(ctx, e, c)
		cancel()
		require.ErrorIs(t, err, context.Canceled, "the run ended before it was stopped after %d steps", after)
	}
	*progress = nil
	resumed, err := run(t.Context(), e, c)
	require.NoError(t, err)
	require.Equal(t, want, encode(t, resumed), "after stops")
	steps := 0
	*progress = &Stopper{Stop: func() { steps++ }}
	found, err := run(t.Context(), e, c)
	require.NoError(t, err)
	require.Equal(t, want, encode(t, found), "all done before")
	require.Zero(t, steps, "work that was done is done again")
}

func merges[C, R any](t *testing.T, e *engine.Engine, c C, run Run[C, R], shards int, want string) {
	t.Helper()
	dir, shard := study.Field[string](&c, "Dir"), study.Field[study.Shard](&c, "Shard")
	together := t.TempDir()
	for i := range shards {
		*dir, *shard = t.TempDir(), study.Shard{Index: i + 1, Of: shards}
		_, err := run(t.Context(), e, c)
		require.ErrorIs(t, err, study.ErrShard)
		files, err := filepath.Glob(filepath.Join(*dir, "*.json"))
		require.NoError(t, err)
		require.NotEmpty(t, files, "shard %d of %d has nothing to do", i+1, shards)
		for _, path := range files {
			name := filepath.Join(together, filepath.Base(path))
			require.NoFileExists(t, name, "shards do the same work")
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(name, data, 0o600))
		}
		*dir, *shard = together, study.Shard{Merge: true}
		merged, err := run(t.Context(), e, c)
		if i < shards-1 {
			require.ErrorContains(t, err, "has every shard run?")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, encode(t, merged), "merged")
	}
	*dir = ""
	for _, s := range []study.Shard{{Index: 3, Of: 2}, {Index: -1, Of: 2}, {Index: 1, Of: 2}} {
		*shard = s
		_, err := run(t.Context(), e, c)
		require.ErrorContains(t, err, "shard")
	}
}

// Stopper is a Progress that calls Stop at every step after the first Left.
type Stopper struct {
	Left int
	Stop func()
}

// Begin implements report.Progress.
func (s *Stopper) Begin(string, int, int) {}

// End implements report.Progress.
func (s *Stopper) End() {}

// Advance implements report.Progress.
func (s *Stopper) Advance(n int) {
	if s.Left -= n; s.Left < 0 {
		s.Stop()
	}
}

func encode(t *testing.T, result any) string {
	t.Helper()
	b, err := json.Marshal(result)
	require.NoError(t, err)
	return string(b)
}
