package weights

import (
	"cmp"
	"math"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
)

// Config sizes the replication. The zero value is the quick scale: minutes on two cores.
type Config struct {
	Scale   string `json:"scale"`   // a name for tables: "quick", "smoke", "paper" or what the caller likes
	Dataset string `json:"dataset"` // zero: "mnist"
	DataDir string `json:"-"`       // where data files lie; zero: the data set's own place
	Train   int    `json:"train"`   // training examples, drawn anew for each seed; zero: 10,000
	Test    int    `json:"test"`    // evaluated examples, the same for all, and as many of the training examples; zero: 2,000

	Seeds   []int64   `json:"seeds"`   // zero: 1, 2, 3, 4, 5
	Lambdas []float64 `json:"lambdas"` // factors of the margin bound; zero: 0, 1e-3, 3e-3
	Mus     []float64 `json:"mus"`     // factors of the norms; zero: 0, 1e-3, 1e-2

	Hidden       []int   `json:"hidden"`        // zero: 128, 64, 32
	WarmUp       int     `json:"warm_up"`       // epochs of cross-entropy before it; zero: 3
	Epochs       int     `json:"epochs"`        // epochs of the method's own loss; zero: 12
	BatchSize    int     `json:"batch_size"`    // zero: 64
	LearningRate float64 `json:"learning_rate"` // of Adam; zero: 1e-3
	EpsilonTrain float64 `json:"epsilon_train"` // weight radius in the training loss; zero: 0.01

	Epsilon      []float64 `json:"epsilon"`       // weight radii of the attacks; zero: 0.002, 0.005, 0.01
	Steps        int       `json:"steps"`         // of the attacks; zero: 20
	Restarts     int       `json:"restarts"`      // of the attacks; zero: 1
	Draws        int       `json:"draws"`         // of the random control; zero: 10
	LayerEpsilon float64   `json:"layer_epsilon"` // radius at which each layer is attacked alone; zero: 0.01

	Certify      []float64 `json:"certify"`       // radii at which accuracy is certified; zero: 1e-4, 3e-4, 1e-3
	LayerCertify float64   `json:"layer_certify"` // radius at which each layer alone is certified; zero: 1e-3
	VerifyAt     []float64 `json:"verify_at"`     // radii at which the bounds are attacked; zero: 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3
	VerifyImages int       `json:"verify_images"` // zero: 100
	VerifyRandom int       `json:"verify_random"` // random perturbations a network and radius; zero: 2,000

	Bits []int `json:"bits"` // to which weights are rounded; zero: 12, 10, 8, 7, 6, 5, 4, 3, 2

	GapMus    []float64 `json:"gap_mus"`    // factors of the norms in the experiment on generalization; zero: 0, 1e-3, 3e-3, 1e-2, 3e-2, 0.1
	GapTrain  int       `json:"gap_train"`  // training examples; zero: 2,000
	GapTest   int       `json:"gap_test"`   // zero: 2,000
	GapEpochs int       `json:"gap_epochs"` // zero: 60
	GapNoise  float64   `json:"gap_noise"`  // share of labels drawn at random; zero: 0.2

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Progress report.Progress `json:"-"` // nil shows nothing
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Train: 600, Test: 200, Seeds: []int64{1}, Lambdas: []float64{0, 3e-3}, Mus: []float64{0, 1e-3},
		WarmUp: 1, Epochs: 2, Epsilon: []float64{0.002, 0.005}, Steps: 5, Draws: 3, VerifyAt: []float64{1e-4, 1e-3}, VerifyImages: 20,
		VerifyRandom: 200, Bits: []int{8, 4, 2}, GapMus: []float64{0, 1e-2, 0.1}, GapTrain: 300, GapTest: 200, GapEpochs: 4}
}

