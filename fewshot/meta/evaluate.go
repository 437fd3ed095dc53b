package meta

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
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
)

// Evaluator fine-tunes meta-models of one architecture on test tasks, and attacks them. It compiles each step once and
// serves any number of evaluations.
type Evaluator struct {
	e     *engine.Engine
	model Model
	execs map[string]*Exec
}

// EvalOptions say how test tasks are learned and attacked.
type EvalOptions struct {
	Inner   InnerLoop // steps and rate of fine-tuning; zero: those of InnerLoop
	GammaIn float64   // > 0: fine-tuning is adversarial, with FGSM at Epsilon; zero: it looks at clean images only
	At      []int     // steps of fine-tuning after which accuracy is measured; zero: Inner.Steps alone
	Tasks   int       // zero: 100

	Norm        robust.Norm
	Epsilon     float64 // radius; 0: nothing is attacked, and robust accuracy is accuracy
	StepSize    float64 // of PGD; zero: 2/255
	AttackSteps int     // of PGD; zero: 10
	Restarts    int     // zero: 1. An image counts as robust if it stands all of them
	Fast        bool    // one FGSM step instead of PGD

	Seed     int64           // of the random starts
	Progress report.Progress // nil shows nothing; it counts batches
	Label    string
}

func (o EvalOptions) withDefaults() EvalOptions {
	o.Inner = o.Inner.withDefaults()
	if o.At == nil {
		o.At = []int{o.Inner.Steps}
	}
	o.Tasks, o.StepSize = cmp.Or(o.Tasks, 100), cmp.Or(o.StepSize, 2./255)
	o.AttackSteps, o.Restarts = cmp.Or(o.AttackSteps, 10), cmp.Or(o.Restarts, 1)
	if o.Progress == nil {
		o.Progress = report.Silent{}
	}
	return o
}

func (o EvalOptions) validate(bounds robust.Box) error {
	if o.Tasks < 1 || o.AttackSteps < 1 || o.Restarts < 1 {
		return errors.Errorf("meta: %d tasks, %d attack steps, %d restarts: want at least 1 of each", o.Tasks, o.AttackSteps, o.Restarts)
	}
	if o.Inner.Steps < 1 || !(o.Inner.LR > 0) || math.IsInf(o.Inner.LR, 1) || !(o.GammaIn >= 0) || math.IsInf(o.GammaIn, 1) {
		return errors.Errorf("meta: fine-tuning with %d steps, rate %g, gamma_in %g: want at least 1, > 0, at least 0, all finite",
			o.Inner.Steps, o.Inner.LR, o.GammaIn)
	}
	for i, at := range o.At {
		if at < 0 || at > o.Inner.Steps || i > 0 && at <= o.At[i-1] {
			return errors.Errorf("meta: accuracy after steps %v: want growing numbers from 0 to %d", o.At, o.Inner.Steps)
		}
	}
	if !(o.StepSize > 0) {
		return errors.Errorf("meta: step size %g of the attack: must be > 0", o.StepSize)
	}
	if reach := o.StepSize * float64(o.AttackSteps); !o.Fast && reach < o.Epsilon {
		return errors.Errorf("meta: %d attack steps of %.4f cannot reach epsilon %.4f: take more or longer ones",
			o.AttackSteps, o.StepSize, o.Epsilon)
	}
	return errors.WithMessage(Ball{o.Norm, bounds}.CheckRadius(o.Epsilon), "meta")
}

// Accuracy is what was measured after so many steps of fine-tuning, over the query images of all tasks.
type Accuracy struct {
	Step   int     `json:"step"`
	SA     float64 `json:"sa"`      // standard accuracy; of a regression, the mean squared error
	RA     float64 `json:"ra"`      // accuracy under attack against the fine-tuned parameters
	SAHalf float64 `json:"sa_half"` // half the width of the 95 % interval over tasks
	RAHalf float64 `json:"ra_half"`
	// LeastShift is the smallest norm of an image's perturbation, divided by epsilon: near 1 unless the attack did not work.
	LeastShift float64 `json:"least_shift"`
	// Flat counts images on which the attack's gradient vanished at every pixel, over all steps.
	Flat int `json:"flat"`
}

