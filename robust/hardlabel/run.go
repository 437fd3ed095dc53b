package hardlabel

import (
	"context"
	"fmt"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/study"
)

// Result is what a run measured: one Measured a network and seed, in that order, and the spheres of each seed.
type Result struct {
	Config   Config     `json:"config"`
	Data     string     `json:"data"` // name and note of the data set
	Shape    []int      `json:"shape"`
	Backend  string     `json:"backend"`
	Networks []Measured `json:"networks"`
	Spheres  []Leaks    `json:"spheres"` // one a seed
	Looks    []Look     `json:"looks"`   // of the first seed, one a network
}

// For returns what was measured of the networks of one method, in the order of the seeds.
func (r *Result) For(method string) []Measured {
	return study.Where(r.Networks, func(m Measured) bool { return m.Method == method })
}

// Study is a configuration with its data, ready to train networks, to attack them and to measure what attacks find.
type Study struct {
	Config Config    // with all defaults filled in
	Data   *fit.Sets // training pool and test images

	e     *engine.Engine
	scene *Scene  // of the seed that was asked for last
	drawn drawing // the same
}

// Open checks the configuration and loads its data.
func Open(ctx context.Context, e *engine.Engine, c Config) (*Study, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := fit.LoadSets(ctx, c.Dataset, c.DataDir, c.Train+c.Held, c.Test)
	if err != nil {
		return nil, study.First("hardlabel", err)
	}
	return newStudy(e, c, d)
}

// newStudy checks what the configuration says against the data.
func newStudy(e *engine.Engine, c Config, d *fit.Sets) (*Study, error) {
	for _, space := range c.Spaces {
		if directions := drawn(space); directions != nil {
			if _, err := directions.Size(d.Pool.Shape); err != nil {
				return nil, study.First("hardlabel", err)
			}
		}
	}
	_, err := NewAutoencoder(d.Pool.Shape, c.Halvings, c.Filters, c.Tanh, 0)
	return &Study{Config: c, Data: d, e: e}, study.First("hardlabel", err)
}

// Run trains the networks of every seed, attacks them in every space and measures what is found; and asks the same seeds' spheres.
// With Config.Dir, what is finished is found again, so that a run that was stopped or killed goes on where it was, to the same
// result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := Open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	r, err := s.run(ctx)
	return r, study.First("hardlabel", err)
}

func (s *Study) run(ctx context.Context) (*Result, error) {
	c := s.Config
	w, err := study.NewWork(c.Dir, c.Shard, c.Progress)
	if err != nil {
		return nil, err
	}
	r := &Result{Config: c, Data: s.Data.Describe(), Shape: s.Data.Pool.Shape, Backend: s.e.Name()}
	methods := c.Methods()
	measured := make([][]Measured, len(methods))
	for i, seed := range c.Seeds {
		for k, m := range methods {
			key, err := s.key(m.Name, seed)
			if err != nil {
				return nil, err
			}
			if err := study.Do(w, &measured[k], study.Piece[Measured]{Name: study.Label(m.Name, seed), Group: i,
				Tasks: float64(c.tasksEach()) + float64(c.tasksShared())/float64(len(methods)), Key: "hardlabel-" + key,
				Do: func() (Measured, error) { return s.Measure(ctx, m.Name, seed) }}); err != nil {
				return nil, err
			}
			if i > 0 {
				continue
			}
			if err := study.Do(w, &r.Looks, study.Piece[Look]{Name: "pictures of " + m.Name, Key: "hardlabel-look-" + key,
				Do: func() (Look, error) { return s.Look(ctx, m.Name, seed) }}); err != nil {
				return nil, err
			}
		}
		if err := study.Do(w, &r.Spheres, study.Piece[Leaks]{Name: study.Label("spheres", seed), Group: i,
			Tasks: float64(c.tasksSpheres()), Key: "hardlabel-spheres-" + fit.Hash(s.e.Name(), c.Spheres(seed)),
			Do: func() (Leaks, error) { return s.Leaks(ctx, seed) }}); err != nil {
			return nil, err
		}
	}
	for _, of := range measured {
		r.Networks = append(r.Networks, of...)
	}
	return r, w.Finish()
}

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	return len(c.Seeds) * (len(c.Methods())*c.tasksEach() + c.tasksShared() + c.tasksSpheres())
}

// tasksEach are a network's: it is trained, attacked in every space and by RayS, and measured.
func (c Config) tasksEach() int { return 1 + len(Searches)*len(c.Spaces) + 1 + 1 }

// tasksShared are the trainings that a seed's networks share: the autoencoder's and, for the Fréchet distance, a classifier's.
func (c Config) tasksShared() int {
	if c.comparesFeatures() {
		return 2
	}
	return 1
}

// tasksSpheres are the trainings on spheres: the last networks of Spheres are one.
func (c Config) tasksSpheres() int { return len(c.Dimensions) + len(c.TrainPoints) + 1 }

// imaging is the part of a configuration that measurements on images depend on, for cache keys.
func (c Config) imaging() Config {
	c.Seeds, c.Scale = nil, ""
	c.Dimensions, c.TrainPoints = nil, nil
	c.SpherePoints, c.SphereDimension, c.SphereInside, c.Ambient, c.SphereSteps, c.Boundary = 0, 0, 0, 0, 0, 0
	return c
}

