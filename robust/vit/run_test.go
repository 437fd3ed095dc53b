package vit_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sbinet/npyio"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/vit"
)

// tiny trains three networks in seconds, on glyphs.
func tiny() vit.Config {
	c := vit.Smoke()
	c.Scale, c.Seeds, c.Models = "tiny", []int64{1, 2}, []string{vit.CNN, vit.ViT, vit.ViTPGD}
	c.Train, c.Test, c.StrongImages, c.StrongSteps, c.Width = 128, 32, 16, 4, 8
	return c
}

// What every run must keep, whatever the networks: attacks only lower accuracy, the stronger ones more, a filter that
// leaves nothing of an attack leaves the accuracy, and the diagonal of transfer is the white-box attack.
func TestRun(t *testing.T) {
	c := tiny()
	c.Dir = t.TempDir()
	r, err := vit.Run(context.Background(), testengine.Get(t), c)
	require.NoError(t, err)
	require.Len(t, r.Networks, 6)
	for _, m := range r.Networks {
		for i := range r.Config.Epsilon {
			assert.LessOrEqual(t, m.FGSM[i], m.Clean)
			assert.LessOrEqual(t, m.PGD[i], m.FGSM[i]+0.1, m.Model)
		}
		require.Len(t, m.Filtered, 9)
		for _, f := range m.Filtered {
			assert.LessOrEqual(t, f.Accuracy, m.Clean)
			assert.Positive(t, f.Norm)
		}
		assert.NotEmpty(t, m.Blocks)
		for _, b := range m.Blocks {
			assert.LessOrEqual(t, b.R2, 1.0)
		}
	}
	reference := slices.Index(r.Config.Epsilon, r.Config.Reference)
	for _, x := range r.Transfers {
		require.Equal(t, []string{vit.CNN, vit.ViT}, x.Models, "adversarially trained networks take no part")
		for i, model := range x.Models {
			for _, m := range r.For(model) {
				if m.Seed == x.Seed {
					assert.InDelta(t, 1-m.FGSM[reference]/m.Clean, x.Both[i][i], 1e-6)
				}
			}
		}
	}
	for _, claim := range r.Claims() {
		require.NoError(t, claim.Check())
	}
	require.NoError(t, r.Document().WriteFile(filepath.Join(t.TempDir(), "report.html")))
	_, err = report.Save(t.TempDir(), parts(r)...)
	require.NoError(t, err)

	// The same again comes from the folder, without a backend's help.
	again, err := vit.Run(context.Background(), testengine.Get(t), c)
	require.NoError(t, err)
	a, err := json.Marshal(r)
	require.NoError(t, err)
	b, err := json.Marshal(again)
	require.NoError(t, err)
	assert.JSONEq(t, string(a), string(b))
}

func parts(r *vit.Result) (all []report.Part) {
	for _, t := range r.Tables() {
		all = append(all, t)
	}
	for _, f := range r.Figures() {
		all = append(all, f)
	}
	return all
}

// Any choice of networks makes a whole report.
func TestAnyModels(t *testing.T) {
	for _, models := range [][]string{{vit.ResNet}, {vit.ViTTRADES}} {
		c := tiny()
		c.Models, c.Seeds = models, []int64{1}
		r, err := vit.Run(context.Background(), testengine.Get(t), c)
		require.NoError(t, err)
		_, err = report.Save(t.TempDir(), parts(r)...)
		require.NoError(t, err)
		require.NoError(t, r.Document().WriteFile(filepath.Join(t.TempDir(), "report.html")))
	}
}

func TestBadConfig(t *testing.T) {
	for want, change := range map[string]func(*vit.Config){
		"train = -1":                        func(c *vit.Config) { c.Train = -1 },
		"inspect_images = 2":                func(c *vit.Config) { c.InspectImages = 2 },
		"batch_size = 512":                  func(c *vit.Config) { c.BatchSize = 512 },
		"learning_rate = -1":                func(c *vit.Config) { c.LearningRate = -1 },
		"seed 3 is given twice":             func(c *vit.Config) { c.Seeds = []int64{3, 3} },
		"epsilon = [0.1 0.05]":              func(c *vit.Config) { c.Epsilon = []float64{0.1, 0.05} },
		"reference = 0.07":                  func(c *vit.Config) { c.Reference = 0.07 },
		`model "VGG"`:                       func(c *vit.Config) { c.Models = []string{"VGG"} },
		"belong together":                   func(c *vit.Config) { c.Images = "x.npy" },
		"not divisible by patch 5":          func(c *vit.Config) { c.Patch = 5 },
		"width 16 is not divisible by 3 he": func(c *vit.Config) { c.Heads = 3 },
	} {
		c := vit.Smoke()
		change(&c)
		_, err := vit.Run(context.Background(), testengine.Get(t), c)
		assert.ErrorContains(t, err, want)
	}
	_, err := vit.AtScale("huge")
	assert.ErrorContains(t, err, "want smoke, quick or paper")
}

// The user's own networks go through the same study.
func TestImported(t *testing.T) {
	const folder = "../../nets/onnx/testdata/"
	c := vit.Smoke()
	c.Imported = []vit.Imported{{Name: "new", Path: folder + "cnn_new.onnx"}, {Name: "old", Path: folder + "cnn_old.onnx"}}
	c.Images, c.Labels = folder+"cnn_new_x.npy", folder+"cnn_new_y.npy"
	r, err := vit.Run(context.Background(), testengine.Get(t), c)
	require.NoError(t, err)
	require.Len(t, r.Networks, 2)
	require.Equal(t, []string{"new", "old"}, r.Transfers[0].Models)
	for _, claim := range r.Claims() {
		assert.Equal(t, report.NotTested, claim.Verdict())
	}
	_, err = report.Save(t.TempDir(), parts(r)...)
	require.NoError(t, err)
	require.NoError(t, r.Document().WriteFile(filepath.Join(t.TempDir(), "report.html")))

	for want, change := range map[string]func(*vit.Config){
		"missing.onnx":              func(c *vit.Config) { c.Imported[1].Path = "missing.onnx" },
		"missing.npy":               func(c *vit.Config) { c.Images = "missing.npy" },
		`are named "new"`:           func(c *vit.Config) { c.Imported[1].Name = "new" },
		"belong together":           func(c *vit.Config) { c.Labels = "" },
		"give one label an example": func(c *vit.Config) { c.Labels = wrongLabels(t) },
	} {
		bad := c
		bad.Imported = slices.Clone(c.Imported)
		change(&bad)
		_, err := vit.Run(context.Background(), testengine.Get(t), bad)
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
