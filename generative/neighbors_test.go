package generative

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
)

// Golden values are those of prdc 0.2 (the authors of density and coverage).
func TestComparePRDC(t *testing.T) {
	x := wave(50, 3, func(v float64) float64 { return math.Sin(v * v * .37) })
	y := wave(40, 3, func(v float64) float64 { return .8*math.Cos(v*v*.23) + .3 })
	for k, want := range map[int]Fidelity{
		3: {Precision: .975, Recall: .72, Density: .8833333333333333, Coverage: .62},
		5: {Precision: 1, Recall: .82, Density: .985, Coverage: .86},
	} {
		got, err := Compare(x, y, k)
		require.NoError(t, err)
		requireSame(t, want, got)
	}
}

func requireSame(t *testing.T, want, got Fidelity) {
	t.Helper()
	require.InDelta(t, want.Precision, got.Precision, 1e-12)
	require.InDelta(t, want.Recall, got.Recall, 1e-12)
	require.InDelta(t, want.Density, got.Density, 1e-12)
	require.InDelta(t, want.Coverage, got.Coverage, 1e-12)
}

// brute is Compare by its definition.
func brute(x, y [][]float64, k int) (f Fidelity) {
	radius := func(set [][]float64, i int) float64 {
		var all []float64
		for j := range set {
			if j != i {
				all = append(all, distance2(set[i], set[j]))
			}
		}
		slices.Sort(all)
		return all[k-1]
	}
	share := func(from, of [][]float64) float64 { // of the second that lies in a ball of the first
		in := 0
		for _, b := range of {
			if slices.ContainsFunc(from, func(a []float64) bool {
				i := slices.IndexFunc(from, func(c []float64) bool { return &c[0] == &a[0] })
				return distance2(a, b) <= radius(from, i)
			}) {
				in++
			}
		}
		return float64(in) / float64(len(of))
	}
	f.Precision, f.Recall = share(x, y), share(y, x)
	for i := range x {
		covered := 0.0
		for j := range y {
			if distance2(x[i], y[j]) <= radius(x, i) {
				f.Density += 1 / float64(k*len(y))
				covered = 1 / float64(len(x))
			}
		}
		f.Coverage += covered
	}
	return f
}

func TestCompareBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	partly := 0
	for range 30 {
		n, m, d := 6+rng.IntN(20), 6+rng.IntN(20), 1+rng.IntN(5)
		x, y := normal(rng, n, d, 0, 1), normal(rng, m, d, 2*rng.Float64(), .5+rng.Float64())
		k := 1 + rng.IntN(5)
		got, err := Compare(x, y, k)
		require.NoError(t, err)
		requireSame(t, brute(x, y, k), got)
		if got.Precision > 0 && got.Precision < 1 && got.Recall > 0 && got.Recall < 1 {
			partly++
		}
	}
	require.Greater(t, partly, 5) // samples that tell something
}

// rotated turns samples by a random orthogonal matrix and puts them in another order.
func rotated(rng *rand.Rand, sets ...[][]float64) (all [][][]float64) {
	d := len(sets[0][0])
	var qr mat.QR
	qr.Factorize(mat.NewDense(d, d, slices.Concat(normal(rng, d, d, 0, 1)...)))
	var q mat.Dense
	qr.QTo(&q)
	for _, set := range sets {
		var turned mat.Dense
		turned.Mul(mat.NewDense(len(set), d, slices.Concat(set...)), &q)
		rows := make([][]float64, len(set))
		for i, j := range rng.Perm(len(set)) {
			rows[i] = turned.RawRowView(j)
		}
		all = append(all, rows)
	}
	return all
}

func TestInvariance(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	for range 10 {
		d := 2 + rng.IntN(5)
		x, y := normal(rng, 30, d, 0, 1), normal(rng, 25, d, .5, 1.5)
		turned := rotated(rng, x, y)
		for name, measure := range map[string]func(x, y [][]float64) (float64, error){
			"frechet": Frechet, "kernel": Kernel,
			"diversity": func(x, _ [][]float64) (float64, error) { return Diversity(x) },
		} {
			want, err := measure(x, y)
			require.NoError(t, err)
			got, err := measure(turned[0], turned[1])
			require.NoError(t, err)
			require.InDelta(t, want, got, 1e-9*math.Max(1, math.Abs(want)), name)
		}
		want, err := Compare(x, y, 3)
		require.NoError(t, err)
		got, err := Compare(turned[0], turned[1], 3)
		require.NoError(t, err)
		requireSame(t, want, got)
	}
}

func TestCompareWithItself(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	for _, mean := range []float64{0, 1e6} {
		x := normal(rng, 40, 7, mean, 1)
		x = append(x, x[:20]...) // some more than once: they reach 0 far with k = 1
		for _, k := range []int{1, 5} {
			f, err := Compare(x, x, k)
			require.NoError(t, err)
			require.InDelta(t, 1, f.Precision, 1e-12, "mean %g, k %d", mean, k)
			require.InDelta(t, 1, f.Recall, 1e-12)
			require.InDelta(t, 1, f.Coverage, 1e-12)
			require.GreaterOrEqual(t, f.Density, 1.0)
		}
	}
}

