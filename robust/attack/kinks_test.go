package attack_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// moody is a linear classifier of three classes on features of 4x8 pixels that have no finite slope at black ones: a root, a
// gamma correction, a clipped logarithm, and the norm of neighbors. Its moods, which need no new graph, are variables.
func moody(t *testing.T) (v *robust.Victim, set func(mood)) {
	t.Helper()
	m := oracle.RandomLinear(28, 3, 5).Model(0, 1)
	linear := m.Logits
	state, err := m.Store.RootScope().At("mood").CreateVariable("state", tensors.FromValue([]float32{0, 0, 0}))
	require.NoError(t, err)
	m.InputShape = []int{4, 8}
	m.Logits = func(scope *model.Scope, x *Node) *Node {
		values := state.NodeValue(x.Graph())
		value := func(i int) *Node { return Reshape(Slice(values, AxisElem(i))) }
		floor, live, scale := value(0), value(1), value(2)
		x = Reshape(x, -1, 32)
		x = Add(StopGradient(x), Mul(live, Sub(x, StopGradient(x))))
		part := func(i int) *Node { return Slice(x, AxisRange(), AxisRange(8*i, 8*i+8)) }
		return Mul(scale, linear(scope, Concatenate([]*Node{
			Sqrt(Max(part(0), floor)),
			Pow(Max(part(1), floor), Scalar(x.Graph(), x.DType(), 0.7)),
			MulScalar(MaxScalar(Log(Max(part(2), floor)), -5), 0.2),
			Sqrt(Max(ReduceSum(Square(Reshape(part(3), -1, 4, 2)), -1), floor)),
		}, -1)))
	}
	v, err = robust.NewVictim(testengine.Quick(t), m, 32)
	require.NoError(t, err)
	return v, func(m mood) {
		require.NoError(t, state.SetValue(tensors.FromValue([]float32{m.floor, m.live, m.scale})))
	}
}

// mood is the floor of what roots and logarithms see, the factor on all gradients, and that on the logits.
type mood struct{ floor, live, scale float32 }

var (
	kinked  = mood{0, 1, 1}
	guarded = mood{1e-6, 1, 1} // the same network, to 1e-3, with the kinks cut off
	blind   = mood{1e-6, 0, 1}
	vast    = mood{1e-6, 1, 1e20} // squares of its gradients overflow
)

// dark draws images of which about 40 % of the pixels are black, and takes the model's predictions as labels.
func dark(t *testing.T, v *robust.Victim, n int) robust.Problem {
	t.Helper()
	rng := rand.New(rand.NewPCG(6, 7))
	pixels := make([]float32, n*32)
	for i := range pixels {
		pixels[i] = max(0, float32(rng.Float64()*1.6-0.6))
	}
	p := robust.Problem{Images: tensors.FromFlatDataAndDimensions(pixels, n, 4, 8), Seed: 3}
	var err error
	p.Goal.Labels, err = v.Predictions(context.Background(), p.Images, nil)
	require.NoError(t, err)
	return p
}

// TestBadSlopes: where slopes are infinite or NaN, all zero, or overflow when squared, every attack keeps to its contract
// and the checks say what they saw. It breaks as many examples as on the network whose slopes are fine.
func TestBadSlopes(t *testing.T) {
	v, set := moody(t)
	set(guarded)
	p := dark(t, v, 64)
	for _, c := range []struct {
		attack robust.Attack
		norms  []robust.Norm
		starts bool // moves without any slope: at random, or (CW) by the slope of the distance
		scales bool // sees no scale of the logits, so that it does as well on vast ones
	}{
		{attack.PGD{NoRandom: true, Loss: robust.Margin}, []robust.Norm{robust.Linf, robust.L2, robust.L1}, false, true},
		{attack.MIM{Loss: robust.Margin}, []robust.Norm{robust.L2}, false, true},
		{attack.APGD{Steps: 20, Loss: robust.Margin}, []robust.Norm{robust.L2}, true, true},
		{attack.FAB{Steps: 20}, []robust.Norm{robust.L2, robust.L1}, false, true},
		{attack.DeepFool{}, []robust.Norm{robust.Linf, robust.L2}, false, true},
		{attack.CW{SearchSteps: 6, Steps: 80, LearningRate: 0.1, InitialConst: 0.01}, []robust.Norm{robust.L2}, true, false},
		{attack.Filtered{Attack: attack.PGD{NoRandom: true, Loss: robust.Margin}, Mask: attack.Low, Size: 2, Project: true},
			[]robust.Norm{robust.Linf}, false, true},
		{attack.JointPGD{Steps: 10}, []robust.Norm{robust.Linf}, false, false},
	} {
		for _, norm := range c.norms {
			t.Run(fmt.Sprintf("%s/%s", c.attack.Name(), norm), func(t *testing.T) {
				radius := map[robust.Norm]float64{robust.Linf: 0.05, robust.L2: 0.25, robust.L1: 0.6}[norm]
				p.Threat = robust.Threat{Norm: norm, Epsilon: radius}
				_, joint := c.attack.(attack.JointPGD)
				if joint {
					p.Threat.Weights = []float64{0.01}
				}
				in := func(m mood) (*robust.Outcome, map[string]bool) {
					set(m)
					o, err := robust.Evaluate(context.Background(), v, c.attack, p)
					require.NoError(t, err)
					for _, x := range tensors.MustCopyFlatData[float32](o.Perturbed) {
						require.False(t, math.IsNaN(float64(x)))
					}
					raised := map[string]bool{}
					for _, check := range o.Checks {
						if check.Raised {
							raised[check.Name] = true
						}
					}
					require.False(t, raised["budget"] || raised["bounds"] || raised["finite"])
					return o, raised
				}
				fine, raised := in(guarded)
				require.False(t, raised["infinite-gradient"] || raised["zero-gradient"])
				require.Less(t, fine.RobustAccuracy, 1.0)

				o, raised := in(kinked)
				require.True(t, raised["infinite-gradient"])
				t.Logf("robust accuracy %.3f, %.3f where kinks are cut off", o.RobustAccuracy, fine.RobustAccuracy)
				require.LessOrEqual(t, o.RobustAccuracy, fine.RobustAccuracy+0.05)

				o, raised = in(blind)
				require.True(t, raised["zero-gradient"])
				require.False(t, raised["infinite-gradient"])
				if !c.starts {
					require.Zero(t, o.MaxNorm)
					require.Equal(t, !joint, raised["unmoved"])
				}

				if c.scales {
					o, _ = in(vast)
					require.InDelta(t, fine.RobustAccuracy, o.RobustAccuracy, 0.05)
				}
			})
		}
	}
}

// TestTrainingOnBadSlopes: losses of adversarial training and their gradients stay finite, and above that of clean images.
func TestTrainingOnBadSlopes(t *testing.T) {
	v, set := moody(t)
	set(kinked)
	p := dark(t, v, 16)
	clean, _ := valueAndGradient(t, v, fit.CrossEntropy(), p)
	in := attack.Inner{Threat: robust.Threat{Norm: robust.L2, Epsilon: 0.2}, Steps: 1}
	for _, loss := range []fit.Loss{attack.TRADES(in, 6), attack.AWP(in, 0.01)} {
		value, gradients := valueAndGradient(t, v, loss, p)
		require.Greater(t, value, clean, loss.Name)
		for _, g := range gradients {
			for _, x := range g {
				require.False(t, math.IsNaN(float64(x)) || math.IsInf(float64(x), 0), loss.Name)
			}
		}
	}
}
