package scoring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Network is the settings of one network of the zoo.
type Network struct {
	Train        int     `json:"train"`
	Noise        float64 `json:"noise"`
	Width        int     `json:"width"`
	Depth        int     `json:"depth"`
	Dropout      float64 `json:"dropout"`
	WeightDecay  float64 `json:"weight_decay"`
	Batch        int     `json:"batch"`
	LearningRate float64 `json:"learning_rate"`
}

// Networks are the zoo: every combination of the configuration's settings, the last one fastest.
func (c Config) Networks() (zoo []Network) {
	c = c.WithDefaults()
	for _, train := range c.TrainSizes {
		for _, noise := range c.LabelNoise {
			for _, width := range c.Widths {
				for _, depth := range c.Depths {
					for _, dropout := range c.Dropouts {
						for _, decay := range c.WeightDecays {
							for _, batch := range c.BatchSizes {
								for _, rate := range c.LearningRates {
									zoo = append(zoo, Network{train, noise, width, depth, dropout, decay, batch, rate})
								}
							}
						}
					}
				}
			}
		}
	}
	return zoo
}

// Hyperparameters are the network's settings by name.
func (n Network) Hyperparameters() []Hyperparameter {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	return []Hyperparameter{{"train", strconv.Itoa(n.Train)}, {"noise", number(n.Noise)}, {"width", strconv.Itoa(n.Width)},
		{"depth", strconv.Itoa(n.Depth)}, {"dropout", number(n.Dropout)}, {"weight decay", number(n.WeightDecay)},
		{"batch", strconv.Itoa(n.Batch)}, {"rate", number(n.LearningRate)}}
}

// String tells the settings.
func (n Network) String() string { return describe(n.Hyperparameters()) }

// NoisyLabels replaces a share of the labels by wrong classes, drawn uniformly. The examples that are wrong at one share
// are wrong at each larger one, with the same class.
func NoisyLabels(labels []int32, classes int, share float64, seed int64) []int32 {
	rng := rand.New(rand.NewPCG(uint64(seed), 0x77726f6e67)) // the stream "wrong"
	noisy := slices.Clone(labels)
	order := rng.Perm(len(labels))
	for k, i := range order {
		wrong := rng.Int32N(int32(classes) - 1)
		if wrong >= labels[i] {
			wrong++
		}
		if float64(k) < share*float64(len(labels)) {
			noisy[i] = wrong
		}
	}
	return noisy
}

// job is the training of one network of the zoo, with weights and order of examples of its own.
func (s *study) job(n Network, seed int64) (fit.Job, error) {
	net, err := nets.NewMLP(nets.MLPConfig{Input: s.data.Pool.Shape, Hidden: slices.Repeat([]int{n.Width}, n.Depth), Classes: s.data.Pool.Classes,
		Dropout: n.Dropout, Seed: seed})
	if err != nil {
		return fit.Job{}, err
	}
	train, err := s.examples(n.Train, n.Noise, seed)
	return fit.Job{Model: net, Train: train, Options: fit.Options{Dir: s.c.Dir}, Config: fit.Config{BatchSize: n.Batch, LearningRate: n.LearningRate,
		WeightDecay: n.WeightDecay, StopLoss: s.c.StopLoss, Seed: seed, Phases: []fit.Phase{{Epochs: s.c.Epochs, Loss: fit.CrossEntropy()}}}}, err
}

// examples are the training examples of a seed, with labels as noisy as asked for.
func (s *study) examples(n int, noise float64, seed int64) (fit.Data, error) {
	d, err := s.data.Draw(n, seed)
	if err != nil {
		return d, err
	}
	d.Labels = NoisyLabels(d.Labels, s.data.Pool.Classes, noise, seed)
	d.Checksum = fmt.Sprintf("%s, %g of the labels wrong", d.Checksum, noise)
	return d, nil
}

// rotated is the training of a network that sees its examples turned by random angles up to the given one, either side.
func (s *study) rotated(width int, angle float64, seed int64) (fit.Job, error) {
	net, err := nets.NewMLP(nets.MLPConfig{Input: s.data.Pool.Shape, Hidden: []int{width, width}, Classes: s.data.Pool.Classes, Seed: seed})
	if err != nil {
		return fit.Job{}, err
	}
	train, err := s.examples(s.c.TrainSizes[0], 0, seed)
	return fit.Job{Model: net, Train: train, Options: fit.Options{Dir: s.c.Dir}, Config: fit.Config{BatchSize: s.c.BatchSizes[0], LearningRate: s.c.LearningRates[0],
		Seed: seed, Phases: []fit.Phase{{Epochs: s.c.RotationEpochs, Loss: Rotated(angle)}}}}, err
}

// Rotated is the cross-entropy on images turned by random angles, uniform up to the given one either side, in degrees.
func Rotated(angle float64) fit.Loss {
	if angle == 0 {
		return fit.CrossEntropy()
	}
	return fit.Loss{Name: fmt.Sprintf("cross-entropy, turned by up to %g°", angle), Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
		shape := images.Shape().Clone()
		shape.Dimensions = shape.Dimensions[:1]
		degrees := MulScalar(AddScalar(scope.RandomUniform(images.Graph(), shape), -0.5), 2*angle)
		return fit.CrossEntropy().Build(scope, m, Rotate(images, degrees), labels)
	}}
}
