package maml

import (
	"cmp"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/fewshot/meta"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Config sizes the replication. The zero value is the quick scale: minutes on two cores.
type Config struct {
	Scale   string  `json:"scale"`   // a name for tables: "quick", "smoke", "paper" or what the caller likes
	Dataset string  `json:"dataset"` // glyphs, omniglot or folder, see fewshot.Load; zero: "glyphs"
	DataDir string  `json:"-"`       // where data files lie; zero: the data set's own place
	Seeds   []int64 `json:"seeds"`   // of parameters, episodes and attacks; zero: 1, 2, 3

	Ways    int  `json:"ways"`    // zero: 5
	Shots   int  `json:"shots"`   // zero: 1
	Queries int  `json:"queries"` // images of each class in a training task's query set; zero: 5
	Batch   int  `json:"batch"`   // tasks in a meta-update; zero: 4
	Filters int  `json:"filters"` // of each of the four blocks; zero: 32
	Pool    bool `json:"pool"`    // halve images by pooling instead of strides

	Updates    int     `json:"updates"`     // meta-updates; zero: 200
	InnerSteps int     `json:"inner_steps"` // of fine-tuning, in training; zero: 1
	TestSteps  int     `json:"test_steps"`  // of fine-tuning, in testing; zero: as in training
	InnerLR    float64 `json:"inner_lr"`    // α; zero: 0.4
	LR         float64 `json:"lr"`          // of Adam; zero: 3e-3
	Epsilon    float64 `json:"epsilon"`     // l-infinity radius, in training and in testing; zero: 16/255
	GammaCE    float64 `json:"gamma_ce"`    // weight of adversarial cross-entropy in the meta-update; zero: 1
	GammaKL    float64 `json:"gamma_kl"`    // weight of TRADES there; zero: 3
	Unlabeled  int     `json:"unlabeled"`   // unlabeled images of each class in a task, for the methods that use them; zero: 5

	Methods []string `json:"methods"` // names of MethodNames; zero: all but those of first order

	TestTasks   int `json:"test_tasks"`   // zero: 200
	TestQueries int `json:"test_queries"` // images of each class; zero: 5
	AttackSteps int `json:"attack_steps"` // of PGD in testing; zero: 10

	SweepTasks   int       `json:"sweep_tasks"`   // test tasks of the curves over steps and radii, first seed only; zero: 100
	SweepSteps   []int     `json:"sweep_steps"`   // of fine-tuning; zero: 0, 1, 2, 5, 10
	SweepEpsilon []float64 `json:"sweep_epsilon"` // zero: 0, 4/255, 8/255, 16/255, 24/255
	MaskingTasks int       `json:"masking_tasks"` // test tasks on which Out also meets PGD-50 with restarts, every seed; zero: 50
	Neurons      int       `json:"neurons"`       // that are excited, for the paper's explanation; zero: 8
	NeuronSteps  int       `json:"neuron_steps"`  // zero: 300

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Shard    study.Shard     `json:"-"` // what to do of the work; zero: all
	Progress report.Progress `json:"-"` // nil shows nothing
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Seeds: []int64{1}, Ways: 3, Queries: 2, Batch: 2, Filters: 4, Updates: 3, Methods: []string{MAML, Out, CL},
		TestTasks: 10, TestQueries: 3, SweepTasks: 5, MaskingTasks: 2, SweepSteps: []int{0, 1, 2}, SweepEpsilon: []float64{0, 16. / 255},
		Neurons: 2, NeuronSteps: 5, Unlabeled: 1}
}

