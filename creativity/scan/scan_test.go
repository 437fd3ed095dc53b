package scan

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func nine() (rows [][]float32) {
	columns := [3][9]float32{{0, 0, 0, 1, 2, 2, 3, 5, 8}, {0, 1, 1, 1, 1, 2, 3, 3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9}}
	for i := range 9 {
		rows = append(rows, []float32{columns[0][i], columns[1][i], columns[2][i]})
	}
	return rows
}

// small is a background of nine samples of three nodes, and five samples with ties and values outside of it.
func small(t *testing.T) (*Background, [][]float32) {
	t.Helper()
	b, err := NewBackground(nine())
	require.NoError(t, err)
	return b, [][]float32{{0, 1, 9.5}, {2, 3.5, 0.5}, {8, 0, 5}, {9, -1, 5.5}, {1, 1, 9}}
}

// The values were computed from the definitions by a program in Python.
func TestPValues(t *testing.T) {
	b, rows := small(t)
	for _, k := range []struct {
		tail Tail
		most bool
		want [][]float64
	}{
		{Upper, false, [][]float64{{6, 4, 0}, {3, 1, 9}, {0, 8, 4}, {0, 9, 4}, {5, 4, 0}}},
		{Upper, true, [][]float64{{10, 9, 1}, {6, 2, 10}, {2, 10, 6}, {1, 10, 5}, {7, 9, 2}}},
		{Two, true, [][]float64{{8, 10, 2}, {10, 4, 2}, {4, 4, 10}, {2, 2, 10}, {10, 10, 4}}},
	} {
		least, most, err := b.PValues(rows, k.tail)
		require.NoError(t, err)
		got := least
		if k.most {
			got = most
		}
		for i, row := range k.want {
			for j, want := range row {
				assert.InDelta(t, want/10, got[i][j], 1e-15, "%s, %d, %d", k.tail, i, j)
			}
		}
	}
	turned := nine() // the lower tail is the upper of what is turned round
	for _, row := range slices.Concat(rows, turned) {
		for j := range row {
			row[j] = -row[j]
		}
	}
	other, err := NewBackground(turned)
	require.NoError(t, err)
	least, most, err := other.PValues(rows, Lower)
	require.NoError(t, err)
	_, straight := small(t)
	wantLeast, wantMost, err := b.PValues(straight, Upper)
	require.NoError(t, err)
	require.Equal(t, wantLeast, least)
	require.Equal(t, wantMost, most)
}

// Closed forms, evaluated in Python.
func TestScores(t *testing.T) {
	for _, k := range []struct {
		nAlpha, n int
		alpha     float64
		want      [scores]float64
	}{
		{3, 10, 0.05, [scores]float64{3.23760686083, 3.62738125055, 0.790569415042}},
		{10, 10, 0.05, [scores]float64{29.9573227355, 13.7840487521, 3.00416377716}},
		{400, 1000, 0.3, [scores]float64{22.5824210844, 6.90065559342, 3.16227766017}},
		{2, 10, 0.2, [scores]float64{}}, {0, 10, 0.2, [scores]float64{}}, {63, 180, 7. / 20, [scores]float64{}},
		{10, 10, 1, [scores]float64{}},
	} {
		for s := range scores {
			assert.InEpsilon(t, 1+k.want[s], 1+s.Value(k.nAlpha, k.n, k.alpha), 1e-10, "%s of %v", s, k)
		}
	}
	for s := range scores {
		got, err := ParseScore(s.String())
		require.NoError(t, err)
		require.Equal(t, s, got)
	}
	for tail := range tails {
		got, err := ParseTail(tail.String())
		require.NoError(t, err)
		require.Equal(t, tail, got)
	}
}

func ranksOf(t *testing.T, p [][]float64) *Ranks {
	t.Helper()
	r, err := FromPValues(p)
	require.NoError(t, err)
	return r
}

