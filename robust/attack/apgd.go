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

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// APGD is Auto-PGD (Croce and Hein, arXiv 2003.01690, algorithm 1), for linf and l2: gradient ascent with momentum that
// starts on the boundary of the ball with steps of twice the radius. At the end of each of ever shorter windows, an
// example whose loss rose in at most 75 % of the steps, or whose best loss has not improved since the last window without
// halving, goes back to its best point with half the step size.
//
// A search ends as soon as its goal is met; examples on which it is never met get the point of the highest loss.
type APGD struct {
	Steps    int         // zero: 100
	Restarts int         // zero: 1
	Loss     robust.Loss // what is climbed; zero: cross-entropy
	// Targets, where it is not zero and the goal is untargeted, makes this APGD-T: one search towards each of the
	// so many other classes that have the largest logits on the clean image, by Loss.Towards; all, if there are fewer.
	// AutoAttack uses 9 with DLR.
	Targets int
}

var _ robust.Fitted = APGD{}

// Name implements robust.Attack.
func (a APGD) Name() string {
	a = a.defaults()
	s := fmt.Sprintf("apgd(steps=%d, restarts=%d, loss=%s", a.Steps, a.Restarts, a.Loss)
	if a.Targets != 0 {
		s += fmt.Sprintf(", targets=%d", a.Targets)
	}
	return s + ")"
}

// Access implements robust.Attack.
func (APGD) Access() robust.Access { return robust.Gradients }

// For implements robust.Fitted: Targets are no more than there are other classes.
func (a APGD) For(m *nets.Model) robust.Attack {
	a.Targets = min(a.Targets, m.Classes-1)
	return a
}

func (a APGD) defaults() APGD {
	a.Steps = cmp.Or(a.Steps, 100)
	a.Restarts = cmp.Or(a.Restarts, 1)
	return a
}

func (a APGD) validate(v *robust.Victim, p robust.Problem) error {
	switch {
	case a.Steps < 1:
		return errors.Errorf("Steps = %d: need at least 1", a.Steps)
	case a.Restarts < 1:
		return errors.Errorf("Restarts = %d: need at least 1", a.Restarts)
	case a.Targets < 0:
		return errors.Errorf("Targets = %d: give a number of classes, or 0 for none in particular", a.Targets)
	case p.Threat.Norm == robust.L1:
		return errors.New("apgd: works in linf and l2, not in l1: use PGD")
	}
	return a.Loss.Validate(v.Model.Classes, p.Goal.Targeted() || a.Targets > 0)
}

// Perturb implements robust.Attack.
func (a APGD) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a = a.For(v.Model).(APGD).defaults()
	if err := a.validate(v, p); err != nil {
		return nil, err
	}
	defer v.Shrink()()
	run := &apgd{lanes: lanes{v: v, p: p, name: a.Name(), calls: a.Steps + 1}, APGD: a, windows: windows(a.Steps)}
	return run.attack(ctx)
}

// apgd is one run of APGD. Images and gradients are [places, values], numbers is [places, numbersOf...].
type apgd struct {
	lanes
	APGD
	windows []int  // the length of the window that ends with each step, 0 where none ends
	aims    bool   // towards other classes of an untargeted goal
	watch   func() // called after each step; for tests

	compiled                        *robust.Step
	x, before, grad, best, bestGrad *tensors.Tensor
	numbers, evaluated              *tensors.Tensor
	images, noise, labels, to       *tensors.Tensor
}

// Columns of the numbers that a search keeps.
const (
	columnLoss    = iota // at the current point
	columnBest           // the highest loss so far
	columnChecked        // the highest loss at the last window's end
	columnRises          // steps of this window that raised the loss
	columnHalved         // 1 if the last window's end halved the step size; 1 before the first
	columnSize           // step size
	numColumns
)

// windows returns, for each step, the length of the window that it ends, or 0.
func windows(steps int) []int {
	ends := make([]int, steps+1) // step 0 is the start
	length, shorter, least := max(1, 22*steps/100), max(1, 3*steps/100), max(1, 6*steps/100)
	for at := length; at <= steps; at += length {
		ends[at] = length
		length = max(length-shorter, least)
	}
	return ends
}

