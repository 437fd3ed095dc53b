package joint

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
)

// tiny is smaller than the smoke scale, on generated glyphs, which need no files.
func tiny() Config {
	return Config{Scale: "tiny", Dataset: "glyphs", Train: 120, Test: 40, Seeds: []int64{1, 2}, Methods: []string{Reg},
		Hidden: []int{12, 8}, WarmUp: 1, Epochs: 2, BatchSize: 20, EpsilonInput: []float64{0, 0.05}, EpsilonWeight: []float64{0, 0.01},
		Steps: 3, VerifyImages: 8, VerifyRandom: 40}
}

// TestRepeats: the same bytes, however a run came to its result; and what must hold of any result.
func TestRepeats(t *testing.T) {
	first := studytest.Repeats(t, testengine.Quick(t), tiny(), Run, []int{2, 14, 30}, 2)
	require.Len(t, first.Models, 2)
	for _, m := range first.Models {
		require.Zero(t, m.Undercounts)
		require.Len(t, m.Accuracy, 2)
		require.LessOrEqual(t, m.Accuracy[1][1], m.Clean())
		require.GreaterOrEqual(t, m.CrossTerm, 0.0)
		for _, check := range m.Checks {
			require.Zero(t, check.Margin+check.IBP+check.Loss)
			require.Positive(t, check.Random)
		}
		for i := 1; i < len(m.Certified); i++ {
			require.LessOrEqual(t, m.Certified[i], m.Certified[i-1], "larger radii certify less")
		}
	}
	require.NotEqual(t, first.Models[0].InputTerm, first.Models[1].InputTerm, "seeds differ")
	require.Len(t, first.For(Reg), 2)
	require.Empty(t, first.For(ATx))
}

// TestConfigValidate: each mistake is named before anything runs.
func TestConfigValidate(t *testing.T) {
	require.NoError(t, Config{}.WithDefaults().Validate())
	require.NoError(t, Smoke().WithDefaults().Validate())
	require.NoError(t, Paper().WithDefaults().Validate())
	for want, change := range map[string]func(c *Config){
		"train = -1":            func(c *Config) { c.Train = -1 },
		"test = -5":             func(c *Config) { c.Test = -5 },
		"epochs = -1":           func(c *Config) { c.Epochs = -1 },
		"batch_size = -2":       func(c *Config) { c.BatchSize = -2 },
		"steps = -1":            func(c *Config) { c.Steps = -1 },
		"restarts = -1":         func(c *Config) { c.Restarts = -1 },
		"verify_random = -3":    func(c *Config) { c.VerifyRandom = -3 },
		"seed 2 is given twice": func(c *Config) { c.Seeds = []int64{1, 2, 2} },
		"epsilon_input = [0.1 0.2]: must start at 0":    func(c *Config) { c.EpsilonInput = []float64{0.1, 0.2} },
		"epsilon_weight = [0 0.2 0.1]: must start at 0": func(c *Config) { c.EpsilonWeight = []float64{0, 0.2, 0.1} },
		"epsilon_weight = [-0.1 0]: must start at 0":    func(c *Config) { c.EpsilonWeight = []float64{-0.1, 0} },
		"Epsilon = NaN":                     func(c *Config) { c.CertifyInput = math.NaN() },
		"Epsilon = -1":                      func(c *Config) { c.CertifyScales = []float64{-1} },
		"Epsilon = +Inf":                    func(c *Config) { c.EpsilonInput = []float64{0, math.Inf(1)} },
		`method "Magic": want some of`:      func(c *Config) { c.Methods = []string{Standard, "Magic"} },
		"hidden = [16 0]":                   func(c *Config) { c.Hidden = []int{16, 0} },
		"learning_rate = -0.1":              func(c *Config) { c.LearningRate = -0.1 },
		"learning_rate = NaN":               func(c *Config) { c.LearningRate = math.NaN() },
		"batch_size = 200 for 120 training": func(c *Config) { c.BatchSize = 200 },
	} {
		t.Run(want, func(t *testing.T) {
			c := tiny()
			change(&c)
			err := c.WithDefaults().Validate()
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
			_, err = Run(t.Context(), testengine.Quick(t), c)
			require.ErrorContains(t, err, want)
		})
	}
	_, err := AtScale("huge")
	require.ErrorContains(t, err, `scale "huge"`)
	c := tiny()
	c.Dataset = "nothing"
	_, err = Run(t.Context(), testengine.Quick(t), c)
	require.ErrorContains(t, err, `no data set "nothing"`)
	c = tiny()
	c.Train = 1_000_000_000
	_, err = Run(t.Context(), testengine.Quick(t), c)
	require.ErrorContains(t, err, "1000000000 training")
}

func TestKeys(t *testing.T) {
	studytest.Keys(t, tiny(), func(c Config) any { return c.measuring() }, "Seeds", "Methods", "Scale")
}
