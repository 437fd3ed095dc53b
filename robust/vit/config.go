package vit

import (
	"cmp"
	"math"
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
	Train   int    `json:"train"`   // training examples, drawn anew for each seed; zero: 5,000
	Test    int    `json:"test"`    // evaluated examples, the same for all; zero: 200

	Seeds  []int64  `json:"seeds"`  // zero: 1, 2
	Models []string `json:"models"` // zero: all of Models but the CNN trained with TRADES, which no claim looks at

	Patch int `json:"patch"` // side of a transformer's patches; zero: a quarter of the image's side
	Width int `json:"width"` // of the transformers; zero: 48
	Depth int `json:"depth"` // blocks of the transformers; zero: 2
	Heads int `json:"heads"` // zero: 4

	Epochs       int     `json:"epochs"`        // of convolutional networks and adversarial training, transformers take twice as many; zero: 4
	Pretrain     int     `json:"pretrain"`      // images to pre-train on; zero: 10,000
	BatchSize    int     `json:"batch_size"`    // zero: 64
	LearningRate float64 `json:"learning_rate"` // of AdamW, with 100 steps of warm-up and a cosine; zero: 1e-3
	WeightDecay  float64 `json:"weight_decay"`  // zero: 0.05

	// Epsilon is the grid of l-infinity radii; zero: 0.02, 0.05, 0.1, 0.2; with color 1/255, 2/255, 4/255, 8/255.
	Epsilon []float64 `json:"epsilon"`
	// Reference is the radius of that grid at which claims are judged, neither of all nor of none; zero: 0.05, with color
	// 2/255, or else the grid's middle.
	Reference float64 `json:"reference"`
	// TrainEpsilon is the radius of that grid for adversarial training; zero: 0.1, with color 8/255, or else the largest.
	TrainEpsilon  float64 `json:"train_epsilon"`
	Steps         int     `json:"steps"`          // of PGD, each a tenth of the radius; zero: 20
	TrainSteps    int     `json:"train_steps"`    // of adversarial training; zero: 5
	StrongImages  int     `json:"strong_images"`  // test examples for APGD; zero: 100
	StrongSteps   int     `json:"strong_steps"`   // of APGD; zero: 50
	InspectImages int     `json:"inspect_images"` // test examples on which blocks are read out; half as many are held out; zero: 200

	Imported []Imported `json:"imported,omitempty"` // networks to study in place of ours
	Images   string     `json:"-"`                  // NPY files of labeled images for them, in place of a data set
	Labels   string     `json:"-"`

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Shard    study.Shard     `json:"-"` // what to do of the work; zero: all
	Progress report.Progress `json:"-"` // nil shows nothing
}

// Imported is a network that the user trained elsewhere.
type Imported struct {
	Name string `json:"name"` // in tables
	Path string `json:"path"` // of the ONNX file
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Train: 256, Test: 48, Seeds: []int64{1}, Models: []string{CNN, ViT, PretrainedViT, ViTPGD},
		Width: 16, Heads: 2, Epochs: 1, Pretrain: 256, Epsilon: []float64{0.05, 0.1}, Steps: 3, TrainSteps: 1,
		StrongImages: 24, StrongSteps: 10, InspectImages: 48}
}

