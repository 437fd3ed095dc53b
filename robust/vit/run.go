package vit

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/study"
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

// For returns the networks of one model, in the order of the seeds.
func (r *Result) For(model string) []Measured {
	return study.Where(r.Networks, func(m Measured) bool { return m.Model == model })
}

// Study is a configuration with its data, ready to train and measure networks.
type Study struct {
	Config Config    // with all defaults filled in
	Models []Model   // those of Config.Models
	Data   *fit.Sets // training pool and test examples; nil with imported networks

	e        *engine.Engine
	images   *tensors.Tensor // test examples, or the user's
	labels   []int32
	layout   nets.Layout                                   // of images
	sample   func(n int) (*tensors.Tensor, []int32, error) // of them, the same at each call
	describe string
	networks map[string]*nets.Model // trained, by model and seed, or imported, by name
	keys     map[string]string      // of imported networks, by name
	gauges   map[string]*gauge      // by architecture
	energies *graph.Exec            // see energy
}

// Open checks the configuration and reads the data and, if there are any, the imported networks.
func Open(ctx context.Context, e *engine.Engine, c Config) (*Study, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Study{Config: c, e: e, networks: map[string]*nets.Model{}, keys: map[string]string{}, gauges: map[string]*gauge{}}
	read := s.load
	if len(c.Imported) == 0 {
		read = func() error { return s.read(ctx) }
	}
	if err := read(); err != nil {
		return nil, study.First("vit", err)
	}
	var ok bool
	if s.layout, ok = nets.LayoutOf(s.images.Shape().Dimensions[1:]); !ok {
		return nil, errors.Errorf("vit: inputs of shape %v are no images: want height and width, with or without channels", s.images.Shape())
	}
	return s, nil
}

// read gets the data set, and finds what cannot be built before anything is trained.
func (s *Study) read(ctx context.Context) (err error) {
	c := s.Config
	d, err := fit.LoadSets(ctx, c.Dataset, c.DataDir, c.Train, c.Test)
	if err != nil {
		return err
	}
	s.Data, s.images, s.labels, s.sample, s.describe = d, d.Images, d.Labels, d.Sample, d.Describe()
	if s.Models, err = modelsNamed(c.Models); err != nil {
		return err
	}
	for _, m := range s.Models {
		if _, err := m.build(c, d.Pool.Shape, d.Pool.Classes, 0); err != nil {
			return errors.WithMessage(err, m.Name)
		}
	}
	return nil
}

// Run trains every model with every seed, attacks the networks, and tries each one's perturbations on the others. With
// Config.Dir, what is finished is found again, so that a run that was stopped or killed goes on where it was, to the
// same result. A shard has all networks of its seeds, since transfer needs them together.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := Open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	w, err := study.NewWork(s.Config.Dir, s.Config.Shard, s.Config.Progress)
	if err != nil {
		return nil, study.First("vit", err)
	}
	r := &Result{Config: s.Config, Data: s.describe, Shape: s.images.Shape().Dimensions[1:], Backend: e.Name()}
	return r, study.First("vit", s.run(ctx, w, r))
}

func (s *Study) run(ctx context.Context, w *study.Work, r *Result) error {
	seeds, measuring := s.Config.Seeds, s.Config.measuring()
	for _, m := range s.Models {
		var pieces []study.Piece[Measured]
		for i, seed := range seeds {
			keys, err := s.keysOf(seed, m)
			if err != nil {
				return err
			}
			pieces = append(pieces, study.Piece[Measured]{Name: study.Label(m.Name, seed), Key: "vit-" + fit.Hash(keys[0], measuring), Group: i,
				Tasks: 1 + float64(m.trainings())/float64(len(seeds)), Do: func() (Measured, error) { return s.Measure(ctx, m, seed) }})
		}
		train := func(missing []int) error { // all seeds together
			var few []int64
			for _, i := range missing {
				few = append(few, seeds[i])
			}
			_, err := s.Train(ctx, m, few...)
			return errors.WithMessage(err, m.Name)
		}
		if err := study.DoAll(w, &r.Networks, pieces, train); err != nil {
			return err
		}
	}
	for i, seed := range seeds {
		keys, err := s.keysOf(seed, s.transferred()...)
		if err != nil {
			return err
		}
		if err := study.Do(w, &r.Transfers, study.Piece[Transfer]{Name: fmt.Sprintf("transfer, seed %d", seed), Group: i, Tasks: 1,
			Key: "vit-transfer-" + fit.Hash(append([]any{seed, measuring}, keys...)...),
			Do:  func() (Transfer, error) { return s.Transfer(ctx, seed) }}); err != nil {
			return err
		}
	}
	var galleries []Gallery
	keys, err := s.keysOf(seeds[0], s.hung()...)
	if err != nil {
		return err
	}
	if len(keys) > 0 { // in the group of the first seed
		if err := study.Do(w, &galleries, study.Piece[Gallery]{Name: "pictures", Key: "vit-gallery-" + fit.Hash(keys, measuring),
			Do: func() (Gallery, error) { return s.gallery(ctx) }}); err != nil {
			return err
		}
	}
	if len(galleries) > 0 {
		r.Gallery = galleries[0]
	}
	return w.Finish()
}

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	n := len(c.Seeds) * (1 + len(c.Models)) // transfer and attacks
	if models, err := modelsNamed(c.Models); err == nil && len(c.Imported) == 0 {
		for _, m := range models {
			n += m.trainings()
		}
	}
	return n
}

