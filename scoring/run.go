package scoring

import (
	"context"
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/study"
)

// Result is what a run measured: the zoo of each seed in the order of Config.Networks, and the networks of the experiment on
// invariance, seed by seed, width by width.
type Result struct {
	Config     Config      `json:"config"`
	Data       string      `json:"data"` // name and note of the data set
	Backend    string      `json:"backend"`
	Zoo        []Measured  `json:"zoo"`
	Invariants []Invariant `json:"invariants"`
	// Evaluations of the measures of MeasureNames, and of random ones, one a seed.
	Evaluations map[string][]Evaluation `json:"evaluations"`
	Chances     []Chance                `json:"chances"`
}

// Study is a configuration with its data, ready to train and measure networks.
type Study struct {
	Config Config    // with all defaults filled in
	Data   *fit.Sets // training pool and test examples

	e          *engine.Engine
	responders map[string]*Responder // by architecture
}

// Open checks the configuration and loads its data.
func Open(ctx context.Context, e *engine.Engine, c Config) (*Study, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := fit.LoadSets(ctx, c.Dataset, c.DataDir, slices.Max(c.TrainSizes), c.Test)
	if err != nil {
		return nil, study.First("scoring", err)
	}
	return &Study{Config: c, Data: d, e: e, responders: map[string]*Responder{}}, nil
}

// Run trains the zoo of every seed, and measures curves and baselines. With Config.Dir, what is finished is found again, so
// that a run that was stopped or killed goes on where it was, to the same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := Open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	c = s.Config
	w, err := study.NewWork(c.Dir, c.Shard, c.Progress)
	if err != nil {
		return nil, study.First("scoring", err)
	}
	r := &Result{Config: c, Data: s.Data.Describe(), Backend: e.Name()}
	for _, seed := range c.Seeds {
		if err := s.zoo(ctx, w, &r.Zoo, seed); err != nil {
			return nil, study.First("scoring", err)
		}
		if err := s.invariants(ctx, w, &r.Invariants, seed); err != nil {
			return nil, study.First("scoring", err)
		}
	}
	if err := w.Finish(); err != nil {
		return nil, study.First("scoring", err)
	}
	return r, r.evaluate()
}

// tasksTogether: networks are trained together, then measured.
const tasksTogether = 2

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	return 2 * tasksTogether * len(c.Seeds)
}

// Train trains one network of the zoo, or finds it in Config.Dir. It returns the training examples too, with the labels that
// the network was trained on.
func (s *Study) Train(ctx context.Context, n Network, seed int64) (*nets.Model, fit.Data, error) {
	job, err := s.job(n, seed)
	if err != nil {
		return nil, fit.Data{}, err
	}
	job.Options.Progress, job.Options.Label = s.Config.Progress, "train "+n.String()
	_, err = fit.TrainOrLoad(ctx, s.e, job.Model, job.Train, job.Config, job.Options)
	return job.Model, job.Train, err
}

// zoo trains and measures a seed's zoo.
func (s *Study) zoo(ctx context.Context, w *study.Work, to *[]Measured, seed int64) error {
	var all []network[Measured]
	for _, n := range s.Config.Networks() {
		job, err := s.job(n, seed)
		if err != nil {
			return err
		}
		all = append(all, network[Measured]{n.String(), job, func(epochs int) (Measured, error) {
			m, err := s.Measure(ctx, job.Model, job.Train, seed)
			m.Network, m.Epochs = n, epochs
			return m, err
		}})
	}
	return together(ctx, s, w, to, fmt.Sprintf("zoo, seed %d", seed), all)
}

// invariants trains and measures a seed's networks of the experiment on invariance.
func (s *Study) invariants(ctx context.Context, w *study.Work, to *[]Invariant, seed int64) error {
	var all []network[Invariant]
	for _, width := range s.Config.Widths {
		for _, angle := range s.Config.Angles {
			job, err := s.turned(width, angle, seed)
			if err != nil {
				return err
			}
			all = append(all, network[Invariant]{fmt.Sprintf("width %d, angle %g°", width, angle), job, func(int) (Invariant, error) {
				curve, err := s.turn(ctx, job.Model, job.Train, seed)
				return Invariant{Width: width, Angle: angle, Seed: seed, Curve: curve}, err
			}})
		}
	}
	return together(ctx, s, w, to, fmt.Sprintf("rotated, seed %d", seed), all)
}

// network is one to train, and how to measure it then, told how many epochs its training took.
type network[T any] struct {
	name    string
	job     fit.Job
	measure func(epochs int) (T, error)
}

// together trains networks together and measures them one by one, but for those that are kept or another shard's.
func together[T any](ctx context.Context, s *Study, w *study.Work, to *[]T, what string, all []network[T]) error {
	progress, epochs := s.Config.Progress, make([]int, len(all))
	measuring := s.Config.measuring()
	var pieces []study.Piece[T]
	for i, n := range all {
		key, err := fit.Key(n.job.Model, s.e.Name(), n.job.Train, n.job.Config)
		if err != nil {
			return err
		}
		pieces = append(pieces, study.Piece[T]{Name: n.name + ", " + what, Key: "scoring-" + fit.Hash(key, what, measuring), Group: i,
			Tasks: tasksTogether / float64(len(all)), Do: func() (T, error) {
				defer progress.Advance(1)
				return n.measure(epochs[i])
			}})
	}
	measured := func() {}
	defer func() { measured() }()
	return study.DoAll(w, to, pieces, func(missing []int) error {
		var jobs []fit.Job
		for _, i := range missing {
			jobs = append(jobs, all[i].job)
		}
		share := float64(len(missing)) / float64(len(all)) // of the work, for the display
		study.Weigh(progress, share)
		histories, err := fit.TrainAll(ctx, s.e, jobs, progress, fmt.Sprintf("train %s, %d networks", what, len(jobs)))
		if err != nil {
			return err
		}
		for k, i := range missing {
			epochs[i] = len(histories[k].Loss)
		}
		study.Weigh(progress, share)
		progress.Begin("measure "+what, 0, len(missing))
		measured = progress.End
		return nil
	})
}

// measuring is the part of a configuration that measurements depend on beside the network, for cache keys.
func (c Config) measuring() any {
	return []any{c.Test, c.Sample, c.Perturbations, c.Layers, c.RotationSample}
}