// Paper has the sizes of the authors' code, for Omniglot or a folder of images; it wants a GPU.
func Paper() Config {
	return Config{Scale: "paper", Dataset: "omniglot", Filters: 64, Queries: 15, Updates: 15_000, InnerSteps: 5, TestSteps: 10,
		InnerLR: 0.01, LR: 1e-3, GammaCE: 0.2, GammaKL: 5, Epsilon: 10. / 255, Unlabeled: 4,
		Methods: MethodNames, TestTasks: 1000, TestQueries: 10, SweepTasks: 600, Neurons: 16, NeuronSteps: 1000}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	c.Scale, c.Dataset = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "glyphs")
	c.Ways, c.Shots, c.Queries = cmp.Or(c.Ways, 5), cmp.Or(c.Shots, 1), cmp.Or(c.Queries, 5)
	c.Batch, c.Filters = cmp.Or(c.Batch, 4), cmp.Or(c.Filters, 32)
	c.Updates, c.InnerSteps, c.InnerLR, c.LR = cmp.Or(c.Updates, 200), cmp.Or(c.InnerSteps, 1), cmp.Or(c.InnerLR, 0.4), cmp.Or(c.LR, 3e-3)
	c.TestSteps, c.GammaCE, c.GammaKL = cmp.Or(c.TestSteps, c.InnerSteps), cmp.Or(c.GammaCE, 1), cmp.Or(c.GammaKL, 3)
	c.Epsilon, c.Unlabeled = cmp.Or(c.Epsilon, 16./255), cmp.Or(c.Unlabeled, 5)
	c.TestTasks, c.TestQueries, c.AttackSteps = cmp.Or(c.TestTasks, 200), cmp.Or(c.TestQueries, 5), cmp.Or(c.AttackSteps, 10)
	c.SweepTasks, c.MaskingTasks = cmp.Or(c.SweepTasks, 100), cmp.Or(c.MaskingTasks, 50)
	c.Neurons, c.NeuronSteps = cmp.Or(c.Neurons, 8), cmp.Or(c.NeuronSteps, 300)
	study.Default(&c.Seeds, 1, 2, 3)
	study.Default(&c.Methods, MAML, In, Out, Both, Trades, Unlabeled, More, Slow, ANIL, CL)
	study.Default(&c.SweepSteps, 0, 1, 2, 5, 10)
	study.Default(&c.SweepEpsilon, 0, 4./255, 8./255, 16./255, 24./255)
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	_, unknown := study.Pick("dataset", []string{c.Dataset}, fewshot.Names, itself)
	count := study.Count
	return study.First("maml",
		study.AtLeast(2, count("ways", c.Ways)),
		study.AtLeast(1, count("shots", c.Shots), count("queries", c.Queries), count("batch", c.Batch), count("filters", c.Filters),
			count("updates", c.Updates), count("inner_steps", c.InnerSteps), count("unlabeled", c.Unlabeled), count("test_tasks", c.TestTasks),
			count("test_queries", c.TestQueries), count("attack_steps", c.AttackSteps), count("test_steps", c.TestSteps),
			count("masking_tasks", c.MaskingTasks), count("sweep_tasks", c.SweepTasks), count("neurons", c.Neurons),
			count("neuron_steps", c.NeuronSteps)),
		study.Positive(study.Rate("inner_lr", c.InnerLR), study.Rate("lr", c.LR),
			study.Rate("gamma_ce", c.GammaCE), study.Rate("gamma_kl", c.GammaKL)),
		unknown, study.Seeds(c.Seeds), c.checkMethods(), c.checkSweeps(), c.Shard.Validate(c.Dir))
}

func itself(name string) string { return name }

func (c Config) checkMethods() error {
	if _, err := study.Pick("method", c.Methods, MethodNames, itself); err != nil {
		return err
	}
	if !slices.Contains(c.Methods, MAML) {
		return errors.Errorf("methods %q: %s is what the others are held against", c.Methods, MAML)
	}
	return study.Distinct("methods", c.Methods)
}

func (c Config) checkSweeps() error {
	for i, s := range c.SweepSteps {
		if s < 0 || i > 0 && s <= c.SweepSteps[i-1] {
			return errors.Errorf("sweep_steps = %v: must grow from 0 or more", c.SweepSteps)
		}
	}
	for _, epsilon := range append([]float64{c.Epsilon}, c.SweepEpsilon...) {
		if err := (meta.Ball{Box: meta.Pixels}).CheckRadius(epsilon); err != nil {
			return err
		}
	}
	return nil
}

// stepSize is that of the test attack: 2/255, or as much as it takes to cross the ball.
func (c Config) stepSize(epsilon float64) float64 {
	return max(2./255, 1.25*epsilon/float64(c.AttackSteps))
}

// AtScale returns the configuration of a scale: "smoke", "quick" or "paper".
func AtScale(scale string) (Config, error) { return study.AtScale("maml", scale, Smoke, Paper) }
