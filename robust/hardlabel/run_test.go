package hardlabel

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/report"
)

// tiny is smaller than the smoke scale, on generated glyphs, which need no files.
func tiny() Config {
	c := Smoke()
	c.Scale, c.Dataset, c.Train, c.Held, c.Test, c.Seeds = "tiny", "glyphs", 160, 32, 24, []int64{1, 2}
	c.Channels, c.Dense, c.Filters, c.Epochs, c.WarmUp, c.Steps, c.BatchSize = []int{3, 4}, 8, 2, 6, 1, 1, 32
	c.Images, c.Spaces, c.Budgets, c.Deep = 2, []string{"full", "autoencoder"}, []int{110, 120}, []int{150}
	c.PGDSteps, c.Radii = 2, []float64{2, 6}
	c.Dimensions, c.SpherePoints, c.TrainPoints, c.SphereDimension, c.SphereInside = []int{2, 3}, 40, []int{30, 60}, 3, 2
	c.Ambient, c.SphereSteps, c.Boundary = 4, 40, 5
	return c
}

// TestRepeats: the same bytes, however a run came to its result; and what must hold of any result.
func TestRepeats(t *testing.T) {
	c := tiny()
	first := studytest.Repeats(t, testengine.Training(t), c, Run, []int{3, 30}, 2)
	require.Len(t, first.Networks, 4)
	require.Len(t, first.Spheres, 2)
	require.Len(t, first.Looks, 2)
	for _, m := range first.Networks {
		budgets := len(c.budgetsOf(m.Method, SpaceFull))
		require.Equal(t, m.Method == Natural, budgets == 3)
		require.Len(t, m.Rows, len(Searches)*2*budgets+len(c.Budgets)+1)
		require.Len(t, m.Reaches, len(Searches)*2+2)
		for _, r := range m.Rows {
			require.Equal(t, r.Success > 0, r.Of != nil)
			require.Nil(t, r.Frechet, "two images are no distribution")
			if r.Space == SpaceFull || r.Attack == RayS || r.Attack == PGD {
				require.Nil(t, r.Pair)
			}
			if r.Of == nil {
				continue
			}
			require.LessOrEqual(t, r.Of.Linf, r.Of.Length)
			require.True(t, r.Of.OffShare > 0 && r.Of.OffShare <= 1)
			if full := m.Row(r.Attack, SpaceFull, r.Queries); r.Pair != nil && r.Success == 1 && full.Success == 1 {
				require.InDelta(t, r.Of.Excess, r.Pair.Reduced, 1e-9)
				require.InDelta(t, full.Of.Excess, r.Pair.Full, 1e-9)
				require.InDelta(t, r.Of.Residual-m.Residual, r.Of.Excess, 1e-9)
			}
		}
		for _, course := range m.Courses {
			for i, d := range course.Distance[1:] {
				require.LessOrEqual(t, d, course.Distance[i])
			}
		}
		for _, search := range Searches {
			_, err := first.Path(m.Method, search).PNG()
			require.NoError(t, err)
		}
		_, err := first.Perturbations(m.Method).PNG()
		require.NoError(t, err)
	}
	for _, table := range first.Tables() {
		require.NoError(t, table.Check(), table.Title)
	}
	for _, figure := range first.Figures() {
		_, err := figure.PNG()
		require.NoError(t, err, figure.Title)
	}
	require.NoError(t, report.CheckClaims(first.Claims()))
	require.NoError(t, first.Document().WriteFile(filepath.Join(t.TempDir(), "report.html")))
}

func TestKeys(t *testing.T) {
	spheres := []string{"Dimensions", "SpherePoints", "TrainPoints", "SphereDimension", "SphereInside", "Ambient", "SphereSteps", "Boundary"}
	studytest.Keys(t, tiny(), func(c Config) any { return c.imaging() }, append(spheres, "Scale", "Seeds")...)
	images := []string{"Scale", "Dataset", "Train", "Held", "Test", "Seeds", "Channels", "Dense", "Epochs", "WarmUp", "RobustEpochs",
		"BatchSize", "Epsilon", "Steps", "Halvings", "Filters", "AutoencoderEpochs", "Tanh", "Images", "Spaces", "Budgets", "Deep", "Radii",
		"PGDSteps", "Neighbors", "Rank", "Near"}
	studytest.Keys(t, tiny(), func(c Config) any { return c.Spheres(1) }, images...)
}

func TestConfigErrors(t *testing.T) {
	for _, scale := range []string{"smoke", "quick", "paper"} {
		c, err := AtScale(scale)
		require.NoError(t, err)
		require.NoError(t, c.WithDefaults().Validate())
	}
	for want, change := range map[string]func(c *Config){
		"train = -1: must be at least 1":                 func(c *Config) { c.Train = -1 },
		"images = 1: must be at least 2":                 func(c *Config) { c.Images = 1 },
		"images = 25 of 24 test images":                  func(c *Config) { c.Images = 25 },
		"epsilon = NaN: must be finite":                  func(c *Config) { c.Epsilon = math.NaN() },
		"seed 1 is given twice":                          func(c *Config) { c.Seeds = []int64{1, 1} },
		"batch_size = 33 for 160 training images and 32": func(c *Config) { c.BatchSize = 33 },
		"channels = [4 0]: want one at least":            func(c *Config) { c.Channels = []int{4, 0} },
		"rank = 20, neighbors = 20":                      func(c *Config) { c.Rank = 20 },
		"neighbors = 161":                                func(c *Config) { c.Neighbors = 161 },
		"spaces = [bilinear:7]: want full first":         func(c *Config) { c.Spaces = []string{"bilinear:7"} },
		"spaces = [full]: want full first, and":          func(c *Config) { c.Spaces = []string{"full"} },
		`directions "wavelet:3": want autoencoder, full`: func(c *Config) { c.Spaces = []string{"full", "wavelet:3"} },
		"must rise, from 102 or more":                    func(c *Config) { c.Budgets = []int{101, 120} },
		"deep = [115]: must rise":                        func(c *Config) { c.Deep = []int{115} },
		"radii = [2 1]: must be positive and rise":       func(c *Config) { c.Radii = []float64{2, 1} },
		"dimensions = [4]: want two at least, rising":    func(c *Config) { c.Dimensions = []int{4} },
		"Intrinsic = 9 dimensions in Ambient = 4":        func(c *Config) { c.SphereInside = 9 },
	} {
		c := tiny()
		change(&c)
		err := c.WithDefaults().Validate()
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "hardlabel: ")
	}
	for want, change := range map[string]func(c *Config){
		`no data set "nothing"`:                        func(c *Config) { c.Dataset = "nothing" },
		"reduced size 29 exceeds image 28":             func(c *Config) { c.Spaces = []string{"full", "bilinear:29"} },
		"the first two divisible by 8: lower halvings": func(c *Config) { c.Halvings = 3 },
	} {
		c := tiny()
		change(&c)
		_, err := Run(t.Context(), testengine.Training(t), c)
		require.ErrorContains(t, err, want)
	}
}
