package nets_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
)

// wave is the formula of testdata/make_networks.py.
func wave(i, k int) float64 { return math.Sin(0.37*float64(i) + 1.3*float64(k) + 0.5) }

// fillByFormula gives a model the weights and state of testdata/make_networks.py.
func fillByFormula(t *testing.T, m *nets.Model) {
	t.Helper()
	set := func(v *model.Variable, value func(i int) float64) {
		values := make([]float32, v.Shape().Size())
		for i := range values {
			values[i] = float32(value(i))
		}
		require.NoError(t, v.SetValue(tensors.FromFlatDataAndDimensions(values, v.Shape().Dimensions...)))
	}
	for k, w := range m.Weights() {
		d := w.Shape().Dimensions
		factor, shift := 0.1, 0.0
		if len(d) > 1 {
			factor = math.Sqrt(2 / (float64(w.Shape().Size()) / float64(d[len(d)-1])))
		} else if strings.HasSuffix(w.Path(), "/scale") {
			shift = 1
		}
		set(w, func(i int) float64 { return factor*wave(i, k) + shift })
	}
	for k, path := range m.StatePaths {
		factor, shift := 0.1, 0.0
		if k%2 == 1 {
			factor, shift = 0.5, 1
		}
		set(m.Store.GetVariable(path), func(i int) float64 { return factor*wave(i, k) + shift })
	}
}

