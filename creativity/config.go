package creativity

import (
	"cmp"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/creativity/scan"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Config sizes the replication. The zero value is the quick scale: minutes on two cores.
type Config struct {
	Scale   string `json:"scale"`   // a name for tables: "quick", "smoke", "paper" or what the caller likes
	Dataset string `json:"dataset"` // zero: "mnist"
	DataDir string `json:"-"`       // where data files lie; zero: the data set's own place
	Train   int    `json:"train"`   // training images, drawn anew for each seed; zero: 15,000

	Seeds   []int64  `json:"seeds"`   // zero: 1, 2, 3, 4, 5
	Methods []string `json:"methods"` // names of Methods; zero: LowActive10, LowActive20, HighOff10, Unchanged

	// Hidden are the widths of the encoder and, the other way round, of the decoder, whose second layer is changed; zero: 400, 400
	Hidden    []int `json:"hidden"`
	Latent    int   `json:"latent"`     // zero: 20
	Epochs    int   `json:"epochs"`     // zero: 15
	BatchSize int   `json:"batch_size"` // zero: 128

	Background int `json:"background"` // training images whose decodings are the rule; zero: 2,000
	Samples    int `json:"samples"`    // test images that are decoded as ever, and others that are decoded with a mode; zero: 1,000

	Scores     []string  `json:"scores"`      // of the scans; zero: kolmogorov-smirnov
	GroupTails []string  `json:"group_tails"` // of group scans, single scans have two tails and the upper one; zero: two
	Group      int       `json:"group"`       // samples in a group; zero: 100
	Shares     []float64 `json:"shares"`      // of a group that are decoded with the mode; zero: 0.5, 0.1
	Runs       int       `json:"runs"`        // groups of each kind; zero: 40
	Starts     int       `json:"starts"`      // of a group scan; zero: 10

	Neighbors    int `json:"neighbors"`    // training images whose mean distance is an image's novelty; zero: 5
	Compared     int `json:"compared"`     // samples of each kind whose nodes are compared; zero: 200
	Permutations int `json:"permutations"` // zero: 199

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Shard    study.Shard     `json:"-"` // what to do of the work; zero: all
	Progress report.Progress `json:"-"` // nil shows nothing
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Train: 600, Seeds: []int64{1}, Hidden: []int{100, 100}, Latent: 8, Epochs: 3, Background: 200, Samples: 100,
		Group: 40, Runs: 4, Starts: 2, Compared: 30, Permutations: 19}
}

// Paper has all modes, scores and tails, shares down to one in twenty, a wider decoder and all images. It wants a GPU.
func Paper() Config {
	c := Config{Scale: "paper", Train: 60_000, Hidden: []int{1000, 1000}, Epochs: 50, Background: 10_000, Samples: 5_000, Group: 500,
		Scores: []string{"kolmogorov-smirnov", "berk-jones", "higher-criticism"}, GroupTails: []string{"two", "upper"},
		Shares: []float64{0.5, 0.2, 0.1, 0.05}, Runs: 100}
	for _, m := range Methods(0) {
		c.Methods = append(c.Methods, m.Name)
	}
	return c
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	c.Scale, c.Dataset = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "mnist")
	c.Train, c.Latent, c.Epochs, c.BatchSize = cmp.Or(c.Train, 15_000), cmp.Or(c.Latent, 20), cmp.Or(c.Epochs, 15), cmp.Or(c.BatchSize, 128)
	c.Background, c.Samples = cmp.Or(c.Background, 2_000), cmp.Or(c.Samples, 1_000)
	c.Group, c.Runs, c.Starts = cmp.Or(c.Group, 100), cmp.Or(c.Runs, 40), cmp.Or(c.Starts, 10)
	c.Neighbors, c.Compared, c.Permutations = cmp.Or(c.Neighbors, 5), cmp.Or(c.Compared, 200), cmp.Or(c.Permutations, 199)
	study.Default(&c.Seeds, 1, 2, 3, 4, 5)
	study.Default(&c.Methods, LowActive10, LowActive20, HighOff10, Unchanged)
	study.Default(&c.Hidden, 400, 400)
	study.Default(&c.Scores, scan.KolmogorovSmirnov.String())
	study.Default(&c.GroupTails, scan.Two.String())
	study.Default(&c.Shares, 0.5, 0.1)
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	return study.First("creativity",
		study.AtLeast(1, study.Count("train", c.Train), study.Count("latent", c.Latent), study.Count("epochs", c.Epochs),
			study.Count("batch_size", c.BatchSize), study.Count("group", c.Group), study.Count("starts", c.Starts),
			study.Count("neighbors", c.Neighbors), study.Count("permutations", c.Permutations)),
		study.AtLeast(2, study.Count("background", c.Background), study.Count("samples", c.Samples), study.Count("runs", c.Runs),
			study.Count("compared", c.Compared)),
		study.Seeds(c.Seeds), study.Distinct("methods", c.Methods), study.Distinct("scores", c.Scores),
		study.Distinct("group_tails", c.GroupTails), study.Distinct("shares", c.Shares), c.checkSizes(), c.checkScans(),
		c.Shard.Validate(c.Dir))
}

func (c Config) checkSizes() error {
	if len(c.Hidden) < 2 || slices.Min(c.Hidden) < 10 {
		return errors.Errorf("hidden = %v: want two layers or more of at least 10 nodes", c.Hidden)
	}
	for _, s := range []study.Setting[int]{study.Count("batch_size", c.BatchSize), study.Count("background", c.Background),
		study.Count("neighbors", c.Neighbors)} {
		if s.Value > c.Train {
			return errors.Errorf("%s = %d for %d training images: must not be larger", s.Name, s.Value, c.Train)
		}
	}
	if c.Compared > c.Samples {
		return errors.Errorf("compared = %d of %d samples: must not be larger", c.Compared, c.Samples)
	}
	_, err := methodsNamed(c.Methods, 0)
	return err
}

func (c Config) checkScans() error {
	for _, share := range c.Shares {
		if !(share > 0 && share <= 1) {
			return errors.Errorf("shares = %v: each must be above 0 and at most 1", c.Shares)
		}
		if n := c.count(share); 2*c.Group-n > c.Samples {
			return errors.Errorf("group = %d: two groups, %d samples of one with a mode, need %d samples without: samples = %d",
				c.Group, n, 2*c.Group-n, c.Samples)
		}
	}
	for _, name := range c.Scores {
		if _, err := scan.ParseScore(name); err != nil {
			return err
		}
	}
	for _, name := range c.GroupTails {
		if _, err := scan.ParseTail(name); err != nil {
			return err
		}
	}
	return nil
}

// count is how many samples of a group are that share, at least one.
func (c Config) count(share float64) int { return max(1, int(share*float64(c.Group)+0.5)) }

// AtScale returns the configuration of a scale: "smoke", "quick" or "paper".
func AtScale(scale string) (Config, error) { return study.AtScale("creativity", scale, Smoke, Paper) }