func (r *apgd) attack(ctx context.Context) (*robust.Perturbation, error) {
	if err := r.begin(); err != nil {
		return nil, err
	}
	r.open, r.step, r.keep = r.allocate, r.call, r.shrinkState
	r.found, r.lanes.best = func() *tensors.Tensor { return r.evaluated }, func() *tensors.Tensor { return r.best }
	r.aims = r.Targets > 0 && !r.p.Goal.Targeted()
	targets, err := r.ranked(ctx)
	if err != nil {
		return nil, err
	}
	var queue []search
	for restart := range r.Restarts {
		for k := range max(1, len(targets)) {
			for row := range r.n() {
				s := search{row: row, restart: restart}
				if r.aims {
					s.target = targets[k][row]
				}
				queue = append(queue, s)
			}
		}
	}
	if r.compiled, err = r.compile(); err != nil {
		return nil, err
	}
	return r.run(ctx, queue)
}

// ranked returns, for each rank, the class other than the label with the so manieth largest logit of each example.
func (r *apgd) ranked(ctx context.Context) ([][]int32, error) {
	if !r.aims {
		return nil, nil
	}
	return rankedClasses(ctx, r.v, r.clean, r.p.Goal.Labels, r.Targets)
}

// rankedClasses returns [ranks][n]: for each rank, the class other than its label that has the so manieth largest logit
// on each clean image.
func rankedClasses(ctx context.Context, v *robust.Victim, clean []float32, labels []int32, ranks int) ([][]int32, error) {
	step, err := v.Compile("logits", func(o *robust.Oracle, args []*Node) []*Node { return []*Node{o.Logits(args[0])} })
	if err != nil {
		return nil, err
	}
	targets := make([][]int32, ranks)
	for rows := range v.Batches(robust.Rows(len(labels))) {
		out, err := step.Call(ctx, rows, v.Images(clean, rows))
		if err != nil {
			return nil, err
		}
		flat, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return nil, err
		}
		for i, row := range rows {
			logits := flat[i*v.Model.Classes : (i+1)*v.Model.Classes]
			var others []int32
			for c := range int32(v.Model.Classes) {
				if c != labels[row] {
					others = append(others, c)
				}
			}
			slices.SortStableFunc(others, func(a, b int32) int { return cmp.Compare(logits[b], logits[a]) })
			for k := range targets {
				targets[k] = append(targets[k], others[k])
			}
		}
	}
	return targets, nil
}

func (r *apgd) state() []**tensors.Tensor {
	return []**tensors.Tensor{&r.x, &r.before, &r.grad, &r.best, &r.bestGrad, &r.numbers}
}

func (r *apgd) allocate(places int) error {
	size := len(r.clean) / r.n()
	for _, t := range r.state() {
		*t = tensors.FromFlatDataAndDimensions(make([]float32, places*size), places, size)
	}
	r.numbers = tensors.FromFlatDataAndDimensions(make([]float32, places*numColumns), places, numColumns)
	return nil
}

func (r *apgd) shrinkState(from []int, places int) (err error) {
	for _, t := range r.state() {
		if *t, err = moveRows(*t, from, places); err != nil {
			return err
		}
	}
	return nil
}

// call makes one step of all places.
func (r *apgd) call(ctx context.Context, rows []int, places []place, filled bool) ([]float32, []bool, error) {
	if filled {
		r.images = r.lanes.images(places)
		r.noise = r.starts(places)
		r.to = ints(places, func(s search) int32 { return s.target })
		if goal := r.p.Goal; goal.Targeted() {
			r.labels = ints(places, func(s search) int32 { return goal.Targets[s.row] })
		} else {
			r.labels = ints(places, func(s search) int32 { return goal.Labels[s.row] })
		}
	}
	control := make([]float32, 0, 3*len(places)) // first call; share of the new step in the momentum; window that ends
	for _, s := range places {
		switch {
		case !s.busy || s.call == 0:
			control = append(control, 1, 1, 0)
		case s.call == 1:
			control = append(control, 0, 1, float32(r.windows[1]))
		default:
			control = append(control, 0, 0.75, float32(r.windows[s.call]))
		}
	}
	out, err := r.compiled.Call(ctx, rows, r.x, r.before, r.grad, r.best, r.bestGrad, r.numbers, r.images, r.noise, r.labels, r.to,
		tensors.FromFlatDataAndDimensions(control, len(places), 3), float32(r.p.Threat.Epsilon))
	if err != nil {
		return nil, nil, err
	}
	for i, t := range r.state() {
		*t = out[i]
	}
	r.evaluated = out[6]
	if r.watch != nil {
		r.watch()
	}
	losses, err := tensors.CopyFlatData[float32](out[7])
	if err != nil {
		return nil, nil, err
	}
	met, err := tensors.CopyFlatData[bool](out[8])
	return losses, met, err
}

