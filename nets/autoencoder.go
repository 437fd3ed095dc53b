package nets

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// AutoencoderKind tells autoencoders apart.
type AutoencoderKind string

const (
	// ConvAE halves images by convolutions and pooling, and doubles what comes out by repetition and convolutions.
	ConvAE AutoencoderKind = "convolutional"
	// DenseAE is a chain of dense layers.
	DenseAE AutoencoderKind = "dense"
	// SparseAE is DenseAE, trained to codes whose values are seldom far from 0 (Ng, CS294A lecture notes).
	SparseAE AutoencoderKind = "sparse"
	// AdversarialAE is a chain of dense layers, trained against a critic to codes that are distributed normally (Makhzani et
	// al., arXiv 1511.05644).
	AdversarialAE AutoencoderKind = "adversarial"
	// ConcreteAE has codes of some of an image's values, which training selects, and a decoder of dense layers (Balın et al.,
	// arXiv 1901.09346).
	ConcreteAE AutoencoderKind = "concrete"
)

// AutoencoderConfig describes an autoencoder of images with values from 0 to 1. Zero values give those of arXiv 2103.01895.
type AutoencoderConfig struct {
	Kind  AutoencoderKind // zero: ConvAE
	Input []int           // shape of one image; zero: 28, 28, 1
	// Channels, of ConvAE alone, are those of the encoder's convolutions, each of which pooling follows; the decoder has them the
	// other way round. 2 must divide the sides of images as often. Zero: 16, 8.
	Channels []int
	Kernel   int // of ConvAE: the side of its kernels, an odd number; zero: 5
	// Hidden are widths between image and code, the other way round in the decoder. ConvAE has none, ConcreteAE has them in the
	// decoder alone, as they are. Zero: AdversarialAE 1000, 1000, ConcreteAE 320, 320, others none.
	Hidden []int
	// Code is how many values a code has. Zero: 128, AdversarialAE 2, ConcreteAE 50. ConvAE's has as many channels, made by a last
	// convolution of its encoder; zero: there is none, and the code is what the last pooling puts out.
	Code int
	// Activation is behind hidden layers. Zero: ReLU, ConcreteAE leaky ReLU; DenseAE and SparseAE sigmoid, behind the code as well.
	Activation Activation
	Dropout    float64 // of ConcreteAE: behind the decoder's hidden layers; zero: 0.1, negative: none
	Linear     bool    // no sigmoid at the end; ConcreteAE never has one
	Seed       int64   // of the initial weights
}

func (c AutoencoderConfig) withDefaults() AutoencoderConfig {
	if c.Kind == "" {
		c.Kind = ConvAE
	}
	if len(c.Input) == 0 {
		c.Input = []int{28, 28, 1}
	}
	activation, code := ActReLU, 128
	switch c.Kind {
	case ConvAE:
		code = 0
		if len(c.Channels) == 0 {
			c.Channels = []int{16, 8}
		}
		if c.Kernel == 0 {
			c.Kernel = 5
		}
	case DenseAE, SparseAE:
		activation = ActSigmoid
	case AdversarialAE:
		code = 2
		if len(c.Hidden) == 0 {
			c.Hidden = []int{1000, 1000}
		}
	case ConcreteAE:
		activation, code, c.Linear = ActLeakyReLU, 50, true
		if len(c.Hidden) == 0 {
			c.Hidden = []int{320, 320}
		}
		if c.Dropout == 0 {
			c.Dropout = 0.1
		}
	}
	if c.Activation == "" {
		c.Activation = activation
	}
	if c.Code == 0 {
		c.Code = code
	}
	c.Dropout = max(0, c.Dropout)
	return c
}

