package attack_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// forest is a random forest of scikit-learn as an ONNX file, with images and what ONNX Runtime says of them.
func forest(t *testing.T) (file string, images *tensors.Tensor, labels []int32) {
	t.Helper()
	f, err := os.Open("../../nets/onnx/testdata/cases.json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var cases []struct {
		Name   string
		Model  []byte
		Shape  []int
		X      []float32
		Logits [][]float64
	}
	require.NoError(t, json.NewDecoder(z).Decode(&cases))
	for _, c := range cases {
		if c.Name != "RandomForestClassifier, three, zipmap True" {
			continue
		}
		for _, row := range c.Logits {
			labels = append(labels, int32(slices.Index(row, slices.Max(row))))
		}
		file = filepath.Join(t.TempDir(), "forest.onnx")
		require.NoError(t, os.WriteFile(file, c.Model, 0o600))
		return file, tensors.FromFlatDataAndDimensions(c.X, c.Shape...), labels
	}
	t.Fatal("no such case")
	return "", nil, nil
}

// TestForest: an attack by decisions leads a forest astray, and one by gradients does not move, which self-checks tell.
func TestForest(t *testing.T) {
	file, images, labels := forest(t)
	m, err := onnx.Load(file, onnx.Options{})
	require.NoError(t, err)
	v, err := robust.NewVictim(testengine.Quick(t), m, 64)
	require.NoError(t, err)
	p := robust.Problem{Images: images, Goal: robust.Goal{Labels: labels}, Threat: robust.Threat{Norm: robust.L2, Epsilon: 0.3}, Seed: 3}
	o, err := robust.Evaluate(context.Background(), v, attack.HopSkipJump{Queries: 1000}, p)
	require.NoError(t, err)
	require.Equal(t, 1.0, o.CleanAccuracy)
	require.Less(t, o.RobustAccuracy, 0.3)
	o, err = robust.Evaluate(context.Background(), v, attack.FGSM{}, p)
	require.NoError(t, err)
	found := map[string]bool{}
	for _, c := range o.Checks {
		found[c.Name] = c.Raised
	}
	require.True(t, found["zero-gradient"] && found["unmoved"], o.Checks)
	require.Equal(t, 1.0, o.RobustAccuracy)
}
