package hardlabel

import (
	"context"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/robust/manifold"
	"github.com/trustbook/trustbook/study"
)

// Scene is what a seed's networks are attacked with and measured by.
type Scene struct {
	Seed        int64
	Train       *tensors.Tensor   // images that the networks are trained on
	Surface     *manifold.Surface // of these
	Autoencoder *Autoencoder

	decoder  *attack.Decoder
	features *nets.Activations // of a classifier that is not attacked; nil where images are too few for the Fréchet distance
	known    *tensors.Tensor   // features of Train
	attacked map[string]*Attacked
}

// Scene trains a seed's autoencoder, or finds it in Config.Dir, and fits the surface.
func (s *Study) Scene(ctx context.Context, seed int64) (*Scene, error) {
	if s.scene != nil && s.scene.Seed == seed {
		return s.scene, nil
	}
	c := s.Config
	train, _, err := s.draw(seed)
	if err != nil {
		return nil, err
	}
	z := &Scene{Seed: seed, Train: train.Images, attacked: map[string]*Attacked{}}
	if z.Autoencoder, _, err = s.Autoencoder(ctx, seed); err != nil {
		return nil, err
	}
	if z.decoder, err = attack.NewDecoder(s.e.Backend(), SpaceAutoencoder, z.Autoencoder.Decoder()); err != nil {
		return nil, err
	}
	if z.Surface, err = (manifold.Tangent{Neighbors: c.Neighbors, Rank: c.Rank}).Fit(s.e, train.Images); err != nil {
		return nil, err
	}
	if c.comparesFeatures() {
		if err := s.compare(ctx, z, train); err != nil {
			return nil, err
		}
	}
	s.scene = z
	return z, nil
}

// comparesFeatures reports whether there are enough images for a Fréchet distance.
func (c Config) comparesFeatures() bool { return c.Images >= 2*c.Dense }

// elsewhere is how far the seed of the classifier that is not attacked is from that of those that are.
const elsewhere = 1 << 32

// compare trains the classifier whose features the Fréchet distance compares.
func (s *Study) compare(ctx context.Context, z *Scene, train fit.Data) error {
	net, _, cfg, err := s.plan(Natural, z.Seed)
	if err != nil {
		return err
	}
	other, err := nets.NewCNN(nets.CNNConfig{Input: net.InputShape, Channels: s.Config.Channels, Dense: s.Config.Dense, Classes: net.Classes,
		MeanPool: true, Seed: z.Seed + elsewhere})
	if err != nil {
		return err
	}
	cfg.Seed += elsewhere
	if _, err := fit.TrainOrLoad(ctx, s.e, other, train, cfg, s.options("train "+study.Label("classifier of features", z.Seed))); err != nil {
		return err
	}
	if z.features, err = nets.NewActivations(s.e.Backend(), other, len(other.Stages())-1, 0); err != nil {
		return err
	}
	z.known, err = z.featuresOf(train.Images)
	return err
}

// featuresOf returns features [n, width] of images.
func (z *Scene) featuresOf(images *tensors.Tensor) (*tensors.Tensor, error) {
	rows, err := z.features.Of(images)
	if err != nil {
		return nil, err
	}
	return tensors.FromFlatDataAndDimensions(slices.Concat(rows...), len(rows), len(rows[0])), nil
}

// Directions returns a space of Config.Spaces by its name.
func (z *Scene) Directions(space string) attack.Directions {
	if d := drawn(space); d != nil {
		return d
	}
	return z.decoder
}

// drawn is a space that needs no training; nil for the autoencoder's.
func drawn(space string) attack.Directions {
	if d, err := attack.ParseDirections(space); err == nil {
		return d
	}
	return nil
}

// Attacked is a network that was attacked.
type Attacked struct {
	Net      *nets.Model
	Images   *tensors.Tensor // test images that it gets right, drawn by the seed
	Labels   []int32
	Accuracy float64 // on all test images
	Standing float64 // accuracy under PGD in linf with the radius of adversarial training, on the first of them
	Runs     []AttackRun

	victim *robust.Victim
	clean  [][]float32
}

