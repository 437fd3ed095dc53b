package vit

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Result is what a run measured.
type Result struct {
	Config    Config     `json:"config"`
	Data      string     `json:"data"`  // name and note of the data set
	Shape     []int      `json:"shape"` // of one image
	Backend   string     `json:"backend"`
	Networks  []Measured `json:"networks"`  // one a model and seed, in that order
	Transfers []Transfer `json:"transfers"` // one a seed

	Gallery Gallery `json:"gallery"` // what Pictures shows
}

// Measured are the figures of one trained network.
type Measured struct {
	Model      string      `json:"model"`
	Seed       int64       `json:"seed"`
	Parameters int         `json:"parameters"`
	Clean      float64     `json:"clean"`  // accuracy on the test set
	FGSM       []float64   `json:"fgsm"`   // accuracy under attack, at each of Config.Epsilon
	PGD        []float64   `json:"pgd"`    // the same
	Strong     float64     `json:"strong"` // under APGD, untargeted then targeted, on StrongImages at Reference
	Filtered   []Filtered  `json:"filtered"`
	Blocks     []BlockRead `json:"blocks"` // from input to output; none for imported networks
	// Energy is the share of the energy of PGD's perturbations at Reference at each frequency of the cosine transform,
	// [height·width].
	Energy []float64 `json:"energy"`
}

// Filtered is the accuracy under PGD at Reference when only some frequencies of its perturbation are left.
type Filtered struct {
	Mask     string  `json:"mask"` // "low", "high" or "complement" (all but low)
	Size     int     `json:"size"` // the mask's r
	Accuracy float64 `json:"accuracy"`
	Norm     float64 `json:"norm"` // the largest l-infinity norm of what is left, which may exceed Reference
}

// BlockRead tells how much of the image's fine detail a block still knows.
type BlockRead struct {
	Block string  `json:"block"`
	R2    float64 `json:"r2"` // of a linear read-out of the image's high frequencies, on held-out images
}

// Transfer are the success rates of perturbations crafted on one network (row) and tried on another (column), at
// Reference by FGSM, as the paper does.
type Transfer struct {
	Seed   int64       `json:"seed"`
	Models []string    `json:"models"`
	Rate   [][]float64 `json:"rate"` // share misclassified by the target, its clean mistakes included, as in the paper
	Both   [][]float64 `json:"both"` // among the images that source and target both classify right without attack
}

// Run trains every model with every seed, attacks the networks, and tries each one's perturbations on the others. With
// Config.Dir, what is finished is found again, so that a run that was stopped or killed goes on where it was, to the
// same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	r := &Result{Config: s.c, Data: s.describe, Shape: s.images.Shape().Dimensions[1:], Backend: e.Name()}
	for _, m := range s.models {
		for _, seed := range s.c.Seeds {
			found, err := s.measured(ctx, m, seed)
			if err != nil {
				return nil, errors.WithMessagef(err, "vit: %s, seed %d", m.Name, seed)
			}
			r.Networks = append(r.Networks, found)
		}
		if s.networks[label("train", m.Name, s.c.Seeds[0])] == nil { // all were measured before: nothing was trained
			s.skip(m.trainings())
		}
	}
	for _, seed := range s.c.Seeds {
		found, err := s.transferred(ctx, seed)
		if err != nil {
			return nil, errors.WithMessagef(err, "vit: transfer, seed %d", seed)
		}
		r.Transfers = append(r.Transfers, found)
	}
	r.Gallery, err = s.gallery(ctx)
	return r, errors.WithMessage(err, "vit: pictures")
}

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	n := len(c.Seeds) // transfer
	for _, name := range c.Models {
		n += len(c.Seeds) // attacks
		if models, err := modelsNamed([]string{name}); err == nil && len(c.Imported) == 0 {
			n += models[0].trainings()
		}
	}
	return n
}

