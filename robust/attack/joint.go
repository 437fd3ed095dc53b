package attack

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
)

// JointPGD perturbs inputs and weights together (arXiv 2102.11935): one weight perturbation for the whole set, one
// input perturbation an example, l-infinity both, moved at the same time along gradients taken at the same point.
//
//	Δ = 0, ξ = 0; repeat Steps times:
//	  g_W, g_x = gradients of Σ CE(f_{W+Δ}(clip(x+ξ)), y)
//	  Δ ← clip(Δ + 2.5·ε_w/Steps·sign(g_W), -ε_w, ε_w);  ξ ← clip(ξ + 2.5·ε_x/Steps·sign(g_x), -ε_x, ε_x)
//
// With weight radius 0 it is PGD without a random start, bit for bit; with Epsilon 0 it is PGD on the weights alone.
// A perturbation of weights is the stronger on each example, the smaller the set it is crafted on: report the size.
type JointPGD struct {
	Steps    int         // zero: 20
	Restarts int         // of which all but the first start at random; that with the lowest accuracy is kept; zero: 1
	Loss     robust.Loss // zero: cross-entropy
}

var _ robust.Attack = JointPGD{}

// Name implements robust.Attack.
func (a JointPGD) Name() string {
	return fmt.Sprintf("joint-pgd(steps=%d, restarts=%d, loss=%s)", cmp.Or(a.Steps, 20), cmp.Or(a.Restarts, 1), a.Loss)
}

// Access implements robust.Attack.
func (JointPGD) Access() robust.Access { return robust.Gradients }

// Perturb implements robust.Attack.
func (a JointPGD) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a.Steps, a.Restarts = cmp.Or(a.Steps, 20), cmp.Or(a.Restarts, 1)
	switch {
	case p.Threat.Norm != robust.Linf:
		return nil, errors.Errorf("joint PGD moves inputs in linf, not in %s", p.Threat.Norm)
	case a.Steps < 1 || a.Restarts < 1:
		return nil, errors.Errorf("Steps = %d, Restarts = %d: need at least 1 of each", a.Steps, a.Restarts)
	case !p.Threat.MovesWeights():
		return PGD{Steps: a.Steps, Restarts: a.Restarts, NoRandom: true, Loss: a.Loss}.Perturb(ctx, v, p)
	case p.Goal.Classes() == nil:
		return nil, errors.New("the goal has neither labels nor targets: Evaluate fills in the clean predictions")
	}
	if err := p.Threat.RequireBudget(); err != nil {
		return nil, err
	}
	r, err := a.newRun(v, p)
	if err != nil {
		return nil, err
	}
	progress := p.Progress
	if progress == nil {
		progress = report.Silent{}
	}
	progress.Begin(a.Name(), 0, a.Steps*a.Restarts)
	defer progress.End()
	var best *robust.Perturbation
	fewest := math.MaxInt
	for restart := range a.Restarts {
		found, standing, err := r.once(ctx, a, restart, progress)
		if err != nil {
			return nil, err
		}
		if standing < fewest {
			best, fewest = found, standing
		}
	}
	return best, nil
}

// jointRun is a problem cut into batches that stay on the device.
type jointRun struct {
	v       *robust.Victim
	p       robust.Problem
	batches []jointBatch
	radii   []float64
	weights []*tensors.Tensor

	gradient, move, start, score *robust.Step
}

type jointBatch struct {
	rows                 []int
	clean, classes, mask *tensors.Tensor
}

func (a JointPGD) newRun(v *robust.Victim, p robust.Problem) (*jointRun, error) {
	r := &jointRun{v: v, p: p}
	var err error
	if r.batches, err = jointBatches(v, p); err != nil {
		return nil, err
	}
	for _, w := range v.Model.Weights() {
		value, err := w.Value()
		if err != nil {
			return nil, err
		}
		r.weights = append(r.weights, value)
	}
	r.radii = p.Threat.WeightRadii(len(r.weights))
	return r, r.compile(a)
}

