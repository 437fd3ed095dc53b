package attack_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gomlx/compute/dtypes"
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

// plane is a classifier of two classes whose boundary is a plane, and n points at the given distance from it on the side of class
// 0, far from its pixel bounds. Its logits are computed in float64, so that answers do not depend on the batch.
func plane(t *testing.T, d, n, batch int, margin float64) (*robust.Victim, robust.Problem, []float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(d), 5))
	l := oracle.Linear{B: []float32{0, 0}}
	w, size := make([]float64, d), 0.0
	for i := range w {
		w[i] = rng.NormFloat64()
		size += w[i] * w[i]
	}
	size = math.Sqrt(size)
	for i := range w {
		w[i] = float64(float32(w[i] / size))
		l.W = append(l.W, []float32{float32(w[i]), 0})
	}
	m := exact(l.Model(-3, 4))
	v, err := robust.NewVictim(testengine.Quick(t), m, batch)
	require.NoError(t, err)
	flat := make([]float32, 0, n*d)
	for range n {
		x, at := make([]float64, d), 0.0
		for i := range x {
			x[i] = rng.Float64()
			at += x[i] * w[i]
		}
		for i := range x {
			flat = append(flat, float32(x[i]+(margin-at)*w[i]))
		}
	}
	p := robust.Problem{Images: tensors.FromFlatDataAndDimensions(flat, n, d), Goal: robust.Goal{Labels: make([]int32, n)},
		Threat: robust.Threat{Norm: robust.L2, Epsilon: math.Inf(1)}, Seed: 3}
	return v, p, w
}

// exact computes the logits of a linear model in float64.
func exact(m *nets.Model) *nets.Model {
	c := *m
	c.Logits = func(scope *model.Scope, x *Node) *Node {
		w := ConvertDType(scope.At("linear").GetVariable("weights").NodeValue(x.Graph()), dtypes.Float64)
		b := ConvertDType(scope.At("linear").GetVariable("biases").NodeValue(x.Graph()), dtypes.Float64)
		return ConvertDType(Add(MatMul(ConvertDType(x, dtypes.Float64), w), InsertAxes(b, 0)), dtypes.Float32)
	}
	return &c
}

func TestTmp(t *testing.T) {
	const margin = 0.3
	v, p, w := plane(t, 64, 6, 16, margin)
	one := 0.0
	for _, x := range w {
		one += math.Abs(x)
	}
	for _, c := range []struct {
		a    robust.Attack
		norm robust.Norm
		best float64
	}{{attack.HopSkipJump{Queries: 6000}, robust.Linf, margin / one}, {attack.SignOPT{Queries: 4000}, robust.L2, margin},
		{attack.SignOPT{Queries: 4000, Unclipped: true}, robust.L2, margin},
		{attack.RayS{}, robust.Linf, margin / one}, {attack.Boundary{}, robust.L2, margin}} {
		q := p
		q.Threat.Norm = c.norm
		start := time.Now()
		o, err := robust.Evaluate(context.Background(), v, c.a, q)
		require.NoError(t, err)
		t.Log(c.a.Name(), time.Since(start))
		for i, n := range o.Norms {
			t.Log(i, n/c.best, o.Queries[i], o.Success[i], o.Traces[i].Failure, len(o.Traces[i].Steps))
		}
	}
}
