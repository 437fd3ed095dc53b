package maml

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/fewshot/meta"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/report"
)

func tiny() Config {
	c := Smoke()
	c.Scale, c.Seeds, c.Methods, c.Neurons, c.NeuronSteps, c.TestTasks = "tiny", []int64{1}, []string{MAML, Out}, 2, 3, 5
	return c
}

// stopper is a Progress that calls stop when a number of steps were made.
type stopper struct {
	left int
	stop func()
}

func (s *stopper) Begin(string, int, int) {}
func (s *stopper) End()                   {}
func (s *stopper) Advance(n int) {
	if s.left -= n; s.left < 0 {
		s.stop()
	}
}

// Two runs give equal bytes; so does a run that is stopped again and again, and one that finds all done.
func TestRunRepeatsAndResumes(t *testing.T) {
	e := testengine.Quick(t)
	encode := func(r *Result) string {
		b, err := json.Marshal(r)
		require.NoError(t, err)
		return string(b)
	}
	whole := tiny()
	whole.Dir = t.TempDir()
	first, err := Run(t.Context(), e, whole)
	require.NoError(t, err)
	require.Len(t, first.Models, 2)
	require.Len(t, first.Sweeps, 2)
	stopped := tiny()
	stopped.Dir, stopped.Methods = t.TempDir(), []string{MAML} // compiling takes most of the time
	for _, after := range []int{4} {
		ctx, cancel := context.WithCancel(t.Context())
		stopped.Progress = &stopper{after, cancel}
		_, err := Run(ctx, e, stopped)
		cancel()
		require.ErrorIs(t, err, context.Canceled)
	}
	stopped.Progress = nil
	resumed, err := Run(t.Context(), e, stopped)
	require.NoError(t, err)
	require.Equal(t, first.Models[:1], resumed.Models)
	require.Equal(t, first.Sweeps[:1], resumed.Sweeps)
	done := 0
	whole.Progress = &stopper{0, func() { done++ }}
	found, err := Run(t.Context(), e, whole)
	require.NoError(t, err)
	require.Equal(t, encode(first), encode(found))
	require.Zero(t, done, "work that was done is done again")

	for _, m := range first.Models {
		require.LessOrEqual(t, m.Tested.RA, m.Tested.SA)
		require.Greater(t, m.Tested.LeastShift, 0.99, "the attack uses its radius on every image")
		require.Zero(t, m.Tested.Flat)
	}
	for _, s := range first.Sweeps {
		require.Equal(t, s.Epsilon[0].SA, s.Epsilon[0].RA, "radius 0 is no attack")
	}
	for _, table := range first.Tables() {
		require.NotEmpty(t, table.Rows, table.Title)
	}
	for _, figure := range first.Figures() {
		_, err := figure.PNG()
		require.NoError(t, err, figure.Title)
	}
	require.Len(t, first.MapGrid(1).Rows, 4)
	for i, claim := range first.Claims() {
		require.Equal(t, i != 1, claim.Decide().Verdict == report.NotTested, "%d", i)
	}
	require.NoError(t, first.Document().WriteFile(filepath.Join(t.TempDir(), "report.html")))
}

// Unlabeled images come from those that a class has left: 20 of Omniglot's drawings do not do for all that were asked for.
func TestUnlabeled(t *testing.T) {
	drawings := func(n int) *fewshot.ClassSet {
		blank := func(n int) [][]float32 { return slices.Repeat([][]float32{{0}}, n) }
		s, err := fewshot.NewClassSet("drawings", []int{1, 1, 1}, []fewshot.Class{{Name: "a", Images: blank(60)}, {Name: "b", Images: blank(n)}})
		require.NoError(t, err)
		return s
	}
	c := Config{}.WithDefaults()
	for _, k := range []struct {
		method         string
		drawings, want int
	}{{Trades, 60, 0}, {Unlabeled, 60, 5}, {More, 60, 20}, {More, 20, 14}, {More, 8, 5}} {
		require.Equal(t, k.want, c.episodes(k.method, 1, drawings(k.drawings)).Unlabeled, "%s of %d", k.method, k.drawings)
	}
}

// Robustness by a robust meta-update is no lack of gradients: one step does no more than many, many steps with restarts little more,
// and a larger radius never less. Thresholds are those of the study's claims.
func TestRobustnessIsNotMasking(t *testing.T) {
	e := testengine.Quick(t)
	c := Config{Updates: 150, MaskingTasks: 20}
	s, err := open(t.Context(), e, c)
	require.NoError(t, err)
	defer s.evaluator.Close()
	trained, err := Train(t.Context(), e, Out, 1, s.train, s.net, c)
	require.NoError(t, err)
	tasks, err := s.testTasks(1)
	require.NoError(t, err)
	o := meta.EvalOptions{Inner: trained.Method.Inner, Epsilon: s.c.Epsilon, StepSize: s.c.stepSize(s.c.Epsilon), AttackSteps: s.c.AttackSteps, Seed: 1}
	m, err := s.masking(t.Context(), trained, tasks, o)
	require.NoError(t, err)
	t.Log(*m)
	require.Greater(t, m.Usual, 0.25, "above guessing one in five")
	require.GreaterOrEqual(t, m.Fast, m.Usual-0.02)
	require.LessOrEqual(t, m.Strong, m.Usual)
	require.Less(t, m.Usual-m.Strong, 0.08)
	o.Tasks = 20
	before := 1.
	for _, epsilon := range []float64{0, 8. / 255, 16. / 255, 24. / 255} {
		o.Epsilon, o.StepSize = epsilon, s.c.stepSize(epsilon)
		found, err := s.evaluator.Evaluate(t.Context(), trained.Parameters, tasks, o)
		require.NoError(t, err)
		require.LessOrEqual(t, found[0].RA, found[0].SA)
		require.LessOrEqual(t, found[0].RA, before+0.02)
		before = found[0].RA
	}
}

func TestErrors(t *testing.T) {
	for want, m := range map[string]meta.Method{
		"epsilon 16 > 1: images are in [0, 1], did you mean 16/255?": {Epsilon: 16}, "gamma_out = -1": {GammaOut: -1}, "-1 inner steps": {Inner: meta.InnerLoop{Steps: -1}},
		`regularizer "mse"`: {Regularizer: "mse"}, "inner learning rate = -1": {Inner: meta.InnerLoop{LR: -1}}, "-3 attack steps": {AttackSteps: -3},
	} {
		require.ErrorContains(t, m.Validate(meta.Pixels), want)
	}
	for want, change := range map[string]func(c *Config){
		"ways = 1": func(c *Config) { c.Ways = 1 }, "updates = -1": func(c *Config) { c.Updates = -1 }, `dataset "mnist"`: func(c *Config) { c.Dataset = "mnist" },
		"seed 2 is given twice": func(c *Config) { c.Seeds = []int64{2, 2} }, `method "best"`: func(c *Config) { c.Methods = []string{MAML, "best"} },
		"is what the others are held against": func(c *Config) { c.Methods = []string{Out} }, "did you mean 8/255": func(c *Config) { c.Epsilon = 8 },
		"must grow": func(c *Config) { c.SweepSteps = []int{3, 2} },
	} {
		c := tiny()
		change(&c)
		require.ErrorContains(t, c.WithDefaults().Validate(), want)
	}
	for _, scale := range []string{"smoke", "quick", "paper", ""} {
		c, err := AtScale(scale)
		require.NoError(t, err)
		require.NoError(t, c.WithDefaults().Validate())
	}
}
