package attack_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// distance is the true distance to the nearest other class of a linear classifier, by bisection over the closed form in
// plain Go.
func distance(l oracle.Linear, x []float32, y int32, norm robust.Norm, lower, upper float64) float64 {
	from, to := 0.0, float64(len(x))*(upper-lower)
	for range 80 {
		if r := (from + to) / 2; l.WorstMargin(x, y, norm.String(), r, lower, upper) > 0 {
			from = r
		} else {
			to = r
		}
	}
	return to
}

// unboxed is the same where no bound is near: min over classes of margin / dual norm.
func unboxed(l oracle.Linear, x []float32, y int32, norm robust.Norm) float64 {
	nearest := math.Inf(1)
	for j := range l.B {
		if int32(j) == y {
			continue
		}
		margin, most, square, sum := float64(l.B[y]-l.B[j]), 0.0, 0.0, 0.0
		for i, v := range x {
			d := float64(l.W[i][y]) - float64(l.W[i][j])
			margin += d * float64(v)
			most, square, sum = max(most, math.Abs(d)), square+d*d, sum+math.Abs(d)
		}
		nearest = min(nearest, margin/map[robust.Norm]float64{robust.Linf: sum, robust.L2: math.Sqrt(square), robust.L1: most}[norm])
	}
	return nearest
}

// minimals are the attacks that minimize the norm, with how far from the optimum they may be on linear classifiers: with
// the pixel bounds far away, and with them in the way (0: they only have to succeed).
var minimals = []struct {
	attack       robust.Attack
	norms        []robust.Norm
	free, bounds float64
}{
	{attack.FAB{Steps: 30}, []robust.Norm{robust.Linf, robust.L2, robust.L1}, 1.01, 1.05},
	{attack.FAB{Steps: 20, Targets: 9}, []robust.Norm{robust.Linf, robust.L2, robust.L1}, 1.01, 1.05},
	{attack.FAB{Steps: 10, Restarts: 2}, []robust.Norm{robust.Linf}, 1.01, 1.05},
}

// TestMinimalNorms: on linear classifiers of several classes the norms are within 5 % of the true distances, and never
// below them.
func TestMinimalNorms(t *testing.T) {
	l := oracle.RandomLinear(30, 4, 7)
	x, rows, labels := images(l, 96, 11)
	for _, bounds := range []float64{0, 100} {
		v, err := robust.NewVictim(testengine.Get(t), l.Model(-bounds, 1+bounds), 64)
		require.NoError(t, err)
		for _, c := range minimals {
			for _, norm := range c.norms {
				t.Run(fmt.Sprintf("%s/%s/bounds %g", c.attack.Name(), norm, bounds), func(t *testing.T) {
					o := evaluate(t, v, c.attack, robust.Problem{Images: x, Goal: robust.Goal{Labels: labels},
						Threat: robust.Threat{Norm: norm, Epsilon: math.Inf(1)}, Seed: 3})
					require.Zero(t, o.RobustAccuracy)
					allowed, worst := c.bounds, 1.0
					if bounds > 0 {
						allowed = c.free
					}
					for i := range rows {
						want := distance(l, rows[i], labels[i], norm, -bounds, 1+bounds)
						if bounds > 0 {
							require.InEpsilon(t, unboxed(l, rows[i], labels[i], norm), want, 1e-6)
						}
						require.GreaterOrEqual(t, o.Norms[i], want*(1-1e-4)-1e-6)
						worst = max(worst, o.Norms[i]/want)
					}
					t.Logf("at most %.4f times the distance", worst)
					if allowed > 0 {
						require.LessOrEqual(t, worst, allowed)
					}
				})
			}
		}
	}
}

// TestMinimalBudget: the robust accuracy at a radius is the share of examples whose minimal norm is above it, and what is
// beyond the radius comes back inside it.
func TestMinimalBudget(t *testing.T) {
	v, p := perceptron(t, 60, 7)
	for _, c := range minimals {
		norm := c.norms[0]
		p.Threat = robust.Threat{Norm: norm, Epsilon: math.Inf(1)}
		free := evaluate(t, v, c.attack, p)
		require.Zero(t, free.RobustAccuracy, c.attack.Name())
		for _, epsilon := range []float64{0, 0.2 * free.MedianNorm, free.MedianNorm, 1.5 * free.MedianNorm} {
			above := 0
			for _, n := range free.Norms {
				if n > epsilon {
					above++
				}
			}
			p.Threat.Epsilon = epsilon
			o := evaluate(t, v, c.attack, p) // raises no check: nothing is over the budget
			require.InDelta(t, float64(above)/60, o.RobustAccuracy, 1e-9, "%s, epsilon %g", c.attack.Name(), epsilon)
			require.LessOrEqual(t, o.MaxNorm, epsilon+1e-6)
		}
	}
}

