package scan

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
)

// uniform are p-values k/(B+1), B = 999, as of samples that are like their background.
func uniform(rng *rand.Rand, rows, nodes int) [][]float64 { return draw(rng, rows, nodes, 1000) }

// TestPlantedBlock: a block of small p-values is found, all of it and nothing else.
func TestPlantedBlock(t *testing.T) {
	for seed := range uint64(12) {
		for _, width := range []int{40, 20} {
			rng := rand.New(rand.NewPCG(seed, uint64(width)))
			p := uniform(rng, 100, 400)
			rows, nodes := rng.Perm(100)[:10], rng.Perm(400)[:width]
			for _, i := range rows {
				for _, j := range nodes {
					p[i][j] = float64(1+rng.IntN(50)) / 1000
				}
			}
			r := ranksOf(t, p)
			for s := range scores {
				found, _, err := Group(r, Options{Score: s, Seed: seed})
				require.NoError(t, err)
				precision, recall := Overlap(found.Rows, rows)
				assert.Equal(t, []float64{1, 1}, []float64{precision, recall}, "rows, %s, 10x%d, seed %d", s, width, seed)
				precision, recall = Overlap(found.Nodes, nodes)
				assert.Equal(t, []float64{1, 1}, []float64{precision, recall}, "nodes, %s, 10x%d, seed %d", s, width, seed)
			}
		}
	}
}

// TestNull: what single scans find where there is nothing, as derived for n uniform p-values: Berk-Jones n/e with n/e nodes,
// Kolmogorov-Smirnov (2/3)·√(n/3) with n/3.
func TestNull(t *testing.T) {
	r := ranksOf(t, uniform(rand.New(rand.NewPCG(5, 6)), 400, 1000))
	for s, want := range map[Score]struct{ score, within, nodes, nodesWithin float64 }{
		BerkJones: {373.8, 3, 371, 8}, KolmogorovSmirnov: {12.25, 0.06, 336, 6}, HigherCriticism: {39.3, 2, 0, math.Inf(1)},
	} {
		found, err := Singles(r, Options{Score: s})
		require.NoError(t, err)
		var all, nodes []float64
		for _, f := range found {
			all, nodes = append(all, f.Score), append(nodes, float64(len(f.Nodes)))
		}
		assert.InDelta(t, want.score, stat.Mean(all, nil), want.within, s)
		assert.InDelta(t, want.nodes, stat.Mean(nodes, nil), want.nodesWithin, s)
	}
}

func normals(rng *rand.Rand, rows, nodes int) [][]float32 {
	x := make([][]float32, rows)
	for i := range x {
		x[i] = make([]float32, nodes)
		for j := range x[i] {
			x[i][j] = float32(rng.NormFloat64())
		}
	}
	return x
}

// TestCleanAgainstClean: there is nothing to detect, and p-values of what is like the background are valid and uniform.
func TestCleanAgainstClean(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	b, err := NewBackground(normals(rng, 500, 100))
	require.NoError(t, err)
	pool := normals(rng, 600, 100)
	_, most, err := b.PValues(pool, Two)
	require.NoError(t, err)
	for _, alpha := range []float64{0.01, 0.1, 0.3, 0.5} {
		share := 0.
		for _, row := range most {
			for _, p := range row {
				if p <= alpha {
					share += 1 / float64(len(pool)*len(row))
				}
			}
		}
		assert.InDelta(t, alpha, share, 0.01)
	}
	r, err := b.Ranks(pool, Upper)
	require.NoError(t, err)
	o := Options{Score: KolmogorovSmirnov, Starts: 2, NoLadder: true}
	same, err := DetectionPower(r, r, 50, 0, 100, o)
	require.NoError(t, err)
	require.InDelta(t, 0.5, same.AUC, 0.1)
	singles, err := Singles(r, o)
	require.NoError(t, err)
	var halves [2][]float64
	for i, s := range singles {
		halves[i%2] = append(halves[i%2], s.Score)
	}
	single, err := Detect(halves[0], halves[1])
	require.NoError(t, err)
	require.LessOrEqual(t, single.Low, 0.5)
	require.GreaterOrEqual(t, single.High, 0.5)

	// Groups of unequal sizes would seem to differ: the reason why DetectionPower has none.
	larger, err := DetectionPower(r, r, 100, 0, 100, o)
	require.NoError(t, err)
	trap, err := Detect(same.Clean, larger.Clean)
	require.NoError(t, err)
	require.Greater(t, trap.AUC, 0.9)
}