func jointBatches(v *robust.Victim, p robust.Problem) (batches []jointBatch, err error) {
	clean, err := tensors.CopyFlatData[float32](p.Images)
	if err != nil {
		return nil, err
	}
	for rows := range v.Batches(robust.Rows(p.Images.Shape().Dimensions[0])) {
		mask := make([]float32, v.Batch)
		for i := range rows {
			mask[i] = 1
		}
		batches = append(batches, jointBatch{rows: rows, clean: v.Images(clean, rows),
			classes: v.Ints(p.Goal.Classes(), rows), mask: tensors.FromFlatDataAndDimensions(mask, v.Batch)})
	}
	return batches, nil
}

// compile builds the four graphs. k is the number of weight tensors.
func (r *jointRun) compile(a JointPGD) (err error) {
	k, targeted := len(r.weights), r.p.Goal.Targeted()
	box := robust.Box{Lower: r.v.Model.Lower, Upper: r.v.Model.Upper}
	still := r.p.Threat.Epsilon == 0 // nothing to gain from gradients of inputs, which cost a third
	key := fmt.Sprintf("joint/%s/targeted=%t/still=%t/", a.Loss, targeted, still)

	// (x, clean, classes, mask, epsilon, size, Δ..., sums...) → (x one step on, sums + weight gradients)
	r.gradient, err = r.v.Compile(key+"gradient", func(o *robust.Oracle, args []*Node) []*Node {
		x, clean, classes, mask, epsilon, size := args[0], args[1], args[2], args[3], args[4], args[5]
		weights := moved(o.Weights(x.Graph()), args[6:6+k])
		var loss *Node
		o.WithWeights(weights, func() {
			loss = ReduceAllSum(Mul(a.Loss.Graph(o.Logits(x), classes, targeted), mask))
		})
		var outputs, g []*Node
		if still {
			outputs, g = []*Node{x}, o.Gradient(loss, weights...)
		} else {
			g = o.Gradient(loss, append([]*Node{x}, weights...)...)
			from := flat(x)
			next := robust.Project(robust.Linf, Add(from, robust.Steepest(robust.Linf, flat(g[0]), from, size, box)), flat(clean), epsilon, box)
			outputs, g = []*Node{ReshapeLike(next, x)}, g[1:]
		}
		for i := range k {
			outputs = append(outputs, Add(args[6+k+i], g[i]))
		}
		return append(outputs, loss)
	})
	if err != nil {
		return err
	}
	// (Δ..., sums..., radii [k]) → Δ one step on
	r.move, err = r.v.Compile(fmt.Sprintf("%smove/steps=%d", key, a.Steps), func(_ *robust.Oracle, args []*Node) []*Node {
		radii := args[2*k]
		outputs := make([]*Node, k)
		for i := range k {
			radius := Reshape(Slice(radii, AxisElem(i)))
			step := Mul(Sign(args[k+i]), MulScalar(radius, 2.5/float64(a.Steps)))
			outputs[i] = Clip(Add(args[i], step), Neg(radius), radius)
		}
		return outputs
	})
	if err != nil {
		return err
	}
	// (rng state, clean, epsilon) → uniform in the ball; a second use draws Δ
	r.start, err = r.v.Compile("start/linf", func(_ *robust.Oracle, args []*Node) []*Node {
		_, x := robust.RandomInBall(robust.Linf, args[1], flat(args[0]), args[2], box)
		return []*Node{ReshapeLike(x, args[0])}
	})
	if err != nil {
		return err
	}
	// (x, classes, mask, Δ...) → number of examples on which the goal is not met
	r.score, err = r.v.Compile(key+"score", func(o *robust.Oracle, args []*Node) []*Node {
		x, classes, mask := args[0], args[1], args[2]
		var standing *Node
		o.WithWeights(moved(o.Weights(x.Graph()), args[3:]), func() {
			standing = Equal(o.Predict(x), classes)
			if targeted {
				standing = LogicalNot(standing)
			}
		})
		return []*Node{ReduceAllSum(Mul(ConvertDType(standing, dtypes.Float32), mask))}
	})
	return err
}

