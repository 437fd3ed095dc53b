package generative

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
)

// wave are n·d values of f(i), d in a row.
func wave(n, d int, f func(i float64) float64) [][]float64 {
	rows := make([][]float64, n)
	for i := range n * d {
		rows[i/d] = append(rows[i/d], f(float64(i)))
	}
	return rows
}

func normal(seed uint64, n, d int) [][]float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	return wave(n, d, func(float64) float64 { return rng.NormFloat64() })
}

func sym(d int, values ...float64) *mat.SymDense { return mat.NewSymDense(d, values) }

// TestFrechetOf: closed forms of diagonal covariances, and one that scipy.linalg.sqrtm gives.
func TestFrechetOf(t *testing.T) {
	for _, c := range []struct {
		m1   []float64
		s1   *mat.SymDense
		m2   []float64
		s2   *mat.SymDense
		want float64
	}{
		{[]float64{0, 0}, sym(2, 2, 0.5, 0.5, 1), []float64{1, -1}, sym(2, 1, -0.2, -0.2, 0.5), 2.4530575272},
		{[]float64{0, 0}, sym(2, 4, 0, 0, 9), []float64{0, 0}, sym(2, 1, 0, 0, 1), 5},
		{[]float64{1, 2, 3}, sym(3, 1, 0, 0, 0, 4, 0, 0, 0, 9), []float64{0, 0, 0}, sym(3, 4, 0, 0, 0, 1, 0, 0, 0, 1), 20},
		{[]float64{1, 2}, sym(2, 2, 0.5, 0.5, 1), []float64{1, 2}, sym(2, 2, 0.5, 0.5, 1), 0},
		{[]float64{0, 0}, sym(2, 1, 1, 1, 1), []float64{0, 0}, sym(2, 0, 0, 0, 0), 2}, // singular
	} {
		got, err := FrechetOf(c.m1, c.s1, c.m2, c.s2)
		require.NoError(t, err)
		require.InDelta(t, c.want, got, 1e-9)
		back, err := FrechetOf(c.m2, c.s2, c.m1, c.s1)
		require.NoError(t, err)
		require.InDelta(t, got, back, 1e-9)
	}
	_, err := FrechetOf([]float64{0}, sym(2, 1, 0, 0, 1), []float64{0}, sym(1, 1))
	require.ErrorContains(t, err, "want one dimension")
}

// TestFrechet: numbers of numpy and scipy; fewer samples than features give what many give.
func TestFrechet(t *testing.T) {
	for _, c := range []struct {
		x, y  [][]float64
		want  float64
		delta float64
	}{
		{[][]float64{{1, 0}, {0, 1}, {1, 1}, {0, 0}}, [][]float64{{2, 0}, {0, 2}, {1, 1}, {3, 1}}, 1.9503401715, 1e-9},
		{wave(20, 3, func(i float64) float64 { return math.Sin(0.7 * i) }), wave(20, 3, func(i float64) float64 { return math.Cos(0.5*i) + 0.2 }),
			0.1136416680, 1e-9},
		{wave(4, 10, func(i float64) float64 { return math.Sin(0.7 * i) }), wave(4, 10, func(i float64) float64 { return math.Cos(0.5 * i) }),
			6.47396, 1e-5},
	} {
		got, err := Frechet(c.x, c.y)
		require.NoError(t, err)
		require.InDelta(t, c.want, got, c.delta)
		same, err := Frechet(c.x, c.x)
		require.NoError(t, err)
		require.InDelta(t, 0, same, 1e-7)
		// The other way: by covariances.
		x, y, err := matrices("", c.x, c.y, 2)
		require.NoError(t, err)
		xm, xc := moments(x)
		ym, yc := moments(y)
		whole, err := FrechetOf(xm, covariance(xc), ym, covariance(yc))
		require.NoError(t, err)
		require.InDelta(t, got, whole, 1e-6)
	}
}

