package fit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
)

// LossFn builds a scalar training loss in the graph from images [batch, InputShape...] and labels int32 [batch]. It may
// call m.Logits many times, run an inner attack, draw random numbers from the store (seeded for the run) and replace
// weights with SetNodeValue, as long as it puts them back. Panics on error.
type LossFn func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node

// Loss is a training loss with a name that tells its every parameter, since names decide what counts as the same run.
type Loss struct {
	Name  string
	Build LossFn
}

// CrossEntropy is the mean cross-entropy of the batch.
func CrossEntropy() Loss {
	return Loss{Name: "cross-entropy", Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
		logits := m.Logits(scope, images)
		hot := OneHot(labels, m.Classes, logits.DType())
		return Neg(ReduceAllMean(ReduceSum(Mul(LogSoftmax(logits, -1), hot), -1)))
	}}
}

// Phase is a stretch of training with one loss. The optimizer starts anew with each phase.
type Phase struct {
	Epochs int
	Loss   Loss
}

// Config says how to train. Adam (0.9, 0.999, 1e-8) is the optimizer.
type Config struct {
	Phases       []Phase
	BatchSize    int     // zero: 64; the last, smaller batch of an epoch is left out
	LearningRate float64 // zero: 1e-3
	Seed         int64   // of the batch order and of random numbers in losses
	Validation   *Data   // on which accuracy is measured after each epoch; nil: on nothing
}

// Data is a training or validation set: images float32 [n, InputShape...], one label an image.
type Data struct {
	Images   *tensors.Tensor
	Labels   []int32
	Checksum string // identifies the content in cache keys; zero: computed from images and labels
}

// Options are what does not change the result.
type Options struct {
	Dir      string          // where checkpoints and results are kept; zero: nowhere
	Progress report.Progress // nil shows nothing
	Label    string          // of the progress; zero: the model's name
}

func (c Config) withDefaults() Config {
	if c.BatchSize == 0 {
		c.BatchSize = 64
	}
	if c.LearningRate == 0 {
		c.LearningRate = 1e-3
	}
	return c
}

func (c Config) validate(m *nets.Model, train Data) error {
	if len(c.Phases) == 0 {
		return errors.New("fit: no phases: give at least one with a loss and epochs")
	}
	for i, p := range c.Phases {
		if p.Epochs < 0 || p.Loss.Build == nil || p.Loss.Name == "" {
			return errors.Errorf("fit: phase %d: want a named loss and epochs >= 0, have %q and %d", i, p.Loss.Name, p.Epochs)
		}
	}
	if c.totalEpochs() == 0 {
		return errors.New("fit: the phases have no epochs: give at least 1")
	}
	if !(c.LearningRate > 0) || math.IsInf(c.LearningRate, 1) {
		return errors.Errorf("fit: LearningRate = %g: must be finite and > 0", c.LearningRate)
	}
	if err := train.validate(m); err != nil {
		return err
	}
	if c.Validation != nil {
		if err := c.Validation.validate(m); err != nil {
			return errors.WithMessage(err, "fit: validation")
		}
	}
	if n := len(train.Labels); c.BatchSize < 1 || c.BatchSize > n {
		return errors.Errorf("fit: BatchSize = %d for %d examples: must be between 1 and the number of examples", c.BatchSize, n)
	}
	return nil
}

func (d Data) validate(m *nets.Model) error {
	if err := m.CheckImages(d.Images); err != nil {
		return err
	}
	if n := d.Images.Shape().Dimensions[0]; len(d.Labels) != n {
		return errors.Errorf("fit: %d labels for %d images: give one each", len(d.Labels), n)
	}
	return m.CheckLabels(d.Labels)
}

func (c Config) totalEpochs() (n int) {
	for _, p := range c.Phases {
		n += p.Epochs
	}
	return n
}

// formatVersion changes whenever the same configuration would give other weights.
const formatVersion = 1

// Key identifies a run: the model's architecture and initial weights, the configuration, the data and the backend.
func Key(m *nets.Model, backend string, train Data, c Config) (string, error) {
	c = c.withDefaults()
	parts := []any{formatVersion, m.Name, m.InputShape, m.Lower, m.Upper, m.Classes, backend, c.BatchSize, c.LearningRate, c.Seed}
	for _, d := range []*Data{&train, c.Validation} {
		if d == nil {
			continue
		}
		content := d.Checksum
		if content == "" {
			sum, err := digest(d.Images)
			if err != nil {
				return "", err
			}
			content = Hash(sum, d.Labels)
		}
		parts = append(parts, content)
	}
	for _, p := range c.Phases {
		parts = append(parts, p.Loss.Name, p.Epochs)
	}
	for _, w := range m.Weights() {
		value, err := w.Value()
		if err != nil {
			return "", err
		}
		sum, err := digest(value)
		if err != nil {
			return "", err
		}
		parts = append(parts, w.Path(), sum)
	}
	return Hash(parts...), nil
}

// digest identifies a tensor's values.
func digest(t *tensors.Tensor) (string, error) {
	sum := sha256.New()
	err := t.ConstBytes(func(b []byte) { sum.Write(b) })
	return hex.EncodeToString(sum.Sum(nil)), err
}

// Hash returns 24 hexadecimal digits that identify the values by their JSON.
func Hash(values ...any) string {
	text, err := json.Marshal(values)
	if err != nil {
		panic(fmt.Sprintf("fit: Hash of something JSON cannot hold: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}