// TestMinimalTargets: targets are reached, at distance zero where the model predicts them already, and never nearer than
// the nearest other class.
func TestMinimalTargets(t *testing.T) {
	v, p := perceptron(t, 40, 5)
	labels := p.Goal.Labels
	for _, c := range minimals {
		p.Threat = robust.Threat{Norm: c.norms[0], Epsilon: math.Inf(1)}
		p.Goal = robust.Goal{Labels: labels}
		nearest := evaluate(t, v, c.attack, p)
		p.Goal = robust.Goal{}
		for i, y := range labels {
			p.Goal.Targets = append(p.Goal.Targets, (y+int32(i%2))%classes) // every second is there already
		}
		o := evaluate(t, v, c.attack, p)
		reached := 0
		for i, target := range p.Goal.Targets {
			if i%2 == 0 {
				require.True(t, o.Success[i])
				require.Zero(t, o.Norms[i])
				continue
			}
			if o.Success[i] {
				reached++
				require.Equal(t, target, o.Final[i])
				require.GreaterOrEqual(t, o.Norms[i], 0.95*nearest.Norms[i])
			}
		}
		require.GreaterOrEqual(t, reached, 18, "%s: of 20", c.attack.Name())
	}
}

// TestMinimalRepeats: the same seed gives the same bytes. Restarts never lose, and start elsewhere with another seed.
func TestMinimalRepeats(t *testing.T) {
	v, p := perceptron(t, 33, 3)
	p.Threat.Epsilon = math.Inf(1)
	for _, c := range minimals {
		p.Threat.Norm = c.norms[0]
		require.Equal(t, perturb(t, v, c.attack, p), perturb(t, v, c.attack, p), c.attack.Name())
	}
	p.Threat.Norm = robust.L2
	once := evaluate(t, v, attack.FAB{Steps: 3}, p)
	first := evaluate(t, v, attack.FAB{Steps: 3, Restarts: 4}, p)
	p.Seed++
	second := evaluate(t, v, attack.FAB{Steps: 3, Restarts: 4}, p)
	differ := 0
	for i := range once.Norms {
		require.LessOrEqual(t, first.Norms[i], once.Norms[i])
		if first.Norms[i] != second.Norms[i] {
			differ++
		}
	}
	require.Positive(t, differ)
	// Examples that the model gets wrong are at distance zero, also where the attack is called without Evaluate.
	wrong := p
	wrong.Goal.Labels = nil
	for _, y := range p.Goal.Labels {
		wrong.Goal.Labels = append(wrong.Goal.Labels, (y+1)%classes)
	}
	for _, c := range minimals {
		wrong.Threat.Norm = c.norms[0]
		require.Equal(t, tensors.MustCopyFlatData[float32](p.Images), perturb(t, v, c.attack, wrong), c.attack.Name())
	}
}

// TestEarlyStopFAB: the same examples fall at the radius, for fewer queries.
func TestEarlyStopFAB(t *testing.T) {
	v, p := perceptron(t, 64, 7)
	p.Threat.Epsilon = 0.1
	full := evaluate(t, v, attack.FAB{Steps: 20, Targets: 2}, p)
	early := evaluate(t, v, attack.FAB{Steps: 20, Targets: 2, EarlyStop: true}, p)
	require.Equal(t, full.Success, early.Success)
	require.Less(t, early.MeanQueries, full.MeanQueries)
	require.Positive(t, full.RobustAccuracy)
	require.Less(t, full.RobustAccuracy, 1.0)
}

// TestNoBudget: attacks that move inside a ball say what they miss.
func TestNoBudget(t *testing.T) {
	v, p := perceptron(t, 4, 3)
	p.Threat.Epsilon = math.Inf(1)
	joint := p
	joint.Threat.Weights = []float64{0.1}
	for _, c := range []struct {
		attack robust.Attack
		p      robust.Problem
	}{{attack.FGSM{}, p}, {attack.PGD{}, p}, {attack.MIM{}, p}, {attack.JointPGD{}, p}, {attack.JointPGD{}, joint}} {
		_, err := robust.Evaluate(context.Background(), v, c.attack, c.p)
		require.ErrorContains(t, err, "no budget", c.attack.Name())
		require.NotContains(t, err.Error(), "\n")
		_, err = c.attack.Perturb(context.Background(), v, c.p)
		require.ErrorContains(t, err, "no budget", c.attack.Name())
	}
}

// TestMinimalBadSettings: each is one line.
func TestMinimalBadSettings(t *testing.T) {
	v, p := perceptron(t, 4, 3)
	weights := p
	weights.Threat.Weights = []float64{0.1}
	for _, c := range []struct {
		attack robust.Attack
		p      robust.Problem
		want   string
	}{
		{attack.FAB{Steps: -1}, p, "Steps = -1"},
		{attack.FAB{Restarts: -1}, p, "Restarts = -1"},
		{attack.FAB{Targets: -1}, p, "Targets = -1"},
		{attack.FAB{AlphaMax: 2}, p, "AlphaMax = 2"},
		{attack.FAB{AlphaMax: math.NaN()}, p, "AlphaMax = NaN"},
		{attack.FAB{Eta: 0.5}, p, "Eta = 0.5"},
		{attack.FAB{Beta: 1}, p, "Beta = 1"},
		{attack.FAB{}, weights, "moves inputs only"},
	} {
		_, err := robust.Evaluate(context.Background(), v, c.attack, c.p)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "\n")
	}
}
