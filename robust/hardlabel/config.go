package hardlabel

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
	Train   int    `json:"train"`   // training images, drawn anew for each seed: the manifold is what lies near them; zero: 5,000
	Held    int    `json:"held"`    // others of the training set, for the autoencoder; zero: 2,000
	Test    int    `json:"test"`    // test images, the same for all; zero: 500

	Seeds []int64 `json:"seeds"` // zero: 1, 2, 3

	Channels     []int   `json:"channels"`      // of the networks' convolutions; zero: 16, 32
	Dense        int     `json:"dense"`         // width of the layer before the logits, the features of the Fréchet distance; zero: 64
	Epochs       int     `json:"epochs"`        // of natural training; zero: 5
	WarmUp       int     `json:"warm_up"`       // epochs of the same before adversarial training; zero: 2
	RobustEpochs int     `json:"robust_epochs"` // of that; zero: 4
	BatchSize    int     `json:"batch_size"`    // zero: 64
	Epsilon      float64 `json:"epsilon"`       // its radius in linf; zero: 0.2
	Steps        int     `json:"steps"`         // of PGD in it; zero: 7

	// The autoencoder halves images so often, has so many channels, and is trained for so many epochs; zero: 1, 16, 4
	Halvings          int  `json:"halvings"`
	Filters           int  `json:"filters"`
	AutoencoderEpochs int  `json:"autoencoder_epochs"`
	Tanh              bool `json:"tanh"` // instead of ReLU

	Images int `json:"images"` // that are attacked: test images that a network gets right, drawn anew for each seed; zero: 16
	// Spaces are where directions are drawn from: "full" first, then the reduced one that claims are judged by, then others;
	// zero: full, bilinear:7, bilinear:14, autoencoder
	Spaces  []string `json:"spaces"`
	Budgets []int    `json:"budgets"` // queries an image at which attacks are read, rising; claims are judged by the last; zero: 400, 1,000
	// Deep are further budgets, for the natural network in the first two spaces; zero: 2,000, 4,000
	Deep []int `json:"deep"`

	Radii    []float64 `json:"radii"`     // in l2, rising, that PGD is tried with; zero: from 0.5 to 6
	PGDSteps int       `json:"pgd_steps"` // zero: 50

	Neighbors int `json:"neighbors"` // training images that a tangent plane is fitted to; zero: 50
	Rank      int `json:"rank"`      // its dimensions; zero: 10
	Near      int `json:"near"`      // training images whose mean distance is taken beside; zero: 5

	// Of the spheres: the dimensions that fill all of space, with SpherePoints training points; numbers of training points in
	// SphereDimension dimensions; and the space that SphereInside dimensions lie in.
	Dimensions      []int `json:"dimensions"`       // rising; zero: 4, 16, 64
	SpherePoints    int   `json:"sphere_points"`    // zero: 2,000
	TrainPoints     []int `json:"train_points"`     // rising; zero: 100, 1,000, 10,000
	SphereDimension int   `json:"sphere_dimension"` // zero: 16
	SphereInside    int   `json:"sphere_inside"`    // zero: 8
	Ambient         int   `json:"ambient"`          // zero: 128
	SphereSteps     int   `json:"sphere_steps"`     // of training; zero: 1,500
	Boundary        int   `json:"boundary"`         // points of the decision boundary, around each of which 50 queries are made; zero: 40

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Shard    study.Shard     `json:"-"` // what to do of the work; zero: all
	Progress report.Progress `json:"-"` // nil shows nothing
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Train: 600, Held: 200, Test: 100, Seeds: []int64{1}, Channels: []int{4, 8}, Dense: 16, Epochs: 3, WarmUp: 2,
		RobustEpochs: 1, Steps: 2, Filters: 4, AutoencoderEpochs: 1, Images: 4, Spaces: []string{"full", "bilinear:7", "autoencoder"},
		Budgets: []int{250, 400}, Deep: []int{500}, Radii: []float64{1, 3, 6}, PGDSteps: 5, Neighbors: 20, Rank: 5,
		Dimensions: []int{4, 16}, SpherePoints: 200, TrainPoints: []int{50, 200}, SphereDimension: 8, SphereInside: 4, Ambient: 32,
		SphereSteps: 100, Boundary: 10}
}