// NewEvaluator makes an evaluator for models of this architecture.
func NewEvaluator(e *engine.Engine, m Model) (*Evaluator, error) {
	if e == nil || m == nil {
		return nil, errors.New("meta: NewEvaluator needs an engine and a model")
	}
	return &Evaluator{e: e, model: m, execs: map[string]*Exec{}}, nil
}

// Close frees what was compiled.
func (v *Evaluator) Close() {
	for _, x := range v.execs {
		x.Finalize()
	}
}

// call runs a graph function that is compiled at its first use.
func (v *Evaluator) call(name string, build func(args []*Node) []*Node, args ...any) ([]*tensors.Tensor, error) {
	x := v.execs[name]
	if x == nil {
		var err error
		if x, err = NewExec(v.e.Backend(), build); err != nil {
			return nil, err
		}
		x.WithName(name).SetMaxCache(16)
		v.execs[name] = x
	}
	return x.Call(args...)
}

// Evaluate fine-tunes on the support images of test tasks and measures accuracy on their query images, without and under
// attack, after each of o.At steps.
func (v *Evaluator) Evaluate(ctx context.Context, parameters []*tensors.Tensor, source fewshot.Source, o EvalOptions) ([]Accuracy, error) {
	o = o.withDefaults()
	if err := o.validate(v.model.Bounds()); err != nil {
		return nil, err
	}
	if n := len(v.model.Init(0)); len(parameters) != n {
		return nil, errors.Errorf("meta: %d parameters for %s: want %d", len(parameters), v.model.Name(), n)
	}
	t := &tally{at: o.At, clean: make([][]float64, len(o.At)), robust: make([][]float64, len(o.At)),
		least: slices.Repeat([]float64{math.Inf(1)}, len(o.At)), flat: make([]int, len(o.At))}
	for batch := 0; len(t.clean[len(o.At)-1]) < o.Tasks; batch++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := source.Batch(batch)
		if err != nil {
			return nil, err
		}
		if batch == 0 {
			tasks := b.Support.Shape().Dimensions[0]
			o.Progress.Begin(cmp.Or(o.Label, "evaluate"), 0, (o.Tasks+tasks-1)/tasks)
			defer o.Progress.End()
		}
		rng := rand.New(rand.NewPCG(uint64(o.Seed), uint64(batch)))
		if err := v.batch(parameters, b, o, rng, t); err != nil {
			return nil, errors.WithMessage(err, "meta: evaluation")
		}
		b.Finalize()
		o.Progress.Advance(1)
	}
	return t.accuracies(o.Tasks), nil
}

// batch fine-tunes on one batch of tasks and measures along the way.
func (v *Evaluator) batch(parameters []*tensors.Tensor, b *fewshot.Batch, o EvalOptions, rng *rand.Rand, t *tally) error {
	tasks := b.Support.Shape().Dimensions[0]
	at, err := v.call(fmt.Sprintf("for %d tasks", tasks), func(p []*Node) []*Node { return ForTasks(p, tasks) }, anys(parameters)...)
	if err != nil {
		return err
	}
	defer func() { finalize(at) }()
	for step := 0; ; step++ {
		if k := slices.Index(o.At, step); k >= 0 {
			if err := v.measure(at, b, o, rng, t, k); err != nil {
				return err
			}
		}
		if step >= o.At[len(o.At)-1] {
			return nil
		}
		next, err := v.fineTune(at, b, o, rng)
		if err != nil {
			return err
		}
		finalize(at)
		at = next
	}
}