// validate expects the defaults to be filled in.
func (c AutoencoderConfig) validate() error {
	kinds := []AutoencoderKind{ConvAE, DenseAE, SparseAE, AdversarialAE, ConcreteAE}
	if !slices.Contains(kinds, c.Kind) {
		return errors.Errorf("nets: no autoencoder is %q: want one of %q", c.Kind, kinds)
	}
	if err := checkSizes("autoencoder", slices.Concat(c.Input, c.Channels, c.Hidden)); err != nil {
		return err
	}
	conv := c.Kind == ConvAE
	halves, values := 1<<len(c.Channels), product(c.Input)
	switch {
	case c.Code < 0:
		return errors.Errorf("nets: autoencoder with Code = %d: want at least 1 value", c.Code)
	case conv && len(c.Hidden) > 0:
		return errors.Errorf("nets: convolutional autoencoder with Hidden = %d: it has no dense layers; Channels shape it", c.Hidden)
	case !conv && (len(c.Channels) > 0 || c.Kernel != 0):
		return errors.Errorf("nets: %s autoencoder with Channels = %d, Kernel = %d: it has no convolutions; Hidden shapes it",
			c.Kind, c.Channels, c.Kernel)
	case conv && (c.Kernel < 1 || c.Kernel%2 == 0):
		return errors.Errorf("nets: autoencoder with Kernel = %d: want an odd side", c.Kernel)
	case conv && (len(c.Input) != 3 || c.Input[0]%halves != 0 || c.Input[1]%halves != 0):
		return errors.Errorf("nets: convolutional autoencoder of images %v: want height, width, channels, the first two divisible by %d, "+
			"or fewer Channels", c.Input, halves)
	case c.Kind == SparseAE && c.Activation != ActSigmoid:
		return errors.Errorf("nets: sparse autoencoder with activation %q: want %q, whose mean is a share", c.Activation, ActSigmoid)
	case !slices.Contains([]Activation{ActReLU, ActSigmoid, ActSoftplus, ActTanh, ActLeakyReLU}, c.Activation):
		return errors.Errorf("nets: autoencoder with activation %q: want relu, sigmoid, softplus, tanh or leaky relu", c.Activation)
	case c.Kind == ConcreteAE && c.Code > values:
		return errors.Errorf("nets: concrete autoencoder selects Code = %d of %d values: want at most all", c.Code, values)
	case !(c.Dropout < 1) || c.Dropout > 0 && c.Kind != ConcreteAE:
		return errors.Errorf("nets: %s autoencoder with Dropout = %g: want below 1, and none but of concrete ones", c.Kind, c.Dropout)
	}
	return nil
}

// Autoencoder is a network from images with values from 0 to 1 to codes and back. It is one chain of layers with names, see
// [NewPart]: "encoder 1", "pooled 1" and so on up to "code", "decoder 1" and so on, "logits" and "pixels" (their sigmoid); a
// linear one ends in "pixels" without "logits".
type Autoencoder struct {
	Chain
	Kind AutoencoderKind
	Code []int // shape of one code
	// Critic has the weights of what an AdversarialAE is trained against, in the same store; else nil. See Criticize.
	Critic *Network

	critic   []Stage
	selector string // the path of ConcreteAE's weights [values, Code], the logarithms of how likely each value is selected, plus a constant
}

// LayerCode is the name of an autoencoder's layer that puts out codes.
const LayerCode = "code"

// NewAutoencoder builds an autoencoder. Weights and biases are uniform within ±1/√inputs, but for those that select, which are
// normal with variance 2/(values+Code).
func NewAutoencoder(c AutoencoderConfig) (*Autoencoder, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	b, err := newBuilder(c.Input, 0, 0, 1, c.Seed)
	if err != nil {
		return nil, err
	}
	a := &Autoencoder{Chain: Chain{InputShape: c.Input}, Kind: c.Kind}
	l := &layering{b: b, c: &a.Chain, shape: c.Input}
	switch c.Kind {
	case ConvAE:
		l.convEncoder(c)
	case ConcreteAE:
		a.selector = l.selection(c)
	default:
		l.denseEncoder(c)
	}
	a.Code = l.shape
	if c.Kind == ConvAE {
		l.convDecoder(c)
	} else {
		l.denseDecoder(c)
	}
	a.Network = b.m.Network
	if c.Kind == AdversarialAE {
		a.addCritic(b, c)
	}
	a.Name = c.name()
	return a, b.err
}

