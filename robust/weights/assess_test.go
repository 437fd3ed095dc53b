package weights

import (
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// noise are images at random, labeled by the network itself.
func noise(t *testing.T, m *nets.Model, n int) fit.Data {
	t.Helper()
	rng, size := rand.New(rand.NewPCG(41, 42)), 1
	for _, d := range m.InputShape {
		size *= d
	}
	pixels := make([]float32, n*size)
	for i := range pixels {
		pixels[i] = rng.Float32()
	}
	d := fit.Data{Images: tensors.FromFlatDataAndDimensions(pixels, append([]int{n}, m.InputShape...)...)}
	p, err := nets.NewPredictor(testengine.Training(t).Backend(), m, n)
	require.NoError(t, err)
	d.Labels, err = p.Classes(d.Images)
	require.NoError(t, err)
	return d
}

// TestAssess: what is covered has a certificate below what attacks leave, what is not says so.
func TestAssess(t *testing.T) {
	for _, c := range []struct {
		name      string
		model     func() (*nets.Model, error)
		parts     []string
		certified []bool
		uncovered string
	}{
		{"mlp", func() (*nets.Model, error) {
			return nets.NewMLP(nets.MLPConfig{Input: []int{6}, Hidden: []int{8}, Classes: 3, Seed: 1})
		}, []string{"all weights", "dense_0/weights 6×8", "dense_1/weights 8×3"}, []bool{true, true, true}, ""},
		{"tanh", func() (*nets.Model, error) {
			return nets.NewMLP(nets.MLPConfig{Input: []int{6}, Hidden: []int{8}, Classes: 3, Seed: 1, Activation: nets.ActTanh})
		}, []string{"all weights", "the last dense layer", "dense_0/weights 6×8", "dense_1/weights 8×3"}, []bool{false, true, false, true},
			"activation tanh can be negative"},
		{"cnn", func() (*nets.Model, error) {
			return nets.NewCNN(nets.CNNConfig{Input: []int{8, 8, 1}, Channels: []int{2}, Dense: 7, Classes: 3, Seed: 5})
		}, []string{"all weights", "the last 2 dense layers", "conv_0/weights 3×3×1×2", "dense_0/weights 32×7", "dense_1/weights 7×3"},
			[]bool{false, true, false, true, true}, "no chain of dense layers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := c.model()
			require.NoError(t, err)
			d := noise(t, m, 60)
			a, err := Assess(t.Context(), testengine.Training(t), m, d, AssessConfig{Epsilon: 0.01, Bits: []int{16, 3}, Seed: 1})
			require.NoError(t, err)
			require.Equal(t, 1.0, a.Clean)
			require.Equal(t, 60, a.Examples)
			require.Len(t, a.Parts, len(c.parts))
			for i, p := range a.Parts {
				require.Equal(t, c.parts[i], p.Name)
				require.Equal(t, c.certified[i], p.Certified != nil, p.Name)
				require.LessOrEqual(t, p.Attacked, p.Random+0.02)
				if p.Certified != nil {
					require.LessOrEqual(t, *p.Certified, p.Attacked)
					require.Positive(t, *p.Certified)
					require.Equal(t, *p.Certified > 0.5, *p.Margin > 0)
				}
			}
			require.Equal(t, m.NumParameters(), a.Parts[0].Weights)
			require.Less(t, a.Parts[0].Attacked, 1.0)
			if c.uncovered == "" {
				require.Empty(t, a.Uncovered)
			} else {
				require.Contains(t, a.Uncovered, c.uncovered)
			}
			require.Len(t, a.Bits, 2)
			require.Greater(t, a.Bits[0].Rounded, 0.95)
			require.Less(t, a.Bits[1].Attacked, a.Bits[0].Attacked)
			for _, table := range a.Tables() {
				require.NoError(t, table.Check())
			}
		})
	}
}

// TestAssessRelative: a relative radius is that of each tensor; a tensor of zeros does not move.
func TestAssessRelative(t *testing.T) {
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{6}, Hidden: []int{8}, Classes: 3, Seed: 1})
	require.NoError(t, err)
	d := noise(t, m, 40)
	small, err := Assess(t.Context(), testengine.Training(t), m, d, AssessConfig{Epsilon: 0.001, Relative: true, Bits: []int{}})
	require.NoError(t, err)
	large, err := Assess(t.Context(), testengine.Training(t), m, d, AssessConfig{Epsilon: 0.2, Relative: true, Bits: []int{}})
	require.NoError(t, err)
	require.Empty(t, small.Bits)
	require.Greater(t, small.Parts[0].Attacked, large.Parts[0].Attacked)
	require.Greater(t, *small.Parts[0].Certified, *large.Parts[0].Certified)
}

func TestAssessBadInput(t *testing.T) {
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{6}, Classes: 3, Seed: 1})
	require.NoError(t, err)
	d := noise(t, m, 5)
	for want, call := range map[string]func() (*Assessment, error){
		"give a model": func() (*Assessment, error) {
			return Assess(t.Context(), testengine.Training(t), nil, d, AssessConfig{Epsilon: 1})
		},
		"Epsilon = 0: must be finite and > 0": func() (*Assessment, error) {
			return Assess(t.Context(), testengine.Training(t), m, d, AssessConfig{})
		},
		"Epsilon = -1": func() (*Assessment, error) {
			return Assess(t.Context(), testengine.Training(t), m, d, AssessConfig{Epsilon: -1})
		},
		"1 bits": func() (*Assessment, error) {
			return Assess(t.Context(), testengine.Training(t), m, d, AssessConfig{Epsilon: 1, Bits: []int{1}})
		},
		"2 labels for 5 images": func() (*Assessment, error) {
			return Assess(t.Context(), testengine.Training(t), m, fit.Data{Images: d.Images, Labels: d.Labels[:2]}, AssessConfig{Epsilon: 1})
		},
		"label 7 at row 0": func() (*Assessment, error) {
			wrong := fit.Data{Images: d.Images, Labels: []int32{7, 0, 0, 0, 0}}
			return Assess(t.Context(), testengine.Training(t), m, wrong, AssessConfig{Epsilon: 1})
		},
		"no images given": func() (*Assessment, error) {
			return Assess(t.Context(), testengine.Training(t), m, fit.Data{}, AssessConfig{Epsilon: 1})
		},
	} {
		_, err := call()
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
}
