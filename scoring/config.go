package scoring

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Config sizes the replication. The zero value is the quick scale: minutes on two cores.
type Config struct {
	Scale   string `json:"scale"`   // a name for tables: "quick", "smoke", "paper" or what the caller likes
	Dataset string `json:"dataset"` // zero: "mnist"
	DataDir string `json:"-"`       // where data files lie; zero: the data set's own place
	Test    int    `json:"test"`    // test examples, with clean labels; zero: 5,000
	Sample  int    `json:"sample"`  // training examples on which curves are measured; zero: 1,000

	Seeds []int64 `json:"seeds"` // each is a zoo of its own: other training examples, labels, weights; zero: 1, 2, 3, 4, 5

	// The zoo has a network for every combination of these.
	TrainSizes    []int     `json:"train_sizes"`    // training examples; zero: 2,000
	LabelNoise    []float64 `json:"label_noise"`    // share of training labels that are wrong; zero: 0, 0.1, 0.25
	Widths        []int     `json:"widths"`         // of the hidden layers; zero: 64, 256
	Depths        []int     `json:"depths"`         // number of hidden layers; zero: 1, 3
	Dropouts      []float64 `json:"dropouts"`       // zero: 0, 0.2
	WeightDecays  []float64 `json:"weight_decays"`  // decoupled; zero: 0, 0.1
	BatchSizes    []int     `json:"batch_sizes"`    // zero: 64
	LearningRates []float64 `json:"learning_rates"` // of Adam; zero: 1e-3

	Epochs   int     `json:"epochs"`    // at most; zero: 120
	StopLoss float64 `json:"stop_loss"` // training ends below this mean cross-entropy; zero: 0.02

	Perturbations []string `json:"perturbations"` // names for ByName; zero: inter, intra, noise
	Layers        []int    `json:"layers"`        // at which mixup is measured; zero: 0, 1
	Random        int      `json:"random"`        // random measures, the band of chance; zero: 200

	// The experiment on invariance: networks trained with random rotations up to an angle either side.
	Angles         []float64 `json:"angles"`          // in degrees; zero: 0, 15, 30, 60, 90
	RotationEpochs int       `json:"rotation_epochs"` // zero: 20
	RotationSample int       `json:"rotation_sample"` // training examples on which the curves are measured; zero: 200

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Shard    study.Shard     `json:"-"` // what to do of the work; zero: all
	Progress report.Progress `json:"-"` // nil shows nothing
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Test: 200, Sample: 100, Seeds: []int64{1}, TrainSizes: []int{200}, LabelNoise: []float64{0, 0.25},
		Widths: []int{16, 32}, Depths: []int{1, 2}, Dropouts: []float64{0}, WeightDecays: []float64{0}, Epochs: 8,
		Perturbations: []string{"inter", "noise"}, Random: 20, Angles: []float64{0, 45, 90}, RotationEpochs: 2, RotationSample: 50}
}

