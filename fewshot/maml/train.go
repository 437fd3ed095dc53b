package maml

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
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
	step   *Exec
	own    int // parameters of the model itself
}

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
	var err error
	if t.step, err = NewExec(e.Backend(), t.build); err != nil {
		return nil, errors.WithMessage(err, "maml")
	}
	t.step.WithName("meta-update").SetMaxCache(8)
	return t, nil
}

// Close frees what was compiled.
func (t *Trainer) Close() { t.step.Finalize() }

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

// build is the meta-update's graph. Arguments are parameters, first and second moments, then Adam's two corrections, a
// random state, and the batch; results are parameters, moments and measures.
func (t *Trainer) build(args []*Node) []*Node {
	n := t.own
	if t.method.GammaCL > 0 {
		n += 4
	}
	parameters, first, second, rest := args[:n], args[n:2*n], args[2*n:3*n], args[3*n:]
	unbias1, unbias2, state, rest := rest[0], rest[1], rest[2], rest[3:]
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
	out := make([]*Node, 3*n)
	for i, g := range Gradient(m.objective, parameters...) {
		out[i], out[n+i], out[2*n+i] = adam(parameters[i], g, first[i], second[i], unbias1, unbias2, t.method.LR)
	}
	return append(out, m.objective, m.loss, m.accuracy)
}

// Key identifies a training: the same key gives the same parameters.
func (t *Trainer) Key(source fewshot.Source, o TrainOptions) string {
	unnamed := t.method
	unnamed.Name = ""
	return fit.Hash("maml 1", t.model.Name(), unnamed, source.Key(), cmp.Or(o.Updates, 200), o.Seed, t.e.Name())
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
	state, err := RNGStateFromSeed(int64(rand.NewPCG(uint64(r.o.Seed), uint64(i)).Uint64() >> 1))
	if err != nil {
		return err
	}
	defer state.FinalizeAll()
	args := make([]any, 0, len(r.state)+10)
	for _, t := range r.state {
		args = append(args, t)
	}
	unbias := func(beta float64) float32 { return float32(1 / (1 - math.Pow(beta, float64(i+1)))) }
	args = append(args, unbias(beta1), unbias(beta2), state, b.Support, b.SupportLabels, b.Query, b.QueryLabels)
	if r.t.method.GammaCL > 0 && b.Views != nil {
		args = append(args, b.Views)
	}
	if r.t.usesUnlabeled() && b.Unlabeled != nil {
		args = append(args, b.Unlabeled)
	}
	out, err := r.t.step.Call(args...)
	if err != nil {
		return err
	}
	for _, t := range r.state {
		t.FinalizeAll()
	}
	n := len(r.state)
	r.state = out[:n]
	values := [3]float64{}
	for k, t := range out[n:] {
		values[k] = float64(tensors.ToScalar[float32](t))
		t.FinalizeAll()
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

// usesUnlabeled reports whether the meta-update looks at unlabeled images.
func (t *Trainer) usesUnlabeled() bool {
	return t.method.GammaOut > 0 && t.method.Regularizer == TRADES
}
