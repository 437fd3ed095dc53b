package joint

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// Verification is what came of trying to beat the bounds.
type Verification struct {
	Random      int // joint perturbations drawn at random, each of one example
	Adversarial int // joint perturbations found by per-example PGD
	// Violations count perturbed examples on which a bound failed for some class; all three must be 0.
	Margin, IBP, Loss int
	Attacked          float64 // mean cross-entropy under the per-example PGD
	Clean, Upper      float64 // mean cross-entropy without perturbation, mean bound
	// Tightness is the fall of the margin under PGD divided by its bound: 1 would be a bound that is reached.
	MedianTightness, MaxTightness float64
	AttackedLoss, UpperLoss       []float64 // each example: what the PGD reached, and the bound
}

// VerifyConfig sizes a verification. Zero fields mean the defaults.
type VerifyConfig struct {
	Random int // random perturbations in all, spread evenly over the examples; zero: 10,000
	Steps  int // of the per-example PGD on inputs and weights; zero: 20
	Seed   int64
}

// slack absorbs float64 rounding of margins of size 1 to 1e3.
const slack = 1e-9

// Verify attacks the bounds of MarginBounds: random joint perturbations inside the threat (half of them corners of the
// ball), and joint PGD with a weight perturbation for each example of its own. Everything is checked in float64.
func Verify(ctx context.Context, e *engine.Engine, m *nets.Model, images *tensors.Tensor, labels []int32, t robust.Threat,
	c VerifyConfig) (*Verification, error) {
	b, err := MarginBounds(e, m, images, labels, t)
	if err != nil {
		return nil, err
	}
	radii, err := layerRadii(m, t)
	if err != nil {
		return nil, err
	}
	v := &verifier{e: e, m: m, t: t, radii: radii, bounds: b, y: labels, x: images}
	result := &Verification{UpperLoss: b.Upper, Clean: mean(b.Clean), Upper: mean(b.Upper)}
	if err := v.random(ctx, cmp.Or(c.Random, 10_000), c.Seed, result); err != nil {
		return nil, err
	}
	return result, v.adversarial(ctx, cmp.Or(c.Steps, 20), result)
}

type verifier struct {
	e      *engine.Engine
	m      *nets.Model
	t      robust.Threat
	radii  []float64
	bounds *Bounds
	x      *tensors.Tensor
	y      []int32
}

// limits are the bounds as tensors, arguments of the checking graphs.
func (v *verifier) limits() []any {
	flat := func(rows [][]float64) *tensors.Tensor {
		return tensors.FromFlatDataAndDimensions(slices.Concat(rows...), len(rows), v.m.Classes)
	}
	return []any{v.y, flat(v.bounds.Margin), flat(v.bounds.Total), flat(v.bounds.IBP), v.bounds.Upper}
}

// violations counts in the graph what the perturbed logits [batch, classes] break; limits are those of verifier.
func violations(logits *Node, limits []*Node) []*Node {
	y, margin, drop, ibp, upper := limits[0], limits[1], limits[2], limits[3], limits[4]
	hot := OneHot(y, logits.Shape().Dimensions[1], logits.DType())
	others := OneMinus(hot)
	now := Mul(Sub(ReduceAndKeep(Mul(logits, hot), ReduceSum, -1), logits), others)
	loss := robust.CrossEntropy.Graph(logits, y, false)
	count := func(broken *Node) *Node { // rows with any broken entry
		each := ConvertDType(broken, dtypes.Int32)
		if each.Rank() > 1 {
			each = ReduceMax(each, -1)
		}
		return ReduceAllSum(each)
	}
	tolerance := MulScalar(OnePlus(Abs(margin)), slack)
	fall := Sub(margin, now)
	ratio := Where(IsPositive(others), Div(fall, Add(drop, hot)), ZerosLike(fall))
	return []*Node{
		count(GreaterThan(Sub(fall, drop), tolerance)),
		count(GreaterThan(Sub(ibp, now), tolerance)),
		count(GreaterThan(loss, Add(upper, MulScalar(OnePlus(Abs(upper)), slack)))),
		loss, ReduceMax(ratio, -1),
	}
}

