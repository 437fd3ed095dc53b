package weights

import (
	"context"
	"slices"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/study"
)

// Result is what a run measured: one Measured a method and seed, in that order, and one GapPoint a factor and seed.
type Result struct {
	Config  Config     `json:"config"`
	Data    string     `json:"data"` // name and note of the data set
	Backend string     `json:"backend"`
	Models  []Measured `json:"models"`
	Gaps    []GapPoint `json:"gaps"`
}

// For returns the networks of one method, in the order of the seeds.
func (r *Result) For(method string) []Measured {
	return study.Where(r.Models, func(m Measured) bool { return m.Method == method })
}

// Study is a configuration with its data, ready to train and measure networks.
type Study struct {
	Config Config    // with all defaults filled in
	Data   *fit.Sets // training pool and test examples

	e      *engine.Engine
	gauge  *gauge    // made when first needed
	losses *Assessor // of the experiment on generalization, likewise
}

// Open checks the configuration and loads its data.
func Open(ctx context.Context, e *engine.Engine, c Config) (*Study, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := fit.LoadSets(ctx, c.Dataset, c.DataDir, max(c.Train, c.GapTrain), max(c.Test, c.GapTest))
	if err != nil {
		return nil, study.First("weights", err)
	}
	if c.GapTest > c.Test { // the experiment on generalization has a larger test set of its own
		few, err := d.Test.Take(c.Test, 0)
		if err != nil {
			return nil, study.First("weights", err)
		}
		d.Images, _ = few.Tensors()
		d.Labels = few.Labels
	}
	return &Study{Config: c, Data: d, e: e}, nil
}

// Run trains every method with every seed, attacks, rounds and certifies the networks, and measures generalization gaps.
// With Config.Dir, what is finished is found again, so that a run that was stopped or killed goes on where it was, to the
// same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := Open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	r, err := s.run(ctx)
	return r, study.First("weights", err)
}

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	return len(c.Methods())*(1+len(c.Seeds)) + len(c.GapMus)
}

func (s *Study) run(ctx context.Context) (*Result, error) {
	c := s.Config
	w, err := study.NewWork(c.Dir, c.Shard, c.Progress)
	if err != nil {
		return nil, err
	}
	r := &Result{Config: c, Data: s.Data.Describe(), Backend: s.e.Name()}
	methods := c.Methods()
	for i, m := range methods {
		jobs, pieces, err := s.pieces(ctx, m, i)
		if err != nil {
			return nil, err
		}
		err = study.DoAll(w, &r.Models, pieces, func(missing []int) error {
			var train []fit.Job
			for _, k := range missing {
				train = append(train, jobs[k])
			}
			return s.trainAll(ctx, train, "train "+m.Name)
		})
		if err != nil {
			return nil, err
		}
	}
	var gaps [][]GapPoint
	for i, mu := range c.GapMus {
		piece, err := s.gap(ctx, mu)
		if err != nil {
			return nil, err
		}
		piece.Group = len(methods) + i
		if err := study.Do(w, &gaps, piece); err != nil {
			return nil, err
		}
	}
	r.Gaps = slices.Concat(gaps...)
	return r, w.Finish()
}

// pieces are the networks of a method, one a seed, to be trained together and measured one by one.
func (s *Study) pieces(ctx context.Context, m Method, group int) (jobs []fit.Job, pieces []study.Piece[Measured], err error) {
	c := s.Config
	for _, seed := range c.Seeds {
		job, err := s.plan(m, seed)
		if err != nil {
			return nil, nil, err
		}
		key, err := fit.Key(job.Model, s.e.Name(), job.Train, job.Config)
		if err != nil {
			return nil, nil, err
		}
		jobs = append(jobs, job)
		pieces = append(pieces, study.Piece[Measured]{Name: study.Label(m.Name, seed), Group: group,
			Key:   "weights-" + fit.Hash(key, c.measuring()),
			Tasks: 1 + 1/float64(len(c.Seeds)), // its own, and its share of the training
			Do:    func() (Measured, error) { return s.Measure(ctx, job.Model, m.Name, seed) }})
	}
	return jobs, pieces, nil
}

// measuring is the part of a configuration that measurements depend on, for cache keys.
func (c Config) measuring() Config {
	c.Seeds, c.Lambdas, c.Mus, c.Scale = nil, nil, nil, ""
	c.GapMus, c.GapTrain, c.GapTest, c.GapEpochs, c.GapNoise = nil, 0, 0, 0, 0
	return c
}

// Train trains one network with a method, or finds it in Config.Dir.
func (s *Study) Train(ctx context.Context, m Method, seed int64) (*nets.Model, error) {
	job, err := s.plan(m, seed)
	if err != nil {
		return nil, err
	}
	return job.Model, s.trainAll(ctx, []fit.Job{job}, "train "+m.Name)
}

// plan says how to train a network with a method.
func (s *Study) plan(m Method, seed int64) (fit.Job, error) {
	train, err := s.Data.Draw(s.Config.Train, seed)
	if err != nil {
		return fit.Job{}, err
	}
	return s.job(train, seed, fit.Phase{Epochs: s.Config.WarmUp, Loss: fit.CrossEntropy()}, fit.Phase{Epochs: s.Config.Epochs, Loss: m.Loss})
}

// job is an untrained network and how to train it.
func (s *Study) job(train fit.Data, seed int64, phases ...fit.Phase) (fit.Job, error) {
	c, pool := s.Config, s.Data.Pool
	net, err := nets.NewMLP(nets.MLPConfig{Input: pool.Shape, Hidden: c.Hidden, Classes: pool.Classes, NoBias: true, Seed: seed})
	return fit.Job{Model: net, Train: train, Options: fit.Options{Dir: c.Dir},
		Config: fit.Config{BatchSize: c.BatchSize, LearningRate: c.LearningRate, Seed: seed, Phases: phases}}, err
}

// trainAll trains networks together, as one task.
func (s *Study) trainAll(ctx context.Context, jobs []fit.Job, title string) error {
	_, err := fit.TrainAll(ctx, s.e, jobs, s.Config.Progress, study.Title(title, jobs))
	return err
}