// TestKernel: by hand, and brute force.
func TestKernel(t *testing.T) {
	got, err := Kernel([][]float64{{1, 0}, {0, 1}, {1, 1}}, [][]float64{{2, 0}, {0, 2}})
	require.NoError(t, err)
	require.InDelta(t, -7.75, got, 1e-12)
	x := wave(20, 3, func(i float64) float64 { return math.Sin(0.7 * i) })
	y := wave(20, 3, func(i float64) float64 { return math.Cos(0.5*i) + 0.2 })
	got, err = Kernel(x, y)
	require.NoError(t, err)
	require.InDelta(t, 0.0253798775, got, 1e-9)

	x, y = normal(1, 9, 4), normal(2, 7, 4)
	k := func(a, b []float64) float64 {
		dot := 0.0
		for i := range a {
			dot += a[i] * b[i]
		}
		return math.Pow(dot/4+1, 3)
	}
	mean := func(a, b [][]float64, same bool) float64 {
		sum, n := 0.0, 0
		for i := range a {
			for j := range b {
				if !same || i != j {
					sum, n = sum+k(a[i], b[j]), n+1
				}
			}
		}
		return sum / float64(n)
	}
	got, err = Kernel(x, y)
	require.NoError(t, err)
	require.InDelta(t, mean(x, x, true)+mean(y, y, true)-2*mean(x, y, false), got, 1e-9)

	all, deviation, err := KernelSubsets(x, y, 3, 100, 1) // as many samples of each as there are of the smaller set
	require.NoError(t, err)
	require.Positive(t, deviation)
	require.InDelta(t, got, all, 1)
	whole, deviation, err := KernelSubsets(x[:7], y, 4, 7, 1)
	require.NoError(t, err)
	got, err = Kernel(x[:7], y)
	require.NoError(t, err)
	require.InDelta(t, got, whole, 1e-9)
	require.InDelta(t, 0, deviation, 1e-9)
	_, _, err = KernelSubsets(x, y, 0, 5, 1)
	require.ErrorContains(t, err, "want at least 1 of 2")
}

// TestCompareByBruteForce counts as the papers define.
func TestCompareByBruteForce(t *testing.T) {
	distance := func(a, b []float64) float64 { return math.Sqrt(distance2(a, b)) }
	for seed := range uint64(5) {
		x, y := normal(seed, 30, 3), normal(seed+100, 25, 3)
		for i := range y {
			y[i][0] += 0.7
		}
		for _, k := range []int{1, 3, 5} {
			reaches := func(set [][]float64, i int) float64 {
				var all []float64
				for j := range set {
					if i != j {
						all = append(all, distance(set[i], set[j]))
					}
				}
				for range k - 1 { // drop the least
					least := 0
					for j := range all {
						if all[j] < all[least] {
							least = j
						}
					}
					all = append(all[:least], all[least+1:]...)
				}
				least := math.Inf(1)
				for _, v := range all {
					least = min(least, v)
				}
				return least
			}
			var want Fidelity
			for j := range y {
				in, times := false, 0
				for i := range x {
					if distance(x[i], y[j]) <= reaches(x, i) {
						in = true
						times++
					}
				}
				want.Precision += float64(one(in)) / 25
				want.Density += float64(times) / float64(k) / 25
			}
			for i := range x {
				recalled, covered := false, false
				for j := range y {
					recalled = recalled || distance(x[i], y[j]) <= reaches(y, j)
					covered = covered || distance(x[i], y[j]) <= reaches(x, i)
				}
				want.Recall += float64(one(recalled)) / 30
				want.Coverage += float64(one(covered)) / 30
			}
			got, err := Compare(x, y, k)
			require.NoError(t, err)
			require.InDelta(t, want.Precision, got.Precision, 1e-12)
			require.InDelta(t, want.Recall, got.Recall, 1e-12)
			require.InDelta(t, want.Density, got.Density, 1e-12)
			require.InDelta(t, want.Coverage, got.Coverage, 1e-12)
		}
	}
}

// TestInvariance: turning all features, or another order of samples, changes nothing; a set compared with itself is perfect.
func TestInvariance(t *testing.T) {
	x, y := normal(1, 40, 5), normal(2, 40, 5)
	var qr mat.QR
	var q mat.Dense
	qr.Factorize(mat.NewDense(5, 5, normal(3, 1, 25)[0]))
	qr.QTo(&q)
	turn := func(rows [][]float64) [][]float64 {
		turned := make([][]float64, len(rows))
		for i := range rows {
			var v mat.VecDense
			v.MulVec(&q, mat.NewVecDense(5, rows[len(rows)-1-i])) // and the other way round
			turned[i] = v.RawVector().Data
		}
		return turned
	}
	a, err := Measure(x, y, Options{})
	require.NoError(t, err)
	b, err := Measure(turn(x), turn(y), Options{})
	require.NoError(t, err)
	require.InDelta(t, a.Frechet, b.Frechet, 1e-8)
	require.InDelta(t, a.Kernel, b.Kernel, 1e-8)
	require.Equal(t, a.Fidelity, b.Fidelity)
	require.InDelta(t, a.DiversityGenerated, b.DiversityGenerated, 1e-8)
	require.InDelta(t, a.Nearest, b.Nearest, 1e-8)

	own, err := Measure(x, x, Options{})
	require.NoError(t, err)
	require.InDelta(t, 0, own.Frechet, 1e-9)
	require.Equal(t, Fidelity{Precision: 1, Recall: 1, Density: own.Density, Coverage: 1}, own.Fidelity)
	require.Zero(t, own.Nearest)
	require.Equal(t, own.DiversityReal, own.DiversityGenerated)
	require.Empty(t, own.Notes, "40 samples are 8 times 5 features")

	few, err := Measure(x[:10], y, Options{K: 3})
	require.NoError(t, err)
	require.Nil(t, few.FrechetInfinity, "fewer than 20 samples")
	require.Len(t, few.Notes, 2)
}

