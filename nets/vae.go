package nets

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// VAE is a variational autoencoder (Kingma and Welling, arXiv 1312.6114) of images with values from 0 to 1: an encoder
// tells of each image a normal distribution of latents, a decoder tells of each latent the probability that a pixel is on.
// All of it is one chain of layers with names, whose outputs can be read and replaced; see [NewPart].
type VAE struct {
	Network
	InputShape []int // of one image
	Latent     int   // values of a latent
	// Layers are the chain: "encoder 1" and so on, "posterior" (means of the latents, then logarithms of their variances),
	// "latent" (the means alone), "decoder 1" and so on, "logits" and "pixels" (their sigmoid).
	Layers []Layer
}

// Layer is a stage of a chain, and what it puts out.
type Layer struct {
	Stage
	Shape []int // of its output for one example
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
	v := &VAE{InputShape: c.Input, Latent: c.Latent}
	l := &layering{b: b, v: v, shape: c.Input}
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

// layering adds layers to a chain.
type layering struct {
	b     *builder
	v     *VAE
	shape []int // of the output so far
}

func (l *layering) add(name string, shape []int, graph func(scope *model.Scope, x *Node) *Node) {
	l.v.Layers = append(l.v.Layers, Layer{Stage{name, graph}, shape})
	l.shape = shape
}

// dense adds a layer after which values have the given shape.
func (l *layering) dense(name string, activation Activation, shape ...int) {
	in, out, scope := product(l.shape), product(shape), strings.ReplaceAll(name, " ", "_")
	d := DenseLayer{Weight: l.b.uniform(scope, "weights", in, in, out), Bias: l.b.uniform(scope, "biases", in, out), Activation: activation}
	l.add(name, shape, func(scope *model.Scope, x *Node) *Node {
		batch := x.Shape().Dimensions[0]
		return Reshape(activation.Graph(denseLayer(scope, d, Reshape(x, batch, -1))), append([]int{batch}, shape...)...)
	})
}

// convolution adds a 3x3 convolution of maps: halved, or doubled before it.
func (l *layering) convolution(name string, activation Activation, channels int, halve bool) {
	height, width, in := l.shape[0], l.shape[1], l.shape[2]
	scope := strings.ReplaceAll(name, " ", "_")
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

// double repeats each value of maps [batch, height, width, channels] twice in both directions.
func double(x *Node) *Node {
	d := x.Shape().Dimensions
	x = BroadcastToDims(InsertAxes(x, 2, 3), d[0], d[1], 2, d[2], 2, d[3])
	return Reshape(x, d[0], 2*d[1], 2*d[2], d[3])
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

// CheckImages reports images that the network cannot take: not float32 [n, InputShape...], none at all, or values that are
// not finite or outside 0 to 1, which are no probabilities.
func (v *VAE) CheckImages(images *tensors.Tensor) error {
	return (&Model{Network: v.Network, InputShape: v.InputShape, Lower: 0, Upper: 1}).CheckImages(images)
}

// Between builds the chain from the output of one layer to that of another; from "" takes images. It also returns the shapes
// of one example before and after. An error names the layers that there are.
func (v *VAE) Between(from, to string) (run func(scope *model.Scope, x *Node) *Node, in, out []int, err error) {
	first, in := 0, v.InputShape
	var names []string
	last := -1
	for i, l := range v.Layers {
		names = append(names, l.Name)
		if l.Name == from {
			first, in = i+1, l.Shape
		}
		if l.Name == to {
			last, out = i, l.Shape
		}
	}
	if last < first || from != "" && first == 0 {
		return nil, nil, nil, errors.Errorf("nets: from layer %q to layer %q: want two of %s, in this order, or \"\" for images",
			from, to, strings.Join(names, ", "))
	}
	var stages []Stage
	for _, l := range v.Layers[first : last+1] {
		stages = append(stages, l.Stage)
	}
	return chain(stages), in, out, nil
}

// between is Between for names that are known to be there.
func (v *VAE) between(from, to string) func(scope *model.Scope, x *Node) *Node {
	run, _, _, err := v.Between(from, to)
	if err != nil {
		panic(err)
	}
	return run
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

// Part runs some of a VAE's layers on any number of examples, in batches of one size.
type Part struct {
	batched
	to string
}

// NewPart runs the layers after from up to to; from "" takes images. Batch 0 means 128. It reads the weights anew at each call.
//
//	encode, err := nets.NewPart(backend, vae, "", nets.LayerLatent, 0)
//	decode, err := nets.NewPart(backend, vae, "decoder 2", nets.LayerPixels, 0) // of activations that one may have changed
func NewPart(backend compute.Backend, v *VAE, from, to string, batch int) (*Part, error) {
	run, in, _, err := v.Between(from, to)
	if err != nil {
		return nil, err
	}
	b, err := newBatched(backend, &v.Network, in, batch, run)
	return &Part{b, to}, err
}

// Of returns the outputs [n][values] for inputs [n][values], one example a row, flattened.
func (p *Part) Of(examples [][]float32) ([][]float32, error) {
	size := product(p.shape)
	flat := make([]float32, 0, len(examples)*size)
	for i, x := range examples {
		if len(x) != size {
			return nil, errors.Errorf("nets: %s: example %d has %d values, the way to layer %q begins with %d", p.name, i, len(x), p.to, size)
		}
		flat = append(flat, x...)
	}
	return p.rows(flat)
}
