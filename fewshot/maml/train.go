package maml

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/report"
)

// Trainer meta-trains a model with one method. It compiles the meta-update once and serves any number of trainings, one
// after the other.
type Trainer struct {
	e      *engine.Engine
	model  Model
	method Method
	own    int // parameters of the model itself

	gradient *Exec // of a few tasks, added to what others gave
	update   *Exec // by their mean
	apart    bool  // one task a gradient, instead of all
}

// taskwise is implemented by models that CPUs run faster one task after the other than all tasks at once.
type taskwise interface{ taskwise() bool }

// TrainOptions say how long to train, and what is kept.
type TrainOptions struct {
	Updates int   // zero: 200
	Seed    int64 // of the initial parameters and of the attacks; the episodes have a seed of their own

	Dir      string          // checkpoints and results are kept here and found again; "": nowhere
	Progress report.Progress // nil shows nothing; it counts updates
	Label    string          // of the progress; "": the method's name
	// CheckpointEvery is the time between checkpoints; zero: 2 s, negative: after every update.
	CheckpointEvery time.Duration
}

// History is what was seen in training, one entry an update: the clean loss and accuracy on the query sets after
// adaptation.
type History struct {
	Loss     []float64 `json:"loss"`
	Accuracy []float64 `json:"accuracy"` // 0 in regression
}

// MetaModel is a model with meta-learned parameters.
type MetaModel struct {
	Model      Model
	Method     Method
	Parameters []*tensors.Tensor // without an axis of tasks
	History    History
}

// NewTrainer checks the method. Close frees the trainer.
func NewTrainer(e *engine.Engine, m Model, method Method) (*Trainer, error) {
	if e == nil || m == nil {
		return nil, errors.New("maml: NewTrainer needs an engine and a model")
	}
	if err := method.Validate(); err != nil {
		return nil, err
	}
	t := &Trainer{e: e, model: m, method: method.WithDefaults(), own: len(m.Init(0))}
	if m, ok := m.(taskwise); ok && m.taskwise() {
		t.apart = strings.HasPrefix(e.Name(), "xla:cpu")
	}
	var err error
	if t.gradient, err = NewExec(e.Backend(), t.buildGradient); err != nil {
		return nil, errors.WithMessage(err, "maml")
	}
	if t.update, err = NewExec(e.Backend(), t.buildUpdate); err != nil {
		t.gradient.Finalize()
		return nil, errors.WithMessage(err, "maml")
	}
	t.gradient.WithName("meta-gradient").SetMaxCache(8)
	t.update.WithName("meta-update")
	return t, nil
}

// Close frees what was compiled.
func (t *Trainer) Close() {
	t.gradient.Finalize()
	t.update.Finalize()
}

// initial draws the parameters: those of the model, and where the method has a contrastive task, of its projection head.
func (t *Trainer) initial(seed int64) []*tensors.Tensor {
	all := t.model.Init(seed)
	if t.method.GammaCL > 0 {
		n := all[t.model.Head()].Shape().Dimensions[0] // features
		rng := rand.New(rand.NewPCG(uint64(seed), initStream+1))
		all = append(all, normal(rng, he(n), n, n), constant(0, n), normal(rng, he(n), n, n), constant(0, n))
	}
	return all
}

// count is the number of parameters, those of a projection head included.
func (t *Trainer) count() int {
	if t.method.GammaCL > 0 {
		return t.own + 4
	}
	return t.own
}

// buildGradient is the gradient of some of a batch's tasks. Arguments are parameters, the sums so far (gradients, then
// measures), a random state, the first of the tasks, and the batch; results are the sums with these tasks in them.
func (t *Trainer) buildGradient(args []*Node) []*Node {
	n := t.count()
	parameters, sums, rest := args[:n], args[n:2*n+3], args[2*n+3:]
	state, first, rest := rest[0], rest[1], rest[2:]
	for i, x := range rest {
		if t.apart {
			d := slices.Clone(x.Shape().Dimensions)
			d[0] = 1
			at := slices.Repeat([]*Node{ZerosLike(first)}, len(d))
			at[0] = first
			rest[i] = DynamicSlice(x, at, d)
		}
	}
	b := episode{xs: rest[0], ys: rest[1], xq: rest[2], yq: rest[3]}
	rest = rest[4:]
	if t.method.GammaCL > 0 && len(rest) > 0 {
		b.views, rest = rest[0], rest[1:]
	}
	if len(rest) > 0 {
		b.unlabeled = rest[0]
	}
	o := &objective{model: t.model, method: t.method, chance: &chance{state}}
	m := o.build(parameters, t.own, b)
	found := append(Gradient(m.objective, parameters...), m.objective, m.loss, m.accuracy)
	for i, sum := range sums {
		found[i] = Add(sum, found[i])
	}
	return found
}

// buildUpdate is an update by Adam. Arguments are parameters, first and second moments, gradients, what the gradients are to be
// multiplied by, and Adam's two corrections; results are parameters and moments.
func (t *Trainer) buildUpdate(args []*Node) []*Node {
	n := t.count()
	parameters, first, second, gradients, rest := args[:n], args[n:2*n], args[2*n:3*n], args[3*n:4*n], args[4*n:]
	out := make([]*Node, 3*n)
	for i, g := range gradients {
		out[i], out[n+i], out[2*n+i] = adam(parameters[i], Mul(g, rest[0]), first[i], second[i], rest[1], rest[2], t.method.LR)
	}
	return out
}

