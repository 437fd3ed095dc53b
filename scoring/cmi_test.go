package scoring

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// cube are eight networks: width, depth and dropout of two values each, the last fastest.
func cube(widths ...string) (models [][]Hyperparameter) {
	for _, w := range widths {
		for _, d := range []string{"1", "3"} {
			for _, p := range []string{"0", "0.2"} {
				models = append(models, []Hyperparameter{{"width", w}, {"depth", d}, {"dropout", p}})
			}
		}
	}
	return models
}

var cubeGaps = []float64{.10, .14, .12, .20, .08, .16, .11, .18}

// Golden values: the scoring program of the competition's kit, run on the same numbers.
func TestGoldenCMI(t *testing.T) {
	of := func(f func(i int) float64) (values []float64) {
		for i := range cubeGaps {
			values = append(values, f(i))
		}
		return values
	}
	some := []float64{.3, .5, .6, .7, .2, .4, .1, .9}
	for name, c := range map[string]struct {
		measure     []float64
		kit, others float64
	}{
		"perfect":  {of(func(i int) float64 { return 3*cubeGaps[i] - 1 }), 1, 1},
		"reversed": {of(func(i int) float64 { return -cubeGaps[i] }), .1510656398, 1},
		"constant": {of(func(int) float64 { return 4 }), 0, 0},
		"some":     {some, .3722355746, .4598827746},
		"width":    {of(func(i int) float64 { return []float64{64, 256}[i/4] }), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for exclude, want := range map[bool]float64{false: c.kit, true: c.others} {
				got, err := ConditionalMutualInformation(cube("64", "256"), cubeGaps, c.measure, CMIOptions{ExcludeSelfPairs: exclude})
				require.NoError(t, err)
				require.InDelta(t, want, got.Score, 1e-9)
			}
		})
	}
	got, err := ConditionalMutualInformation(cube("64", "256"), cubeGaps, some, CMIOptions{})
	require.NoError(t, err)
	for pair, want := range map[string]float64{"width, depth": .429359, "width, dropout": .372236, "depth, dropout": .575533} {
		require.InDelta(t, want, got.Pairs[pair], 1e-6, pair)
	}
}

// Values are told apart as they are: the kit joins them to a text, where 1 and 11 beside 11 and 1 look the same.
func TestCMITakesValuesApart(t *testing.T) {
	var models, renamed [][]Hyperparameter
	var gaps, measure []float64
	rng := rand.New(rand.NewPCG(3, 4))
	for _, a := range []int{1, 11, 111} {
		for _, b := range []int{1, 11, 111} {
			for _, c := range []int{1, 11} {
				v := func(name string, n int) Hyperparameter { return Hyperparameter{name, strconv.Itoa(n)} }
				models = append(models, []Hyperparameter{v("a", a), v("b", b), v("c", c)})
				renamed = append(renamed, []Hyperparameter{v("a", a+1000), v("b", b+2000), v("c", c+3000)})
				gaps, measure = append(gaps, rng.Float64()), append(measure, rng.Float64())
			}
		}
	}
	one, err := ConditionalMutualInformation(models, gaps, measure, CMIOptions{})
	require.NoError(t, err)
	other, err := ConditionalMutualInformation(renamed, gaps, measure, CMIOptions{})
	require.NoError(t, err)
	require.Equal(t, one, other)
}

// Only orders count, not values; the order of the networks does not count either.
func TestCMIInvariances(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		models := cube("64", "256", "512")
		gaps, measure := make([]float64, 12), make([]float64, 12)
		for i := range gaps {
			gaps[i], measure[i] = rng.Float64(), float64(rng.IntN(6))
		}
		want, err := ConditionalMutualInformation(models, gaps, measure, CMIOptions{})
		require.NoError(t, err)
		require.True(t, want.Score >= -1e-12 && want.Score <= 1+1e-12)
		other := make([]float64, 12)
		for i, v := range measure {
			other[i] = v*v*v - 7
		}
		got, err := ConditionalMutualInformation(models, gaps, other, CMIOptions{})
		require.NoError(t, err)
		require.Equal(t, want, got)
		rng.Shuffle(12, func(i, j int) {
			models[i], models[j] = models[j], models[i]
			gaps[i], gaps[j] = gaps[j], gaps[i]
			measure[i], measure[j] = measure[j], measure[i]
		})
		got, err = ConditionalMutualInformation(models, gaps, measure, CMIOptions{})
		require.NoError(t, err)
		require.InDelta(t, want.Score, got.Score, 1e-12)
	}
}

func TestCMIErrors(t *testing.T) {
	models := cube("64", "256")
	ask := func(models [][]Hyperparameter, gaps, measure []float64) error {
		_, err := ConditionalMutualInformation(models, gaps, measure, CMIOptions{})
		return err
	}
	require.EqualError(t, ask(models[:7], cubeGaps[:7], cubeGaps[:7]),
		"scoring: incomplete grid: no model with width=256, depth=3, dropout=0.2")
	require.ErrorContains(t, ask(models, cubeGaps[:7], cubeGaps), "8 networks with 7 gaps")
	require.EqualError(t, ask(models, make([]float64, 8), cubeGaps), "scoring: all gaps are equal: nothing to predict")
	require.ErrorContains(t, ask(append(cube("64", "256")[:7:7], models[0]), cubeGaps, cubeGaps),
		"network 7 repeats width=64, depth=1, dropout=0")
	require.ErrorContains(t, ask(cube("64"), cubeGaps[:4], cubeGaps[:4]), "2 hyper-parameters with more than one value")
	require.ErrorContains(t, ask(nil, nil, nil), "no networks")
	odd := cube("64", "256")
	odd[3] = odd[3][:2]
	require.ErrorContains(t, ask(odd, cubeGaps, cubeGaps), "network 3 has 2 hyper-parameters")
	odd[3] = []Hyperparameter{{"width", "64"}, {"dropout", "0.2"}, {"depth", "3"}}
	require.ErrorContains(t, ask(odd, cubeGaps, cubeGaps), `hyper-parameter 1 of network 3 is "dropout"`)
}

func TestRankStatistics(t *testing.T) {
	a, b := []float64{.1, .2, .3, .4, .5}, []float64{.2, .1, .4, .3, .3}
	tau, err := KendallTauB(a, b)
	require.NoError(t, err)
	require.InDelta(t, 0.3162277660, tau, 1e-9) // hand computation, and scipy.stats.kendalltau
	f, err := LinearFit(a, b)
	require.NoError(t, err)
	require.InDelta(t, 0.3076923077, f.R2, 1e-9)
	require.InDelta(t, 1-(1-0.3076923077)*4/3, f.AdjustedR2, 1e-9)
	f, err = LinearFit([]float64{1, 2, 4}, []float64{5, 7, 11})
	require.NoError(t, err)
	require.InDelta(t, 2, f.Slope, 1e-12)
	require.InDelta(t, 3, f.Intercept, 1e-12)
	require.InDelta(t, 1, f.R2, 1e-12)
	for _, bad := range [][2][]float64{{a, b[:4]}, {a[:1], b[:1]}, {a, {1, 1, 1, 1, 1}}, {{1, 2, 3, 4, 0 / zero()}, b}} {
		_, err := KendallTauB(bad[0], bad[1])
		require.Error(t, err)
		_, err = LinearFit(bad[0], bad[1])
		require.Error(t, err)
	}
}

func zero() float64 { return 0 }
