package maml

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
)

func tiny() Config {
	c := Smoke()
	c.Scale, c.Filters, c.Methods, c.Neurons, c.NeuronSteps, c.TestTasks = "tiny", 3, []string{MAML, Out}, 2, 3, 6
	return c
}

// TestRepeats: the same bytes, however a run came to its result; and what must hold of any result.
func TestRepeats(t *testing.T) {
	first := studytest.Repeats(t, testengine.Training(t), tiny(), Run, []int{2, 12}, 2)
	require.Len(t, first.Models, 2)
	for _, m := range first.Models {
		require.Less(t, m.Tested.RA, m.Tested.SA, "the attack takes nothing from %s, which has hardly learned", m.Method)
		require.Greater(t, m.Tested.LeastShift, 0.99, "the attack uses its radius on every image")
		require.Zero(t, m.Tested.Flat)
		require.Zero(t, m.Robust.Step, "no adversarial fine-tuning")
		require.Len(t, m.Maps.After, 2)
	}
	require.Nil(t, first.Models[0].Masking)
	require.NotNil(t, first.Models[1].Masking)
	require.NotEqual(t, first.Models[0].History, first.Models[1].History, "methods differ")
	require.Len(t, first.Sweeps, 2)
	for _, s := range first.Sweeps {
		require.Equal(t, s.Epsilon[0].SA, s.Epsilon[0].RA, "radius 0 is no attack")
		require.Less(t, s.Epsilon[1].RA, s.Epsilon[1].SA)
	}
	for _, figure := range first.Figures() {
		_, err := figure.PNG()
		require.NoError(t, err, figure.Title)
	}
	require.Len(t, first.MapGrid(1).Rows, 4)
}

// Unlabeled images come from those that a class has left: 20 of Omniglot's drawings do not do for all that were asked for.
func TestUnlabeled(t *testing.T) {
	drawings := func(n int) *fewshot.ClassSet {
		blank := func(n int) [][]float32 { return slices.Repeat([][]float32{{0}}, n) }
		s, err := fewshot.NewClassSet("drawings", []int{1, 1, 1}, []fewshot.Class{{Name: "a", Images: blank(60)}, {Name: "b", Images: blank(n)}})
		require.NoError(t, err)
		return s
	}
	for _, k := range []struct {
		method         string
		drawings, want int
	}{{Trades, 60, 0}, {Unlabeled, 60, 5}, {More, 60, 20}, {More, 20, 14}, {More, 8, 5}} {
		s := &Study{Config: Config{}.WithDefaults(), Classes: drawings(k.drawings)}
		require.Equal(t, k.want, s.episodes(k.method, 1).Unlabeled, "%s of %d", k.method, k.drawings)
	}
}

// Robustness by a robust meta-update is no lack of gradients: one step does no more than many, many steps with restarts little
// more, and a larger radius never less. Thresholds are those of the study's controls.
func TestRobustnessIsNotMasking(t *testing.T) {
	s, err := Open(t.Context(), testengine.Training(t), Config{Updates: 150, Filters: 16, MaskingTasks: 20})
	require.NoError(t, err)
	defer s.Close()
	trained, tasks, o, err := s.ready(t.Context(), Out, 1)
	require.NoError(t, err)
	m, err := s.masking(t.Context(), trained, tasks, o)
	require.NoError(t, err)
	t.Log(*m)
	require.Greater(t, m.Usual, 0.25, "above guessing one in five")
	require.GreaterOrEqual(t, m.Fast, m.Usual-0.02)
	require.LessOrEqual(t, m.Strong, m.Usual)
	require.Less(t, m.Usual-m.Strong, 0.08)
	o.Tasks = 20
	before := 1.
	for _, epsilon := range []float64{8. / 255, 16. / 255, 24. / 255} {
		o.Epsilon, o.StepSize = epsilon, s.Config.stepSize(epsilon)
		found, err := s.evaluator.Evaluate(t.Context(), trained.Parameters, tasks, o)
		require.NoError(t, err)
		require.Less(t, found[0].RA, found[0].SA, "the attack takes nothing at %g", epsilon)
		require.LessOrEqual(t, found[0].RA, before+0.02)
		before = found[0].RA
	}
}

// TestConfigValidate: each mistake is named before anything runs, and the same one always first.
func TestConfigValidate(t *testing.T) {
	for want, change := range map[string]func(c *Config){
		"ways = 1: must be at least 2":        func(c *Config) { c.Ways = 1 },
		"updates = -1":                        func(c *Config) { c.Updates = -1 },
		`dataset "mnist": want some of`:       func(c *Config) { c.Dataset = "mnist" },
		"seed 2 is given twice":               func(c *Config) { c.Seeds = []int64{2, 2} },
		`method "best"`:                       func(c *Config) { c.Methods = []string{MAML, "best"} },
		"MAML is given twice":                 func(c *Config) { c.Methods = []string{MAML, MAML} },
		"is what the others are held against": func(c *Config) { c.Methods = []string{Out} },
		"epsilon 8 > 1: images are in [0, 1], did you mean 8/255?": func(c *Config) { c.Epsilon = 8 },
		"epsilon = -1":       func(c *Config) { c.SweepEpsilon = []float64{0, -1} },
		"inner_lr = -1":      func(c *Config) { c.InnerLR = -1 },
		"gamma_kl = -1":      func(c *Config) { c.GammaKL = -1 },
		"must grow":          func(c *Config) { c.SweepSteps = []int{3, 2} },
		"sweep_steps = [-1]": func(c *Config) { c.SweepSteps = []int{-1} },
	} {
		c := tiny()
		change(&c)
		require.ErrorContains(t, c.WithDefaults().Validate(), want)
	}
	bad := tiny()
	bad.Ways, bad.Filters, bad.Epsilon, bad.LR, bad.Seeds, bad.Dataset = 1, -1, 16, -1, []int64{1, 1}, "mnist"
	for range 200 {
		require.EqualError(t, bad.WithDefaults().Validate(), "maml: ways = 1: must be at least 2")
	}
	for _, scale := range []string{"smoke", "quick", "paper", ""} {
		c, err := AtScale(scale)
		require.NoError(t, err)
		require.NoError(t, c.WithDefaults().Validate())
	}
	_, err := AtScale("huge")
	require.ErrorContains(t, err, `scale "huge"`)
}