// starts draws the direction from the clean image to the start of each place that begins, of length one.
func (r *apgd) starts(places []place) *tensors.Tensor {
	size := len(r.clean) / r.n()
	flat := make([]float32, len(places)*size)
	for i, s := range places {
		if s.busy && s.call == 0 {
			direction(r.p.Threat.Norm, s.rng, flat[i*size:(i+1)*size])
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, len(places), size)
}

// compile builds one call: the point of each search moves (or starts), is evaluated, and the window may end.
func (r *apgd) compile() (*robust.Step, error) {
	norm, box, targeted, aims := r.p.Threat.Norm, robust.Box{Lower: r.v.Model.Lower, Upper: r.v.Model.Upper}, r.p.Goal.Targeted(), r.aims
	loss := r.Loss
	key := fmt.Sprintf("apgd/%s/%s/targeted=%t/aims=%t", norm, loss, targeted, aims)
	return r.v.Compile(key, func(o *robust.Oracle, args []*Node) []*Node {
		x, before, grad, best, bestGrad, numbers := args[0], args[1], args[2], args[3], args[4], args[5]
		images, noise, labels, to, control, epsilon := args[6], args[7], args[8], args[9], args[10], args[11]
		clean := flat(images)
		column := func(from *Node, i int) *Node { return Slice(from, AxisRange(), AxisRange(i, i+1)) }
		isStart := IsPositive(column(control, 0))
		share, window := column(control, 1), column(control, 2)

		size := column(numbers, columnSize)
		stepped := robust.Shrink(norm, Add(x, robust.Steepest(norm, grad, x, size, box)), clean, epsilon, box)
		moved := Add(x, Add(Mul(share, Sub(stepped, x)), Mul(OneMinus(share), Sub(x, before))))
		moved = choose(isStart, Add(clean, Mul(noise, epsilon)), moved)
		point := robust.Shrink(norm, moved, clean, epsilon, box)

		logits := o.Logits(ReshapeLike(point, images))
		var each *Node
		if aims {
			each = loss.Towards(logits, labels, to)
		} else {
			each = loss.Graph(logits, labels, targeted)
		}
		newGrad := o.Gradient(ReduceAllSum(each), point)[0]
		met := NotEqual(ArgMax(logits, -1, dtypes.Int32), labels)
		if targeted {
			met = Not(met)
		}

		value := Reshape(each, -1, 1)
		better := Or(isStart, GreaterThan(value, column(numbers, columnBest)))
		rises := Add(column(numbers, columnRises), ConvertDType(GreaterThan(value, column(numbers, columnLoss)), value.DType()))
		bestLoss := choose(better, value, column(numbers, columnBest))
		best, bestGrad = choose(better, point, best), choose(better, newGrad, bestGrad)
		zero, one := ZerosLike(value), OnesLike(value)
		checked, halved := choose(isStart, value, column(numbers, columnChecked)), choose(isStart, one, column(numbers, columnHalved))
		rises, size = choose(isStart, zero, rises), choose(isStart, Mul(one, MulScalar(epsilon, 2)), size)

		ends := IsPositive(window)
		stuck := And(Not(IsPositive(halved)), GreaterOrEqual(checked, bestLoss))
		halve := And(ends, Or(LessOrEqual(rises, MulScalar(window, 0.75)), stuck))
		numbers = Concatenate([]*Node{
			value, bestLoss, choose(ends, bestLoss, checked), choose(ends, zero, rises),
			choose(ends, choose(halve, one, zero), halved), choose(halve, MulScalar(size, 0.5), size),
		}, -1)
		return []*Node{choose(halve, best, point), choose(isStart, point, x), choose(halve, bestGrad, newGrad), best, bestGrad, numbers,
			point, each, met}
	})
}

// choose picks rows: where the condition [batch, 1] holds those of a, else those of b.
func choose(condition, a, b *Node) *Node {
	return Where(BroadcastToShape(condition, a.Shape()), a, b)
}

// direction draws a random displacement of length one in the norm: uniform noise scaled to the faces of the cube, or a
// uniform direction (Croce and Hein's starts).
func direction(norm robust.Norm, rng *rand.Rand, into []float32) {
	length := 0.0
	for i := range into {
		if norm == robust.Linf {
			into[i] = float32(2*rng.Float64() - 1)
			length = max(length, math.Abs(float64(into[i])))
		} else {
			into[i] = float32(rng.NormFloat64())
			length = math.Hypot(length, float64(into[i]))
		}
	}
	for i := range into {
		into[i] = float32(float64(into[i]) / max(length, 1e-30))
	}
}