// Paper is CIFAR-10 with as many queries as the specification of this replication foresees, and enough images for the Fréchet
// distance. It wants a GPU.
func Paper() Config {
	return Config{Scale: "paper", Dataset: "cifar10", Train: 40_000, Held: 10_000, Test: 2_000, Seeds: []int64{1, 2, 3, 4, 5},
		Channels: []int{32, 64, 128}, Dense: 128, Epochs: 30, WarmUp: 5, RobustEpochs: 30, Epsilon: 8. / 255, Halvings: 2, AutoencoderEpochs: 30,
		Tanh: true, Images: 300, Spaces: []string{"full", "bilinear:8", "bilinear:16", "dct:8", "autoencoder"},
		Budgets: []int{400, 1000, 4000, 10_000, 25_000},
		Radii:   []float64{0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3}, PGDSteps: 100,
		Dimensions: []int{4, 8, 16, 32, 64, 128}, TrainPoints: []int{100, 300, 1000, 3000, 10_000}}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	c.Scale, c.Dataset = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "mnist")
	c.Train, c.Held, c.Test = cmp.Or(c.Train, 5_000), cmp.Or(c.Held, 2_000), cmp.Or(c.Test, 500)
	c.Dense, c.Epochs, c.WarmUp, c.RobustEpochs = cmp.Or(c.Dense, 64), cmp.Or(c.Epochs, 5), cmp.Or(c.WarmUp, 2), cmp.Or(c.RobustEpochs, 4)
	c.BatchSize, c.Epsilon, c.Steps = cmp.Or(c.BatchSize, 64), cmp.Or(c.Epsilon, 0.2), cmp.Or(c.Steps, 7)
	c.Halvings, c.Filters, c.AutoencoderEpochs = cmp.Or(c.Halvings, 1), cmp.Or(c.Filters, 16), cmp.Or(c.AutoencoderEpochs, 4)
	c.Images, c.PGDSteps = cmp.Or(c.Images, 16), cmp.Or(c.PGDSteps, 50)
	c.Neighbors, c.Rank, c.Near = cmp.Or(c.Neighbors, 50), cmp.Or(c.Rank, 10), cmp.Or(c.Near, 5)
	c.SpherePoints, c.SphereDimension = cmp.Or(c.SpherePoints, 2_000), cmp.Or(c.SphereDimension, 16)
	c.SphereInside, c.Ambient, c.SphereSteps = cmp.Or(c.SphereInside, 8), cmp.Or(c.Ambient, 128), cmp.Or(c.SphereSteps, 1_500)
	c.Boundary = cmp.Or(c.Boundary, 40)
	study.Default(&c.Seeds, 1, 2, 3)
	study.Default(&c.Channels, 16, 32)
	study.Default(&c.Spaces, SpaceFull, "bilinear:7", "bilinear:14", SpaceAutoencoder)
	if len(c.Budgets) == 0 {
		study.Default(&c.Deep, 2000, 4000)
	}
	study.Default(&c.Budgets, 400, 1000)
	study.Default(&c.Radii, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6)
	study.Default(&c.Dimensions, 4, 16, 64)
	study.Default(&c.TrainPoints, 100, 1_000, 10_000)
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	return study.First("hardlabel",
		study.AtLeast(1, study.Count("train", c.Train), study.Count("held", c.Held), study.Count("test", c.Test),
			study.Count("dense", c.Dense), study.Count("epochs", c.Epochs), study.Count("warm_up", c.WarmUp),
			study.Count("robust_epochs", c.RobustEpochs), study.Count("batch_size", c.BatchSize), study.Count("steps", c.Steps),
			study.Count("halvings", c.Halvings), study.Count("filters", c.Filters), study.Count("autoencoder_epochs", c.AutoencoderEpochs),
			study.Count("pgd_steps", c.PGDSteps), study.Count("near", c.Near), study.Count("boundary", c.Boundary)),
		study.AtLeast(2, study.Count("images", c.Images)),
		study.Positive(study.Rate("epsilon", c.Epsilon)), study.Seeds(c.Seeds),
		c.checkSizes(), c.checkSpaces(), c.checkGrids(), c.checkSpheres(), c.Shard.Validate(c.Dir))
}