// name tells the architecture.
func (c AutoencoderConfig) name() string {
	name := fmt.Sprintf("%s autoencoder %v", c.Kind, c.Input)
	if c.Kind == ConvAE {
		name += fmt.Sprintf(" %dx%d %v", c.Kernel, c.Kernel, c.Channels)
	} else if len(c.Hidden) > 0 {
		name += fmt.Sprintf("-%v", c.Hidden)
	}
	if c.Code > 0 {
		name += fmt.Sprintf("-%d", c.Code)
	}
	if name += " " + string(c.Activation); c.Dropout > 0 {
		name += fmt.Sprintf(", dropout %g", c.Dropout)
	}
	if c.Linear {
		name += ", linear"
	}
	return name
}

// squareConvolution adds a convolution of maps, which may be doubled before.
func (l *layering) squareConvolution(name string, activation Activation, side, channels int, doubled bool) {
	height, width, in := l.shape[0], l.shape[1], l.shape[2]
	kernel := l.b.uniform(scopeOf(name), "weights", side*side*in, side, side, in, channels)
	bias := l.b.uniform(scopeOf(name), "biases", side*side*in, channels)
	convolve := Conv2D
	if doubled {
		height, width, convolve = 2*height, 2*width, DoubledConv2D
	}
	l.add(name, []int{height, width, channels}, func(scope *model.Scope, x *Node) *Node {
		return activation.Graph(Add(convolve(x, node(scope, kernel, x)), InsertAxes(node(scope, bias, x), 0, 0, 0)))
	})
}

func (l *layering) convEncoder(c AutoencoderConfig) {
	for i, channels := range c.Channels {
		l.squareConvolution(fmt.Sprintf("encoder %d", i+1), c.Activation, c.Kernel, channels, false)
		name := fmt.Sprintf("pooled %d", i+1)
		if i == len(c.Channels)-1 && c.Code == 0 {
			name = LayerCode
		}
		l.pool(name)
	}
	if c.Code > 0 {
		l.squareConvolution(LayerCode, ActNone, c.Kernel, c.Code, false)
	}
}

// convDecoder doubles before each of its convolutions but the first.
func (l *layering) convDecoder(c AutoencoderConfig) {
	for i := range c.Channels {
		l.squareConvolution(fmt.Sprintf("decoder %d", i+1), c.Activation, c.Kernel, c.Channels[len(c.Channels)-1-i], i > 0)
	}
	l.squareConvolution(c.last(), ActNone, c.Kernel, c.Input[2], true)
	l.pixels(c)
}

// last is the name of the last layer with weights.
func (c AutoencoderConfig) last() string {
	if c.Linear {
		return LayerPixels
	}
	return LayerLogits
}

// pixels adds the sigmoid, if there is one.
func (l *layering) pixels(c AutoencoderConfig) {
	if !c.Linear {
		l.add(LayerPixels, l.shape, func(_ *model.Scope, x *Node) *Node { return Sigmoid(x) })
	}
}

func (l *layering) denseEncoder(c AutoencoderConfig) {
	for i, width := range c.Hidden {
		l.dense(fmt.Sprintf("encoder %d", i+1), c.Activation, width)
	}
	activation := ActNone
	if c.Kind == DenseAE || c.Kind == SparseAE {
		activation = c.Activation
	}
	l.dense(LayerCode, activation, c.Code)
}

func (l *layering) denseDecoder(c AutoencoderConfig) {
	widths := slices.Clone(c.Hidden)
	if c.Kind != ConcreteAE {
		slices.Reverse(widths)
	}
	for i, width := range widths {
		l.dense(fmt.Sprintf("decoder %d", i+1), c.Activation, width)
		whole := l.c.Layers[len(l.c.Layers)-1].Graph
		l.c.Layers[len(l.c.Layers)-1].Graph = func(scope *model.Scope, x *Node) *Node {
			x = whole(scope, x)
			return dropOut(scope, x, x.Shape(), c.Dropout)
		}
	}
	l.dense(c.last(), ActNone, c.Input...)
	l.pixels(c)
}

// selection adds the layer that selects values, each as a product with a column that is 1 in one place.
func (l *layering) selection(c AutoencoderConfig) (path string) {
	values := product(c.Input)
	path = l.b.normal(LayerCode, "weights", math.Sqrt(2/float64(values+c.Code)), values, c.Code)
	l.add(LayerCode, []int{c.Code}, func(scope *model.Scope, x *Node) *Node {
		one := OneHot(ArgMax(StopGradient(node(scope, path, x)), 0, dtypes.Int32), values, x.DType()) // [Code, values]
		return Einsum("bv,kv->bk", Reshape(x, x.Shape().Dimensions[0], -1), one)
	})
	return path
}