// study is a run on its way.
type study struct {
	e        *engine.Engine
	c        Config
	models   []Model
	data     *fit.Sets // nil with imported networks
	images   *tensors.Tensor
	labels   []int32
	sample   func(n int) (*tensors.Tensor, []int32, error) // of the test examples, the same at each call
	describe string
	networks map[string]*nets.Model // trained or imported, by label
	keys     map[string]string      // of imported networks, by name
	gauges   map[string]*gauge      // by architecture
	energies *graph.Exec            // see energy
}

// open reads the data and, if there are any, the imported networks.
func open(ctx context.Context, e *engine.Engine, c Config) (*study, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &study{e: e, c: c, networks: map[string]*nets.Model{}, keys: map[string]string{}, gauges: map[string]*gauge{}}
	if len(c.Imported) > 0 {
		return s, errors.WithMessage(s.load(), "vit")
	}
	var err error
	if s.data, err = fit.LoadSets(ctx, c.Dataset, c.DataDir, c.Train, c.Test); err != nil {
		return nil, errors.WithMessage(err, "vit")
	}
	s.images, s.labels, s.sample, s.describe = s.data.Images, s.data.Labels, s.data.Sample, s.data.Describe()
	if s.models, err = modelsNamed(c.Models); err != nil {
		return nil, err
	}
	for _, m := range s.models { // what cannot be built is found before anything is trained
		if _, err := m.build(c, s.data.Pool.Shape, s.data.Pool.Classes, 0); err != nil {
			return nil, errors.WithMessagef(err, "vit: %s", m.Name)
		}
	}
	return s, nil
}

// measured attacks one network, unless that was done before.
func (s *study) measured(ctx context.Context, m Model, seed int64) (Measured, error) {
	key, err := s.key(m, seed)
	if err != nil {
		return Measured{}, err
	}
	return remember(s, "vit-"+fit.Hash(key, s.c.measuring()), func() (Measured, error) {
		net, err := s.network(ctx, m, seed)
		if err != nil {
			return Measured{}, err
		}
		g, err := s.gauge(m, net)
		if err != nil {
			return Measured{}, err
		}
		return g.measure(ctx, s, m.Name, net, seed)
	})
}

// transferred tries the perturbations of each naturally trained network on all of them; of every network where none was
// naturally trained.
func (s *study) transferred(ctx context.Context, seed int64) (Transfer, error) {
	natural := slices.DeleteFunc(slices.Clone(s.models), func(m Model) bool { return !m.natural() })
	if len(natural) == 0 {
		natural = s.models
	}
	keys := []any{seed, s.c.measuring()}
	for _, m := range natural {
		key, err := s.key(m, seed)
		if err != nil {
			return Transfer{}, err
		}
		keys = append(keys, key)
	}
	return remember(s, "vit-transfer-"+fit.Hash(keys...), func() (Transfer, error) {
		return s.transfer(ctx, natural, seed)
	})
}

// remember runs f unless its result is in Config.Dir; then it tells the display that a task is done.
func remember[T any](s *study, key string, f func() (T, error)) (T, error) {
	worked := false
	result, err := fit.Remember(s.c.Dir, key, func() (T, error) {
		worked = true
		return f()
	})
	if !worked {
		s.skip(1)
	}
	return result, err
}

// skip tells the display that so many tasks need no work.
func (s *study) skip(tasks int) {
	if skipper, ok := s.c.Progress.(interface{ Skip(float64) }); ok && tasks > 0 {
		skipper.Skip(float64(tasks))
	}
}

// measuring is the part of a configuration that measurements depend on beside the network, for cache keys.
func (c Config) measuring() Config {
	c.Seeds, c.Models, c.Scale, c.Imported = nil, nil, "", nil
	c.Dir, c.DataDir, c.Images, c.Labels, c.Progress = "", "", "", "", nil
	return c
}

// For returns the networks of one model, in the order of the seeds.
func (r *Result) For(model string) []Measured {
	return slices.Collect(func(yield func(Measured) bool) {
		for _, m := range r.Networks {
			if m.Model == model && !yield(m) {
				return
			}
		}
	})
}

func label(what, model string, seed int64) string {
	return fmt.Sprintf("%s %s, seed %d", what, model, seed)
}
