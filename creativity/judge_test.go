package creativity

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

func TestLeast(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		values := make([]float32, 5+rng.IntN(20))
		for i := range values {
			values[i] = float32(rng.IntN(10))
		}
		sorted := slices.Sorted(slices.Values(values))
		k := 1 + rng.IntN(5)
		require.Equal(t, sorted[:k], least(values, k))
	}
}

// TestNovelty compares distances with plain loops.
func TestNovelty(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) [][]float32 {
		all := make([][]float32, n)
		for i := range all {
			all[i] = []float32{rng.Float32() / 2, rng.Float32() / 2, rng.Float32() / 2, rng.Float32() / 2}
		}
		return all
	}
	train, images := draw(30), draw(120)
	net, err := nets.NewMLP(nets.MLPConfig{Input: []int{2, 2, 1}, Classes: 2, Seed: 1})
	require.NoError(t, err)
	classes, err := nets.NewPredictor(testengine.Training(t).Backend(), net, 0)
	require.NoError(t, err)
	j, err := newJudge(testengine.Training(t), classes, train, []int{2, 2, 1}, 3, images)
	require.NoError(t, err)
	got, err := j.novelty(images)
	require.NoError(t, err)
	var want []float64
	for _, x := range images {
		var all []float64
		for _, y := range train {
			d := 0.
			for i := range x {
				d += math.Pow(float64(x[i]-y[i]), 2)
			}
			all = append(all, math.Sqrt(d/4))
		}
		slices.Sort(all)
		want = append(want, (all[0]+all[1]+all[2])/3)
	}
	require.InDeltaSlice(t, want, got, 1e-3)
	found, err := j.judge(images)
	require.NoError(t, err)
	novel := 0
	for _, l := range found {
		require.True(t, l.valuable, "of two classes one has more than half")
		if l.novel {
			novel++
		}
	}
	require.Equal(t, 6, novel, "5 %% of those that set the limit")
	far, err := j.judge([][]float32{{1, 1, 1, 1}, train[0]})
	require.NoError(t, err)
	require.True(t, far[0].creative())
	require.False(t, far[1].novel)
}

func TestConfidence(t *testing.T) {
	require.InDelta(t, 0.25, confidence([]float32{3, 3, 3, 3}), 1e-12)
	require.InDelta(t, math.Exp(2)/(math.Exp(2)+2), confidence([]float32{0, 2, 0}), 1e-6)
}

// TestNodes: the index by hand, and a test that finds a difference where there is one and none where there is none.
func TestNodes(t *testing.T) {
	require.InDelta(t, 1./3, jaccard([]float64{1, 1, 0, 0}, []float64{0, 1, 1, 0}), 1e-12)
	require.EqualValues(t, 1, jaccard([]float64{0, 0}, []float64{0, 0}))
	require.EqualValues(t, 0, jaccard([]float64{1, 0}, []float64{0, 1}))
	rng := rand.New(rand.NewPCG(3, 3))
	draw := func(n int, p func(j int) float64) [][]float64 {
		all := make([][]float64, n)
		for i := range all {
			all[i] = make([]float64, 20)
			for j := range all[i] {
				if rng.Float64() < p(j) {
					all[i][j] = 1
				}
			}
		}
		return all
	}
	even := func(int) float64 { return 0.4 }
	odd := func(j int) float64 { return 0.2 + 0.4*float64(j%2) }
	apart := func(a, b [][]float64) float64 { return Nodes{within(a), within(b), between(a, b), 0}.Apart() }
	a, b, c := draw(80, even), draw(80, even), draw(80, odd)
	require.InDelta(t, 0, apart(a, b), 0.01)
	require.Greater(t, apart(a, c), 0.02)
	require.Equal(t, 0.01, permutationP(a, c, 99, 1))
	small := 0
	for range 40 {
		if permutationP(draw(20, even), draw(20, even), 19, 1) <= 0.1 {
			small++
		}
	}
	require.LessOrEqual(t, small, 11, "a p-value is at most 0.1 in a tenth of all cases, binomial")
	require.InDelta(t, 2*math.Log(2), entropyApart([][]float32{{1, 0, 0, 1}, {0, 1, 0, 1}}), 1e-12)
}

// TestPrincipal: points on a line lie on the first component.
func TestPrincipal(t *testing.T) {
	var rows [][]float64
	for i := range 10 {
		rows = append(rows, []float64{float64(i), 2 * float64(i), 5})
	}
	points := principal(rows)
	for i, p := range points {
		require.InDelta(t, math.Sqrt(5)*float64(i), math.Abs(p[0]-points[0][0]), 1e-9)
		require.InDelta(t, points[0][1], p[1], 1e-9)
	}
}
