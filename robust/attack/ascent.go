package attack

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
)

// ascent is projected gradient ascent on the loss: the engine of FGSM, PGD and MIM.
//
//	x_0 = clean, or uniform in the ball
//	x_{t+1} = Project(x_t + Steepest(∇ loss(x_t), step))       (MIM: of the accumulated gradient)
//
// One compiled step is called over and over with tensors that stay on the device. Radius and step size are arguments
// of the graph, so that a sweep over epsilon compiles once.
type ascent struct {
	name        string
	steps       int
	stepSize    float64 // absolute
	restarts    int
	randomStart bool
	keepBest    bool    // return the iterate with the highest loss instead of the last one
	earlyStop   bool    // stop a batch whose examples are all solved; implies keepBest
	decay       float64 // factor on the step size from step to step
	corner      bool    // the first step has the size of the whole radius
	momentum    float64 // decay factor of the accumulated gradient; 0: none is kept
	multiTarget bool    // untargeted goals only: see eachTarget
	loss        robust.Loss
}

// state are the tensors of a batch between steps.
type state struct{ x, memory, best, bestScore *tensors.Tensor }

func (a ascent) perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	if err := a.validate(p); err != nil {
		return nil, err
	}
	if err := a.loss.Validate(v.Model.Classes, p.Goal.Targeted() || a.multiTarget); err != nil {
		return nil, err
	}
	defer v.Shrink()()
	clean, err := tensors.CopyFlatData[float32](p.Images)
	if err != nil {
		return nil, err
	}
	j := &job{v: v, p: p, clean: clean, result: slices.Clone(clean), classes: p.Goal.Classes(), targeted: p.Goal.Targeted()}
	if j.progress = p.Progress; j.progress == nil {
		j.progress = report.Silent{}
	}
	n := p.Images.Shape().Dimensions[0]
	j.progress.Begin(a.name, 0, n)
	defer j.progress.End()

	a.keepBest = a.keepBest || a.earlyStop || a.restarts > 1 || a.multiTarget
	standing, err := a.run(ctx, j, robust.Rows(n))
	if err != nil {
		return nil, err
	}
	if a.multiTarget && !j.targeted {
		err = a.eachTarget(ctx, j, standing)
	}
	return &robust.Perturbation{Images: tensors.FromFlatDataAndDimensions(j.result, p.Images.Shape().Dimensions...)}, err
}

// job is one problem while it is worked on, as flat host arrays.
type job struct {
	v             *robust.Victim
	p             robust.Problem
	clean, result []float32
	classes       []int32 // that the loss refers to
	targeted      bool
	progress      report.Progress
}

// run makes all restarts on the given rows and returns those still standing (none are named without keepBest).
func (a ascent) run(ctx context.Context, j *job, rows []int) ([]int, error) {
	step, err := a.compileStep(j)
	if err != nil {
		return nil, err
	}
	start, err := a.compileStart(j)
	if err != nil {
		return nil, err
	}
	for restart := range a.restarts {
		var standing []int
		for batch := range j.v.Batches(rows) {
			best, solved, err := a.batch(ctx, j, step, start, batch, restart)
			if err != nil {
				return nil, err
			}
			size := len(best) / j.v.Batch
			for i, r := range batch {
				if solved == nil || solved[i] || restart == 0 {
					copy(j.result[r*size:(r+1)*size], best[i*size:(i+1)*size])
				}
				if solved != nil && !solved[i] {
					standing = append(standing, r)
				}
			}
			if restart == 0 {
				j.progress.Advance(len(batch))
			}
		}
		if rows = standing; len(rows) == 0 {
			break
		}
	}
	return rows, nil
}

// eachTarget makes a targeted run towards each class on the examples still standing (Gowal et al., arXiv 1910.09338):
// the loss surface of one class at a time has fewer traps.
func (a ascent) eachTarget(ctx context.Context, j *job, standing []int) error {
	labels := j.classes
	j.targeted, j.progress = true, report.Silent{}
	for class := range int32(j.v.Model.Classes) {
		rows := slices.DeleteFunc(slices.Clone(standing), func(r int) bool { return labels[r] == class })
		j.classes = slices.Repeat([]int32{class}, len(labels))
		left, err := a.run(ctx, j, rows)
		if err != nil {
			return err
		}
		standing = slices.DeleteFunc(standing, func(r int) bool { return labels[r] != class && !slices.Contains(left, r) })
	}
	return nil
}

// batch runs all steps on one batch. It returns flat images, and which examples are solved if that was looked at.
func (a ascent) batch(ctx context.Context, j *job, step, start *robust.Step, rows []int, restart int) (
	images []float32, solved []bool, err error) {
	v := j.v
	x0, classes, eps := v.Images(j.clean, rows), v.Ints(j.classes, rows), float32(j.p.Threat.Epsilon)
	s := state{x: x0}
	if a.randomStart || restart > 0 {
		rng, err := RNGStateFromSeed(j.p.Seed + int64(restart)*1_000_003 + int64(rows[0])*7_919)
		if err != nil {
			return nil, nil, err
		}
		out, err := start.Call(ctx, rows, x0, rng, eps)
		if err != nil {
			return nil, nil, err
		}
		s.x = out[0]
	}
	if a.momentum > 0 {
		s.memory = tensors.FromShape(x0.Shape())
	}
	if a.keepBest {
		s.best, s.bestScore = s.x, tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{unseen}, v.Batch), v.Batch)
	}
	size := a.stepSize
	// One more round than steps when the best is kept: it scores the last iterate.
	for t := range a.rounds() {
		stride := size
		if a.corner && t == 0 {
			stride = j.p.Threat.Epsilon
		}
		args := []any{s.x, x0, classes, eps, float32(stride)}
		if a.momentum > 0 {
			args = append(args, s.memory)
		}
		if a.keepBest {
			args = append(args, s.best, s.bestScore)
		}
		out, err := step.Call(ctx, rows, args...)
		if err != nil {
			return nil, nil, errors.WithMessagef(err, "step %d", t)
		}
		s.x, out = out[0], out[1:]
		if a.momentum > 0 {
			s.memory, out = out[0], out[1:]
		}
		if a.keepBest {
			s.best, s.bestScore = out[0], out[1]
			if a.earlyStop {
				if done, err := allSolved(s.bestScore, len(rows)); err != nil || done {
					if err != nil {
						return nil, nil, err
					}
					break
				}
			}
		}
		size *= a.decay
	}
	if !a.keepBest {
		images, err = tensors.CopyFlatData[float32](s.x)
		return images, nil, err
	}
	if images, err = tensors.CopyFlatData[float32](s.best); err != nil {
		return nil, nil, err
	}
	scores, err := tensors.CopyFlatData[float32](s.bestScore)
	for i := range rows {
		if scores[i] == unseen {
			return nil, nil, errors.Errorf("the loss of example %d is NaN at every step: look at the model's weights", rows[i])
		}
		solved = append(solved, scores[i] >= solvedFrom)
	}
	return images, solved, err
}