// fineTune is one step on the support images.
func (v *Evaluator) fineTune(at []*tensors.Tensor, b *fewshot.Batch, o EvalOptions, rng *rand.Rand) ([]*tensors.Tensor, error) {
	method := Method{GammaIn: o.GammaIn, Norm: o.Norm, Epsilon: o.Epsilon}.WithDefaults()
	name := fmt.Sprintf("fine-tuning, head=%t, gamma=%g, %s %g", o.Inner.HeadOnly, o.GammaIn, o.Norm, method.Epsilon)
	if o.GammaIn == 0 {
		name = fmt.Sprintf("fine-tuning, head=%t", o.Inner.HeadOnly)
	}
	state, err := RNGStateFromSeed(rng.Int64())
	if err != nil {
		return nil, err
	}
	args := append(anys(at), b.Support, b.SupportLabels, float32(o.Inner.LR), state)
	return v.call(name, func(a []*Node) []*Node {
		p, rest := a[:len(a)-4], a[len(a)-4:]
		objective := &objective{model: v.model, method: method, chance: &chance{rest[3]}}
		return adaptStep(p, v.model.Head(), InnerLoop{HeadOnly: o.Inner.HeadOnly}, rest[2], objective.support(rest[0], rest[1]))
	}, args...)
}

// measure judges the query images, clean and attacked.
func (v *Evaluator) measure(at []*tensors.Tensor, b *fewshot.Batch, o EvalOptions, rng *rand.Rand, t *tally, k int) error {
	n := len(at)
	if b.QueryLabels.DType().IsFloat() {
		out, err := v.call("squared error", func(a []*Node) []*Node {
			_, outputs := v.model.Forward(a[:n], a[n])
			return []*Node{SquaredError(outputs, a[n+1])}
		}, append(anys(at), b.Query, b.QueryLabels)...)
		if err != nil {
			return err
		}
		errs := wide(tensors.MustCopyFlatData[float32](out[0]))
		t.clean[k], t.robust[k] = append(t.clean[k], errs...), append(t.robust[k], errs...)
		return nil
	}
	right, err := v.judge(at, b.Query, b.Query, b.QueryLabels, o.Norm)
	if err != nil {
		return err
	}
	tasks := b.Query.Shape().Dimensions[0]
	t.clean[k] = append(t.clean[k], shares(right.correct, tasks)...)
	if o.Epsilon == 0 {
		t.robust[k] = append(t.robust[k], shares(right.correct, tasks)...)
		return nil
	}
	stands := slices.Clone(right.correct)
	for range o.Restarts {
		attacked, flat, err := v.attack(at, b, o, rng)
		if err != nil {
			return err
		}
		judged, err := v.judge(at, attacked, b.Query, b.QueryLabels, o.Norm)
		if err != nil {
			return err
		}
		attacked.FinalizeAll()
		for i := range stands {
			stands[i] = stands[i] && judged.correct[i]
			t.least[k] = min(t.least[k], float64(judged.shift[i])/o.Epsilon)
		}
		t.flat[k] += flat
	}
	t.robust[k] = append(t.robust[k], shares(stands, tasks)...)
	return nil
}

// judged tells of each image whether it is classified right, and how far it was moved.
type judged struct {
	correct []bool
	shift   []float32
}

func (v *Evaluator) judge(at []*tensors.Tensor, x, clean, y *tensors.Tensor, norm robust.Norm) (judged, error) {
	n := len(at)
	out, err := v.call("judge, "+norm.String(), func(a []*Node) []*Node {
		_, logits := v.model.Forward(a[:n], a[n])
		shift := Reshape(robust.Length(norm, rows(Sub(a[n], a[n+1]))), -1)
		return []*Node{Equal(ArgMax(logits, -1, dtypes.Int32), a[n+2]), shift}
	}, append(anys(at), x, clean, y)...)
	if err != nil {
		return judged{}, err
	}
	defer finalize(out)
	return judged{tensors.MustCopyFlatData[bool](out[0]), tensors.MustCopyFlatData[float32](out[1])}, nil
}

