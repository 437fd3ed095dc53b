package attack_test

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// valueAndGradient builds a training loss and its gradient with respect to every weight.
func valueAndGradient(t *testing.T, v *robust.Victim, loss fit.Loss, p robust.Problem) (value float64, gradients [][]float32) {
	t.Helper()
	require.NoError(t, v.Model.Store.SetRNGStateFromSeed(8))
	exec, err := model.NewExec(v.Engine.Backend(), v.Model.Store, func(scope *model.Scope, images, labels *Node) []*Node {
		var weights []*Node
		for _, w := range v.Model.Weights() {
			weights = append(weights, w.NodeValue(images.Graph()))
		}
		loss := loss.Build(scope, v.Model, images, labels)
		return append([]*Node{loss}, Gradient(loss, weights...)...)
	})
	require.NoError(t, err)
	defer exec.Finalize()
	out, err := exec.Call(p.Images, p.Goal.Labels)
	require.NoError(t, err)
	for _, g := range out[1:] {
		gradients = append(gradients, tensors.MustCopyFlatData[float32](g))
	}
	return float64(tensors.ToScalar[float32](out[0])), gradients
}

func inner(epsilon float64, steps int) attack.Inner {
	return attack.Inner{Threat: robust.Threat{Epsilon: epsilon}, Steps: steps, NoRandom: true}
}

// TestNoBudgetIsStandardTraining: value and gradients are those of cross-entropy.
func TestNoBudgetIsStandardTraining(t *testing.T) {
	v, p := perceptron(t, 16, 3)
	p.Goal.Labels = slices.Repeat([]int32{1, 2}, 8)
	want, wantGradients := valueAndGradient(t, v, fit.CrossEntropy(), p)
	still := inner(0, 2)
	still.Threat.Weights = []float64{0}
	tiny := inner(0, 2)
	tiny.Threat.Weights = []float64{1e-30} // runs the ascent on weights, moves none in float32
	for name, loss := range map[string]fit.Loss{
		"adversarial":         attack.AdversarialTraining(inner(0, 2)),
		"adversarial, random": attack.AdversarialTraining(attack.Inner{Steps: 2}),
		"weight radius 0":     attack.AdversarialTraining(still),
		"weight radius 1e-30": attack.AdversarialTraining(tiny),
		"trades, epsilon 0":   attack.TRADES(inner(0, 2), 6),
		"trades, beta 0":      attack.TRADES(inner(0.1, 2), 0),
		"awp, gamma 1e-20":    attack.AWP(inner(0, 2), 1e-20),
	} {
		value, gradients := valueAndGradient(t, v, loss, p)
		require.InDelta(t, want, value, 1e-6, name)
		for k := range gradients {
			require.InDeltaSlice(t, wide(wantGradients[k]), wide(gradients[k]), 1e-6, "%s, weight %d", name, k)
		}
	}
}

// TestAdversarialTrainingByHand computes the loss in plain Go on what the PGD attack finds (which TestAgainstPlainGo
// checks), and the gradient as that of cross-entropy at the perturbed inputs held fixed.
func TestAdversarialTrainingByHand(t *testing.T) {
	v, p := perceptron(t, 16, 3)
	h := hostOf(t, v.Model)
	want := 0.0
	moved := perturb(t, v, attack.PGD{Steps: 3, NoRandom: true}, p)
	for i, y := range p.Goal.Labels {
		want += h.crossEntropy(wide(moved[i*pixels:(i+1)*pixels]), y) / 16
	}
	value, gradients := valueAndGradient(t, v, attack.AdversarialTraining(inner(0.1, 3)), p)
	require.InDelta(t, want, value, 1e-5)
	fixed := p
	fixed.Images = tensors.FromFlatDataAndDimensions(moved, 16, pixels)
	_, wantGradients := valueAndGradient(t, v, fit.CrossEntropy(), fixed)
	for k := range gradients {
		require.InDeltaSlice(t, wide(wantGradients[k]), wide(gradients[k]), 1e-5, "weight %d", k)
	}
}