// TestDetects: rows that are shifted in some nodes are told from clean ones, and found.
func TestDetects(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	b, err := NewBackground(normals(rng, 500, 80))
	require.NoError(t, err)
	shifted := normals(rng, 60, 80)
	for _, row := range shifted {
		for j := range 15 {
			row[j] += 2
		}
	}
	clean, err := b.Ranks(normals(rng, 300, 80), Upper)
	require.NoError(t, err)
	anomalous, err := b.Ranks(shifted, Upper)
	require.NoError(t, err)
	p, err := DetectionPower(clean, anomalous, 40, 8, 12, Options{Starts: 4})
	require.NoError(t, err)
	require.Greater(t, p.AUC, 0.95)
	require.Greater(t, p.RowPrecision, 0.9)
	require.Greater(t, p.RowRecall, 0.9)
	again, err := DetectionPower(clean, anomalous, 40, 8, 12, Options{Starts: 4, Workers: 1})
	require.NoError(t, err)
	require.Equal(t, p, again, "the result does not depend on the workers")
	low, err := b.Ranks(normals(rng, 300, 80), Lower)
	require.NoError(t, err)
	require.NotEqual(t, clean.small, low.small)
}

// TestInvariance: what grows with an activation, and the order of samples and nodes, change nothing but the names.
func TestInvariance(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	background, rows := normals(rng, 60, 12), normals(rng, 15, 12)
	scan := func(background, rows [][]float32) Subset {
		b, err := NewBackground(background)
		require.NoError(t, err)
		r, err := b.Ranks(rows, Two)
		require.NoError(t, err)
		found, err := Exact(r, Options{})
		require.NoError(t, err)
		return found
	}
	want := scan(background, rows)
	grown := func(x [][]float32) [][]float32 {
		y := make([][]float32, len(x))
		for i, row := range x {
			for j, v := range row {
				y[i] = append(y[i], float32(math.Atan(float64(v)))*float32(j+1)+3)
			}
		}
		return y
	}
	require.Equal(t, want, scan(grown(background), grown(rows)))
	ofRows, ofNodes := rng.Perm(15), rng.Perm(12)
	turned := func(x [][]float32, order []int) [][]float32 {
		y := make([][]float32, len(x))
		for i, from := range order {
			for _, j := range ofNodes {
				y[i] = append(y[i], x[from][j])
			}
		}
		return y
	}
	back := func(list, order []int) (original []int) {
		for _, i := range list {
			original = append(original, order[i])
		}
		slices.Sort(original)
		return original
	}
	got := scan(turned(background, rng.Perm(60)), turned(rows, ofRows))
	require.InDelta(t, want.Score, got.Score, 1e-12)
	require.Equal(t, want.Rows, back(got.Rows, ofRows))
	require.Equal(t, want.Nodes, back(got.Nodes, ofNodes))
}

// TestDetectGolden: DeLong's interval, computed by hand. Two of six pairs are in the wrong order.
func TestDetectGolden(t *testing.T) {
	a, err := Detect([]float64{1, 3}, []float64{2, 2, 4})
	require.NoError(t, err)
	require.InDelta(t, 4./6, a.AUC, 1e-15)
	deviation := math.Sqrt(1./12/3 + 2./9/2) // of placements 1/2, 1/2, 1 and of 0, 2/3
	require.InDelta(t, max(0, 4./6-1.959963984540054*deviation), a.Low, 1e-12)
	require.Equal(t, 1., a.High)
	tied, err := Detect([]float64{1, 1}, []float64{1, 1})
	require.NoError(t, err)
	require.Equal(t, Area{0.5, 0.5, 0.5}, tied)
}

