package pairgan

import (
	"context"
	"fmt"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/datasets"
	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fewshot/paired"
	"github.com/trustbook/trustbook/fewshot/pfsgan"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/study"
)

// Result is what a run measured, each list in the order of the seeds.
type Result struct {
	Config  Config      `json:"config"`
	Data    string      `json:"data"`
	Shape   []int       `json:"shape"`
	Backend string      `json:"backend"`
	Sources []Separated `json:"sources"` // one a seed
	Methods []Measured  `json:"methods"` // one a method and seed
	Swept   []Measured  `json:"swept"`   // [Full] with other numbers of pairs
	Looks   []Look      `json:"looks"`   // of the first seed
}

// For returns what was measured of one method, in the order of the seeds.
func (r *Result) For(method string) []Measured {
	return study.Where(r.Methods, func(m Measured) bool { return m.Method == method })
}

// Study is a configuration, ready to draw pairs and to learn from them.
type Study struct {
	Config Config // with all defaults filled in

	e     *engine.Engine
	scene *scene // of the seed that was asked for last
}

// scene is what a seed's methods share.
type scene struct {
	seed   int64
	split  *paired.Split
	source *pfsgan.Source
	losses fit.Losses
	scorer *scorer // of target images
	looker *scorer // of source images; neither was used in training
	real   [][]float64
}

// Open checks the configuration.
func Open(_ context.Context, e *engine.Engine, c Config) (*Study, error) {
	c = c.WithDefaults()
	return &Study{Config: c, e: e}, c.Validate()
}

// Run trains all methods with every seed and measures their samples. With Config.Dir, what is finished is found again, so that a run
// that was stopped or killed goes on where it was, to the same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := Open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	r, err := s.run(ctx)
	return r, study.First("pairgan", err)
}

func (s *Study) run(ctx context.Context) (*Result, error) {
	c := s.Config
	w, err := study.NewWork(c.Dir, c.Shard, c.Progress)
	if err != nil {
		return nil, err
	}
	r := &Result{Config: c, Data: c.describe(), Shape: []int{c.Size, c.Size, 3}, Backend: s.e.Name()}
	measured := make([][]Measured, len(c.Methods))
	for i, seed := range c.Seeds {
		key := fit.Hash(s.e.Name(), seed, c.measuring())
		if err := study.Do(w, &r.Sources, study.Piece[Separated]{Name: study.Label("source", seed), Group: i, Tasks: tasksSource,
			Key: "pairgan-source-" + key, Do: func() (Separated, error) { return s.Separate(ctx, seed) }}); err != nil {
			return nil, err
		}
		for k, m := range c.chosen() {
			if err := study.Do(w, &measured[k], study.Piece[Measured]{Name: study.Label(m.Name, seed), Group: i, Tasks: 1,
				Key: "pairgan-" + fit.Hash(key, m.Name, c.Pairs),
				Do:  func() (Measured, error) { return s.Measure(ctx, m.Name, seed) }}); err != nil {
				return nil, err
			}
		}
		for _, pairs := range c.Sweep {
			if err := study.Do(w, &r.Swept, study.Piece[Measured]{Name: study.Label(fmt.Sprintf("%d pairs", pairs), seed), Group: i, Tasks: 1,
				Key: "pairgan-" + fit.Hash(key, Full, pairs),
				Do:  func() (Measured, error) { return s.MeasurePairs(ctx, pairs, seed) }}); err != nil {
				return nil, err
			}
		}
		if i > 0 {
			continue
		}
		if err := study.Do(w, &r.Looks, study.Piece[Look]{Name: "pictures", Key: "pairgan-look-" + fit.Hash(key, c.Pairs, c.Methods),
			Do: func() (Look, error) { return s.Look(ctx, seed) }}); err != nil {
			return nil, err
		}
	}
	r.Methods = slices.Concat(measured...)
	return r, w.Finish()
}

// tasksSource are the trainings of stage 1 and of three classifiers, which all of a seed share.
const tasksSource = 4

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	return len(c.Seeds) * (tasksSource + len(c.Methods) + len(c.Sweep))
}

// measuring is the part of a configuration that all measurements depend on, for cache keys.
func (c Config) measuring() Config {
	c.Seeds, c.Methods, c.Scale, c.Sweep, c.Pairs = nil, nil, "", nil, 0
	return c
}

func (c Config) describe() string { return fmt.Sprintf("%s, %s", c.Dataset, c.Domain) }

