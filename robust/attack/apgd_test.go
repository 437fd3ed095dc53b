package attack_test

import (
	"fmt"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// TestAPGDExact: on a linear classifier f(x) = w·x + b of two classes whose bounds are far, robust accuracy is the share
// of examples with y·f(x) > ε·||w||_q, exactly, for APGD, PGD without random start and FGSM alike.
func TestAPGDExact(t *testing.T) {
	l := oracle.RandomLinear(20, 2, 5)
	x, rows, labels := images(l, 150, 6)
	v, err := robust.NewVictim(testengine.Quick(t), l.Model(-100, 100), 64)
	require.NoError(t, err)
	for norm, epsilon := range map[robust.Norm]float64{robust.Linf: 0.1, robust.L2: 0.5} {
		standing := 0
		for i := range rows {
			margin := l.WorstMargin(rows[i], labels[i], norm.String(), epsilon, -100, 100)
			require.Greater(t, margin*margin, 1e-10, "example %d is on the boundary: choose another seed", i)
			if margin > 0 {
				standing++
			}
		}
		require.Greater(t, standing, 30)
		require.Less(t, standing, 120)
		for _, a := range []robust.Attack{attack.FGSM{}, attack.PGD{NoRandom: true}, attack.APGD{}, attack.APGD{Steps: 7, Loss: robust.Margin}} {
			o := evaluate(t, v, a, robust.Problem{Images: x, Goal: robust.Goal{Labels: labels}, Threat: robust.Threat{Norm: norm, Epsilon: epsilon}})
			require.InDelta(t, float64(standing)/150, o.RobustAccuracy, 1e-12, "%s, %s", a.Name(), norm)
		}
	}
}

// TestAPGDTargets: with five classes, a search towards each of the other four is exact where the untargeted cross-entropy
// mixes the classes' directions.
func TestAPGDTargets(t *testing.T) {
	l := oracle.RandomLinear(30, 5, 7)
	x, rows, labels := images(l, 120, 11)
	v, err := robust.NewVictim(testengine.Quick(t), l.Model(0, 1), 32)
	require.NoError(t, err)
	for _, loss := range []robust.Loss{robust.Margin, robust.DLR} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			o := evaluate(t, v, attack.APGD{Targets: 4, Loss: loss, Steps: 50}, robust.Problem{Images: x, Goal: robust.Goal{Labels: labels},
				Threat: robust.Threat{Epsilon: 0.05}})
			missed, fell := 0, 0
			for i := range rows {
				worst := l.WorstMargin(rows[i], labels[i], "linf", 0.05, 0, 1)
				if worst > 1e-4 {
					require.False(t, o.Success[i])
				}
				if worst < -1e-4 {
					fell++
					if !o.Success[i] {
						missed++
					}
				}
			}
			t.Logf("missed %d of %d", missed, fell)
			require.Greater(t, fell, 20)
			if loss == robust.Margin {
				require.Zero(t, missed)
			}
			require.LessOrEqual(t, 50*missed, fell)
		})
	}
}

// TestAPGDQueries: a search costs its start and each step; a solved example nothing more.
func TestAPGDQueries(t *testing.T) {
	v, p := perceptron(t, 37, 3)
	p.Threat.Epsilon = 0.05
	o := evaluate(t, v, attack.APGD{Steps: 12}, p)
	fewer := 0
	for i := range o.Queries {
		require.Equal(t, o.Queries[i], o.Grads[i])
		if o.Success[i] {
			require.LessOrEqual(t, o.Queries[i], int64(13))
			if o.Queries[i] < 13 {
				fewer++
			}
		} else {
			require.EqualValues(t, 13, o.Queries[i])
		}
	}
	require.Positive(t, fewer)
	require.Positive(t, o.RobustAccuracy)
	again := evaluate(t, v, attack.APGD{Steps: 12, Restarts: 3}, p)
	for i := range o.Success {
		require.True(t, again.Success[i] || !o.Success[i])
		if !again.Success[i] {
			require.EqualValues(t, 39, again.Queries[i])
		}
	}
	require.Equal(t, tensors.MustCopyFlatData[float32](o.Perturbed), perturb(t, v, attack.APGD{Steps: 12}, p))
}

// TestAPGDAgainstPGD: 100 steps of APGD leave no more than 100 of PGD do, and one point; accuracy falls with the radius, to
// nothing where every pixel may take every value, and noise does less.
func TestAPGDAgainstPGD(t *testing.T) {
	v, p := perceptron(t, 200, 3)
	before := 1.0
	for _, epsilon := range []float64{0.02, 0.05, 0.1, 0.2, 1} {
		p.Threat.Epsilon = epsilon
		fgsm := evaluate(t, v, attack.FGSM{}, p).RobustAccuracy
		pgd := evaluate(t, v, attack.PGD{Steps: 100, NoRandom: true}, p).RobustAccuracy
		apgd := evaluate(t, v, attack.APGD{}, p).RobustAccuracy
		noise := evaluate(t, v, attack.PGD{Steps: 1, StepSize: 1e-9}, p).RobustAccuracy
		t.Logf("epsilon %g: noise %.3f, FGSM %.3f, PGD-100 %.3f, APGD %.3f", epsilon, noise, fgsm, pgd, apgd)
		require.LessOrEqual(t, apgd, pgd+0.01)
		require.LessOrEqual(t, pgd, fgsm+0.01)
		require.LessOrEqual(t, apgd, before+0.01)
		before = apgd
		if epsilon == 0.1 {
			require.Greater(t, noise, apgd+0.1)
		}
	}
	require.LessOrEqual(t, before, 0.01)
}
