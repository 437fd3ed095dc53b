package pfsgan

import (
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// number runs a graph of constants.
func number(t *testing.T, build func(g *Graph) *Node) float64 {
	t.Helper()
	out, err := CallOnce(testengine.Quick(t).Backend(), func(x *Node) *Node { return ReduceAllSum(build(x.Graph())) }, float64(0))
	require.NoError(t, err)
	return tensors.ToScalar[float64](out)
}

// TestLosses: numbers by hand.
func TestLosses(t *testing.T) {
	require.InDelta(t, 0.7620269058, number(t, func(g *Graph) *Node {
		return divergence(Const(g, [][]float64{{0.5, -1}, {0, 2}}), Const(g, [][]float64{{0, 0.2}, {-0.5, 1}}))
	}), 1e-9)
	realScores, fakeScores := []float64{2, 0.5, -1}, []float64{-2, 0, 0.5}
	require.InDelta(t, 1.6666666667, number(t, func(g *Graph) *Node { return judged(Const(g, realScores), Const(g, fakeScores)) }), 1e-9)
	require.InDelta(t, 0.5, number(t, func(g *Graph) *Node { return fooled(Const(g, fakeScores)) }), 1e-9)
	require.InDelta(t, 2.5, number(t, func(g *Graph) *Node { return squared(Const(g, []float64{1, 2}), Const(g, []float64{2, 4})) }), 1e-12)
	require.InDelta(t, 1.5, number(t, func(g *Graph) *Node { return absolute(Const(g, []float64{1, 2}), Const(g, []float64{2, 4})) }), 1e-12)
}

// TestRelations: of pairs and of others.
func TestRelations(t *testing.T) {
	pairs := func(source, target [][]float64) float64 {
		return number(t, func(g *Graph) *Node { return ReduceAllMean(Abs(relation(Const(g, source), Const(g, target)))) })
	}
	require.Zero(t, pairs([][]float64{{0, 1}, {2, -1}}, [][]float64{{0, 1}, {2, -1}}))
	require.InDelta(t, 0.0625, pairs([][]float64{{0, 1}, {2, -1}}, [][]float64{{0, 1}, {2.5, -1}}), 1e-12)
	others := func(found []float64) float64 {
		return number(t, func(g *Graph) *Node {
			source := Const(g, [][]float64{{0, 0}, {1, 2}, {3, -1}})
			return absolute(relation(source, Const(g, [][]float64{found})), relation(source, Const(g, [][]float64{{1, 0.5}})))
		})
	}
	require.InDelta(t, 0.625, others([]float64{1, 1}), 1e-12)
	require.Zero(t, others([]float64{1, 0.5}))
	require.Greater(t, others([]float64{4, 3}), others([]float64{1, 1}))
}

// TestLatent: the appearance comes first.
func TestLatent(t *testing.T) {
	out, err := CallOnce(testengine.Quick(t).Backend(), func(x *Node) *Node {
		g := x.Graph()
		return Concatenate([]*Node{latent(Const(g, [][]float64{{1, 2}}), Const(g, [][]float64{{3, 4}})),
			Slice(cycled(Const(g, [][]float64{{1, 2, 3, 4}, {5, 6, 7, 8}}), 5), AxisRange(4, 5))}, 0)
	}, float64(0))
	require.NoError(t, err)
	require.Equal(t, []float64{1, 2, 3, 4, 1, 2, 3, 4}, tensors.MustCopyFlatData[float64](out))
	joint, err := joined([][]float32{{1}}, [][]float32{{2}})
	require.NoError(t, err)
	require.Equal(t, [][]float32{{1, 2}}, joint)
	_, err = joined([][]float32{{1}}, nil)
	require.ErrorContains(t, err, "1 appearances for 0 contents")
}
