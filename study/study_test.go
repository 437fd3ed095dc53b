package study

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/pkg/errors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/report"
)

// pieces are n pieces in groups whose results are their numbers; done counts how often each was worked on.
func pieces(n int, done map[int]int) []Piece[int] {
	all := make([]Piece[int], n)
	for i := range all {
		all[i] = Piece[int]{Name: fmt.Sprintf("piece %d", i), Key: fmt.Sprintf("k%d", i), Group: i / 2, Tasks: 1, Do: func() (int, error) {
			done[i]++
			return i, nil
		}}
	}
	return all
}

// skips is a display that adds up what it is told to skip.
type skips struct {
	report.Silent
	total float64
}

func (s *skips) Skip(tasks float64) { s.total += tasks }

// TestShardsShareWork: for any number of pieces and shards, the shards do each piece once, groups stay together, and
// merging finds all of it in order and does nothing.
func TestShardsShareWork(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		n, of := 1+rng.IntN(20), 1+rng.IntN(6)
		dir, done := t.TempDir(), map[int]int{}
		for index := 1; index <= of; index++ {
			p, found := &skips{}, []int(nil)
			w, err := NewWork(dir, Shard{Index: index, Of: of}, p)
			require.NoError(t, err)
			before := len(done)
			require.NoError(t, DoAll(w, &found, pieces(n, done), nil))
			require.Equal(t, float64(n-(len(done)-before)), p.total, "what is skipped and what is done are all")
			require.ErrorIs(t, w.Finish(), ErrShard)
			for i := range n {
				if done[i] > 0 {
					require.Equal(t, done[i], done[i/2*2], "a group was torn apart")
				}
			}
		}
		require.Len(t, done, n)
		for i, times := range done {
			require.Equal(t, 1, times, "piece %d of %d, %d shards", i, n, of)
		}
		var merged []int
		w, err := NewWork(dir, Shard{Merge: true}, nil)
		require.NoError(t, err)
		require.NoError(t, DoAll(w, &merged, pieces(n, done), nil))
		require.NoError(t, w.Finish())
		require.Len(t, merged, n)
		for i, v := range merged {
			require.Equal(t, i, v)
			require.Equal(t, 1, done[i])
		}
		lost := rng.IntN(n)
		require.NoError(t, os.Remove(filepath.Join(dir, fmt.Sprintf("k%d.json", lost))))
		w, err = NewWork(dir, Shard{Merge: true}, nil)
		require.NoError(t, err)
		require.NoError(t, DoAll(w, &merged, pieces(n, done), nil))
		require.ErrorContains(t, w.Finish(), fmt.Sprintf("1 of %d pieces of work are not there, such as piece %d", n, lost))
	}
}

// TestDoAll: what is prepared is what is missing, errors name the piece and keep what was done before.
func TestDoAll(t *testing.T) {
	dir, done := t.TempDir(), map[int]int{}
	w, err := NewWork(dir, Shard{}, nil)
	require.NoError(t, err)
	var found []int
	require.NoError(t, Do(w, &found, pieces(4, done)[2]))
	all := pieces(4, done)
	all[3].Do = func() (int, error) { return 0, errors.New("no light") }
	var prepared []int
	prepare := func(missing []int) error {
		prepared = missing
		return nil
	}
	require.EqualError(t, DoAll(w, &found, all, prepare), "piece 3: no light")
	require.Equal(t, []int{0, 1, 3}, prepared)
	require.Equal(t, map[int]int{0: 1, 1: 1, 2: 1}, done)
	found = nil
	require.NoError(t, DoAll(w, &found, pieces(4, done), prepare))
	require.Equal(t, []int{3}, prepared)
	require.Equal(t, []int{0, 1, 2, 3}, found)
	require.EqualError(t, DoAll(w, &found, pieces(5, done), func([]int) error { return errors.New("unprepared") }), "unprepared")
	require.NoError(t, w.Finish())

	// A damaged file is as good as none.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "k0.json"), []byte("{"), 0o600))
	found = nil
	require.NoError(t, DoAll(w, &found, pieces(4, done), nil))
	require.Equal(t, []int{0, 1, 2, 3}, found)
	require.Equal(t, 2, done[0])

	// Without a folder nothing is kept.
	w, err = NewWork("", Shard{}, nil)
	require.NoError(t, err)
	require.NoError(t, Do(w, &found, pieces(1, done)[0]))
	require.Equal(t, 3, done[0])
}

// weights is a display that notes the weights of tasks.
type weights struct {
	report.Silent
	all []float64
}

func (w *weights) Weigh(tasks float64) { w.all = append(w.all, tasks) }

