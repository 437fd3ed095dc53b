package attack_test

import (
	"context"
	"fmt"
	"math"
	"slices"
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

type minimizer struct {
	attack       robust.Attack
	norms        []robust.Norm
	free, bounds float64
}

// patient is CW with steps enough to settle, towards every class: without Targets it may end at a class that is not the
// nearest, at 1.14 times the distance here.
var patient = minimizer{attack.CW{SearchSteps: 6, Steps: 800, LearningRate: 0.006, InitialConst: 0.01, Targets: 9},
	[]robust.Norm{robust.L2}, 1.05, 1.05}

// minimizers are the attacks that minimize the norm, with how far from the optimum they may be on linear classifiers: with
// the pixel bounds far away, and with them in the way (0: they only have to succeed).
var minimizers = []minimizer{
	{attack.FAB{Steps: 20}, []robust.Norm{robust.Linf, robust.L2, robust.L1}, 1.01, 1.05},
	{attack.FAB{Steps: 20, Targets: 9}, []robust.Norm{robust.Linf, robust.L2, robust.L1}, 1.01, 1.05},
	{attack.FAB{Steps: 10, Restarts: 2}, []robust.Norm{robust.Linf}, 1.01, 1.05},
	{attack.DeepFool{}, []robust.Norm{robust.L2, robust.Linf}, 1.021, 0}, // its overshoot, and no regard for bounds
	// A pixel on a bound is 7.25 away from the middle in w, and 80 steps go 6.
	{attack.CW{SearchSteps: 6, Steps: 80, LearningRate: 0.1, InitialConst: 0.01}, []robust.Norm{robust.L2}, 0, 0},
}

// TestMinimalNorms: on linear classifiers of several classes the norms are within 5 % of the true distances, and never
// below them.
func TestMinimalNorms(t *testing.T) {
	l := oracle.RandomLinear(30, 4, 7)
	x, rows, labels := images(l, 64, 11)
	for _, bounds := range []float64{0, 3} {
		v, err := robust.NewVictim(testengine.Quick(t), l.Model(-bounds, 1+bounds), 64)
		require.NoError(t, err)
		for _, c := range append(slices.Clone(minimizers), patient) {
			for _, norm := range c.norms {
				t.Run(fmt.Sprintf("%s/%s/bounds %g", c.attack.Name(), norm, bounds), func(t *testing.T) {
					o := evaluate(t, v, c.attack, robust.Problem{Images: x, Goal: robust.Goal{Labels: labels},
						Threat: robust.Threat{Norm: norm, Epsilon: math.Inf(1)}, Seed: 3})
					require.Zero(t, o.RobustAccuracy)
					allowed, worst, ratios := c.bounds, 1.0, make([]float64, len(rows))
					if bounds > 0 {
						allowed = c.free
					}
					for i := range rows {
						want := distance(l, rows[i], labels[i], norm, -bounds, 1+bounds)
						if bounds > 0 {
							require.InEpsilon(t, unboxed(l, rows[i], labels[i], norm), want, 1e-6)
						}
						require.GreaterOrEqual(t, o.Norms[i], want*(1-1e-4)-1e-6)
						worst, ratios[i] = max(worst, o.Norms[i]/want), o.Norms[i]/want
					}
					slices.Sort(ratios)
					t.Logf("median %.4f times", ratios[len(ratios)/2])
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
	for _, c := range minimizers {
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
	for _, c := range minimizers {
		if _, untargeted := c.attack.(attack.DeepFool); untargeted {
			continue
		}
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
	for _, c := range minimizers {
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
	for _, c := range minimizers {
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
	weights, l1, l2, targeted := p, p, p, p
	weights.Threat.Weights = []float64{0.1}
	l1.Threat.Norm, l2.Threat.Norm = robust.L1, robust.L2
	targeted.Goal = robust.Goal{Targets: []int32{0, 1, 2, 0}}
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
		{attack.DeepFool{Steps: -1}, p, "Steps = -1"},
		{attack.DeepFool{Overshoot: -1}, p, "Overshoot = -1"},
		{attack.DeepFool{Candidates: 1}, p, "Candidates = 1"},
		{attack.DeepFool{}, l1, "not in l1"},
		{attack.DeepFool{}, targeted, "no targets"},
		{attack.DeepFool{}, weights, "moves inputs only"},
		{attack.CW{}, p, "not in linf"},
		{attack.CW{SearchSteps: -1}, l2, "SearchSteps = -1"},
		{attack.CW{Steps: -1}, l2, "Steps = -1"},
		{attack.CW{Targets: -1}, l2, "Targets = -1"},
		{attack.CW{LearningRate: math.NaN()}, l2, "LearningRate = NaN"},
		{attack.CW{InitialConst: -1}, l2, "InitialConst = -1"},
		{attack.CW{Confidence: math.Inf(1)}, l2, "Confidence = +Inf"},
	} {
		_, err := robust.Evaluate(context.Background(), v, c.attack, c.p)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "\n")
	}
}

// TestConfidence: successes have the margin that was asked for, and cost more.
func TestConfidence(t *testing.T) {
	v, p := perceptron(t, 32, 3)
	h := hostOf(t, v.Model)
	p.Threat = robust.Threat{Norm: robust.L2, Epsilon: math.Inf(1)}
	plain := evaluate(t, v, attack.CW{SearchSteps: 6, Steps: 100, LearningRate: 0.05}, p)
	sure := evaluate(t, v, attack.CW{SearchSteps: 6, Steps: 100, LearningRate: 0.05, Confidence: 0.2}, p)
	require.Greater(t, sure.MedianNorm, plain.MedianNorm)
	moved := tensors.MustCopyFlatData[float32](sure.Perturbed)
	for i, y := range p.Goal.Labels {
		if !sure.Success[i] {
			continue
		}
		_, logits := h.forward(wide(moved[i*pixels : (i+1)*pixels]))
		other := math.Inf(-1)
		for k, z := range logits {
			if int32(k) != y {
				other = max(other, z)
			}
		}
		require.GreaterOrEqual(t, other-logits[y], 0.2-1e-4)
	}
	full := evaluate(t, v, attack.CW{SearchSteps: 3, Steps: 400, InitialConst: 1, LearningRate: 0.05}, p)
	early := evaluate(t, v, attack.CW{SearchSteps: 3, Steps: 400, InitialConst: 1, LearningRate: 0.05, AbortEarly: true}, p)
	require.Less(t, early.MeanQueries, full.MeanQueries)
	require.InEpsilon(t, full.MedianNorm, early.MedianNorm, 0.05)
}

// TestAdamAgainstPlainGo compares steps of CW for one c, pixel by pixel, with an implementation in plain Go.
func TestAdamAgainstPlainGo(t *testing.T) {
	v, p := perceptron(t, 16, 3)
	h := hostOf(t, v.Model)
	p.Threat = robust.Threat{Norm: robust.L2, Epsilon: math.Inf(1)}
	const rate, c = 0.1, 5.0
	for _, steps := range []int{3, 12} {
		o := evaluate(t, v, attack.CW{SearchSteps: 1, Steps: steps, LearningRate: rate, InitialConst: c}, p)
		moved := tensors.MustCopyFlatData[float32](o.Perturbed)
		successes := 0
		for i, y := range p.Goal.Labels {
			clean := wide(tensors.MustCopyFlatData[float32](p.Images)[i*pixels : (i+1)*pixels])
			want, found := h.carlini(clean, y, rate, c, steps)
			require.Equal(t, found, o.Success[i], "example %d", i)
			if found {
				successes++
			}
			for j := range want {
				require.InDelta(t, want[j], moved[i*pixels+j], 1e-3, "example %d", i)
			}
		}
		if steps == 12 {
			require.Positive(t, successes)
		}
	}
}

// carlini is CW with one c: the nearest success of its steps, or the clean image.
func (h host) carlini(clean []float64, y int32, rate, c float64, steps int) (best []float64, found bool) {
	w, mean, square := make([]float64, len(clean)), make([]float64, len(clean)), make([]float64, len(clean))
	for i, v := range clean {
		w[i] = math.Atanh((2*v - 1) * (1 - 1e-6))
	}
	best, nearest := clean, math.Inf(1)
	for t := range steps {
		x, distance := make([]float64, len(clean)), 0.0
		for i := range w {
			x[i] = (math.Tanh(w[i]) + 1) / 2
			distance += (x[i] - clean[i]) * (x[i] - clean[i])
		}
		z, logits := h.forward(x)
		other := -1
		for k := range logits {
			if int32(k) != y && (other < 0 || logits[k] > logits[other]) {
				other = k
			}
		}
		if logits[other] > logits[y] && distance < nearest {
			best, nearest, found = x, distance, true
		}
		for i := range w {
			g := 2 * (x[i] - clean[i])
			if logits[y] > logits[other] {
				for j := range z {
					if z[j] > 0 {
						g += c * h.w1[i*len(z)+j] * (h.w2[j*len(logits)+int(y)] - h.w2[j*len(logits)+other])
					}
				}
			}
			g *= (1 - math.Tanh(w[i])*math.Tanh(w[i])) / 2
			mean[i], square[i] = 0.9*mean[i]+0.1*g, 0.999*square[i]+0.001*g*g
			w[i] -= rate * min(1, 2*(1-float64(t)/float64(steps))) * mean[i] /
				(1 - math.Pow(0.9, float64(t+1))) / (math.Sqrt(square[i]/(1-math.Pow(0.999, float64(t+1)))) + 1e-8)
		}
	}
	return best, found
}
