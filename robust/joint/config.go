package joint

import (
	"cmp"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/study"
)

// Config sizes the replication. The zero value is the quick scale: minutes on two cores.
type Config struct {
	Scale   string `json:"scale"`   // a name for tables: "quick", "smoke", "paper" or what the caller likes
	Dataset string `json:"dataset"` // zero: "mnist"
	DataDir string `json:"-"`       // where data files lie; zero: the data set's own place
	Train   int    `json:"train"`   // training examples, drawn anew for each seed; zero: 10,000
	Test    int    `json:"test"`    // evaluated examples, the same for all; zero: 1,000

	Seeds   []int64  `json:"seeds"`   // zero: 1, 2, 3, 4, 5
	Methods []string `json:"methods"` // zero: all of Methods

	Hidden       []int   `json:"hidden"`        // zero: 128, 64, 32
	WarmUp       int     `json:"warm_up"`       // epochs of standard training before it; zero: 3
	Epochs       int     `json:"epochs"`        // epochs of the method's own loss; zero: 12
	BatchSize    int     `json:"batch_size"`    // zero: 64
	LearningRate float64 `json:"learning_rate"` // of Adam; zero: 1e-3

	EpsilonInput  []float64 `json:"epsilon_input"`  // grid of input radii; zero: 0, 0.05, 0.1
	EpsilonWeight []float64 `json:"epsilon_weight"` // grid of weight radii; zero: 0, 0.002, 0.003, 0.005
	Steps         int       `json:"steps"`          // of the attacks; zero: 20
	Restarts      int       `json:"restarts"`       // of the attacks; zero: 1

	CertifyInput  float64   `json:"certify_input"` // radii at which accuracy is certified; zero: 1e-3 and 1e-4
	CertifyWeight float64   `json:"certify_weight"`
	CertifyScales []float64 `json:"certify_scales"` // multiples of them for the curves; zero: 0.1, 0.3, 1, 3, 10
	VerifyImages  int       `json:"verify_images"`  // zero: 100
	VerifyRandom  int       `json:"verify_random"`  // random perturbations a network and pair of radii (of 5 pairs); zero: 2,000

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Shard    study.Shard     `json:"-"` // what to do of the work; zero: all
	Progress report.Progress `json:"-"` // nil shows nothing
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Train: 600, Test: 100, Seeds: []int64{1}, Methods: []string{Standard, ATx, Reg}, WarmUp: 1, Epochs: 2,
		EpsilonInput: []float64{0, 0.1}, EpsilonWeight: []float64{0, 0.005}, Steps: 5, VerifyImages: 20, VerifyRandom: 200}
}

// Paper is the largest scale that the specification of this replication foresees: all of MNIST, five seeds, a fine
// grid, 100 attack steps with five restarts. It wants a GPU.
func Paper() Config {
	return Config{Scale: "paper", Train: 60_000, Test: 10_000, Seeds: []int64{1, 2, 3, 4, 5}, Steps: 100, Restarts: 5,
		EpsilonInput:  []float64{0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3},
		EpsilonWeight: []float64{0, 0.001, 0.002, 0.003, 0.005, 0.01}}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	c.Scale = cmp.Or(c.Scale, "quick")
	c.Dataset = cmp.Or(c.Dataset, "mnist")
	c.Train, c.Test = cmp.Or(c.Train, 10_000), cmp.Or(c.Test, 1_000)
	c.WarmUp, c.Epochs = cmp.Or(c.WarmUp, 3), cmp.Or(c.Epochs, 12)
	c.BatchSize, c.LearningRate = cmp.Or(c.BatchSize, 64), cmp.Or(c.LearningRate, 1e-3)
	c.Steps, c.Restarts = cmp.Or(c.Steps, 20), cmp.Or(c.Restarts, 1)
	c.CertifyInput, c.CertifyWeight = cmp.Or(c.CertifyInput, 1e-3), cmp.Or(c.CertifyWeight, 1e-4)
	c.VerifyImages, c.VerifyRandom = cmp.Or(c.VerifyImages, 100), cmp.Or(c.VerifyRandom, 2_000)
	study.Default(&c.Hidden, 128, 64, 32)
	study.Default(&c.Seeds, 1, 2, 3, 4, 5)
	if len(c.Methods) == 0 {
		for _, m := range Methods() {
			c.Methods = append(c.Methods, m.Name)
		}
	}
	study.Default(&c.EpsilonInput, 0, 0.05, 0.1)
	study.Default(&c.EpsilonWeight, 0, 0.002, 0.003, 0.005)
	study.Default(&c.CertifyScales, 0.1, 0.3, 1, 3, 10)
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	return study.First("joint",
		study.AtLeast(1, study.Count("train", c.Train), study.Count("test", c.Test), study.Count("warm_up", c.WarmUp),
			study.Count("epochs", c.Epochs), study.Count("batch_size", c.BatchSize), study.Count("steps", c.Steps),
			study.Count("restarts", c.Restarts), study.Count("verify_images", c.VerifyImages), study.Count("verify_random", c.VerifyRandom)),
		study.Positive(study.Rate("learning_rate", c.LearningRate)),
		study.Seeds(c.Seeds), c.checkShapes(), c.checkRadii(), c.Shard.Validate(c.Dir))
}

func (c Config) checkShapes() error {
	if c.BatchSize > c.Train {
		return errors.Errorf("batch_size = %d for %d training examples: must not be larger", c.BatchSize, c.Train)
	}
	if slices.ContainsFunc(c.Hidden, func(n int) bool { return n < 1 }) {
		return errors.Errorf("hidden = %v: widths must be at least 1", c.Hidden)
	}
	_, err := methodsNamed(c.Methods)
	return err
}

func (c Config) checkRadii() error {
	for _, s := range []study.Setting[[]float64]{
		{Name: "epsilon_input", Value: c.EpsilonInput}, {Name: "epsilon_weight", Value: c.EpsilonWeight},
	} {
		if !slices.IsSorted(s.Value) || s.Value[0] != 0 {
			return errors.Errorf("%s = %v: must start at 0 and grow", s.Name, s.Value)
		}
	}
	for _, e := range slices.Concat(c.EpsilonInput, c.EpsilonWeight, c.CertifyScales, []float64{c.CertifyInput, c.CertifyWeight}) {
		t := robust.Threat{Epsilon: e}
		if err := cmp.Or(t.Validate(0), t.RequireBudget()); err != nil {
			return err
		}
	}
	return nil
}

// AtScale returns the configuration of a scale: "smoke", "quick" or "paper".
func AtScale(scale string) (Config, error) { return study.AtScale("joint", scale, Smoke, Paper) }