// TestWeigh: a display that weighs tasks is told, others and none are left alone.
func TestWeigh(t *testing.T) {
	w := &weights{}
	for _, p := range []report.Progress{w, report.Silent{}, nil} {
		Weigh(p, 0.25)
	}
	require.Equal(t, []float64{0.25}, w.all)
}

func TestShardValidate(t *testing.T) {
	require.NoError(t, Shard{}.Validate(""))
	require.NoError(t, Shard{Merge: true}.Validate(""))
	require.NoError(t, Shard{Index: 2, Of: 2}.Validate("dir"))
	require.ErrorContains(t, Shard{Index: 1, Of: 2}.Validate(""), "needs a folder")
	for _, s := range []Shard{{Index: 3, Of: 2}, {Index: 0, Of: 2}, {Index: -1, Of: 2}, {Index: 1}, {Index: 1, Of: 2, Merge: true}} {
		require.ErrorContains(t, s.Validate("dir"), "want 1 to the number of shards")
		_, err := NewWork("dir", s, nil)
		require.Error(t, err)
	}
}

type config struct {
	Seeds []int64
	Scale string
}

// TestChecks: each mistake is named, the first of several always.
func TestChecks(t *testing.T) {
	require.NoError(t, First("p", AtLeast(1, Count("a", 1)), Positive(Rate("b", 2)), Seeds([]int64{1, 2}), Distinct("c", []string{"x"})))
	for range 100 {
		err := First("p", AtLeast(1, Count("a", 1), Count("b", 0), Count("c", -1)), Seeds([]int64{3, 3}))
		require.EqualError(t, err, "p: b = 0: must be at least 1")
	}
	require.EqualError(t, First("p", nil, Seeds([]int64{3, 1, 3})), "p: seed 3 is given twice: an interval over seeds needs different ones")
	for _, v := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		require.ErrorContains(t, Positive(Rate("rate", v)), "rate = ")
	}
	require.ErrorContains(t, Distinct("list", []float64{1, 2, 1}), "1 is given twice")
	require.ErrorContains(t, Distinct("list", []float64{}), "is empty")
	name := func(s string) string { return s }
	picked, err := Pick("method", []string{"c", "a"}, []string{"a", "b", "c"}, name)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "c"}, picked)
	_, err = Pick("method", []string{"a", "y", "x"}, []string{"a", "b"}, name)
	require.EqualError(t, err, `method "y": want some of a, b`)
	make := func(scale string) func() config { return func() config { return config{Scale: scale} } }
	for scale, want := range map[string]string{"": "", "quick": "", "smoke": "s", "paper": "p"} {
		c, err := AtScale("p", scale, make("s"), make("p"))
		require.NoError(t, err)
		require.Equal(t, want, c.Scale)
	}
	_, err = AtScale("p", "huge", make("s"), make("p"))
	require.EqualError(t, err, `p: scale "huge": want smoke, quick or paper`)
	c := config{Seeds: []int64{1}}
	*Field[[]int64](&c, "Seeds") = []int64{7}
	require.Equal(t, []int64{7}, c.Seeds)
	require.Panics(t, func() { Field[int](&c, "Dir") })
	require.Panics(t, func() { Field[int](&c, "Seeds") })
}

// TestNotMeasuredIsNothing: a number that one of the seeds lacks is a number that no seed has.
func TestNotMeasuredIsNothing(t *testing.T) {
	even := func(x int) (float64, bool) { return float64(x), x%2 == 0 }
	require.Equal(t, []float64{2, 4}, Values([]int{2, 4}, even))
	require.Empty(t, Values([]int{2, 3}, even))
	require.Equal(t, []float64{2, 3}, Values([]int{2, 3}, Always(func(x int) float64 { return float64(x) })))
	require.Equal(t, []float64{1, -1}, Minus([]float64{3, 1}, []float64{2, 2}))
	require.Empty(t, Minus([]float64{3, 1}, []float64{2}))
	claims := func() []report.Claim {
		part := report.ClaimPart{Statement: "b", Test: report.Test{Values: []float64{1, 2}, Relation: report.Above}}
		return []report.Claim{{Sentence: "A."}, {Sentence: "B.", Parts: []report.ClaimPart{part}}}
	}
	s := Source{Paper: "1234.56789", Scale: "quick", Dataset: "d", N: 3, Seeds: []int64{4, 5}}
	numbered := s.Number(claims())
	require.Equal(t, "1234.56789/2", numbered[1].ID)
	require.NoError(t, report.CheckClaims(numbered))
	require.Len(t, numbered[1].Parts, 1)
	s.Scale = "smoke"
	smoke := s.Number(claims())
	require.Equal(t, report.NotTested, smoke[1].Verdict())
	require.Contains(t, smoke[1].Decide().Note, "smoke")
}
