package maml

import (
	"cmp"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/fewshot/meta"
	"github.com/trustbook/trustbook/report"
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
	MaskingTasks int       `json:"masking_tasks"` // test tasks on which a robust network also meets PGD-50 with restarts, every seed; zero: 50
	Neurons      int       `json:"neurons"`       // that are excited, for the paper's explanation; zero: 8
	NeuronSteps  int       `json:"neuron_steps"`  // zero: 300

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Progress report.Progress `json:"-"` // nil shows nothing
}

// The names of the compared methods.
const (
	MAML      = "MAML"
	In        = "in"                // robust fine-tuning only
	Out       = "out"               // robust meta-update only
	Both      = "both"              //
	Trades    = "out, TRADES"       // the label-free regularizer
	Unlabeled = "out, unlabeled"    // TRADES on unlabeled images too
	More      = "out, 4× unlabeled" // on four times as many, or on all that the smallest class has left
	Slow      = "out, PGD-7"        // a slow attack in training
	ANIL      = "out, ANIL"         // light fine-tuning: the last layer alone
	CL        = "out, CL"           // TRADES, and the contrastive task
	FOMAML    = "FOMAML"            // of first order
	FOOut     = "FO out"            // of first order, robust meta-update
)

// MethodNames are all methods that Run can compare.
var MethodNames = []string{MAML, In, Out, Both, Trades, Unlabeled, More, Slow, ANIL, CL, FOMAML, FOOut}

// Method is the method of a name at the sizes of the configuration.
func (c Config) Method(name string) meta.Method {
	c = c.WithDefaults()
	m := meta.Method{Name: name, Inner: meta.InnerLoop{Steps: c.InnerSteps, LR: c.InnerLR}, Epsilon: c.Epsilon, LR: c.LR}
	switch name {
	case In:
		m.GammaIn = 1
	case Out, FOOut:
		m.GammaOut = c.GammaCE
	case Both:
		m.GammaIn, m.GammaOut = 1, c.GammaCE
	case Trades, Unlabeled, More:
		m.GammaOut, m.Regularizer = c.GammaKL, meta.TRADES
	case Slow:
		m.GammaOut, m.AttackSteps = c.GammaCE, 7
	case ANIL:
		m.GammaOut, m.Inner.HeadOnly = c.GammaCE, true
	case CL:
		m.GammaOut, m.Regularizer, m.GammaCL = c.GammaKL, meta.TRADES, 0.1
	}
	m.Inner.FirstOrder = name == FOMAML || name == FOOut
	return m.WithDefaults()
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Seeds: []int64{1}, Ways: 3, Queries: 2, Batch: 2, Filters: 4, Updates: 3, Methods: []string{MAML, Out, CL}, TestTasks: 10, TestQueries: 3,
		SweepTasks: 5, MaskingTasks: 2, SweepSteps: []int{0, 1, 2}, SweepEpsilon: []float64{0, 16. / 255}, Neurons: 2, NeuronSteps: 5, Unlabeled: 1}
}