func TestSinglesGolden(t *testing.T) {
	p := ranksOf(t, [][]float64{{0.02, 0.9, 0.31, 0.05, 0.05, 0.6, 0.12, 0.48, 0.5, 0.07}})
	find := func(r *Ranks, s Score, alphaMax float64) Subset {
		found, err := Singles(r, Options{Score: s, AlphaMax: alphaMax})
		require.NoError(t, err)
		return found[0]
	}
	for s, want := range map[Score]Subset{
		BerkJones:         {10.6370401477, 0.07, []int{0}, []int{0, 3, 4, 9}},
		HigherCriticism:   {7.54983443527, 0.05, []int{0}, []int{0, 3, 4}},
		KolmogorovSmirnov: {1.9677398202, 0.12, []int{0}, []int{0, 3, 4, 6, 9}},
	} {
		got := find(p, s, 0)
		assert.InEpsilon(t, want.Score, got.Score, 1e-9)
		want.Score = got.Score
		assert.Equal(t, want, got)
		assert.Equal(t, Subset{Rows: []int{0}, Nodes: []int{}}, find(p, s, 0.01))
	}
	assert.InEpsilon(t, 8.98719682066, find(p, BerkJones, 0.05).Score, 1e-9)
	assert.InEpsilon(t, 7.54983443527, find(p, HigherCriticism, 0.05).Score, 1e-9)
	assert.InEpsilon(t, 1.64544826719, find(p, KolmogorovSmirnov, 0.05).Score, 1e-9)

	even := make([]float64, 300)
	for i := range even {
		even[i] = float64(i+1) / 300
	}
	for s, want := range map[Score]struct {
		score float64
		nodes int
	}{BerkJones: {110.363231975, 110}, KolmogorovSmirnov: {6.66666666667, 100}, HigherCriticism: {17.2916164658, 1}} {
		got := find(ranksOf(t, [][]float64{even}), s, 0)
		assert.InEpsilon(t, want.score, got.Score, 1e-9)
		assert.Len(t, got.Nodes, want.nodes)
	}
}

// table8x10 are p-values that a formula gives.
func table8x10() [][]float64 {
	p := make([][]float64, 8)
	for i := range p {
		for j := range 10 {
			a, b := i+1, j+1
			p[i] = append(p[i], float64((a*7919+b*104729+31*a*b*(a+b-1))%99+1)/100)
		}
	}
	return p
}

func TestGroupGolden(t *testing.T) {
	p := table8x10()
	row := []int{}
	for _, v := range p[0] {
		row = append(row, int(math.Round(100*v)))
	}
	require.Equal(t, []int{18, 98, 42, 48, 17, 48, 42, 98, 18, 99}, row)
	r := ranksOf(t, p)
	for s, want := range map[Score]Subset{
		BerkJones:         {10.9578588926, 0.18, []int{0, 1, 3}, []int{0, 2, 4, 7, 8}},
		KolmogorovSmirnov: {2.1430507849, 0.18, []int{0, 1, 3}, []int{0, 2, 4, 7, 8}},
		HigherCriticism:   {5.6862407031, 0.03, []int{1}, []int{7}},
	} {
		got, err := Exact(r, Options{Score: s})
		require.NoError(t, err)
		assert.InEpsilon(t, want.Score, got.Score, 1e-9, s)
		want.Score = got.Score
		assert.Equal(t, want, got, s)
	}
	climbs := func(s Score) []Climb {
		_, climbs, err := Group(r, Options{Score: s, Starts: 2, NoLadder: true})
		require.NoError(t, err)
		return climbs
	}
	bj := climbs(BerkJones)
	assert.InDeltaSlice(t, []float64{4.6469426943, 10.6317410516}, bj[0].Scores[:2], 1e-9)
	assert.InDelta(t, 10.6317410516, slices.Max(bj[0].Scores), 1e-9, "it is stuck")
	assert.InDeltaSlice(t, []float64{4.3701715171, 9.2805169336, 10.9578588926}, bj[1].Scores[:3], 1e-9)
	assert.InDelta(t, 5.5781383833, slices.Max(climbs(HigherCriticism)[1].Scores), 1e-9)
}