// random tries n random joint perturbations: one draw of Δ a call, with a ξ of its own for each example.
func (v *verifier) random(ctx context.Context, n int, seed int64, r *Verification) error {
	exec, err := model.NewExec(v.e.Backend(), v.m.Store, func(scope *model.Scope, args []*Node) []*Node {
		x, state, corner := args[0], args[1], args[2]
		// A draw in [-1, 1]: uniform, or its sign (a corner of the ball).
		draw := func(shape shapes.Shape) (u *Node) {
			state, u = RandomUniform(state, shape)
			u = MulScalar(AddScalar(u, -0.5), 2)
			return Where(corner, SignPlusOrMinus(u), u)
		}
		layers := layerNodes(v.m, scope, x.Graph())
		for k, l := range layers {
			l = l.as(dtypes.Float64)
			l.weight = Add(l.weight, MulScalar(draw(l.weight.Shape()), v.radii[k]))
			if l.bias != nil {
				l.bias = Add(l.bias, MulScalar(draw(l.bias.Shape()), v.radii[k]))
			}
			layers[k] = l
		}
		x = ConvertDType(Reshape(x, x.Shape().Dimensions[0], -1), dtypes.Float64)
		x = Add(x, MulScalar(draw(x.Shape()), v.t.Epsilon))
		return append(violations(forward(layers, x), args[3:])[:3], state)
	})
	if err != nil {
		return err
	}
	defer exec.Finalize()
	state, err := RNGStateFromSeed(seed)
	if err != nil {
		return err
	}
	limits := v.limits()
	for trial := 0; r.Random < n; trial++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		out, err := exec.Call(append([]any{v.x, state, trial%2 == 1}, limits...)...)
		if err != nil {
			return err
		}
		r.Random += len(v.y)
		r.count(out)
		state = out[3]
	}
	return nil
}

func (r *Verification) count(out []*tensors.Tensor) {
	r.Margin += int(tensors.ToScalar[int32](out[0]))
	r.IBP += int(tensors.ToScalar[int32](out[1]))
	r.Loss += int(tensors.ToScalar[int32](out[2]))
}

// adversarial runs joint PGD in which every example has a weight perturbation of its own: the strongest adversary that
// the bound speaks of. It steps in float32 and is checked in float64.
func (v *verifier) adversarial(ctx context.Context, steps int, r *Verification) error {
	n := len(v.y)
	step, err := model.NewExec(v.e.Backend(), v.m.Store, func(scope *model.Scope, args []*Node) []*Node {
		x, clean, y, deltas := args[0], args[1], args[2], args[3:]
		layers := layerNodes(v.m, scope, x.Graph())
		loss := ReduceAllSum(robust.CrossEntropy.Graph(forwardEach(layers, deltas, x), y, false))
		g := Gradient(loss, append([]*Node{x}, deltas...)...)
		size := 2.5 / float64(steps)
		xi := ClipScalar(Add(Sub(x, clean), MulScalar(Sign(g[0]), size*v.t.Epsilon)), -v.t.Epsilon, v.t.Epsilon)
		outputs := []*Node{ClipScalar(Add(clean, xi), v.m.Lower, v.m.Upper)}
		for i, d := range deltas {
			radius := v.radii[layerOf(layers, i)]
			outputs = append(outputs, ClipScalar(Add(d, MulScalar(Sign(g[1+i]), size*radius)), -radius, radius))
		}
		return outputs
	})
	if err != nil {
		return err
	}
	defer step.Finalize()
	check, err := model.NewExec(v.e.Backend(), v.m.Store, func(scope *model.Scope, args []*Node) []*Node {
		x, limits, deltas := args[0], args[1:6], args[6:]
		layers := layerNodes(v.m, scope, x.Graph())
		for k := range layers {
			layers[k] = layers[k].as(dtypes.Float64)
		}
		for i, d := range deltas {
			deltas[i] = ConvertDType(d, dtypes.Float64)
		}
		return violations(forwardEach(layers, deltas, ConvertDType(x, dtypes.Float64)), limits)
	})
	if err != nil {
		return err
	}
	defer check.Finalize()

	pixels, err := tensors.CopyFlatData[float32](v.x)
	if err != nil {
		return err
	}
	clean := tensors.FromFlatDataAndDimensions(pixels, n, len(pixels)/n)
	state := []any{clean}
	for _, w := range v.m.Weights() {
		dims := append([]int{n}, w.Shape().Dimensions...)
		state = append(state, tensors.FromShape(shapes.Make(dtypes.Float32, dims...)))
	}
	for range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		out, err := step.Call(slices.Concat([]any{state[0], clean, v.y}, state[1:])...)
		if err != nil {
			return err
		}
		for i, t := range out {
			state[i] = t
		}
	}
	out, err := check.Call(slices.Concat([]any{state[0]}, v.limits(), state[1:])...)
	if err != nil {
		return err
	}
	r.Adversarial = n
	r.count(out)
	if r.AttackedLoss, err = tensors.CopyFlatData[float64](out[3]); err != nil {
		return err
	}
	ratios, err := tensors.CopyFlatData[float64](out[4])
	if err != nil {
		return err
	}
	r.Attacked = mean(r.AttackedLoss)
	slices.Sort(ratios)
	r.MedianTightness, r.MaxTightness = ratios[len(ratios)/2], ratios[len(ratios)-1]
	return nil
}

func mean(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
