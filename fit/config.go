package fit

import (
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
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

// Config says how to train.
type Config struct {
	Phases       []Phase
	BatchSize    int       // zero: 64. The examples that do not fill a batch are left out of an epoch, others each time
	LearningRate float64   // zero: 1e-3, with Adadelta 1
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

// Sample draws n of the examples at random, or all where there are fewer: equal seeds draw the same.
func (d Data) Sample(n int, seed int64) Data {
	size := d.Images.Shape().Size() / len(d.Labels)
	rows := Permutation(len(d.Labels), seed, 0)[:min(n, len(d.Labels))]
	dims := slices.Clone(d.Images.Shape().Dimensions)
	dims[0] = len(rows)
	pixels := nets.PickRows(tensors.MustCopyFlatData[float32](d.Images), size, rows)
	return Data{Images: tensors.FromFlatDataAndDimensions(pixels, dims...), Labels: nets.PickRows(d.Labels, 1, rows)}
}

// rule is how each phase trains.
func (c Config) rule() Rule {
	return Rule{Optimizer: c.Optimizer, LearningRate: c.LearningRate, WeightDecay: c.WeightDecay, Cosine: c.Cosine, WarmUpSteps: c.WarmUpSteps}
}

func (c Config) withDefaults() Config {
	if c.BatchSize == 0 {
		c.BatchSize = 64
	}
	rule := c.rule().withDefaults()
	c.LearningRate, c.Optimizer = rule.LearningRate, rule.Optimizer
	return c
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
	if err := c.rule().validate(); err != nil {
		return errors.WithMessage(err, "fit")
	}
	if len(m.WeightPaths) == 0 {
		return errors.Errorf("fit: %s has no weights to train", m.Name)
	}
	if !(c.StopLoss >= 0) {
		return errors.Errorf("fit: StopLoss = %g: must be >= 0", c.StopLoss)
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
