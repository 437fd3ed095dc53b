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

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// FAB is the fast adaptive boundary attack (Croce and Hein, arXiv 1907.02044): it searches for the nearest success in
// linf, l2 or l1. Each step goes to the linearised decision boundary by the shortest way inside the pixel bounds
// (robust.Reach), from the iterate and from the clean image, and mixes the two:
//
//	x ← clip((1-α)(x + Eta·d(x)) + α(clean + Eta·d(clean)))     α = min(|d(x)| / (|d(x)| + |d(clean)|), AlphaMax)
//	x ← clean + Beta(x - clean)                                   where x is a success, which is kept if it is the nearest
//
// At the end three steps of a search on the line between each clean image and its nearest success come nearer to the
// boundary.
//
// A goal with targets takes the boundary between the target and the likeliest other class; Targets is not looked at.
type FAB struct {
	Steps    int // a run; zero: 100
	Restarts int // runs (towards each target), all but the first from a random point at half the distance found; zero: 1
	// Targets is the number of classes that are attacked one by one, the likeliest first (FAB-T, the form in AutoAttack,
	// has 9), all, if there are fewer: one backward pass a step. Zero: the nearest boundary of all classes, at a backward pass each.
	Targets  int
	AlphaMax float64 // largest weight of the step from the clean image, in (0, 1]; zero: 0.1
	Eta      float64 // overshoot, >= 1; zero: 1.05
	Beta     float64 // how much of the way is left after the step back, in (0, 1); zero: 0.9
	// EarlyStop leaves out of further restarts and targets what has a success within Epsilon already: the same robust
	// accuracy at that radius for less work, but norms that are not minimal.
	EarlyStop bool
}

var (
	_ robust.Unbudgeted = FAB{}
	_ robust.Fitted     = FAB{}
)

// Name implements robust.Attack.
func (a FAB) Name() string {
	d := a.defaults()
	s := "fab"
	if a.Targets > 0 {
		s = "fab-t"
	}
	s += fmt.Sprintf("(steps=%d, restarts=%d", d.Steps, d.Restarts)
	if a.Targets > 0 {
		s += fmt.Sprintf(", targets=%d", a.Targets)
	}
	if standard := (FAB{}).defaults(); d.AlphaMax != standard.AlphaMax || d.Eta != standard.Eta || d.Beta != standard.Beta {
		s += fmt.Sprintf(", alpha=%g, eta=%g, beta=%g", d.AlphaMax, d.Eta, d.Beta)
	}
	return s + ")"
}

// Access implements robust.Attack.
func (FAB) Access() robust.Access { return robust.Gradients }

// Unbudgeted implements robust.Unbudgeted.
func (FAB) Unbudgeted() bool { return true }

// For implements robust.Fitted: Targets are no more than there are other classes.
func (a FAB) For(m *nets.Model) robust.Attack {
	a.Targets = min(a.Targets, m.Classes-1)
	return a
}

func (a FAB) defaults() FAB {
	a.Steps, a.Restarts = cmp.Or(a.Steps, 100), cmp.Or(a.Restarts, 1)
	a.AlphaMax, a.Eta, a.Beta = cmp.Or(a.AlphaMax, 0.1), cmp.Or(a.Eta, 1.05), cmp.Or(a.Beta, 0.9)
	return a
}

func (a FAB) validate() error {
	switch {
	case a.Steps < 1:
		return errors.Errorf("Steps = %d: need at least 1", a.Steps)
	case a.Restarts < 1:
		return errors.Errorf("Restarts = %d: need at least 1", a.Restarts)
	case a.Targets < 0:
		return errors.Errorf("Targets = %d: give a number of classes, or 0 for the nearest of all", a.Targets)
	case !(a.AlphaMax > 0 && a.AlphaMax <= 1):
		return errors.Errorf("AlphaMax = %g: must be in (0, 1]", a.AlphaMax)
	case !(a.Eta >= 1) || math.IsInf(a.Eta, 1):
		return errors.Errorf("Eta = %g: must be finite and >= 1", a.Eta)
	case !(a.Beta > 0 && a.Beta < 1):
		return errors.Errorf("Beta = %g: must be in (0, 1)", a.Beta)
	}
	return nil
}

// Perturb implements robust.Attack.
func (a FAB) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a = a.For(v.Model).(FAB).defaults()
	if err := a.validate(); err != nil {
		return nil, err
	}
	defer v.Shrink()()
	others := v.Model.Classes - 1
	targets, together := 1, others // boundaries that are searched one by one, and all at once
	if a.Targets > 0 && !p.Goal.Targeted() {
		targets, together = a.Targets, 1
	}
	m, err := begin(ctx, v, p, targets*together)
	if err != nil {
		return nil, err
	}
	within := -1.0
	if a.EarlyStop {
		within = p.Threat.Epsilon
	}
	rounds := targets * a.Restarts
	m.progress.Begin(a.Name(), 0, rounds*m.examples)
	defer m.progress.End()
	for round := range rounds {
		rows := m.open(within)
		m.progress.Advance(m.examples - len(rows))
		for batch := range v.Batches(rows) {
			if err := a.run(ctx, m, batch, m.classesFrom(round/a.Restarts, together, batch), round); err != nil {
				return nil, err
			}
			m.progress.Advance(len(batch))
		}
	}
	return m.answer(ctx)
}