// Paper has the sizes of the authors' code, for Omniglot or a folder of images; it wants a GPU.
func Paper() Config {
	return Config{Scale: "paper", Dataset: "omniglot", Filters: 64, Queries: 15, Updates: 15_000, InnerSteps: 5, TestSteps: 10, InnerLR: 0.01, LR: 1e-3,
		GammaCE: 0.2, GammaKL: 5, Epsilon: 10. / 255, Unlabeled: 4,
		Methods: MethodNames, TestTasks: 1000, TestQueries: 10, SweepTasks: 600, Neurons: 16, NeuronSteps: 1000}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	c.Scale, c.Dataset = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "glyphs")
	c.Ways, c.Shots, c.Queries, c.Batch, c.Filters = cmp.Or(c.Ways, 5), cmp.Or(c.Shots, 1), cmp.Or(c.Queries, 5), cmp.Or(c.Batch, 4), cmp.Or(c.Filters, 32)
	c.Updates, c.InnerSteps, c.InnerLR, c.LR = cmp.Or(c.Updates, 200), cmp.Or(c.InnerSteps, 1), cmp.Or(c.InnerLR, 0.4), cmp.Or(c.LR, 3e-3)
	c.TestSteps, c.GammaCE, c.GammaKL = cmp.Or(c.TestSteps, c.InnerSteps), cmp.Or(c.GammaCE, 1), cmp.Or(c.GammaKL, 3)
	c.Epsilon, c.Unlabeled = cmp.Or(c.Epsilon, 16./255), cmp.Or(c.Unlabeled, 5)
	c.TestTasks, c.TestQueries, c.AttackSteps = cmp.Or(c.TestTasks, 200), cmp.Or(c.TestQueries, 5), cmp.Or(c.AttackSteps, 10)
	c.SweepTasks, c.MaskingTasks, c.Neurons, c.NeuronSteps = cmp.Or(c.SweepTasks, 100), cmp.Or(c.MaskingTasks, 50), cmp.Or(c.Neurons, 8), cmp.Or(c.NeuronSteps, 300)
	if len(c.Seeds) == 0 {
		c.Seeds = []int64{1, 2, 3}
	}
	if len(c.Methods) == 0 {
		c.Methods = []string{MAML, In, Out, Both, Trades, Unlabeled, More, Slow, ANIL, CL}
	}
	if len(c.SweepSteps) == 0 {
		c.SweepSteps = []int{0, 1, 2, 5, 10}
	}
	if len(c.SweepEpsilon) == 0 {
		c.SweepEpsilon = []float64{0, 4. / 255, 8. / 255, 16. / 255, 24. / 255}
	}
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	for _, n := range []struct {
		name         string
		value, least int
	}{{"ways", c.Ways, 2}, {"shots", c.Shots, 1}, {"queries", c.Queries, 1}, {"batch", c.Batch, 1}, {"filters", c.Filters, 1},
		{"updates", c.Updates, 1},
		{"inner_steps", c.InnerSteps, 1}, {"unlabeled", c.Unlabeled, 1}, {"test_tasks", c.TestTasks, 1}, {"test_queries", c.TestQueries, 1},
		{"attack_steps", c.AttackSteps, 1}, {"test_steps", c.TestSteps, 1}, {"masking_tasks", c.MaskingTasks, 1},
		{"sweep_tasks", c.SweepTasks, 1},
		{"neurons", c.Neurons, 1}, {"neuron_steps", c.NeuronSteps, 1}} {
		if n.value < n.least {
			return errors.Errorf("maml: %s = %d: must be at least %d", n.name, n.value, n.least)
		}
	}
	if !slices.Contains(fewshot.Names, c.Dataset) {
		return errors.Errorf("maml: dataset %q: want one of %v", c.Dataset, fewshot.Names)
	}
	for i, s := range c.Seeds {
		if slices.Contains(c.Seeds[:i], s) {
			return errors.Errorf("maml: seed %d is given twice: an interval over seeds needs different ones", s)
		}
	}
	for i, name := range c.Methods {
		if !slices.Contains(MethodNames, name) || slices.Contains(c.Methods[:i], name) {
			return errors.Errorf("maml: method %q: want each of %q at most once", name, MethodNames)
		}
		if err := c.Method(name).Validate(meta.Pixels); err != nil {
			return err
		}
	}
	if !slices.Contains(c.Methods, MAML) {
		return errors.Errorf("maml: methods %q: %s is what the others are held against", c.Methods, MAML)
	}
	for i, s := range c.SweepSteps {
		if s < 0 || i > 0 && s <= c.SweepSteps[i-1] {
			return errors.Errorf("maml: sweep_steps = %v: must grow from 0 or more", c.SweepSteps)
		}
	}
	for _, epsilon := range c.SweepEpsilon {
		if err := (meta.Ball{Box: meta.Pixels}).CheckRadius(epsilon); err != nil {
			return err
		}
	}
	return meta.Ball{Box: meta.Pixels}.CheckRadius(c.Epsilon)
}

// stepSize is that of the test attack: 2/255, or as much as it takes to cross the ball.
func (c Config) stepSize(epsilon float64) float64 {
	return max(2./255, 1.25*epsilon/float64(c.AttackSteps))
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
	return Config{}, errors.Errorf("maml: scale %q: want smoke, quick or paper", scale)
}
