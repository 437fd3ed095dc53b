package maml

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/fewshot/meta"
	"github.com/trustbook/trustbook/fit"
)

// Measured is one method with one seed.
type Measured struct {
	Method    string        `json:"method"`
	Seed      int64         `json:"seed"`
	Unlabeled int           `json:"unlabeled,omitempty"` // unlabeled images of each class in a training task
	History   meta.History  `json:"history"`
	Tested    meta.Accuracy `json:"tested"` // after fine-tuning on clean images
	// Robust is after adversarial fine-tuning, for methods that train with it, on the first Config.SweepTasks of the test tasks;
	// Step is 0 for others.
	Robust meta.Accuracy `json:"robust"`
	// Masking is how Out fares under weaker and stronger attacks than the study's.
	Masking *Masking `json:"masking,omitempty"`
	// Maps are what excites neurons before and after fine-tuning on a task; of MAML and Out only.
	Maps *meta.Maps `json:"maps,omitempty"`
}

// Masking tells whether attacks fail for want of gradients: then a stronger attack does much more than a weaker one, or a single
// step more than many. All are accuracies on the same tasks.
type Masking struct {
	Fast   float64 `json:"fast"`   // under one FGSM step
	Usual  float64 `json:"usual"`  // under the study's PGD
	Strong float64 `json:"strong"` // under PGD with 50 steps, the worst of three restarts
}

// Sweep is one method of the first seed over fine-tuning steps and over radii.
type Sweep struct {
	Method  string          `json:"method"`
	Steps   []meta.Accuracy `json:"steps"`   // one of Config.SweepSteps each, at Config.Epsilon
	Epsilon []meta.Accuracy `json:"epsilon"` // one of Config.SweepEpsilon each
}

// Result is what a run measured: one Measured a method and seed, in that order.
type Result struct {
	Config  Config     `json:"config"`
	Data    string     `json:"data"` // training and test classes
	Backend string     `json:"backend"`
	Shape   []int      `json:"shape"` // of an image
	Models  []Measured `json:"models"`
	Sweeps  []Sweep    `json:"sweeps"`
}

// sweepMethods are those whose curves are shown.
var sweepMethods = []string{MAML, In, Out, Both}

// Run meta-trains every method with every seed, fine-tunes on test tasks and attacks the results. With Config.Dir, what is
// finished is found again, so that a run that was stopped or killed goes on where it was, to the same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	defer s.evaluator.Close()
	r := &Result{Config: s.c, Backend: e.Name(), Shape: s.train.Shape, Data: fmt.Sprintf("%s: %d classes to train on, %d to test", s.train.Name, len(s.train.Classes), len(s.test.Classes))}
	for _, name := range s.c.Methods {
		if err := s.method(ctx, name, r); err != nil {
			return nil, errors.WithMessagef(err, "maml: %s", name)
		}
	}
	return r, nil
}

// study is a run on its way.
type study struct {
	e           *engine.Engine
	c           Config
	train, test *fewshot.ClassSet
	net         *meta.Conv
	evaluator   *meta.Evaluator
}

// Load gets the classes of a configuration, checks that they have what its training and test tasks need, and makes the network
// for them.
func Load(ctx context.Context, c Config) (train, test *fewshot.ClassSet, net *meta.Conv, err error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, nil, nil, err
	}
	if train, test, err = fewshot.Load(ctx, c.Dataset, fewshot.LoadOptions{Dir: c.DataDir}); err != nil {
		return nil, nil, nil, err
	}
	if err := c.checkClasses(train, test); err != nil {
		return nil, nil, nil, err
	}
	net, err = meta.NewConv(meta.Conv{Input: train.Shape, Filters: c.Filters, Ways: c.Ways, Pool: c.Pool, MeanFeatures: true})
	return train, test, net, err
}

func open(ctx context.Context, e *engine.Engine, c Config) (*study, error) {
	s := &study{e: e, c: c.WithDefaults()}
	var err error
	if s.train, s.test, s.net, err = Load(ctx, c); err != nil {
		return nil, err
	}
	s.evaluator, err = meta.NewEvaluator(e, s.net)
	return s, err
}

// episodes are the training tasks of a method and seed.
func (c Config) episodes(name string, seed int64, train *fewshot.ClassSet) fewshot.Episodes {
	e := fewshot.Episodes{Ways: c.Ways, Shots: c.Shots, Queries: c.Queries, Tasks: c.Batch, Rotations: true, Seed: seed}
	switch name {
	case Unlabeled:
		e.Unlabeled = c.Unlabeled
	case More:
		e.Unlabeled = max(c.Unlabeled, min(4*c.Unlabeled, train.Fewest()-c.Shots-c.Queries))
	}
	e.Views = name == CL
	return e
}

// testEpisodes are the test tasks of a seed. On CPUs they run fastest one at a time.
func (c Config) testEpisodes(seed int64) fewshot.Episodes {
	return fewshot.Episodes{Ways: c.Ways, Shots: c.Shots, Queries: c.TestQueries, Tasks: 1, Seed: 1_000_003 + seed}
}

