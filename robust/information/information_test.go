package information_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/robust/information"
)

// signs draws normal numbers and the signs of others that correlate with them by rho.
func signs(seed uint64, n int, rho float64) (labels []int, values [][]float64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	for range n {
		b := rng.NormFloat64()
		label := 0
		if rho*b+math.Sqrt(1-rho*rho)*rng.NormFloat64() > 0 {
			label = 1
		}
		labels, values = append(labels, label), append(values, []float64{b})
	}
	return labels, values
}

// TestRossClosedForm: the estimate is that of the closed form, and 0 once labels are shuffled.
func TestRossClosedForm(t *testing.T) {
	const draws = 5
	for _, rho := range []float64{0, 0.2, 0.5, 0.8, 0.95} {
		mean, shuffled := 0.0, 0.0
		for draw := range uint64(draws) {
			labels, values := signs(draw, 2000, rho)
			mi, err := information.Ross(labels, values, 3)
			require.NoError(t, err)
			mean += mi / draws
			rng := rand.New(rand.NewPCG(draw, 1))
			rng.Shuffle(len(labels), func(i, j int) { labels[i], labels[j] = labels[j], labels[i] })
			mi, err = information.Ross(labels, values, 3)
			require.NoError(t, err)
			shuffled += mi / draws
		}
		require.InDelta(t, information.SignGaussian(rho), mean, 0.015, "rho %g", rho)
		require.InDelta(t, 0, shuffled, 0.015, "rho %g", rho)
	}
	labels, values := signs(9, 100_000, 0.5) // n·log n: an instant
	mi, err := information.Ross(labels, values, 3)
	require.NoError(t, err)
	require.InDelta(t, information.SignGaussian(0.5), mi, 0.005)
}

// TestGolden compares with scikit-learn's estimator and scipy's quadrature, by testdata/golden.py.
func TestGolden(t *testing.T) {
	content, err := os.ReadFile("testdata/golden.json")
	require.NoError(t, err)
	var golden struct {
		Ross []struct {
			Name   string
			Labels []int
			Values []float64
			MI     float64
		}
		Sign []struct{ Rho, MI float64 }
	}
	require.NoError(t, json.Unmarshal(content, &golden))
	for _, c := range golden.Ross {
		t.Run(c.Name, func(t *testing.T) {
			line, plane := make([][]float64, len(c.Values)), make([][]float64, len(c.Values))
			for i, v := range c.Values {
				line[i], plane[i] = []float64{v}, []float64{0.6 * v, 0.8 * v}
			}
			for _, values := range [][][]float64{line, plane} { // by sorting, and by brute force
				mi, err := information.Ross(c.Labels, values, 3)
				require.NoError(t, err)
				require.InDelta(t, c.MI, mi, 1e-9)
			}
		})
	}
	for _, c := range golden.Sign {
		require.InDelta(t, c.MI, information.SignGaussian(c.Rho), 1e-12, "rho %g", c.Rho)
		require.Equal(t, information.SignGaussian(c.Rho), information.SignGaussian(-c.Rho))
	}
}

func TestSignGaussian(t *testing.T) {
	for rho, want := range map[float64]float64{0.2: 0.0129, 0.5: 0.0868, 0.8: 0.2666, 0.95: 0.4689} {
		require.InDelta(t, want, information.SignGaussian(rho), 5e-5)
	}
	require.InDelta(t, 0, information.SignGaussian(0), 1e-15)
	require.Equal(t, math.Ln2, information.SignGaussian(1))
	require.Equal(t, math.Ln2, information.SignGaussian(-1.0000001))
	require.InDelta(t, math.Ln2, information.SignGaussian(1-1e-12), 1e-5)
	require.True(t, math.IsNaN(information.SignGaussian(math.NaN())))
	for rho := 0.0; rho < 1; rho += 0.01 {
		require.Less(t, information.SignGaussian(rho), information.SignGaussian(rho+0.01))
	}
	// Small ones go as ρ²/π.
	require.InEpsilon(t, 1e-6/math.Pi, information.SignGaussian(1e-3), 1e-5)
}

// TestTies: equal values do not break it, and the same input gives the same bits.
func TestTies(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	var labels []int
	var same, independent [][]float64
	for i := range 600 {
		label := i % 2
		labels = append(labels, 7-3*label)
		same = append(same, []float64{1e9 + float64(label)})
		independent = append(independent, []float64{float64(rng.IntN(4))})
	}
	mi, err := information.Ross(labels, same, 3)
	require.NoError(t, err)
	require.InDelta(t, math.Ln2, mi, 0.01) // each tells the other
	mi, err = information.Ross(labels, independent, 3)
	require.NoError(t, err)
	require.InDelta(t, 0, mi, 0.08)
	again, err := information.Ross(labels, independent, 3)
	require.NoError(t, err)
	require.Equal(t, mi, again)
	one := make([][]float64, 600)
	for i := range one {
		one[i] = []float64{5}
	}
	mi, err = information.Ross(labels, one, 3)
	require.NoError(t, err)
	require.InDelta(t, 0, mi, 0.08)
}

func TestErrors(t *testing.T) {
	labels, values := signs(1, 2000, 0)
	few := make([]int, 2000)
	few[5], few[6] = 1, 1
	hole := [][]float64{{1, 2}, {3, math.NaN()}}
	for want, call := range map[string]func() (float64, error){
		"information: all 2000 labels equal; MI is 0 and not estimable": func() (float64, error) {
			return information.Ross(make([]int, 2000), values, 3)
		},
		"information: class 1 has 2 samples, need > k=3": func() (float64, error) { return information.Ross(few, values, 3) },
		"information: 1999 labels for 2000 values":       func() (float64, error) { return information.Ross(labels[1:], values, 3) },
		"information: 0 labels for 0 values":             func() (float64, error) { return information.Ross(nil, nil, 3) },
		"information: k=0 neighbors":                     func() (float64, error) { return information.Ross(labels, values, 0) },
		"information: value NaN at [1,1] is not finite":  func() (float64, error) { return information.Ross([]int{0, 1}, hole, 1) },
		"information: 1 numbers at 1, 2 at 0": func() (float64, error) {
			return information.Ross([]int{0, 1}, [][]float64{{1, 2}, {3}}, 1)
		},
	} {
		_, err := call()
		require.ErrorContains(t, err, want)
	}
}
