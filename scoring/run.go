package scoring

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Measured is one network of the zoo.
type Measured struct {
	Network
	Seed          int64            `json:"seed"`
	Epochs        int              `json:"epochs"`         // that it took
	TrainAccuracy float64          `json:"train_accuracy"` // on the labels trained on
	TestAccuracy  float64          `json:"test_accuracy"`  // on clean test examples
	Curves        map[string]Curve `json:"curves"`         // by CurveName
	// Baselines are the measures of BaselineNames.
	Baselines map[string]float64 `json:"baselines"`
}

// Gap is the generalization gap: training minus test accuracy.
func (m Measured) Gap() float64 { return m.TrainAccuracy - m.TestAccuracy }

// Invariant is one network of the experiment on invariance.
type Invariant struct {
	Width int     `json:"width"`
	Angle float64 `json:"angle"` // up to which its training examples were turned
	Seed  int64   `json:"seed"`
	Curve Curve   `json:"curve"` // under rotation
}

// Result is what a run measured: the zoo of each seed in the order of Config.Networks, and the networks of the experiment on
// invariance, seed by seed, width by width.
type Result struct {
	Config     Config      `json:"config"`
	Data       string      `json:"data"`
	Backend    string      `json:"backend"`
	Zoo        []Measured  `json:"zoo"`
	Invariants []Invariant `json:"invariants"`
	// Evaluations of the measures of MeasureNames, and of random ones, one a seed.
	Evaluations map[string][]Evaluation `json:"evaluations"`
	Chances     []Chance                `json:"chances"`
}

// Run trains the zoo of every seed, and measures curves and baselines. With Config.Dir, what is finished is found again, so
// that a run that was stopped or killed goes on where it was, to the same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	r := &Result{Config: s.c, Data: s.data.Describe(), Backend: e.Name()}
	for _, seed := range s.c.Seeds {
		zoo, err := s.zoo(ctx, seed, Shard{})
		if err != nil {
			return nil, errors.WithMessagef(err, "scoring: zoo of seed %d", seed)
		}
		r.Zoo = append(r.Zoo, zoo...)
		invariants, err := s.invariants(ctx, seed, Shard{})
		if err != nil {
			return nil, errors.WithMessagef(err, "scoring: invariance, seed %d", seed)
		}
		r.Invariants = append(r.Invariants, invariants...)
	}
	return r, r.evaluate()
}

// Shard is a part of the work: the Index-th, from 1, of Of. The zero value is all of it.
type Shard struct{ Index, Of int }

// has tells whether the i-th piece of work belongs to the shard.
func (s Shard) has(i int) bool { return s.Of == 0 || i%s.Of == s.Index-1 }

// RunShard trains and measures only the shard's networks and keeps them in Config.Dir. Once all shards have run, on one
// machine or many, and their folders' files are in one, Run finds everything there.
func RunShard(ctx context.Context, e *engine.Engine, c Config, shard Shard) error {
	if shard.Of < 1 || shard.Index < 1 || shard.Index > shard.Of {
		return errors.Errorf("scoring: shard %d of %d: want 1 to the number of shards", shard.Index, shard.Of)
	}
	if c.Dir == "" {
		return errors.New("scoring: a shard needs a folder to keep its results in")
	}
	s, err := open(ctx, e, c)
	if err != nil {
		return err
	}
	for _, seed := range s.c.Seeds {
		if _, err := s.zoo(ctx, seed, shard); err != nil {
			return errors.WithMessagef(err, "scoring: zoo of seed %d", seed)
		}
		if _, err := s.invariants(ctx, seed, shard); err != nil {
			return errors.WithMessagef(err, "scoring: invariance, seed %d", seed)
		}
	}
	return nil
}

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	return 4 * len(c.Seeds)
}

// Load gets the data of a configuration.
func Load(ctx context.Context, c Config) (*fit.Sets, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := fit.LoadSets(ctx, c.Dataset, c.DataDir, slices.Max(c.TrainSizes), c.Test)
	return d, errors.WithMessage(err, "scoring")
}

