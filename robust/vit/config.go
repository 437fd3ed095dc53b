package vit

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
	Train   int    `json:"train"`   // training examples, drawn anew for each seed; zero: 5,000
	Test    int    `json:"test"`    // evaluated examples, the same for all; zero: 200

	Seeds  []int64  `json:"seeds"`  // zero: 1, 2
	Models []string `json:"models"` // zero: all of Models but the CNN trained with TRADES, which no claim looks at

	Patch int `json:"patch"` // side of a transformer's patches; zero: a quarter of the image's side
	Width int `json:"width"` // of the transformers; zero: 48
	Depth int `json:"depth"` // blocks of the transformers; zero: 2
	Heads int `json:"heads"` // zero: 4

	Epochs       int     `json:"epochs"`        // of convolutional networks, and of adversarial training; zero: 4. Transformers take twice as many
	Pretrain     int     `json:"pretrain"`      // images to pre-train on; zero: 10,000
	BatchSize    int     `json:"batch_size"`    // zero: 64
	LearningRate float64 `json:"learning_rate"` // of AdamW, with 100 steps of warm-up and a cosine; zero: 1e-3
	WeightDecay  float64 `json:"weight_decay"`  // zero: 0.05

	Epsilon       []float64 `json:"epsilon"`        // grid of l-infinity radii; zero: 0.02, 0.05, 0.1, 0.2; with color 1/255, 2/255, 4/255, 8/255
	Reference     float64   `json:"reference"`      // radius of that grid at which claims are judged, neither of all nor of none; zero: 0.05, with color 2/255, or else the grid's middle
	TrainEpsilon  float64   `json:"train_epsilon"`  // radius of that grid for adversarial training; zero: 0.1, with color 8/255, or else the largest
	Steps         int       `json:"steps"`          // of PGD, each a tenth of the radius; zero: 20
	TrainSteps    int       `json:"train_steps"`    // of adversarial training; zero: 5
	StrongImages  int       `json:"strong_images"`  // test examples for APGD; zero: 100
	StrongSteps   int       `json:"strong_steps"`   // of APGD; zero: 50
	InspectImages int       `json:"inspect_images"` // test examples on which blocks are read out; half as many are held out; zero: 200

	Imported []Imported `json:"imported,omitempty"` // networks to study in place of ours
	Images   string     `json:"-"`                  // NPY files of labeled images for them, in place of a data set
	Labels   string     `json:"-"`

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Progress report.Progress `json:"-"` // nil shows nothing
}

// Imported is a network that the user trained elsewhere.
type Imported struct {
	Name string `json:"name"` // in tables
	Path string `json:"path"` // of the ONNX file
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Train: 256, Test: 48, Seeds: []int64{1}, Models: []string{CNN, ViT, PretrainedViT, ViTPGD}, Width: 16, Heads: 2, Epochs: 1,
		Pretrain: 256, Epsilon: []float64{0.05, 0.1}, Steps: 3, TrainSteps: 1, StrongImages: 24, StrongSteps: 10, InspectImages: 48}
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
	c.StrongImages, c.StrongSteps, c.InspectImages = cmp.Or(c.StrongImages, 100), cmp.Or(c.StrongSteps, 50), cmp.Or(c.InspectImages, 200)
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
	for name, n := range map[string]int{"train": c.Train, "test": c.Test, "width": c.Width, "depth": c.Depth, "heads": c.Heads, "epochs": c.Epochs,
		"pretrain": c.Pretrain, "batch_size": c.BatchSize, "steps": c.Steps, "train_steps": c.TrainSteps, "strong_images": c.StrongImages,
		"strong_steps": c.StrongSteps} {
		if n < 1 {
			return errors.Errorf("vit: %s = %d: must be at least 1", name, n)
		}
	}
	if c.Patch < 0 {
		return errors.Errorf("vit: patch = %d: must be at least 1", c.Patch)
	}
	if c.InspectImages < 4 {
		return errors.Errorf("vit: inspect_images = %d: must be at least 4, half of them to fit and half to test", c.InspectImages)
	}
	if c.BatchSize > min(c.Train, c.Pretrain) {
		return errors.Errorf("vit: batch_size = %d for %d training and %d pre-training examples: must not be larger", c.BatchSize, c.Train, c.Pretrain)
	}
	for name, v := range map[string]float64{"learning_rate": c.LearningRate, "weight_decay": c.WeightDecay} {
		if !(v > 0) || math.IsInf(v, 1) {
			return errors.Errorf("vit: %s = %g: must be finite and > 0", name, v)
		}
	}
	for i, s := range c.Seeds {
		if slices.Contains(c.Seeds[:i], s) {
			return errors.Errorf("vit: seed %d is given twice: an interval over seeds needs different ones", s)
		}
	}
	for i, e := range c.Epsilon {
		if err := (robust.Threat{Epsilon: e}).Validate(0); err != nil || math.IsInf(e, 1) || e == 0 || i > 0 && e <= c.Epsilon[i-1] {
			return errors.Errorf("vit: epsilon = %v: must be finite, above 0 and grow", c.Epsilon)
		}
	}
	for name, e := range map[string]float64{"reference": c.Reference, "train_epsilon": c.TrainEpsilon} {
		if !slices.Contains(c.Epsilon, e) {
			return errors.Errorf("vit: %s = %g: must be one of epsilon, %v", name, e, c.Epsilon)
		}
	}
	if (c.Images == "") != (len(c.Imported) == 0) || (c.Images == "") != (c.Labels == "") {
		return errors.New("vit: imported networks, images and labels belong together: give all or none")
	}
	if len(c.Imported) > 0 {
		return nil
	}
	_, err := modelsNamed(c.Models)
	return err
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
	return Config{}, errors.Errorf("vit: scale %q: want smoke, quick or paper", scale)
}