// TestTRADESByHand recomputes CE + beta·KL in plain Go for one ascent step: the divergence is flat at its start, so
// the step's direction is random there, and the formula is checked where a random start was drawn instead.
func TestTRADESByHand(t *testing.T) {
	v, p := perceptron(t, 16, 3)
	h := hostOf(t, v.Model)
	in := attack.Inner{Threat: robust.Threat{Epsilon: 0.2}, Steps: 4}
	// What the inner ascent finds, from the same random state.
	require.NoError(t, v.Model.Store.SetRNGStateFromSeed(8))
	exec, err := model.NewExec(v.Engine.Backend(), v.Model.Store, func(scope *model.Scope, images *Node) *Node {
		fixed := StopGradient(LogSoftmax(v.Model.Logits(scope, images), -1))
		x, _ := in.Graph(scope, v.Model, images, func(moved *Node) *Node {
			return ReduceAllSum(Mul(Exp(fixed), Sub(fixed, LogSoftmax(moved, -1))))
		})
		return x
	})
	require.NoError(t, err)
	out, err := exec.Call1(p.Images)
	require.NoError(t, err)
	clean, moved := tensors.MustCopyFlatData[float32](p.Images), tensors.MustCopyFlatData[float32](out)
	ce, kl := 0.0, 0.0
	for i, y := range p.Goal.Labels {
		a, b := wide(clean[i*pixels:(i+1)*pixels]), wide(moved[i*pixels:(i+1)*pixels])
		_, from := h.forward(a)
		_, to := h.forward(b)
		ce += h.crossEntropy(a, y) / 16
		for j, q := range softmax(to) {
			kl += softmax(from)[j] * math.Log(softmax(from)[j]/q) / 16
		}
		for j := range a {
			require.LessOrEqual(t, math.Abs(a[j]-b[j]), 0.2+1e-6)
		}
	}
	require.Positive(t, kl)
	for _, beta := range []float64{1, 6} {
		value, _ := valueAndGradient(t, v, attack.TRADES(in, beta), p)
		require.InDelta(t, ce+beta*kl, value, 1e-5*(1+beta))
	}
}

// TestAWPByHand: the loss is that at w + gamma·||w||·g/||g|| for matrices (biases stay), and the gradient is the one at
// that point.
func TestAWPByHand(t *testing.T) {
	v, p := perceptron(t, 16, 3)
	const gamma = 0.05
	_, ascent := valueAndGradient(t, v, fit.CrossEntropy(), p)
	value, gradients := valueAndGradient(t, v, attack.AWP(inner(0, 1), gamma), p)
	shifted, err := v.Model.Clone()
	require.NoError(t, err)
	for k, w := range shifted.Weights() {
		own, err := w.Value()
		require.NoError(t, err)
		if own.Shape().Rank() < 2 {
			continue
		}
		flat := tensors.MustCopyFlatData[float32](own)
		size := gamma * euclid(flat) / euclid(ascent[k])
		for i := range flat {
			flat[i] += float32(size * float64(ascent[k][i]))
		}
		require.NoError(t, w.SetValue(tensors.FromFlatDataAndDimensions(flat, own.Shape().Dimensions...)))
	}
	there, err := robust.NewVictim(v.Engine, shifted, 16)
	require.NoError(t, err)
	want, wantGradients := valueAndGradient(t, there, fit.CrossEntropy(), p)
	clean, _ := valueAndGradient(t, v, fit.CrossEntropy(), p)
	require.InDelta(t, want, value, 1e-5)
	require.Greater(t, value, clean, "an ascent step")
	for k := range gradients {
		require.InDeltaSlice(t, wide(wantGradients[k]), wide(gradients[k]), 1e-5, "weight %d", k)
	}
}

func euclid(v []float32) (l float64) {
	for _, x := range v {
		l += float64(x) * float64(x)
	}
	return math.Sqrt(l)
}