// Key identifies a training: the same key gives the same parameters.
func (t *Trainer) Key(source fewshot.Source, o TrainOptions) string {
	unnamed := t.method
	unnamed.Name = ""
	return fit.Hash("maml 2", t.model.Name(), unnamed, source.Key(), cmp.Or(o.Updates, 200), o.Seed, t.e.Name())
}

// Train meta-trains from scratch, goes on from a checkpoint of the same training, or loads its result, to the same
// parameters. When ctx is done, it saves a checkpoint and returns an error that wraps ctx's. A loss that is not finite
// ends the training with an error that names the update.
func (t *Trainer) Train(ctx context.Context, source fewshot.Source, o TrainOptions) (*MetaModel, error) {
	if o.Updates == 0 {
		o.Updates = 200
	}
	if o.Updates < 1 {
		return nil, errors.Errorf("maml: %d updates: must be at least 1", o.Updates)
	}
	if source == nil {
		return nil, errors.New("maml: no episodes to train on")
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = 2 * time.Second
	}
	if o.Progress == nil {
		o.Progress = report.Silent{}
	}
	r := &run{t: t, o: o, source: source, at: checkpoint{Key: t.Key(source, o)}}
	r.state = t.initial(o.Seed)
	for _, p := range slices.Repeat(r.state, 2) { // both moments
		r.state = append(r.state, constant(0, p.Shape().Dimensions...))
	}
	if o.Dir != "" {
		r.path = filepath.Join(o.Dir, "maml-"+r.at.Key+".bin")
		if err := r.resume(); err != nil {
			return nil, err
		}
	}
	if !r.at.Done {
		if err := r.all(ctx); err != nil {
			return nil, errors.WithMessagef(err, "maml: %s", cmp.Or(t.method.Name, "training"))
		}
	}
	return &MetaModel{Model: t.model, Method: t.method, Parameters: r.state[:t.own], History: r.at.History}, nil
}

// run is a training on its way.
type run struct {
	t      *Trainer
	o      TrainOptions
	source fewshot.Source
	at     checkpoint
	path   string            // of the checkpoint, or ""
	state  []*tensors.Tensor // parameters, first moments, second moments
	saved  time.Time
	cost   time.Duration // of the last checkpoint
}

func (r *run) all(ctx context.Context) error {
	o := r.o
	o.Progress.Begin(cmp.Or(o.Label, r.t.method.Name, "meta-training"), r.at.Updates, o.Updates)
	defer o.Progress.End()
	r.saved = time.Now()
	for r.at.Updates < o.Updates {
		if err := ctx.Err(); err != nil {
			if saveErr := r.save(); saveErr != nil {
				return saveErr
			}
			return err
		}
		if err := r.update(); err != nil {
			return err
		}
		o.Progress.Advance(1)
		if o.CheckpointEvery < 0 || time.Since(r.saved) >= max(o.CheckpointEvery, 10*r.cost) {
			if err := r.save(); err != nil {
				return err
			}
		}
	}
	r.at.Done = true
	return r.save()
}

// update makes one meta-update.
func (r *run) update() error {
	i := r.at.Updates
	b, err := r.source.Batch(i)
	if err != nil {
		return err
	}
	defer b.Finalize()
	t, n := r.t, r.t.count()
	batch := []any{b.Support, b.SupportLabels, b.Query, b.QueryLabels}
	if t.method.GammaCL > 0 && b.Views != nil {
		batch = append(batch, b.Views)
	}
	if t.usesUnlabeled() && b.Unlabeled != nil {
		batch = append(batch, b.Unlabeled)
	}
	parts := 1
	if t.apart {
		parts = b.Support.Shape().Dimensions[0]
	}
	rng := rand.New(rand.NewPCG(uint64(r.o.Seed), uint64(i)))
	sums := r.zeros()
	for part := range parts {
		state, err := RNGStateFromSeed(rng.Int64())
		if err != nil {
			return err
		}
		args := append(append(anys(r.state[:n]), anys(sums)...), state, int32(part))
		next, err := t.gradient.Call(append(args, batch...)...)
		state.FinalizeAll()
		finalize(sums)
		if err != nil {
			return err
		}
		sums = next
	}
	defer finalize(sums)
	unbias := func(beta float64) float32 { return float32(1 / (1 - math.Pow(beta, float64(i+1)))) }
	out, err := t.update.Call(append(append(anys(r.state), anys(sums[:n])...), float32(1/float64(parts)), unbias(beta1), unbias(beta2))...)
	if err != nil {
		return err
	}
	finalize(r.state)
	r.state = out
	var values [3]float64
	for k, m := range sums[n:] {
		values[k] = float64(tensors.ToScalar[float32](m)) / float64(parts)
	}
	if math.IsNaN(values[0]) || math.IsInf(values[0], 0) {
		return errors.Errorf("the objective is not finite at update %d, with α = %g and %d inner steps: lower one of them or the learning rate",
			i+1, r.t.method.Inner.LR, r.t.method.Inner.Steps)
	}
	r.at.Updates++
	r.at.History.Loss = append(r.at.History.Loss, values[1])
	r.at.History.Accuracy = append(r.at.History.Accuracy, values[2])
	return nil
}

// zeros are the sums of gradients and measures before the first task.
func (r *run) zeros() []*tensors.Tensor {
	var all []*tensors.Tensor
	for _, p := range r.state[:r.t.count()] {
		all = append(all, constant(0, p.Shape().Dimensions...))
	}
	for range 3 {
		all = append(all, tensors.FromScalar[float32](0))
	}
	return all
}

// usesUnlabeled reports whether the meta-update looks at unlabeled images.
func (t *Trainer) usesUnlabeled() bool {
	return t.method.GammaOut > 0 && t.method.Regularizer == TRADES
}