// Networks agree with PyTorch (testdata/make_networks.py) in evaluation and in training: logits, gradients with respect
// to the image, and what training makes of the running averages.
func TestNetworksAgreeWithPyTorch(t *testing.T) {
	type answer struct{ Logits, Gradient []float64 }
	var golden map[string]struct {
		Parameters           int
		Evaluation, Training answer
		State                []float64
	}
	data, err := os.ReadFile("testdata/networks.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &golden))
	resnet := func(c nets.ResNetConfig) *nets.Model {
		m, err := nets.NewResNet(c)
		require.NoError(t, err)
		return m
	}
	vit, err := nets.NewViT(nets.ViTConfig{Input: []int{8, 8, 3}, Patch: 4, Width: 8, Depth: 2, Heads: 2, MLPRatio: 2, Classes: 5})
	require.NoError(t, err)
	models := map[string]*nets.Model{
		"resnet": resnet(nets.ResNetConfig{Input: []int{8, 8, 3}, Channels: []int{4, 8}, Classes: 5}),
		"large stem, squeeze-excite": resnet(nets.ResNetConfig{Input: []int{16, 16, 3}, Channels: []int{4, 8, 8},
			LargeStem: true, SqueezeExcite: 2, Classes: 5}),
		"vit": vit,
	}
	require.Len(t, golden, len(models))
	for name, m := range models {
		want := golden[name]
		require.Equal(t, want.Parameters, m.NumParameters(), name)
		fillByFormula(t, m)
		d := m.InputShape
		values := make([]float32, 2*d[0]*d[1]*d[2])
		for i := range values {
			values[i] = float32(0.5 + 0.5*math.Sin(0.91*float64(i)))
		}
		for backend, b := range backends(t) {
			for mode, want := range map[string]answer{"evaluation": want.Evaluation, "training": want.Training} {
				copied, err := m.Clone()
				require.NoError(t, err)
				exec, err := model.NewExec(b, copied.Store, func(scope *model.Scope, x *Node) (*Node, *Node) {
					scope.Store().SetTraining(x.Graph(), mode == "training")
					logits := copied.Logits(scope, x)
					own := LogSoftmax(logits, -1)
					loss := Neg(Add(ReduceAllSum(Slice(own, AxisElem(0), AxisElem(1))), ReduceAllSum(Slice(own, AxisElem(1), AxisElem(3)))))
					return logits, Gradient(loss, x)[0]
				})
				require.NoError(t, err)
				x := tensors.FromFlatDataAndDimensions(values, append([]int{2}, d...)...) // a tensor stays with its backend
				logits, gradient, err := exec.Call2(x)
				require.NoError(t, err, "%s %s", name, backend)
				require.InDeltaSlice(t, want.Logits, float64s(t, logits), 1e-4, "%s %s %s", name, mode, backend)
				require.InDeltaSlice(t, want.Gradient, float64s(t, gradient), 1e-4, "%s %s %s", name, mode, backend)
				var state []float64
				for _, path := range copied.StatePaths {
					value, err := copied.Store.GetVariable(path).Value()
					require.NoError(t, err)
					state = append(state, float64s(t, value)...)
				}
				if mode == "training" && len(state) > 0 {
					require.InDeltaSlice(t, golden[name].State, state, 1e-5, "%s %s", name, backend)
				} else {
					for i, path := range copied.StatePaths {
						value, err := m.Store.GetVariable(path).Value()
						require.NoError(t, err)
						after, err := copied.Store.GetVariable(path).Value()
						require.NoError(t, err)
						require.True(t, value.Equal(after), "evaluation moved state %d", i)
					}
				}
			}
		}
	}
}

func float64s(t *testing.T, x *tensors.Tensor) []float64 {
	t.Helper()
	values, err := tensors.CopyFlatData[float32](x)
	require.NoError(t, err)
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	return wide
}

// Published counts: torchvision's resnet18, the CIFAR variant of it (3x3 stem, projections), and the SE-ResNet-18 that
// follows from the gates' two dense layers with reduction 16.
func TestResNetParameters(t *testing.T) {
	wide := nets.ResNetConfig{Input: []int{224, 224, 3}, Blocks: []int{2, 2, 2, 2}, Channels: []int{64, 128, 256, 512},
		LargeStem: true, Classes: 1000}
	gated, small := wide, wide
	gated.SqueezeExcite = 16
	small.Input, small.LargeStem, small.Classes = []int{32, 32, 3}, false, 10
	for want, c := range map[int]nets.ResNetConfig{11_689_512: wide, 11_778_592: gated, 11_173_962: small} {
		m, err := nets.NewResNet(c)
		require.NoError(t, err)
		assert.Equal(t, want, m.NumParameters(), m.Name)
	}
}

// The running averages travel with the weights: saved, loaded, copied, cloned.
func TestStateTravels(t *testing.T) {
	c := nets.ResNetConfig{Input: []int{8, 8, 1}, Channels: []int{4, 8}, Classes: 3, Seed: 1}
	m, err := nets.NewResNet(c)
	require.NoError(t, err)
	fillByFormula(t, m)
	require.NotEmpty(t, m.StatePaths)
	x := images(m, 4, 1)
	want := run(t, m, m.Logits, x)
	path := filepath.Join(t.TempDir(), "w.npz")
	require.NoError(t, m.SaveWeights(path))
	fresh := func() *nets.Model {
		n, err := nets.NewResNet(c)
		require.NoError(t, err)
		require.NotEqual(t, want, run(t, n, n.Logits, x))
		return n
	}
	loaded, copied := fresh(), fresh()
	require.NoError(t, loaded.LoadWeights(path))
	require.NoError(t, copied.CopyWeights(m))
	cloned, err := m.Clone()
	require.NoError(t, err)
	for _, n := range []*nets.Model{loaded, copied, cloned} {
		require.Equal(t, want, run(t, n, n.Logits, x))
	}
}

func TestBadResNets(t *testing.T) {
	for want, c := range map[string]nets.ResNetConfig{
		"input shape [28]":              {Input: []int{28}},
		"2 stages of Blocks, 3 of":      {Blocks: []int{1, 1}},
		"every size must be at least 1": {Channels: []int{0}},
		"SqueezeExcite 32":              {SqueezeExcite: 32},
		"pixel bounds":                  {Lower: 1, Upper: 1},
	} {
		_, err := nets.NewResNet(c)
		assert.ErrorContains(t, err, want)
	}
}
