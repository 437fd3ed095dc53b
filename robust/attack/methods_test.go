package attack_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

const pixels, hidden, classes = 12, 8, 3

// perceptron is a small untrained network, whose weights differ from seed to seed, and n inputs with its own predictions
// as labels.
func perceptron(t *testing.T, n int, seed int64) (*robust.Victim, robust.Problem) {
	t.Helper()
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{pixels}, Hidden: []int{hidden}, Classes: classes, Seed: seed})
	require.NoError(t, err)
	v, err := robust.NewVictim(testengine.Quick(t), m, 16)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(uint64(seed), 9))
	flat := make([]float32, n*pixels)
	for i := range flat {
		flat[i] = min(1, max(0, float32(rng.Float64()*1.2-0.1)))
	}
	// Output biases that center the logits spread the examples over all classes, near the boundaries.
	h, center := hostOf(t, m), make([]float32, classes)
	for i := range n {
		_, logits := h.forward(wide(flat[i*pixels : (i+1)*pixels]))
		for k, z := range logits {
			center[k] -= float32(z) / float32(n)
		}
	}
	require.NoError(t, m.Weights()[3].SetValue(tensors.FromValue(center)))
	p := robust.Problem{Images: tensors.FromFlatDataAndDimensions(flat, n, pixels), Threat: robust.Threat{Epsilon: 0.1}, Seed: 4}
	p.Goal.Labels, err = v.Predictions(context.Background(), p.Images, nil)
	require.NoError(t, err)
	return v, p
}

// host is the same network in plain Go.
type host struct{ w1, b1, w2, b2 []float64 }

func hostOf(t *testing.T, m *nets.Model) host {
	t.Helper()
	var all [][]float64
	for _, w := range m.Weights() {
		value, err := w.Value()
		require.NoError(t, err)
		var flat []float64
		for _, v := range tensors.MustCopyFlatData[float32](value) {
			flat = append(flat, float64(v))
		}
		all = append(all, flat)
	}
	require.Len(t, all, 4)
	return host{all[0], all[1], all[2], all[3]}
}

// forward returns hidden activations and logits.
func (h host) forward(x []float64) (z, logits []float64) {
	z, logits = slices.Clone(h.b1), slices.Clone(h.b2)
	for j := range z {
		for i, v := range x {
			z[j] += v * h.w1[i*len(z)+j]
		}
		z[j] = max(0, z[j])
	}
	for k := range logits {
		for j, v := range z {
			logits[k] += v * h.w2[j*len(logits)+k]
		}
	}
	return z, logits
}

