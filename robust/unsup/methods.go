package unsup

import (
	"cmp"
	"fmt"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust/uae"
	"github.com/trustbook/trustbook/study"
)

// The networks that learn without labels.
const (
	Convolutional = "convolutional"
	Dense         = "dense"
	Sparse        = "sparse"
	Concrete      = "concrete"
	Contrastive   = "contrastive"
)

// What networks are to be good at, in the words of the paper's abstract.
const (
	Reconstruction = "data reconstruction"
	Representation = "representation learning"
	Contrast       = "contrastive learning"
)

// Task is a network that learns without labels, with what it is measured by.
type Task struct {
	Name  string // of the network
	Kind  string // what it is to be good at
	About string // a line for readers
	AE    nets.AutoencoderKind
}

var tasks = []Task{
	{Convolutional, Reconstruction, "an autoencoder of 3x3 convolutions", nets.ConvAE},
	{Dense, Reconstruction, "an autoencoder with one hidden layer", nets.DenseAE},
	{Sparse, Reconstruction, "the same, whose code is seldom on", nets.SparseAE},
	{Concrete, Representation, "an autoencoder that sees some pixels, which it selects; logistic regression of these", nets.ConcreteAE},
	{Contrastive, Contrast, "SimCLR; logistic regression of its features", ""},
}

func (t Task) name() string { return t.Name }

// reconstructs tells whether the error of reconstruction counts, or else the accuracy of a classifier.
func (t Task) reconstructs() bool { return t.Kind == Reconstruction }

// AllTasks are the networks of the configuration, in the order in which tables show them.
func (c Config) AllTasks() []Task { return study.Where(tasks, c.has) }

// What networks learn from beside their images.
const (
	Originals   = "nothing"
	Duplicated  = "the same images again"
	Adversarial = "adversarial examples"
	Matched     = "noise of their norm"
	Distant     = "adversarial examples, l2"
)

// Arm is a way to learn: from the images and one more of each, for a length.
type Arm struct {
	Beside string // of the images
	Noise  float64
	Longer bool // twice the steps: as many epochs on twice the images
}

// name tells what arms learn from.
func (a Arm) name() string {
	if a.Noise > 0 {
		return fmt.Sprintf("noise %g", a.Noise)
	}
	return a.Beside
}

// Arms are the ways of a seed's networks to learn, in the order in which tables show them.
func (c Config) Arms() []Arm {
	all := []Arm{{Beside: Originals}, {Beside: Duplicated}, {Beside: Adversarial}, {Beside: Matched}, {Beside: Distant}}
	for _, sd := range c.Noise {
		all = append(all, Arm{Noise: sd})
	}
	for _, beside := range []string{Duplicated, Adversarial, Matched} {
		all = append(all, Arm{Beside: beside, Longer: true})
	}
	return all
}

// Search is a search with a name.
type Search struct {
	Name string
	uae.Search
}

// The searches that are compared. The short penalty has as many gradient steps in all its rounds together as MinMax has, the other so
// many in each.
const (
	MinMax       = "MinMax"
	ShortPenalty = "penalty, equal steps"
	Penalty      = "penalty, equal steps a round"
	MinMaxL2     = "MinMax, l2"
	PenaltyL2    = "penalty, l2, equal steps"
	Authors      = "MinMax, the authors' setting"
)

// search is the setting that examples are made by: MinMax with long steps of a small estimator.
func (c Config) search(steps int, seed int64) uae.Search {
	s := uae.Tuned()
	s.Steps, s.Hidden, s.Seed, s.Batch = steps, c.Hidden, seed, 0
	return s
}

// Searches are those that are compared.
func (c Config) Searches(seed int64) []Search {
	with := func(change func(s *uae.Search)) uae.Search {
		s := c.search(c.Search, seed)
		change(&s)
		return s
	}
	rounds := func(steps int) func(s *uae.Search) {
		return func(s *uae.Search) { s.Method, s.Rounds, s.Steps = uae.Penalty, c.Rounds, steps }
	}
	short := max(1, c.Search/c.Rounds)
	return []Search{
		{MinMax, with(func(*uae.Search) {})},
		{ShortPenalty, with(rounds(short))},
		{Penalty, with(rounds(c.Search))},
		{MinMaxL2, with(func(s *uae.Search) { s.Distance = uae.SquaredL2 })},
		{PenaltyL2, with(func(s *uae.Search) { rounds(short)(s); s.Distance = uae.SquaredL2 })},
		{Authors, with(func(s *uae.Search) {
			*s = uae.Faithful()
			s.Seed, s.Hidden, s.Steps = seed, cmp.Or(c.FaithfulWidth, s.Hidden), cmp.Or(c.FaithfulSteps, s.Steps)
		})},
	}
}
