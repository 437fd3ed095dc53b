package fit

import (
	"cmp"
	"context"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// AutoencoderConfig says how an autoencoder is trained. Zero values give what arXiv 2103.01895 does for its kind.
type AutoencoderConfig struct {
	Epochs    int  // zero: 20; sparse and adversarial 50, concrete 800
	Steps     int  // so many batches in place of Epochs, so that trainings on sets of different sizes can be of equal length
	BatchSize int  // zero: 100
	Rule      Rule // zero: convolutional Adadelta, dense RMSProp with 2.5e-3, sparse and concrete Adam with 1e-3, adversarial Adam with 1e-4
	// Targets are what images are mapped to, of their shape and with values from 0 to 1; nil: themselves.
	Targets *tensors.Tensor
	// Hottest and Coldest are the temperatures, the first and the last, of a concrete autoencoder; each step lowers them by the
	// same factor. Zero: 10 and 0.1.
	Hottest, Coldest float64
	// Sparsity is the mean value of a sparse autoencoder's code that has no penalty, Penalty the weight of the others'. Zero: 0.1
	// and 3.
	Sparsity, Penalty float64
	Seed              int64 // of the order of the images and of what is drawn
}

func (c AutoencoderConfig) withDefaults(kind nets.AutoencoderKind) AutoencoderConfig {
	epochs, rule := 20, Rule{Optimizer: Adam}
	switch kind {
	case nets.ConvAE:
		rule.Optimizer = Adadelta
	case nets.DenseAE:
		rule = Rule{Optimizer: RMSProp, LearningRate: 2.5e-3}
	case nets.SparseAE:
		epochs = 50
	case nets.AdversarialAE:
		epochs, rule.LearningRate = 50, 1e-4
	case nets.ConcreteAE:
		epochs = 800
		c.Hottest, c.Coldest = cmp.Or(c.Hottest, 10), cmp.Or(c.Coldest, 0.1)
	}
	if kind == nets.SparseAE {
		c.Sparsity, c.Penalty = cmp.Or(c.Sparsity, 0.1), cmp.Or(c.Penalty, 3)
	}
	if c.Steps == 0 {
		c.Epochs = cmp.Or(c.Epochs, epochs)
	}
	if c.Rule == (Rule{}) {
		c.Rule = rule
	}
	c.BatchSize = cmp.Or(c.BatchSize, 100)
	return c
}

// validate expects the defaults to be filled in.
func (c AutoencoderConfig) validate(a *nets.Autoencoder, images Data) error {
	if err := a.CheckImages(images.Images); err != nil {
		return err
	}
	if c.Targets != nil {
		if err := a.CheckImages(c.Targets); err != nil {
			return errors.WithMessage(err, "targets")
		}
		if n, m := images.Images.Shape().Dimensions[0], c.Targets.Shape().Dimensions[0]; n != m {
			return errors.Errorf("%d targets for %d images: give one each", m, n)
		}
	}
	hot := func(t float64) bool { return t > 0 && !math.IsInf(t, 1) }
	concrete, sparse := a.Kind == nets.ConcreteAE, a.Kind == nets.SparseAE
	switch {
	case c.Steps != 0 && c.Epochs != 0:
		return errors.Errorf("Steps = %d and Epochs = %d: give one of them", c.Steps, c.Epochs)
	case c.Steps < 0 || c.Epochs < 0:
		return errors.Errorf("Steps = %d, Epochs = %d: must be at least 1", c.Steps, c.Epochs)
	case concrete && !(hot(c.Hottest) && hot(c.Coldest) && c.Coldest <= c.Hottest):
		return errors.Errorf("Hottest = %g, Coldest = %g: must be finite and above 0, the second not above the first", c.Hottest, c.Coldest)
	case !concrete && (c.Hottest != 0 || c.Coldest != 0):
		return errors.Errorf("Hottest = %g, Coldest = %g: only concrete autoencoders have temperatures", c.Hottest, c.Coldest)
	case sparse && !(c.Sparsity > 0 && c.Sparsity < 1 && c.Penalty > 0 && !math.IsInf(c.Penalty, 1)):
		return errors.Errorf("Sparsity = %g, Penalty = %g: want between 0 and 1, and finite and above 0", c.Sparsity, c.Penalty)
	case !sparse && (c.Sparsity != 0 || c.Penalty != 0):
		return errors.Errorf("Sparsity = %g, Penalty = %g: only sparse autoencoders have them", c.Sparsity, c.Penalty)
	}
	return nil
}

// The names under which TrainAutoencoder's Losses hold means over batches.
const (
	// ReconstructionLoss is the mean loss of a value of an image: the squared error, of convolutional autoencoders that end in a
	// sigmoid the cross-entropy in nats; of sparse ones with the penalties.
	ReconstructionLoss = "reconstruction"
	// CriticLoss and EncoderLoss are the cross-entropies of an adversarial autoencoder's critic: its own, and that of the encoder
	// that is trained to be taken for the normal distribution.
	CriticLoss  = "critic"
	EncoderLoss = "encoder"
)

// alternation is the training of an autoencoder.
func (c AutoencoderConfig) alternation(a *nets.Autoencoder, images Data) (Alternation, error) {
	c = c.withDefaults(a.Kind)
	if err := c.validate(a, images); err != nil {
		return Alternation{}, err
	}
	sum, err := images.Sum()
	if err != nil {
		return Alternation{}, err
	}
	targets := ""
	if c.Targets != nil {
		if targets, err = tensorSum(c.Targets); err != nil {
			return Alternation{}, err
		}
	}
	steps, every := c.Steps, 0
	if steps == 0 {
		every = images.Images.Shape().Dimensions[0] / c.BatchSize
		steps = c.Epochs * every
	}
	batches, err := c.batches(a.Kind, images, steps)
	if err != nil {
		return Alternation{}, err
	}
	t := Alternation{Name: a.Name, Key: Hash("autoencoder 1", a.Kind, sum, targets, c.BatchSize, c.Hottest, c.Coldest, c.Sparsity, c.Penalty),
		Store: a.Store, Steps: steps, Every: every, Seed: c.Seed}
	add := func(name string, n *nets.Network, loss func(scope *model.Scope, batch []*Node) *Node) {
		t.Updates = append(t.Updates, Update{Name: name, Trains: []*nets.Network{n}, Rule: c.Rule, Batch: batches,
			Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node { return loss(scope, batch) }})
	}
	add(ReconstructionLoss, &a.Network, func(scope *model.Scope, batch []*Node) *Node { return c.loss(scope, a, batch) })
	if a.Kind == nets.AdversarialAE {
		add(CriticLoss, a.Critic, func(scope *model.Scope, batch []*Node) *Node { return criticLoss(scope, a, batch[0]) })
		add(EncoderLoss, &a.Encoder().Network, func(scope *model.Scope, batch []*Node) *Node {
			return ReduceAllMean(sigmoidLoss(a.Criticize(scope, a.Encode(scope, batch[0])), 1))
		})
	}
	return t, nil
}

// batches are images, and their targets if there are others, and the temperature if there is one.
func (c AutoencoderConfig) batches(kind nets.AutoencoderKind, images Data, steps int) (func(i int) ([]any, error), error) {
	parts := []*tensors.Tensor{images.Images}
	if c.Targets != nil {
		parts = append(parts, c.Targets)
	}
	var all []func(i int) ([]any, error)
	for _, t := range parts {
		batches, err := Batches(t, c.BatchSize, c.Seed)
		if err != nil {
			return nil, err
		}
		all = append(all, batches)
	}
	return func(i int) (batch []any, err error) {
		for _, next := range all {
			part, err := next(i)
			if err != nil {
				return nil, err
			}
			batch = append(batch, part...)
		}
		if kind == nets.ConcreteAE {
			batch = append(batch, float32(c.Hottest*math.Pow(c.Coldest/c.Hottest, float64(i)/float64(max(1, steps-1)))))
		}
		return batch, nil
	}, nil
}

// loss is what makes images come back.
func (c AutoencoderConfig) loss(scope *model.Scope, a *nets.Autoencoder, batch []*Node) *Node {
	images, target := batch[0], batch[0]
	if c.Targets != nil {
		target = batch[1]
	}
	if a.Kind == nets.ConcreteAE {
		relaxed := a.Relax(scope, images, batch[len(batch)-1])
		return ReduceAllMean(Square(Sub(a.Decode(scope, relaxed), target)))
	}
	codes := a.Encode(scope, images)
	if a.Kind == nets.ConvAE {
		if logits := a.Logits(scope, codes); logits != nil {
			return ReduceAllMean(sigmoidLossOf(logits, target))
		}
	}
	loss := ReduceAllMean(Square(Sub(a.Decode(scope, codes), target)))
	if a.Kind == nets.SparseAE {
		loss = Add(loss, Add(MulScalar(sparsity(codes, c.Sparsity), c.Penalty), MulScalar(ReduceAllMean(ReduceSum(Abs(codes), -1)), activityL1)))
	}
	return loss
}

// activityL1 is the weight of the sum of a code's absolute values in a sparse autoencoder's loss.
const activityL1 = 1e-7

// sparsity is the sum over a code's values of the divergence of their means over the batch from the wanted one, as of coins. Means are
// kept from 0 and 1, where it is infinite.
func sparsity(codes *Node, wanted float64) *Node {
	mean := ClipScalar(ReduceMean(codes, 0), 1e-10, 1-1e-7)
	up := MulScalar(Log(mean), -wanted)
	down := MulScalar(Log(OneMinus(mean)), wanted-1)
	entropy := wanted*math.Log(wanted) + (1-wanted)*math.Log(1-wanted)
	return ReduceAllSum(AddScalar(Add(up, down), entropy))
}

// criticLoss is to tell drawn codes from those of images.
func criticLoss(scope *model.Scope, a *nets.Autoencoder, images *Node) *Node {
	codes := StopGradient(a.Encode(scope, images))
	drawn := scope.RandomNormal(images.Graph(), shapes.Make(dtypes.Float32, codes.Shape().Dimensions...))
	return ReduceAllMean(Add(sigmoidLoss(a.Criticize(scope, drawn), 1), sigmoidLoss(a.Criticize(scope, codes), 0)))
}

// sigmoidLoss is the cross-entropy of logits, one each, with a target from 0 to 1.
func sigmoidLoss(logits *Node, target float64) *Node {
	return sigmoidLossOf(logits, MulScalar(OnesLike(logits), target))
}

// sigmoidLossOf is the same with a target for each, of as few operations as do not overflow.
func sigmoidLossOf(logits, targets *Node) *Node {
	return Sub(Add(MaxScalar(logits, 0), Log1P(Exp(Neg(Abs(logits))))), Mul(logits, targets))
}

// AutoencoderKey identifies a training of an autoencoder, as [Key] does that of a classifier.
func AutoencoderKey(e *engine.Engine, a *nets.Autoencoder, images Data, c AutoencoderConfig) (string, error) {
	t, err := c.alternation(a, images)
	if err != nil {
		return "", errors.WithMessagef(err, "fit: %s", a.Name)
	}
	return t.withDefaults().key(e)
}

// TrainAutoencoder trains an autoencoder in place on images [n, InputShape...] with values from 0 to 1, or loads what the same
// training gave before; labels are not looked at. Losses have an entry an epoch, or every hundredth of Steps. What
// [Alternation.Train] says holds.
//
//	a, err := nets.NewAutoencoder(nets.AutoencoderConfig{Input: []int{8, 8, 1}, Kernel: 3, Seed: 1})
//	losses, err := fit.TrainAutoencoder(ctx, eng, a, images, fit.AutoencoderConfig{Steps: 1500, Seed: 1}, fit.Options{})
func TrainAutoencoder(ctx context.Context, e *engine.Engine, a *nets.Autoencoder, images Data, c AutoencoderConfig,
	o Options) (Losses, error) {
	t, err := c.alternation(a, images)
	if err != nil {
		return nil, errors.WithMessagef(err, "fit: %s", a.Name)
	}
	return t.Train(ctx, e, o)
}
