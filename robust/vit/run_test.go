package vit

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/sbinet/npyio"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/study"
)

// tiny trains three networks a seed in seconds, on few images.
func tiny() Config {
	c := Smoke()
	c.Scale, c.Seeds, c.Models = "tiny", []int64{1, 2}, []string{CNN, ViT, PretrainedViT}
	c.Train, c.Pretrain, c.Test, c.StrongImages, c.LearningRate = 512, 128, 32, 16, 1e-2
	c.Steps, c.StrongSteps, c.Width, c.Depth = 20, 4, 8, 1 // fewer steps of a tenth of the radius do less than FGSM's one
	return c
}

// TestRepeats: the same bytes, however a run came to its result; and what every run must keep, whatever the networks:
// longer attacks do at least as much as one step, and the diagonal of transfer is the white-box attack.
func TestRepeats(t *testing.T) {
	r := studytest.Repeats(t, testengine.Quick(t), tiny(), Run, []int{3, 24}, 2)
	require.Len(t, r.Networks, 6)
	for _, m := range r.Networks {
		for i := range r.Config.Epsilon {
			assert.LessOrEqual(t, m.PGD[i], m.FGSM[i]+1.5/32, "%s: PGD leaves two images more than FGSM", m.Model)
		}
		if m.Model == CNN {
			assert.Less(t, m.PGD[len(m.PGD)-1], m.Clean/2, "PGD does next to nothing")
		}
		require.Len(t, m.Filtered, 9)
		total := 0.0
		for _, v := range m.Energy {
			total += v
		}
		assert.InDelta(t, 1, total, 1e-5)
		assert.NotEmpty(t, m.Blocks)
	}
	reference := slices.Index(r.Config.Epsilon, r.Config.Reference)
	for _, x := range r.Transfers {
		require.Equal(t, []string{CNN, ViT}, x.Models, "pre-trained networks take no part")
		for i, model := range x.Models {
			for _, m := range r.For(model) {
				if m.Seed == x.Seed {
					assert.InDelta(t, 1-m.FGSM[reference]/m.Clean, x.Both[i][i], 1e-6)
				}
			}
		}
	}
	require.Len(t, r.Gallery.Looks, 2)
	showable(t, r)
}

// showable checks the claims, and saves all that the result shows.
func showable(t *testing.T, r *Result) {
	t.Helper()
	require.NoError(t, report.CheckClaims(r.Claims()))
	require.NoError(t, r.Document().WriteFile(filepath.Join(t.TempDir(), "report.html")))
	var parts []report.Part
	for _, x := range r.Tables() {
		parts = append(parts, x)
	}
	for _, x := range r.Figures() {
		parts = append(parts, x)
	}
	_, err := report.Save(t.TempDir(), parts...)
	require.NoError(t, err)
}

// TestFiltered: a filter that keeps every frequency leaves the attack as it was, one that keeps none leaves nothing of it,
// and what low and complement leave adds up to the whole.
func TestFiltered(t *testing.T) {
	c := tiny()
	c.Models = []string{CNN}
	s, err := Open(t.Context(), testengine.Quick(t), c)
	require.NoError(t, err)
	g, err := s.gauged(t.Context(), CNN, s.Models[0], 1)
	require.NoError(t, err)
	const by = 0.25
	moved := tensors.MustCopyFlatData[float32](s.images)
	for i := range moved { // towards gray, so that clipping changes nothing
		moved[i] += by * (0.5 - moved[i])
	}
	perturbed := tensors.FromFlatDataAndDimensions(moved, s.images.Shape().Dimensions...)
	got, err := g.filtered(t.Context(), s, perturbed, []mask{{attack.Low, 28}, {attack.High, 28}})
	require.NoError(t, err)
	require.InDelta(t, by/2, got[0].Norm, 1e-5)
	require.Less(t, got[1].Norm, 1e-6)
	before, err := g.victim.Predictions(t.Context(), s.images, nil)
	require.NoError(t, err)
	after, err := g.victim.Predictions(t.Context(), perturbed, nil)
	require.NoError(t, err)
	clean, both := 0.0, 0.0
	for i, y := range s.labels {
		if before[i] == y {
			clean++
			if after[i] == y {
				both++
			}
		}
	}
	require.Greater(t, clean, both, "the perturbation does nothing: the test tells nothing")
	require.InDelta(t, both/float64(len(s.labels)), got[0].Accuracy, 1e-9)
	require.InDelta(t, clean/float64(len(s.labels)), got[1].Accuracy, 1e-9)
}

// TestBlocks: the first block of a convolutional network still knows much of the fine detail, the last one less.
func TestBlocks(t *testing.T) {
	c := tiny()
	c.Models, c.Test, c.InspectImages = []string{CNN}, 400, 400
	s, err := Open(t.Context(), testengine.Quick(t), c)
	require.NoError(t, err)
	g, err := s.gauged(t.Context(), CNN, s.Models[0], 1)
	require.NoError(t, err)
	found, err := g.blocks(s)
	require.NoError(t, err)
	require.Equal(t, "block 1", found[0].Block)
	require.Greater(t, found[0].R2, 0.5)
	require.Less(t, found[len(found)-1].R2, found[0].R2-0.05)
}

