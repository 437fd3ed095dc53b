package gradsigns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Config sizes the replication. The zero value is the quick scale: minutes on two cores.
type Config struct {
	Scale   string `json:"scale"`   // a name for tables: "quick", "smoke", "paper" or what the caller likes
	Dataset string `json:"dataset"` // zero: "mnist"
	DataDir string `json:"-"`       // where data files lie; zero: the data set's own place
	Train   int    `json:"train"`   // training images, drawn anew for each seed; zero: 50,000
	Thief   int    `json:"thief"`   // others of the training set, which the thief has; zero: 10,000
	Test    int    `json:"test"`    // test images; those of the target class are what marks are read with; zero: 10,000

	Seeds []int64 `json:"seeds"` // zero: 1, 2, 3

	Channels []int `json:"channels"` // of the network's strided convolutions; zero: 16, 32
	Dense    int   `json:"dense"`    // width of the layer before the logits; zero: 64

	Target   int `json:"target"`   // the class whose gradient is signed; zero: class 0
	Bits     int `json:"bits"`     // of the mark that claims are judged by; zero: 64
	Carriers int `json:"carriers"` // input values that carry it; zero: 392
	// Marks are others, BITS/CARRIERS, for what a mark can hold; zero: 32/392, 128/784, 256/784
	Marks []string `json:"marks"`
	// Deep are further ones, with the first seed alone; zero: 512/784, 784/784
	Deep []string `json:"deep"`

	Batch     int   `json:"batch"`      // zero: 100
	PerTarget int   `json:"per_target"` // images of the target class among them, from which the signed gradient is taken; zero: 10
	Steps     []int `json:"steps"`      // of the three phases of training and of settling; zero: 1,200, 500, 500, 300

	Keys    int     `json:"keys"`    // wrong keys that are tried; zero: 2,000
	Robust  int     `json:"robust"`  // test images of each kind that PGD attacks; zero: 400
	Epsilon float64 `json:"epsilon"` // its radius in l2; zero: 0.5
	Judged  int     `json:"judged"`  // test images that the accuracy of endpoints is measured on; zero: 2,000
	Most    int     `json:"most"`    // images a bit that any verification uses at most; zero: 200

	// Attacks are those on the network, by name; zero: all. Empty, it is no part of results.
	Attacks []string `json:"attacks,omitempty"`

	Epochs       int `json:"epochs"`        // of fine-tuning, distillation and extraction; zero: 10
	RobustEpochs int `json:"robust_epochs"` // of adversarial fine-tuning and of that with a penalty; zero: 5

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Shard    study.Shard     `json:"-"` // what to do of the work; zero: all
	Progress report.Progress `json:"-"` // nil shows nothing
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Train: 1000, Thief: 1000, Test: 300, Seeds: []int64{1}, Channels: []int{4, 8}, Dense: 16, Bits: 32,
		Carriers: 98, Marks: []string{"48/196"}, Batch: 50, PerTarget: 5, Steps: []int{40, 10, 10, 10}, Keys: 100,
		Robust: 20, Judged: 50, Most: 5, Epochs: 1, RobustEpochs: 1,
		Attacks: []string{"8 bits", "pruning 60%", "fine-tuning, rate 1e-3", "adversarial fine-tuning", "overwriting, same class", "extraction"}}
}

