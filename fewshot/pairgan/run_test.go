package pairgan

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot/paired"
	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/report"
)

// tiny is smaller than the smoke scale, on generated glyphs, which need no files.
func tiny() Config {
	c := Smoke()
	c.Scale, c.Dataset, c.Domain, c.Train, c.HeldOut, c.Seeds = "tiny", "glyphs", "typeface", 24, 20, []int64{1, 2}
	c.Methods, c.Pairs, c.Sweep = []string{Full, Shuffled, Scratch, Repeated}, 4, []int{3}
	c.Channels, c.Code, c.SourceSteps, c.TargetSteps, c.Batch, c.TargetBatch, c.Epochs = 2, 2, 4, 3, 4, 4, 1
	return c
}

// TestRepeats: the same bytes, however a run came to its result; and what must hold of any result.
func TestRepeats(t *testing.T) {
	r := studytest.Repeats(t, testengine.Quick(t), tiny(), Run, []int{5}, 2)
	require.Len(t, r.Sources, 2)
	require.Len(t, r.Methods, 2*4)
	require.Len(t, r.Swept, 2)
	for _, m := range append(r.Methods, r.Swept...) {
		given := m.Method == Full || m.Method == Shuffled
		require.Equal(t, given, m.Content != nil)
		require.Equal(t, given, m.Error != nil)
		require.Nil(t, m.Ink, "strokes of this domain need not be the darkest pixels")
		require.GreaterOrEqual(t, m.Frechet, -1e-6)
		require.InDelta(t, 0.5, m.Precision, 0.5)
	}
	for _, m := range r.For(Repeated) {
		require.Zero(t, m.Memory, "copies are no new images")
	}
	for _, m := range r.Swept {
		require.Equal(t, 3, m.Pairs)
	}
	for _, table := range r.Tables() {
		require.NoError(t, table.Check(), table.Title)
	}
	for _, figure := range r.Figures() {
		_, err := figure.PNG()
		require.NoError(t, err, figure.Title)
	}
	for _, grid := range []*report.Grid{r.SwapGrid(), r.PairGrid(), r.SynthesisGrid(), r.MethodGrid(), r.MemoryGrid()} {
		_, err := grid.PNG()
		require.NoError(t, err, grid.Title)
	}
	film := r.Film()
	_, err := film.PNG()
	require.NoError(t, err)
	require.Equal(t, "step 0", film.Frames[0].Title)
	require.Equal(t, "step 3", film.Frames[len(film.Frames)-1].Title)
	require.NoError(t, report.CheckClaims(r.Claims()))
	require.NoError(t, r.Document().WriteFile(filepath.Join(t.TempDir(), "report.html")))
}

func TestKeys(t *testing.T) {
	studytest.Keys(t, tiny(), func(c Config) any { return c.measuring() }, "Scale", "Seeds", "Methods", "Sweep", "Pairs")
}

// TestInkFollows: the ink's color is that of the darkest pixels, and a correlation needs inks that differ.
func TestInkFollows(t *testing.T) {
	const side, few, samples = 8, 5, 20
	paint := func(n int, ink func(i int) [3]float64) *tensors.Tensor {
		pixels := make([]float32, 0, n*side*side*3)
		for i := range n {
			for p := range side * side {
				color := [3]float64{1, 0.9, 0.8}
				if p%9 == 0 { // 8 of 64 pixels: all of the darkest tenth
					color = ink(i)
				}
				for _, v := range color {
					pixels = append(pixels, float32(2*v-1))
				}
			}
		}
		return tensors.FromFlatDataAndDimensions(pixels, n, side, side, 3)
	}
	asked := paint(few, func(i int) [3]float64 { return [3]float64{0.05 * float64(i), 0.1, 0.3 - 0.07*float64(i)} })
	follows := func(ink func(i int) [3]float64) float64 {
		r := followed(paint(samples, ink), asked, string(paired.Ink))
		require.NotNil(t, r)
		return *r
	}
	require.InDelta(t, 1, follows(func(i int) [3]float64 {
		return [3]float64{0.1 + 0.02*float64(i%few), 0.2, 0.35 - 0.07*float64(i%few)}
	}), 1e-5)
	require.InDelta(t, -1, follows(func(i int) [3]float64 {
		return [3]float64{0.1 + 0.02*float64(i%few), 0.2, 0.01 + 0.07*float64(i%few)}
	}), 1e-5, "the least of the channels")
	require.Nil(t, followed(asked, paint(few, func(int) [3]float64 { return [3]float64{0.1, 0.1, 0.3} }), string(paired.Ink)))
	require.Nil(t, followed(asked, asked, string(paired.Outline)))
	for i, c := range colors(asked, dark) {
		require.InDeltaSlice(t, []float64{0.05 * float64(i), 0.1, 0.3 - 0.07*float64(i)}, c[:], 1e-6)
	}
	require.InDelta(t, 0.9, colors(asked, bright)[0][1], 1e-6)
}

func TestConfigErrors(t *testing.T) {
	for _, scale := range []string{"smoke", "quick", "paper"} {
		c, err := AtScale(scale)
		require.NoError(t, err)
		require.NoError(t, c.WithDefaults().Validate())
		require.Positive(t, c.Tasks())
	}
	for want, change := range map[string]func(c *Config){
		"train = -1: must be at least 2":           func(c *Config) { c.Train = -1 },
		"pairs = 1: must be at least 2":            func(c *Config) { c.Pairs = 1 },
		"want each from 2 to train = 24":           func(c *Config) { c.Sweep = []int{25} },
		"pairs = 4 is measured anyway":             func(c *Config) { c.Sweep = []int{4} },
		"source_rate = NaN: must be finite":        func(c *Config) { c.SourceRate = math.NaN() },
		"seed 1 is given twice":                    func(c *Config) { c.Seeds = []int64{1, 1} },
		`method "oracle": want some of`:            func(c *Config) { c.Methods = []string{"oracle"} },
		"batch = 25, target_batch = 4 of train":    func(c *Config) { c.Batch = 25 },
		"size = 20: want 16 or 32":                 func(c *Config) { c.Size = 20 },
		`dataset = "cifar10": pairs are drawn of`:  func(c *Config) { c.Dataset = "cifar10" },
		`domain = "typeface": of mnist, want one`:  func(c *Config) { c.Dataset = "mnist" },
		"held_out = 19: must be at least 20":       func(c *Config) { c.HeldOut = 19 },
		"channels = -1: must be at least 1":        func(c *Config) { c.Channels = -1 },
		"sweep = [3 3]: 3 is given twice":          func(c *Config) { c.Sweep = []int{3, 3} },
		"judge_steps = -2: must be at least 1":     func(c *Config) { c.JudgeSteps = -2 },
		"feature = -1: must be finite and > 0":     func(c *Config) { c.Feature = -1 },
		"target_steps = -1: must be at least 1":    func(c *Config) { c.TargetSteps = -1 },
		"target_rate = +Inf: must be finite and >": func(c *Config) { c.TargetRate = math.Inf(1) },
	} {
		c := tiny()
		change(&c)
		err := c.WithDefaults().Validate()
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "pairgan: ")
	}
}