func (c Config) checkSizes() error {
	if c.BatchSize > min(c.Train, c.Held) {
		return errors.Errorf("batch_size = %d for %d training images and %d for the autoencoder: must not be larger", c.BatchSize,
			c.Train, c.Held)
	}
	if len(c.Channels) == 0 || slices.Min(c.Channels) < 1 {
		return errors.Errorf("channels = %v: want one at least, each at least 1", c.Channels)
	}
	if c.Images > c.Test {
		return errors.Errorf("images = %d of %d test images: must not be larger", c.Images, c.Test)
	}
	if c.Rank < 1 || c.Rank >= c.Neighbors || c.Neighbors > c.Train || c.Near > c.Train {
		return errors.Errorf("rank = %d, neighbors = %d, near = %d: want 1 <= rank < neighbors, and no more neighbors than the "+
			"%d training images", c.Rank, c.Neighbors, c.Near, c.Train)
	}
	return nil
}

func (c Config) checkSpaces() error {
	if err := study.Distinct("spaces", c.Spaces); err != nil {
		return err
	}
	if c.Spaces[0] != SpaceFull || len(c.Spaces) < 2 {
		return errors.Errorf("spaces = %v: want full first, and a reduced one at least", c.Spaces)
	}
	for _, s := range c.Spaces {
		if err := checkSpace(s); err != nil {
			return err
		}
	}
	return nil
}

// fewestQueries pay for Sign-OPT's 100 initial directions and the clean image.
const fewestQueries = 102

func (c Config) checkGrids() error {
	all := slices.Concat(c.Budgets, c.Deep)
	if err := study.Distinct("budgets, deep", all); err != nil {
		return err
	}
	if !slices.IsSorted(all) || all[0] < fewestQueries {
		return errors.Errorf("budgets = %v, deep = %v: must rise, from %d or more", c.Budgets, c.Deep, fewestQueries)
	}
	if err := study.Distinct("radii", c.Radii); err != nil {
		return err
	}
	if !slices.IsSorted(c.Radii) || c.Radii[0] <= 0 {
		return errors.Errorf("radii = %v: must be positive and rise", c.Radii)
	}
	t := robust.Threat{Epsilon: c.Radii[len(c.Radii)-1]}
	return cmp.Or(t.Validate(0), t.RequireBudget())
}

func (c Config) checkSpheres() error {
	for _, s := range []study.Setting[[]int]{{Name: "dimensions", Value: c.Dimensions}, {Name: "train_points", Value: c.TrainPoints}} {
		if err := study.Distinct(s.Name, s.Value); err != nil {
			return err
		}
		if !slices.IsSorted(s.Value) || len(s.Value) < 2 {
			return errors.Errorf("%s = %v: want two at least, rising", s.Name, s.Value)
		}
	}
	for _, s := range c.Spheres(0) {
		if err := s.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// reduced is the reduced space that claims are judged by.
func (c Config) reduced() string { return c.Spaces[1] }

// queries is the budget that claims are judged by, deepest the largest of all.
func (c Config) queries() int { return c.Budgets[len(c.Budgets)-1] }
func (c Config) deepest() int { return slices.Max(slices.Concat(c.Budgets, c.Deep)) }

// budgetsOf are the budgets at which attacks on a network in a space are read.
func (c Config) budgetsOf(method, space string) []int {
	if method == Natural && slices.Contains(c.Spaces[:2], space) {
		return slices.Concat(c.Budgets, c.Deep)
	}
	return c.Budgets
}

// AtScale returns the configuration of a scale: "smoke", "quick" or "paper".
func AtScale(scale string) (Config, error) { return study.AtScale("hardlabel", scale, Smoke, Paper) }
