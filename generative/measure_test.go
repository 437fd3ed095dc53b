package generative

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Golden values are those of numpy; that of three and two samples is exact.
func TestKernel(t *testing.T) {
	v, err := Kernel(wave(20, 3, sine), wave(20, 3, raised))
	require.NoError(t, err)
	require.InDelta(t, 0.025379877492071046, v, 1e-12)
	v, err = Kernel([][]float64{{1, 0}, {0, 1}, {1, 1}}, [][]float64{{2, 0}, {0, 2}})
	require.NoError(t, err)
	require.Equal(t, -7.75, v)
}

func TestKernelSubsets(t *testing.T) {
	x, y := wave(20, 3, sine), wave(20, 3, raised)
	all, err := Kernel(x, y)
	require.NoError(t, err)
	mean, deviation, err := KernelSubsets(x, y, 3, 1000, 1) // subsets of all
	require.NoError(t, err)
	require.InDelta(t, all, mean, 1e-12)
	require.InDelta(t, 0, deviation, 1e-12)
	mean, deviation, err = KernelSubsets(x, y, 2000, 8, 1)
	require.NoError(t, err)
	require.Greater(t, deviation, 0.0)
	require.InDelta(t, all, mean, 5*deviation/math.Sqrt(2000)) // no bias by size
	_, _, err = KernelSubsets(x, y, 0, 8, 1)
	require.ErrorContains(t, err, "want at least 1 of 2")
}

func TestMeasure(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	x, y := normal(rng, 40, 4, 0, 1), normal(rng, 30, 4, 1, 1)
	m, err := Measure(x, y, Options{Seed: 3})
	require.NoError(t, err)
	require.Equal(t, []int{40, 30, 4}, []int{m.Real, m.Generated, m.Features})
	fidelity, err := Compare(x, y, 5)
	require.NoError(t, err)
	require.Equal(t, fidelity, m.Fidelity)
	plain, err := Frechet(x, y)
	require.NoError(t, err)
	require.Equal(t, plain, m.Frechet)
	infinite, err := FrechetInfinity(x, y, 3)
	require.NoError(t, err)
	require.Equal(t, &infinite, m.FrechetInfinity)
	require.Len(t, m.Notes, 1) // of unequal numbers
	few, err := Measure(x[:10], y[:10], Options{K: 3})
	require.NoError(t, err)
	require.Nil(t, few.FrechetInfinity) // unmeasured, not 0
	require.Len(t, few.Notes, 1)
	require.Contains(t, few.Notes[0], "10 samples for 4 features")
}

func TestBadInput(t *testing.T) {
	good := wave(20, 3, sine)
	nan := wave(20, 3, sine)
	nan[4][1] = math.NaN()
	ragged := wave(20, 3, sine)
	ragged[7] = ragged[7][:2]
	for name, c := range map[string]struct {
		bad  [][]float64
		want string
	}{
		"none":   {nil, "got 0"},
		"one":    {good[:1], "got 1"},
		"empty":  {wave(20, 0, sine), "have no features"},
		"nan":    {nan, "sample 4, feature 1 is NaN: want finite numbers"},
		"ragged": {ragged, "sample 7 has 2 features, the first has 3"},
		"width":  {wave(20, 4, sine), "features: want those of one network"},
		"few":    {good[:5], "got 5"},
	} {
		for which, measure := range map[string]func(x, y [][]float64) error{
			"frechet":  func(x, y [][]float64) error { _, err := Frechet(x, y); return err },
			"infinity": func(x, y [][]float64) error { _, err := FrechetInfinity(x, y, 1); return err },
			"kernel":   func(x, y [][]float64) error { _, err := Kernel(x, y); return err },
			"subsets":  func(x, y [][]float64) error { _, _, err := KernelSubsets(x, y, 2, 5, 1); return err },
			"compare":  func(x, y [][]float64) error { _, err := Compare(x, y, 5); return err },
			"measure":  func(x, y [][]float64) error { _, err := Measure(x, y, Options{}); return err },
		} {
			if name == "few" && which != "compare" && which != "measure" && which != "infinity" {
				continue
			}
			require.ErrorContains(t, measure(c.bad, good), c.want, "%s: %s", which, name)
			require.ErrorContains(t, measure(good, c.bad), c.want, "%s: %s", which, name)
		}
	}
	_, err := Compare(good, good, 0)
	require.ErrorContains(t, err, "want at least 1")
	_, _, err = Nearest(good, nil)
	require.ErrorContains(t, err, "got 0")
	_, err = Diversity(good[:1])
	require.ErrorContains(t, err, "got 1")
}
