package certify

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

	"gonum.org/v1/gonum/stat"

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
	Tightness                     []float64 // each example's, from small to large
}

// Tally adds up several verifications: the perturbed examples on which a bound failed, which must be none, and the
// perturbations that were tried.
func Tally(all []Verification) (broken, tried int) {
	for _, v := range all {
		broken += v.Margin + v.IBP + v.Loss
		tried += v.Random + v.Adversarial
	}
	return broken, tried
}

// VerifyConfig sizes a verification. Zero fields mean the defaults.
type VerifyConfig struct {
	Random int // random perturbations in all, spread evenly over the examples; zero: 10,000
	Steps  int // of the per-example PGD on inputs and weights; zero: 20
	Seed   int64
}

// slack absorbs float64 rounding of margins of size 1 to 1e3.
const slack = 1e-9

// Verify is Verifier.Verify for a single use.
func Verify(ctx context.Context, e *engine.Engine, m *nets.Model, images *tensors.Tensor, labels []int32, t robust.Threat,
	c VerifyConfig) (*Verification, error) {
	v, err := NewVerifier(e, m)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return v.Verify(ctx, images, labels, t, c)
}

// Verifier attacks the bounds of one model: compiled once for each number of images, used with any radii.
type Verifier struct {
	certifier           *Certifier
	random, step, check *model.Exec
}

// NewVerifier prepares the attacks on the bounds of a network that ends in dense layers; others are refused.
func NewVerifier(e *engine.Engine, m *nets.Model) (*Verifier, error) {
	c, err := NewCertifier(e, m, 0)
	if err != nil {
		return nil, err
	}
	v := &Verifier{certifier: c}
	return v, v.compile(e)
}

// Close frees the compiled graphs.
func (v *Verifier) Close() {
	v.certifier.Close()
	for _, e := range []*model.Exec{v.random, v.step, v.check} {
		e.Finalize()
	}
}

// Verify attacks the bounds: random joint perturbations inside the threat (half of them corners of the ball), and joint
// PGD with a weight perturbation for each example of its own. Everything is checked in float64.
func (v *Verifier) Verify(ctx context.Context, images *tensors.Tensor, labels []int32, t robust.Threat,
	c VerifyConfig) (*Verification, error) {
	b, err := v.certifier.Bounds(images, labels, t)
	if err != nil {
		return nil, err
	}
	j, err := v.begin(images, labels, t, b)
	if err != nil {
		return nil, err
	}
	result := &Verification{UpperLoss: b.Upper, Clean: stat.Mean(b.Clean, nil), Upper: stat.Mean(b.Upper, nil)}
	if err := j.random(ctx, cmp.Or(c.Random, 10_000), c.Seed, result); err != nil {
		return nil, err
	}
	return result, j.adversarial(ctx, cmp.Or(c.Steps, 20), result)
}

// verification is one call of Verify on its way.
type verification struct {
	v      *Verifier
	t      robust.Threat
	radii  []float64 // two a layer
	bounds *Bounds
	x      *tensors.Tensor // inputs [n, values] of the first covered layer
	y      []int32
}

func (v *Verifier) begin(images *tensors.Tensor, labels []int32, t robust.Threat, b *Bounds) (*verification, error) {
	radii, err := v.certifier.layerRadii(t)
	if err != nil {
		return nil, err
	}
	x, err := v.certifier.inputs(images)
	return &verification{v: v, t: t, radii: radii, bounds: b, y: labels, x: x}, err
}

// limits are the bounds as tensors, arguments of the checking graphs.
func (j *verification) limits() []any {
	flat := func(rows [][]float64) *tensors.Tensor {
		return tensors.FromFlatDataAndDimensions(slices.Concat(rows...), len(rows), j.v.certifier.m.Classes)
	}
	return []any{j.y, flat(j.bounds.Margin), flat(j.bounds.Total), flat(j.bounds.IBP), j.bounds.Upper}
}

// violations counts in the graph what the perturbed logits [batch, classes] break; limits are those of verification.
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

