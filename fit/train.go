package fit

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// History is what was seen during training, one entry an epoch, over all phases.
type History struct {
	Loss []float64 `json:"loss"` // mean training loss
	// TrainAccuracy is the share of training examples that were classified correctly, unperturbed, when their batch
	// came up: the network changes meanwhile.
	TrainAccuracy []float64 `json:"train_accuracy"`
	Accuracy      []float64 `json:"accuracy,omitempty"` // on the validation set after the epoch, if there is one
}

// Train trains the model in place, without keeping anything on disk.
func Train(ctx context.Context, e *engine.Engine, m *nets.Model, train Data, c Config) (*History, error) {
	return TrainOrLoad(ctx, e, m, train, c, Options{})
}

// TrainOrLoad trains the model in place, or loads the weights if the same run (see [Key]) was finished in o.Dir before.
//
// A run that was stopped or killed goes on from its last checkpoint to the same weights, as [Loop.Run] says. A loss or
// weight that is NaN or infinite ends the training with an error that names epoch and step. After an error the model's
// weights are those that it came with, so that the same call goes on where the last one stopped.
func TrainOrLoad(ctx context.Context, e *engine.Engine, m *nets.Model, train Data, c Config, o Options) (*History, error) {
	c = c.withDefaults()
	if err := c.validate(m, train); err != nil {
		return nil, err
	}
	r := &run{e: e, c: c, train: train, given: m, phase: -1, steps: len(train.Labels) / c.BatchSize}
	l := &Loop{Kind: "fit", Name: m.Name, Notes: &r.history, Step: r.step, Check: r.check, Finish: r.strip}
	r.loop = l
	if o.Dir != "" {
		key, err := Key(m, e.Name(), train, c)
		if err != nil {
			return nil, err
		}
		l.Key = key
	}
	for i, p := range c.Phases {
		s := Stretch{Steps: p.Epochs * r.steps}
		if n := len(c.Phases); n > 1 {
			s.Name = fmt.Sprintf("phase %d/%d", i+1, n)
		}
		l.Stretches = append(l.Stretches, s)
	}
	var err error
	if r.m, err = m.Clone(); err != nil {
		return nil, err
	}
	defer r.close()
	l.State = InStore(r.m.Store)
	o.Label = cmp.Or(o.Label, "train "+m.Name)
	if err := l.Run(ctx, o); err != nil {
		return nil, err
	}
	return &r.history, errors.WithMessagef(deliver(r.m.Store, m.Store), "fit: %s", m.Name)
}

// run is a training on its way. It works on a copy of the model, so that the model changes only when all is well.
type run struct {
	e       *engine.Engine
	c       Config
	train   Data
	given   *nets.Model
	m       *nets.Model // the copy, with the variables of the current phase
	loop    *Loop
	history History
	steps   int // in an epoch

	phase          int // that exec is compiled for; -1: none yet
	exec           *model.Exec
	order          []int32 // of the examples, in the current epoch
	images, labels *tensors.Tensor
	validation     *evaluator
}

func (r *run) close() {
	if r.exec != nil {
		r.exec.Finalize()
	}
	if r.images != nil {
		r.images.FinalizeAll()
	}
	if r.validation != nil {
		r.validation.close()
	}
	r.m.Store.Finalize()
}

// Where the training keeps what it adds to the store.
const (
	fitPath     = "/fit"
	correctPath = "/fit/correct" // int64: examples of the epoch that were right when their batch came up
)

// resetSums begins an epoch.
func (r *run) resetSums() error {
	if err := tally(fitPath).reset(r.m.Store); err != nil {
		return err
	}
	return putScalar(r.m.Store, correctPath, int64(0))
}

// place tells the phase of a step, and the step within it.
func (r *run) place(i int) (phase, step int) {
	for phase := range r.c.Phases {
		if n := r.c.Phases[phase].Epochs * r.steps; i >= n {
			i -= n
			continue
		}
		return phase, i
	}
	return len(r.c.Phases), i
}