func TestBadInput(t *testing.T) {
	nan := float32(math.NaN())
	for want, x := range map[string][][]float32{
		"background without samples":                   nil,
		"background without nodes":                     {{}, {}},
		"sample 1 has 1 nodes, want 2":                 {{1, 2}, {3}},
		"sample 1, node 0 is NaN: want finite":         {{1, 2}, {nan, 3}},
		"a background of one sample":                   {{1, 2}},
		"all 3 samples of the background are the same": {{1, 2}, {1, 2}, {1, 2}},
	} {
		_, err := NewBackground(x)
		require.ErrorContains(t, err, want)
	}
	b, rows := small(t)
	for want, x := range map[string][][]float32{
		"activations without samples": {}, "sample 0 has 2 nodes, want 3": {{1, 2}}, "is +Inf": {{1, 2, float32(math.Inf(1))}},
	} {
		_, err := b.Ranks(x, Upper)
		require.ErrorContains(t, err, want)
	}
	_, err := b.Ranks(rows, Tail(3))
	require.ErrorContains(t, err, "tail 3: want upper, lower or two")
	for want, p := range map[string][][]float64{
		"no p-values": {}, "is 0: want more than 0": {{0.5, 0}}, "is 1.5": {{1.5}}, "is NaN": {{math.NaN()}},
		"sample 1 has 2 nodes, want 1": {{0.5}, {0.5, 0.5}},
	} {
		_, err := FromPValues(p)
		require.ErrorContains(t, err, want)
	}
	r, err := b.Ranks(rows, Upper)
	require.NoError(t, err)
	for want, o := range map[string]Options{
		"alpha 1.5": {AlphaMax: 1.5}, "alpha -0.1": {AlphaMax: -0.1}, "alpha NaN": {AlphaMax: math.NaN()},
		"score 7": {Score: 7}, "-2 starts": {Starts: -2}, "-1 workers": {Workers: -1},
	} {
		_, single := Singles(r, o)
		_, _, group := Group(r, o)
		_, exact := Exact(r, o)
		for _, err := range []error{single, group, exact} {
			require.ErrorContains(t, err, want)
		}
	}
	_, err = Singles(nil, Options{})
	require.ErrorContains(t, err, "no p-values")
	wide := ranksOf(t, uniform(rand.New(rand.NewPCG(1, 1)), 25, 25))
	_, err = Exact(wide, Options{})
	require.ErrorContains(t, err, "25 elements: at most 24")
	for want, k := range map[string][3]int{"take 30 clean rows": {20, 10, 2}, "10 rows with 11 anomalous": {10, 11, 2}, "1 runs": {5, 1, 1}} {
		_, err := DetectionPower(wide, wide, k[0], k[1], k[2], Options{})
		require.ErrorContains(t, err, want)
	}
	_, err = DetectionPower(wide, r, 5, 2, 2, Options{})
	require.ErrorContains(t, err, "different backgrounds")
	_, err = Detect([]float64{1}, []float64{1, 2})
	require.ErrorContains(t, err, "two of each")
	_, err = ParseScore("bj")
	require.ErrorContains(t, err, `score "bj"`)
	_, err = ParseTail("both")
	require.ErrorContains(t, err, `tail "both"`)
}

func ExampleGroup() {
	background := normals(rand.New(rand.NewPCG(1, 1)), 200, 6)
	samples := normals(rand.New(rand.NewPCG(2, 2)), 8, 6)
	for _, i := range []int{2, 5, 6} { // three samples in which nodes 1 and 4 are too large
		samples[i][1], samples[i][4] = 4, 5
	}
	b, err := NewBackground(background)
	if err != nil {
		panic(err)
	}
	ranks, err := b.Ranks(samples, Upper)
	if err != nil {
		panic(err)
	}
	found, _, err := Group(ranks, Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(found.Rows, found.Nodes)
	// Output: [2 5 6] [1 4]
}
