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

// CW is the l2 attack of Carlini and Wagner (arXiv 1608.04644): Adam on w, where x = middle + half·tanh(w) keeps to the
// pixel bounds by itself,
//
//	minimize ‖(x - clean) / width‖² + c·max(0, Confidence - margin(x))
//
// margin is by how much the goal is met (robust.Margin), width that of the pixel bounds. Each example has its own c: ten
// times larger until the first success, then by bisection. It costs SearchSteps·Steps forward and backward passes. In
// the second half of the steps the rate, which the paper leaves constant, falls to zero: else Adam circles around near
// optima at the distance of its step. All steps together move w by no more than 3/4·Steps·LearningRate, and a pixel on a
// bound starts 7.25 from the middle: much less than that leaves such pixels where they are, and examples unbroken.
type CW struct {
	SearchSteps  int     // values of c; zero: 9
	Steps        int     // of Adam for each; zero: 1000
	LearningRate float64 // of Adam, on w, at the first step; zero: 0.01
	InitialConst float64 // the first c; zero: 1e-3
	Confidence   float64 // margin that a success must have, >= 0
	// Targets is the number of classes that are attacked one by one (all, if there are fewer), the likeliest first, to keep
	// the nearest success. Zero:
	// whichever other class is likeliest at each step, as in the paper, for one class' work; now and then that is not the
	// nearest one. A goal with targets does not look at it.
	Targets int
	// AbortEarly ends the steps for a value of c when the loss of the batch has not fallen by a ten-thousandth over a tenth
	// of the steps.
	AbortEarly bool
}

var (
	_ robust.Unbudgeted = CW{}
	_ robust.Fitted     = CW{}
)

// Name implements robust.Attack.
func (a CW) Name() string {
	d := a.defaults()
	s := fmt.Sprintf("cw(search=%d, steps=%d, rate=%g", d.SearchSteps, d.Steps, d.LearningRate)
	if d.InitialConst != (CW{}).defaults().InitialConst {
		s += fmt.Sprintf(", c=%g", d.InitialConst)
	}
	if d.Targets > 0 {
		s += fmt.Sprintf(", targets=%d", d.Targets)
	}
	if d.Confidence > 0 {
		s += fmt.Sprintf(", confidence=%g", d.Confidence)
	}
	if d.AbortEarly {
		s += ", abort early"
	}
	return s + ")"
}

// Access implements robust.Attack.
func (CW) Access() robust.Access { return robust.Gradients }

// Unbudgeted implements robust.Unbudgeted.
func (CW) Unbudgeted() bool { return true }

// For implements robust.Fitted: Targets are no more than there are other classes.
func (a CW) For(m *nets.Model) robust.Attack {
	a.Targets = min(a.Targets, m.Classes-1)
	return a
}

func (a CW) defaults() CW {
	a.SearchSteps, a.Steps = cmp.Or(a.SearchSteps, 9), cmp.Or(a.Steps, 1000)
	a.LearningRate, a.InitialConst = cmp.Or(a.LearningRate, 0.01), cmp.Or(a.InitialConst, 1e-3)
	return a
}

func (a CW) validate(p robust.Problem) error {
	positive := func(v float64) bool { return v > 0 && !math.IsInf(v, 1) }
	switch {
	case a.SearchSteps < 1 || a.Steps < 1:
		return errors.Errorf("SearchSteps = %d, Steps = %d: need at least 1 of each", a.SearchSteps, a.Steps)
	case a.Targets < 0:
		return errors.Errorf("Targets = %d: must be >= 0", a.Targets)
	case !positive(a.LearningRate):
		return errors.Errorf("LearningRate = %g: must be finite and > 0", a.LearningRate)
	case !positive(a.InitialConst):
		return errors.Errorf("InitialConst = %g: must be finite and > 0", a.InitialConst)
	case a.Confidence != 0 && !positive(a.Confidence):
		return errors.Errorf("Confidence = %g: must be finite and >= 0", a.Confidence)
	case p.Threat.Norm != robust.L2:
		return errors.Errorf("CW moves in l2, not in %s: use FAB", p.Threat.Norm)
	}
	return nil
}

// Perturb implements robust.Attack.
func (a CW) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a = a.For(v.Model).(CW).defaults()
	if err := a.validate(p); err != nil {
		return nil, err
	}
	defer v.Shrink()()
	if p.Goal.Targeted() {
		a.Targets = 0
	}
	m, err := begin(ctx, v, p, max(1, a.Targets))
	if err != nil {
		return nil, err
	}
	rows := m.open(-1)
	m.progress.Begin(a.Name(), 0, max(1, a.Targets)*len(rows)*a.SearchSteps)
	defer m.progress.End()
	for rank := range max(1, a.Targets) {
		for batch := range v.Batches(rows) {
			if err := a.search(ctx, m, batch, rank); err != nil {
				return nil, err
			}
		}
	}
	return m.answer(ctx)
}