func softmax(logits []float64) []float64 {
	p, sum := make([]float64, len(logits)), 0.0
	for i, v := range logits {
		p[i] = math.Exp(v - slices.Max(logits))
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func (h host) crossEntropy(x []float64, y int32) float64 {
	_, logits := h.forward(x)
	return -math.Log(softmax(logits)[y])
}

// gradient is that of the cross-entropy with respect to the input, by hand.
func (h host) gradient(x []float64, y int32) []float64 {
	z, logits := h.forward(x)
	p := softmax(logits)
	p[y]--
	g := make([]float64, len(x))
	for j := range z {
		if z[j] == 0 {
			continue
		}
		back := 0.0
		for k := range p {
			back += p[k] * h.w2[j*len(p)+k]
		}
		for i := range x {
			g[i] += back * h.w1[i*len(z)+j]
		}
	}
	return g
}

func sign(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

// ascend is FGSM, PGD without random start and MIM in l-infinity in plain Go. decay 0 keeps no momentum.
func (h host) ascend(clean []float64, y int32, epsilon, size, decay float64, steps int, direction float64) []float64 {
	x, memory := slices.Clone(clean), make([]float64, len(clean))
	for range steps {
		g, norm := h.gradient(x, y), 0.0
		for _, v := range g {
			norm += math.Abs(v)
		}
		for i := range x {
			memory[i] = decay*memory[i] + direction*g[i]/norm
			d := min(epsilon, max(-epsilon, x[i]+size*sign(memory[i])-clean[i]))
			x[i] = min(1, max(0, clean[i]+d))
		}
	}
	return x
}

func perturb(t *testing.T, v *robust.Victim, a robust.Attack, p robust.Problem) []float32 {
	t.Helper()
	found, err := a.Perturb(context.Background(), v, p)
	require.NoError(t, err)
	return tensors.MustCopyFlatData[float32](found.Images)
}

// TestAgainstPlainGo compares whole attacks, pixel by pixel, with implementations that share nothing with them, and
// so pins the documented default step sizes too.
func TestAgainstPlainGo(t *testing.T) {
	v, p := perceptron(t, 40, 3)
	h := hostOf(t, v.Model)
	targeted := p
	targeted.Goal = robust.Goal{}
	for _, y := range p.Goal.Labels {
		targeted.Goal.Targets = append(targeted.Goal.Targets, (y+1)%classes)
	}
	for _, c := range []struct {
		attack      robust.Attack
		size, decay float64
		steps       int
	}{
		{attack.FGSM{}, 0.1, 0, 1},
		{attack.PGD{Steps: 5, NoRandom: true}, 2.5 * 0.1 / 5, 0, 5},
		{attack.PGD{Steps: 4, StepSize: 0.03, NoRandom: true}, 0.03, 0, 4},
		{attack.PGD{NoRandom: true}, 2.5 * 0.1 / 20, 0, 20},
		{attack.MIM{}, 0.1 / 10, 1, 10},
		{attack.MIM{Steps: 6, StepSize: 0.04, Decay: 0.5}, 0.04, 0.5, 6},
	} {
		for _, direction := range []float64{1, -1} {
			problem, classes := p, p.Goal.Labels
			if direction < 0 {
				problem, classes = targeted, targeted.Goal.Targets
			}
			got := perturb(t, v, c.attack, problem)
			off := 0
			for i, y := range classes {
				clean := wide(tensors.MustCopyFlatData[float32](p.Images)[i*pixels : (i+1)*pixels])
				want := h.ascend(clean, y, 0.1, c.size, c.decay, c.steps, direction)
				for j, x := range want {
					if math.Abs(x-float64(got[i*pixels+j])) > 1e-5 {
						off++
					}
				}
			}
			// A gradient (or a kink of ReLU) within float32 rounding of zero may change a sign: rare, and not more.
			require.LessOrEqualf(t, off, len(got)/100, "%s, direction %g: %d of %d pixels differ", c.attack.Name(), direction, off, len(got))
		}
	}
}

func wide(v []float32) []float64 {
	w := make([]float64, len(v))
	for i := range v {
		w[i] = float64(v[i])
	}
	return w
}

// TestEpsilonZero: with no budget nothing moves and no success is counted (l2 and l1: TestClosedForm).
func TestEpsilonZero(t *testing.T) {
	v, p := perceptron(t, 20, 3)
	p.Threat.Epsilon = 0
	for _, a := range []robust.Attack{attack.FGSM{}, attack.PGD{Steps: 3}, attack.PGD{Steps: 3, Restarts: 2}, attack.MIM{Steps: 3},
		attack.JointPGD{Steps: 3}} {
		require.Equal(t, tensors.MustCopyFlatData[float32](p.Images), perturb(t, v, a, p), a.Name())
		o := evaluate(t, v, a, p)
		require.Zero(t, o.MaxNorm)
		require.Equal(t, o.CleanAccuracy, o.RobustAccuracy)
		require.Zero(t, o.SuccessRate)
	}
}

// TestTargeted: the target's probability rises on every example, and Evaluate counts exactly the examples that reach it.
func TestTargeted(t *testing.T) {
	v, p := perceptron(t, 40, 5)
	h := hostOf(t, v.Model)
	p.Threat.Epsilon = 0.3
	for _, y := range p.Goal.Labels {
		p.Goal.Targets = append(p.Goal.Targets, (y+2)%classes)
	}
	clean := tensors.MustCopyFlatData[float32](p.Images)
	for _, a := range []robust.Attack{attack.PGD{}, attack.PGD{Loss: robust.Margin, EarlyStop: true}, attack.MIM{}} {
		o := evaluate(t, v, a, p)
		moved := tensors.MustCopyFlatData[float32](o.Perturbed)
		reached := 0
		for i, target := range p.Goal.Targets {
			before := h.crossEntropy(wide(clean[i*pixels:(i+1)*pixels]), target)
			after := h.crossEntropy(wide(moved[i*pixels:(i+1)*pixels]), target)
			if o.Success[i] {
				reached++
				require.Equal(t, target, o.Final[i])
			} else if a.Name() != (attack.PGD{Loss: robust.Margin, EarlyStop: true}).Name() {
				require.Less(t, after, before, "%s, example %d", a.Name(), i)
			}
		}
		require.Positive(t, reached, a.Name())
		require.InDelta(t, float64(reached)/40, o.SuccessRate, 1e-12)
	}
}

// TestRestarts: more restarts never leave more examples standing, and what was solved stays solved.
func TestRestarts(t *testing.T) {
	v, p := perceptron(t, 60, 7)
	p.Threat.Epsilon = 0.05
	var before *robust.Outcome
	for _, restarts := range []int{2, 3, 6} {
		o := evaluate(t, v, attack.PGD{Steps: 3, Restarts: restarts}, p)
		if before != nil {
			for i := range o.Success {
				require.Truef(t, o.Success[i] || !before.Success[i], "example %d was solved with fewer restarts", i)
			}
		}
		before = o
	}
	single := evaluate(t, v, attack.PGD{Steps: 3}, p)
	t.Logf("robust accuracy %g with 6 restarts, %g with 1", before.RobustAccuracy, single.RobustAccuracy)
	require.LessOrEqual(t, before.RobustAccuracy, single.RobustAccuracy)
	require.Positive(t, before.RobustAccuracy, "all solved: the test shows nothing")
	require.Less(t, before.RobustAccuracy, 1.0)
}

// TestEarlyStop: the same examples fall, for fewer queries.
func TestEarlyStop(t *testing.T) {
	for _, epsilon := range []float64{0.05, 0.9} { // some standing; all solved soon
		v, p := perceptron(t, 48, 7)
		p.Threat.Epsilon = epsilon
		full := evaluate(t, v, attack.PGD{Steps: 15, Restarts: 2}, p)
		early := evaluate(t, v, attack.PGD{Steps: 15, Restarts: 2, EarlyStop: true}, p)
		t.Logf("epsilon %g: robust accuracy %g, queries %g and %g", epsilon, full.RobustAccuracy, full.MeanQueries, early.MeanQueries)
		require.Equal(t, full.Success, early.Success)
		require.Equal(t, full.RobustAccuracy, early.RobustAccuracy)
		require.LessOrEqual(t, early.MeanQueries, full.MeanQueries)
		if early.RobustAccuracy == 0 {
			require.Less(t, early.MeanQueries, full.MeanQueries)
		}
	}
}

// The iterate after the last step counts: for an attack of one step it is the only one that moved.
func TestEarlyStopLastStep(t *testing.T) {
	v, p := perceptron(t, 48, 7)
	p.Threat.Epsilon = 0.05
	full := evaluate(t, v, attack.PGD{Steps: 1, NoRandom: true}, p)
	early := evaluate(t, v, attack.PGD{Steps: 1, NoRandom: true, EarlyStop: true}, p)
	require.Positive(t, full.SuccessRate)
	require.Equal(t, full.Success, early.Success)
}

// TestSeeds: the same seed gives the same bytes, another seed another start; a random start moves even without steps'
// help; batches of another size change nothing that has no random start.
func TestSeeds(t *testing.T) {
	v, p := perceptron(t, 33, 3)
	first := perturb(t, v, attack.PGD{Steps: 1, StepSize: 1e-4}, p)
	require.Equal(t, first, perturb(t, v, attack.PGD{Steps: 1, StepSize: 1e-4}, p))
	p.Seed++
	require.NotEqual(t, first, perturb(t, v, attack.PGD{Steps: 1, StepSize: 1e-4}, p))
	small, err := robust.NewVictim(v.Engine, v.Model, 7)
	require.NoError(t, err)
	plain := attack.PGD{Steps: 5, NoRandom: true}
	a, b := perturb(t, v, plain, p), perturb(t, small, plain, p)
	for i := range a {
		require.InDelta(t, a[i], b[i], 1e-6)
	}
}

// TestQueryCount: PGD costs one forward and one backward pass a step, on every example.
func TestQueryCount(t *testing.T) {
	v, p := perceptron(t, 21, 3)
	o := evaluate(t, v, attack.PGD{Steps: 7}, p)
	for i := range o.Queries {
		require.EqualValues(t, 7, o.Queries[i])
		require.EqualValues(t, 7, o.Grads[i])
	}
	p.Threat.Weights = []float64{0.01}
	o = evaluate(t, v, attack.JointPGD{Steps: 7}, p)
	for i := range o.Queries {
		require.EqualValues(t, 8, o.Queries[i], "the last one scores")
		require.EqualValues(t, 7, o.Grads[i])
	}
}

// TestJointReducesToPGD: weight radius 0 is PGD bit for bit. The second case runs the joint graphs themselves: a radius of
// 1e-30 moves no weight in float32.
func TestJointReducesToPGD(t *testing.T) {
	v, p := perceptron(t, 40, 3)
	want := perturb(t, v, attack.PGD{Steps: 6, NoRandom: true}, p)
	for _, radii := range [][]float64{nil, {0}, {0, 0, 0, 0}, {1e-30}} {
		p.Threat.Weights = radii
		require.Equal(t, want, perturb(t, v, attack.JointPGD{Steps: 6}, p), "weight radii %v", radii)
	}
}

// TestJointOnWeights: with Epsilon 0 inputs stay, one step moves each weight with a gradient by exactly its radius in
// the gradient's direction, and frozen tensors stay.
func TestJointOnWeights(t *testing.T) {
	v, p := perceptron(t, 40, 3)
	p.Threat = robust.Threat{Weights: []float64{0.01, 0, 0.02, 0.03}}
	found, err := attack.JointPGD{Steps: 1}.Perturb(context.Background(), v, p)
	require.NoError(t, err)
	require.Equal(t, tensors.MustCopyFlatData[float32](p.Images), tensors.MustCopyFlatData[float32](found.Images))
	h := hostOf(t, v.Model)
	own := [][]float64{h.w1, h.b1, h.w2, h.b2}
	images := tensors.MustCopyFlatData[float32](p.Images)
	loss := func() (sum float64) {
		for i, y := range p.Goal.Labels {
			sum += h.crossEntropy(wide(images[i*pixels:(i+1)*pixels]), y)
		}
		return sum
	}
	for k, radius := range p.Threat.Weights {
		moved := tensors.MustCopyFlatData[float32](found.Weights[k])
		for i := range moved {
			d := float64(moved[i]) - own[k][i]
			before := own[k][i]
			own[k][i] = before + 1e-5
			up := loss()
			own[k][i] = before - 1e-5
			slope := (up - loss()) / 2e-5 // finite differences, in float64
			own[k][i] = before
			if math.Abs(slope) > 1e-3 {
				require.InDelta(t, radius*sign(slope), d, 1e-6, "tensor %d, weight %d", k, i)
			}
			require.LessOrEqual(t, math.Abs(d), radius+1e-7)
		}
	}
	clean := evaluate(t, v, attack.JointPGD{Steps: 10}, p)
	require.Less(t, clean.RobustAccuracy, 1.0)
	require.Zero(t, clean.MaxNorm)
}

// TestRandomWeights: corners move every weight by its radius, interior points by less; frozen tensors and inputs stay; more
// draws are not weaker, and none is as strong as the attack along gradients.
func TestRandomWeights(t *testing.T) {
	v, p := perceptron(t, 60, 3)
	p.Threat = robust.Threat{Weights: []float64{0.05, 0, 0.05, 0.02}}
	h := hostOf(t, v.Model)
	for _, interior := range []bool{false, true} {
		found, err := attack.RandomWeights{Interior: interior}.Perturb(t.Context(), v, p)
		require.NoError(t, err)
		for k, own := range [][]float64{h.w1, h.b1, h.w2, h.b2} {
			ups, inside := 0, 0
			for i, w := range tensors.MustCopyFlatData[float32](found.Weights[k]) {
				d, radius := float64(w)-own[i], p.Threat.Weights[k]
				require.LessOrEqual(t, math.Abs(d), radius+1e-7)
				if !interior {
					require.InDelta(t, radius, math.Abs(d), 1e-6)
				}
				if d > 0 {
					ups++
				}
				if math.Abs(d) < 0.9*radius {
					inside++
				}
			}
			if n := len(own); n > 50 && p.Threat.Weights[k] > 0 {
				require.InDelta(t, 0.5, float64(ups)/float64(n), 0.2)
				require.Equal(t, interior, inside > n/2)
			}
		}
	}
	accuracy := func(a robust.Attack) float64 { return evaluate(t, v, a, p).RobustAccuracy }
	one, many := accuracy(attack.RandomWeights{Draws: 1}), accuracy(attack.RandomWeights{Draws: 30})
	require.LessOrEqual(t, many, one)
	require.Less(t, accuracy(attack.JointPGD{Steps: 10}), many)
	require.Equal(t, one, accuracy(attack.RandomWeights{Draws: 1}), "same seed, same draw")
	p.Threat.Weights = []float64{0}
	require.Equal(t, 1.0, accuracy(attack.RandomWeights{}), "radius 0 moves nothing")
	p.Threat.Epsilon = 0.1
	_, err := attack.RandomWeights{}.Perturb(t.Context(), v, p)
	require.ErrorContains(t, err, "Epsilon = 0.1: random weights leave inputs")
	_, err = attack.RandomWeights{Draws: -2}.Perturb(t.Context(), v, p)
	require.ErrorContains(t, err, "Draws = -2")
}

// TestRelativeRadii: each tensor's share of its own largest weight.
func TestRelativeRadii(t *testing.T) {
	v, _ := perceptron(t, 5, 3)
	radii, err := robust.RelativeRadii(v.Model, 0.25)
	require.NoError(t, err)
	h := hostOf(t, v.Model)
	for k, own := range [][]float64{h.w1, h.b1, h.w2, h.b2} {
		largest := 0.0
		for _, w := range own {
			largest = max(largest, math.Abs(w))
		}
		require.InDelta(t, largest/4, radii[k], 1e-9)
	}
	_, err = robust.RelativeRadii(v.Model, -1)
	require.ErrorContains(t, err, "relative weight radius -1")
}

// TestJointIsStrongest: both together are not weaker than either alone (to the two points that ascent may lose), and
// labels matter to the attack.
func TestJointIsStrongest(t *testing.T) {
	v, p := perceptron(t, 64, 3)
	accuracy := func(epsilon, weight float64) float64 {
		p.Threat = robust.Threat{Epsilon: epsilon, Weights: []float64{weight}}
		return evaluate(t, v, attack.JointPGD{Steps: 10}, p).RobustAccuracy
	}
	both, input, weight := accuracy(0.05, 0.02), accuracy(0.05, 0), accuracy(0, 0.02)
	require.LessOrEqual(t, both, min(input, weight)+0.02)
	require.Less(t, both, 1.0)
	require.Equal(t, 1.0, accuracy(0, 0))

	p.Threat = robust.Threat{Epsilon: 0.02, Weights: []float64{0.01}}
	once := evaluate(t, v, attack.JointPGD{Steps: 5}, p).RobustAccuracy
	require.LessOrEqual(t, evaluate(t, v, attack.JointPGD{Steps: 5, Restarts: 3}, p).RobustAccuracy, once)
	wrong := evaluate(t, v, mislabeled{attack.JointPGD{Steps: 5}}, p).RobustAccuracy
	require.Greater(t, wrong, once, "the attack does not look at its labels")
}

// mislabeled hands an attack labels that are all wrong.
type mislabeled struct{ robust.Attack }

func (m mislabeled) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	p.Goal.Labels = slices.Clone(p.Goal.Labels)
	for i := range p.Goal.Labels {
		p.Goal.Labels[i] = (p.Goal.Labels[i] + 1) % classes
	}
	return m.Attack.Perturb(ctx, v, p)
}

// TestBadSettings: each is one line.
func TestBadSettings(t *testing.T) {
	v, p := perceptron(t, 4, 3)
	joint := p
	joint.Threat.Weights = []float64{0.1}
	l2 := joint
	l2.Threat.Norm = robust.L2
	for _, c := range []struct {
		attack robust.Attack
		p      robust.Problem
		want   string
	}{
		{attack.PGD{Steps: -1}, p, "Steps = -1"},
		{attack.PGD{Restarts: -2}, p, "Restarts = -2"},
		{attack.PGD{StepSize: -0.1}, p, "StepSize = -0.1"},
		{attack.PGD{StepSize: math.NaN()}, p, "StepSize = NaN"},
		{attack.PGD{StepSize: math.Inf(1)}, p, "StepSize = +Inf"},
		{attack.MIM{Steps: -3}, p, "Steps = -3"},
		{attack.MIM{StepSize: -1}, p, "StepSize = -1"},
		{attack.MIM{Decay: -1}, p, "Decay = -1"},
		{attack.MIM{Decay: math.NaN()}, p, "Decay = NaN"},
		{attack.JointPGD{Steps: -1}, joint, "Steps = -1"},
		{attack.JointPGD{Restarts: -1}, joint, "Restarts = -1"},
		{attack.PGD{}, joint, "moves inputs only"},
		{attack.JointPGD{}, l2, "not in l2"},
	} {
		_, err := robust.Evaluate(context.Background(), v, c.attack, c.p)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "\n")
	}
}

// TestGradientPath: one step of ascent changes inputs by exactly the step size. A gradient stopped in the wrong place
// would leave them as they are.
func TestGradientPath(t *testing.T) {
	v, p := perceptron(t, 16, 3)
	exec, err := NewExec(v.Engine.Backend(), func(a, b *Node) *Node { return ReduceMax(Abs(Sub(a, b)), -1) })
	require.NoError(t, err)
	moved := perturb(t, v, attack.PGD{Steps: 1, StepSize: 0.01, NoRandom: true}, p)
	out, err := exec.Call1(p.Images, tensors.FromFlatDataAndDimensions(moved, 16, pixels))
	require.NoError(t, err)
	for _, d := range tensors.MustCopyFlatData[float32](out) {
		require.InDelta(t, 0.01, d, 1e-6)
	}
}