func TestNearest(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	among := normal(rng, 50, 8, 3, 1)
	samples := append(normal(rng, 10, 8, 3, 1), among[17], among[0])
	distances, rows, err := Nearest(samples, among)
	require.NoError(t, err)
	for i, s := range samples {
		best := 0
		for j := range among {
			if distance2(s, among[j]) < distance2(s, among[best]) {
				best = j
			}
		}
		require.Equal(t, best, rows[i])
		require.Equal(t, math.Sqrt(distance2(s, among[best])), distances[i])
	}
	require.Equal(t, []float64{0, 0}, distances[10:])
	require.Equal(t, []int{17, 0}, rows[10:])
	require.Greater(t, slices.Min(distances[:10]), 0.0)
}

func TestDiversity(t *testing.T) {
	v, err := Diversity([][]float64{{0, 0}, {3, 4}, {3, 0}})
	require.NoError(t, err)
	require.InDelta(t, 4, v, 1e-12) // 5, 3 and 4
}

func TestEffectiveClasses(t *testing.T) {
	for _, c := range []struct {
		labels []int32
		want   float64
	}{{[]int32{7, 7, 7}, 1}, {[]int32{0, 1, 2, 3, 4}, 5}, {[]int32{0, 0, 1, 1, 9, 9}, 3}, {[]int32{0, 0, 0, 1}, 1.7547653506033232}} {
		got, err := EffectiveClasses(c.labels, 10)
		require.NoError(t, err)
		require.InDelta(t, c.want, got, 1e-12)
	}
	_, err := EffectiveClasses(nil, 10)
	require.ErrorContains(t, err, "no labels")
	_, err = EffectiveClasses([]int32{0, 9, 10}, 10)
	require.ErrorContains(t, err, "label 2 is 10: want 0 to 9, one of 10 classes")
	_, err = EffectiveClasses([]int32{-1}, 10)
	require.ErrorContains(t, err, "label 0 is -1")
	_, err = EffectiveClasses([]int32{0}, 0)
	require.ErrorContains(t, err, "one of 0 classes")
}

// Blocks of any number of rows give the same bits.
func TestBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	x, y := normal(rng, 83, 100, 0, 1), normal(rng, 61, 100, .2, 1)
	for i := range 10 {
		y[i] = x[i]
	}
	want, err := Measure(x, y, Options{Seed: 1})
	require.NoError(t, err)
	before := blockValues
	t.Cleanup(func() { blockValues = before })
	for _, blockValues = range []int{1, 61, 3 * 83, 70 * 83, 1 << 20} {
		got, err := Measure(x, y, Options{Seed: 1})
		require.NoError(t, err)
		require.Equal(t, want, got, "%d values in a block", blockValues)
	}
}

// Products are the same bits whatever is beside: a copy of a sample's k-th neighbor is as far away as that is, at any width, with
// any number of others.
func TestCopiesAreWithinReach(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	for _, d := range []int{3, 64, 65, 200} {
		x := normal(rng, 150, d, 5, 1)
		sparse, err := matrix("sample", x, 1, "")
		require.NoError(t, err)
		to := make([]int, len(x)) // each one's third neighbor
		require.NoError(t, squaredDistances("", sparse, sparse, func(i int, row []float64) {
			row[i] = -1
			order := make([]int, len(row))
			for j := range order {
				order[j] = j
			}
			slices.SortFunc(order, func(a, b int) int { return cmp.Compare(row[a], row[b]) })
			to[i] = order[3]
		}))
		for i := range 3 {
			copied := [][]float64{x[to[i]], x[to[i]], x[to[i]], x[to[i]]}
			f, err := Compare(x, copied, 3)
			require.NoError(t, err)
			require.InDelta(t, 1, f.Precision, 0)
			in := 0 // those for which it is one of three, with itself
			for j := range x {
				if j == to[i] || slices.Contains(nearestThree(x, j), to[i]) {
					in++
				}
			}
			require.InDelta(t, float64(in)/150, f.Coverage, 1e-12, "width %d", d)
		}
	}
}

func nearestThree(x [][]float64, i int) []int {
	order := make([]int, len(x))
	for j := range order {
		order[j] = j
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(distance2(x[i], x[a]), distance2(x[i], x[b])) })
	return order[1:4]
}

// Distances of whole numbers, and of multiples of 1/8, that are equal stay equal, wherever these are.
func TestTies(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 1))
	for _, at := range []float64{0, 3, 1e6 + 1, -77} {
		for _, step := range []float64{1, 0.125} {
			grid := func(n int) [][]float64 {
				return wave(n, 3, func(float64) float64 { return at + step*float64(rng.IntN(4)) })
			}
			x, y := grid(40), grid(30)
			got, err := Compare(x, y, 3)
			require.NoError(t, err)
			requireSame(t, brute(x, y, 3), got)
		}
	}
}