// Paper is what the specification of this replication foresees for a GPU without pretrained weights: the whole data set,
// transformers as wide and deep as small images bear, five seeds. For the paper's own networks give Imported.
func Paper() Config {
	return Config{Scale: "paper", Train: 50_000, Test: 2_000, Seeds: []int64{1, 2, 3, 4, 5}, Width: 192, Depth: 6, Heads: 6, Epochs: 20,
		Pretrain: 200_000, Steps: 40, TrainSteps: 7, StrongImages: 1_000, StrongSteps: 100, InspectImages: 2_000}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	c.Scale, c.Dataset = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "mnist")
	c.Train, c.Test = cmp.Or(c.Train, 5_000), cmp.Or(c.Test, 200)
	c.Width, c.Depth, c.Heads = cmp.Or(c.Width, 48), cmp.Or(c.Depth, 2), cmp.Or(c.Heads, 4)
	c.Epochs, c.Pretrain, c.BatchSize = cmp.Or(c.Epochs, 4), cmp.Or(c.Pretrain, 10_000), cmp.Or(c.BatchSize, 64)
	c.LearningRate, c.WeightDecay = cmp.Or(c.LearningRate, 1e-3), cmp.Or(c.WeightDecay, 0.05)
	c.Steps, c.TrainSteps = cmp.Or(c.Steps, 20), cmp.Or(c.TrainSteps, 5)
	c.StrongImages, c.StrongSteps = cmp.Or(c.StrongImages, 100), cmp.Or(c.StrongSteps, 50)
	c.InspectImages = cmp.Or(c.InspectImages, 200)
	grid, reference, train := []float64{0.02, 0.05, 0.1, 0.2}, 0.05, 0.1
	if c.color() {
		grid, reference, train = []float64{1. / 255, 2. / 255, 4. / 255, 8. / 255}, 2./255, 8./255
	}
	if len(c.Epsilon) == 0 {
		c.Epsilon = grid
	}
	c.Reference = cmp.Or(c.Reference, oneOf(c.Epsilon, reference, c.Epsilon[len(c.Epsilon)/2]))
	c.TrainEpsilon = cmp.Or(c.TrainEpsilon, oneOf(c.Epsilon, train, c.Epsilon[len(c.Epsilon)-1]))
	if len(c.Seeds) == 0 {
		c.Seeds = []int64{1, 2}
	}
	if len(c.Imported) > 0 {
		c.Seeds, c.Models = []int64{0}, nil
		for _, m := range c.Imported {
			c.Models = append(c.Models, m.Name)
		}
	}
	if len(c.Models) == 0 {
		for _, m := range Models() {
			if m.Name != CNNTRADES {
				c.Models = append(c.Models, m.Name)
			}
		}
	}
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// oneOf is the wanted radius if the grid has it, else another.
func oneOf(grid []float64, want, otherwise float64) float64 {
	if slices.Contains(grid, want) {
		return want
	}
	return otherwise
}

// color tells whether the images have three channels, on which a smaller change shows.
func (c Config) color() bool {
	return c.Dataset == "cifar10" || c.Dataset == "svhn" || len(c.Imported) > 0
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	return study.First("vit",
		study.AtLeast(1, study.Count("train", c.Train), study.Count("test", c.Test), study.Count("patch", cmp.Or(c.Patch, 1)),
			study.Count("width", c.Width), study.Count("depth", c.Depth), study.Count("heads", c.Heads), study.Count("epochs", c.Epochs),
			study.Count("pretrain", c.Pretrain), study.Count("batch_size", c.BatchSize), study.Count("steps", c.Steps),
			study.Count("train_steps", c.TrainSteps), study.Count("strong_images", c.StrongImages), study.Count("strong_steps", c.StrongSteps)),
		study.AtLeast(4, study.Count("inspect_images", c.InspectImages)), // half of them to fit and half to test
		study.Positive(study.Rate("learning_rate", c.LearningRate), study.Rate("weight_decay", c.WeightDecay)),
		study.Seeds(c.Seeds), c.checkRadii(), c.checkModels(), c.Shard.Validate(c.Dir))
}

func (c Config) checkRadii() error {
	for i, e := range c.Epsilon {
		if err := (robust.Threat{Epsilon: e}).Validate(0); err != nil || math.IsInf(e, 1) || e == 0 || i > 0 && e <= c.Epsilon[i-1] {
			return errors.Errorf("epsilon = %v: must be finite, above 0 and grow", c.Epsilon)
		}
	}
	for _, e := range []study.Setting[float64]{study.Rate("reference", c.Reference), study.Rate("train_epsilon", c.TrainEpsilon)} {
		if !slices.Contains(c.Epsilon, e.Value) {
			return errors.Errorf("%s = %g: must be one of epsilon, %v", e.Name, e.Value, c.Epsilon)
		}
	}
	return nil
}

func (c Config) checkModels() error {
	imported := len(c.Imported) > 0
	switch {
	case c.BatchSize > min(c.Train, c.Pretrain):
		return errors.Errorf("batch_size = %d for %d training and %d pre-training examples: must not be larger", c.BatchSize, c.Train, c.Pretrain)
	case (c.Images == "") == imported || (c.Images == "") != (c.Labels == ""):
		return errors.New("imported networks, images and labels belong together: give all or none")
	case imported && c.Shard != study.Shard{}:
		return errors.New("a study of imported networks runs as a whole only: give no shard")
	case imported:
		return nil
	}
	_, err := modelsNamed(c.Models)
	return err
}

// AtScale returns the configuration of a scale: "smoke", "quick" or "paper".
func AtScale(scale string) (Config, error) { return study.AtScale("vit", scale, Smoke, Paper) }
