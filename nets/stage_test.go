package nets_test

import (
	"path/filepath"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// TestStagesAreTheNetwork: one stage after the other is the network, for every imported file and every network of this
// package.
func TestStagesAreTheNetwork(t *testing.T) {
	files, err := filepath.Glob("testdata/*.onnx")
	require.NoError(t, err)
	want := map[string]int{"mlp_new": 3, "cnn_new": 4, "MLP 784-12-8-10": 3, "CNN 28x28x1 conv [2 3] max-pool dense 7-10": 4}
	var models []*nets.Model
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".onnx")
		m, err := nets.LoadONNX(path, nets.ONNXOptions{InputShape: read(t, "testdata/"+name+"_x.npy").Shape().Dimensions[1:]})
		require.NoError(t, err)
		models = append(models, m)
	}
	add := func(m *nets.Model, err error) {
		require.NoError(t, err)
		models = append(models, m)
	}
	add(nets.NewMLP(nets.MLPConfig{Hidden: []int{12, 8}}))
	add(nets.NewCNN(nets.CNNConfig{Channels: []int{2, 3}, Dense: 7}))
	add(nets.NewResNet(nets.ResNetConfig{Input: []int{8, 8, 3}, Channels: []int{4, 6}, Blocks: []int{1, 1}}))
	add(nets.NewViT(nets.ViTConfig{Width: 16, Depth: 1, Heads: 2}))
	seen := 0
	for _, m := range models {
		t.Run(m.Name, func(t *testing.T) {
			stages := m.Stages()
			if n, ok := want[m.Name]; ok {
				require.Len(t, stages, n)
				seen++
			}
			shape := append([]int{3}, m.InputShape...)
			exec, err := model.NewExec(testengine.Get(t).Backend(), m.Store, func(scope *model.Scope, images *Node) []*Node {
				x := images
				for _, s := range stages {
					x = s.Graph(scope, x)
					require.Equal(t, 3, x.Shape().Dimensions[0], s.Name)
				}
				return []*Node{x, m.Logits(scope, images)}
			})
			require.NoError(t, err)
			size := 1
			for _, d := range shape {
				size *= d
			}
			pixels := make([]float32, size)
			for i := range pixels {
				pixels[i] = float32(i%17) / 17
			}
			out, err := exec.Call(tensors.FromFlatDataAndDimensions(pixels, shape...))
			require.NoError(t, err)
			require.InDeltaSlice(t, tensors.MustCopyFlatData[float32](out[1]), tensors.MustCopyFlatData[float32](out[0]), 1e-5)
		})
	}
	require.Equal(t, len(want), seen)
}

// TestDropout: a training graph leaves the asked share of hidden neurons out and keeps the mean; an evaluation graph none.
func TestDropout(t *testing.T) {
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{4}, Hidden: []int{20000}, Classes: 2, Dropout: 0.3})
	require.NoError(t, err)
	require.NoError(t, m.Store.SetRNGStateFromSeed(1))
	exec, err := model.NewExec(testengine.Get(t).Backend(), m.Store, func(scope *model.Scope, images *Node) []*Node {
		hidden := m.Stages()[0]
		plain := hidden.Graph(scope, images)
		m.Store.SetTraining(images.Graph(), true)
		return []*Node{plain, hidden.Graph(scope, images)}
	})
	require.NoError(t, err)
	out, err := exec.Call([][]float32{{1, 1, 1, 1}})
	require.NoError(t, err)
	plain, dropped := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
	active, left := 0, 0
	for i, v := range plain {
		if v == 0 {
			continue
		}
		active++
		if dropped[i] == 0 {
			left++
		} else {
			require.InDelta(t, v/0.7, dropped[i], 1e-5)
		}
	}
	require.InDelta(t, 0.3, float64(left)/float64(active), 0.02) // 10,000 draws: a deviation of 0.0046
	for _, p := range []float64{-0.1, 1} {
		_, err := nets.NewMLP(nets.MLPConfig{Dropout: p})
		require.ErrorContains(t, err, "dropout")
	}
}
