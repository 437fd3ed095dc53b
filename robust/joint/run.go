package joint

import (
	"context"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/study"
)

// Result is what a run measured: one Measured a method and seed, in that order.
type Result struct {
	Config  Config     `json:"config"`
	Data    string     `json:"data"` // name and note of the data set
	Backend string     `json:"backend"`
	Models  []Measured `json:"models"`
}

// For returns the networks of one method, in the order of the seeds.
func (r *Result) For(method string) []Measured {
	return study.Where(r.Models, func(m Measured) bool { return m.Method == method })
}

// Study is a configuration with its data, ready to train and measure networks.
type Study struct {
	Config Config    // with all defaults filled in
	Data   *fit.Sets // training pool and test examples

	e     *engine.Engine
	gauge *gauge // made when first needed
}

// Open checks the configuration and loads its data.
func Open(ctx context.Context, e *engine.Engine, c Config) (*Study, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := fit.LoadSets(ctx, c.Dataset, c.DataDir, c.Train, c.Test)
	if err != nil {
		return nil, study.First("joint", err)
	}
	return &Study{Config: c, Data: d, e: e}, nil
}

// Run trains every method with every seed, attacks and certifies the networks. With Config.Dir, what is finished is
// found again, so that a run that was stopped or killed goes on where it was, to the same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := Open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	c = s.Config
	w, err := study.NewWork(c.Dir, c.Shard, c.Progress)
	if err != nil {
		return nil, study.First("joint", err)
	}
	r := &Result{Config: c, Data: s.Data.Describe(), Backend: e.Name()}
	methods, err := methodsNamed(c.Methods)
	if err != nil {
		return nil, err
	}
	for i, m := range methods {
		for k, seed := range c.Seeds {
			piece, err := s.piece(ctx, m, seed)
			if err != nil {
				return nil, err
			}
			piece.Group = i*len(c.Seeds) + k
			if err := study.Do(w, &r.Models, piece); err != nil {
				return nil, study.First("joint", err)
			}
		}
	}
	return r, study.First("joint", w.Finish())
}

// tasksPerNetwork: warm-up, training, measuring.
const tasksPerNetwork = 3

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	return len(c.Methods) * len(c.Seeds) * tasksPerNetwork
}

// piece is one network, trained and measured.
func (s *Study) piece(ctx context.Context, m Method, seed int64) (study.Piece[Measured], error) {
	p := study.Piece[Measured]{Name: study.Label(m.Name, seed), Tasks: tasksPerNetwork, Do: func() (Measured, error) {
		net, err := s.Train(ctx, m, seed)
		if err != nil {
			return Measured{}, err
		}
		return s.Measure(ctx, net, m.Name, seed)
	}}
	net, train, cfg, err := s.plan(m, seed)
	if err != nil {
		return p, err
	}
	key, err := fit.Key(net, s.e.Name(), train, cfg)
	if err != nil {
		return p, err
	}
	p.Key = "joint-" + fit.Hash(key, s.Config.measuring())
	return p, nil
}

// measuring is the part of a configuration that measurements depend on, for cache keys.
func (c Config) measuring() Config {
	c.Seeds, c.Methods, c.Scale = nil, nil, ""
	return c
}

// plan returns an untrained network, its training examples and how to train it.
func (s *Study) plan(m Method, seed int64) (*nets.Model, fit.Data, fit.Config, error) {
	c, d := s.Config, s.Data
	net, err := nets.NewMLP(nets.MLPConfig{Input: d.Pool.Shape, Hidden: c.Hidden, Classes: d.Pool.Classes, NoBias: true, Seed: seed})
	if err != nil {
		return nil, fit.Data{}, fit.Config{}, err
	}
	train, err := d.Draw(c.Train, seed)
	return net, train, fit.Config{BatchSize: c.BatchSize, LearningRate: c.LearningRate, Seed: seed,
		Phases: []fit.Phase{{Epochs: c.WarmUp, Loss: warmUp()}, {Epochs: c.Epochs, Loss: m.Loss}}}, err
}

// Train trains one network with a method, or finds it in Config.Dir.
func (s *Study) Train(ctx context.Context, m Method, seed int64) (*nets.Model, error) {
	net, train, cfg, err := s.plan(m, seed)
	if err != nil {
		return nil, err
	}
	_, err = fit.TrainOrLoad(ctx, s.e, net, train, cfg, fit.Options{Dir: s.Config.Dir, Progress: s.Config.Progress,
		Label: "train " + study.Label(m.Name, seed)})
	return net, err
}