// checkClasses reports, before hours of training, classes that are too few or too small for the tasks to be drawn from them.
func (c Config) checkClasses(train, test *fewshot.ClassSet) error {
	check := func(tasks string, s *fewshot.ClassSet, e fewshot.Episodes, settings string) error {
		if _, err := fewshot.NewSampler(s, e); err != nil {
			return errors.Errorf("maml: %s tasks: %s (%d classes in all, the smallest of %d images): add to them, or lower ways, shots or %s",
				tasks, strings.TrimPrefix(err.Error(), "fewshot: "), len(s.Classes), s.Fewest(), settings)
		}
		return nil
	}
	if err := check("test", test, c.testEpisodes(0), "test_queries"); err != nil {
		return err
	}
	for _, name := range c.Methods {
		if err := check("training", train, c.episodes(name, 0, train), "queries, or unlabeled where a method takes such images"); err != nil {
			return err
		}
	}
	return nil
}

// Train meta-trains a method with a seed, or finds it in Config.Dir.
func Train(ctx context.Context, e *engine.Engine, name string, seed int64, train *fewshot.ClassSet, net meta.Model, c Config) (*meta.MetaModel, error) {
	c = c.WithDefaults()
	t, err := meta.NewTrainer(e, net, c.Method(name))
	if err != nil {
		return nil, err
	}
	defer t.Close()
	return trainWith(ctx, t, name, seed, train, c)
}

func trainWith(ctx context.Context, t *meta.Trainer, name string, seed int64, train *fewshot.ClassSet, c Config) (*meta.MetaModel, error) {
	source, err := fewshot.NewSampler(train, c.episodes(name, seed, train))
	if err != nil {
		return nil, err
	}
	return t.Train(ctx, source, meta.TrainOptions{Updates: c.Updates, Seed: seed, Dir: c.Dir, Progress: c.Progress, Label: fmt.Sprintf("train %s, seed %d", name, seed)})
}

// testTasks are the same for all methods of a seed.
func (s *study) testTasks(seed int64) (*fewshot.Sampler, error) {
	return fewshot.NewSampler(s.test, s.c.testEpisodes(seed))
}

// method measures a method with all seeds.
func (s *study) method(ctx context.Context, name string, r *Result) error {
	t, err := meta.NewTrainer(s.e, s.net, s.c.Method(name))
	if err != nil {
		return err
	}
	defer t.Close()
	models := map[int64]*meta.MetaModel{}
	model := func(seed int64) (*meta.MetaModel, error) {
		if models[seed] == nil {
			m, err := trainWith(ctx, t, name, seed, s.train, s.c)
			if err != nil {
				return nil, err
			}
			models[seed] = m
		}
		return models[seed], nil
	}
	key := func(what string, seed int64, settings ...any) (string, error) {
		source, err := fewshot.NewSampler(s.train, s.c.episodes(name, seed, s.train))
		if err != nil {
			return "", err
		}
		return "maml-" + fit.Hash(append(settings, what, t.Key(source, meta.TrainOptions{Updates: s.c.Updates, Seed: seed}), s.test.Checksum(), s.c.Ways, s.c.Shots, s.c.TestQueries, s.c.AttackSteps)...), nil
	}
	for i, seed := range s.c.Seeds {
		k, err := key("tested", seed, s.c.TestTasks, s.c.TestSteps, s.c.SweepTasks, s.c.MaskingTasks, s.c.Neurons, s.c.NeuronSteps)
		if err != nil {
			return err
		}
		m, err := remember(s, k, 2, func() (Measured, error) {
			trained, err := model(seed)
			if err != nil {
				return Measured{}, err
			}
			return s.measure(ctx, trained, name, seed)
		})
		if err != nil {
			return errors.WithMessagef(err, "seed %d", seed)
		}
		m.Method = name // a label, and none of what is kept
		r.Models = append(r.Models, m)
		if i > 0 || !slices.Contains(sweepMethods, name) {
			continue
		}
		if k, err = key("sweep", seed, s.c.SweepTasks, s.c.TestSteps, s.c.SweepSteps, s.c.SweepEpsilon); err != nil {
			return err
		}
		sweep, err := remember(s, k, 1, func() (Sweep, error) {
			trained, err := model(seed)
			if err != nil {
				return Sweep{}, err
			}
			return s.sweep(ctx, trained, seed)
		})
		if err != nil {
			return errors.WithMessage(err, "curves")
		}
		sweep.Method = name
		r.Sweeps = append(r.Sweeps, sweep)
	}
	return nil
}

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	n := 2 * len(c.Methods) * len(c.Seeds)
	for _, name := range c.Methods {
		if slices.Contains(sweepMethods, name) {
			n++
		}
	}
	return n
}

