package maml

import (
	"context"
	"fmt"

	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/fewshot/meta"
	"github.com/trustbook/trustbook/study"
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

// sweepMethods are those whose curves are shown.
var sweepMethods = []string{MAML, In, Out, Both}

// numbers of a network, for study.Values: false where it was not measured.
type number func(Measured) (float64, bool)

var (
	standard number = study.Always(func(m Measured) float64 { return m.Tested.SA })
	robust   number = study.Always(func(m Measured) float64 { return m.Tested.RA })
	taken    number = study.Always(func(m Measured) float64 { return m.Tested.SA - m.Tested.RA })
	shift    number = study.Always(func(m Measured) float64 { return m.Tested.LeastShift })
)

// adversarial is a number after adversarial fine-tuning, of methods that train with it.
func adversarial(of func(meta.Accuracy) float64) number {
	return func(m Measured) (float64, bool) { return of(m.Robust), m.Robust.Step > 0 }
}

func masking(of func(Masking) float64) number {
	return func(m Measured) (float64, bool) {
		if m.Masking == nil {
			return 0, false
		}
		return of(*m.Masking), true
	}
}

func maps(of func(meta.Maps) float64) number {
	return func(m Measured) (float64, bool) {
		if m.Maps == nil {
			return 0, false
		}
		return of(*m.Maps), true
	}
}

// values takes a number from every network of a method.
func (r *Result) values(method string, of number) []float64 { return study.Values(r.For(method), of) }

// options are those of the study's attack on test tasks.
func (s *Study) options(inner meta.InnerLoop, seed int64) meta.EvalOptions {
	c := s.Config
	inner.Steps = c.TestSteps
	return meta.EvalOptions{Inner: inner, Epsilon: c.Epsilon, StepSize: c.stepSize(c.Epsilon), AttackSteps: c.AttackSteps, Seed: seed}
}

// ready trains a method with a seed, or finds it, and returns the seed's test tasks and the study's attack on them.
func (s *Study) ready(ctx context.Context, name string, seed int64) (*meta.MetaModel, *fewshot.Sampler, meta.EvalOptions, error) {
	trained, err := s.Train(ctx, name, seed)
	if err != nil {
		return nil, nil, meta.EvalOptions{}, err
	}
	tasks, err := fewshot.NewSampler(s.Unseen, s.Config.testEpisodes(seed))
	return trained, tasks, s.options(trained.Method.Inner, seed), err
}

// Measure trains a method with a seed, or finds it, and tests it.
func (s *Study) Measure(ctx context.Context, name string, seed int64) (Measured, error) {
	c, m := s.Config, Measured{Method: name, Seed: seed, Unlabeled: s.episodes(name, seed).Unlabeled}
	trained, tasks, o, err := s.ready(ctx, name, seed)
	if err != nil {
		return m, err
	}
	m.History = trained.History
	o.Tasks, o.Progress, o.Label = c.TestTasks, c.Progress, "test "+study.Label(name, seed)
	found, err := s.evaluator.Evaluate(ctx, trained.Parameters, tasks, o)
	if err != nil {
		return m, err
	}
	m.Tested, o.Progress = found[0], nil
	if trained.Method.GammaIn > 0 {
		o.GammaIn, o.Tasks = trained.Method.GammaIn, min(c.TestTasks, c.SweepTasks)
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
		m.Maps, err = s.evaluator.Explain(ctx, trained, tasks, c.Neurons, meta.MaximizeOptions{Steps: c.NeuronSteps})
	}
	return m, err
}

// masking attacks a model in three ways.
func (s *Study) masking(ctx context.Context, trained *meta.MetaModel, tasks fewshot.Source, usual meta.EvalOptions) (*Masking, error) {
	usual.Tasks, usual.GammaIn = s.Config.MaskingTasks, 0
	fast, strong := usual, usual
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

// Sweep measures one model over steps of fine-tuning and over radii.
func (s *Study) Sweep(ctx context.Context, name string, seed int64) (w Sweep, err error) {
	c := s.Config
	trained, tasks, o, err := s.ready(ctx, name, seed)
	if err != nil {
		return w, err
	}
	c.Progress.Begin(fmt.Sprintf("curves of %s", name), 0, 1+len(c.SweepEpsilon))
	defer c.Progress.End()
	o.Tasks, o.Inner.Steps, o.At = c.SweepTasks, max(1, c.SweepSteps[len(c.SweepSteps)-1]), c.SweepSteps
	if w.Steps, err = s.evaluator.Evaluate(ctx, trained.Parameters, tasks, o); err != nil {
		return w, err
	}
	c.Progress.Advance(1)
	o.Inner.Steps, o.At = c.TestSteps, nil
	for _, epsilon := range c.SweepEpsilon {
		o.Epsilon, o.StepSize = epsilon, c.stepSize(epsilon)
		found, err := s.evaluator.Evaluate(ctx, trained.Parameters, tasks, o)
		if err != nil {
			return w, err
		}
		w.Epsilon = append(w.Epsilon, found[0])
		c.Progress.Advance(1)
	}
	return w, nil
}
