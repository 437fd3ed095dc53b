package generative

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// wave are n×d values of a wave, row by row.
func wave(n, d int, f func(float64) float64) [][]float64 {
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = make([]float64, d)
		for j := range d {
			rows[i][j] = f(float64(i*d + j))
		}
	}
	return rows
}

func sine(v float64) float64   { return math.Sin(.7 * v) }
func cosine(v float64) float64 { return math.Cos(.5 * v) }
func raised(v float64) float64 { return math.Cos(.5*v) + .2 }

// normal are samples of a normal distribution.
func normal(rng *rand.Rand, n, d int, mean, deviation float64) [][]float64 {
	return wave(n, d, func(float64) float64 { return mean + deviation*rng.NormFloat64() })
}

func diagonal(values ...float64) *mat.SymDense {
	s := mat.NewSymDense(len(values), nil)
	for i, v := range values {
		s.SetSym(i, i, v)
	}
	return s
}

// Golden values are those of numpy and scipy.linalg.sqrtm; those of diagonal covariances, of the closed form.
func TestFrechetOf(t *testing.T) {
	s1, s2 := mat.NewSymDense(2, []float64{2, .5, .5, 1}), mat.NewSymDense(2, []float64{1, -.2, -.2, .5})
	for name, c := range map[string]struct {
		m1, m2 []float64
		s1, s2 *mat.SymDense
		want   float64
	}{
		"general":   {[]float64{0, 0}, []float64{1, -1}, s1, s2, 2.453057527222491},
		"reversed":  {[]float64{1, -1}, []float64{0, 0}, s2, s1, 2.453057527222491},
		"same":      {[]float64{1, -1}, []float64{1, -1}, s1, s1, 0},
		"diagonal":  {[]float64{3, 3}, []float64{3, 3}, diagonal(4, 9), diagonal(1, 1), 5},
		"and means": {[]float64{1, 2, 3}, []float64{0, 0, 0}, diagonal(1, 4, 9), diagonal(4, 1, 1), 20},
		"singular":  {[]float64{0, 0}, []float64{0, 0}, diagonal(4, 0), diagonal(0, 9), 13},
	} {
		got, err := FrechetOf(c.m1, c.s1, c.m2, c.s2)
		require.NoError(t, err, name)
		require.InDelta(t, c.want, got, 1e-9, name)
	}
	_, err := FrechetOf([]float64{0, 0}, s1, []float64{0}, s2)
	require.ErrorContains(t, err, "want one dimension")
}

func TestFrechet(t *testing.T) {
	for _, c := range []struct {
		x, y        [][]float64
		want, delta float64
	}{
		{[][]float64{{1, 0}, {0, 1}, {1, 1}, {0, 0}}, [][]float64{{2, 0}, {0, 2}, {1, 1}, {3, 1}}, 1.9503401714778819, 1e-9},
		{wave(20, 3, sine), wave(20, 3, raised), 0.11364166797122932, 1e-9},
		{wave(4, 10, sine), wave(4, 10, cosine), 6.473958049997318, 1e-9}, // by numpy's nuclear norm; sqrtm is off by 1e-7 here
		{wave(20, 3, sine), wave(20, 3, sine), 0, 1e-9},
	} {
		got, err := Frechet(c.x, c.y)
		require.NoError(t, err)
		require.InDelta(t, c.want, got, c.delta)
	}
}

// Both ways to the trace of the root, by features and by samples, are taken with the same data.
func TestFrechetWays(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct{ n, m, d int }{{4, 4, 10}, {30, 20, 5}, {5, 40, 12}, {40, 3, 12}, {2, 2, 1}, {12, 12, 12}} {
		x, y, err := matrices("", comparedSets, normal(rng, c.n, c.d, 0, 1), normal(rng, c.m, c.d, .5, 2), 2)
		require.NoError(t, err)
		xm, xc := moments(x)
		ym, yc := moments(y)
		few, err := frechetOfFew(xm, xc, ym, yc)
		require.NoError(t, err)
		many, err := FrechetOf(xm, covariance(xc), ym, covariance(yc))
		require.NoError(t, err)
		require.InDelta(t, many, few, 1e-5, c) // roots of eigenvalues that are 0 but for rounding
		got, err := frechet(x, y)
		require.NoError(t, err)
		require.InDelta(t, few, got, 1e-5, c)
	}
}

// Two sets of one distribution: the plain distance is far above 0, the extrapolated one is not.
func TestFrechetInfinity(t *testing.T) {
	const runs = 30
	var plain, extrapolated []float64
	for seed := range int64(runs) {
		rng := rand.New(rand.NewPCG(uint64(seed), 2))
		x, y := normal(rng, 500, 10, 0, 1), normal(rng, 500, 10, 0, 1)
		v, err := Frechet(x, y)
		require.NoError(t, err)
		e, err := FrechetInfinity(x, y, seed)
		require.NoError(t, err)
		again, err := FrechetInfinity(x, y, seed)
		require.NoError(t, err)
		require.Equal(t, e, again)
		require.Greater(t, e.Slope, 0.0)
		require.Len(t, e.Sizes, 10)
		require.Equal(t, 100, e.Sizes[0])
		require.Equal(t, 500, e.Sizes[9])
		plain, extrapolated = append(plain, v), append(extrapolated, e.Value)
	}
	biased, deviation := stat.MeanStdDev(plain, nil)
	require.Greater(t, biased, 20*deviation/math.Sqrt(runs))
	near, deviation := stat.MeanStdDev(extrapolated, nil)
	require.InDelta(t, 0, near, 4*deviation/math.Sqrt(runs))
	require.InDelta(t, 0, near, biased/5)
	t.Logf("plain %g, extrapolated %g, of which one run deviates by %g", biased, near, deviation)
	_, err := FrechetInfinity(wave(19, 2, sine), wave(40, 2, sine), 1)
	require.ErrorContains(t, err, "≥20 samples per set, got 19 real")
}
