package unsup

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/report"
)

// tiny is smaller than the smoke scale, on generated glyphs, which need no files.
func tiny() Config {
	c := Smoke()
	c.Scale, c.Dataset, c.Train, c.Probe, c.Test, c.Seeds = "tiny", "glyphs", 8, 40, 40, []int64{1, 2}
	c.DenseSteps, c.Similarity = 6, 3
	c.Batch, c.Steps, c.SelectSteps, c.ContrastSteps, c.Search, c.ContrastSearch, c.Hidden = 4, 6, 4, 2, 4, 2, 3
	c.Compared, c.Faithful, c.Classified, c.Selected, c.EstimateOn, c.Estimates = 4, 1, 4, 3, 40, 5
	return c
}

func glyphs(t *testing.T) *tensors.Tensor {
	d, err := fit.LoadSets(t.Context(), "glyphs", "", 10, 10)
	require.NoError(t, err)
	return d.Images
}

// rowOf are the pixels of one image.
func rowOf(images *tensors.Tensor, i int) []float32 {
	flat := tensors.MustCopyFlatData[float32](images)
	size := len(flat) / images.Shape().Dimensions[0]
	return flat[i*size : (i+1)*size]
}

// TestRepeats: the same bytes, however a run came to its result; and what must hold of any result.
func TestRepeats(t *testing.T) {
	c := tiny()
	r := studytest.Repeats(t, testengine.Quick(t), c, Run, []int{9, 60}, 2)
	require.Len(t, r.Learned, 2*3)
	require.Len(t, r.Searched, 2*6)
	for _, m := range r.Learned {
		require.Len(t, m.Scores, len(c.Arms()))
		if m.Network != Contrastive { // whose loss is drawn anew
			require.Zero(t, m.Attack.Wrong)
		}
		require.Equal(t, m.Attack.Rate > 0, m.Attack.MI != nil)
		if m.Attack.MI != nil {
			require.LessOrEqual(t, *m.Attack.MI, *m.Attack.First, "the best success is no worse than the first")
		}
		for _, s := range m.Scores {
			require.Equal(t, m.Network == Contrastive, s.Error == nil)
			require.Equal(t, m.Network == Convolutional, s.Accuracy == nil)
		}
	}
	for _, m := range r.Searched {
		for i := range m.Curve {
			require.LessOrEqual(t, m.Budgets[i], m.Steps)
			if i > 0 {
				require.GreaterOrEqual(t, m.Curve[i], m.Curve[i-1])
			}
		}
	}
	for _, table := range r.Tables() {
		require.NoError(t, table.Check(), table.Title)
	}
	for _, figure := range r.Figures() {
		_, err := figure.PNG()
		require.NoError(t, err, figure.Title)
	}
	_, err := r.Examples(Convolutional).PNG()
	require.NoError(t, err)
	require.NoError(t, report.CheckClaims(r.Claims()))
	require.NoError(t, r.Document().WriteFile(filepath.Join(t.TempDir(), "report.html")))
}

func TestKeys(t *testing.T) {
	studytest.Keys(t, tiny(), func(c Config) any { return c.measuring() }, "Scale", "Seeds", "Networks")
}

// TestShrink averages squares of the middle.
func TestShrink(t *testing.T) {
	pixels := make([]float32, 2*7*6*2)
	for i := range pixels {
		pixels[i] = float32(math.Sin(float64(i)))
	}
	got := tensors.MustCopyFlatData[float32](Shrink(tensors.FromFlatDataAndDimensions(pixels, 2, 7, 6, 2), 3))
	require.Len(t, got, 2*3*3*2)
	at := func(i, y, x, c int) float32 { return pixels[((i*7+y)*6+x)*2+c] }
	for i := range 2 {
		for y := range 3 {
			for x := range 3 {
				for c := range 2 {
					want := (at(i, 2*y, 2*x, c) + at(i, 2*y+1, 2*x, c) + at(i, 2*y, 2*x+1, c) + at(i, 2*y+1, 2*x+1, c)) / 4
					require.InDelta(t, want, got[((i*3+y)*3+x)*2+c], 1e-6)
				}
			}
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for _, scale := range []string{"smoke", "quick", "paper"} {
		c, err := AtScale(scale)
		require.NoError(t, err)
		require.NoError(t, c.WithDefaults().Validate())
		require.Positive(t, c.Tasks())
	}
	for want, change := range map[string]func(c *Config){
		"train = -1: must be at least 1":          func(c *Config) { c.Train = -1 },
		"copies = 1: must be at least 2":          func(c *Config) { c.Copies = 1 },
		"noise = NaN: must be finite":             func(c *Config) { c.Noise = []float64{math.NaN()} },
		"noise = [1 1]: 1 is given":               func(c *Config) { c.Noise = []float64{1, 1} },
		"seed 1 is given twice":                   func(c *Config) { c.Seeds = []int64{1, 1} },
		`network "oracle": want some of`:          func(c *Config) { c.Networks = []string{"oracle"} },
		"batch = 9 of train = 8":                  func(c *Config) { c.Batch = 9 },
		"compared = 9, faithful = 1 of train = 8": func(c *Config) { c.Compared = 9 },
		"classified = 41 of test = 40":            func(c *Config) { c.Classified = 41 },
		"selected = 65 of 64 pixels":              func(c *Config) { c.Selected = 65 },
		"side = 10: want a multiple of 4":         func(c *Config) { c.Side = 10 },
		"estimate_on = 7: must be at least 8":     func(c *Config) { c.EstimateOn = 7 },
	} {
		c := tiny()
		change(&c)
		err := c.WithDefaults().Validate()
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "unsup: ")
	}
	for want, change := range map[string]func(c *Config){
		`no data set "nothing"`:             func(c *Config) { c.Dataset = "nothing" },
		"side = 32: images of glyphs are [": func(c *Config) { c.Side = 32 },
	} {
		c := tiny()
		change(&c)
		_, err := Run(t.Context(), testengine.Quick(t), c)
		require.ErrorContains(t, err, want)
	}
}