// draw takes the training images of a seed, and those of the autoencoder.
func (s *Study) draw(seed int64) (train, held fit.Data, err error) {
	if s.drawn.held.Images != nil && s.drawn.seed == seed {
		return s.drawn.train, s.drawn.held, nil
	}
	c := s.Config
	parts, err := s.Data.DrawApart(seed, c.Train, c.Held)
	if err != nil {
		return train, held, err
	}
	s.drawn = drawing{seed, parts[0], parts[1]}
	return parts[0], parts[1], nil
}

// drawing is what was drawn for a seed.
type drawing struct {
	seed        int64
	train, held fit.Data
}

// plan returns an untrained network, its training images and how to train it.
func (s *Study) plan(method string, seed int64) (*nets.Model, fit.Data, fit.Config, error) {
	c := s.Config
	m, err := c.method(method)
	if err != nil {
		return nil, fit.Data{}, fit.Config{}, err
	}
	net, err := nets.NewCNN(nets.CNNConfig{Input: s.Data.Pool.Shape, Channels: c.Channels, Dense: c.Dense, Classes: s.Data.Pool.Classes,
		MeanPool: true, Seed: seed})
	if err != nil {
		return nil, fit.Data{}, fit.Config{}, err
	}
	train, _, err := s.draw(seed)
	return net, train, fit.Config{BatchSize: c.BatchSize, Seed: seed, Phases: m.Phases}, err
}

// key identifies what is measured of a network.
func (s *Study) key(method string, seed int64) (string, error) {
	net, train, cfg, err := s.plan(method, seed)
	if err != nil {
		return "", err
	}
	key, err := fit.Key(net, s.e.Name(), train, cfg)
	if err != nil {
		return "", err
	}
	_, held, err := s.draw(seed)
	return fit.Hash(key, held.Checksum, seed, s.Config.imaging()), err
}

// Train trains the network of a method and seed, or finds it in Config.Dir.
func (s *Study) Train(ctx context.Context, method string, seed int64) (*nets.Model, error) {
	net, train, cfg, err := s.plan(method, seed)
	if err != nil {
		return nil, err
	}
	_, err = fit.TrainOrLoad(ctx, s.e, net, train, cfg, s.options("train "+study.Label(method, seed)))
	return net, err
}

func (s *Study) options(label string) fit.Options {
	return fit.Options{Dir: s.Config.Dir, Progress: s.Config.Progress, Label: label}
}

// Leaks are what decisions told of the spheres of a seed.
type Leaks struct {
	Seed int64    `json:"seed"`
	All  []Leaked `json:"all"` // in the order of Config.Spheres
}

// Leaked is what decisions told of some spheres.
type Leaked struct {
	Series    string `json:"series"`
	Intrinsic int    `json:"intrinsic"`
	Ambient   int    `json:"ambient"`
	Train     int    `json:"train"`
	Space     string `json:"space"`
	Leak
}

// The series of experiments on spheres: what varies.
const (
	ByDimension   = "dimension"       // spheres that fill all of space
	ByTrainPoints = "training points" // the same
	BySpace       = "space"           // spheres inside a larger space, and where directions come from
)

// around is how many queries are made around a point of the boundary.
const around = 50

// Sphere is an experiment of a series.
type Sphere struct {
	Series string
	Spheres
}

// Spheres are the experiments of a seed.
func (c Config) Spheres(seed int64) (all []Sphere) {
	add := func(series, space string, intrinsic, ambient, train int) {
		all = append(all, Sphere{series, Spheres{Intrinsic: intrinsic, Ambient: ambient, Train: train, Steps: c.SphereSteps, Space: space,
			Points: c.Boundary, Directions: around, Seed: seed}})
	}
	for _, d := range c.Dimensions {
		add(ByDimension, SpaceFull, d, d, c.SpherePoints)
	}
	for _, n := range c.TrainPoints {
		add(ByTrainPoints, SpaceFull, c.SphereDimension, c.SphereDimension, n)
	}
	for _, space := range []string{SpaceFull, SpaceManifold, SpaceRandom} {
		add(BySpace, space, c.SphereInside, c.Ambient, c.SpherePoints)
	}
	return all
}

// Leaks trains networks on the spheres of a seed, or finds them in Config.Dir, and asks them.
func (s *Study) Leaks(ctx context.Context, seed int64) (Leaks, error) {
	r := Leaks{Seed: seed}
	var net *nets.Model
	for _, x := range s.Config.Spheres(seed) {
		if net == nil || x.Series != BySpace || x.Space == SpaceFull {
			var err error
			label := fmt.Sprintf("train on spheres of %d dimensions in %d, %d points", x.Intrinsic, x.Ambient, x.Train)
			if net, err = x.Network(ctx, s.e, s.options(study.Label(label, seed))); err != nil {
				return r, err
			}
		}
		leak, err := x.Leak(ctx, s.e, net)
		if err != nil {
			return r, err
		}
		r.All = append(r.All, Leaked{x.Series, x.Intrinsic, x.Ambient, x.Train, x.Space, *leak})
	}
	return r, nil
}