// compile builds the graphs. Radii are arguments: the input's a scalar, the weights' two a layer.
func (v *Verifier) compile(e *engine.Engine) (err error) {
	cover := v.certifier.Coverage
	m := cover.m
	// (x, rng state, corner?, epsilon, radii, limits...) → violations of one random draw of Δ, with a ξ each example
	v.random, err = model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, args []*Node) []*Node {
		x, state, corner, epsilon, radii := args[0], args[1], args[2], args[3], args[4]
		// A draw in [-1, 1]: uniform, or its sign (a corner of the ball).
		draw := func(shape shapes.Shape) (u *Node) {
			shape = shape.Clone()
			shape.DType = dtypes.Float32
			state, u = RandomUniform(state, shape)
			u = MulScalar(AddScalar(u, -0.5), 2)
			return ConvertDType(Where(corner, SignPlusOrMinus(u), u), dtypes.Float64)
		}
		layers := withRadii(cover.nodes(scope, x.Graph()), radii)
		for k, l := range layers {
			l = l.as(dtypes.Float64)
			l.weight = Add(l.weight, Mul(draw(l.weight.Shape()), l.weightRadius))
			if l.bias != nil {
				l.bias = Add(l.bias, Mul(draw(l.bias.Shape()), l.biasRadius))
			}
			layers[k] = l
		}
		x = ConvertDType(x, dtypes.Float64)
		x = Add(x, Mul(draw(x.Shape()), epsilon))
		return append(violations(forward(layers, x), args[5:])[:3], state)
	})
	if err != nil {
		return err
	}
	// (x, clean, y, 2.5/steps, epsilon, radii, Δ...) → one step of the per-example joint PGD
	v.step, err = model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, args []*Node) []*Node {
		x, clean, y, size, epsilon, radii, deltas := args[0], args[1], args[2], args[3], args[4], args[5], args[6:]
		layers := withRadii(cover.nodes(scope, x.Graph()), radii)
		loss := ReduceAllSum(robust.CrossEntropy.Graph(forwardEach(layers, deltas, x), y, false))
		g := robust.Slopes(loss, append([]*Node{x}, deltas...)...)
		ascend := func(at, gradient, radius *Node) *Node {
			return Clip(Add(at, Mul(Sign(gradient), Mul(size, radius))), Neg(radius), radius)
		}
		outputs := []*Node{clean}
		if cover.Whole() {
			outputs[0] = ClipScalar(Add(clean, ascend(Sub(x, clean), g[0], epsilon)), m.Lower, m.Upper)
		}
		for i, radius := range perTensor(layers) {
			outputs = append(outputs, ascend(deltas[i], g[1+i], radius))
		}
		return outputs
	})
	if err != nil {
		return err
	}
	// (x, limits..., Δ...) → violations
	v.check, err = model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, args []*Node) []*Node {
		x, limits, deltas := args[0], args[1:6], slices.Clone(args[6:])
		layers := cover.nodes(scope, x.Graph())
		for k := range layers {
			layers[k] = layers[k].as(dtypes.Float64)
		}
		for i, d := range deltas {
			deltas[i] = ConvertDType(d, dtypes.Float64)
		}
		return violations(forwardEach(layers, deltas, ConvertDType(x, dtypes.Float64)), limits)
	})
	return err
}

// random tries n random joint perturbations: one draw of Δ a call, with a ξ of its own for each example.
func (j *verification) random(ctx context.Context, n int, seed int64, r *Verification) error {
	state, err := RNGStateFromSeed(seed)
	if err != nil {
		return err
	}
	limits := j.limits()
	for trial := 0; r.Random < n; trial++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		out, err := j.v.random.Call(append([]any{j.x, state, trial%2 == 1, j.t.Epsilon, j.radii}, limits...)...)
		if err != nil {
			return err
		}
		r.Random += len(j.y)
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

// together is how many examples the per-example PGD moves at once: each has all weights of its own, and what fits the
// processor's cache is several times faster than what does not.
const together = 20

// adversarial runs joint PGD in which every example has a weight perturbation of its own: the strongest adversary that
// the bound speaks of. It steps in float32 and is checked in float64.
func (j *verification) adversarial(ctx context.Context, steps int, r *Verification) error {
	pixels, err := tensors.CopyFlatData[float32](j.x)
	if err != nil {
		return err
	}
	size := len(pixels) / len(j.y)
	var ratios []float64
	for from := 0; from < len(j.y); from += together {
		to := min(from+together, len(j.y))
		part := &verification{v: j.v, t: j.t, radii: j.radii, bounds: j.bounds.rows(from, to), y: j.y[from:to],
			x: tensors.FromFlatDataAndDimensions(pixels[from*size:to*size], to-from, size)}
		out, err := part.ascend(ctx, steps)
		if err != nil {
			return err
		}
		r.count(out)
		loss, err := tensors.CopyFlatData[float64](out[3])
		if err != nil {
			return err
		}
		ratio, err := tensors.CopyFlatData[float64](out[4])
		if err != nil {
			return err
		}
		r.AttackedLoss, ratios = append(r.AttackedLoss, loss...), append(ratios, ratio...)
	}
	r.Adversarial = len(j.y)
	r.Attacked = stat.Mean(r.AttackedLoss, nil)
	slices.Sort(ratios)
	r.Tightness = ratios
	r.MedianTightness, r.MaxTightness = ratios[len(ratios)/2], ratios[len(ratios)-1]
	return nil
}

// ascend runs the per-example PGD on a few examples and returns what they violate.
func (j *verification) ascend(ctx context.Context, steps int) ([]*tensors.Tensor, error) {
	radii := make([]float32, len(j.radii))
	for k, radius := range j.radii {
		radii[k] = below(radius)
	}
	state := []any{j.x}
	// Weights for each example are large: what a step leaves behind is freed at once, not when the collector comes by.
	free := func() {
		for _, t := range state {
			if t != any(j.x) {
				t.(*tensors.Tensor).FinalizeAll()
			}
		}
	}
	defer free()
	cover := j.v.certifier.Coverage
	for _, l := range cover.Layers {
		for _, i := range cover.tensors(l) {
			if i >= 0 {
				shape := cover.m.Weights()[i].Shape().Dimensions
				state = append(state, tensors.FromShape(shapes.Make(dtypes.Float32, append([]int{len(j.y)}, shape...)...)))
			}
		}
	}
	for range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		args := []any{state[0], j.x, j.y, float32(2.5 / float64(steps)), below(j.t.Epsilon), radii}
		out, err := j.v.step.Call(append(args, state[1:]...)...)
		if err != nil {
			return nil, err
		}
		free()
		for i, t := range out {
			state[i] = t
		}
	}
	return j.v.check.Call(slices.Concat([]any{state[0]}, j.limits(), state[1:])...)
}

// below rounds a radius down: where a bound is exact, a radius that was rounded up beats it.
func below(radius float64) float32 {
	r := float32(radius)
	if float64(r) > radius {
		r = math.Nextafter32(r, 0)
	}
	return r
}
