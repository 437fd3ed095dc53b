package robust_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// TestSignsOfFooledAttacks: each defect of a model raises its check, an honest model none, and looking costs nobody a query.
func TestSignsOfFooledAttacks(t *testing.T) {
	honest := brightest.Model(0, 1)
	with := func(change func(scope *model.Scope, x *Node) *Node) *nets.Model {
		m := brightest.Model(0, 1)
		m.Logits = change
		return m
	}
	rooted := func(s *model.Scope, x *Node) *Node { return honest.Logits(s, Sqrt(x)) }
	blind := func(s *model.Scope, x *Node) *Node { return honest.Logits(s, StopGradient(x)) }
	for _, c := range []struct {
		name   string
		model  *nets.Model
		access robust.Access
		want   []string
	}{
		{"honest", honest, robust.Gradients, nil},
		{"probabilities", with(func(s *model.Scope, x *Node) *Node { return Softmax(honest.Logits(s, x), -1) }),
			robust.Scores, []string{"softmax"}},
		{"blind", with(blind), robust.Gradients, []string{"zero-gradient"}},
		{"blind, which an attack on scores does not mind", with(blind), robust.Scores, nil},
		{"rooted", with(rooted), robust.Gradients, []string{"infinite-gradient"}},
		{"rooted, which an attack on scores does not mind", with(rooted), robust.Scores, nil},
		{"random", with(func(s *model.Scope, x *Node) *Node {
			return Add(honest.Logits(s, x), MulScalar(s.RandomUniform(x.Graph(), x.Shape()), 0.01))
		}), robust.Gradients, []string{"randomized"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.model.Store = honest.Store
			v, err := robust.NewVictim(testengine.Quick(t), c.model, 2)
			require.NoError(t, err)
			idle := func(_ *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
				return &robust.Perturbation{Images: p.Images}, nil
			}
			o, err := robust.Evaluate(context.Background(), v, fake{c.access, idle}, problem(0.1))
			require.NoError(t, err)
			var names []string
			for _, name := range raised(o) {
				if name != "unmoved" {
					names = append(names, name)
				}
			}
			require.Equal(t, c.want, names)
			require.Equal(t, make([]int64, 3), o.Queries)
			require.Equal(t, make([]int64, 3), o.Grads)
		})
	}
}

// TestSaturated: of logits of any scale, those are counted of which PyTorch finds the gradient of the cross-entropy zero
// (softmax minus one-hot in float32, subnormal numbers included), and none whose weights float32 holds, by float64.
func TestSaturated(t *testing.T) {
	const n, classes = 100, 10
	l := oracle.RandomLinear(30, classes, 7)
	m := l.Model(0, 1)
	v, err := robust.NewVictim(testengine.Quick(t), m, 64)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	rows, labels := make([][]float32, n), make([]int32, n)
	for i := range rows {
		for range l.W {
			rows[i] = append(rows[i], rng.Float32())
		}
		labels[i] = l.Predict(rows[i])
	}
	p := robust.Problem{Images: tensors.FromValue(rows), Goal: robust.Goal{Labels: labels}, Threat: robust.Threat{Epsilon: 0.1}}
	still := fake{robust.Gradients, func(*robust.Victim, robust.Problem) (*robust.Perturbation, error) {
		return &robust.Perturbation{}, nil
	}}
	for _, scale := range []float64{1, 3, 10, 30, 100, 1e3, 1e4, 1e5} {
		scaled := make([][]float32, len(l.W))
		for i, row := range l.W {
			for _, w := range row {
				scaled[i] = append(scaled[i], w*float32(scale))
			}
		}
		bias := make([]float32, classes)
		for k, b := range l.B {
			bias[k] = b * float32(scale)
		}
		require.NoError(t, m.Weights()[0].SetValue(tensors.FromValue(scaled)))
		require.NoError(t, m.Weights()[1].SetValue(tensors.FromValue(bias)))
		torch, most := 0, 0
		for _, x := range rows[:64] { // those that the check looks at
			z := make([]float64, classes)
			for k := range z {
				z[k] = float64(bias[k])
				for i, v := range x {
					z[k] += float64(v) * float64(scaled[i][k])
				}
			}
			top, sum, others := slices.Max(z), 0.0, 0.0
			for _, v := range z {
				sum += float64(float32(math.Exp(v - top)))
				if v != top {
					others = max(others, math.Exp(v-top))
				}
			}
			zero := true
			for _, v := range z {
				weight := float32(math.Exp(v - top - math.Log(float64(float32(sum)))))
				if v == top {
					weight--
				}
				zero = zero && weight == 0
			}
			if zero {
				torch++
			}
			if others < 0x1p-126 {
				most++
			}
		}
		o, err := robust.Evaluate(context.Background(), v, still, p)
		require.NoError(t, err)
		counted := 0
		for _, c := range o.Checks {
			if c.Name == "zero-gradient" {
				_, err := fmt.Sscanf(c.Meaning, "the cross-entropy has no gradient at all at %d", &counted)
				require.NoError(t, err)
				require.Equal(t, counted > 0, c.Raised)
			}
		}
		t.Logf("scale %g: %d zero in PyTorch, %d counted", scale, torch, counted)
		require.GreaterOrEqual(t, float64(counted), 0.9*float64(torch))
		require.LessOrEqual(t, counted, most)
		if scale == 1 {
			require.Zero(t, counted)
		}
		if scale == 1e5 {
			require.GreaterOrEqual(t, counted, 60)
		}
	}
}

// TestBlackBoxBeatsWhiteBox: only what falls to an attack on scores after gradients have failed is suspicious.
func TestBlackBoxBeatsWhiteBox(t *testing.T) {
	white, black := robust.Stage{Access: robust.Gradients, Attacked: 3, Fell: 1}, robust.Stage{Access: robust.Scores, Attacked: 2, Fell: 1}
	idle := black
	idle.Fell = 0
	for _, c := range []struct {
		stages []robust.Stage
		want   bool
	}{{[]robust.Stage{white, black}, true}, {[]robust.Stage{black, white}, false}, {[]robust.Stage{white, idle}, false},
		{[]robust.Stage{black}, false}, {nil, false}} {
		staged := func(*robust.Victim, robust.Problem) (*robust.Perturbation, error) {
			return &robust.Perturbation{Stages: c.stages}, nil
		}
		o, err := robust.Evaluate(context.Background(), victim(t, 2), fake{robust.Scores, staged}, problem(0.1))
		require.NoError(t, err)
		require.Equal(t, c.stages, o.Stages)
		found := false
		for _, name := range raised(o) {
			found = found || name == "black-box"
		}
		require.Equal(t, c.want, found, "%v", c.stages)
	}
}

// TestNoGraphNodes: a network with an operation that has no gradient gets an error in words.
func TestNoGraphNodes(t *testing.T) {
	m := brightest.Model(0, 1)
	honest := m.Logits
	m.Logits = func(s *model.Scope, x *Node) *Node { return honest(s, Floor(MulScalar(x, 4))) }
	v, err := robust.NewVictim(testengine.Quick(t), m, 2)
	require.NoError(t, err)
	_, err = robust.Evaluate(context.Background(), v, attack.FGSM{}, problem(0.1))
	require.ErrorContains(t, err, "cannot be differentiated: attack its scores")
	require.NotContains(t, err.Error(), "Node #")
}