// Scores order iterates: any solved one is above any unsolved one, then the loss (squashed to (-1, 1)) decides.
const (
	unseen     = -4
	solvedFrom = 1
)

func (a ascent) rounds() int {
	if a.keepBest {
		return a.steps + 1
	}
	return a.steps
}

// compileStep builds (x, clean, classes, epsilon, step [, memory] [, best, bestScore]) → the same state, one step on.
func (a ascent) compileStep(j *job) (*robust.Step, error) {
	norm, targeted, box := j.p.Threat.Norm, j.targeted, j.box()
	key := fmt.Sprintf("ascent/%s/%s/targeted=%t/momentum=%g/best=%t", norm, a.loss, targeted, a.momentum, a.keepBest)
	return j.v.Compile(key, func(o *robust.Oracle, args []*Node) []*Node {
		x, clean, classes, epsilon, size := args[0], args[1], args[2], args[3], args[4]
		rest := args[5:]
		logits := o.Logits(x)
		loss := a.loss.Graph(logits, classes, targeted)
		g := flat(o.Gradient(ReduceAllSum(loss), x)[0])
		var outputs []*Node
		if a.momentum > 0 { // g ← µ·g + ∇/||∇||_1
			g = Div(g, robust.Vastness(g))
			g = Add(MulScalar(flat(rest[0]), a.momentum), Div(g, MaxScalar(ReduceAndKeep(Abs(g), ReduceSum, -1), 1e-30)))
			outputs, rest = append(outputs, ReshapeLike(g, x)), rest[1:]
		}
		from := flat(x)
		moved := robust.Project(norm, Add(from, robust.Steepest(norm, g, from, size, box)), flat(clean), epsilon, box)
		outputs = append([]*Node{ReshapeLike(moved, x)}, outputs...)
		if a.keepBest {
			best, bestScore := rest[0], rest[1]
			met := NotEqual(ArgMax(logits, -1, dtypes.Int32), classes)
			if targeted {
				met = Equal(ArgMax(logits, -1, dtypes.Int32), classes)
			}
			score := Add(Tanh(MulScalar(loss, 0.1)), MulScalar(ConvertDType(met, loss.DType()), 2))
			better := GreaterThan(score, bestScore)
			outputs = append(outputs,
				ReshapeLike(Where(BroadcastToShape(Reshape(better, -1, 1), from.Shape()), from, flat(best)), x),
				Where(better, score, bestScore))
		}
		return outputs
	})
}

// compileStart builds (clean, rng state, epsilon) → a random start in the ball.
func (a ascent) compileStart(j *job) (*robust.Step, error) {
	norm, box := j.p.Threat.Norm, j.box()
	return j.v.Compile("start/"+norm.String(), func(_ *robust.Oracle, args []*Node) []*Node {
		_, x := robust.RandomInBall(norm, args[1], flat(args[0]), args[2], box)
		return []*Node{ReshapeLike(x, args[0])}
	})
}

func (a ascent) validate(p robust.Problem) error {
	if err := p.Threat.RequireBudget(); err != nil {
		return err
	}
	switch {
	case a.steps < 1 && p.Threat.Epsilon > 0:
		return errors.Errorf("Steps = %d with a non-zero radius: need at least 1", a.steps)
	case a.restarts < 1:
		return errors.Errorf("Restarts = %d: need at least 1", a.restarts)
	case !(a.stepSize >= 0) || math.IsInf(a.stepSize, 1):
		return errors.Errorf("StepSize = %g: must be finite and >= 0", a.stepSize)
	case !(a.momentum >= 0) || math.IsInf(a.momentum, 1):
		return errors.Errorf("Decay = %g: must be finite and > 0", a.momentum)
	case p.Threat.MovesWeights():
		return errors.New("this attack moves inputs only: use JointPGD for a threat with weights")
	case p.Goal.Classes() == nil:
		return errors.New("the goal has neither labels nor targets: Evaluate fills in the clean predictions")
	}
	return nil
}

func (j *job) box() robust.Box { return robust.Box{Lower: j.v.Model.Lower, Upper: j.v.Model.Upper} }

func allSolved(scores *tensors.Tensor, n int) (bool, error) {
	values, err := tensors.CopyFlatData[float32](scores)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(values[:n], func(s float32) bool { return s < solvedFrom }), nil
}

// flat views images as [batch, values].
func flat(x *Node) *Node { return Reshape(x, x.Shape().Dimensions[0], -1) }
