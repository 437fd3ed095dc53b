package creativity

import (
	"context"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/study"
)

// Result is what a run measured: one Measured a method and seed, in that order.
type Result struct {
	Config  Config     `json:"config"`
	Data    string     `json:"data"` // name and note of the data set
	Shape   []int      `json:"shape"`
	Backend string     `json:"backend"`
	Modes   []Measured `json:"modes"`
	Looks   []Look     `json:"looks"` // of the first seed, one a method
}

// For returns what was measured of one method, in the order of the seeds.
func (r *Result) For(method string) []Measured {
	return study.Where(r.Modes, func(m Measured) bool { return m.Method == method })
}

// Study is a configuration with its data, ready to train autoencoders and to scan what they decode.
type Study struct {
	Config Config    // with all defaults filled in
	Data   *fit.Sets // training pool and test images

	e     *engine.Engine
	scene *Scene // of the seed that was asked for last
}

// Open checks the configuration and loads its data.
func Open(ctx context.Context, e *engine.Engine, c Config) (*Study, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := fit.LoadSets(ctx, c.Dataset, c.DataDir, c.Train, 2*c.Samples)
	if err != nil {
		return nil, study.First("creativity", err)
	}
	return &Study{Config: c, Data: d, e: e}, nil
}

// Run trains an autoencoder with every seed, decodes in every mode and scans the samples. With Config.Dir, what is finished is
// found again, so that a run that was stopped or killed goes on where it was, to the same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := Open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	r, err := s.run(ctx)
	return r, study.First("creativity", err)
}

func (s *Study) run(ctx context.Context) (*Result, error) {
	c := s.Config
	w, err := study.NewWork(c.Dir, c.Shard, c.Progress)
	if err != nil {
		return nil, err
	}
	r := &Result{Config: c, Data: s.Data.Describe(), Shape: s.Data.Pool.Shape, Backend: s.e.Name()}
	measured := make([][]Measured, len(c.Methods))
	methods, err := methodsNamed(c.Methods, c.nodes())
	if err != nil {
		return nil, err
	}
	for i, seed := range c.Seeds { // one network after the other
		key, err := s.key(seed)
		if err != nil {
			return nil, err
		}
		for k, m := range methods {
			if err := study.Do(w, &measured[k], study.Piece[Measured]{Name: study.Label(m.Name, seed), Group: i, Tasks: tasksEach(len(methods)),
				Key: "creativity-" + fit.Hash(key, m.Mode, m.Name, c.measuring()),
				Do:  func() (Measured, error) { return s.Measure(ctx, m, seed) }}); err != nil {
				return nil, err
			}
			if i > 0 {
				continue
			}
			if err := study.Do(w, &r.Looks, study.Piece[Look]{Name: "pictures of " + m.Name,
				Key: "creativity-look-" + fit.Hash(key, m.Mode, m.Name, c.Background, c.Samples, c.Compared),
				Do:  func() (Look, error) { return s.look(ctx, m, seed) }}); err != nil {
				return nil, err
			}
		}
	}
	for _, of := range measured {
		r.Modes = append(r.Modes, of...)
	}
	return r, w.Finish()
}

// tasksTraining are the trainings of a seed's networks: the autoencoder and the classifier.
const tasksTraining = 2

// tasksEach is one method's part of a seed's tasks: it shares the networks.
func tasksEach(methods int) float64 { return 1 + tasksTraining/float64(methods) }

// Tasks is how many tasks Run reports to Config.Progress.
func (c Config) Tasks() int {
	c = c.WithDefaults()
	return len(c.Seeds) * (tasksTraining + len(c.Methods))
}

// measuring is the part of a configuration that measurements depend on beside the network, for cache keys.
func (c Config) measuring() Config {
	c.Seeds, c.Methods, c.Scale = nil, nil, ""
	return c
}

// nodes is the width of the layer that modes change: the decoder has the encoder's layers the other way round.
func (c Config) nodes() int { return c.Hidden[len(c.Hidden)-2] }

// plan says how to train an autoencoder.
func (s *Study) plan(seed int64) (*nets.VAE, fit.Data, fit.VAEConfig, error) {
	c := s.Config
	v, err := nets.NewVAE(nets.VAEConfig{Input: s.Data.Pool.Shape, Hidden: c.Hidden, Latent: c.Latent, Seed: seed})
	if err != nil {
		return nil, fit.Data{}, fit.VAEConfig{}, err
	}
	train, err := s.Data.Draw(c.Train, seed)
	return v, train, fit.VAEConfig{Epochs: c.Epochs, BatchSize: c.BatchSize, Seed: seed}, err
}

// key identifies a seed's autoencoder.
func (s *Study) key(seed int64) (string, error) {
	v, train, cfg, err := s.plan(seed)
	if err != nil {
		return "", err
	}
	return fit.VAEKey(s.e, v, train, cfg)
}

// Train trains the autoencoder of a seed, or finds it in Config.Dir. It returns the training images too.
func (s *Study) Train(ctx context.Context, seed int64) (*nets.VAE, fit.Losses, fit.Data, error) {
	v, train, cfg, err := s.plan(seed)
	if err != nil {
		return nil, nil, fit.Data{}, err
	}
	losses, err := fit.TrainVAE(ctx, s.e, v, train, cfg, fit.Options{Dir: s.Config.Dir, Progress: s.Config.Progress,
		Label: "train " + study.Label("autoencoder", seed)})
	return v, losses, train, err
}

// classifier trains the network that says how clearly an image is of a class, or finds it in Config.Dir.
func (s *Study) classifier(ctx context.Context, train fit.Data, seed int64) (*nets.Predictor, error) {
	net, err := nets.NewMLP(nets.MLPConfig{Input: s.Data.Pool.Shape, Hidden: []int{128}, Classes: s.Data.Pool.Classes, Seed: seed})
	if err != nil {
		return nil, err
	}
	c := s.Config
	if _, err := fit.TrainOrLoad(ctx, s.e, net, train, fit.Config{BatchSize: min(64, c.Train), Seed: seed,
		Phases: []fit.Phase{{Epochs: 5, Loss: fit.CrossEntropy()}}}, fit.Options{Dir: c.Dir, Progress: c.Progress,
		Label: "train " + study.Label("classifier", seed)}); err != nil {
		return nil, err
	}
	return nets.NewPredictor(s.e.Backend(), net, 0)
}

// rows are images [n, ...] as one row each.
func rows(images *tensors.Tensor) ([][]float32, error) {
	flat, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	return slices.Collect(slices.Chunk(flat, len(flat)/images.Shape().Dimensions[0])), nil
}