// remember runs f unless its result is in Config.Dir; then it tells the display that so many tasks are done.
func remember[T any](s *study, key string, tasks float64, f func() (T, error)) (T, error) {
	worked := false
	result, err := fit.Remember(s.c.Dir, key, func() (T, error) {
		worked = true
		return f()
	})
	if skipper, ok := s.c.Progress.(interface{ Skip(float64) }); ok && !worked {
		skipper.Skip(tasks)
	}
	return result, err
}

// measure tests a meta-model.
func (s *study) measure(ctx context.Context, trained *meta.MetaModel, name string, seed int64) (Measured, error) {
	m := Measured{Method: name, Seed: seed, Unlabeled: s.c.episodes(name, seed, s.train).Unlabeled, History: trained.History}
	tasks, err := s.testTasks(seed)
	if err != nil {
		return m, err
	}
	o := meta.EvalOptions{Inner: trained.Method.Inner, Tasks: s.c.TestTasks, Epsilon: s.c.Epsilon, StepSize: s.c.stepSize(s.c.Epsilon), AttackSteps: s.c.AttackSteps, Seed: seed,
		Progress: s.c.Progress, Label: fmt.Sprintf("test %s, seed %d", name, seed)}
	o.Inner.Steps = s.c.TestSteps
	found, err := s.evaluator.Evaluate(ctx, trained.Parameters, tasks, o)
	if err != nil {
		return m, err
	}
	m.Tested = found[0]
	if trained.Method.GammaIn > 0 {
		o.GammaIn, o.Tasks, o.Progress = trained.Method.GammaIn, min(s.c.TestTasks, s.c.SweepTasks), nil
		if found, err = s.evaluator.Evaluate(ctx, trained.Parameters, tasks, o); err != nil {
			return m, err
		}
		m.Robust = found[0]
	}
	if name == Out {
		if m.Masking, err = s.masking(ctx, trained, tasks, o); err != nil {
			return m, err
		}
	}
	if name == MAML || name == Out {
		m.Maps, err = s.evaluator.Explain(ctx, trained, tasks, s.c.Neurons, meta.MaximizeOptions{Steps: s.c.NeuronSteps})
	}
	return m, err
}

// masking attacks a model in three ways.
func (s *study) masking(ctx context.Context, trained *meta.MetaModel, tasks fewshot.Source, o meta.EvalOptions) (*Masking, error) {
	o.Tasks, o.GammaIn, o.Progress = s.c.MaskingTasks, 0, nil
	usual, fast, strong := o, o, o
	fast.Fast, strong.AttackSteps, strong.Restarts = true, 50, 3
	var found [3]float64
	for i, o := range []meta.EvalOptions{fast, usual, strong} {
		a, err := s.evaluator.Evaluate(ctx, trained.Parameters, tasks, o)
		if err != nil {
			return nil, err
		}
		found[i] = a[0].RA
	}
	return &Masking{found[0], found[1], found[2]}, nil
}

// sweep measures one model over steps of fine-tuning and over radii.
func (s *study) sweep(ctx context.Context, trained *meta.MetaModel, seed int64) (w Sweep, err error) {
	tasks, err := s.testTasks(seed)
	if err != nil {
		return w, err
	}
	s.c.Progress.Begin(fmt.Sprintf("curves of %s", trained.Method.Name), 0, 1+len(s.c.SweepEpsilon))
	defer s.c.Progress.End()
	o := meta.EvalOptions{Inner: trained.Method.Inner, Tasks: s.c.SweepTasks, Epsilon: s.c.Epsilon, StepSize: s.c.stepSize(s.c.Epsilon), AttackSteps: s.c.AttackSteps, Seed: seed}
	o.Inner.Steps, o.At = max(1, s.c.SweepSteps[len(s.c.SweepSteps)-1]), s.c.SweepSteps
	if w.Steps, err = s.evaluator.Evaluate(ctx, trained.Parameters, tasks, o); err != nil {
		return w, err
	}
	s.c.Progress.Advance(1)
	o.Inner.Steps, o.At = s.c.TestSteps, nil
	for _, epsilon := range s.c.SweepEpsilon {
		o.Epsilon, o.StepSize = epsilon, s.c.stepSize(epsilon)
		found, err := s.evaluator.Evaluate(ctx, trained.Parameters, tasks, o)
		if err != nil {
			return w, err
		}
		w.Epsilon = append(w.Epsilon, found[0])
		s.c.Progress.Advance(1)
	}
	return w, nil
}

// For returns what was measured of a method, one a seed.
func (r *Result) For(method string) (found []Measured) {
	for _, m := range r.Models {
		if m.Method == method {
			found = append(found, m)
		}
	}
	return found
}

// masking takes one number from every Masking.
func (r *Result) masking(number func(m *Masking) float64) (values []float64) {
	for _, m := range r.For(Out) {
		if m.Masking != nil {
			values = append(values, number(m.Masking))
		}
	}
	return values
}

// values takes one number from every model of a method.
func (r *Result) values(method string, of func(m Measured) float64) (values []float64) {
	for _, m := range r.For(method) {
		values = append(values, of(m))
	}
	return values
}
