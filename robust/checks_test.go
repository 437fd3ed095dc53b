package robust_test

import (
	"context"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// TestSignsOfFooledAttacks: each defect of a model raises its check, an honest model none, and looking costs nobody a query.
func TestSignsOfFooledAttacks(t *testing.T) {
	honest := brightest.Model(0, 1)
	with := func(change func(scope *model.Scope, x *Node) *Node) *nets.Model {
		m := brightest.Model(0, 1)
		m.Logits = change
		return m
	}
	for _, c := range []struct {
		name   string
		model  *nets.Model
		access robust.Access
		want   []string
	}{
		{"honest", honest, robust.Gradients, nil},
		{"probabilities", with(func(s *model.Scope, x *Node) *Node { return Softmax(honest.Logits(s, x), -1) }), robust.Scores, []string{"softmax"}},
		{"blind", with(func(s *model.Scope, x *Node) *Node { return honest.Logits(s, StopGradient(x)) }), robust.Gradients, []string{"zero-gradient"}},
		{"blind, which an attack on scores does not mind", with(func(s *model.Scope, x *Node) *Node { return honest.Logits(s, StopGradient(x)) }), robust.Scores, nil},
		{"random", with(func(s *model.Scope, x *Node) *Node {
			return Add(honest.Logits(s, x), MulScalar(s.RandomUniform(x.Graph(), x.Shape()), 0.01))
		}), robust.Gradients, []string{"randomized"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.model.Store = honest.Store
			v, err := robust.NewVictim(testengine.Get(t), c.model, 2)
			require.NoError(t, err)
			o, err := robust.Evaluate(context.Background(), v, fake{c.access, func(_ *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
				return &robust.Perturbation{Images: p.Images}, nil
			}}, problem(0.1))
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

// TestBlackBoxBeatsWhiteBox: only what falls to an attack on scores after gradients have failed is suspicious.
func TestBlackBoxBeatsWhiteBox(t *testing.T) {
	white, black := robust.Stage{Access: robust.Gradients, Attacked: 3, Fell: 1}, robust.Stage{Access: robust.Scores, Attacked: 2, Fell: 1}
	idle := black
	idle.Fell = 0
	for _, c := range []struct {
		stages []robust.Stage
		want   bool
	}{{[]robust.Stage{white, black}, true}, {[]robust.Stage{black, white}, false}, {[]robust.Stage{white, idle}, false}, {[]robust.Stage{black}, false}, {nil, false}} {
		o, err := robust.Evaluate(context.Background(), victim(t, 2), fake{robust.Scores, func(*robust.Victim, robust.Problem) (*robust.Perturbation, error) {
			return &robust.Perturbation{Stages: c.stages}, nil
		}}, problem(0.1))
		require.NoError(t, err)
		require.Equal(t, c.stages, o.Stages)
		found := false
		for _, name := range raised(o) {
			found = found || name == "black-box"
		}
		require.Equal(t, c.want, found, "%v", c.stages)
	}
}
