package scoring

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
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
	Progress report.Progress `json:"-"` // nil shows nothing
	// Complete refuses to train or measure: everything must be found in Dir, as after shards ran.
	Complete bool `json:"-"`
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Test: 200, Sample: 100, Seeds: []int64{1}, TrainSizes: []int{200}, LabelNoise: []float64{0, 0.25}, Widths: []int{16, 32},
		Depths: []int{1, 2}, Dropouts: []float64{0}, WeightDecays: []float64{0}, Epochs: 8, Perturbations: []string{"inter", "noise"}, Random: 20,
		Angles: []float64{0, 45, 90}, RotationEpochs: 2, RotationSample: 50}
}

// Paper is a zoo of the size of one task of the competition, on all of the settings that the issue of generalization turns
// on, over five seeds. It wants many cores, or shards.
func Paper() Config {
	return Config{Scale: "paper", Test: 10_000, Sample: 2_000, TrainSizes: []int{5_000, 20_000}, LabelNoise: []float64{0, 0.05, 0.1, 0.25},
		Widths: []int{64, 256, 1024}, Depths: []int{1, 2, 4}, Dropouts: []float64{0, 0.2, 0.5}, WeightDecays: []float64{0, 0.1}, BatchSizes: []int{32, 256},
		Epochs: 300, Perturbations: []string{"inter", "intra", "noise", "rotation", "translation"},
		Angles: []float64{0, 10, 20, 30, 45, 60, 75, 90}, RotationEpochs: 60, RotationSample: 2_000}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	ints := func(have *[]int, want ...int) {
		if len(*have) == 0 {
			*have = want
		}
	}
	numbers := func(have *[]float64, want ...float64) {
		if len(*have) == 0 {
			*have = want
		}
	}
	c.Scale, c.Dataset = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "mnist")
	c.Test, c.Sample, c.Epochs, c.StopLoss = cmp.Or(c.Test, 5_000), cmp.Or(c.Sample, 1_000), cmp.Or(c.Epochs, 120), cmp.Or(c.StopLoss, 0.02)
	c.Random, c.RotationEpochs, c.RotationSample = cmp.Or(c.Random, 200), cmp.Or(c.RotationEpochs, 20), cmp.Or(c.RotationSample, 200)
	ints(&c.TrainSizes, 2_000)
	numbers(&c.LabelNoise, 0, 0.1, 0.25)
	ints(&c.Widths, 64, 256)
	ints(&c.Depths, 1, 3)
	numbers(&c.Dropouts, 0, 0.2)
	numbers(&c.WeightDecays, 0, 0.1)
	ints(&c.BatchSizes, 64)
	numbers(&c.LearningRates, 1e-3)
	ints(&c.Layers, 0, 1)
	numbers(&c.Angles, 0, 15, 30, 60, 90)
	if len(c.Seeds) == 0 {
		c.Seeds = []int64{1, 2, 3, 4, 5}
	}
	if len(c.Perturbations) == 0 {
		c.Perturbations = []string{"inter", "intra", "noise"}
	}
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	for name, n := range map[string]int{"test": c.Test, "sample": c.Sample, "epochs": c.Epochs, "random": c.Random,
		"rotation_epochs": c.RotationEpochs, "rotation_sample": c.RotationSample} {
		if n < 1 {
			return errors.Errorf("scoring: %s = %d: must be at least 1", name, n)
		}
	}
	if err := distinct("seeds", c.Seeds); err != nil {
		return err
	}
	for name, list := range map[string][]int{"train_sizes": c.TrainSizes, "widths": c.Widths, "depths": c.Depths, "batch_sizes": c.BatchSizes, "layers": c.Layers} {
		if err := distinct(name, list); err != nil {
			return err
		}
		if least := slices.Min(list); least < 0 || least == 0 && name != "layers" {
			return errors.Errorf("scoring: %s = %v: must be at least %d", name, list, map[bool]int{true: 0, false: 1}[name == "layers"])
		}
	}
	if most := slices.Min(c.Depths); slices.Max(c.Layers) > most {
		return errors.Errorf("scoring: layers = %v: the shallowest network of the zoo has %s", c.Layers, count(most, "hidden layer"))
	}
	for name, list := range map[string][]float64{"label_noise": c.LabelNoise, "dropouts": c.Dropouts, "weight_decays": c.WeightDecays,
		"learning_rates": c.LearningRates, "angles": c.Angles} {
		if err := distinct(name, list); err != nil {
			return err
		}
		top := map[string]float64{"label_noise": 1, "dropouts": 0.99, "weight_decays": math.MaxFloat64, "learning_rates": math.MaxFloat64, "angles": 180}[name]
		for _, v := range list {
			if !(v >= 0 && v <= top) || v == 0 && name == "learning_rates" {
				return errors.Errorf("scoring: %s = %v: each must be finite, >= 0%s", name, list,
					map[bool]string{true: fmt.Sprintf(" and <= %g", top)}[top < math.MaxFloat64])
			}
		}
	}
	if !(c.StopLoss > 0) || math.IsInf(c.StopLoss, 1) {
		return errors.Errorf("scoring: stop_loss = %g: must be finite and > 0", c.StopLoss)
	}
	least := slices.Min(c.TrainSizes)
	if c.Sample > least || c.RotationSample > least {
		return errors.Errorf("scoring: curves on %d and %d examples: the smallest training set has %d", c.Sample, c.RotationSample, least)
	}
	if most := slices.Max(c.BatchSizes); most > least {
		return errors.Errorf("scoring: batch_sizes = %v: the smallest training set has %d examples", c.BatchSizes, least)
	}
	if err := distinct("perturbations", c.Perturbations); err != nil {
		return err
	}
	for _, name := range c.Perturbations {
		if _, err := ByName(name); err != nil {
			return err
		}
	}
	if networks := c.Networks(); len(networks) > 0 {
		var settings [][]Hyperparameter
		for _, n := range networks {
			settings = append(settings, n.Hyperparameters())
		}
		if _, _, err := grid(settings); err != nil {
			return err
		}
	}
	return nil
}

func distinct[T cmp.Ordered](name string, list []T) error {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			return errors.Errorf("scoring: %s = %v: %v is given twice", name, list, v)
		}
	}
	return nil
}

// AtScale returns the configuration of a scale: "smoke", "quick" or "paper".
func AtScale(scale string) (Config, error) {
	switch scale {
	case "smoke":
		return Smoke(), nil
	case "quick", "":
		return Config{Scale: "quick"}, nil
	case "paper":
		return Paper(), nil
	}
	return Config{}, errors.Errorf("scoring: scale %q: want smoke, quick or paper", scale)
}