// TestFrechetInfinity: two samples of one distribution are 0 apart, which few samples do not show. The samples are themselves
// drawn, so the mean over several pairs is looked at.
func TestFrechetInfinity(t *testing.T) {
	const pairs = 12
	plain, mean := 0.0, 0.0
	for pair := range uint64(pairs) {
		x, y := normal(2*pair, 400, 20), normal(2*pair+1, 400, 20)
		v, err := Frechet(x, y)
		require.NoError(t, err)
		e, err := FrechetInfinity(x, y, 1)
		require.NoError(t, err)
		require.Positive(t, e.Slope)
		require.Equal(t, 80, e.Sizes[0])
		require.Equal(t, 400, e.Sizes[len(e.Sizes)-1])
		again, err := FrechetInfinity(x, y, 1)
		require.NoError(t, err)
		require.Equal(t, e, again)
		plain, mean = plain+v/pairs, mean+e.Value/pairs
	}
	require.Greater(t, plain, 0.4)
	require.InDelta(t, 0, mean, plain/8)
}

func TestDiversityAndNearest(t *testing.T) {
	d, err := Diversity([][]float64{{0, 0}, {3, 4}, {3, 0}})
	require.NoError(t, err)
	require.InDelta(t, 4, d, 1e-12)
	distances, rows, err := Nearest([][]float64{{1, 1}, {9, 9}}, [][]float64{{0, 0}, {9, 9}, {2, 1}})
	require.NoError(t, err)
	require.Equal(t, []int{2, 1}, rows)
	require.Equal(t, []float64{1, 0}, distances)
	far := normal(1, 50, 8)
	for i := range far {
		for j := range far[i] {
			far[i][j] += 1e9 // where products lose their digits
		}
	}
	distances, rows, err = Nearest(far, far)
	require.NoError(t, err)
	for i := range far {
		require.Equal(t, i, rows[i])
		require.Zero(t, distances[i])
	}
	for classes := range int32(6) {
		var labels []int32
		for l := range 3 * (classes + 1) {
			labels = append(labels, l%(classes+1))
		}
		n, err := EffectiveClasses(labels)
		require.NoError(t, err)
		require.InDelta(t, float64(classes+1), n, 1e-9)
	}
	_, err = EffectiveClasses(nil)
	require.ErrorContains(t, err, "no labels")
}

func TestBadFeatures(t *testing.T) {
	good := normal(1, 6, 2)
	for want, sets := range map[string][2][][]float64{
		"FID needs ≥2 samples per set, got 1 real":                 {good[:1], good},
		"FID needs ≥2 samples per set, got 0 generated":            {good, nil},
		"sample 1 has 1 features, the first has 2":                 {{{1, 2}, {1}}, good},
		"generated sample 1, feature 0 is NaN":                     {good, {{1, 2}, {math.NaN(), 1}}},
		"real sample 0, feature 1 is +Inf":                         {{{1, math.Inf(1)}, {1, 1}}, good},
		"2 real and 3 generated features: want those of one netwo": {good, normal(1, 4, 3)},
		"have no features":                                         {{{}, {}}, good},
	} {
		_, err := Measure(sets[0], sets[1], Options{})
		require.ErrorContains(t, err, want)
	}
	_, err := Compare(good, good, 6)
	require.ErrorContains(t, err, "with k = 6 needs ≥7 samples per set, got 6 real")
	_, err = Compare(good, good, 0)
	require.ErrorContains(t, err, "want at least 1")
	_, err = FrechetInfinity(good, good, 1)
	require.ErrorContains(t, err, "FID∞ needs ≥20 samples")
	_, err = Diversity(good[:1])
	require.ErrorContains(t, err, "diversity needs ≥2 samples")
}
