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
	_, _, err = Nearest(good, ragged)
	require.ErrorContains(t, err, "generative: known sample 7 has 2 features")
	_, err = Diversity(good[:1])
	require.ErrorContains(t, err, "generative: diversity needs ≥2 samples per set, got 1 samples")
	_, err = Diversity(ragged)
	require.ErrorContains(t, err, "generative: sample 7 has 2 features")
}

// Features whose squares or products overflow are an error, never NaN; the largest that do not are measured.
func TestOverflow(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	scaled := func(x [][]float64, by float64) [][]float64 {
		all := make([][]float64, len(x))
		for i, row := range x {
			for _, v := range row {
				all[i] = append(all[i], v*by)
			}
		}
		return all
	}
	for _, d := range []int{3, 40} { // more samples than features, and fewer
		x, y := normal(rng, 25, d, 0, 1), normal(rng, 22, d, 1, 1)
		for name, c := range map[string]struct {
			order   float64 // how the measure grows with features
			largest float64 // that are measured
			of      func(x, y [][]float64) (float64, error)
		}{
			"frechet":   {2, 1e70, Frechet},
			"infinity":  {2, 1e70, func(x, y [][]float64) (float64, error) { e, err := FrechetInfinity(x, y, 1); return e.Value, err }},
			"kernel":    {6, 1e45, Kernel},
			"subsets":   {6, 1e45, func(x, y [][]float64) (float64, error) { v, _, err := KernelSubsets(x, y, 1, 25, 1); return v, err }},
			"compare":   {0, 1e150, func(x, y [][]float64) (float64, error) { f, err := Compare(x, y, 3); return f.Density, err }},
			"diversity": {1, 1e150, func(x, _ [][]float64) (float64, error) { return Diversity(x) }},
			"nearest": {1, 1e150, func(x, y [][]float64) (float64, error) {
				d, _, err := Nearest(x, y)
				if err != nil {
					return 0, err
				}
				return d[0], nil
			}},
		} {
			at, err := c.of(scaled(x, c.largest/1e10), scaled(y, c.largest/1e10))
			require.NoError(t, err, name)
			want := at * math.Pow(1e10, c.order)
			got, err := c.of(scaled(x, c.largest), scaled(y, c.largest))
			require.NoError(t, err, name)
			require.InEpsilon(t, want, got, 1e-6, name)
			for _, large := range []float64{1e80, 1e120, 1e160, 1e200, 1e307} {
				for _, sets := range [][2][][]float64{{scaled(x, large), y}, {x, scaled(y, large)}, {scaled(x, large), scaled(y, large)}} {
					v, err := c.of(sets[0], sets[1])
					if err == nil {
						require.True(t, isFinite(v), "%s of %g is %g", name, large, v)
						continue
					}
					require.ErrorContains(t, err, "too large to be squared and summed in float64", name)
					require.Zero(t, v)
				}
			}
			v, err := c.of(scaled(x, 1e200), scaled(y, 1e200))
			require.ErrorContains(t, err, "too large", name)
			require.Zero(t, v)
		}
	}
	_, err := FrechetOf([]float64{0}, diagonal(1e200), []float64{0}, diagonal(1e200))
	require.ErrorContains(t, err, "too large to be multiplied")
	_, err = FrechetOf([]float64{math.NaN()}, diagonal(1), []float64{0}, diagonal(1))
	require.ErrorContains(t, err, "not finite")
	_, err = FrechetOf([]float64{0}, diagonal(math.Inf(1)), []float64{0}, diagonal(1))
	require.ErrorContains(t, err, "not finite")
	_, err = Measure(scaled(normal(rng, 25, 3, 0, 1), 1e200), normal(rng, 25, 3, 0, 1), Options{})
	require.ErrorContains(t, err, "features as large as")
}
