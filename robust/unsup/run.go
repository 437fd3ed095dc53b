package unsup

import (
	"context"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/representation"
	"github.com/trustbook/trustbook/robust/uae"
	"github.com/trustbook/trustbook/study"
)

// Result is what a run measured, each list in the order of the seeds.
type Result struct {
	Config     Config       `json:"config"`
	Data       string       `json:"data"`  // name and note of the data set
	Shape      []int        `json:"shape"` // of an image
	Backend    string       `json:"backend"`
	Estimates  []Estimated  `json:"estimates"` // one a seed
	Learned    []Learned    `json:"learned"`   // one a network and seed
	Searched   []Searched   `json:"searched"`  // one a search and seed
	Supervised []Supervised `json:"supervised"`
	Looks      []Look       `json:"looks"` // of the first seed
}

// Task returns what was measured of a network, in the order of the seeds.
func (r *Result) Task(name string) []Learned {
	return study.Where(r.Learned, func(m Learned) bool { return m.Network == name })
}

// Attack returns what attacks on a network brought, in the order of the seeds.
func (r *Result) Attack(name string) (all []Attacked) {
	for _, m := range r.Task(name) {
		all = append(all, m.Attack)
	}
	return all
}

// Search returns what a search brought, in the order of the seeds.
func (r *Result) Search(name string) []Searched {
	return study.Where(r.Searched, func(m Searched) bool { return m.Search == name })
}

// Study is a configuration with its data, ready to train networks and to attack them.
type Study struct {
	Config Config    // with all defaults filled in
	Data   *fit.Sets // training pool and test images, as they are
	Test   fit.Data  // test images, as networks see them

	e     *engine.Engine
	scene *scene // of the seed that was asked for last
}

// scene is what a seed's networks share.
type scene struct {
	seed         int64
	train, probe fit.Data
	trained      map[string]*Network // by task, what lies beside, and length
	made         map[string]*Made    // by task
}

// Open checks the configuration and loads its data.
func Open(ctx context.Context, e *engine.Engine, c Config) (*Study, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := fit.LoadSets(ctx, c.Dataset, c.DataDir, c.Train+c.Probe, c.Test)
	if err != nil {
		return nil, study.First("unsup", err)
	}
	if side := min(d.Pool.Shape[0], d.Pool.Shape[1]); c.Side > side {
		return nil, study.First("unsup", errors.Errorf("side = %d: images of %s are %v, and are made smaller alone", c.Side, d.Pool.Name,
			d.Pool.Shape))
	}
	s := &Study{Config: c, Data: d, e: e}
	s.Test = s.shrunk(fit.Data{Images: d.Images, Labels: d.Labels, Checksum: d.Test.Checksum()})
	return s, nil
}

// shrunk are images as networks see them.
func (s *Study) shrunk(d fit.Data) fit.Data {
	d.Images, d.Checksum = Shrink(d.Images, s.Config.Side), fit.Hash(d.Checksum, "side", s.Config.Side)
	return d
}

// Shape is that of an image as networks see it.
func (s *Study) Shape() []int { return s.Test.Images.Shape().Dimensions[1:] }

