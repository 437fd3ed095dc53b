package fit

import (
	"math"
	"time"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/optimizer"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
)

// LossFn builds a scalar training loss in the graph from images [batch, InputShape...] and labels int32 [batch].
//
// It may call m.Logits many times, run an inner attack, and replace weights with SetNodeValue as long as it puts them
// back. Random numbers must come from the store (scope.RandomUniform and its like): its generator is seeded for each
// phase and saved in checkpoints. m is a copy of the model in training whose Store is that of scope; a loss must read
// weights through scope or m, not through a model that it captured. Panics on error.
type LossFn func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node

// Loss is a training loss with a name that tells its every parameter, since names decide what counts as the same run.
type Loss struct {
	Name  string
	Build LossFn
}

// CrossEntropy is the mean cross-entropy of the batch.
func CrossEntropy() Loss {
	return Loss{Name: "cross-entropy", Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
		return ReduceAllMean(nets.CrossEntropy(m.Logits(scope, images), labels))
	}}
}

// Phase is a stretch of training with one loss. The optimizer starts anew with each phase.
type Phase struct {
	Epochs int // zero skips the phase
	Loss   Loss
}

// Optimizer names the update rule.
type Optimizer string

const (
	// Adam is Adam with moments 0.9 and 0.999 and epsilon 1e-8 (Kingma and Ba, arXiv 1412.6980), as in PyTorch.
	Adam Optimizer = "adam"
	// SGD is plain gradient descent with a constant rate.
	SGD Optimizer = "sgd"
)

// gradientOptimizer is an optimizer of GoMLX that takes gradients which the caller built.
type gradientOptimizer interface {
	optimizer.Interface
	UpdateGraphWithGradients(scope *model.Scope, gradients []*Node, lossDType dtypes.DType)
}

// optimizer builds the update rule of a phase with so many steps.
func (c Config) optimizer(steps int) gradientOptimizer {
	var o gradientOptimizer
	if c.Optimizer == SGD { // GoMLX's own default divides the rate by the root of the step
		o = optimizer.StochasticGradientDescent().WithDecay(false).WithLearningRate(c.LearningRate)
	} else {
		o = optimizer.Adam().LearningRate(c.LearningRate).Betas(0.9, 0.999).Epsilon(1e-8).WeightDecay(c.WeightDecay).Done().(gradientOptimizer)
	}
	if c.Cosine {
		o = cosine{gradientOptimizer: o, rate: c.LearningRate, warmUp: min(c.WarmUpSteps, steps), steps: steps}
	}
	return o
}

// Config says how to train.
type Config struct {
	Phases       []Phase
	BatchSize    int       // zero: 64. The examples that do not fill a batch are left out of an epoch, others each time
	LearningRate float64   // zero: 1e-3
	Optimizer    Optimizer // zero: Adam
	WeightDecay  float64   // decoupled, of every weight (AdamW; Loshchilov and Hutter, arXiv 1711.05101); with Adam only
	Cosine       bool      // the rate falls along half a cosine to zero over each phase, instead of being constant
	WarmUpSteps  int       // with Cosine: over this many first steps of each phase, the rate rises linearly
	StopLoss     float64   // a phase ends after an epoch whose mean training loss is below it; zero: never
	Seed         int64     // of the batch order and of random numbers in losses
	Validation   *Data     // on which accuracy is measured after each epoch; nil: on nothing
}

// Data is a training or validation set: images float32 [n, InputShape...], one label an image.
type Data struct {
	Images *tensors.Tensor
	Labels []int32
	// Checksum identifies the content in keys; "": it is computed from images and labels. Whoever fills it in must
	// change it with any change of either.
	Checksum string
}

// Options are what does not change the result.
type Options struct {
	Dir      string          // where checkpoints and results are kept; "": nowhere
	Progress report.Progress // nil shows nothing; it counts steps, one task a phase
	Label    string          // of the progress; "": "train " and the model's name
	// CheckpointEvery is the time between checkpoints, which fall between steps; zero: 2 s, negative: after every step.
	// Where writing one takes long, the time grows so that no more than a tenth goes into it.
	CheckpointEvery time.Duration
}

func (c Config) withDefaults() Config {
	if c.BatchSize == 0 {
		c.BatchSize = 64
	}
	if c.LearningRate == 0 {
		c.LearningRate = 1e-3
	}
	if c.Optimizer == "" {
		c.Optimizer = Adam
	}
	return c
}

func (o Options) withDefaults(m *nets.Model) Options {
	if o.Progress == nil {
		o.Progress = report.Silent{}
	}
	if o.Label == "" {
		o.Label = "train " + m.Name
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = 2 * time.Second
	}
	return o
}

// validate expects the defaults to be filled in.
func (c Config) validate(m *nets.Model, train Data) error {
	if len(c.Phases) == 0 {
		return errors.New("fit: no phases: give at least one with a loss and epochs")
	}
	epochs := 0
	for i, p := range c.Phases {
		if p.Epochs < 0 || p.Loss.Build == nil || p.Loss.Name == "" {
			return errors.Errorf("fit: phase %d: want a named loss and epochs >= 0, have %q and %d", i+1, p.Loss.Name, p.Epochs)
		}
		epochs += p.Epochs
	}
	if epochs == 0 {
		return errors.New("fit: the phases have no epochs: give at least 1")
	}
	if !(c.LearningRate > 0) || math.IsInf(c.LearningRate, 1) {
		return errors.Errorf("fit: LearningRate = %g: must be finite and > 0", c.LearningRate)
	}
	if c.Optimizer != Adam && c.Optimizer != SGD {
		return errors.Errorf("fit: Optimizer = %q: want %q or %q", c.Optimizer, Adam, SGD)
	}
	if len(m.WeightPaths) == 0 {
		return errors.Errorf("fit: %s has no weights to train", m.Name)
	}
	if !(c.WeightDecay >= 0) || math.IsInf(c.WeightDecay, 1) || c.WeightDecay > 0 && c.Optimizer != Adam {
		return errors.Errorf("fit: WeightDecay = %g with %q: must be finite and >= 0, and 0 without %q", c.WeightDecay, c.Optimizer, Adam)
	}
	if !(c.StopLoss >= 0) {
		return errors.Errorf("fit: StopLoss = %g: must be >= 0", c.StopLoss)
	}
	if c.WarmUpSteps < 0 || c.WarmUpSteps > 0 && !c.Cosine {
		return errors.Errorf("fit: WarmUpSteps = %d: must be >= 0, and 0 without Cosine", c.WarmUpSteps)
	}
	for i, w := range m.Weights() {
		if w == nil || !w.HasValue() {
			return errors.Errorf("fit: %s: weight %s is not in the model's store", m.Name, m.WeightPaths[i])
		}
	}
	if err := train.validate(m); err != nil {
		return errors.WithMessage(err, "fit: training set")
	}
	if n := len(train.Labels); c.BatchSize < 1 || c.BatchSize > n {
		return errors.Errorf("fit: BatchSize = %d for %d examples: must be between 1 and the number of examples", c.BatchSize, n)
	}
	if c.Validation != nil {
		return errors.WithMessage(c.Validation.validate(m), "fit: validation set")
	}
	return nil
}

func (d Data) validate(m *nets.Model) error {
	if err := m.CheckImages(d.Images); err != nil {
		return err
	}
	if n := d.Images.Shape().Dimensions[0]; len(d.Labels) != n {
		return errors.Errorf("%d labels for %d images: give one each", len(d.Labels), n)
	}
	return m.CheckLabels(d.Labels)
}