// Paper is a zoo of the size of one task of the competition, on all of the settings that the issue of generalization turns
// on, over five seeds. It wants many cores, or shards.
func Paper() Config {
	return Config{Scale: "paper", Test: 10_000, Sample: 2_000, TrainSizes: []int{5_000, 20_000}, LabelNoise: []float64{0, 0.05, 0.1, 0.25},
		Widths: []int{64, 256, 1024}, Depths: []int{1, 2, 4}, Dropouts: []float64{0, 0.2, 0.5}, WeightDecays: []float64{0, 0.1},
		BatchSizes: []int{32, 256}, Epochs: 300, Perturbations: []string{"inter", "intra", "noise", "rotation", "translation"},
		Angles: []float64{0, 10, 20, 30, 45, 60, 75, 90}, RotationEpochs: 60, RotationSample: 2_000}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	c.Scale, c.Dataset = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "mnist")
	c.Test, c.Sample, c.Epochs, c.StopLoss = cmp.Or(c.Test, 5_000), cmp.Or(c.Sample, 1_000), cmp.Or(c.Epochs, 120), cmp.Or(c.StopLoss, 0.02)
	c.Random, c.RotationEpochs, c.RotationSample = cmp.Or(c.Random, 200), cmp.Or(c.RotationEpochs, 20), cmp.Or(c.RotationSample, 200)
	study.Default(&c.TrainSizes, 2_000)
	study.Default(&c.LabelNoise, 0, 0.1, 0.25)
	study.Default(&c.Widths, 64, 256)
	study.Default(&c.Depths, 1, 3)
	study.Default(&c.Dropouts, 0, 0.2)
	study.Default(&c.WeightDecays, 0, 0.1)
	study.Default(&c.BatchSizes, 64)
	study.Default(&c.LearningRates, 1e-3)
	study.Default(&c.Layers, 0, 1)
	study.Default(&c.Angles, 0, 15, 30, 60, 90)
	study.Default(&c.Seeds, 1, 2, 3, 4, 5)
	study.Default(&c.Perturbations, "inter", "intra", "noise")
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	err := study.First("scoring",
		study.AtLeast(1, study.Count("test", c.Test), study.Count("sample", c.Sample), study.Count("epochs", c.Epochs),
			study.Count("random", c.Random), study.Count("rotation_epochs", c.RotationEpochs), study.Count("rotation_sample", c.RotationSample)),
		study.Seeds(c.Seeds), c.checkCounts(), c.checkNumbers(), study.Positive(study.Rate("stop_loss", c.StopLoss)),
		study.Distinct("perturbations", c.Perturbations), c.Shard.Validate(c.Dir))
	if err != nil {
		return err
	}
	if err := study.First("scoring", c.checkSizes()); err != nil { // of lists that are not empty
		return err
	}
	if err := c.curves(func(Perturbation, int) error { return nil }); err != nil {
		return err
	}
	var settings [][]Hyperparameter
	for _, n := range c.Networks() {
		settings = append(settings, n.Hyperparameters())
	}
	_, _, err = grid(settings)
	return err
}

func (c Config) checkCounts() error {
	for _, s := range []study.Setting[[]int]{{Name: "train_sizes", Value: c.TrainSizes}, {Name: "widths", Value: c.Widths},
		{Name: "depths", Value: c.Depths}, {Name: "batch_sizes", Value: c.BatchSizes}, {Name: "layers", Value: c.Layers}} {
		least := 1
		if s.Name == "layers" {
			least = 0 // the input
		}
		if err := study.Distinct(s.Name, s.Value); err != nil {
			return err
		}
		if slices.Min(s.Value) < least {
			return errors.Errorf("%s = %v: must be at least %d", s.Name, s.Value, least)
		}
	}
	return nil
}

func (c Config) checkNumbers() error {
	for _, s := range []struct {
		name string
		list []float64
		most float64
	}{{"label_noise", c.LabelNoise, 1}, {"dropouts", c.Dropouts, 0.99}, {"weight_decays", c.WeightDecays, math.MaxFloat64},
		{"learning_rates", c.LearningRates, math.MaxFloat64}, {"angles", c.Angles, 180}} {
		if err := study.Distinct(s.name, s.list); err != nil {
			return err
		}
		limits := "finite, >= 0"
		if s.most < math.MaxFloat64 {
			limits += fmt.Sprintf(" and <= %g", s.most)
		}
		if slices.ContainsFunc(s.list, func(v float64) bool { return !(v >= 0 && v <= s.most) }) {
			return errors.Errorf("%s = %v: each must be %s", s.name, s.list, limits)
		}
	}
	if slices.Contains(c.LearningRates, 0) {
		return errors.Errorf("learning_rates = %v: each must be > 0", c.LearningRates)
	}
	return nil
}

func (c Config) checkSizes() error {
	if least := slices.Min(c.Depths); slices.Max(c.Layers) > least {
		return errors.Errorf("layers = %v: the shallowest network of the zoo has %s", c.Layers, count(least, "hidden layer"))
	}
	least := slices.Min(c.TrainSizes)
	if c.Sample > least || c.RotationSample > least {
		return errors.Errorf("curves on %d and %d examples: the smallest training set has %d", c.Sample, c.RotationSample, least)
	}
	if slices.Max(c.BatchSizes) > least {
		return errors.Errorf("batch_sizes = %v: the smallest training set has %d examples", c.BatchSizes, least)
	}
	return nil
}

// AtScale returns the configuration of a scale: "smoke", "quick" or "paper".
func AtScale(scale string) (Config, error) { return study.AtScale("scoring", scale, Smoke, Paper) }
