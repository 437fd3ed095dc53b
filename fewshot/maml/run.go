package maml

import (
	"context"
	"fmt"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/fewshot/meta"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/study"
)

// Result is what a run measured: one Measured a method and seed, in that order.
type Result struct {
	Config  Config     `json:"config"`
	Data    string     `json:"data"` // training and test classes
	Backend string     `json:"backend"`
	Shape   []int      `json:"shape"` // of an image
	Models  []Measured `json:"models"`
	Sweeps  []Sweep    `json:"sweeps"`
}

// For returns what was measured of a method, one a seed.
func (r *Result) For(method string) []Measured {
	return study.Where(r.Models, func(m Measured) bool { return m.Method == method })
}

// Study is a configuration with its classes, ready to train and measure meta-models.
type Study struct {
	Config  Config            // with all defaults filled in
	Classes *fewshot.ClassSet // to train on
	Unseen  *fewshot.ClassSet // to test on
	Net     *meta.Conv

	e         *engine.Engine
	evaluator *meta.Evaluator
	method    string // of trainer, which serves one method after the other
	trainer   *meta.Trainer
	seed      int64           // of trained
	trained   *meta.MetaModel // the trainer's last
}

// Open checks the configuration, gets its classes and sees that they have what training and test tasks need.
func Open(ctx context.Context, e *engine.Engine, c Config) (*Study, error) {
	s := &Study{Config: c.WithDefaults(), e: e}
	c = s.Config
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var err error
	if s.Classes, s.Unseen, err = fewshot.Load(ctx, c.Dataset, fewshot.LoadOptions{Dir: c.DataDir}); err != nil {
		return nil, err
	}
	if err := s.checkClasses(); err != nil {
		return nil, study.First("maml", err)
	}
	s.Net, err = meta.NewConv(meta.Conv{Input: s.Classes.Shape, Filters: c.Filters, Ways: c.Ways, Pool: c.Pool, MeanFeatures: true})
	if err != nil {
		return nil, err
	}
	s.evaluator, err = meta.NewEvaluator(e, s.Net)
	return s, err
}

// Close frees what was compiled.
func (s *Study) Close() {
	s.evaluator.Close()
	if s.trainer != nil {
		s.trainer.Close()
	}
}

// Run meta-trains every method with every seed, fine-tunes on test tasks and attacks the results. With Config.Dir, what is
// finished is found again, so that a run that was stopped or killed goes on where it was, to the same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := Open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	c = s.Config
	w, err := study.NewWork(c.Dir, c.Shard, c.Progress)
	if err != nil {
		return nil, study.First("maml", err)
	}
	r := &Result{Config: c, Backend: e.Name(), Shape: s.Classes.Shape,
		Data: fmt.Sprintf("%s: %d classes to train on, %d to test", s.Classes.Name, len(s.Classes.Classes), len(s.Unseen.Classes))}
	for i, name := range c.Methods {
		for k, seed := range c.Seeds {
			if err := s.do(ctx, w, r, name, seed, i*len(c.Seeds)+k); err != nil {
				return nil, study.First("maml", err)
			}
		}
	}
	return r, study.First("maml", w.Finish())
}

// do measures one meta-model and, of the first seed, its curves: both need the same network.
func (s *Study) do(ctx context.Context, w *study.Work, r *Result, name string, seed int64, group int) error {
	c := s.Config
	key, err := s.key("tested", name, seed, c.TestTasks, c.TestSteps, c.SweepTasks, c.MaskingTasks, c.Neurons, c.NeuronSteps)
	if err != nil {
		return err
	}
	before := len(r.Models)
	err = study.Do(w, &r.Models, study.Piece[Measured]{Name: study.Label(name, seed), Key: key, Group: group, Tasks: 2,
		Do: func() (Measured, error) { return s.Measure(ctx, name, seed) }})
	for i := range r.Models[before:] {
		r.Models[before+i].Method = name // a label, and none of what is kept
	}
	if err != nil || seed != c.Seeds[0] || !slices.Contains(sweepMethods, name) {
		return err
	}
	if key, err = s.key("sweep", name, seed, c.SweepTasks, c.TestSteps, c.SweepSteps, c.SweepEpsilon); err != nil {
		return err
	}
	before = len(r.Sweeps)
	err = study.Do(w, &r.Sweeps, study.Piece[Sweep]{Name: "curves of " + study.Label(name, seed), Key: key, Group: group, Tasks: 1,
		Do: func() (Sweep, error) { return s.Sweep(ctx, name, seed) }})
	for i := range r.Sweeps[before:] {
		r.Sweeps[before+i].Method = name
	}
	return err
}

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	swept := study.Where(c.Methods, func(name string) bool { return slices.Contains(sweepMethods, name) })
	return 2*len(c.Methods)*len(c.Seeds) + len(swept)
}

