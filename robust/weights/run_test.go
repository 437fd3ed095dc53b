package weights

import (
	"context"
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/certify"
)

// tiny is smaller than the smoke scale, on generated glyphs, which need no files.
func tiny() Config {
	return Config{Scale: "tiny", Dataset: "glyphs", Train: 120, Test: 40, Seeds: []int64{1, 2}, Lambdas: []float64{0, 3e-3}, Mus: []float64{0},
		Hidden: []int{12, 8}, WarmUp: 1, Epochs: 2, BatchSize: 20, Epsilon: []float64{0.01, 0.05}, Steps: 3, Draws: 2, VerifyImages: 8, VerifyRandom: 40,
		VerifyAt: []float64{1e-4, 1e-2}, Bits: []int{16, 2}, GapMus: []float64{0, 0.1}, GapTrain: 60, GapTest: 50, GapEpochs: 3}
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

func encode(t *testing.T, r *Result) string {
	t.Helper()
	b, err := json.Marshal(r)
	require.NoError(t, err)
	return string(b)
}

// TestRunRepeatsAndResumes: two runs give equal bytes; so does a run that is stopped again and again, wherever that
// falls, and a run that finds all done.
func TestRunRepeatsAndResumes(t *testing.T) {
	e := testengine.Get(t)
	first, err := Run(t.Context(), e, tiny())
	require.NoError(t, err)
	want := encode(t, first)
	require.Len(t, first.Models, 3*2)
	require.Len(t, first.Gaps, 2*2)

	stopped := tiny()
	stopped.Dir = t.TempDir()
	stops := 0
	for _, after := range []int{2, 40} {
		ctx, cancel := context.WithCancel(t.Context())
		stopped.Progress = &stopper{after, cancel}
		_, err := Run(ctx, e, stopped)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			stops++
		}
	}
	require.Equal(t, 2, stops, "the runs ended before they were stopped")
	stopped.Progress = nil
	resumed, err := Run(t.Context(), e, stopped)
	require.NoError(t, err)
	require.Equal(t, want, encode(t, resumed))
	done := 0
	stopped.Progress = &stopper{0, func() { done++ }}
	found, err := Run(t.Context(), e, stopped)
	require.NoError(t, err)
	require.Equal(t, want, encode(t, found))
	require.Zero(t, done, "work that was done is done again")

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
	for _, c := range first.Claims() {
		require.NotEmpty(t, c.Sentence)
		require.True(t, len(c.Parts) > 0 || c.Reason != "", c.ID)
	}
}

// TestClaimsCanFail: the verdicts follow the numbers.
func TestClaimsCanFail(t *testing.T) {
	c := Config{Seeds: []int64{1, 2, 3}}.WithDefaults()
	good := &Result{Config: c, Data: "mnist"}
	add := func(r *Result, method string, seed int64, attacked, certified, clean float64) {
		m := Measured{Method: method, Seed: seed, Clean: clean, CleanTrain: clean + 0.03, Attacked: []float64{attacked, attacked, attacked},
			CertifiedBound: []float64{certified, 0, 0}, CertifiedIBP: []float64{certified, 0, 0}}
		for k := range 4 {
			m.Layers = append(m.Layers, Layer{Bound: float64(4 - k), Attacked: clean - 0.1*float64(4-k)})
		}
		for range c.Bits {
			m.Bits = append(m.Bits, Bits{Rounded: attacked})
		}
		for range c.VerifyAt {
			m.Checks = append(m.Checks, verification(0.2))
		}
		if method != "CE" {
			m.CleanTrain -= 0.01
		}
		r.Models = append(r.Models, m)
	}
	for _, seed := range c.Seeds {
		wobble := 0.001 * float64(seed)
		add(good, "CE", seed, 0.3+wobble, 0.01, 0.95)
		add(good, "λ=0.003", seed, 0.8+2*wobble, 0.92, 0.95)
		for i, mu := range c.GapMus {
			good.Gaps = append(good.Gaps, GapPoint{Mu: mu, Seed: seed, TestLoss: 3 - 0.4*float64(i) + wobble, Complexity: math.Exp(float64(-i))})
		}
	}
	for _, claim := range good.Claims() {
		require.Equal(t, report.Replicated, claim.Decide().Verdict, claim.Sentence)
	}
	for id, spoil := range map[int]func(r *Result){
		0: func(r *Result) { r.Models[3].Checks[2].IBP = 1 },
		1: func(r *Result) { r.Gaps[0].TestLoss, r.Gaps[1].TestLoss, r.Gaps[2].TestLoss = 0, 0.1, 0.2 },
		2: func(r *Result) { r.Models[1].Attacked[1] = 0.4 },
		3: func(r *Result) { r.Models[0].Layers[0].Attacked = 0.94 },
		4: func(r *Result) { r.Models[2].Bits[3].Broken = 1 },
	} {
		var bad Result
		require.NoError(t, json.Unmarshal([]byte(encode(t, good)), &bad))
		bad.Config = c
		spoil(&bad)
		require.NotEqual(t, report.Replicated, bad.Claims()[id].Decide().Verdict, "claim %d", id+1)
	}
	none := &Result{Config: Config{Scale: "smoke"}.WithDefaults()}
	none.Config.Seeds = nil
	for _, claim := range none.Claims() {
		require.Equal(t, report.NotTested, claim.Decide().Verdict)
	}
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
			_, err = Run(t.Context(), testengine.Get(t), c)
			require.ErrorContains(t, err, want)
		})
	}
	_, err := AtScale("huge")
	require.ErrorContains(t, err, `scale "huge"`)
	c := tiny()
	c.Dataset = "nothing"
	_, err = Run(t.Context(), testengine.Get(t), c)
	require.ErrorContains(t, err, `no data set "nothing"`)
}

// TestNoisy: the share of labels that changes is noise·(1 - 1/classes), and it repeats.
func TestNoisy(t *testing.T) {
	labels := make([]int32, 20_000)
	for i := range labels {
		labels[i] = int32(i % 10)
	}
	noisy, changed := Noisy(labels, 10, 0.2, 5), 0
	for i := range labels {
		require.True(t, noisy[i] >= 0 && noisy[i] < 10)
		if noisy[i] != labels[i] {
			changed++
		}
	}
	require.InDelta(t, 0.18, float64(changed)/20_000, 0.01)
	require.Equal(t, noisy, Noisy(labels, 10, 0.2, 5))
	require.NotEqual(t, noisy, Noisy(labels, 10, 0.2, 6))
	require.Equal(t, labels, Noisy(labels, 10, 0, 5))
}

func verification(tightness float64) certify.Verification {
	return certify.Verification{MedianTightness: tightness, Random: 10, Adversarial: 10}
}
