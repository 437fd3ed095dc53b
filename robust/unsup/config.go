package unsup

import (
	"cmp"
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
	// Side is that of the images, which are made smaller: the middle, averaged over squares of pixels; zero: 8
	Side  int `json:"side"`
	Train int `json:"train"` // images that networks learn from, drawn anew for each seed, one example each; zero: 200
	Probe int `json:"probe"` // others, with labels, that classifiers learn from; zero: 1,000
	Test  int `json:"test"`  // zero: 1,000

	Seeds []int64 `json:"seeds"` // zero: 1, 2, 3

	// Networks are those that learn anew, by name; zero: all. Empty, it is no part of results.
	Networks []string `json:"networks,omitempty"`

	Batch         int `json:"batch"`          // zero: 50
	Steps         int `json:"steps"`          // of training a convolutional autoencoder; zero: 1,500
	DenseSteps    int `json:"dense_steps"`    // of a dense and a sparse one; zero: 3,000
	Selected      int `json:"selected"`       // pixels that a concrete autoencoder selects; zero: 10
	SelectSteps   int `json:"select_steps"`   // of training it; zero: 1,000
	ContrastSteps int `json:"contrast_steps"` // of training a contrastive network; zero: 300

	Hidden         int `json:"hidden"`          // width of the estimator; zero: 64
	Search         int `json:"search"`          // gradient steps for an example; zero: 100
	ContrastSearch int `json:"contrast_search"` // the same by a contrastive network; zero: 20
	Copies         int `json:"copies"`          // pairs of views that its loss compares; zero: 8
	Projections    int `json:"projections"`     // samples of an image where there is no convolution; zero: 32
	Projected      int `json:"projected"`       // values of each; zero: 16

	Compared int `json:"compared"` // images that searches are compared on; zero: 32
	Rounds   int `json:"rounds"`   // in which the penalty's weight is searched; zero: 9
	Faithful int `json:"faithful"` // images by the setting of the authors' code; zero: 8
	// FaithfulWidth and FaithfulSteps make that setting smaller; zero: as it is, a width of 512 and 40 steps
	FaithfulWidth int `json:"faithful_width,omitempty"`
	FaithfulSteps int `json:"faithful_steps,omitempty"`

	Classified int `json:"classified"`  // images by which a classifier is attacked; zero: 100
	Similarity int `json:"similarity"`  // steps of the estimators that examples and noise are compared by; zero: 300
	EstimateOn int `json:"estimate_on"` // pairs of numbers whose information is estimated; zero: 40,000
	Estimates  int `json:"estimates"`   // steps of the estimator for it; zero: 3,000

	Noise []float64 `json:"noise"` // deviations of noise, as the authors' code has it; zero: 0.01

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Shard    study.Shard     `json:"-"` // what to do of the work; zero: all
	Progress report.Progress `json:"-"` // nil shows nothing
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Train: 32, Probe: 60, Test: 60, Seeds: []int64{1}, Networks: []string{Convolutional, Concrete,
		Contrastive},
		Batch: 16, Steps: 60, DenseSteps: 60, Similarity: 20, Selected: 8, SelectSteps: 40, ContrastSteps: 10, Hidden: 8, Search: 20,
		ContrastSearch: 3, Copies: 2,
		Projections: 8, Projected: 8, Compared: 8, Rounds: 2, Faithful: 2, FaithfulWidth: 8, FaithfulSteps: 3, Classified: 8,
		EstimateOn: 1000, Estimates: 50, Noise: []float64{0.01}}
}

