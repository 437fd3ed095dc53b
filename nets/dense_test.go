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

// TestDenseIsTheEnd: features, then the listed layers, are the network: for every imported file and every network of
// this package.
func TestDenseIsTheEnd(t *testing.T) {
	files, err := filepath.Glob("testdata/*.onnx")
	require.NoError(t, err)
	require.Greater(t, len(files), 10)
	type found struct {
		layers int
		body   bool // whether something lies before them
	}
	want := map[string]found{
		"mlp_old": {3, false}, "mlp_new": {3, false}, "cnn_old": {2, true}, "cnn_new": {2, true}, "cnn_fixed1": {2, true},
		"residual_new": {1, true}, "vit_new": {1, true},
		"MLP 784-12-8-10 sigmoid": {3, false}, "MLP 784-10": {1, false},
	}
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
	add(nets.NewMLP(nets.MLPConfig{Hidden: []int{12, 8}, Activation: nets.ActSigmoid}))
	add(nets.NewMLP(nets.MLPConfig{}))
	add(nets.NewCNN(nets.CNNConfig{Channels: []int{2, 3}, Dense: 7}))
	add(nets.NewResNet(nets.ResNetConfig{Input: []int{8, 8, 3}, Channels: []int{4, 6}, Blocks: []int{1, 1}}))
	add(nets.NewViT(nets.ViTConfig{Width: 16, Depth: 1, Heads: 2}))
	seen := 0
	for _, m := range models {
		t.Run(m.Name, func(t *testing.T) {
			if w, ok := want[m.Name]; ok {
				require.Equal(t, w, found{len(m.Dense), m.Features != nil})
				seen++
			}
			if len(m.Dense) == 0 {
				return
			}
			require.Equal(t, nets.ActNone, m.Dense[len(m.Dense)-1].Activation)
			exec, err := model.NewExec(testengine.Get(t).Backend(), m.Store, func(scope *model.Scope, images *Node) []*Node {
				x := Reshape(images, images.Shape().Dimensions[0], -1)
				if m.Features != nil {
					x = m.Features(scope, images)
				}
				for _, l := range m.Dense {
					x = MatMul(x, scope.Store().GetVariable(l.Weight).NodeValue(x.Graph()))
					if l.Bias != "" {
						x = Add(x, InsertAxes(scope.Store().GetVariable(l.Bias).NodeValue(x.Graph()), 0))
					}
					x = l.Activation.Graph(x)
				}
				return []*Node{x, m.Logits(scope, images)}
			})
			require.NoError(t, err)
			values := make([]float32, 2*size(m.InputShape))
			for i := range values {
				values[i] = float32(i%17) / 17
			}
			out, err := exec.Call(tensors.FromFlatDataAndDimensions(values, append([]int{2}, m.InputShape...)...))
			require.NoError(t, err)
			require.Less(t, relativeError(t, out[0], out[1]), 1e-5)
		})
	}
	require.Equal(t, len(want), seen)
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func TestMLPActivation(t *testing.T) {
	_, err := nets.NewMLP(nets.MLPConfig{Activation: "gelu"})
	require.ErrorContains(t, err, `MLP activation "gelu": want relu, sigmoid, softplus or tanh`)
}