// attack perturbs the query images, against parameters that are held constant.
func (v *Evaluator) attack(at []*tensors.Tensor, b *fewshot.Batch, o EvalOptions, rng *rand.Rand) (
	attacked *tensors.Tensor, flat int, err error) {
	n := len(at)
	state, err := RNGStateFromSeed(rng.Int64())
	if err != nil {
		return nil, 0, err
	}
	ball, what := Ball{o.Norm, v.model.Bounds()}, ", "+o.Norm.String()
	start, err := v.call("random start"+what, func(a []*Node) []*Node {
		return []*Node{(&chance{a[0]}).start(ball, a[1], a[2])}
	}, state, b.Query, float32(o.Epsilon))
	if err != nil {
		return nil, 0, err
	}
	delta := start[0]
	climb := func(a []*Node) Objective {
		return func(u *Node) *Node {
			_, logits := v.model.Forward(a[:n], u)
			return ReduceAllSum(CrossEntropy(logits, a[n+2]))
		}
	}
	if o.Fast {
		out, err := v.call("fgsm"+what, func(a []*Node) []*Node { return []*Node{ball.FGSM(a[n], a[n+1], a[n+3], climb(a))} },
			append(anys(at), b.Query, delta, b.QueryLabels, float32(o.Epsilon))...)
		if err != nil {
			return nil, 0, err
		}
		delta.FinalizeAll()
		return out[0], 0, nil
	}
	for range o.AttackSteps {
		out, err := v.call("pgd step"+what, func(a []*Node) []*Node {
			next, gradient := ball.pgdStep(a[n], a[n+1], a[n+3], a[n+4], climb(a))
			largest := ReduceMax(Abs(gradient), -1)
			return []*Node{next, ReduceAllSum(ConvertDType(Equal(largest, ZerosLike(largest)), dtypes.Int32))}
		}, append(anys(at), b.Query, delta, b.QueryLabels, float32(o.Epsilon), float32(o.StepSize))...)
		if err != nil {
			return nil, 0, err
		}
		delta.FinalizeAll()
		delta = out[0]
		flat += int(tensors.ToScalar[int32](out[1]))
	}
	out, err := v.call("perturb", func(a []*Node) []*Node { return []*Node{ball.perturbed(a[0], a[1])} }, b.Query, delta)
	if err != nil {
		return nil, 0, err
	}
	delta.FinalizeAll()
	return out[0], flat, nil
}

// tally gathers the share of each task, by step.
type tally struct {
	at            []int
	clean, robust [][]float64
	least         []float64
	flat          []int
}

func (t *tally) accuracies(tasks int) (all []Accuracy) {
	half := func(values []float64) float64 {
		if len(values) < 2 {
			return 0
		}
		e := report.Interval(values)
		return e.High - e.Mean
	}
	for k, step := range t.at {
		clean, robust := t.clean[k][:tasks], t.robust[k][:tasks]
		a := Accuracy{Step: step, SA: stat.Mean(clean, nil), RA: stat.Mean(robust, nil),
			SAHalf: half(clean), RAHalf: half(robust), Flat: t.flat[k]}
		if !math.IsInf(t.least[k], 1) {
			a.LeastShift = t.least[k]
		}
		all = append(all, a)
	}
	return all
}

// shares is the share of true values of each task.
func shares(values []bool, tasks int) []float64 {
	out, each := make([]float64, tasks), len(values)/tasks
	for i, v := range values {
		if v {
			out[i/each] += 1 / float64(each)
		}
	}
	return out
}

func wide(values []float32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

func anys(all []*tensors.Tensor) []any {
	out := make([]any, len(all))
	for i, t := range all {
		out[i] = t
	}
	return out
}

func finalize(all []*tensors.Tensor) {
	for _, t := range all {
		t.FinalizeAll()
	}
}