// search finds c for each example of a batch, towards the class of the given rank if there are Targets.
func (a CW) search(ctx context.Context, m *minimal, rows []int, rank int) error {
	v := m.v
	start, err := a.compileStart(m)
	if err != nil {
		return err
	}
	clean, classes, rivals := v.Images(m.clean, rows), v.Ints(m.classes, rows), m.classesFrom(rank, 1, rows)
	out, err := start.Call(ctx, rows, clean)
	if err != nil {
		return err
	}
	s := cwState{w: out[0], best: clean,
		lengths: tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{float32(math.Inf(1))}, v.Batch), v.Batch)}
	c := slices.Repeat([]float32{float32(a.InitialConst)}, v.Batch)
	low, high := make([]float32, v.Batch), slices.Repeat([]float32{float32(math.Inf(1))}, v.Batch)
	for range a.SearchSteps {
		hits, err := a.descend(ctx, m, rows, clean, classes, rivals, tensors.FromFlatDataAndDimensions(slices.Clone(c), v.Batch), &s)
		if err != nil {
			return err
		}
		for i, hit := range hits {
			if hit > 0 {
				high[i] = c[i]
			} else {
				low[i] = c[i]
			}
			if c[i] = (low[i] + high[i]) / 2; math.IsInf(float64(c[i]), 1) {
				c[i] = min(10*low[i], 1e30)
			}
		}
		m.progress.Advance(len(rows))
	}
	return m.keep(rows, s.best, s.lengths)
}

// cwState is what a batch keeps from one value of c to the next.
type cwState struct{ w, best, lengths *tensors.Tensor }

// descend makes the steps of Adam for one value of c each and tells which examples had a success.
func (a CW) descend(ctx context.Context, m *minimal, rows []int, clean, classes, rivals, c *tensors.Tensor, s *cwState) ([]float32, error) {
	step, err := a.compileStep(m)
	if err != nil {
		return nil, err
	}
	w, mean, square := s.w, tensors.FromShape(clean.Shape()), tensors.FromShape(clean.Shape())
	hits := tensors.FromShape(c.Shape())
	before := math.Inf(1)
	for t := range a.Steps {
		first, second := 1-math.Pow(0.9, float64(t+1)), 1-math.Pow(0.999, float64(t+1))
		rate := a.LearningRate * min(1, 2*(1-float64(t)/float64(a.Steps)))
		out, err := step.Call(ctx, rows, w, mean, square, s.best, s.lengths, hits, clean, classes, rivals, c,
			float32(rate/first), float32(1/second), float32(a.Confidence))
		if err != nil {
			return nil, errors.WithMessagef(err, "step %d", t)
		}
		w, mean, square, s.best, s.lengths, hits = out[0], out[1], out[2], out[3], out[4], out[5]
		if a.AbortEarly && t%max(1, a.Steps/10) == 0 {
			loss := float64(tensors.ToScalar[float32](out[6]))
			if loss > 0.9999*before {
				break
			}
			before = loss
		}
	}
	return tensors.CopyFlatData[float32](hits)
}

// compileStart builds clean → w. Pixels on the bounds are taken a millionth of half the width inside.
func (a CW) compileStart(m *minimal) (*robust.Step, error) {
	middle, half := m.middle()
	return m.v.Compile("cw/start", func(_ *robust.Oracle, args []*Node) []*Node {
		u := MulScalar(DivScalar(AddScalar(args[0], -middle), half), 1-1e-6)
		return []*Node{MulScalar(Sub(Log1P(u), Log1P(Neg(u))), 0.5)} // artanh
	})
}

// compileStep builds (w, mean, square, best, lengths, hits, clean, classes, rivals, c, rate, scale, confidence) → the first
// six of them, and the loss of the batch.
func (a CW) compileStep(m *minimal) (*robust.Step, error) {
	targeted := m.targeted
	middle, half := m.middle()
	return m.v.Compile(fmt.Sprintf("cw/targeted=%t/rivals=%t", targeted, a.Targets > 0), func(o *robust.Oracle, args []*Node) []*Node {
		w, mean, square, best, lengths, hits := args[0], args[1], args[2], args[3], args[4], args[5]
		clean, classes, rivals, c, rate, scale, confidence := args[6], args[7], args[8], args[9], args[10], args[11], args[12]
		x := AddScalar(MulScalar(Tanh(w), half), middle)
		logits := o.Logits(x)
		margin := robust.Margin.Graph(logits, classes, targeted)
		if a.Targets > 0 {
			of := func(class *Node) *Node {
				return ReduceSum(Mul(logits, OneHot(class, logits.Shape().Dimensions[1], logits.DType())), -1)
			}
			margin = Sub(of(Reshape(rivals, -1)), of(classes))
		}
		d := flat(Sub(x, clean))
		loss := Add(ReduceSum(Square(DivScalar(d, 2*half)), -1), Mul(c, MaxScalar(Sub(confidence, margin), 0)))
		total := ReduceAllSum(loss)
		g := ClipScalar(o.Gradient(total, w)[0], -1e15, 1e15) // Adam squares it, and looks at ratios only
		mean = Add(MulScalar(mean, 0.9), MulScalar(g, 0.1))
		square = Add(MulScalar(square, 0.999), MulScalar(Square(g), 0.001))
		w = Sub(w, Div(Mul(mean, rate), AddScalar(Sqrt(Mul(square, scale)), 1e-8)))

		success := And(met(logits, classes, targeted), GreaterOrEqual(margin, confidence))
		distance := Reshape(robust.Length(robust.L2, d), -1)
		better := And(success, LessThan(distance, lengths))
		return []*Node{w, mean, square,
			ReshapeLike(rowsWhere(better, flat(x), flat(best)), x), Where(better, distance, lengths),
			Max(hits, ConvertDType(success, hits.DType())), total}
	})
}

// middle is the middle of the pixel bounds and half the width between them.
func (j *job) middle() (middle, half float64) {
	b := j.box()
	return (b.Lower + b.Upper) / 2, (b.Upper - b.Lower) / 2
}
