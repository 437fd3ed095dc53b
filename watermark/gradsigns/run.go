package gradsigns

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/study"
	"github.com/trustbook/trustbook/watermark"
)

// Result is what a run measured: one Measured a mark and seed, one Removed an attack and seed, one Read a way of asking and seed, each
// in that order.
type Result struct {
	Config   Config     `json:"config"`
	Data     string     `json:"data"` // name and note of the data set
	Shape    []int      `json:"shape"`
	Backend  string     `json:"backend"`
	Networks []Measured `json:"networks"`
	Removals []Removed  `json:"removals"`
	Readings []Reads    `json:"readings"` // one a seed
	Looks    []Look     `json:"looks"`    // of the first seed
	Held     int        `json:"held"`     // test images of the target class
}

// For returns what was measured of the networks with one mark, in the order of the seeds.
func (r *Result) For(mark string) []Measured {
	return study.Where(r.Networks, func(m Measured) bool { return m.Mark == mark })
}

// Attack returns what an attack left of the mark, in the order of the seeds.
func (r *Result) Attack(name string) []Removed {
	return study.Where(r.Removals, func(m Removed) bool { return m.Attack == name })
}

// Study is a configuration with its data, ready to mark networks, to read marks and to attack them.
type Study struct {
	Config Config    // with all defaults filled in
	Data   *fit.Sets // training pool and test images

	e     *engine.Engine
	scene *scene // of the seed that was asked for last

	heldRows   []int // see Held; nil: not yet
	heldImages *tensors.Tensor
}

// scene is what a seed's networks share.
type scene struct {
	seed         int64
	train, thief fit.Data
	trained      map[string]*nets.Model
}

// Open checks the configuration and loads its data.
func Open(ctx context.Context, e *engine.Engine, c Config) (*Study, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := fit.LoadSets(ctx, c.Dataset, c.DataDir, c.Train+c.Thief, c.Test)
	if err != nil {
		return nil, study.First("gradsigns", err)
	}
	s := &Study{Config: c, Data: d, e: e}
	return s, study.First("gradsigns", s.check())
}

// check reports what the configuration asks of other data.
func (s *Study) check() error {
	c, pool := s.Config, s.Data.Pool
	if c.Target >= pool.Classes {
		return errors.Errorf("target = %d: %s has classes 0 to %d", c.Target, pool.Name, pool.Classes-1)
	}
	for _, m := range c.allMarks() {
		if _, err := s.Key(m, 0); m.Bits > 0 && err != nil {
			return errors.WithMessage(err, "mark "+m.size())
		}
	}
	if held, _ := s.Held(); len(held) == 0 {
		return errors.Errorf("none of the %d test images is of class %d, which marks are read with: raise test", c.Test, c.Target)
	}
	return nil
}

// Run trains networks with marks, reads and attacks these. With Config.Dir, what is finished is found again, so that a run that was
// stopped or killed goes on where it was, to the same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := Open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	r, err := s.run(ctx)
	return r, study.First("gradsigns", err)
}

func (s *Study) run(ctx context.Context) (*Result, error) {
	c := s.Config
	w, err := study.NewWork(c.Dir, c.Shard, c.Progress)
	if err != nil {
		return nil, err
	}
	r := &Result{Config: c, Data: s.Data.Describe(), Shape: s.Data.Pool.Shape, Backend: s.e.Name()}
	rows, _ := s.Held()
	r.Held = len(rows)
	for i, seed := range c.Seeds {
		data, err := s.sceneOf(seed)
		if err != nil {
			return nil, err
		}
		key := fit.Hash(s.e.Name(), data.train.Checksum, data.thief.Checksum, seed, c.measuring())
		for _, m := range c.MarksOf(i) {
			if err := study.Do(w, &r.Networks, study.Piece[Measured]{Name: study.Label(m.Name, seed), Group: i, Tasks: tasksNetwork,
				Key: "gradsigns-" + fit.Hash(key, m), Do: func() (Measured, error) { return s.Measure(ctx, m, seed) }}); err != nil {
				return nil, err
			}
		}
		attacks, err := s.Attacks()
		if err != nil {
			return nil, err
		}
		for _, a := range attacks {
			if err := study.Do(w, &r.Removals, study.Piece[Removed]{Name: study.Label(a.Name, seed), Group: i, Tasks: 1,
				Key: "gradsigns-removal-" + fit.Hash(key, a.Name), Do: func() (Removed, error) { return s.Remove(ctx, a, seed) }}); err != nil {
				return nil, err
			}
		}
		if err := study.Do(w, &r.Readings, study.Piece[Reads]{Name: study.Label("readings", seed), Group: i,
			Tasks: c.tasksReads(), Key: "gradsigns-reads-" + key,
			Do: func() (Reads, error) { return s.Ask(ctx, seed) }}); err != nil {
			return nil, err
		}
		if i > 0 {
			continue
		}
		var looks [][]Look
		if err := study.Do(w, &looks, study.Piece[[]Look]{Name: "pictures", Key: "gradsigns-look-" + key,
			Do: func() ([]Look, error) { return s.Look(ctx, seed) }}); err != nil {
			return nil, err
		}
		r.Looks = slices.Concat(looks...)
	}
	return r, w.Finish()
}

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	total := 0.0
	for i := range c.Seeds {
		total += float64(tasksNetwork * len(c.MarksOf(i)))
		total += float64(len(c.attacks(nil, nil))) + c.tasksReads()
	}
	return int(total)
}