// Paper is the largest scale that the specification of this replication foresees: all of MNIST, five seeds, a fine grid,
// 100 attack steps with five restarts. It wants a GPU.
func Paper() Config {
	return Config{Scale: "paper", Train: 60_000, Test: 10_000, Steps: 100, Restarts: 5, WarmUp: 3, Epochs: 17,
		Lambdas: []float64{0, 3e-4, 1e-3, 3e-3, 1e-2}, Mus: []float64{0, 1e-3, 3e-3, 1e-2},
		Epsilon: []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05}, GapTrain: 10_000, GapTest: 10_000}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	orList := func(have *[]float64, want ...float64) {
		if len(*have) == 0 {
			*have = want
		}
	}
	c.Scale, c.Dataset = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "mnist")
	c.Train, c.Test = cmp.Or(c.Train, 10_000), cmp.Or(c.Test, 2_000)
	c.WarmUp, c.Epochs = cmp.Or(c.WarmUp, 3), cmp.Or(c.Epochs, 12)
	c.BatchSize, c.LearningRate, c.EpsilonTrain = cmp.Or(c.BatchSize, 64), cmp.Or(c.LearningRate, 1e-3), cmp.Or(c.EpsilonTrain, 0.01)
	c.Steps, c.Restarts, c.Draws = cmp.Or(c.Steps, 20), cmp.Or(c.Restarts, 1), cmp.Or(c.Draws, 10)
	c.LayerEpsilon, c.LayerCertify = cmp.Or(c.LayerEpsilon, 0.01), cmp.Or(c.LayerCertify, 1e-3)
	c.VerifyImages, c.VerifyRandom = cmp.Or(c.VerifyImages, 100), cmp.Or(c.VerifyRandom, 2_000)
	c.GapTrain, c.GapTest, c.GapEpochs, c.GapNoise = cmp.Or(c.GapTrain, 2_000), cmp.Or(c.GapTest, 2_000), cmp.Or(c.GapEpochs, 60), cmp.Or(c.GapNoise, 0.2)
	if len(c.Hidden) == 0 {
		c.Hidden = []int{128, 64, 32}
	}
	if len(c.Seeds) == 0 {
		c.Seeds = []int64{1, 2, 3, 4, 5}
	}
	if len(c.Bits) == 0 {
		c.Bits = []int{12, 10, 8, 7, 6, 5, 4, 3, 2}
	}
	orList(&c.Lambdas, 0, 1e-3, 3e-3)
	orList(&c.Mus, 0, 1e-3, 1e-2)
	orList(&c.Epsilon, 0.002, 0.005, 0.01)
	orList(&c.Certify, 1e-4, 3e-4, 1e-3)
	orList(&c.VerifyAt, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
	orList(&c.GapMus, 0, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	for name, n := range map[string]int{"train": c.Train, "test": c.Test, "warm_up": c.WarmUp, "epochs": c.Epochs, "batch_size": c.BatchSize,
		"steps": c.Steps, "restarts": c.Restarts, "draws": c.Draws, "verify_images": c.VerifyImages, "verify_random": c.VerifyRandom,
		"gap_train": c.GapTrain, "gap_test": c.GapTest, "gap_epochs": c.GapEpochs} {
		if n < 1 {
			return errors.Errorf("weights: %s = %d: must be at least 1", name, n)
		}
	}
	if least := min(c.Train, c.GapTrain); c.BatchSize > least {
		return errors.Errorf("weights: batch_size = %d for %d training examples: must not be larger", c.BatchSize, least)
	}
	if c.Test > c.Train {
		return errors.Errorf("weights: test = %d for %d training examples: as many of both are attacked, so it must not be larger", c.Test, c.Train)
	}
	if slices.ContainsFunc(c.Hidden, func(n int) bool { return n < 1 }) {
		return errors.Errorf("weights: hidden = %v: widths must be at least 1", c.Hidden)
	}
	if !(c.LearningRate > 0) || math.IsInf(c.LearningRate, 1) {
		return errors.Errorf("weights: learning_rate = %g: must be finite and > 0", c.LearningRate)
	}
	if !(c.GapNoise >= 0 && c.GapNoise <= 1) {
		return errors.Errorf("weights: gap_noise = %g: must be between 0 and 1", c.GapNoise)
	}
	for i, s := range c.Seeds {
		if slices.Contains(c.Seeds[:i], s) {
			return errors.Errorf("weights: seed %d is given twice: an interval over seeds needs different ones", s)
		}
	}
	for name, list := range map[string][]float64{"lambdas": c.Lambdas, "mus": c.Mus, "gap_mus": c.GapMus, "epsilon": c.Epsilon, "certify": c.Certify,
		"verify_at": c.VerifyAt} {
		for i, v := range list {
			if i > 0 && v <= list[i-1] {
				return errors.Errorf("weights: %s = %v: must grow", name, list)
			}
			if err := (robust.Threat{Weights: []float64{v}}).Validate(1); err != nil {
				return errors.Errorf("weights: %s = %v: each must be finite and >= 0", name, list)
			}
		}
	}
	for name, v := range map[string]float64{"epsilon_train": c.EpsilonTrain, "layer_epsilon": c.LayerEpsilon, "layer_certify": c.LayerCertify} {
		if !(v > 0) || math.IsInf(v, 1) {
			return errors.Errorf("weights: %s = %g: must be finite and > 0", name, v)
		}
	}
	if c.Lambdas[0] != 0 || c.Mus[0] != 0 || c.GapMus[0] != 0 {
		return errors.Errorf("weights: lambdas, mus and gap_mus must start at 0: cross-entropy alone is what the others are held against")
	}
	for _, b := range c.Bits {
		if err := checkBits(b); err != nil {
			return err
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
	return Config{}, errors.Errorf("weights: scale %q: want smoke, quick or paper", scale)
}