// AttackRun is what an attack found on all images at once.
type AttackRun struct {
	Attack, Space string
	Budgets       []int // of queries, rising, at which it can be read; PGD: 0 alone
	// Found are the nearest images that the network gets wrong, [budget][image], flattened; nil where there is none.
	Found   [][][]float32
	Outcome *robust.Outcome // of all queries; nil for PGD
}

// checked is how many test images PGD in linf is run on.
const checked = 100

// Attack trains a network and attacks it in every space, by gradients and by RayS, or returns what it did for the same seed
// before.
func (s *Study) Attack(ctx context.Context, method string, seed int64) (*Attacked, error) {
	z, err := s.Scene(ctx, seed)
	if err != nil {
		return nil, err
	}
	if a := z.attacked[method]; a != nil {
		return a, nil
	}
	a := &Attacked{}
	if a.Net, err = s.Train(ctx, method, seed); err != nil {
		return nil, err
	}
	if err := s.choose(ctx, a, seed); err != nil {
		return nil, errors.WithMessage(err, a.Net.Name)
	}
	if err := s.searchAll(ctx, z, a, method, Searches); err != nil {
		return nil, err
	}
	p := s.problem(a, seed)
	p.Threat.Norm = robust.Linf
	rays := func(queries int, budgets []int) robust.Attack { return attack.RayS{Queries: queries, Budgets: budgets} }
	if err := a.search(ctx, p, AttackRun{Attack: RayS, Space: SpaceSigns, Budgets: s.Config.Budgets}, rays); err != nil {
		return nil, err
	}
	if err := a.climb(ctx, s, seed); err != nil {
		return nil, err
	}
	z.attacked[method] = a
	return a, nil
}

// problem is to find the nearest adversarial images in l2.
func (s *Study) problem(a *Attacked, seed int64) robust.Problem {
	return robust.Problem{Images: a.Images, Goal: robust.Goal{Labels: a.Labels}, Threat: robust.Threat{Norm: robust.L2, Epsilon: math.Inf(1)},
		Seed: seed, Progress: s.Config.Progress}
}