// Paper is MNIST as it is with the authors' networks and an example of each of its images. It wants a GPU.
func Paper() Config {
	return Config{Scale: "paper", Side: 28, Train: 40_000, Probe: 10_000, Test: 10_000, Seeds: []int64{1, 2, 3, 4, 5}, Batch: 100,
		Steps:    8_000,
		Selected: 50, SelectSteps: 320_000, ContrastSteps: 30_000, Hidden: 512, Search: 1_000, Copies: 50, Projections: 500, Projected: 128,
		Compared: 1_000,
		Faithful: 1_000, Classified: 1_000, DenseSteps: 8_000, Noise: []float64{0.01, 0.001}}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	c.Scale, c.Dataset, c.Side = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "mnist"), cmp.Or(c.Side, 8)
	c.Train, c.Probe, c.Test = cmp.Or(c.Train, 200), cmp.Or(c.Probe, 1_000), cmp.Or(c.Test, 1_000)
	c.Batch, c.Steps, c.Selected = cmp.Or(c.Batch, 50), cmp.Or(c.Steps, 1_500), cmp.Or(c.Selected, 10)
	c.DenseSteps, c.Similarity = cmp.Or(c.DenseSteps, 3_000), cmp.Or(c.Similarity, 300)
	c.SelectSteps, c.ContrastSteps = cmp.Or(c.SelectSteps, 1_000), cmp.Or(c.ContrastSteps, 300)
	c.Hidden, c.Search, c.ContrastSearch = cmp.Or(c.Hidden, 64), cmp.Or(c.Search, 100), cmp.Or(c.ContrastSearch, 20)
	c.Copies, c.Projections, c.Projected = cmp.Or(c.Copies, 8), cmp.Or(c.Projections, 32), cmp.Or(c.Projected, 16)
	c.Compared, c.Rounds, c.Faithful = cmp.Or(c.Compared, 32), cmp.Or(c.Rounds, 9), cmp.Or(c.Faithful, 8)
	c.Classified, c.EstimateOn, c.Estimates = cmp.Or(c.Classified, 100), cmp.Or(c.EstimateOn, 40_000), cmp.Or(c.Estimates, 3_000)
	study.Default(&c.Seeds, 1, 2, 3)
	study.Default(&c.Noise, 0.01)
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	_, known := study.Pick("network", c.Networks, tasks, Task.name)
	errs := []error{
		study.AtLeast(1, study.Count("side", c.Side), study.Count("train", c.Train), study.Count("probe", c.Probe), study.Count("test", c.Test),
			study.Count("batch", c.Batch), study.Count("steps", c.Steps), study.Count("dense_steps", c.DenseSteps),
			study.Count("similarity", c.Similarity), study.Count("selected", c.Selected),
			study.Count("select_steps", c.SelectSteps), study.Count("contrast_steps", c.ContrastSteps), study.Count("hidden", c.Hidden),
			study.Count("search", c.Search), study.Count("contrast_search", c.ContrastSearch), study.Count("projected", c.Projected),
			study.Count("compared", c.Compared), study.Count("rounds", c.Rounds), study.Count("faithful", c.Faithful),
			study.Count("classified", c.Classified), study.Count("estimates", c.Estimates)),
		study.AtLeast(0, study.Count("faithful_width", c.FaithfulWidth), study.Count("faithful_steps", c.FaithfulSteps)),
		study.AtLeast(2, study.Count("copies", c.Copies), study.Count("projections", c.Projections)),
		study.AtLeast(8, study.Count("estimate_on", c.EstimateOn)),
		study.Seeds(c.Seeds), known, study.Distinct("noise", c.Noise),
	}
	for _, sd := range c.Noise {
		errs = append(errs, study.Positive(study.Rate("noise", sd)))
	}
	if c.Batch > c.Train || c.Batch < 2 {
		errs = append(errs, errors.Errorf("batch = %d of train = %d images: want 2 to all of them", c.Batch, c.Train))
	}
	if most := max(c.Compared, c.Faithful); most > c.Train {
		errs = append(errs, errors.Errorf("compared = %d, faithful = %d of train = %d images: want no more than these", c.Compared,
			c.Faithful, c.Train))
	}
	if c.Classified > c.Test {
		errs = append(errs, errors.Errorf("classified = %d of test = %d images: want no more than these", c.Classified, c.Test))
	}
	if c.Selected > c.Side*c.Side {
		errs = append(errs, errors.Errorf("selected = %d of %d pixels: want no more than these", c.Selected, c.Side*c.Side))
	}
	if c.Side%4 != 0 {
		errs = append(errs, errors.Errorf("side = %d: want a multiple of 4, since autoencoders halve twice", c.Side))
	}
	return study.First("unsup", append(errs, c.Shard.Validate(c.Dir))...)
}

// has tells whether a network is asked for.
func (c Config) has(t Task) bool { return len(c.Networks) == 0 || slices.Contains(c.Networks, t.Name) }

// AtScale returns the configuration of a scale: smoke, quick or paper.
func AtScale(scale string) (Config, error) { return study.AtScale("unsup", scale, Smoke, Paper) }