// TestInnerOnWeights: adversarial training on weights raises the loss inside the radius, leaves the stored weights as
// they are, and hands back the gradient at the perturbed point.
func TestInnerOnWeights(t *testing.T) {
	v, p := perceptron(t, 16, 3)
	before := hostOf(t, v.Model)
	in := attack.Inner{Threat: robust.Threat{Weights: []float64{0.02}}, Steps: 3, NoRandom: true}
	clean, _ := valueAndGradient(t, v, fit.CrossEntropy(), p)
	value, gradients := valueAndGradient(t, v, attack.AdversarialTraining(in), p)
	require.Greater(t, value, clean)
	require.Equal(t, before, hostOf(t, v.Model))
	// Three steps of 2.5·radius/3 with clipping end within the radius, found by the attack with the same steps.
	q := p
	q.Threat = in.Threat
	found, err := attack.JointPGD{Steps: 3}.Perturb(t.Context(), v, q)
	require.NoError(t, err)
	there, err := v.Model.Clone()
	require.NoError(t, err)
	for k, w := range there.Weights() {
		require.NoError(t, w.SetValue(found.Weights[k]))
	}
	at, err := robust.NewVictim(v.Engine, there, 16)
	require.NoError(t, err)
	want, wantGradients := valueAndGradient(t, at, fit.CrossEntropy(), p)
	require.InDelta(t, want, value, 1e-5)
	for k := range gradients {
		require.InDeltaSlice(t, wide(wantGradients[k]), wide(gradients[k]), 1e-5, "weight %d", k)
	}
}

// TestUnseededStore: a random start without a seeded generator is refused, not drawn from the clock.
func TestUnseededStore(t *testing.T) {
	v, p := perceptron(t, 4, 3)
	exec, err := model.NewExec(v.Engine.Backend(), v.Model.Store, func(scope *model.Scope, images, labels *Node) *Node {
		return attack.AdversarialTraining(attack.Inner{Threat: robust.Threat{Epsilon: 0.1}}).Build(scope, v.Model, images, labels)
	})
	require.NoError(t, err)
	_, err = exec.Call1(p.Images, p.Goal.Labels)
	require.ErrorContains(t, err, "SetRNGStateFromSeed")
}

// The inner maximization sees the network as it is evaluated, and leaves the running averages of batch normalization
// alone: only the batch that is learned from moves them.
func TestCraftingLeavesTheRunningAverages(t *testing.T) {
	m, err := nets.NewResNet(nets.ResNetConfig{Input: []int{8, 8, 1}, Channels: []int{4, 8}, Classes: 3, Seed: 1})
	require.NoError(t, err)
	values := make([]float32, 16*64)
	for i := range values {
		values[i] = float32(0.5 + 0.5*math.Sin(0.7*float64(i)))
	}
	x, labels := tensors.FromFlatDataAndDimensions(values, 16, 8, 8, 1), slices.Repeat([]int32{1, 2}, 8)
	after := func(loss fit.Loss) (state [][]float32) {
		n, err := m.Clone()
		require.NoError(t, err)
		require.NoError(t, n.Store.SetRNGStateFromSeed(8))
		exec, err := model.NewExec(testengine.Quick(t).Backend(), n.Store, func(scope *model.Scope, images, labels *Node) *Node {
			scope.Store().SetTraining(images.Graph(), true)
			return loss.Build(scope, n, images, labels)
		})
		require.NoError(t, err)
		defer exec.Finalize()
		_, err = exec.Call1(x, labels)
		require.NoError(t, err)
		for _, path := range n.StatePaths {
			value, err := n.Store.GetVariable(path).Value()
			require.NoError(t, err)
			state = append(state, tensors.MustCopyFlatData[float32](value))
		}
		return state
	}
	once := after(fit.CrossEntropy())
	for _, loss := range []fit.Loss{attack.AdversarialTraining(inner(0, 3)), attack.AWP(inner(0, 3), 1e-20)} {
		for k, state := range after(loss) {
			require.InDeltaSlice(t, wide(once[k]), wide(state), 1e-6, "%s", loss.Name)
		}
	}
	for k, state := range after(attack.TRADES(inner(0, 3), 6)) { // learns from two batches, here equal ones
		before, err := m.Store.GetVariable(m.StatePaths[k]).Value()
		require.NoError(t, err)
		for i, v := range tensors.MustCopyFlatData[float32](before) {
			require.InDelta(t, 1.9*float64(once[k][i])-0.9*float64(v), float64(state[i]), 1e-5)
		}
	}
}