// step makes a step, and ends an epoch with its last.
func (r *run) step(_ context.Context, i int) error {
	phase, at := r.place(i)
	if phase != r.phase {
		if err := r.begin(phase, at > 0); err != nil {
			return err
		}
	}
	in := at % r.steps
	if in == 0 || r.order == nil {
		r.order = Permutation(len(r.train.Labels), r.c.Seed, len(r.history.Loss))
	}
	from := in * r.c.BatchSize
	if _, err := r.exec.Call(r.images, r.labels, r.order[from:from+r.c.BatchSize]); err != nil {
		return errors.WithMessagef(err, "loss %s", r.c.Phases[phase].Loss.Name)
	}
	if in < r.steps-1 {
		return nil
	}
	if err := r.endEpoch(); err != nil {
		return err
	}
	if r.history.Loss[len(r.history.Loss)-1] < r.c.StopLoss {
		r.loop.SkipTo(i - at + r.c.Phases[phase].Epochs*r.steps)
	}
	return nil
}

// begin compiles a phase, and makes the copy's store ready for it: with a fresh rule and stream of random numbers, unless
// it was resumed from amid the phase.
func (r *run) begin(phase int, resumed bool) (err error) {
	store, p := r.m.Store, r.c.Phases[phase]
	if r.exec != nil {
		r.exec.Finalize()
	}
	if r.images == nil {
		if r.images, err = r.train.Images.OnDeviceClone(r.e.Backend(), 0); err != nil {
			return err
		}
		r.labels = tensors.FromFlatDataAndDimensions(r.train.Labels, len(r.train.Labels))
	}
	if !resumed {
		if err := r.strip(); err != nil {
			return err
		}
		if err := store.SetRNGStateFromSeed(r.c.Seed*1_000_003 + int64(phase)); err != nil {
			return err
		}
		if err := r.resetSums(); err != nil {
			return err
		}
		for v := range store.IterVariables() {
			v.SetTrainable(false)
		}
		for _, w := range r.m.Weights() {
			w.SetTrainable(true)
		}
		if err := r.c.rule().Begin(store.Scope(fitPath), r.m.Weights()); err != nil {
			return err
		}
	}
	r.phase = phase
	r.exec, err = model.NewExec(r.e.Backend(), store, func(_ *model.Scope, images, labels, rows *Node) {
		stepGraph(r.m, p.Loss, r.c.rule(), p.Epochs*r.steps, pick(images, rows), pick(labels, rows))
	})
	if err != nil {
		return err
	}
	r.exec.WithName("training step")
	if r.c.Validation != nil && r.validation == nil {
		r.validation, err = newEvaluator(r.e, r.m, *r.c.Validation)
	}
	return err
}

// strip takes away what training added to the copy's store: rule, sums, random state.
func (r *run) strip() error {
	var added []string
	for v := range r.m.Store.IterVariables() {
		if isRandomState(v) || r.given.Store.GetVariable(v.Path()) == nil {
			added = append(added, v.Path())
		}
	}
	for _, path := range added {
		if err := r.m.Store.DeleteVariable(path); err != nil {
			return err
		}
	}
	return nil
}

// endEpoch moves the epoch's sums to the history.
func (r *run) endEpoch() error {
	if err := r.check(); err != nil {
		return err
	}
	loss, _, err := tally(fitPath).mean(r.m.Store)
	if err != nil {
		return err
	}
	correct, err := scalar[int64](r.m.Store, correctPath)
	if err != nil {
		return err
	}
	h := &r.history
	h.Loss = append(h.Loss, loss)
	h.TrainAccuracy = append(h.TrainAccuracy, float64(correct)/float64(r.steps*r.c.BatchSize))
	if r.validation != nil {
		accuracy, err := r.validation.accuracy()
		if err != nil {
			return err
		}
		h.Accuracy = append(h.Accuracy, accuracy)
	}
	return r.resetSums()
}

// check reports a loss that was not finite.
func (r *run) check() error {
	if r.phase < 0 {
		return nil // found on disk, and not gone on with
	}
	_, bad, err := tally(fitPath).mean(r.m.Store)
	if err != nil || bad == 0 {
		return err
	}
	_, last := r.place(r.loop.next - 1)
	return errors.Errorf("the loss is not finite at step %d in epoch %d of phase %d: lower the learning rate, or look at the loss",
		bad, last/r.steps+1, r.phase+1)
}

// Permutation is the order of n examples in an epoch, which counts from 0 over all phases: a function of its arguments
// alone, the same on every platform.
func Permutation(n int, seed int64, epoch int) []int32 {
	rng := rand.New(rand.NewPCG(uint64(seed), uint64(epoch)))
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	rng.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}
