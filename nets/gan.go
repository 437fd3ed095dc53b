package nets

import (
	"fmt"
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// ResidualConfig sizes a [Generator], a [Discriminator] or a [GaussianEncoder] of square images with values from -1 to 1, of
// residual blocks as those of the authors' code of arXiv 2102.12765.
type ResidualConfig struct {
	Size     int // side of an image, 4·2^n and at least 16; zero: 16
	Colors   int // of an image; zero: 3
	Channels int // of the maps; zero: 24
	Latent   int // values of a generator's latent, or of an encoder's code; zero: 32
	Seed     int64
	// Scope is where the network's variables are in a store that it shares with others, a name of its own.
	Scope string
}

func (c ResidualConfig) withDefaults() ResidualConfig {
	or := func(v *int, zero int) {
		if *v == 0 {
			*v = zero
		}
	}
	or(&c.Size, 16)
	or(&c.Colors, 3)
	or(&c.Channels, 24)
	or(&c.Latent, 32)
	return c
}

// halvings is how often 2 divides the side until 4 is left.
func (c ResidualConfig) halvings() int {
	n := 0
	for side := c.Size; side > 4; side /= 2 {
		n++
	}
	return n
}

func (c ResidualConfig) begin(store *model.Store) (*parts, error) {
	if c.Scope == "" || c.Colors < 1 || c.Channels < 1 || c.Latent < 1 {
		return nil, errors.Errorf("nets: network %q of %d channels, %d colors, latent %d: want a name, and at least 1 each",
			c.Scope, c.Channels, c.Colors, c.Latent)
	}
	if c.Size < 16 || 4<<c.halvings() != c.Size {
		return nil, errors.Errorf("nets: size %d is not 4·2^n, or below 16: want 16, 32, 64 ...", c.Size)
	}
	p := &parts{prefix: c.Scope + "_"}
	p.builder = &builder{m: &Model{Network: Network{Name: c.Scope, Store: store}},
		rng: rand.New(rand.NewPCG(uint64(c.Seed), 0x6c617965727300))} // the stream "layers"
	return p, nil
}

// parts makes layers of a network that shares its store.
type parts struct {
	*builder
	prefix string
}

// layer is a convolution or a dense layer.
type layer struct{ weight, bias string }

// xavier adds a layer with normal weights of variance gain²·2/(inputs + outputs) (Glorot and Bengio, 2010) and zero biases.
func (p *parts) xavier(name string, gain float64, shape ...int) layer {
	rank := len(shape)
	area := product(shape[:rank-2])
	deviation := gain * math.Sqrt(2/float64(area*(shape[rank-2]+shape[rank-1])))
	return layer{p.normal(p.prefix+name, "weights", deviation, shape...), p.bias(p.prefix+name, shape[rank-1])}
}

func (p *parts) conv(name string, gain float64, side, in, out int) layer {
	return p.xavier(name, gain, side, side, in, out)
}

func (l layer) graph(scope *model.Scope, x *Node) *Node {
	weight, bias := node(scope, l.weight, x), node(scope, l.bias, x)
	switch {
	case weight.Rank() == 2:
		return Add(MatMul(x, weight), InsertAxes(bias, 0))
	case weight.Shape().Dimensions[0] == 1:
		d := weight.Shape().Dimensions
		return Add(MatMul(x, Reshape(weight, d[2], d[3])), InsertAxes(bias, 0, 0, 0))
	}
	return Add(Conv2D(x, weight), InsertAxes(bias, 0, 0, 0))
}

// instanceNorm gives every channel of every image mean 0 and variance 1 (Ulyanov et al., arXiv 1607.08022), without weights, as
// PyTorch's does by default.
func instanceNorm(x *Node) *Node {
	mean := ReduceAndKeep(x, ReduceMean, 1, 2)
	centered := Sub(x, mean)
	return Mul(centered, Reciprocal(Sqrt(AddScalar(ReduceAndKeep(Square(centered), ReduceMean, 1, 2), batchNormEpsilon))))
}

// Generator makes images of latents: a dense layer to maps of 4x4, residual blocks that double them, tanh.
type Generator struct {
	Network
	Latent int
	Shape  []int // of an image
	dense  layer
	ups    []up
	norm   batchNorm
	last   layer
}

// up is a block that doubles maps.
type up struct{ first, second layer }

// NewGenerator adds a generator to a store. It normalizes by the batch while it learns, by running averages else.
func NewGenerator(store *model.Store, c ResidualConfig) (*Generator, error) {
	c = c.withDefaults()
	p, err := c.begin(store)
	if err != nil {
		return nil, err
	}
	g := &Generator{Latent: c.Latent, Shape: []int{c.Size, c.Size, c.Colors}}
	g.dense = p.xavier("dense", 1, c.Latent, 16*c.Channels)
	for i := range c.halvings() {
		g.ups = append(g.ups, up{p.conv(fmt.Sprintf("up_%d_first", i), 1, 3, c.Channels, c.Channels),
			p.conv(fmt.Sprintf("up_%d_second", i), 1, 3, c.Channels, c.Channels)})
	}
	g.norm, g.last = p.batchNorm(p.prefix+"norm", c.Channels), p.conv("last", 1, 3, c.Channels, c.Colors)
	g.Network = p.m.Network
	return g, p.err
}

// Images builds images [batch, Shape...] of latents [batch, Latent]. Panics on other latents.
func (g *Generator) Images(scope *model.Scope, latents *Node) *Node {
	return g.ImagesBehind(scope, g, latents)
}

// ImagesBehind is Images with the first half of another generator of the same sizes in place of its own: the dense layer and half
// of the blocks, rounded up. Two generators that share it make images of two domains, of the same contents (Liu and Tuzel,
// Coupled Generative Adversarial Networks, arXiv 1606.07536).
func (g *Generator) ImagesBehind(scope *model.Scope, shared *Generator, latents *Node) *Node {
	latents.AssertDims(latents.Shape().Dimensions[0], g.Latent)
	x := shared.dense.graph(scope, latents)
	x = Reshape(x, -1, 4, 4, x.Shape().Dimensions[1]/16)
	for i, block := range g.ups {
		if i < (len(g.ups)+1)/2 {
			block = shared.ups[i]
		}
		// Doubled maps and what convolves them: the same products, fewer times.
		y := ReLU(instanceNorm(x))
		y = Add(DoubledConv2D(y, node(scope, block.first.weight, x)), InsertAxes(node(scope, block.first.bias, x), 0, 0, 0))
		x = Add(block.second.graph(scope, ReLU(instanceNorm(y))), double(x))
	}
	return Tanh(g.last.graph(scope, ReLU(g.norm.graph(scope, x))))
}

// Discriminator scores images, the higher the more it takes them for real: each patch on the way, and the whole.
type Discriminator struct {
	Network
	blocks       []down // the last one is behind the patches
	patch, whole layer
}

// down is a block that halves maps.
type down struct {
	first, second, skip layer
	images              bool // it takes images, which no ReLU comes before
}

// NewDiscriminator adds a discriminator to a store: residual blocks that halve maps until 4x4 patches or larger ones are scored,
// one more block and the mean for the whole. Nothing is normalized.
func NewDiscriminator(store *model.Store, c ResidualConfig) (*Discriminator, error) {
	c = c.withDefaults()
	p, err := c.begin(store)
	if err != nil {
		return nil, err
	}
	d := &Discriminator{}
	for i := range max(2, c.halvings()-1) + 1 { // of 64x64, 8x8 patches are scored
		name, in := fmt.Sprintf("down_%d_", i), c.Channels
		if i == 0 {
			in = c.Colors
		}
		d.blocks = append(d.blocks, down{p.conv(name+"first", 1, 3, in, c.Channels), p.conv(name+"second", 1, 3, c.Channels, c.Channels),
			p.conv(name+"skip", math.Sqrt2, 1, in, c.Channels), i == 0})
	}
	d.patch, d.whole = p.conv("patch", 1, 1, c.Channels, 1), p.xavier("whole", 1, c.Channels, 1)
	d.Network = p.m.Network
	return d, p.err
}

func (b down) graph(scope *model.Scope, x *Node) *Node {
	y := x
	if !b.images {
		y = ReLU(x)
	}
	y = b.second.graph(scope, ReLU(b.first.graph(scope, y)))
	// The mean and a 1x1 convolution commute: the mean first.
	return Add(MeanPool2D(y, 2), b.skip.graph(scope, MeanPool2D(x, 2)))
}

// Scores builds the scores of images [batch, size, size, colors]: of patches [batch, rows, columns, 1], and of the whole [batch].
func (d *Discriminator) Scores(scope *model.Scope, images *Node) (patches, whole *Node) {
	return d.ScoresBefore(scope, d, images)
}

// ScoresBefore is Scores by this one's first block and all else of another: two that share it judge two domains (as
// [Generator.ImagesBehind] makes them).
func (d *Discriminator) ScoresBefore(scope *model.Scope, shared *Discriminator, images *Node) (patches, whole *Node) {
	x := d.blocks[0].graph(scope, images)
	last := len(d.blocks) - 1
	for _, b := range shared.blocks[1:last] {
		x = b.graph(scope, x)
	}
	patches = shared.patch.graph(scope, x)
	x = ReLU(shared.blocks[last].graph(scope, x))
	return patches, Reshape(shared.whole.graph(scope, ReduceMean(x, 1, 2)), -1)
}

// GaussianEncoder tells of each image a normal distribution of codes. It begins in a front, the first two convolutions, which
// another front can stand in for.
type GaussianEncoder struct {
	Network
	Front  *Front
	Latent int
	rest   func(scope *model.Scope, maps *Node) (mean, logVariance *Node)
}

// Front are the first two convolutions of an encoder with the pooling behind them. Its weights are its encoder's, too, unless it
// was made to stand in for the encoder's own.
type Front struct {
	Network
	first, second layer
}

// NewGaussianEncoder adds an encoder to a store.
func NewGaussianEncoder(store *model.Store, c ResidualConfig) (*GaussianEncoder, error) {
	c = c.withDefaults()
	front, err := NewFront(store, c)
	if err != nil {
		return nil, err
	}
	p, err := c.begin(store)
	if err != nil {
		return nil, err
	}
	p.rng = rand.New(rand.NewPCG(uint64(c.Seed), 0x726573740000)) // the stream "rest"
	const hidden = 128
	third := p.conv("third", 1, 3, c.Channels, 2*c.Channels)
	quarter := c.Size / 4
	dense := p.xavier("dense", 1, quarter*quarter*2*c.Channels, hidden)
	mean, spread := p.xavier("mean", 1, hidden, c.Latent), p.xavier("log_variance", 1, hidden, c.Latent)
	e := &GaussianEncoder{Network: p.m.Network, Front: front, Latent: c.Latent}
	e.WeightPaths = append(append([]string{}, front.WeightPaths...), e.WeightPaths...)
	e.rest = func(scope *model.Scope, maps *Node) (*Node, *Node) {
		x := MaxPool2D(ReLU(third.graph(scope, maps)), 2)
		x = ReLU(dense.graph(scope, Reshape(x, x.Shape().Dimensions[0], -1)))
		return mean.graph(scope, x), spread.graph(scope, x)
	}
	return e, p.err
}

// NewFront adds a front alone to a store.
func NewFront(store *model.Store, c ResidualConfig) (*Front, error) {
	c = c.withDefaults()
	p, err := c.begin(store)
	if err != nil {
		return nil, err
	}
	f := &Front{first: p.conv("front_0", 1, 3, c.Colors, c.Channels), second: p.conv("front_1", 1, 3, c.Channels, c.Channels)}
	f.Network = p.m.Network
	return f, p.err
}

func (f *Front) graph(scope *model.Scope, x *Node) *Node {
	return MaxPool2D(ReLU(f.second.graph(scope, ReLU(f.first.graph(scope, x)))), 2)
}

// Posterior builds means and logarithms of the variances of the codes of images, both [batch, Latent].
func (e *GaussianEncoder) Posterior(scope *model.Scope, images *Node) (mean, logVariance *Node) {
	return e.PosteriorBehind(scope, e.Front, images)
}

// PosteriorBehind is Posterior with another front in place of the encoder's own.
func (e *GaussianEncoder) PosteriorBehind(scope *model.Scope, front *Front, images *Node) (mean, logVariance *Node) {
	return e.rest(scope, front.graph(scope, images))
}
