package meta

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
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

	store    *model.Store // of the training that goes on: parameters and what the rule knows
	paths    []string     // of the parameters
	gradient *Exec        // of a few tasks, added to what others gave
	update   *model.Exec  // by their mean
	apart    bool         // one task a gradient, instead of all
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
		return nil, errors.New("meta: NewTrainer needs an engine and a model")
	}
	if err := method.Validate(m.Bounds()); err != nil {
		return nil, err
	}
	t := &Trainer{e: e, model: m, method: method.WithDefaults(), own: len(m.Init(0)), store: model.NewStore()}
	for i := range t.initial(0) {
		t.paths = append(t.paths, fmt.Sprintf("/parameters/%d", i))
	}
	if m, ok := m.(taskwise); ok && m.taskwise() {
		t.apart = e.OnCPU()
	}
	var err error
	if t.gradient, err = NewExec(e.Backend(), t.buildGradient); err != nil {
		return nil, errors.WithMessage(err, "meta")
	}
	if t.update, err = model.NewExec(e.Backend(), t.store, t.buildUpdate); err != nil {
		t.gradient.Finalize()
		return nil, errors.WithMessage(err, "meta")
	}
	t.gradient.WithName("meta-gradient").SetMaxCache(8)
	t.update.WithName("meta-update")
	return t, nil
}

// Close frees what was compiled.
func (t *Trainer) Close() {
	t.gradient.Finalize()
	t.update.Finalize()
	t.store.Finalize()
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

// rule is that of the meta-update.
func (t *Trainer) rule() fit.Rule { return fit.Rule{Optimizer: fit.Adam64, LearningRate: t.method.LR} }

// weights are the parameters in the store.
func (t *Trainer) weights() []*model.Variable {
	all := make([]*model.Variable, len(t.paths))
	for i, path := range t.paths {
		all[i] = t.store.GetVariable(path)
	}
	return all
}

// begin puts the parameters of a seed into the store, and a fresh rule.
func (t *Trainer) begin(seed int64) error {
	for i, p := range t.initial(seed) {
		var err error
		if v := t.store.GetVariable(t.paths[i]); v != nil { // of the training before
			err = v.SetValue(p)
		} else {
			_, err = t.store.CreateVariable(t.paths[i], p)
		}
		if err != nil {
			return err
		}
	}
	return t.rule().Begin(t.store.RootScope(), t.weights())
}

// parameters are the values in the store.
func (t *Trainer) parameters() ([]*tensors.Tensor, error) {
	all := make([]*tensors.Tensor, len(t.paths))
	for i, w := range t.weights() {
		var err error
		if all[i], err = w.Value(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// buildGradient is the gradient of some of a batch's tasks. Arguments are parameters, the sums so far (gradients, then
// measures), a random state, the first of the tasks, and the batch; results are the sums with these tasks in them.
func (t *Trainer) buildGradient(args []*Node) []*Node {
	n := len(t.paths)
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

// buildUpdate is an update of the store's parameters. Arguments are the gradients, summed over parts of the batch, and what
// they are to be multiplied by.
func (t *Trainer) buildUpdate(scope *model.Scope, args []*Node) {
	n := len(t.paths)
	gradients := make([]*Node, n)
	for i, g := range args[:n] {
		gradients[i] = Mul(g, args[n])
	}
	t.rule().Apply(scope, 0, t.weights(), gradients)
}

// Key identifies a training: the same key gives the same parameters.
func (t *Trainer) Key(source fewshot.Source, o TrainOptions) string {
	unnamed := t.method
	unnamed.Name = ""
	of := []any{"maml 2", t.model.Name(), unnamed, source.Key(), cmp.Or(o.Updates, 200), o.Seed, t.e.Name()}
	if b := t.model.Bounds(); t.method.attacks() && b != Pixels {
		of = append(of, b)
	}
	return fit.Hash(of...)
}

// Train meta-trains from scratch, goes on from a checkpoint of the same training, or loads its result, to the same
// parameters. When ctx is done, it saves a checkpoint and returns an error that wraps ctx's. A loss that is not finite
// ends the training with an error that names the update.
func (t *Trainer) Train(ctx context.Context, source fewshot.Source, o TrainOptions) (*MetaModel, error) {
	if o.Updates == 0 {
		o.Updates = 200
	}
	if o.Updates < 1 {
		return nil, errors.Errorf("meta: %d updates: must be at least 1", o.Updates)
	}
	if source == nil {
		return nil, errors.New("meta: no episodes to train on")
	}
	r := &run{t: t, o: o, source: source}
	if err := t.begin(o.Seed); err != nil {
		return nil, errors.WithMessage(err, "meta")
	}
	l := &fit.Loop{Kind: "maml", Name: cmp.Or(t.method.Name, "training"), Key: t.Key(source, o),
		Stretches: []fit.Stretch{{Steps: o.Updates}}, State: fit.InStore(t.store), Notes: &r.history, Step: r.update}
	label := cmp.Or(o.Label, t.method.Name, "meta-training")
	err := l.Run(ctx, fit.Options{Dir: o.Dir, Progress: o.Progress, Label: label, CheckpointEvery: o.CheckpointEvery})
	if err != nil {
		return nil, err
	}
	m := &MetaModel{Model: t.model, Method: t.method, History: r.history}
	for _, w := range t.weights()[:t.own] {
		value, err := w.Value()
		if err == nil {
			value, err = value.LocalClone()
		}
		if err != nil {
			return nil, errors.WithMessage(err, "meta")
		}
		m.Parameters = append(m.Parameters, value)
	}
	return m, nil
}

// run is a training on its way.
type run struct {
	t       *Trainer
	o       TrainOptions
	source  fewshot.Source
	history History
}

// update makes the i-th meta-update.
func (r *run) update(_ context.Context, i int) error {
	b, err := r.source.Batch(i)
	if err != nil {
		return err
	}
	defer b.Finalize()
	t, n := r.t, len(r.t.paths)
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
	parameters, err := t.parameters()
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(r.o.Seed), uint64(i)))
	sums := zeros(parameters)
	defer func() { finalize(sums) }()
	for part := range parts {
		state, err := RNGStateFromSeed(rng.Int64())
		if err != nil {
			return err
		}
		args := append(append(anys(parameters), anys(sums)...), state, int32(part))
		next, err := t.gradient.Call(append(args, batch...)...)
		state.FinalizeAll()
		if err != nil {
			return err
		}
		finalize(sums)
		sums = next
	}
	if _, err := t.update.Call(append(anys(sums[:n]), float32(1/float64(parts)))...); err != nil {
		return err
	}
	var values [3]float64
	for k, m := range sums[n:] {
		values[k] = float64(tensors.ToScalar[float32](m)) / float64(parts)
	}
	if math.IsNaN(values[0]) || math.IsInf(values[0], 0) {
		return errors.Errorf("the objective is not finite at update %d, with α = %g and %d inner steps: lower one of them or the learning rate",
			i+1, t.method.Inner.LR, t.method.Inner.Steps)
	}
	r.history.Loss = append(r.history.Loss, values[1])
	r.history.Accuracy = append(r.history.Accuracy, values[2])
	return nil
}

// zeros are the sums of gradients and measures before the first task.
func zeros(parameters []*tensors.Tensor) []*tensors.Tensor {
	var all []*tensors.Tensor
	for _, p := range parameters {
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