// Paper is CIFAR-10 with the bits and carriers of the model that the authors released. It wants a GPU.
func Paper() Config {
	return Config{Scale: "paper", Dataset: "cifar10", Train: 40_000, Thief: 10_000, Seeds: []int64{1, 2, 3, 4, 5},
		Channels: []int{32, 64, 128}, Dense: 128, Carriers: 384, Marks: []string{"32/384", "128/1536", "256/3072", "512/3072"},
		Deep:  []string{"1024/3072", "2048/3072"},
		Steps: []int{12_000, 4_000, 4_000, 2_000}}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	c.Scale, c.Dataset = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "mnist")
	c.Train, c.Thief, c.Test = cmp.Or(c.Train, 50_000), cmp.Or(c.Thief, 10_000), cmp.Or(c.Test, 10_000)
	c.Dense, c.Bits, c.Carriers = cmp.Or(c.Dense, 64), cmp.Or(c.Bits, 64), cmp.Or(c.Carriers, 392)
	c.Batch, c.PerTarget = cmp.Or(c.Batch, 100), cmp.Or(c.PerTarget, 10)
	c.Keys, c.Robust, c.Epsilon = cmp.Or(c.Keys, 2_000), cmp.Or(c.Robust, 400), cmp.Or(c.Epsilon, 0.5)
	c.Judged, c.Most = cmp.Or(c.Judged, 2_000), cmp.Or(c.Most, 200)
	c.Epochs, c.RobustEpochs = cmp.Or(c.Epochs, 10), cmp.Or(c.RobustEpochs, 5)
	study.Default(&c.Seeds, 1, 2, 3)
	study.Default(&c.Channels, 16, 32)
	if len(c.Marks) == 0 {
		study.Default(&c.Deep, "512/784", "784/784")
	}
	study.Default(&c.Marks, "32/392", "128/784", "256/784")
	study.Default(&c.Steps, 1200, 500, 500, 300)
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	errs := []error{
		study.AtLeast(1, study.Count("train", c.Train), study.Count("thief", c.Thief), study.Count("test", c.Test),
			study.Count("dense", c.Dense), study.Count("bits", c.Bits), study.Count("carriers", c.Carriers), study.Count("batch", c.Batch),
			study.Count("per_target", c.PerTarget), study.Count("keys", c.Keys), study.Count("robust", c.Robust),
			study.Count("judged", c.Judged), study.Count("most", c.Most), study.Count("epochs", c.Epochs),
			study.Count("robust_epochs", c.RobustEpochs)),
		study.AtLeast(0, study.Count("target", c.Target)),
		study.Positive(study.Rate("epsilon", c.Epsilon)),
		study.Seeds(c.Seeds),
	}
	if _, err := study.Pick("attack", c.Attacks, Config{}.WithDefaults().attacks(nil, nil), Attack.name); err != nil {
		errs = append(errs, err)
	}
	if slices.Min(c.Channels) < 1 {
		errs = append(errs, errors.Errorf("channels = %v: want numbers of 1 at least", c.Channels))
	}
	if c.PerTarget >= c.Batch {
		errs = append(errs, errors.Errorf("per_target = %d of batch = %d: want fewer than the batch", c.PerTarget, c.Batch))
	}
	if c.Judged > c.Test {
		errs = append(errs, errors.Errorf("judged = %d of test = %d images: want no more than these", c.Judged, c.Test))
	}
	if len(c.Steps) != 4 || slices.Min(c.Steps) < 1 {
		errs = append(errs, errors.Errorf("steps = %v: want four numbers, 1 at least, those of the three phases and of settling", c.Steps))
	}
	names := append([]string{c.main().size()}, slices.Concat(c.Marks, c.Deep)...)
	errs = append(errs, study.Distinct("marks", names))
	for _, name := range names {
		_, err := parseMark(name)
		errs = append(errs, err)
	}
	return study.First("gradsigns", append(errs, c.Shard.Validate(c.Dir))...)
}

// Mark is what a network is trained with: bits in so many input values. Without bits it is not marked.
type Mark struct {
	Name           string
	Bits, Carriers int
	Settled        bool // trained on without the mark, for a while, at the end
}

// size is the mark as configurations write it.
func (m Mark) size() string { return fmt.Sprintf("%d/%d", m.Bits, m.Carriers) }

// parseMark reads BITS/CARRIERS.
func parseMark(name string) (m Mark, err error) {
	m.Name = name
	var rest string
	n, _ := fmt.Sscanf(name+" ", "%d/%d%s", &m.Bits, &m.Carriers, &rest)
	if n != 2 || m.Bits < 1 || m.Carriers < 1 || strings.Contains(name, " ") {
		return m, errors.Errorf("mark %q: want BITS/CARRIERS, such as 128/784", name)
	}
	return m, nil
}

// AtScale returns the configuration of a scale: smoke, quick or paper.
func AtScale(scale string) (Config, error) { return study.AtScale("gradsigns", scale, Smoke, Paper) }
