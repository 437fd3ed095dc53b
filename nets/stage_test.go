package nets_test

import (
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/nettest"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// TestStagesAreTheNetwork: one stage after the other is the network.
func TestStagesAreTheNetwork(t *testing.T) {
	want := map[string]int{"MLP 784-12-8-10": 3, "CNN 28x28x1 conv [2 3] max-pool dense 7-10": 4}
	seen := 0
	for _, m := range allNetworks(t, nets.ActReLU) {
		t.Run(m.Name, func(t *testing.T) {
			if n, ok := want[m.Name]; ok {
				require.Len(t, m.Stages(), n)
				seen++
			}
			nettest.StagesAreTheNetwork(t, m)
		})
	}
	require.Equal(t, len(want), seen)
}

// TestActivations: behind the last layer are the logits, and what lies before is the first layer of a network cut off there.
func TestActivations(t *testing.T) {
	e := testengine.Quick(t)
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{6}, Hidden: []int{5, 4}, Classes: 3, Seed: 1})
	require.NoError(t, err)
	images := tensors.FromFlatDataAndDimensions([]float32{0, 0.1, 0.2, 0.3, 0.4, 0.5, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0, 1, 0, 1, 0, 1}, 3, 6)
	take := func(layer int) [][]float32 {
		a, err := nets.NewActivations(e.Backend(), m, layer, 2)
		require.NoError(t, err)
		rows, err := a.Of(images)
		require.NoError(t, err)
		require.Len(t, rows, 3)
		return rows
	}
	p, err := nets.NewPredictor(e.Backend(), m, 2)
	require.NoError(t, err)
	logits, err := p.Logits(images)
	require.NoError(t, err)
	require.Equal(t, logits, take(3))
	w, b := tensors.MustCopyFlatData[float32](m.Weights()[0].MustValue()), tensors.MustCopyFlatData[float32](m.Weights()[1].MustValue())
	x := tensors.MustCopyFlatData[float32](images)
	for i, row := range take(1) {
		require.Len(t, row, 5)
		for j, got := range row {
			want := float64(b[j])
			for k := range 6 {
				want += float64(x[i*6+k]) * float64(w[k*5+j])
			}
			require.InDelta(t, max(0, want), got, 1e-5)
		}
	}
	for _, layer := range []int{0, 4, -1} {
		_, err := nets.NewActivations(e.Backend(), m, layer, 0)
		require.ErrorContains(t, err, "layers 1 to 3")
	}
}

// allNetworks are small networks, one of each kind and an MLP without hidden layers.
func allNetworks(t *testing.T, act nets.Activation) (models []*nets.Model) {
	add := func(m *nets.Model, err error) {
		require.NoError(t, err)
		models = append(models, m)
	}
	add(nets.NewMLP(nets.MLPConfig{Hidden: []int{12, 8}, Activation: act}))
	add(nets.NewMLP(nets.MLPConfig{}))
	add(nets.NewCNN(nets.CNNConfig{Channels: []int{2, 3}, Dense: 7}))
	add(nets.NewResNet(nets.ResNetConfig{Input: []int{8, 8, 3}, Channels: []int{4, 6}, Blocks: []int{1, 1}}))
	add(nets.NewViT(nets.ViTConfig{Width: 16, Depth: 1, Heads: 2}))
	return models
}

// TestDropout: a training graph leaves the asked share of hidden neurons out and keeps the mean; an evaluation graph none.
func TestDropout(t *testing.T) {
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{4}, Hidden: []int{20000}, Classes: 2, Dropout: 0.3})
	require.NoError(t, err)
	require.NoError(t, m.Store.SetRNGStateFromSeed(1))
	exec, err := model.NewExec(testengine.Quick(t).Backend(), m.Store, func(scope *model.Scope, images *Node) []*Node {
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
