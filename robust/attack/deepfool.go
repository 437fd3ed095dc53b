package attack

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/robust"
)

// DeepFool goes to the nearest linearised decision boundary over and over, in l2 or linf (Moosavi-Dezfooli et al., arXiv
// 1511.04599, Algorithm 2 and section 3.3), until the class changes:
//
//	r ← r + |f_j| / ‖w_j‖_q^p · direction of w_j     f_j = z_j - z_y, w_j = ∇f_j, for the j with the least |f_j| / ‖w_j‖_q
//	x ← clip(clean + (1 + Overshoot)·r)
//
// Each step but the first is longer by a thousandth of the way so far: where the pixel bounds cut steps short, x would come
// ever nearer to the boundary without crossing it. (The authors' code adds 1e-4, which is much on small pixel ranges and
// short distances.) Untargeted only. Near the pixel bounds, which the step does not know, FAB finds shorter perturbations.
type DeepFool struct {
	Steps      int     // most steps; zero: 50
	Overshoot  float64 // >= 0; zero: 0.02
	Candidates int     // classes looked at, the likeliest on the clean image, its own among them; zero: 10
}

var _ robust.Unbudgeted = DeepFool{}

// Name implements robust.Attack.
func (a DeepFool) Name() string {
	a = a.defaults()
	return fmt.Sprintf("deepfool(steps=%d, overshoot=%g, candidates=%d)", a.Steps, a.Overshoot, a.Candidates)
}

// Access implements robust.Attack.
func (DeepFool) Access() robust.Access { return robust.Gradients }

// Unbudgeted implements robust.Unbudgeted.
func (DeepFool) Unbudgeted() bool { return true }

func (a DeepFool) defaults() DeepFool {
	a.Steps, a.Overshoot, a.Candidates = cmp.Or(a.Steps, 50), cmp.Or(a.Overshoot, 0.02), cmp.Or(a.Candidates, 10)
	return a
}

func (a DeepFool) validate(p robust.Problem) error {
	switch {
	case a.Steps < 1:
		return errors.Errorf("Steps = %d: need at least 1", a.Steps)
	case !(a.Overshoot >= 0) || math.IsInf(a.Overshoot, 1):
		return errors.Errorf("Overshoot = %g: must be finite and >= 0", a.Overshoot)
	case a.Candidates < 2:
		return errors.Errorf("Candidates = %d: need at least 2, the image's own class and another", a.Candidates)
	case p.Threat.Norm == robust.L1:
		return errors.New("DeepFool moves in l2 or linf, not in l1: use FAB")
	case p.Goal.Targeted():
		return errors.New("DeepFool has no targets: use FAB or CW")
	}
	return nil
}

// Perturb implements robust.Attack.
func (a DeepFool) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a = a.defaults()
	if err := a.validate(p); err != nil {
		return nil, err
	}
	defer v.Shrink()()
	rivals := min(a.Candidates, v.Model.Classes) - 1
	m, err := begin(ctx, v, p, rivals)
	if err != nil {
		return nil, err
	}
	step, err := a.compileStep(m, rivals)
	if err != nil {
		return nil, err
	}
	rows := m.open(-1)
	m.progress.Begin(a.Name(), 0, len(rows))
	defer m.progress.End()
	for batch := range v.Batches(rows) {
		clean, classes, near := v.Images(m.clean, batch), v.Ints(m.classes, batch), m.classesFrom(0, rivals, batch)
		x, way := clean, tensors.FromShape(clean.Shape())
		lengths := tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{float32(math.Inf(1))}, v.Batch), v.Batch)
		for t := range a.Steps + 1 { // the last call looks at the last point
			out, err := step.Call(ctx, batch, x, way, lengths, clean, classes, near, float32(1+a.Overshoot))
			if err != nil {
				return nil, errors.WithMessagef(err, "step %d", t)
			}
			x, way, lengths = out[0], out[1], out[2]
			done, err := tensors.CopyFlatData[float32](lengths)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(done[:len(batch)], func(l float32) bool { return math.IsInf(float64(l), 1) }) {
				break
			}
		}
		if err := m.keep(batch, x, lengths); err != nil {
			return nil, err
		}
		m.progress.Advance(len(batch))
	}
	return m.answer(ctx)
}

// beyond is how much farther than to the boundary a step goes, as a share of the way so far.
const beyond = 1e-3

// compileStep builds (x, way, lengths, clean, classes, rivals, overshoot) → the new x, way and lengths. Examples whose class
// has changed stay as they are.
func (a DeepFool) compileStep(m *minimal, rivals int) (*robust.Step, error) {
	norm, box := m.p.Threat.Norm, m.box()
	return m.v.Compile(fmt.Sprintf("deepfool/%s/%d", norm, rivals), func(o *robust.Oracle, args []*Node) []*Node {
		x, clean, way, lengths, classes := args[0], flat(args[3]), flat(args[1]), args[2], args[4]
		logits := o.Logits(x)
		success := met(logits, classes, false)
		f, w := nearestBoundary(o, norm, logits, x, classes, args[5])
		// Divided by the largest value first: squares of tiny gradients would underflow.
		most := MaxScalar(ReduceAndKeep(Abs(w), ReduceMax, -1), 1e-30)
		unit, direction := Div(w, most), Sign(w)
		gain := ReduceAndKeep(Abs(unit), ReduceSum, -1)
		if norm == robust.L2 {
			direction, gain = unit, ReduceAndKeep(Square(unit), ReduceSum, -1)
		}
		far := Div(Reshape(Abs(f), -1, 1), MaxScalar(Mul(most, gain), 1e-30))
		far = MinScalar(far, 1e9*(box.Upper-box.Lower)) // finite where there is no slope
		far = Add(far, MulScalar(Div(robust.Length(norm, way), MaxScalar(robust.Length(norm, direction), 1e-30)), beyond))
		way = rowsWhere(success, way, Add(way, Mul(direction, far)))
		moved := ClipScalar(Add(clean, Mul(way, args[6])), box.Lower, box.Upper)
		from := flat(x)
		return []*Node{ReshapeLike(rowsWhere(success, from, moved), x), ReshapeLike(way, x),
			Where(success, Reshape(robust.Length(norm, Sub(from, clean)), -1), lengths)}
	})
}
