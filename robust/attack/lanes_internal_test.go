package attack

import (
	"context"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust"
)

// TestWindows: the schedule of the paper for 100 steps (checkpoints p_j = 0, 0.22, 0.41, 0.57 ...), and that of few steps.
func TestWindows(t *testing.T) {
	var at []int
	for i, w := range windows(100) {
		if w > 0 {
			at = append(at, i)
		}
	}
	require.Equal(t, []int{22, 41, 57, 70, 80, 87, 93, 99}, at)
	require.Equal(t, []int{0, 1, 1, 1}, windows(3))
	require.Equal(t, []int{0, 1}, windows(1))
}

// TestAPGDNeverFalls: the best loss that a search keeps never falls, is the highest that it saw, and is at the point that is
// returned; step sizes only halve.
func TestAPGDNeverFalls(t *testing.T) {
	l := oracle.RandomLinear(12, 4, 3)
	rows, labels := make([][]float32, 20), make([]int32, 20)
	for i := range rows {
		for j := range l.W {
			rows[i] = append(rows[i], float32((7*i+3*j)%11)/10)
		}
		labels[i] = l.Predict(rows[i])
	}
	v, err := robust.NewVictim(testengine.Quick(t), l.Model(0, 1), 32)
	require.NoError(t, err)
	for _, norm := range []robust.Norm{robust.Linf, robust.L2} {
		p := robust.Problem{Images: tensors.FromValue(rows), Goal: robust.Goal{Labels: labels}, Threat: robust.Threat{Norm: norm, Epsilon: 0.01}}
		r := &apgd{lanes: lanes{v: v, p: p, calls: 41, losses: make([][]float32, 20)}, APGD: APGD{Steps: 40, Restarts: 1}, windows: windows(40)}
		before, highest := make([]float32, 20), make([]float32, 20)
		calls, halvings := 0, 0
		sizes := make([]float32, 20)
		r.watch = func() {
			numbers := tensors.MustCopyFlatData[float32](r.numbers)
			for i := range 20 { // example i is at place i
				if r.solved[i] {
					continue // its place is idle
				}
				row := numbers[i*numColumns : (i+1)*numColumns]
				if calls == 0 {
					require.InDelta(t, 0.02, row[columnSize], 1e-8)
				} else {
					require.GreaterOrEqual(t, row[columnBest], before[i])
					require.Contains(t, []float32{1, 0.5}, row[columnSize]/sizes[i])
					if row[columnSize] < sizes[i] {
						halvings++
					}
				}
				before[i], sizes[i] = row[columnBest], row[columnSize]
			}
			calls++
		}
		_, err = r.attack(context.Background())
		require.NoError(t, err)
		require.Equal(t, 41, calls)
		require.Positive(t, halvings)
		standing := 0
		for i, seen := range r.losses {
			for _, loss := range seen {
				highest[i] = max(highest[i], loss)
			}
			if !r.solved[i] {
				standing++
				require.Len(t, seen, 41)
				require.Equal(t, highest[i], before[i], "example %d", i)
			}
		}
		require.Greater(t, standing, 3)
	}
}