// addCritic adds a network from codes to a logit, of the encoder's widths.
func (a *Autoencoder) addCritic(b *builder, c AutoencoderConfig) {
	begin := len(b.m.WeightPaths)
	l := &layering{b: b, c: &Chain{}, shape: a.Code}
	for i, width := range c.Hidden {
		l.dense(fmt.Sprintf("critic %d", i+1), c.Activation, width)
	}
	l.dense("critic", ActNone, 1)
	for _, layer := range l.c.Layers {
		a.critic = append(a.critic, layer.Stage)
	}
	a.Critic = &Network{Name: "critic", Store: b.m.Store, WeightPaths: b.m.WeightPaths[begin:]}
}

// Encode builds codes [batch, Code...] of images [batch, InputShape...].
func (a *Autoencoder) Encode(scope *model.Scope, images *Node) *Node {
	return a.between("", LayerCode)(scope, images)
}

// Decode builds images [batch, InputShape...] of codes [batch, Code...], within 0 and 1 but for linear autoencoders.
func (a *Autoencoder) Decode(scope *model.Scope, codes *Node) *Node {
	return a.between(LayerCode, LayerPixels)(scope, codes)
}

// Logits builds what Decode puts the sigmoid on; nil where there is none.
func (a *Autoencoder) Logits(scope *model.Scope, codes *Node) *Node {
	run, _, _, err := a.Between(LayerCode, LayerLogits)
	if err != nil {
		return nil
	}
	return run(scope, codes)
}

// Criticize builds the critic's logit of each code [batch, Code], [batch]: positive for those that it holds to be drawn from the
// standard normal distribution. Panics where there is no critic.
func (a *Autoencoder) Criticize(scope *model.Scope, codes *Node) *Node {
	return Reshape(chain(a.critic)(scope, codes), -1)
}

// Relax builds what a ConcreteAE's training has in place of codes, [batch, Code]: means of all values of an image, weighted by
// a draw from the concrete distribution, the same for all images of the batch. The lower the temperature, a positive scalar, the
// more it is as if single values were selected. Panics for other kinds.
func (a *Autoencoder) Relax(scope *model.Scope, images, temperature *Node) *Node {
	logits := node(scope, a.selector, images)
	uniform := scope.RandomUniform(images.Graph(), shapes.Make(logits.DType(), logits.Shape().Dimensions...))
	gumbel := Neg(Log(Neg(Log(ClipScalar(uniform, 1e-7, 1-1e-7)))))
	weights := Softmax(Div(Add(logits, gumbel), temperature), 0)
	return MatMul(Reshape(images, images.Shape().Dimensions[0], -1), weights)
}

// Model is the autoencoder as a network from images to images, both [batch, InputShape...]; Classes is the number of values. Its
// stages are the layers: of ConvAE, the first is a convolution with its activation, and pooling is the second.
func (a *Autoencoder) Model() *Model { return a.model() }

// Encoder is the network from images [batch, InputShape...] to codes [batch, Code...]; Classes is the number of values of a code.
func (a *Autoencoder) Encoder() *Model { return a.until(LayerCode) }

// Selected are the values that the codes of a ConcreteAE are made of, counted along an image's, in the order of the code; one may
// be there twice. An error says that other kinds select none.
func (a *Autoencoder) Selected() ([]int, error) {
	if a.Kind != ConcreteAE {
		return nil, errors.Errorf("nets: %s selects no values: want a %s autoencoder", a.Name, ConcreteAE)
	}
	value, err := a.Store.GetVariable(a.selector).Value()
	if err != nil {
		return nil, err
	}
	flat, err := tensors.CopyFlatData[float32](value)
	if err != nil {
		return nil, err
	}
	found := make([]int, a.Code[0])
	for i, v := range flat {
		if k := i % len(found); v > flat[found[k]*len(found)+k] {
			found[k] = i / len(found)
		}
	}
	return found, nil
}
