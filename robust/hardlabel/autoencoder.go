package hardlabel

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/study"
)

// Autoencoder is a small convolutional network from images to maps of fewer pixels and back, as in AutoZOOM (Tu et al., arXiv
// 1805.11770, and its authors' code). The encoder is a 3x3 convolution, an activation and pooling by 2, as often as it halves, and
// a 3x3 convolution to as many channels as the image has; the decoder is the same with doubling in place of pooling.
type Autoencoder struct {
	nets.Network
	Image, Latent []int // shapes [height, width, channels]
	halvings      int
	act           nets.Activation
}

// NewAutoencoder builds one for images of the given shape, whose sides 2 must divide as often as it halves.
func NewAutoencoder(image []int, halvings, filters int, tanh bool, seed int64) (*Autoencoder, error) {
	by := 1 << halvings
	if len(image) != 3 || image[0]%by != 0 || image[1]%by != 0 {
		return nil, errors.Errorf("autoencoder: images %v: want height, width, channels, the first two divisible by %d: lower halvings",
			image, by)
	}
	a := &Autoencoder{Image: image, Latent: []int{image[0] / by, image[1] / by, image[2]}, halvings: halvings, act: nets.ActReLU}
	if tanh {
		a.act = nets.ActTanh
	}
	a.Name, a.Store = fmt.Sprintf("autoencoder %v-%v, %d filters, tanh %t", image, a.Latent, filters, tanh), model.NewStore()
	rng := rand.New(rand.NewPCG(uint64(seed), 0x6175746f)) // the stream "auto"
	for _, side := range []string{"encoder", "decoder"} {
		in := image[2]
		for i := range halvings + 1 {
			out := filters
			if i == halvings {
				out = image[2]
			}
			if err := a.layer(rng, fmt.Sprintf("%s_%d", side, i), in, out); err != nil {
				return nil, err
			}
			in = out
		}
	}
	return a, nil
}

// layer adds a kernel and a bias, uniform within 1/√inputs.
func (a *Autoencoder) layer(rng *rand.Rand, scope string, in, out int) error {
	bound := 1 / math.Sqrt(float64(9*in))
	for _, w := range []struct {
		name  string
		shape []int
	}{{"weights", []int{3, 3, in, out}}, {"biases", []int{out}}} {
		size := 1
		for _, d := range w.shape {
			size *= d
		}
		values := make([]float32, size)
		for i := range values {
			values[i] = float32(bound * (2*rng.Float64() - 1))
		}
		v, err := a.Store.RootScope().At("%s", scope).CreateVariable(w.name, tensors.FromFlatDataAndDimensions(values, w.shape...))
		if err != nil {
			return err
		}
		a.WeightPaths = append(a.WeightPaths, v.Path())
	}
	return nil
}

// convolve builds a layer; of is its number, over both sides.
func (a *Autoencoder) convolve(scope *model.Scope, of int, x *Node) *Node {
	weight := func(i int) *Node { return scope.Store().GetVariable(a.WeightPaths[2*of+i]).NodeValue(x.Graph()) }
	return Add(nets.Conv2D(x, weight(0)), InsertAxes(weight(1), 0, 0, 0))
}

// Encode builds latents [batch, Latent...] of images [batch, Image...].
func (a *Autoencoder) Encode(scope *model.Scope, x *Node) *Node {
	for i := range a.halvings {
		x = nets.MaxPool2D(a.act.Graph(a.convolve(scope, i, x)), 2)
	}
	return a.convolve(scope, a.halvings, x)
}

// Decode builds images [batch, Image...] of latents [batch, Latent...]; pixels may leave the range of those of images.
func (a *Autoencoder) Decode(scope *model.Scope, x *Node) *Node {
	first := a.halvings + 1
	for i := range a.halvings {
		x = a.act.Graph(a.convolve(scope, first+i, x))
		d := x.Shape().Dimensions
		x = Reshape(BroadcastToDims(InsertAxes(x, 2, 3), d[0], d[1], 2, d[2], 2, d[3]), d[0], 2*d[1], 2*d[2], d[3])
	}
	return a.convolve(scope, first+a.halvings, x)
}

// Decoder is the decoder as a model from latents to images, for [attack.NewDecoder].
func (a *Autoencoder) Decoder() *nets.Model {
	m := &nets.Model{Network: a.Network, Logits: a.Decode, InputShape: a.Latent, Lower: -math.MaxFloat32, Upper: math.MaxFloat32,
		Classes: a.Image[0] * a.Image[1] * a.Image[2]}
	m.Name = "decoder of " + a.Name
	return m
}

// autoencoderLoss is the mean squared error of a pixel.
const autoencoderLoss = "squared error"

// training is how an autoencoder is trained, on images [n, Image...]; checksum tells them.
func (a *Autoencoder) training(images *tensors.Tensor, checksum string, epochs, batch int, seed int64) (fit.Alternation, error) {
	batches, err := fit.Batches(images, batch, seed)
	each := images.Shape().Dimensions[0] / max(1, batch)
	return fit.Alternation{Name: a.Name, Key: fit.Hash(checksum, batch), Store: a.Store, Steps: epochs * each, Every: each, Seed: seed,
		Updates: []fit.Update{{Name: autoencoderLoss, Trains: []*nets.Network{&a.Network}, Rule: fit.Rule{LearningRate: 2e-3}, Batch: batches,
			Loss: func(scope *model.Scope, _ *Graph, x []*Node) *Node {
				return ReduceAllMean(Square(Sub(a.Decode(scope, a.Encode(scope, x[0])), x[0])))
			}}}}, err
}

// Autoencoder trains the autoencoder of a seed, on images that the networks are not trained on, or finds it in Config.Dir. Losses
// are mean squared errors of a pixel, one an epoch.
func (s *Study) Autoencoder(ctx context.Context, seed int64) (*Autoencoder, fit.Losses, error) {
	c := s.Config
	a, err := NewAutoencoder(s.Data.Pool.Shape, c.Halvings, c.Filters, c.Tanh, seed)
	if err != nil {
		return nil, nil, err
	}
	_, held, err := s.draw(seed)
	if err != nil {
		return nil, nil, err
	}
	t, err := a.training(held.Images, held.Checksum, c.AutoencoderEpochs, c.BatchSize, seed)
	if err != nil {
		return nil, nil, err
	}
	losses, err := t.Train(ctx, s.e, s.options("train "+study.Label("autoencoder", seed)))
	return a, losses, err
}