// run makes all steps of one run on one batch, and the search on the line.
func (a FAB) run(ctx context.Context, m *minimal, rows []int, rivals *tensors.Tensor, round int) error {
	v := m.v
	step, err := a.compileStep(m, rivals.Shape().Dimensions[1])
	if err != nil {
		return err
	}
	clean, classes := v.Images(m.clean, rows), v.Ints(m.classes, rows)
	x, best := clean, clean
	lengths := tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{float32(math.Inf(1))}, v.Batch), v.Batch)
	margins := tensors.FromShape(lengths.Shape())
	if round%a.Restarts > 0 {
		if x, err = a.start(ctx, m, rows, clean, round); err != nil {
			return err
		}
	}
	for t := range a.Steps {
		out, err := step.Call(ctx, rows, x, clean, classes, rivals, best, lengths, margins,
			float32(a.AlphaMax), float32(a.Eta), float32(a.Beta))
		if err != nil {
			return errors.WithMessagef(err, "step %d", t)
		}
		x, best, lengths, margins = out[0], out[1], out[2], out[3]
	}
	if best, lengths, err = m.approach(ctx, rows, clean, classes, best, lengths, margins); err != nil {
		return err
	}
	return m.keep(rows, best, lengths)
}

// start draws random points around the clean images, within half the distance of the nearest success found so far.
func (a FAB) start(ctx context.Context, m *minimal, rows []int, clean *tensors.Tensor, round int) (*tensors.Tensor, error) {
	norm, box := m.p.Threat.Norm, m.box()
	// Where nothing has been found yet: AutoAttack's radii.
	unknown := map[robust.Norm]float64{robust.Linf: 0.3, robust.L2: 1, robust.L1: 5}[norm] * (box.Upper - box.Lower)
	radii := slices.Clone(m.lengths)
	for i, r := range radii {
		radii[i] = min(r, float32(unknown)) / 2
	}
	step, err := m.v.Compile("fab/start/"+norm.String(), func(_ *robust.Oracle, args []*Node) []*Node {
		_, x := robust.RandomInBall(norm, args[1], flat(args[0]), Reshape(args[2], -1, 1), box)
		return []*Node{ReshapeLike(x, args[0])}
	})
	if err != nil {
		return nil, err
	}
	rng, err := RNGStateFromSeed(m.p.Seed + int64(round)*1_000_003 + int64(rows[0])*7_919)
	if err != nil {
		return nil, err
	}
	out, err := step.Call(ctx, rows, clean, rng, m.column(radii, rows))
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// compileStep builds (x, clean, classes, rivals, best, lengths, margins, alpha, eta, beta) → the new x, best, lengths and
// margins.
func (a FAB) compileStep(m *minimal, rivals int) (*robust.Step, error) {
	norm, box, targeted := m.p.Threat.Norm, m.box(), m.targeted
	key := fmt.Sprintf("fab/%s/targeted=%t/rivals=%d", norm, targeted, rivals)
	return m.v.Compile(key, func(o *robust.Oracle, args []*Node) []*Node {
		x, clean, classes, rivals, best, lengths, margins := args[0], args[1], args[2], args[3], args[4], args[5], args[6]
		alphaMax, eta, beta := args[7], args[8], args[9]
		from, origin := flat(x), flat(clean)
		var f, w *Node // the boundary is where f + w·(z - x) = 0
		if logits := o.Logits(x); targeted {
			f, w = plane(o, robust.Margin.Graph(logits, classes, true), x)
		} else {
			f, w = nearestBoundary(o, norm, logits, x, classes, rivals)
		}
		f = Reshape(f, -1, 1)
		// Both ways at once: from the iterate, and from the clean image.
		gain := Concatenate([]*Node{Neg(f), Sub(ReduceAndKeep(Mul(w, Sub(from, origin)), ReduceSum, -1), f)}, 0)
		ways := robust.Reach(norm, Concatenate([]*Node{from, origin}, 0), Concatenate([]*Node{w, w}, 0), gain, box)
		batch := from.Shape().Dimensions[0]
		d, back := Slice(ways, AxisRange(0, batch)), Slice(ways, AxisRange(batch))
		here, there := robust.Length(norm, d), robust.Length(norm, back)
		alpha := Min(Div(here, MaxScalar(Add(here, there), 1e-30)), alphaMax)
		moved := Add(Mul(Add(from, Mul(d, eta)), OneMinus(alpha)), Mul(Add(origin, Mul(back, eta)), alpha))
		moved = ClipScalar(moved, box.Lower, box.Upper)

		logits := o.Logits(ReshapeLike(moved, x))
		success := met(logits, classes, targeted)
		distance := Reshape(robust.Length(norm, Sub(moved, origin)), -1)
		better := And(success, LessThan(distance, lengths))
		return []*Node{
			ReshapeLike(rowsWhere(success, Add(origin, Mul(Sub(moved, origin), beta)), moved), x),
			ReshapeLike(rowsWhere(better, moved, flat(best)), x),
			Where(better, distance, lengths),
			Where(better, robust.Margin.Graph(logits, classes, targeted), margins),
		}
	})
}

// nearestBoundary builds, of the boundaries between the class and each of its rivals int32 [batch, rivals], the one that
// is nearest to first order: f = z_j - z_y [batch] and its gradient [batch, values]. It makes one backward pass a rival.
func nearestBoundary(o *robust.Oracle, norm robust.Norm, logits, x, classes, rivals *Node) (f, w *Node) {
	own := pick(logits, classes)
	var nearest *Node
	for j := range rivals.Shape().Dimensions[1] {
		diff, slope := plane(o, Sub(pick(logits, Reshape(Slice(rivals, AxisRange(), AxisElem(j)), -1)), own), x)
		distance := Div(Abs(diff), AddScalar(Reshape(robust.Length(dual(norm), slope), -1), 1e-12))
		if nearest == nil {
			nearest, f, w = distance, diff, slope
			continue
		}
		nearer := LessThan(distance, nearest)
		nearest, f, w = Where(nearer, distance, nearest), Where(nearer, diff, f), rowsWhere(nearer, slope, w)
	}
	return f, w
}

// plane builds the linearised boundary f + w·(z - x) = 0 of a difference of logits [batch] at x: f [batch] and w
// [batch, values], both divided by what makes w too large for float32 to measure.
func plane(o *robust.Oracle, diff, x *Node) (f, w *Node) {
	w = flat(o.Gradient(ReduceAllSum(diff), x)[0])
	vastness := robust.Vastness(w)
	return Div(diff, Reshape(vastness, -1)), Div(w, vastness)
}

// dual is the norm that measures gradients where norm measures displacements.
func dual(norm robust.Norm) robust.Norm {
	switch norm {
	case robust.Linf:
		return robust.L1
	case robust.L1:
		return robust.Linf
	default:
		return robust.L2
	}
}

// pick builds the logit of each example's class, [batch].
func pick(logits, classes *Node) *Node {
	return ReduceSum(Mul(logits, OneHot(classes, logits.Shape().Dimensions[1], logits.DType())), -1)
}

// approaches is the number of steps of the search on the line.
const approaches = 3

// approach searches the line from the clean images to their nearest successes for nearer ones, by false position on the
// margin (the paper's final search).
func (m *minimal) approach(ctx context.Context, rows []int, clean, classes, best, lengths, margins *tensors.Tensor) (
	nearer, shorter *tensors.Tensor, err error) {
	norm, box, targeted := m.p.Threat.Norm, m.box(), m.targeted
	step, err := m.v.Compile(fmt.Sprintf("minimal/approach/%s/targeted=%t", norm, targeted), func(o *robust.Oracle, args []*Node) []*Node {
		clean, classes, best, lengths, end := args[0], args[1], args[2], args[3], args[4]
		low, high, below, above := args[5], args[6], args[7], args[8] // shares of the way, and the margins there
		share := Div(Neg(below), MaxScalar(Sub(above, below), 1e-30))
		// A little beyond, since on the boundary itself rounding decides.
		at := Add(low, Mul(Sub(high, low), ClipScalar(AddScalar(share, 0.002), 0.05, 0.995)))
		from := flat(clean)
		z := ClipScalar(Add(from, Mul(Sub(flat(end), from), Reshape(at, -1, 1))), box.Lower, box.Upper)
		logits := o.Logits(ReshapeLike(z, clean))
		margin := robust.Margin.Graph(logits, classes, targeted)
		success := met(logits, classes, targeted)
		distance := Reshape(robust.Length(norm, Sub(z, from)), -1)
		better := And(success, LessThan(distance, lengths))
		return []*Node{
			ReshapeLike(rowsWhere(better, z, flat(best)), clean), Where(better, distance, lengths),
			Where(success, low, at), Where(success, at, high), Where(success, below, margin), Where(success, margin, above),
		}
	})
	if err != nil {
		return nil, nil, err
	}
	end := best
	low := tensors.FromShape(lengths.Shape())
	high := tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{1}, m.v.Batch), m.v.Batch)
	below := m.column(m.margins, rows)
	for range approaches {
		out, err := step.Call(ctx, rows, clean, classes, best, lengths, end, low, high, below, margins)
		if err != nil {
			return nil, nil, err
		}
		best, lengths, low, high, below, margins = out[0], out[1], out[2], out[3], out[4], out[5]
	}
	return best, lengths, nil
}