// TestAnyModels: any choice of networks makes a whole report, and networks of one architecture are told apart.
func TestAnyModels(t *testing.T) {
	c := tiny()
	c.Models, c.Seeds = []string{ViTPGD, ViTTRADES}, []int64{1}
	r, err := Run(t.Context(), testengine.Quick(t), c)
	require.NoError(t, err)
	require.Equal(t, c.Models, r.Transfers[0].Models)
	for i, m := range r.Networks {
		require.InDelta(t, 1-m.FGSM[0]/m.Clean, r.Transfers[0].Both[i][i], 1e-6, m.Model)
	}
	showable(t, r)
}

func TestBadConfig(t *testing.T) {
	require.NoError(t, Config{}.WithDefaults().Validate())
	require.NoError(t, Paper().WithDefaults().Validate())
	for want, change := range map[string]func(*Config){
		"train = -1":                        func(c *Config) { c.Train = -1 },
		"patch = -1":                        func(c *Config) { c.Patch = -1 },
		"inspect_images = 2":                func(c *Config) { c.InspectImages = 2 },
		"batch_size = 512":                  func(c *Config) { c.BatchSize = 512 },
		"learning_rate = -1":                func(c *Config) { c.LearningRate = -1 },
		"seed 3 is given twice":             func(c *Config) { c.Seeds = []int64{3, 3} },
		"epsilon = [0.1 0.05]":              func(c *Config) { c.Epsilon = []float64{0.1, 0.05} },
		"reference = 0.07":                  func(c *Config) { c.Reference = 0.07 },
		`model "VGG"`:                       func(c *Config) { c.Models = []string{"VGG"} },
		"belong together":                   func(c *Config) { c.Images = "x.npy" },
		"not divisible by patch 5":          func(c *Config) { c.Patch = 5 },
		"width 16 is not divisible by 3 he": func(c *Config) { c.Heads = 3 },
		"as a whole only": func(c *Config) {
			c.Imported, c.Images, c.Labels = []Imported{{Name: "a", Path: "a.onnx"}}, "x.npy", "y.npy"
			c.Dir, c.Shard = t.TempDir(), study.Shard{Index: 1, Of: 2}
		},
	} {
		c := Smoke()
		change(&c)
		_, err := Run(t.Context(), testengine.Quick(t), c)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "vit: ")
	}
	_, err := AtScale("huge")
	assert.ErrorContains(t, err, "want smoke, quick or paper")

	// The first of several mistakes is named, always the same.
	c := Smoke()
	c.Width, c.Steps, c.LearningRate, c.WeightDecay, c.Reference, c.TrainEpsilon, c.Models = -1, -1, -1, -1, 3, 4, []string{"a", "b"}
	for range 200 {
		require.EqualError(t, c.WithDefaults().Validate(), "vit: width = -1: must be at least 1")
	}
}

// The user's own networks go through the same study.
func TestImported(t *testing.T) {
	const folder = "../../nets/onnx/testdata/"
	c := Smoke()
	c.Imported = []Imported{{Name: "new", Path: folder + "cnn_new.onnx"}, {Name: "old", Path: folder + "cnn_old.onnx"}}
	c.Images, c.Labels = folder+"cnn_new_x.npy", folder+"cnn_new_y.npy"
	r, err := Run(t.Context(), testengine.Quick(t), c)
	require.NoError(t, err)
	require.Len(t, r.Networks, 2)
	require.Equal(t, []string{"new", "old"}, r.Transfers[0].Models)
	for _, claim := range r.Claims() {
		assert.Equal(t, report.NotTested, claim.Verdict())
	}
	showable(t, r)

	for want, change := range map[string]func(*Config){
		"missing.onnx":              func(c *Config) { c.Imported[1].Path = "missing.onnx" },
		"missing.npy":               func(c *Config) { c.Images = "missing.npy" },
		`are named "new"`:           func(c *Config) { c.Imported[1].Name = "new" },
		"belong together":           func(c *Config) { c.Labels = "" },
		"give one label an example": func(c *Config) { c.Labels = wrongLabels(t) },
	} {
		bad := c
		bad.Imported = slices.Clone(c.Imported)
		change(&bad)
		_, err := Run(t.Context(), testengine.Quick(t), bad)
		assert.ErrorContains(t, err, want)
	}
}

// wrongLabels writes an array of three labels.
func wrongLabels(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "y.npy")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, npyio.Write(f, []int64{0, 1, 0}))
	require.NoError(t, f.Close())
	return path
}

func TestKeys(t *testing.T) {
	studytest.Keys(t, tiny(), func(c Config) any { return c.measuring() }, "Seeds", "Models", "Scale", "Imported")
}
