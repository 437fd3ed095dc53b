package weights

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/report"
)

// tiny is smaller than the smoke scale, on generated glyphs, which need no files.
func tiny() Config {
	return Config{Scale: "tiny", Dataset: "glyphs", Train: 120, Test: 40, Seeds: []int64{1, 2}, Lambdas: []float64{0, 3e-3}, Mus: []float64{0},
		Hidden: []int{12, 8}, WarmUp: 1, Epochs: 2, BatchSize: 20, Epsilon: []float64{0.01, 0.05}, Steps: 3, Draws: 2, VerifyImages: 8,
		VerifyRandom: 40, VerifyAt: []float64{1e-4, 1e-2}, Bits: []int{16, 2}, GapMus: []float64{0, 0.1}, GapTrain: 60, GapTest: 50, GapEpochs: 3}
}

// TestRepeats: the same bytes, however a run came to its result; and what must hold of any result.
func TestRepeats(t *testing.T) {
	first := studytest.Repeats(t, testengine.Training(t), tiny(), Run, []int{2, 40}, 2)
	require.Len(t, first.Models, 3*2)
	require.Len(t, first.Gaps, 2*2)
	for _, m := range first.Models {
		require.LessOrEqual(t, m.Attacked[1], m.Clean)
		require.LessOrEqual(t, m.CertifiedIBP[0], m.Clean)
		for i := range m.CertifiedIBP {
			require.GreaterOrEqual(t, m.CertifiedIBP[i], m.CertifiedBound[i], "the larger of two bounds certifies no less")
			if i > 0 {
				require.LessOrEqual(t, m.CertifiedIBP[i], m.CertifiedIBP[i-1], "larger radii certify less")
			}
		}
		for _, check := range m.Checks {
			require.Zero(t, check.Margin+check.IBP+check.Loss)
			require.Positive(t, check.Random)
		}
		for _, b := range m.Bits {
			require.Zero(t, b.Broken)
			require.LessOrEqual(t, b.Certified, b.Attacked)
			require.LessOrEqual(t, b.Certified, b.Rounded)
		}
		require.InDelta(t, m.Clean, m.Bits[0].Rounded, 0.03, "16 bits change next to nothing")
		require.Len(t, m.Layers, 3)
		require.Len(t, m.Norms, 3)
		require.Positive(t, m.Complexity)
	}
	require.NotEqual(t, first.Models[0].Norms, first.Models[1].Norms, "seeds differ")
	for _, name := range []string{"CE", "λ=0.003", ATw} {
		require.Len(t, first.For(name), 2, name)
	}
	for _, g := range first.Gaps {
		require.Less(t, g.TrainLoss, 3.0)
		require.Len(t, g.Norms, 3)
	}
	require.Less(t, first.Gaps[2].Complexity, first.Gaps[0].Complexity, "μ holds the norms down")
	for _, table := range first.Tables() {
		require.NoError(t, table.Check(), table.Title)
	}
	for _, figure := range first.Figures() {
		require.NoError(t, figure.Check(), figure.Title)
	}
	require.NoError(t, first.Document().Check())
	require.NoError(t, report.CheckClaims(first.Claims()))
}

// TestConfigValidate: each mistake is named before anything runs.
func TestConfigValidate(t *testing.T) {
	require.NoError(t, Config{}.WithDefaults().Validate())
	require.NoError(t, Smoke().WithDefaults().Validate())
	require.NoError(t, Paper().WithDefaults().Validate())
	for want, change := range map[string]func(c *Config){
		"train = -1":                       func(c *Config) { c.Train = -1 },
		"steps = -1":                       func(c *Config) { c.Steps = -1 },
		"draws = -1":                       func(c *Config) { c.Draws = -1 },
		"gap_epochs = -1":                  func(c *Config) { c.GapEpochs = -1 },
		"test = 500 for 120 training":      func(c *Config) { c.Test = 500 },
		"batch_size = 200 for 60 training": func(c *Config) { c.BatchSize = 200 },
		"seed 2 is given twice":            func(c *Config) { c.Seeds = []int64{1, 2, 2} },
		"epsilon = [0.02 0.01]: must grow": func(c *Config) { c.Epsilon = []float64{0.02, 0.01} },
		"certify = [-1]: each must be":     func(c *Config) { c.Certify = []float64{-1} },
		"verify_at = [+Inf]: each":         func(c *Config) { c.VerifyAt = []float64{math.Inf(1)} },
		"lambdas, mus and gap_mus must":    func(c *Config) { c.Lambdas = []float64{0.1} },
		"mus = [0 NaN]":                    func(c *Config) { c.Mus = []float64{0, math.NaN()} },
		"gap_noise = 2":                    func(c *Config) { c.GapNoise = 2 },
		"learning_rate = NaN":              func(c *Config) { c.LearningRate = math.NaN() },
		"layer_epsilon = -1":               func(c *Config) { c.LayerEpsilon = -1 },
		"epsilon_train = -0.1":             func(c *Config) { c.EpsilonTrain = -0.1 },
		"hidden = [16 0]":                  func(c *Config) { c.Hidden = []int{16, 0} },
		"1 bits: want 2 to 16":             func(c *Config) { c.Bits = []int{8, 1} },
	} {
		t.Run(want, func(t *testing.T) {
			c := tiny()
			change(&c)
			err := c.WithDefaults().Validate()
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
			_, err = Run(t.Context(), testengine.Training(t), c)
			require.ErrorContains(t, err, want)
		})
	}
	bad := tiny()
	bad.Draws, bad.GapEpochs, bad.LearningRate, bad.LayerEpsilon, bad.Mus = -1, -2, -3, -4, []float64{1, 0}
	for range 200 {
		require.EqualError(t, bad.WithDefaults().Validate(), "weights: draws = -1: must be at least 1", "of several mistakes always the same")
	}
	_, err := AtScale("huge")
	require.ErrorContains(t, err, `scale "huge"`)
	c := tiny()
	c.Dataset = "nothing"
	_, err = Run(t.Context(), testengine.Training(t), c)
	require.ErrorContains(t, err, `no data set "nothing"`)
}

func TestKeys(t *testing.T) {
	studytest.Keys(t, tiny(), func(c Config) any { return c.measuring() }, "Seeds", "Lambdas", "Mus", "Scale",
		"GapMus", "GapTrain", "GapTest", "GapEpochs", "GapNoise")
}

// What is kept of the experiment on generalization depends on all its settings.
func TestGapKeys(t *testing.T) {
	keys := map[string]bool{}
	for _, change := range []func(c *Config){
		func(*Config) {}, func(c *Config) { c.GapTrain++ }, func(c *Config) { c.GapTest++ }, func(c *Config) { c.GapEpochs++ },
		func(c *Config) { c.GapNoise += 0.1 }, func(c *Config) { c.Seeds = []int64{1, 3} },
	} {
		c := tiny().WithDefaults()
		change(&c)
		s, err := Open(t.Context(), testengine.Training(t), c)
		require.NoError(t, err)
		for _, mu := range c.GapMus {
			piece, err := s.gap(t.Context(), mu)
			require.NoError(t, err)
			require.False(t, keys[piece.Key])
			keys[piece.Key] = true
		}
	}
}
