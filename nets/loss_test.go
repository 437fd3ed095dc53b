package nets_test

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// TestNTXentByHand: of two images with identical views that are orthogonal to each other's, each view has a partner of similarity 1
// and two others of similarity 0, and is not compared with itself: the loss is ln(1 + 2·exp(-1/τ)). With itself in the sum it would
// be above ln 2.
func TestNTXentByHand(t *testing.T) {
	for _, temperature := range []float64{0.1, 0.5, 1, 5} {
		exec, err := NewExec(testengine.Quick(t).Backend(), func(x *Node) *Node { return nets.NTXent(x, temperature) })
		require.NoError(t, err)
		out, err := exec.Call([][][]float64{{{2, 0, 0}, {0, 0, 1}, {2, 0, 0}, {0, 0, 1}}}) // lengths do not matter
		require.NoError(t, err)
		require.InDelta(t, math.Log(1+2*math.Exp(-1/temperature)), out[0].Value().([]float64)[0], 1e-6)
	}
}
