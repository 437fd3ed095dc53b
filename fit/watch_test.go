package fit

import (
	"context"
	"encoding/json"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// twoWeights are networks of one weight each, that one loss trains.
func twoWeights(t *testing.T) (*model.Store, []*nets.Network) {
	store := model.NewStore()
	var all []*nets.Network
	for _, path := range []string{"/a", "/b"} {
		_, err := store.CreateVariable(path, tensors.FromValue([]float32{1, -2}))
		require.NoError(t, err)
		all = append(all, &nets.Network{Name: path, Store: store, WeightPaths: []string{path}})
	}
	return store, all
}

func weightsAt(t *testing.T, store *model.Store, path string) []float32 {
	v, err := store.GetVariable(path).Value()
	require.NoError(t, err)
	return tensors.MustCopyFlatData[float32](v)
}

// lossOf is a sum over the networks of the mean square of their weights minus 3, with each as a part.
func lossOf(paths ...string) func(scope *model.Scope, g *Graph, _ []*Node) (*Node, []*Node) {
	return func(scope *model.Scope, g *Graph, _ []*Node) (*Node, []*Node) {
		var sum *Node
		var parts []*Node
		for _, path := range paths {
			part := ReduceAllMean(Square(AddScalar(scope.Store().GetVariable(path).NodeValue(g), -3)))
			if parts = append(parts, part); sum == nil {
				sum = part
			} else {
				sum = Add(sum, part)
			}
		}
		return sum, parts
	}
}

var twoRules = []Rule{{LearningRate: 0.1, Beta1: 0.5}, {Optimizer: SGD, LearningRate: 0.2}}

// TestRulesOfNetworks: in one update with a rule each, networks learn as they do alone, and parts of a loss are told.
func TestRulesOfNetworks(t *testing.T) {
	e := testengine.Quick(t)
	store, networks := twoWeights(t)
	both := Alternation{Name: "both", Store: store, Steps: 5, Every: 1, Updates: []Update{{Name: "sum", Trains: networks, Rules: twoRules,
		LossParts: lossOf("/a", "/b"), Parts: []string{"of a", "of b"}}}}
	losses, err := both.Train(t.Context(), e, Options{})
	require.NoError(t, err)
	for i, path := range []string{"/a", "/b"} {
		alone, networks := twoWeights(t)
		one := Alternation{Name: "one", Store: alone, Steps: 5, Every: 1, Updates: []Update{{Name: "sum", Trains: networks[i : i+1],
			Rule: twoRules[i], LossParts: lossOf(path), Parts: []string{"part"}}}}
		own, err := one.Train(t.Context(), e, Options{})
		require.NoError(t, err)
		require.Equal(t, weightsAt(t, alone, path), weightsAt(t, store, path))
		require.Equal(t, own["part"], losses[[]string{"of a", "of b"}[i]])
		require.Equal(t, own["part"], own["sum"])
	}
	for i, sum := range losses["sum"] {
		require.InDelta(t, sum, losses["of a"][i]+losses["of b"][i], 1e-5)
	}
}

// TestWatch: there is a look before the first step and after the last, the same ones however often the training was stopped.
func TestWatch(t *testing.T) {
	e := testengine.Quick(t)
	begin := func() (Alternation, *model.Store) {
		store, networks := twoWeights(t)
		return Alternation{Name: "watched", Store: store, Steps: 5, Updates: []Update{{Name: "sum", Trains: networks, Rules: twoRules,
			LossParts: lossOf("/a", "/b"), Parts: []string{"a", "b"}}}, Watch: &Watch{Every: 2, Build: func(scope *model.Scope, g *Graph) *Node {
			return scope.Store().GetVariable("/a").NodeValue(g)
		}}}, store
	}
	whole, store := begin()
	losses, err := whole.Train(t.Context(), e, Options{})
	require.NoError(t, err)
	require.Len(t, whole.Watch.Seen, 4, "steps 0, 2, 4 and 5")
	require.Equal(t, []float32{1, -2}, tensors.MustCopyFlatData[float32](whole.Watch.Seen[0]))
	require.Equal(t, weightsAt(t, store, "/a"), tensors.MustCopyFlatData[float32](whole.Watch.Seen[3]))

	dir := t.TempDir()
	for _, stop := range []int{1, 2, 1} {
		ctx, cancel := context.WithCancel(t.Context())
		done := 0
		a, _ := begin()
		_, err := a.Train(ctx, e, Options{Dir: dir, Progress: &counter{each: func(int) {
			if done++; done == stop {
				cancel()
			}
		}}})
		cancel()
		require.ErrorIs(t, err, context.Canceled)
	}
	for range 2 { // goes on, then finds it
		a, again := begin()
		got, err := a.Train(t.Context(), e, Options{Dir: dir})
		require.NoError(t, err)
		require.Equal(t, losses, got)
		require.Equal(t, weightsAt(t, store, "/b"), weightsAt(t, again, "/b"))
		require.Len(t, a.Watch.Seen, 4)
		for i, seen := range a.Watch.Seen {
			require.Equal(t, tensors.MustCopyFlatData[float32](whole.Watch.Seen[i]), tensors.MustCopyFlatData[float32](seen))
		}
	}
}

// TestNotesOfOldFiles: losses alone are what files held before anything was watched.
func TestNotesOfOldFiles(t *testing.T) {
	n := alternationNotes{Losses: Losses{"judge": {1, 2}}}
	data, err := json.Marshal(&n)
	require.NoError(t, err)
	require.JSONEq(t, `{"judge":[1,2]}`, string(data))
	var back alternationNotes
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, n, back)
	n.Seen = []Variable{{Path: "seen", Dims: []int{0}}}
	data, err = json.Marshal(&n)
	require.NoError(t, err)
	back = alternationNotes{}
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, n.Losses, back.Losses)
	require.Len(t, back.Seen, 1)
}

func TestBadUpdates(t *testing.T) {
	for want, change := range map[string]func(a *Alternation){
		"1 Rules for 2 networks":        func(a *Alternation) { a.Updates[0].Rules = twoRules[:1] },
		"LearningRate = -1":             func(a *Alternation) { a.Updates[0].Rules = []Rule{{LearningRate: -1}, {}} },
		`"sum" is there twice`:          func(a *Alternation) { a.Updates[0].Parts = []string{"sum", "b"} },
		"Watch.Every = 0":               func(a *Alternation) { a.Watch = &Watch{} },
		"2 parts: want 1":               func(a *Alternation) { a.Updates[0].Parts = []string{"a"} },
		"each needs a loss and a name ": func(a *Alternation) { a.Updates[0].LossParts = nil },
	} {
		store, networks := twoWeights(t)
		a := Alternation{Name: "bad", Store: store, Steps: 2, Updates: []Update{{Name: "sum", Trains: networks, LossParts: lossOf("/a", "/b"),
			Parts: []string{"a", "b"}}}}
		change(&a)
		_, err := a.Train(t.Context(), testengine.Quick(t), Options{})
		require.ErrorContains(t, err, want)
	}
}