// tasksReads: asking all endpoints takes about as long as so many attacks.
func (c Config) tasksReads() float64 { return 4 }

// tasksNetwork: it is trained, and measured.
const tasksNetwork = 2

// measuring is the part of a configuration that measurements depend on, for cache keys. Each mark is measured alone.
func (c Config) measuring() Config {
	c.Seeds, c.Scale, c.Marks, c.Deep, c.Attacks = nil, "", nil, nil, nil
	return c
}

// sceneOf draws the images of a seed: the owner's and the thief's.
func (s *Study) sceneOf(seed int64) (*scene, error) {
	if s.scene != nil && s.scene.seed == seed {
		return s.scene, nil
	}
	c := s.Config
	parts, err := s.Data.DrawApart(seed, c.Train, c.Thief)
	if err != nil {
		return nil, err
	}
	z := &scene{seed: seed, train: parts[0], thief: parts[1], trained: map[string]*nets.Model{}}
	s.scene = z
	return z, nil
}

// Held are the test images of the target class, which nobody trains on, as rows of the test set.
func (s *Study) Held() (rows []int, images *tensors.Tensor) {
	if s.heldRows == nil {
		s.heldRows = []int{}
		for i, y := range s.Data.Labels {
			if int(y) == s.Config.Target {
				s.heldRows = append(s.heldRows, i)
			}
		}
		if len(s.heldRows) > 0 {
			s.heldImages, _ = s.Data.Test.Subset(s.heldRows).Tensors()
		}
	}
	return s.heldRows, s.heldImages
}

// Key is the key of a mark for a seed. It is made of a secret that is printed here: those who mark networks of their own need
// another.
func (s *Study) Key(m Mark, seed int64) (*watermark.Key, error) {
	return watermark.NewKey(fmt.Appendf(nil, "gradsigns, seed %d", seed), Owner,
		watermark.KeyOptions{Shape: s.Data.Pool.Shape, Target: s.Config.Target, Bits: m.Bits, Carriers: m.Carriers})
}

// Owner is what signatures are made of.
const Owner = "the owner of these networks"

// Network is an untrained network.
func (s *Study) Network(seed int64) (*nets.Model, error) {
	return nets.NewCNN(nets.CNNConfig{Input: s.Data.Pool.Shape, Channels: s.Config.Channels, Dense: s.Config.Dense,
		Classes: s.Data.Pool.Classes, Strided: true, Seed: seed})
}

// Train trains a network with a mark, or finds it in Config.Dir. Without a mark it is trained by the same steps on the same batches.
func (s *Study) Train(ctx context.Context, m Mark, seed int64) (*nets.Model, error) {
	z, err := s.sceneOf(seed)
	if err != nil {
		return nil, err
	}
	if net := z.trained[m.Name]; net != nil {
		return net, nil
	}
	net, err := s.Network(seed)
	if err != nil {
		return nil, err
	}
	main := m
	if m.Bits == 0 { // the batches are chosen by the key's class; nothing else of it is used
		main = s.Config.main()
	}
	key, err := s.Key(main, seed)
	if err != nil {
		return nil, err
	}
	if _, err := s.Config.embedder(m, seed).Embed(ctx, s.e, net, key, z.train, s.options("train "+study.Label(m.Name, seed))); err != nil {
		return nil, err
	}
	z.trained[m.Name] = net
	return net, nil
}

// embedder is how a mark is put in: λ is 0 without one.
func (c Config) embedder(m Mark, seed int64) watermark.Embedder {
	phases := []watermark.Phase{{Steps: c.Steps[0], Rate: 1e-3, Lambda: 0.3}, {Steps: c.Steps[1], Rate: 1e-3, Lambda: 0.1},
		{Steps: c.Steps[2], Rate: 2e-4, Lambda: 0.1}}
	if m.Settled {
		phases = append(phases, watermark.Phase{Steps: c.Steps[3], Rate: 2e-4})
	}
	for i := range phases {
		if m.Bits == 0 {
			phases[i].Lambda = 0
		}
	}
	return watermark.Embedder{Phases: phases, Batch: c.Batch, TargetPerBatch: c.PerTarget, Seed: seed}
}

func (s *Study) options(label string) fit.Options {
	return fit.Options{Dir: s.Config.Dir, Progress: s.Config.Progress, Label: label}
}
