package weights

import (
	"context"
	"fmt"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Result is what a run measured: one Measured a method and seed, in that order, and one GapPoint a factor and seed.
type Result struct {
	Config  Config     `json:"config"`
	Data    string     `json:"data"` // name and note of the data set
	Backend string     `json:"backend"`
	Models  []Measured `json:"models"`
	Gaps    []GapPoint `json:"gaps"`
}

// Run trains every method with every seed, attacks, rounds and certifies the networks, and measures generalization gaps.
// With Config.Dir, what is finished is found again, so that a run that was stopped or killed goes on where it was, to the
// same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	r := &Result{Config: s.c, Data: s.data.Describe(), Backend: e.Name()}
	for _, m := range s.c.Methods() {
		trained := map[int64]*nets.Model{}
		for _, seed := range s.c.Seeds {
			found, err := s.measured(ctx, m, seed, trained)
			if err != nil {
				return nil, errors.WithMessagef(err, "weights: %s, seed %d", m.Name, seed)
			}
			found.Method = m.Name // a label, and none of what is kept
			r.Models = append(r.Models, found)
		}
		if len(trained) == 0 {
			s.skip(1)
		}
	}
	r.Gaps, err = s.gaps(ctx)
	return r, errors.WithMessage(err, "weights: generalization gaps")
}

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	return len(c.Methods())*(1+len(c.Seeds)) + len(c.GapMus)
}

// study is a run on its way.
type study struct {
	e     *engine.Engine
	c     Config
	data  *fit.Sets
	gauge *gauge
}

func open(ctx context.Context, e *engine.Engine, c Config) (*study, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := Load(ctx, c)
	return &study{e: e, c: c, data: d}, err
}

// Load gets the data of a configuration.
func Load(ctx context.Context, c Config) (*fit.Sets, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := fit.LoadSets(ctx, c.Dataset, c.DataDir, max(c.Train, c.GapTrain), max(c.Test, c.GapTest))
	if err != nil {
		return nil, errors.WithMessage(err, "weights")
	}
	if c.GapTest > c.Test { // the first experiment has its own, smaller test set
		few, err := d.Test.Take(c.Test, 0)
		if err != nil {
			return nil, errors.WithMessage(err, "weights")
		}
		d.Images, _ = few.Tensors()
		d.Labels = few.Labels
	}
	return d, nil
}

// Train trains one network with a method, or finds it in Config.Dir.
func Train(ctx context.Context, e *engine.Engine, m Method, seed int64, d *fit.Sets, c Config) (*nets.Model, error) {
	s := &study{e: e, c: c.WithDefaults(), data: d}
	job, err := s.plan(m, seed)
	if err != nil {
		return nil, err
	}
	job.Options.Progress, job.Options.Label = s.c.Progress, fmt.Sprintf("train %s, seed %d", m.Name, seed)
	_, err = fit.TrainOrLoad(ctx, e, job.Model, job.Train, job.Config, job.Options)
	return job.Model, err
}

// plan says how to train a network.
func (s *study) plan(m Method, seed int64) (fit.Job, error) {
	net, err := s.network(seed)
	if err != nil {
		return fit.Job{}, err
	}
	train, err := s.data.Draw(s.c.Train, seed)
	return fit.Job{Model: net, Train: train, Options: fit.Options{Dir: s.c.Dir},
		Config: fit.Config{BatchSize: s.c.BatchSize, LearningRate: s.c.LearningRate, Seed: seed,
			Phases: []fit.Phase{{Epochs: s.c.WarmUp, Loss: fit.CrossEntropy()}, {Epochs: s.c.Epochs, Loss: m.Loss}}}}, err
}

func (s *study) network(seed int64) (*nets.Model, error) {
	return nets.NewMLP(nets.MLPConfig{Input: s.data.Pool.Shape, Hidden: s.c.Hidden, Classes: s.data.Pool.Classes, NoBias: true, Seed: seed})
}

// measured measures one network, unless that was done before. The first time it trains those of all seeds together.
func (s *study) measured(ctx context.Context, m Method, seed int64, trained map[int64]*nets.Model) (Measured, error) {
	job, err := s.plan(m, seed)
	if err != nil {
		return Measured{}, err
	}
	key, err := fit.Key(job.Model, s.e.Name(), job.Train, job.Config)
	if err != nil {
		return Measured{}, err
	}
	return remember(s, "weights-"+fit.Hash(key, s.c.measuring()), func() (Measured, error) {
		if len(trained) == 0 {
			if err := s.train(ctx, m, trained); err != nil {
				return Measured{}, err
			}
		}
		if s.gauge == nil {
			if s.gauge, err = newGauge(s.e, job.Model, s.data, s.c); err != nil {
				return Measured{}, err
			}
		}
		return s.gauge.measure(ctx, trained[seed], m.Name, seed, job.Train)
	})
}

func (s *study) train(ctx context.Context, m Method, trained map[int64]*nets.Model) error {
	var jobs []fit.Job
	for _, seed := range s.c.Seeds {
		job, err := s.plan(m, seed)
		if err != nil {
			return err
		}
		jobs = append(jobs, job)
	}
	if _, err := fit.TrainAll(ctx, s.e, jobs, s.c.Progress, s.title("train "+m.Name)); err != nil {
		return err
	}
	for i, seed := range s.c.Seeds {
		trained[seed] = jobs[i].Model
	}
	return nil
}

// title names a task for all seeds.
func (s *study) title(what string) string {
	if n := len(s.c.Seeds); n > 1 {
		return fmt.Sprintf("%s, %d seeds", what, n)
	}
	return fmt.Sprintf("%s, seed %d", what, s.c.Seeds[0])
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
func (s *study) skip(tasks float64) {
	if skipper, ok := s.c.Progress.(interface{ Skip(float64) }); ok {
		skipper.Skip(tasks)
	}
}

// measuring is the part of a configuration that measurements depend on beside the network, for cache keys.
func (c Config) measuring() Config {
	c.Seeds, c.Lambdas, c.Mus, c.Scale = nil, nil, nil, ""
	c.GapMus, c.GapTrain, c.GapTest, c.GapEpochs, c.GapNoise = nil, 0, 0, 0, 0
	c.Dir, c.DataDir, c.Progress = "", "", nil
	return c
}

// For returns the networks of one method, in the order of the seeds.
func (r *Result) For(method string) []Measured {
	return slices.Collect(func(yield func(Measured) bool) {
		for _, m := range r.Models {
			if m.Method == method && !yield(m) {
				return
			}
		}
	})
}

// values takes a number from every network of a method.
func (r *Result) values(method string, of func(Measured) float64) (values []float64) {
	for _, m := range r.For(method) {
		values = append(values, of(m))
	}
	return values
}