// measuring is the part of a configuration that measurements depend on beside the network, for cache keys.
func (c Config) measuring() Config {
	c.Seeds, c.Models, c.Scale, c.Imported, c.Progress = nil, nil, "", nil, nil
	return c
}

// plan returns an untrained network, its training examples and how to train it.
func (s *Study) plan(m Model, seed int64) (*nets.Model, fit.Data, fit.Config, error) {
	c := s.Config
	net, err := m.build(c, s.Data.Pool.Shape, s.Data.Pool.Classes, seed)
	if err != nil {
		return nil, fit.Data{}, fit.Config{}, err
	}
	train, err := s.Data.Draw(c.Train, seed)
	if m.loss != nil {
		return net, train, c.fitting(m.epochs(c), m.loss(c), max(1, m.epochs(c)/2), seed), err
	}
	return net, train, c.fitting(m.epochs(c), fit.CrossEntropy(), 0, seed), err
}

// keysOf identifies a seed's networks by all that they depend on, without training them.
func (s *Study) keysOf(seed int64, models ...Model) (keys []any, err error) {
	for _, m := range models {
		key := s.keys[m.Name]
		if m.build != nil {
			net, train, cfg, err := s.plan(m, seed)
			if err != nil {
				return nil, err
			}
			if key, err = fit.Key(net, s.e.Name(), train, cfg); err != nil {
				return nil, err
			}
		}
		if m.pretrain {
			key = fit.Hash(key, "pretrained", s.Config.Pretrain, scripts)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Train trains a model with some seeds, all together, or finds the networks in Config.Dir. It returns one a seed.
// Imported networks are there already.
func (s *Study) Train(ctx context.Context, m Model, seeds ...int64) ([]*nets.Model, error) {
	if m.build == nil {
		return []*nets.Model{s.networks[m.Name]}, nil
	}
	var jobs []fit.Job
	for _, seed := range seeds {
		if s.networks[study.Label(m.Name, seed)] != nil {
			continue
		}
		net, train, cfg, err := s.plan(m, seed)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, fit.Job{Model: net, Train: train, Config: cfg, Options: fit.Options{Dir: s.Config.Dir}})
	}
	if len(jobs) > 0 && m.pretrain {
		if err := s.pretrain(ctx, m, jobs); err != nil {
			return nil, err
		}
	}
	if err := s.trainAll(ctx, "train", m, jobs); err != nil {
		return nil, err
	}
	for _, job := range jobs {
		s.networks[study.Label(m.Name, job.Config.Seed)] = job.Model
	}
	var all []*nets.Model
	for _, seed := range seeds {
		all = append(all, s.networks[study.Label(m.Name, seed)])
	}
	return all, nil
}

// trainAll shows the training of all seeds as one task, that of fewer as their share of one.
func (s *Study) trainAll(ctx context.Context, what string, m Model, jobs []fit.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	title := fmt.Sprintf("%s %s, %d seeds", what, m.Name, len(jobs))
	if len(jobs) == 1 {
		title = what + " " + study.Label(m.Name, jobs[0].Config.Seed)
	}
	if p, ok := s.Config.Progress.(interface{ Weigh(weight float64) }); ok {
		p.Weigh(float64(len(jobs)) / float64(len(s.Config.Seeds)))
	}
	_, err := fit.TrainAll(ctx, s.e, jobs, s.Config.Progress, title)
	return err
}