// Train trains one network of the zoo, or finds it in Config.Dir. It returns the training examples too, with the labels that
// the network was trained on.
func Train(ctx context.Context, e *engine.Engine, n Network, seed int64, d *fit.Sets, c Config) (*nets.Model, fit.Data, error) {
	s := &study{e: e, c: c.WithDefaults(), data: d}
	job, err := s.job(n, seed)
	if err != nil {
		return nil, fit.Data{}, err
	}
	job.Options.Progress, job.Options.Label = s.c.Progress, "train "+n.String()
	_, err = fit.TrainOrLoad(ctx, e, job.Model, job.Train, job.Config, job.Options)
	return job.Model, job.Train, err
}

// study is a run on its way.
type study struct {
	e          *engine.Engine
	c          Config
	data       *fit.Sets
	responders map[string]*Responder // by architecture
}

func open(ctx context.Context, e *engine.Engine, c Config) (*study, error) {
	d, err := Load(ctx, c)
	return &study{e: e, c: c.WithDefaults(), data: d, responders: map[string]*Responder{}}, err
}

// piece is one network to train and measure.
type piece[T any] struct {
	job     fit.Job
	name    string
	measure func(r *Responder, h *fit.History) (T, error)
}

// all trains pieces together and measures them, but for what is kept already.
func all[T any](ctx context.Context, s *study, what string, pieces []piece[T]) ([]T, error) {
	results, keys := make([]T, len(pieces)), make([]string, len(pieces))
	var missing []int
	for i, p := range pieces {
		key, err := fit.Key(p.job.Model, s.e.Name(), p.job.Train, p.job.Config)
		if err != nil {
			return nil, err
		}
		keys[i] = "scoring-" + fit.Hash(key, what, s.c.measuring())
		results[i], err = fit.Remember(s.c.Dir, keys[i], func() (T, error) {
			var none T
			return none, errMissing
		})
		switch {
		case errors.Is(err, errMissing):
			missing = append(missing, i)
		case err != nil:
			return nil, err
		}
	}
	if len(missing) == 0 {
		s.skip(2)
		return results, nil
	}
	if s.c.Complete {
		return nil, errors.Errorf("%d of %d networks are not there, such as that with %s: has every shard run?", len(missing), len(pieces), pieces[missing[0]].name)
	}
	var jobs []fit.Job
	for _, i := range missing {
		jobs = append(jobs, pieces[i].job)
	}
	histories, err := fit.TrainAll(ctx, s.e, jobs, s.c.Progress, fmt.Sprintf("train %s, %d networks", what, len(jobs)))
	if err != nil {
		return nil, err
	}
	s.c.Progress.Begin("measure "+what, 0, len(missing))
	defer s.c.Progress.End()
	for k, i := range missing {
		results[i], err = fit.Remember(s.c.Dir, keys[i], func() (none T, err error) {
			r, err := s.responder(pieces[i].job.Model)
			if err != nil {
				return none, err
			}
			return pieces[i].measure(r, histories[k])
		})
		if err != nil {
			return nil, errors.WithMessage(err, pieces[i].name)
		}
		s.c.Progress.Advance(1)
	}
	return results, nil
}

var errMissing = errors.New("not there yet")

// skip tells the display that so many tasks need no work.
func (s *study) skip(tasks float64) {
	if skipper, ok := s.c.Progress.(interface{ Skip(float64) }); ok {
		skipper.Skip(tasks)
	}
}

// measuring is the part of a configuration that measurements depend on beside the network, for cache keys.
func (c Config) measuring() any {
	return []any{c.Test, c.Sample, c.Perturbations, c.Layers, c.RotationSample}
}

// responder measures networks of one architecture, with the weights of the given one.
func (s *study) responder(m *nets.Model) (*Responder, error) {
	shapes := ""
	for _, w := range m.Weights() {
		shapes += w.Shape().String()
	}
	r := s.responders[shapes]
	if r == nil {
		copied, err := m.Clone()
		if err != nil {
			return nil, err
		}
		if r, err = NewResponder(s.e, copied, ResponseOptions{Seed: 1}); err != nil {
			return nil, err
		}
		s.responders[shapes] = r
	}
	return r, r.Model.CopyWeights(m)
}