// searchAll runs searches in every space.
func (s *Study) searchAll(ctx context.Context, z *Scene, a *Attacked, method string, searches []string) error {
	for _, name := range searches {
		for _, space := range s.Config.Spaces {
			run := AttackRun{Attack: name, Space: space, Budgets: s.Config.budgetsOf(method, space)}
			if err := a.search(ctx, s.problem(a, z.Seed), run, func(queries int, budgets []int) robust.Attack {
				return search(name, queries, budgets, z.Directions(space))
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// choose measures a network and takes the images to attack.
func (s *Study) choose(ctx context.Context, a *Attacked, seed int64) error {
	c := s.Config
	v, err := robust.NewVictim(s.e, a.Net, min(checked, c.Test))
	if err != nil {
		return err
	}
	classes, err := v.Predictions(ctx, s.Data.Images, nil)
	if err != nil {
		return err
	}
	flat, err := tensors.CopyFlatData[float32](s.Data.Images)
	if err != nil {
		return err
	}
	var right []int
	for _, i := range fit.Permutation(c.Test, seed, 0) {
		if classes[i] == s.Data.Labels[i] {
			right = append(right, int(i))
		}
	}
	a.Accuracy = float64(len(right)) / float64(len(classes))
	right = right[:min(len(right), c.Images)]
	if len(right) < 2 {
		return errors.Errorf("it gets %d of %d test images right: nothing to attack, train it longer", len(right), c.Test)
	}
	size := len(flat) / c.Test
	shape := a.Net.InputShape
	for _, r := range right {
		a.clean, a.Labels = append(a.clean, flat[r*size:(r+1)*size]), append(a.Labels, s.Data.Labels[r])
	}
	a.Images = stack(a.clean, shape)
	first := min(checked, c.Test)
	images := tensors.FromFlatDataAndDimensions(flat[:first*size], append([]int{first}, shape...)...)
	o, err := robust.Evaluate(ctx, v, attack.PGD{}, robust.Problem{Images: images, Goal: robust.Goal{Labels: s.Data.Labels[:first]},
		Threat: robust.Threat{Norm: robust.Linf, Epsilon: c.Epsilon}, Seed: seed})
	if err == nil {
		err = o.Void()
	}
	if err != nil {
		return err
	}
	a.Standing = o.RobustAccuracy
	a.victim, err = robust.NewVictim(s.e, a.Net, max(16, min(2*c.Images, 512))) // all searches at once, two questions each
	return err
}

// path are the budgets that pictures show beside those that are measured.
func path(budgets []int) []int {
	most := budgets[len(budgets)-1]
	all := slices.Clone(budgets)
	for q := fewestQueries; q < most; q *= 2 {
		all = append(all, q)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// search runs a search, and keeps of what its traces hold the images that the network gets wrong when asked again.
func (a *Attacked) search(ctx context.Context, p robust.Problem, r AttackRun,
	of func(queries int, budgets []int) robust.Attack) error {
	r.Budgets = path(r.Budgets)
	o, err := robust.Evaluate(ctx, a.victim, of(r.Budgets[len(r.Budgets)-1], r.Budgets), p)
	if err != nil {
		return err
	}
	r.Outcome = o
	for k := range r.Budgets {
		found := make([][]float32, len(a.Labels))
		asked := slices.Clone(a.clean)
		for i, t := range o.Traces {
			if k < len(t.Images) && t.Images[k] != nil {
				asked[i] = t.Images[k]
			}
		}
		classes, err := a.victim.Predictions(ctx, stack(asked, a.Net.InputShape), nil)
		if err != nil {
			return err
		}
		for i, class := range classes {
			if class != a.Labels[i] {
				found[i] = asked[i]
			}
		}
		r.Found = append(r.Found, found)
	}
	a.Runs = append(a.Runs, r)
	return nil
}

// climb runs PGD in l2 with one radius after the other, each on the images that have withstood so far. Its batches hold no more than
// there are images: gradients cost too much to compute them for nobody.
func (a *Attacked) climb(ctx context.Context, s *Study, seed int64) error {
	c := s.Config
	v, err := robust.NewVictim(s.e, a.Net, min(len(a.Labels), 128))
	if err != nil {
		return err
	}
	found := make([][]float32, len(a.Labels))
	left := robust.Rows(len(a.Labels))
	for _, radius := range c.Radii {
		if len(left) == 0 {
			break
		}
		var images [][]float32
		var labels []int32
		for _, i := range left {
			images, labels = append(images, a.clean[i]), append(labels, a.Labels[i])
		}
		o, err := robust.Evaluate(ctx, v, attack.PGD{Steps: c.PGDSteps, EarlyStop: true}, robust.Problem{Images: stack(images, a.Net.InputShape),
			Goal: robust.Goal{Labels: labels}, Threat: robust.Threat{Norm: robust.L2, Epsilon: radius}, Seed: seed})
		if err == nil {
			err = o.Void()
		}
		if err != nil {
			return err
		}
		moved, err := tensors.CopyFlatData[float32](o.Perturbed)
		if err != nil {
			return err
		}
		size, still := len(moved)/len(left), []int(nil)
		for k, i := range left {
			if o.Success[k] {
				found[i] = moved[k*size : (k+1)*size]
			} else {
				still = append(still, i)
			}
		}
		left = still
	}
	a.Runs = append(a.Runs, AttackRun{Attack: PGD, Space: SpaceGradient, Budgets: []int{0}, Found: [][][]float32{found}})
	return nil
}

// Run returns what an attack found in a space; nil if the study left it out.
func (a *Attacked) Run(attack, space string) *AttackRun {
	for i, r := range a.Runs {
		if r.Attack == attack && r.Space == space {
			return &a.Runs[i]
		}
	}
	return nil
}

// At returns the images that were found with so many queries; nil if the run cannot be read there.
func (r *AttackRun) At(queries int) [][]float32 {
	if k := slices.Index(r.Budgets, queries); k >= 0 {
		return r.Found[k]
	}
	return nil
}

// stack makes a tensor [n, shape...] of flat images.
func stack(images [][]float32, shape []int) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(slices.Concat(images...), append([]int{len(images)}, shape...)...)
}
