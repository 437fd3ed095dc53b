package weights

import (
	"cmp"
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

	// The experiment on generalization: factors of the norms; zero: 0, 1e-3, 3e-3, 1e-2, 3e-2, 0.1
	GapMus    []float64 `json:"gap_mus"`
	GapTrain  int       `json:"gap_train"`  // training examples; zero: 2,000
	GapTest   int       `json:"gap_test"`   // zero: 2,000
	GapEpochs int       `json:"gap_epochs"` // zero: 60
	GapNoise  float64   `json:"gap_noise"`  // share of labels drawn at random; zero: 0.2

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Shard    study.Shard     `json:"-"` // what to do of the work; zero: all
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
	c.Scale, c.Dataset = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "mnist")
	c.Train, c.Test = cmp.Or(c.Train, 10_000), cmp.Or(c.Test, 2_000)
	c.WarmUp, c.Epochs = cmp.Or(c.WarmUp, 3), cmp.Or(c.Epochs, 12)
	c.BatchSize, c.LearningRate, c.EpsilonTrain = cmp.Or(c.BatchSize, 64), cmp.Or(c.LearningRate, 1e-3), cmp.Or(c.EpsilonTrain, 0.01)
	c.Steps, c.Restarts, c.Draws = cmp.Or(c.Steps, 20), cmp.Or(c.Restarts, 1), cmp.Or(c.Draws, 10)
	c.LayerEpsilon, c.LayerCertify = cmp.Or(c.LayerEpsilon, 0.01), cmp.Or(c.LayerCertify, 1e-3)
	c.VerifyImages, c.VerifyRandom = cmp.Or(c.VerifyImages, 100), cmp.Or(c.VerifyRandom, 2_000)
	c.GapTrain, c.GapTest = cmp.Or(c.GapTrain, 2_000), cmp.Or(c.GapTest, 2_000)
	c.GapEpochs, c.GapNoise = cmp.Or(c.GapEpochs, 60), cmp.Or(c.GapNoise, 0.2)
	study.Default(&c.Seeds, 1, 2, 3, 4, 5)
	study.Default(&c.Hidden, 128, 64, 32)
	study.Default(&c.Bits, 12, 10, 8, 7, 6, 5, 4, 3, 2)
	study.Default(&c.Lambdas, 0, 1e-3, 3e-3)
	study.Default(&c.Mus, 0, 1e-3, 1e-2)
	study.Default(&c.Epsilon, 0.002, 0.005, 0.01)
	study.Default(&c.Certify, 1e-4, 3e-4, 1e-3)
	study.Default(&c.VerifyAt, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
	study.Default(&c.GapMus, 0, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	return study.First("weights",
		study.AtLeast(1, study.Count("train", c.Train), study.Count("test", c.Test), study.Count("warm_up", c.WarmUp),
			study.Count("epochs", c.Epochs), study.Count("batch_size", c.BatchSize), study.Count("steps", c.Steps),
			study.Count("restarts", c.Restarts), study.Count("draws", c.Draws), study.Count("verify_images", c.VerifyImages),
			study.Count("verify_random", c.VerifyRandom), study.Count("gap_train", c.GapTrain), study.Count("gap_test", c.GapTest),
			study.Count("gap_epochs", c.GapEpochs)),
		study.Positive(study.Rate("learning_rate", c.LearningRate), study.Rate("epsilon_train", c.EpsilonTrain),
			study.Rate("layer_epsilon", c.LayerEpsilon), study.Rate("layer_certify", c.LayerCertify)),
		study.Seeds(c.Seeds), c.checkSizes(), c.checkLists(), checkBits(c.Bits...), c.Shard.Validate(c.Dir))
}

func (c Config) checkSizes() error {
	least := min(c.Train, c.GapTrain)
	switch {
	case c.BatchSize > least:
		return errors.Errorf("batch_size = %d for %d training examples: must not be larger", c.BatchSize, least)
	case c.Test > c.Train:
		return errors.Errorf("test = %d for %d training examples: as many of both are attacked, so it must not be larger", c.Test, c.Train)
	case slices.ContainsFunc(c.Hidden, func(n int) bool { return n < 1 }):
		return errors.Errorf("hidden = %v: widths must be at least 1", c.Hidden)
	case !(c.GapNoise >= 0 && c.GapNoise <= 1):
		return errors.Errorf("gap_noise = %g: must be between 0 and 1", c.GapNoise)
	}
	return nil
}

func (c Config) checkLists() error {
	for _, s := range []struct {
		name string
		list []float64
	}{{"lambdas", c.Lambdas}, {"mus", c.Mus}, {"gap_mus", c.GapMus}, {"epsilon", c.Epsilon}, {"certify", c.Certify},
		{"verify_at", c.VerifyAt}} {
		for i, v := range s.list {
			if i > 0 && v <= s.list[i-1] {
				return errors.Errorf("%s = %v: must grow", s.name, s.list)
			}
			if !(v >= 0) || math.IsInf(v, 1) {
				return errors.Errorf("%s = %v: each must be finite and >= 0", s.name, s.list)
			}
		}
	}
	if c.Lambdas[0] != 0 || c.Mus[0] != 0 || c.GapMus[0] != 0 {
		return errors.New("lambdas, mus and gap_mus must start at 0: cross-entropy alone is what the others are held against")
	}
	return nil
}

// AtScale returns the configuration of a scale: "smoke", "quick" or "paper".
func AtScale(scale string) (Config, error) { return study.AtScale("weights", scale, Smoke, Paper) }