// Both fixed starts end elsewhere; random ones find the best subset.
func TestRandomStarts(t *testing.T) {
	ranks := [][]int{{4, 11, 10, 7, 2, 16}, {16, 2, 13, 15, 15, 17}, {10, 15, 9, 2, 17, 12}, {7, 16, 19, 8, 5, 17}, {17, 4, 7, 11, 14, 11}}
	p := make([][]float64, len(ranks))
	for i, row := range ranks {
		for _, k := range row {
			p[i] = append(p[i], float64(k)/20)
		}
	}
	r := ranksOf(t, p)
	best, err := Exact(r, Options{})
	require.NoError(t, err)
	require.InDelta(t, 6*math.Log(2.5), best.Score, 1e-9)
	require.Equal(t, []int{0, 3}, best.Rows)
	require.Equal(t, []int{0, 3, 4}, best.Nodes)
	require.Equal(t, 0.4, best.Alpha)
	fixed, _, err := Group(r, Options{Starts: 2, NoLadder: true})
	require.NoError(t, err)
	require.InDelta(t, 1.8112908583, fixed.Score, 1e-9)
	reached := 0
	for seed := range uint64(100) {
		got, _, err := Group(r, Options{Starts: 30, NoLadder: true, Seed: seed})
		require.NoError(t, err)
		if got.Score > best.Score-1e-9 {
			reached++
		}
	}
	t.Log(reached)
	require.GreaterOrEqual(t, reached, 97)
}

// draw makes ranks out of few values, so that there are ties.
func draw(rng *rand.Rand, rows, nodes, values int) [][]float64 {
	p := make([][]float64, rows)
	for i := range p {
		for range nodes {
			p[i] = append(p[i], float64(1+rng.IntN(values))/float64(values))
		}
	}
	return p
}

// brute tries all subsets of rows and of nodes.
func brute(p [][]float64, s Score, alphaMax float64) (best float64, optima int) {
	var levels []float64
	for _, row := range p {
		levels = append(levels, row...)
	}
	slices.Sort(levels)
	levels = slices.Compact(levels)
	for rows := 1; rows < 1<<len(p); rows++ {
		for nodes := 1; nodes < 1<<len(p[0]); nodes++ {
			score := 0.
			for _, alpha := range levels {
				if alpha > alphaMax {
					break
				}
				n, all := 0, 0
				for i, row := range p {
					for j, v := range row {
						if rows>>i&1 == 1 && nodes>>j&1 == 1 {
							all++
							if v <= alpha {
								n++
							}
						}
					}
				}
				score = max(score, s.Value(n, all, alpha))
			}
			switch {
			case score > best*(1+1e-12):
				best, optima = score, 1
			case score > 0 && score >= best*(1-1e-12):
				optima++
			}
		}
	}
	return best, optima
}

// scoreOf is the score of a subset at its α, from the p-values.
func scoreOf(p [][]float64, s Score, found Subset) float64 {
	n := 0
	for _, i := range found.Rows {
		for _, j := range found.Nodes {
			if p[i][j] <= found.Alpha {
				n++
			}
		}
	}
	return s.Value(n, len(found.Rows)*len(found.Nodes), found.Alpha)
}

func TestSinglesAreExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1500 {
		p := draw(rng, 1, 1+rng.IntN(10), 1+rng.IntN(30))
		for s := range scores {
			alphaMax := []float64{0.1, 0.5, 1}[rng.IntN(3)]
			found, err := Singles(ranksOf(t, p), Options{Score: s, AlphaMax: alphaMax})
			require.NoError(t, err)
			want, _ := brute(p, s, alphaMax)
			require.InDelta(t, want, found[0].Score, 1e-9)
			if want > 0 {
				require.InDelta(t, want, scoreOf(p, s, found[0]), 1e-9, "the subset has the score")
			}
		}
	}
}

func TestExactIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	reached, tried := 0, 0
	for i := range 400 {
		p := draw(rng, 1+rng.IntN(5), 1+rng.IntN(6), 1+rng.IntN(25))
		for s := range scores {
			r, o := ranksOf(t, p), Options{Score: s, Seed: uint64(i)}
			found, err := Exact(r, o)
			require.NoError(t, err)
			want, _ := brute(p, s, 0.5)
			require.InDelta(t, want, found.Score, 1e-9)
			if want > 0 {
				require.InDelta(t, want, scoreOf(p, s, found), 1e-9)
			}
			group, climbs, err := Group(r, o)
			require.NoError(t, err)
			require.LessOrEqual(t, group.Score, want+1e-9, "no climb is above the maximum")
			for _, c := range climbs {
				require.True(t, slices.IsSorted(c.Scores), "a climb does not fall: %v", c.Scores)
			}
			if group.Score > 0 {
				require.InDelta(t, group.Score, scoreOf(p, s, group), 1e-9)
			}
			tried++
			if group.Score > want-1e-9 {
				reached++
			}
		}
	}
	t.Logf("%d of %d reached the maximum", reached, tried)
	require.Greater(t, reached*100, 90*tried)
}