// once is one restart. It returns the perturbation and the number of examples that still stand.
func (r *jointRun) once(ctx context.Context, a JointPGD, restart int, progress report.Progress) (*robust.Perturbation, int, error) {
	k, eps := len(r.weights), float32(r.p.Threat.Epsilon)
	size := float32(2.5 * r.p.Threat.Epsilon / float64(a.Steps))
	seed := r.p.Seed + int64(restart)*1_000_003
	deltas, zeros, radii := make([]any, k), make([]any, k), make([]float32, k)
	for i, w := range r.weights {
		deltas[i], zeros[i] = tensors.FromShape(w.Shape()), tensors.FromShape(w.Shape())
		radii[i] = float32(r.radii[i])
		if restart > 0 {
			deltas[i] = randomDelta(w, r.radii[i], seed+int64(i))
		}
	}
	at := make([]any, len(r.batches))
	for b, batch := range r.batches {
		at[b] = batch.clean
		if restart > 0 {
			rng, err := RNGStateFromSeed(seed + int64(batch.rows[0])*7_919)
			if err != nil {
				return nil, 0, err
			}
			out, err := r.start.Call(ctx, batch.rows, batch.clean, rng, eps)
			if err != nil {
				return nil, 0, err
			}
			at[b] = out[0]
		}
	}
	for t := range a.Steps {
		sums := zeros
		for b, batch := range r.batches {
			args := slices.Concat([]any{at[b], batch.clean, batch.classes, batch.mask, eps, size}, deltas, sums)
			out, err := r.gradient.Call(ctx, batch.rows, args...)
			if err != nil {
				return nil, 0, err
			}
			if loss := tensors.ToScalar[float32](out[1+k]); math.IsNaN(float64(loss)) {
				return nil, 0, errors.Errorf("the loss is NaN at step %d: look at the model's weights and inputs", t)
			}
			at[b], sums = out[0], anys(out[1:1+k])
		}
		out, err := r.move.Call(ctx, nil, slices.Concat(deltas, sums, []any{radii})...)
		if err != nil {
			return nil, 0, err
		}
		deltas = anys(out)
		progress.Advance(1)
	}
	return r.collect(ctx, at, deltas)
}

// collect brings a perturbation to the host and counts who still stands.
func (r *jointRun) collect(ctx context.Context, at, deltas []any) (*robust.Perturbation, int, error) {
	var images []float32
	standing := 0
	for b, batch := range r.batches {
		out, err := r.score.Call(ctx, batch.rows, slices.Concat([]any{at[b], batch.classes, batch.mask}, deltas)...)
		if err != nil {
			return nil, 0, err
		}
		standing += int(tensors.ToScalar[float32](out[0]))
		flat, err := tensors.CopyFlatData[float32](at[b].(*tensors.Tensor))
		if err != nil {
			return nil, 0, err
		}
		images = append(images, flat[:len(flat)/r.v.Batch*len(batch.rows)]...)
	}
	found := &robust.Perturbation{Images: tensors.FromFlatDataAndDimensions(images, r.p.Images.Shape().Dimensions...)}
	for i, w := range r.weights {
		a, err := tensors.CopyFlatData[float32](w)
		if err != nil {
			return nil, 0, err
		}
		d, err := tensors.CopyFlatData[float32](deltas[i].(*tensors.Tensor))
		if err != nil {
			return nil, 0, err
		}
		for j := range a {
			a[j] += d[j]
		}
		found.Weights = append(found.Weights, tensors.FromFlatDataAndDimensions(a, w.Shape().Dimensions...))
	}
	return found, standing, nil
}

// randomDelta draws a perturbation of w, uniform in its l-infinity ball.
func randomDelta(w *tensors.Tensor, radius float64, seed int64) *tensors.Tensor {
	rng := rand.New(rand.NewPCG(uint64(seed), 0x6a6f696e74)) // the stream "joint"
	values := make([]float32, w.Shape().Size())
	for i := range values {
		values[i] = float32((2*rng.Float64() - 1) * radius)
	}
	return tensors.FromFlatDataAndDimensions(values, w.Shape().Dimensions...)
}

func anys(ts []*tensors.Tensor) []any {
	out := make([]any, len(ts))
	for i, t := range ts {
		out[i] = t
	}
	return out
}
