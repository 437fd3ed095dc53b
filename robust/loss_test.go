package robust_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust"
)

// onHost is each loss in plain Go. Its forms are: untargeted on y; by Loss.Graph towards target; by Loss.Towards from y to target.
func onHost(l robust.Loss, z []float64, y, target int, form string) float64 {
	sorted := slices.Sorted(slices.Values(z))
	slices.Reverse(sorted)
	sum, bestBut := 0.0, func(c int) float64 {
		best := math.Inf(-1)
		for j, v := range z {
			if j != c {
				best = max(best, v)
			}
		}
		return best
	}
	for _, v := range z {
		sum += math.Exp(v)
	}
	scale := 1.0
	if l == robust.DLR {
		if scale = sorted[0] - sorted[2] + 1e-12; form != "untargeted" {
			scale = sorted[0] - (sorted[2]+sorted[3])/2 + 1e-12
		}
	}
	switch {
	case l == robust.CrossEntropy && form == "untargeted":
		return math.Log(sum) - z[y]
	case l == robust.CrossEntropy:
		return z[target] - math.Log(sum)
	case form == "untargeted":
		return (bestBut(y) - z[y]) / scale
	case form == "graph":
		return (z[target] - bestBut(target)) / scale
	}
	return (z[target] - z[y]) / scale
}

// TestLossValuesAndGradients compares values with plain Go, and gradients with central differences of it in float64.
func TestLossValuesAndGradients(t *testing.T) {
	const n, classes = 12, 6
	rng := rand.New(rand.NewPCG(1, 2))
	logits, labels, targets := make([][]float64, n), make([]int32, n), make([]int32, n)
	for i := range logits {
		for range classes {
			logits[i] = append(logits[i], 3*rng.NormFloat64())
		}
		labels[i] = int32(rng.IntN(classes))
		targets[i] = (labels[i] + 1 + int32(rng.IntN(classes-1))) % classes
	}
	labels[0] = int32(slices.Index(logits[0], slices.Max(logits[0]))) // right, and
	labels[1] = int32(slices.Index(logits[1], slices.Min(logits[1]))) // as wrong as can be
	targets[0], targets[1] = (labels[0]+1)%classes, (labels[1]+1)%classes
	for _, l := range []robust.Loss{robust.CrossEntropy, robust.Margin, robust.DLR} {
		for _, form := range []string{"untargeted", "graph", "towards"} {
			exec, err := NewExec(testengine.Quick(t).Backend(), func(z, y, target *Node) (*Node, *Node) {
				var loss *Node
				switch form {
				case "untargeted":
					loss = l.Graph(z, y, false)
				case "graph":
					loss = l.Graph(z, target, true)
				default:
					loss = l.Towards(z, y, target)
				}
				return loss, Gradient(ReduceAllSum(loss), z)[0]
			})
			require.NoError(t, err)
			out, err := exec.Call(logits, labels, targets)
			require.NoError(t, err)
			values, gradients := tensors.MustCopyFlatData[float64](out[0]), tensors.MustCopyFlatData[float64](out[1])
			for i, z := range logits {
				value := func() float64 { return onHost(l, z, int(labels[i]), int(targets[i]), form) }
				require.InDelta(t, value(), values[i], 1e-9, "%s %s", l, form)
				for j := range z {
					before := z[j]
					z[j] = before + 1e-6
					up := value()
					z[j] = before - 1e-6
					slope := (up - value()) / 2e-6
					z[j] = before
					require.InDelta(t, slope, gradients[i*classes+j], 1e-2*math.Abs(slope)+1e-7, "%s %s, example %d, logit %d", l, form, i, j)
				}
			}
		}
	}
}

// TestLossErrors: DLR needs enough classes, and names are read back.
func TestLossErrors(t *testing.T) {
	require.EqualError(t, robust.DLR.Validate(2, false), "dlr: needs >= 3 classes, got 2")
	require.EqualError(t, robust.DLR.Validate(3, true), "dlr: needs >= 4 classes, got 3")
	require.NoError(t, robust.DLR.Validate(3, false))
	require.NoError(t, robust.DLR.Validate(4, true))
	require.NoError(t, robust.Margin.Validate(2, true))
	require.ErrorContains(t, robust.Loss(3).Validate(10, false), "Loss = 3")
	for _, l := range []robust.Loss{robust.CrossEntropy, robust.Margin, robust.DLR} {
		got, err := robust.ParseLoss(l.String())
		require.NoError(t, err)
		require.Equal(t, l, got)
	}
	_, err := robust.ParseLoss("hinge")
	require.ErrorContains(t, err, "want ce, margin or dlr")
	_, err = CallOnce(testengine.Quick(t).Backend(), func(z, y *Node) *Node { return robust.DLR.Graph(z, y, false) },
		[][]float32{{1, 2}}, []int32{0})
	require.ErrorContains(t, err, "dlr: needs >= 3 classes, got 2")
}