// zoo trains and measures a seed's zoo, or a shard of it.
func (s *study) zoo(ctx context.Context, seed int64, shard Shard) ([]Measured, error) {
	var pieces []piece[Measured]
	for i, n := range s.c.Networks() {
		if !shard.has(i) {
			continue
		}
		job, err := s.job(n, seed)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, piece[Measured]{job: job, name: n.String(), measure: func(r *Responder, h *fit.History) (Measured, error) {
			m := Measured{Network: n, Seed: seed, Epochs: len(h.Loss)}
			err := s.measure(ctx, &m, r, job.Train)
			return m, err
		}})
	}
	return all(ctx, s, fmt.Sprintf("zoo, seed %d", seed), pieces)
}

// CurveName names a curve: the perturbation and, for mixup, the layer.
func CurveName(p Perturbation, layer int) string { return fmt.Sprintf("%s, layer %d", p.Name(), layer) }

// curves are the perturbations and layers that a configuration asks for.
func (c Config) curves(each func(p Perturbation, layer int) error) error {
	for _, name := range c.Perturbations {
		p, err := ByName(name)
		if err != nil {
			return err
		}
		for _, layer := range c.Layers {
			if p.Needs().Partner == NoPartner && layer > 0 {
				continue
			}
			if err := each(p, layer); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure fills in accuracies, curves and baselines.
func (s *study) measure(ctx context.Context, m *Measured, r *Responder, train fit.Data) (err error) {
	if _, m.TrainAccuracy, err = r.Margins(ctx, train); err != nil {
		return err
	}
	if _, m.TestAccuracy, err = r.Margins(ctx, fit.Data{Images: s.data.Images, Labels: s.data.Labels}); err != nil {
		return err
	}
	sample := Subset(train, s.c.Sample, m.Seed)
	m.Curves = map[string]Curve{}
	err = s.c.curves(func(p Perturbation, layer int) error {
		c, err := r.Respond(ctx, sample, p, layer)
		m.Curves[CurveName(p, layer)] = c
		return err
	})
	if err != nil {
		return err
	}
	intra, found := m.Curves[CurveName(Mixup{Kind: IntraClass}, 0)]
	if !found {
		if intra, err = r.Respond(ctx, sample, At(Mixup{Kind: IntraClass}, 0, 0.5), 0); err != nil {
			return err
		}
	}
	m.Baselines, err = r.Baselines(ctx, sample, intra)
	return err
}

// Subset draws n of the examples, at most as many as there are.
func Subset(d fit.Data, n int, seed int64) fit.Data {
	size := d.Images.Shape().Size() / len(d.Labels)
	all := tensors.MustCopyFlatData[float32](d.Images)
	n = min(n, len(d.Labels))
	var pixels []float32
	var labels []int32
	for _, row := range fit.Permutation(len(d.Labels), seed, 0)[:n] {
		pixels, labels = append(pixels, all[int(row)*size:(int(row)+1)*size]...), append(labels, d.Labels[row])
	}
	dims := slices.Clone(d.Images.Shape().Dimensions)
	dims[0] = n
	return fit.Data{Images: tensors.FromFlatDataAndDimensions(pixels, dims...), Labels: labels}
}

// invariants trains and measures a seed's networks of the experiment on invariance, or a shard of them.
func (s *study) invariants(ctx context.Context, seed int64, shard Shard) ([]Invariant, error) {
	var pieces []piece[Invariant]
	i := 0
	for _, width := range s.c.Widths {
		for _, angle := range s.c.Angles {
			if i++; !shard.has(i - 1) {
				continue
			}
			job, err := s.rotated(width, angle, seed)
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, piece[Invariant]{job: job, name: fmt.Sprintf("width %d, angle %g°", width, angle),
				measure: func(r *Responder, _ *fit.History) (found Invariant, err error) {
					found = Invariant{Width: width, Angle: angle, Seed: seed}
					found.Curve, err = r.Respond(ctx, Subset(job.Train, s.c.RotationSample, seed), Rotation{}, 0)
					return found, err
				}})
		}
	}
	return all(ctx, s, fmt.Sprintf("rotated, seed %d", seed), pieces)
}