// Shrink cuts images [n, height, width, channels] to the largest middle whose sides are multiples of side, and averages squares of its
// pixels, so that side x side are left.
func Shrink(images *tensors.Tensor, side int) *tensors.Tensor {
	d := images.Shape().Dimensions
	by := min(d[1], d[2]) / side
	top, left := (d[1]-by*side)/2, (d[2]-by*side)/2
	from, to := tensors.MustCopyFlatData[float32](images), make([]float32, 0, d[0]*side*side*d[3])
	for i := range d[0] {
		for row := range side {
			for column := range side {
				for channel := range d[3] {
					sum := 0.0
					for k := range by * by {
						y, x := top+row*by+k/by, left+column*by+k%by
						sum += float64(from[((i*d[1]+y)*d[2]+x)*d[3]+channel])
					}
					to = append(to, float32(sum/float64(by*by)))
				}
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(to, d[0], side, side, d[3])
}

// Run searches examples, has networks learn from them, and measures what that brings. With Config.Dir, what is finished is found again,
// so that a run that was stopped or killed goes on where it was, to the same result.
func Run(ctx context.Context, e *engine.Engine, c Config) (*Result, error) {
	s, err := Open(ctx, e, c)
	if err != nil {
		return nil, err
	}
	r, err := s.run(ctx)
	return r, study.First("unsup", err)
}

func (s *Study) run(ctx context.Context) (*Result, error) {
	c := s.Config
	w, err := study.NewWork(c.Dir, c.Shard, c.Progress)
	if err != nil {
		return nil, err
	}
	r := &Result{Config: c, Data: s.Data.Describe(), Shape: s.Shape(), Backend: s.e.Name()}
	for i, seed := range c.Seeds {
		z, err := s.sceneOf(seed)
		if err != nil {
			return nil, err
		}
		key := fit.Hash(s.e.Name(), z.train.Checksum, z.probe.Checksum, seed, c.measuring())
		if err := study.Do(w, &r.Estimates, study.Piece[Estimated]{Name: study.Label("estimates", seed), Group: i,
			Tasks: float64(len(correlations)),
			Key:   "unsup-estimates-" + key, Do: func() (Estimated, error) { return s.Estimate(ctx, seed) }}); err != nil {
			return nil, err
		}
		for _, t := range c.AllTasks() {
			if err := study.Do(w, &r.Learned, study.Piece[Learned]{Name: study.Label(t.Name, seed), Group: i, Tasks: c.tasksLearned(),
				Key: "unsup-" + fit.Hash(key, t), Do: func() (Learned, error) { return s.Measure(ctx, t, seed) }}); err != nil {
				return nil, err
			}
		}
		for _, x := range c.Searches(seed) {
			if err := study.Do(w, &r.Searched, study.Piece[Searched]{Name: study.Label(x.Name, seed), Group: i, Tasks: 1,
				Key: "unsup-search-" + fit.Hash(key, x.Name), Do: func() (Searched, error) { return s.Compare(ctx, x, seed, i == 0) }}); err != nil {
				return nil, err
			}
		}
		if err := study.Do(w, &r.Supervised, study.Piece[Supervised]{Name: study.Label("classifier", seed), Group: i, Tasks: 2,
			Key: "unsup-supervised-" + key, Do: func() (Supervised, error) { return s.Supervise(ctx, seed) }}); err != nil {
			return nil, err
		}
		if i > 0 {
			continue
		}
		var looks [][]Look
		if err := study.Do(w, &looks, study.Piece[[]Look]{Name: "pictures", Key: "unsup-look-" + key,
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
	each := float64(len(correlations)) + c.tasksLearned()*float64(len(c.AllTasks())) + float64(len(c.Searches(0))) + 2
	return int(each) * len(c.Seeds)
}

// tasksLearned: a network is trained once for each arm, and attacked twice.
func (c Config) tasksLearned() float64 { return float64(len(c.Arms()) + 2) }

// measuring is the part of a configuration that measurements depend on, for cache keys. Each network is measured alone.
func (c Config) measuring() Config {
	c.Seeds, c.Scale, c.Networks = nil, "", nil
	return c
}

// sceneOf draws the images of a seed.
func (s *Study) sceneOf(seed int64) (*scene, error) {
	if s.scene != nil && s.scene.seed == seed {
		return s.scene, nil
	}
	parts, err := s.Data.DrawApart(seed, s.Config.Train, s.Config.Probe)
	if err != nil {
		return nil, err
	}
	s.scene = &scene{seed: seed, train: s.shrunk(parts[0]), probe: s.shrunk(parts[1]), trained: map[string]*Network{},
		made: map[string]*Made{}}
	return s.scene, nil
}

// Images are those that a seed's networks learn from, [n, side, side, channels] in [0, 1].
func (s *Study) Images(seed int64) (*tensors.Tensor, error) {
	z, err := s.sceneOf(seed)
	if err != nil {
		return nil, err
	}
	return z.train.Images, nil
}

// Network is a network that learned without labels.
type Network struct {
	Task  Task
	Model *nets.Model // from images to images or, of the contrastive one, to embeddings
	// Encoder is from images to features, which classifiers are trained on.
	Encoder *nets.Model
}

// Train trains a network from a seed's images and, of each, one more, or finds it in Config.Dir.
func (s *Study) Train(ctx context.Context, t Task, a Arm, seed int64) (*Network, error) {
	z, err := s.sceneOf(seed)
	if err != nil {
		return nil, err
	}
	id := fit.Hash(t, a)
	if n := z.trained[id]; n != nil {
		return n, nil
	}
	images, sum, err := s.mixed(ctx, t, a, seed)
	if err != nil {
		return nil, err
	}
	n, err := s.learn(ctx, t, fit.Data{Images: images, Checksum: sum}, a, seed)
	if err != nil {
		return nil, err
	}
	z.trained[id] = n
	return n, nil
}

// mixed are a seed's images followed by what an arm has beside them, with their checksum.
func (s *Study) mixed(ctx context.Context, t Task, a Arm, seed int64) (*tensors.Tensor, string, error) {
	z, err := s.sceneOf(seed)
	if err != nil {
		return nil, "", err
	}
	if a.Beside == Originals {
		return z.train.Images, z.train.Checksum, nil
	}
	beside, err := s.beside(ctx, t, a, seed)
	if err != nil {
		return nil, "", err
	}
	all := append(tensors.MustCopyFlatData[float32](z.train.Images), beside...)
	dims := slices.Clone(z.train.Images.Shape().Dimensions)
	dims[0] *= 2
	return tensors.FromFlatDataAndDimensions(all, dims...), fit.Hash(z.train.Checksum, beside), nil
}

// learn trains an untrained network: all of a seed begin with the same weights.
func (s *Study) learn(ctx context.Context, t Task, images fit.Data, a Arm, seed int64) (*Network, error) {
	c := s.Config
	times, label := 1, study.Label("train "+t.Name+", beside "+a.name(), seed)
	if a.Longer {
		times, label = 2, study.Label("train "+t.Name+" for longer, beside "+a.name(), seed)
	}
	if t.Name == Contrastive {
		net, err := nets.NewContrastive(nets.ContrastiveConfig{Input: s.Shape(), Seed: seed})
		if err != nil {
			return nil, err
		}
		_, err = representation.Train(ctx, s.e, net.Model(), images,
			representation.Training{Steps: times * c.ContrastSteps, BatchSize: c.Batch, Augmentation: augmentation, Seed: seed}, s.options(label))
		return &Network{Task: t, Model: net.Model(), Encoder: net.Encoder()}, err
	}
	config, steps := nets.AutoencoderConfig{Kind: t.AE, Input: s.Shape(), Seed: seed}, c.Steps
	switch t.Name {
	case Convolutional:
		config.Kernel = 3
	case Dense:
		config.Code, steps = 32, c.DenseSteps
	case Sparse:
		steps = c.DenseSteps
	case Concrete:
		config.Code, steps = c.Selected, c.SelectSteps
	}
	net, err := nets.NewAutoencoder(config)
	if err != nil {
		return nil, err
	}
	_, err = fit.TrainAutoencoder(ctx, s.e, net, images, fit.AutoencoderConfig{Steps: times * steps, BatchSize: c.Batch, Seed: seed},
		s.options(label))
	return &Network{Task: t, Model: net.Model(), Encoder: net.Encoder()}, err
}

// augmentation is how the contrastive network's views are made.
var augmentation = representation.InTurn(representation.ShiftBy(1), representation.RotateBy(15), representation.AddNoise(0.1))

func (s *Study) options(label string) fit.Options {
	return fit.Options{Dir: s.Config.Dir, Progress: s.Config.Progress, Label: label}
}

// attackable is a network with what an example must not make worse, and with how samples are made of one image.
func (s *Study) attackable(n *Network) (*uae.Objective, *uae.Expansion, error) {
	c := s.Config
	if n.Task.Name == Contrastive {
		o, err := uae.Contrastive(n.Model, c.Copies, 0.5, augmentation.Graph)
		if err != nil {
			return nil, nil, err
		}
		x, err := uae.FirstConv(n.Model)
		return o, x, err
	}
	o, err := uae.Reconstruction(n.Model)
	if err != nil {
		return nil, nil, err
	}
	if n.Task.Name == Convolutional {
		x, err := uae.FirstConv(n.Model)
		return o, x, err
	}
	x, err := uae.RandomProjection(c.Projections, c.Projected)
	return o, x, err
}
