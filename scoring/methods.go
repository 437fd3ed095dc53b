package scoring

import (
	"fmt"
	"slices"
	"strconv"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/datasets"
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

// job is the training of one network of the zoo, with weights and order of examples of its own.
func (s *Study) job(n Network, seed int64) (fit.Job, error) {
	job, err := s.untrained(n.Train, n.Noise, slices.Repeat([]int{n.Width}, n.Depth), n.Dropout, seed)
	job.Config = fit.Config{BatchSize: n.Batch, LearningRate: n.LearningRate, WeightDecay: n.WeightDecay, StopLoss: s.Config.StopLoss,
		Seed: seed, Phases: []fit.Phase{{Epochs: s.Config.Epochs, Loss: fit.CrossEntropy()}}}
	return job, err
}

// turned is the training of a network that sees its examples turned by random angles up to the given one, either side.
func (s *Study) turned(width int, angle float64, seed int64) (fit.Job, error) {
	c := s.Config
	job, err := s.untrained(c.TrainSizes[0], 0, []int{width, width}, 0, seed)
	job.Config = fit.Config{BatchSize: c.BatchSizes[0], LearningRate: c.LearningRates[0], Seed: seed,
		Phases: []fit.Phase{{Epochs: c.RotationEpochs, Loss: Rotated(angle)}}}
	return job, err
}

// untrained is a network with the training examples of its seed, whose labels are as noisy as asked for.
func (s *Study) untrained(n int, noise float64, hidden []int, dropout float64, seed int64) (fit.Job, error) {
	pool := s.Data.Pool
	net, err := nets.NewMLP(nets.MLPConfig{Input: pool.Shape, Hidden: hidden, Classes: pool.Classes, Dropout: dropout, Seed: seed})
	if err != nil {
		return fit.Job{}, err
	}
	d, err := s.Data.Draw(n, seed)
	if err != nil {
		return fit.Job{}, err
	}
	d.Labels = datasets.WrongLabels(d.Labels, pool.Classes, noise, seed)
	d.Checksum = fmt.Sprintf("%s, %g of the labels wrong", d.Checksum, noise)
	return fit.Job{Model: net, Train: d, Options: fit.Options{Dir: s.Config.Dir}}, nil
}

// Rotated is the cross-entropy on images turned by random angles, uniform up to the given one either side, in degrees.
func Rotated(angle float64) fit.Loss {
	if angle == 0 {
		return fit.CrossEntropy()
	}
	build := func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
		shape := images.Shape().Clone()
		shape.Dimensions = shape.Dimensions[:1]
		degrees := MulScalar(AddScalar(scope.RandomUniform(images.Graph(), shape), -0.5), 2*angle)
		return fit.CrossEntropy().Build(scope, m, Rotate(images, degrees), labels)
	}
	return fit.Loss{Name: fmt.Sprintf("cross-entropy, turned by up to %g°", angle), Build: build}
}
