package fit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/gomlx/compute/dtypes"
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
// A run that was stopped or killed goes on from its last checkpoint to the same weights. When ctx is done, it saves a
// checkpoint and returns an error that wraps ctx's. A loss or weight that is NaN or infinite ends the training with an
// error that names epoch and step. After an error the model's weights are those that it came with, so that the same
// call goes on where the last one stopped. A checkpoint that is damaged or of another run is ignored and replaced.
// Runs with the same key may not write to one folder at the same time.
func TrainOrLoad(ctx context.Context, e *engine.Engine, m *nets.Model, train Data, c Config, o Options) (*History, error) {
	c, o = c.withDefaults(), o.withDefaults(m)
	if err := c.validate(m, train); err != nil {
		return nil, err
	}
	r := &run{e: e, c: c, o: o, train: train, at: &checkpoint{}}
	if o.Dir != "" {
		key, err := Key(m, e.Name(), train, c)
		if err != nil {
			return nil, err
		}
		r.path = filepath.Join(o.Dir, "fit-"+key+".bin")
		found, err := readCheckpoint(r.path, key)
		if err != nil {
			return nil, err
		}
		if found != nil && !found.fits(c, len(train.Labels)/c.BatchSize) {
			found = nil
		}
		if found != nil && found.Done {
			return &found.History, found.deliver(m.Store)
		}
		removeLeftovers(r.path)
		if r.at.Key = key; found != nil {
			r.at, r.resumed = found, true
		}
	}
	if err := r.all(ctx, m); err != nil {
		return nil, errors.WithMessagef(err, "fit: %s", m.Name)
	}
	return &r.at.History, r.at.deliver(m.Store)
}

// run is a training on its way. It works on a copy of the model, so that the model changes only when all is well.
type run struct {
	e       *engine.Engine
	c       Config
	o       Options
	train   Data
	path    string // of the checkpoint, or ""
	at      *checkpoint
	resumed bool          // at holds the variables of a phase that is under way
	saved   time.Time     // when the last checkpoint was
	cost    time.Duration // of writing it

	m              *nets.Model // the copy, with the variables of the current phase
	images, labels *tensors.Tensor
	validation     *evaluator
}

// all runs the phases that are left. At its end, r.at is the result.
func (r *run) all(ctx context.Context, m *nets.Model) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.m, err = m.Clone(); err != nil {
		return err
	}
	defer func() { r.m.Store.Finalize() }()
	if r.images, err = r.train.Images.OnDeviceClone(r.e.Backend(), 0); err != nil {
		return err
	}
	defer r.images.FinalizeAll()
	r.labels = tensors.FromFlatDataAndDimensions(r.train.Labels, len(r.train.Labels))
	defer r.labels.FinalizeAll()
	r.saved = time.Now()
	for ; r.at.Phase < len(r.c.Phases); r.at.Phase++ {
		if r.c.Phases[r.at.Phase].Epochs == 0 {
			continue
		}
		if err := r.phase(ctx, m); err != nil {
			return err
		}
		r.at.Epoch, r.resumed = 0, false
	}
	if err := r.strip(m); err != nil {
		return err
	}
	if err := r.at.collect(r.m.Store); err != nil {
		return err
	}
	r.at.Done = true
	if r.path == "" {
		return nil
	}
	return r.at.write(r.path)
}

