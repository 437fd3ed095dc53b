package nets

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// VAE is a variational autoencoder (Kingma and Welling, arXiv 1312.6114) of images with values from 0 to 1: an encoder
// tells of each image a normal distribution of latents, a decoder tells of each latent the probability that a pixel is on.
// All of it is one chain of layers with names, whose outputs can be read and replaced; see [NewPart].
//
// Its layers are "encoder 1" and so on, "posterior" (means of the latents, then logarithms of their variances), "latent" (the
// means alone), "decoder 1" and so on, "logits" and "pixels" (their sigmoid).
type VAE struct {
	Chain
	Latent int // values of a latent
}

// The names of layers that every VAE has.
const (
	LayerPosterior = "posterior"
	LayerLatent    = "latent"
	LayerLogits    = "logits"
	LayerPixels    = "pixels"
)

// VAEConfig describes a variational autoencoder. The zero value is the dense one 784-400-400-20-400-400-784.
type VAEConfig struct {
	Input  []int // shape of one image; zero: 28, 28, 1
	Hidden []int // widths of the encoder's dense layers, the decoder has them the other way round; zero: 400, 400
	Latent int   // zero: 20
	// Channels make it convolutional: before the dense layers, the encoder halves the image by a 3x3 convolution of stride 2
	// to so many channels, once for each entry; the decoder ends in as many convolutions of maps that are doubled.
	// Input is height, width, channels then, both divisible by 2 so often.
	Channels []int
	Seed     int64 // of the initial weights
}

// NewVAE builds a VAE with ReLU between its layers. Weights and biases are uniform within ±1/√inputs.
func NewVAE(c VAEConfig) (*VAE, error) {
	if len(c.Input) == 0 {
		c.Input = []int{28, 28, 1}
	}
	if len(c.Hidden) == 0 {
		c.Hidden = []int{400, 400}
	}
	if c.Latent == 0 {
		c.Latent = 20
	}
	if err := checkSizes("VAE", slices.Concat(c.Input, c.Hidden, c.Channels, []int{c.Latent})); err != nil {
		return nil, err
	}
	if halves := 1 << len(c.Channels); len(c.Channels) > 0 && (len(c.Input) != 3 || c.Input[0]%halves != 0 || c.Input[1]%halves != 0) {
		return nil, errors.Errorf("nets: convolutional VAE with images %v: want height, width, channels, the first two divisible by %d",
			c.Input, halves)
	}
	b, err := newBuilder(c.Input, 0, 0, 1, c.Seed)
	if err != nil {
		return nil, err
	}
	v := &VAE{Chain{InputShape: c.Input}, c.Latent}
	l := &layering{b: b, c: &v.Chain, shape: c.Input}
	l.encoder(c)
	l.decoder(c)
	v.Network = b.m.Network
	v.Name = fmt.Sprintf("VAE %d-", product(c.Input))
	for _, width := range c.Hidden {
		v.Name += fmt.Sprintf("%d-", width)
	}
	v.Name += fmt.Sprint(c.Latent)
	if len(c.Channels) > 0 {
		v.Name += fmt.Sprintf(", convolutions %v", c.Channels)
	}
	return v, b.err
}

// convolution adds a 3x3 convolution of maps: halved, or doubled before it.
func (l *layering) convolution(name string, activation Activation, channels int, halve bool) {
	height, width, in := l.shape[0], l.shape[1], l.shape[2]
	scope := scopeOf(name)
	kernel := l.b.uniform(scope, "weights", 9*in, 3, 3, in, channels)
	bias := l.b.uniform(scope, "biases", 9*in, channels)
	shape := []int{2 * height, 2 * width, channels}
	if halve {
		shape = []int{height / 2, width / 2, channels}
	}
	l.add(name, shape, func(scope *model.Scope, x *Node) *Node {
		if halve {
			x = Convolve(x, node(scope, kernel, x)).Strides(2).PadSame().Done()
		} else {
			x = Conv2D(double(x), node(scope, kernel, x))
		}
		return activation.Graph(Add(x, InsertAxes(node(scope, bias, x), 0, 0, 0)))
	})
}

func (l *layering) encoder(c VAEConfig) {
	for i, channels := range c.Channels {
		l.convolution(fmt.Sprintf("encoder %d", i+1), ActReLU, channels, true)
	}
	for i, width := range c.Hidden {
		l.dense(fmt.Sprintf("encoder %d", len(c.Channels)+i+1), ActReLU, width)
	}
	l.dense(LayerPosterior, ActNone, 2*c.Latent)
	l.add(LayerLatent, []int{c.Latent}, func(_ *model.Scope, x *Node) *Node { return Slice(x, AxisRange(), AxisRange(0, c.Latent)) })
}

func (l *layering) decoder(c VAEConfig) {
	n := 0
	name := func() string { n++; return fmt.Sprintf("decoder %d", n) }
	for _, width := range slices.Backward(c.Hidden) {
		l.dense(name(), ActReLU, width)
	}
	if depth := len(c.Channels); depth == 0 {
		l.dense(LayerLogits, ActNone, c.Input...)
	} else {
		l.dense(name(), ActReLU, c.Input[0]>>depth, c.Input[1]>>depth, c.Channels[depth-1])
		for i := depth - 2; i >= 0; i-- {
			l.convolution(name(), ActReLU, c.Channels[i], false)
		}
		l.convolution(LayerLogits, ActNone, c.Input[2], false)
	}
	l.add(LayerPixels, c.Input, func(_ *model.Scope, x *Node) *Node { return Sigmoid(x) })
}

// Posterior builds means and logarithms of the variances of the latents of images, both [batch, Latent].
func (v *VAE) Posterior(scope *model.Scope, images *Node) (mean, logVariance *Node) {
	both := v.between("", LayerPosterior)(scope, images)
	return Slice(both, AxisRange(), AxisRange(0, v.Latent)), Slice(both, AxisRange(), AxisRange(v.Latent))
}

// Draw builds latents of that distribution, as mean + deviation·noise, through which gradients flow (equation 10).
func Draw(scope *model.Scope, mean, logVariance *Node) *Node {
	noise := scope.RandomNormal(mean.Graph(), shapes.Make(mean.DType(), mean.Shape().Dimensions...))
	return Add(mean, Mul(Exp(MulScalar(logVariance, 0.5)), noise))
}

// NegativeELBO builds the two terms of the bound on -ln p(image), each [batch], in nats: the Bernoulli likelihood of the
// pixels for one latent that is drawn, and the divergence of its distribution from the standard normal one, in closed form
// (equations 10 and B).
func (v *VAE) NegativeELBO(scope *model.Scope, images *Node) (reconstruction, divergence *Node) {
	mean, logVariance := v.Posterior(scope, images)
	z := Draw(scope, mean, logVariance)
	batch := images.Shape().Dimensions[0]
	logits, x := Reshape(v.between(LayerLatent, LayerLogits)(scope, z), batch, -1), Reshape(images, batch, -1)
	reconstruction = ReduceSum(Sub(softplus(logits), Mul(x, logits)), -1)
	return reconstruction, StandardKL(mean, logVariance)
}

// StandardKL builds the Kullback-Leibler divergence [batch] of normal distributions with diagonal variances, [batch, values],
// from the standard one: ½ Σ (σ² + µ² - 1 - ln σ²).
func StandardKL(mean, logVariance *Node) *Node {
	return MulScalar(ReduceSum(Sub(Add(Exp(logVariance), Square(mean)), OnePlus(logVariance)), -1), 0.5)
}