// draw draws a seed's images.
func (s *Study) draw(ctx context.Context, seed int64, pairs int) (*paired.Split, error) {
	c := s.Config
	o := paired.Options{Domain: paired.Domain(c.Domain), Pairs: pairs, Train: c.Train, HeldOut: c.HeldOut, Size: c.Size, Seed: seed,
		Data: datasets.Options{Dir: c.DataDir}}
	if c.Dataset == "glyphs" {
		return paired.Glyphs(ctx, o)
	}
	return paired.Digits(ctx, o)
}

// sceneOf draws a seed's images, trains the classifiers and stage 1, or finds them.
func (s *Study) sceneOf(ctx context.Context, seed int64) (*scene, error) {
	if s.scene != nil && s.scene.seed == seed {
		return s.scene, nil
	}
	c := s.Config
	z := &scene{seed: seed}
	var err error
	if z.split, err = s.draw(ctx, seed, c.Pairs); err != nil {
		return nil, err
	}
	all := z.split.Train
	perceptual, err := s.classifier(ctx, study.Label("perceptual classifier", seed),
		fit.Data{Images: all.Source, Labels: all.Labels}, all.Classes, 3*seed)
	if err != nil {
		return nil, err
	}
	looker, err := s.classifier(ctx, study.Label("source classifier", seed),
		fit.Data{Images: all.Source, Labels: all.Labels}, all.Classes, 3*seed+1)
	if err != nil {
		return nil, err
	}
	judge, err := s.classifier(ctx, study.Label("target classifier", seed),
		fit.Data{Images: all.Target, Labels: all.Labels}, all.Classes, 3*seed+2)
	if err != nil {
		return nil, err
	}
	if z.looker, err = newScorer(s.e, looker); err != nil {
		return nil, err
	}
	if z.scorer, err = newScorer(s.e, judge); err != nil {
		return nil, err
	}
	if z.real, err = z.scorer.features(z.split.HeldOut.Target); err != nil {
		return nil, err
	}
	if z.source, z.losses, err = pfsgan.TrainSource(ctx, s.e, c.training(seed), z.split.Source,
		&pfsgan.Perceptual{Model: perceptual, Scale: c.Feature}, s.options("train "+study.Label("source", seed))); err != nil {
		return nil, err
	}
	s.scene = z
	return z, nil
}

// classifier trains a network that looks at images.
func (s *Study) classifier(ctx context.Context, what string, d fit.Data, classes int, seed int64) (*nets.Model, error) {
	c := s.Config
	m, err := nets.NewCNN(nets.CNNConfig{Input: []int{c.Size, c.Size, 3}, Channels: []int{16, 32}, Dense: features, Classes: classes,
		Lower: -1, Upper: 1, Seed: seed})
	if err != nil {
		return nil, err
	}
	_, err = fit.TrainOrLoad(ctx, s.e, m, d, fit.Config{BatchSize: min(50, c.Train), Seed: seed,
		Phases: []fit.Phase{{Epochs: c.Epochs, Loss: fit.CrossEntropy()}}}, s.options("train "+what))
	return m, err
}

// features is how many of them an image is measured by.
const features = 64

func (s *Study) options(label string) fit.Options {
	return fit.Options{Dir: s.Config.Dir, Progress: s.Config.Progress, Label: label}
}

// Split are a seed's images.
func (s *Study) Split(ctx context.Context, seed int64) (*paired.Split, error) {
	z, err := s.sceneOf(ctx, seed)
	if err != nil {
		return nil, err
	}
	return z.split, nil
}

// Source trains a seed's stage 1, or finds it.
func (s *Study) Source(ctx context.Context, seed int64) (*pfsgan.Source, fit.Losses, error) {
	z, err := s.sceneOf(ctx, seed)
	if err != nil {
		return nil, nil, err
	}
	return z.source, z.losses, nil
}

// Adapt trains a seed's stage 2, or finds it.
func (s *Study) Adapt(ctx context.Context, seed int64) (*pfsgan.Target, error) {
	z, err := s.sceneOf(ctx, seed)
	if err != nil {
		return nil, err
	}
	m, err := s.adapt(ctx, z, z.split.Few, s.Config.training(seed), s.options("train "+study.Label(Full, seed)))
	return m.target, err
}

// methodNamed finds a method.
func methodNamed(name string) (method, error) {
	for _, m := range methods {
		if m.Name == name {
			return m, nil
		}
	}
	return method{}, errors.Errorf("method %q: want one of %q", name, Methods())
}