// key is that of something measured of a meta-model.
func (s *Study) key(what, name string, seed int64, settings ...any) (string, error) {
	t, err := s.prepare(name)
	if err != nil {
		return "", err
	}
	source, err := fewshot.NewSampler(s.Classes, s.episodes(name, seed))
	if err != nil {
		return "", err
	}
	c := s.Config
	return "maml-" + fit.Hash(append(settings, what, t.Key(source, meta.TrainOptions{Updates: c.Updates, Seed: seed}), s.Unseen.Checksum(),
		c.Ways, c.Shots, c.TestQueries, c.AttackSteps)...), nil
}

// prepare makes the trainer of a method.
func (s *Study) prepare(name string) (*meta.Trainer, error) {
	if s.trainer != nil && s.method == name {
		return s.trainer, nil
	}
	t, err := meta.NewTrainer(s.e, s.Net, s.Config.Method(name))
	if err != nil {
		return nil, err
	}
	if s.trainer != nil {
		s.trainer.Close()
	}
	s.method, s.trainer, s.trained = name, t, nil
	return t, nil
}

// Train meta-trains a method with a seed, or finds it in Config.Dir.
func (s *Study) Train(ctx context.Context, name string, seed int64) (*meta.MetaModel, error) {
	t, err := s.prepare(name)
	if err != nil || s.trained != nil && s.seed == seed {
		return s.trained, err
	}
	source, err := fewshot.NewSampler(s.Classes, s.episodes(name, seed))
	if err != nil {
		return nil, err
	}
	c := s.Config
	m, err := t.Train(ctx, source, meta.TrainOptions{Updates: c.Updates, Seed: seed, Dir: c.Dir, Progress: c.Progress,
		Label: "train " + study.Label(name, seed)})
	if err != nil {
		return nil, err
	}
	s.seed, s.trained = seed, m
	return m, nil
}

// episodes are the training tasks of a method and seed.
func (s *Study) episodes(name string, seed int64) fewshot.Episodes {
	c := s.Config
	e := fewshot.Episodes{Ways: c.Ways, Shots: c.Shots, Queries: c.Queries, Tasks: c.Batch, Rotations: true, Seed: seed, Views: name == CL}
	switch name {
	case Unlabeled:
		e.Unlabeled = c.Unlabeled
	case More:
		e.Unlabeled = max(c.Unlabeled, min(4*c.Unlabeled, s.Classes.Fewest()-c.Shots-c.Queries))
	}
	return e
}

// testEpisodes are the test tasks of a seed, the same for all methods. On CPUs they run fastest one at a time.
func (c Config) testEpisodes(seed int64) fewshot.Episodes {
	return fewshot.Episodes{Ways: c.Ways, Shots: c.Shots, Queries: c.TestQueries, Tasks: 1, Seed: 1_000_003 + seed}
}

// checkClasses reports, before hours of training, classes that are too few or too small for the tasks to be drawn from them.
func (s *Study) checkClasses() error {
	check := func(tasks string, set *fewshot.ClassSet, e fewshot.Episodes, settings string) error {
		if err := e.Check(set); err != nil {
			return errors.Errorf("%s tasks: %s (%d classes in all, the smallest of %d images): add to them, or lower ways, shots or %s",
				tasks, err, len(set.Classes), set.Fewest(), settings)
		}
		return nil
	}
	if err := check("test", s.Unseen, s.Config.testEpisodes(0), "test_queries"); err != nil {
		return err
	}
	for _, name := range s.Config.Methods {
		if err := check("training", s.Classes, s.episodes(name, 0), "queries, or unlabeled where a method takes such images"); err != nil {
			return err
		}
	}
	return nil
}