// strip takes away what training added to the copy's store: optimizer, sums, random state.
func (r *run) strip(m *nets.Model) error {
	var added []string
	for v := range r.m.Store.IterVariables() {
		if isRandomState(v) || m.Store.GetVariable(v.Path()) == nil {
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

// begin makes the copy's store ready for the phase: as saved, or with a fresh optimizer and stream of random numbers.
func (r *run) begin(m *nets.Model) error {
	store := r.m.Store
	if r.resumed {
		if err := r.at.restore(store); err != nil {
			return err
		}
	} else {
		if err := r.strip(m); err != nil {
			return err
		}
		if err := store.SetRNGStateFromSeed(r.c.Seed*1_000_003 + int64(r.at.Phase)); err != nil {
			return err
		}
		if err := (sums{}).set(store); err != nil {
			return err
		}
		for v := range store.IterVariables() {
			v.SetTrainable(false)
		}
	}
	for _, path := range r.m.WeightPaths {
		v := store.GetVariable(path)
		if v == nil {
			return errors.Errorf("checkpoint without weight %s", path)
		}
		v.SetTrainable(true)
	}
	return nil
}

// phase runs what is left of the current phase.
func (r *run) phase(ctx context.Context, m *nets.Model) error {
	if err := r.begin(m); err != nil {
		return err
	}
	phase := r.c.Phases[r.at.Phase]
	steps := len(r.train.Labels) / r.c.BatchSize
	update := r.c.optimizer(phase.Epochs * steps)
	step, err := model.NewExec(r.e.Backend(), r.m.Store, func(scope *model.Scope, images, labels, rows *Node) {
		stepGraph(scope, r.m, phase.Loss, update, pick(images, rows), pick(labels, rows))
	})
	if err != nil {
		return err
	}
	step.WithName("training step")
	defer step.Finalize()
	if r.c.Validation != nil {
		if r.validation, err = newEvaluator(r.e, r.m, *r.c.Validation); err != nil {
			return err
		}
		defer r.validation.close()
	}
	label := r.o.Label
	if n := len(r.c.Phases); n > 1 {
		label = fmt.Sprintf("%s, phase %d/%d", label, r.at.Phase+1, n)
	}
	r.o.Progress.Begin(label, r.at.Epoch*steps+r.at.Step, phase.Epochs*steps)
	defer r.o.Progress.End()
	for r.at.Epoch < phase.Epochs {
		if err := r.epoch(ctx, step, steps); err != nil {
			return err
		}
		if loss := r.at.History.Loss; loss[len(loss)-1] < r.c.StopLoss {
			r.o.Progress.Advance((phase.Epochs - r.at.Epoch) * steps)
			return nil
		}
	}
	return nil
}

// epoch runs what is left of the current epoch.
func (r *run) epoch(ctx context.Context, step *model.Exec, steps int) error {
	order := Permutation(len(r.train.Labels), r.c.Seed, len(r.at.History.Loss))
	for r.at.Step < steps {
		if err := ctx.Err(); err != nil {
			if saveErr := r.save(); saveErr != nil {
				return saveErr
			}
			return err
		}
		from := r.at.Step * r.c.BatchSize
		if _, err := step.Call(r.images, r.labels, order[from:from+r.c.BatchSize]); err != nil {
			return errors.WithMessagef(err, "loss %s", r.c.Phases[r.at.Phase].Loss.Name)
		}
		r.at.Step++
		r.o.Progress.Advance(1)
		if every := r.o.CheckpointEvery; every < 0 || time.Since(r.saved) >= max(every, 10*r.cost) {
			if err := r.save(); err != nil {
				return err
			}
		}
	}
	s, err := r.check()
	if err != nil {
		return err
	}
	h := &r.at.History
	h.Loss = append(h.Loss, s.loss/float64(steps))
	h.TrainAccuracy = append(h.TrainAccuracy, float64(s.correct)/float64(steps*r.c.BatchSize))
	if r.validation != nil {
		accuracy, err := r.validation.accuracy()
		if err != nil {
			return err
		}
		h.Accuracy = append(h.Accuracy, accuracy)
	}
	r.at.Epoch, r.at.Step = r.at.Epoch+1, 0
	return sums{}.set(r.m.Store)
}

// check reads the epoch's sums and reports a loss or weight that is not finite.
func (r *run) check() (sums, error) {
	s, err := readSums(r.m.Store)
	if err != nil {
		return s, err
	}
	where := fmt.Sprintf("in epoch %d of phase %d", r.at.Epoch+1, r.at.Phase+1)
	const advice = "lower the learning rate, or look at the loss"
	if s.bad != 0 {
		return s, errors.Errorf("the loss is not finite at step %d %s: %s", s.bad, where, advice)
	}
	for _, w := range r.m.Weights() {
		value, err := w.Value()
		if err != nil {
			return s, err
		}
		if !finite(value) {
			return s, errors.Errorf("weight %s is not finite after step %d %s: %s", w.Path(), s.step, where, advice)
		}
	}
	return s, nil
}

// finite reports whether a weight holds no NaN or infinity; types other than float32 are taken on trust until the loss
// shows it.
func finite(t *tensors.Tensor) bool {
	if t.DType() != dtypes.Float32 {
		return true
	}
	ok := true
	err := tensors.ConstFlatData(t, func(values []float32) {
		for _, v := range values {
			ok = ok && v-v == 0
		}
	})
	return ok && err == nil
}

// save writes a checkpoint, of finite weights only.
func (r *run) save() error {
	if r.path == "" {
		return nil
	}
	begun := time.Now()
	if _, err := r.check(); err != nil {
		return err
	}
	if err := r.at.collect(r.m.Store); err != nil {
		return err
	}
	if err := r.at.write(r.path); err != nil {
		return err
	}
	r.saved = time.Now()
	r.cost = r.saved.Sub(begun)
	return nil
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
