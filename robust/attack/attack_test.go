package attack_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// contract is the table that every attack on inputs passes.
var contract = []struct {
	attack robust.Attack
	norms  []robust.Norm
	exact  bool // reaches the closed-form optimum on linear classifiers of two classes
}{
	{attack.FGSM{}, []robust.Norm{robust.Linf, robust.L2, robust.L1}, false},
	{attack.PGD{Steps: 20}, []robust.Norm{robust.Linf, robust.L2, robust.L1}, true},
	{attack.PGD{Steps: 20, NoRandom: true, EarlyStop: true}, []robust.Norm{robust.Linf, robust.L2, robust.L1}, true},
	{attack.PGD{Steps: 10, Restarts: 3}, []robust.Norm{robust.Linf, robust.L2, robust.L1}, true},
	{attack.MIM{Steps: 10}, []robust.Norm{robust.Linf, robust.L2, robust.L1}, true},
	{attack.APGD{Steps: 20}, []robust.Norm{robust.Linf, robust.L2}, true},
	{attack.SquareAttack{Queries: 60}, []robust.Norm{robust.Linf, robust.L2}, false},
	{attack.AutoAttack{Members: []robust.Attack{attack.APGD{Steps: 20}, attack.SquareAttack{Queries: 20}}}, []robust.Norm{robust.Linf}, true},
}

var radius = map[robust.Norm]float64{robust.Linf: 0.1, robust.L2: 0.6, robust.L1: 1.5}

// images draws n points in [0, 1]^inputs, some of whose values lie on the bounds, and their predicted classes.
func images(l oracle.Linear, n int, seed uint64) (*tensors.Tensor, [][]float32, []int32) {
	rng := rand.New(rand.NewPCG(seed, 2))
	rows, labels := make([][]float32, n), make([]int32, n)
	for i := range rows {
		rows[i] = make([]float32, len(l.W))
		for j := range rows[i] {
			rows[i][j] = min(1, max(0, float32(rng.Float64()*1.4-0.2)))
		}
		labels[i] = l.Predict(rows[i])
	}
	return tensors.FromValue(rows), rows, labels
}

func evaluate(t *testing.T, v *robust.Victim, a robust.Attack, p robust.Problem) *robust.Outcome {
	t.Helper()
	o, err := robust.Evaluate(context.Background(), v, a, p)
	require.NoError(t, err)
	for _, c := range o.Checks {
		if c.Name != "unmoved" {
			require.Falsef(t, c.Raised, "%s: %s", a.Name(), c.Meaning)
		}
	}
	return o
}

// TestClosedForm compares robust accuracy with that of the exact optimum, example by example, on linear classifiers
// whose pixel bounds are active.
func TestClosedForm(t *testing.T) {
	e := testengine.Quick(t)
	for _, classes := range []int{2, 5} {
		l := oracle.RandomLinear(30, classes, 7)
		x, rows, labels := images(l, 64, 11)
		v, err := robust.NewVictim(e, l.Model(0, 1), 64)
		require.NoError(t, err)
		for _, c := range contract {
			_, pgd := c.attack.(attack.PGD)
			for _, norm := range c.norms {
				if classes > 2 && !pgd && norm != robust.Linf {
					continue // the same graphs as with 2 classes, which take seconds to compile
				}
				t.Run(fmt.Sprintf("%d classes/%s/%s", classes, c.attack.Name(), norm), func(t *testing.T) {
					a := c.attack
					if pgd, ok := a.(attack.PGD); ok && classes > 2 {
						pgd.MultiTarget, pgd.Loss = true, robust.Margin // cross-entropy mixes the classes' directions
						a = pgd
					}
					for _, share := range []float64{0, 0.3, 1, 2} {
						epsilon := share * radius[norm]
						o := evaluate(t, v, a, robust.Problem{Images: x, Goal: robust.Goal{Labels: labels},
							Threat: robust.Threat{Norm: norm, Epsilon: epsilon}, Seed: 3})
						require.Equal(t, 1.0, o.CleanAccuracy)
						missed, decided := 0, 0
						for i := range rows {
							worst := l.WorstMargin(rows[i], labels[i], norm.String(), epsilon, 0, 1)
							if worst > 1e-4 {
								require.Falsef(t, o.Success[i], "example %d cannot be moved (margin %g)", i, worst)
							}
							if worst < -1e-4 {
								decided++
								if !o.Success[i] {
									missed++
								}
							}
						}
						if epsilon == 0 {
							require.Zero(t, o.MaxNorm)
							require.Equal(t, 1.0, o.RobustAccuracy)
						}
						if c.exact && (classes == 2 || pgd) && norm == robust.Linf {
							require.Zerof(t, missed, "of %d vulnerable examples at epsilon %g", decided, epsilon)
						}
						if pgd && norm == robust.L1 { // the corners of the ball: reached but for rounding
							require.Zerof(t, missed, "of %d vulnerable examples at epsilon %g", decided, epsilon)
						}
						if pgd && norm == robust.L2 { // a curved ball cut by the box: fixed steps circle the optimum
							require.LessOrEqualf(t, 100*missed, 5*decided, "missed %d of %d vulnerable examples at epsilon %g", missed, decided, epsilon)
						}
						t.Logf("epsilon %g: missed %d of %d", epsilon, missed, decided)
					}
				})
			}
		}
	}
}
