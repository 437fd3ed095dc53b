package fit

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"time"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/optimizer"
	"github.com/pkg/errors"
	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
)

// History is what was seen during training.
type History struct {
	Loss     []float64 `json:"loss"`               // mean training loss of each epoch
	Accuracy []float64 `json:"accuracy,omitempty"` // on the validation set after each epoch, if there is one
}

// checkpointEvery bounds the work that a kill can cost.
const checkpointEvery = 2 * time.Second

// Train trains the model in place, without keeping anything.
func Train(ctx context.Context, e *engine.Engine, m *nets.Model, train Data, c Config) (*History, error) {
	return TrainOrLoad(ctx, e, m, train, c, Options{})
}

// TrainOrLoad trains the model in place, or loads the weights if the same run (see Key) was finished in o.Dir before.
// A run that was stopped or killed goes on from its last checkpoint to the same weights. When ctx is done, it saves a
// checkpoint and returns ctx's error. A loss that is NaN or infinite ends the training with an error.
func TrainOrLoad(ctx context.Context, e *engine.Engine, m *nets.Model, train Data, c Config, o Options) (*History, error) {
	c = c.withDefaults()
	if err := c.validate(m, train); err != nil {
		return nil, err
	}
	key, err := Key(m, e.Name(), train, c)
	if err != nil {
		return nil, err
	}
	r := &run{e: e, m: m, c: c, train: train, at: &checkpoint{Key: key}, base: map[string]bool{}}
	for v := range m.Store.IterVariables() {
		r.base[v.Path()] = true
	}
	if o.Dir != "" {
		r.path = filepath.Join(o.Dir, "fit-"+key+".bin")
		if found := readCheckpoint(r.path, key); found != nil {
			r.at = found
			if err := found.restore(m.Store); err != nil {
				return nil, err
			}
		}
	}
	if r.at.Done {
		return &r.at.History, nil
	}
	if o.Progress == nil {
		o.Progress = report.Silent{}
	}
	if o.Label == "" {
		o.Label = "train " + m.Name
	}
	if c.Validation != nil {
		if r.predictor, err = nets.NewPredictor(e.Backend(), m, 0); err != nil {
			return nil, err
		}
	}
	steps := r.stepsPerEpoch()
	o.Progress.Begin(o.Label, r.at.Epoch*steps+r.at.Step, c.totalEpochs()*steps)
	defer o.Progress.End()
	if err := r.all(ctx, o.Progress); err != nil {
		return nil, errors.WithMessagef(err, "fit: %s", m.Name)
	}
	return &r.at.History, nil
}

// run is a training on its way.
type run struct {
	e     *engine.Engine
	m     *nets.Model
	c     Config
	train Data
	path  string // of the checkpoint, or ""
	at    *checkpoint
	base  map[string]bool // paths of the variables that the model has without training
	saved time.Time

	predictor *nets.Predictor // for validation
}

func (r *run) stepsPerEpoch() int { return len(r.train.Labels) / r.c.BatchSize }

// all runs the phases that are left.
func (r *run) all(ctx context.Context, progress report.Progress) error {
	first := 0 // epoch with which the phase starts
	for i, phase := range r.c.Phases {
		if r.at.Epoch < first+phase.Epochs {
			if r.at.Epoch == first && r.at.Step == 0 {
				if err := r.startPhase(i); err != nil {
					return err
				}
			}
			if err := r.phase(ctx, phase, first+phase.Epochs, progress); err != nil {
				return err
			}
		}
		first += phase.Epochs
	}
	r.at.Done = true
	if err := r.dropOptimizer(); err != nil {
		return err
	}
	return r.save()
}

// startPhase gives the phase a fresh optimizer and its own stream of random numbers.
func (r *run) startPhase(i int) error {
	if err := r.dropOptimizer(); err != nil {
		return err
	}
	return r.m.Store.SetRNGStateFromSeed(r.c.Seed*1_000_003 + int64(i))
}

// dropOptimizer deletes what training added to the store.
func (r *run) dropOptimizer() error {
	var extra []string
	for v := range r.m.Store.IterVariables() {
		if !r.base[v.Path()] {
			extra = append(extra, v.Path())
		}
	}
	for _, path := range extra {
		if err := r.m.Store.DeleteVariable(path); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) phase(ctx context.Context, phase Phase, until int, progress report.Progress) error {
	step, err := r.compile(phase.Loss)
	if err != nil {
		return err
	}
	defer step.Finalize()
	labels := tensors.FromFlatDataAndDimensions(r.train.Labels, len(r.train.Labels))
	for _, t := range []*tensors.Tensor{r.train.Images, labels} {
		if err := t.MaterializeOnDevice(r.e.Backend(), false, 0); err != nil {
			return err
		}
	}
	batches := r.stepsPerEpoch()
	for r.at.Epoch < until {
		order := Permutation(len(r.train.Labels), r.c.Seed, r.at.Epoch)
		for r.at.Step < batches {
			if err := ctx.Err(); err != nil {
				if saveErr := r.save(); saveErr != nil {
					return saveErr
				}
				return err
			}
			from := r.at.Step * r.c.BatchSize
			out, err := step.Call(r.train.Images, labels, order[from:from+r.c.BatchSize])
			if err != nil {
				return err
			}
			loss := float64(tensors.ToScalar[float32](out[0]))
			if math.IsNaN(loss) || math.IsInf(loss, 0) {
				return errors.Errorf("the loss is %g at epoch %d, step %d: lower the learning rate, or look at data and loss", loss, r.at.Epoch, r.at.Step)
			}
			r.at.LossSum += loss
			r.at.Step++
			progress.Advance(1)
			if time.Since(r.saved) > checkpointEvery {
				if err := r.save(); err != nil {
					return err
				}
			}
		}
		r.at.History.Loss = append(r.at.History.Loss, r.at.LossSum/float64(batches))
		if r.c.Validation != nil {
			accuracy, err := r.predictor.Accuracy(r.c.Validation.Images, r.c.Validation.Labels)
			if err != nil {
				return err
			}
			r.at.History.Accuracy = append(r.at.History.Accuracy, accuracy)
		}
		r.at.Epoch, r.at.Step, r.at.LossSum = r.at.Epoch+1, 0, 0
	}
	return nil
}

// compile builds one step: (images, labels, rows of the batch) → loss, with the weights updated in the store.
func (r *run) compile(loss Loss) (*model.Exec, error) {
	adam := optimizer.Adam().LearningRate(r.c.LearningRate).Betas(0.9, 0.999).Epsilon(1e-8).Done()
	exec, err := model.NewExec(r.e.Backend(), r.m.Store, func(scope *model.Scope, images, labels, rows *Node) *Node {
		at := InsertAxes(rows, -1)
		value := loss.Build(scope, r.m, Gather(images, at), Gather(labels, at))
		if !value.IsScalar() {
			panic(fmt.Sprintf("fit: loss %q has shape %s: want a scalar", loss.Name, value.Shape()))
		}
		adam.UpdateGraph(scope, images.Graph(), value)
		return value
	})
	return exec, errors.WithMessagef(err, "fit: loss %s", loss.Name)
}

func (r *run) save() error {
	if r.path == "" {
		return nil
	}
	r.saved = time.Now()
	return r.at.save(r.path, r.m.Store)
}

// Permutation is the order of n examples in an epoch: a function of its arguments alone, the same on every platform.
func Permutation(n int, seed int64, epoch int) []int32 {
	rng := rand.New(rand.NewPCG(uint64(seed), uint64(epoch)))
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	rng.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}
