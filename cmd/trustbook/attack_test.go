package main

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/robust"
)

// attackRuns are attacks whose output is measured again.
var attackRuns = []struct {
	attack, norm string
	epsilon      float64
	more         []string
}{
	{"pgd", "linf", 0.1, []string{"--steps", "7", "--batch-size", "5"}},
	{"pgd", "l2", 1.5, []string{"--steps", "7", "--loss", "margin", "--targets", "t.npy"}},
	{"pgd", "l1", 15, []string{"--steps", "7", "--random-start=false"}},
	{"apgd", "linf", 0.1, []string{"--steps", "7", "--loss", "dlr", "--target-classes", "3"}},
	{"square", "linf", 0.2, []string{"--queries", "50"}},
	{"fab", "l2", 1.5, []string{"--steps", "5", "--target-classes", "2"}},
	{"deepfool", "l2", 1.5, []string{"--steps", "7"}},
	{"cw", "l2", 1.5, []string{"--steps", "30"}},
	{"hopskipjump", "linf", 0.2, []string{"--queries", "400", "--directions", "bilinear:7"}},
	{"hopskipjump", "l2", 2, []string{"--queries", "400", "--directions", "dct:8", "--targets", "t.npy"}},
	{"sign-opt", "l2", 3, []string{"--queries", "400"}},
	{"rays", "linf", 0.2, []string{"--queries", "200"}},
	{"boundary", "l2", 3, []string{"--queries", "300"}},
}

// `trustbook attack` on the tour's PyTorch network, from files to files: what it says is measured again on the saved
// array, in float64 and by another reading of the network.
func TestAttack(t *testing.T) {
	const n = 16
	dir, _ := attackFolder(t)
	images := blobs(n)
	m, err := onnx.Load(filepath.Join(dir, "m.onnx"), onnx.Options{InputShape: []int{1, 28, 28}, Lower: 0, Upper: 1})
	require.NoError(t, err)
	v, err := robust.NewVictim(testengine.Quick(t), m, n)
	require.NoError(t, err)
	clean, err := v.Predictions(t.Context(), tensors.FromFlatDataAndDimensions(images, n, 1, 28, 28), nil)
	require.NoError(t, err)

	wide, labels, targets := make([]float64, len(images)), make([]int64, n), make([]int32, n)
	for i, p := range images {
		wide[i] = float64(p)
	}
	for i, y := range clean {
		labels[i], targets[i] = int64(y), (y+1)%10
	}
	labels[3], labels[8] = int64(clean[3]+1)%10, int64(clean[8]+2)%10 // two that the network gets wrong
	targets[3] = (clean[3] + 5) % 10
	saveArray(t, filepath.Join(dir, "x.npy"), wide, n, 1, 28, 28)
	saveArray(t, filepath.Join(dir, "y.npy"), labels, n)
	saveArray(t, filepath.Join(dir, "t.npy"), targets, n)

	for _, c := range attackRuns {
		t.Run(fmt.Sprintf("%s %s %g", c.attack, c.norm, c.epsilon), func(t *testing.T) {
			args := append([]string{"attack", "--model", "m.onnx", "--inputs", "x.npy", "--labels", "y.npy", "--attack", c.attack, "--norm", c.norm,
				"--epsilon", fmt.Sprint(c.epsilon), "--seed", "7", "--out", "adv.npy", "--json"}, c.more...)
			got := trustbook(t, dir, args...)
			require.Equal(t, fine, got.status, got.stderr)
			var out attackOutput
			require.NoError(t, json.Unmarshal([]byte(got.stdout), &out))
			require.Equal(t, 1-2.0/n, out.CleanAccuracy)
			require.Equal(t, n, out.Examples)
			require.EqualValues(t, 7, out.Seed)

			adv, err := npy.ReadImages(filepath.Join(dir, "adv.npy"))
			require.NoError(t, err)
			require.Equal(t, []int{n, 1, 28, 28}, adv.Shape().Dimensions)
			perturbed, err := tensors.CopyFlatData[float32](adv)
			require.NoError(t, err)
			final, err := v.Predictions(t.Context(), adv, nil)
			require.NoError(t, err)
			worst := 0.0
			for i := range n {
				size := norm(c.norm, images[i*784:(i+1)*784], perturbed[i*784:(i+1)*784])
				require.LessOrEqual(t, size, c.epsilon+1e-6)
				worst = max(worst, size)
			}
			for _, p := range perturbed {
				require.True(t, p >= 0 && p <= 1, "pixel %g", p)
			}
			require.InDelta(t, worst, out.MaxNorm, 1e-6)
			var aims []int32
			if slices.Contains(c.more, "t.npy") {
				aims = targets
			}
			standing, success := counted(clean, final, labels, aims)
			require.Equal(t, float64(standing)/n, out.RobustAccuracy)
			require.Equal(t, success, out.SuccessRate)
			require.Positive(t, out.SuccessRate, "the attack does nothing")
		})
	}

	t.Run("words", func(t *testing.T) {
		got := trustbook(t, dir, "attack", "--model", "m.onnx", "--inputs", "x.npy", "--labels", "y.npy", "--epsilon", "0.1",
			"--attack", "mim", "--steps", "3", "--out", "words.npy")
		require.Equal(t, fine, got.status, got.stderr)
		require.Contains(t, got.stdout, "clean accuracy")
		require.Contains(t, got.stdout, "87.5%")
		require.Contains(t, got.stdout, "Perturbed images: words.npy")
	})
}

// attackOutput is the part of the JSON that is measured again.
type attackOutput struct {
	CleanAccuracy  float64 `json:"clean_accuracy"`
	RobustAccuracy float64 `json:"robust_accuracy"`
	SuccessRate    float64 `json:"success_rate"`
	MaxNorm        float64 `json:"max_norm"`
	Examples       int     `json:"examples"`
	Seed           int64   `json:"seed"`
}

// counted returns how many images are right before and after, and the share of attacks that succeed: all images' where they
// have targets, else of those that were right.
func counted(clean, final []int32, labels []int64, targets []int32) (standing int, success float64) {
	met, attacked := 0, 0
	for i, y := range labels {
		right := int64(clean[i]) == y
		if right && int64(final[i]) == y {
			standing++
		}
		switch {
		case targets != nil:
			attacked++
			if final[i] == targets[i] {
				met++
			}
		case right:
			attacked++
			if int64(final[i]) != y {
				met++
			}
		}
	}
	return standing, float64(met) / float64(attacked)
}

func norm(kind string, clean, perturbed []float32) (size float64) {
	for i := range clean {
		d := math.Abs(float64(perturbed[i]) - float64(clean[i]))
		switch kind {
		case "linf":
			size = max(size, d)
		case "l2":
			size += d * d
		case "l1":
			size += d
		}
	}
	if kind == "l2" {
		return math.Sqrt(size)
	}
	return size
}
