package nets

import (
	"cmp"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// ViTConfig describes a vision transformer (Dosovitskiy et al., arXiv 2010.11929), or a mixture with convolutions. The
// zero value is the reference network of the benchmarks: 28x28x1, patch 4, width 64, depth 4, 4 heads, MLP ratio 4, 10
// classes.
type ViTConfig struct {
	Input     []int   // height, width, channels; zero: 28, 28, 1
	Patch     int     // side of a patch in pixels; zero: 4
	Width     int     // of a token; zero: 64
	Depth     int     // blocks; zero: 4
	Heads     int     // zero: 4
	MLPRatio  float64 // hidden width of a block's perceptron, in token widths; zero: 4
	Classes   int     // zero: 10
	MeanPool  bool    // classify the mean of the tokens, instead of a class token of its own
	NoQKVBias bool    // leave out the biases of queries, keys and values
	DropPath  float64 // probability that the last block's branches are left out in training; it grows linearly from 0

	Tokenizer    Tokenizer // zero: Patches
	StemChannels int       // of ConvStem; zero: 16
	TokenWidth   int       // of TokensToToken; zero: 16 (64 in the paper's large networks)
	// ConvBlocks is how many of the Depth blocks, the first ones, are convolutional. With all of them the tokens' mean is
	// classified.
	ConvBlocks int

	Lower float64 // pixel bounds; both zero: 0 and 1
	Upper float64
	Seed  int64 // of the initial weights
}

func (c ViTConfig) withDefaults() ViTConfig {
	if len(c.Input) == 0 {
		c.Input = []int{28, 28, 1}
	}
	c.Patch, c.Width, c.Depth, c.Heads = cmp.Or(c.Patch, 4), cmp.Or(c.Width, 64), cmp.Or(c.Depth, 4), cmp.Or(c.Heads, 4)
	c.MLPRatio, c.Classes, c.Tokenizer = cmp.Or(c.MLPRatio, 4), cmp.Or(c.Classes, 10), cmp.Or(c.Tokenizer, Patches)
	c.StemChannels, c.TokenWidth = cmp.Or(c.StemChannels, 16), cmp.Or(c.TokenWidth, 16)
	c.MeanPool = c.MeanPool || c.ConvBlocks == c.Depth
	return c
}

func (c ViTConfig) validate() error {
	if len(c.Input) != 3 {
		return errors.Errorf("nets: ViT: input shape %v: want height, width, channels", c.Input)
	}
	sizes := append(slices.Clone(c.Input), c.Patch, c.Width, c.Depth, c.Heads, c.Classes, c.StemChannels, c.TokenWidth)
	if err := checkSizes("ViT", sizes); err != nil {
		return err
	}
	switch {
	case c.Width%c.Heads != 0:
		return errors.Errorf("nets: ViT: width %d is not divisible by %d heads", c.Width, c.Heads)
	case !(c.MLPRatio*float64(c.Width) >= 1) || c.MLPRatio > 1e3:
		return errors.Errorf("nets: ViT: MLP ratio %g: must be > 0 and give at least one unit", c.MLPRatio)
	case !(c.DropPath >= 0 && c.DropPath < 1):
		return errors.Errorf("nets: ViT: DropPath %g: must be in [0, 1)", c.DropPath)
	case c.ConvBlocks < 0 || c.ConvBlocks > c.Depth:
		return errors.Errorf("nets: ViT: %d convolutional blocks of %d: must be between 0 and all", c.ConvBlocks, c.Depth)
	case c.Tokenizer != Patches && c.Tokenizer != ConvStem && c.Tokenizer != TokensToToken:
		return errors.Errorf("nets: ViT: tokenizer %q: want %q, %q or %q", c.Tokenizer, Patches, ConvStem, TokensToToken)
	}
	return nil
}

// keptBytes is how much a gradient's forward pass may keep for its backward pass before it is faster to take fewer examples
// at a time: XLA asks for this memory anew at every call, and the C library's allocator hands out more than 32 MiB as fresh
// pages, which the system then fills with zeros, one by one. For the reference network that takes as long as its work.
const keptBytes = 32 << 20

// keptPerToken is about how many numbers a block keeps for each of n tokens: inputs of its normalizations and its output,
// queries, keys and values in two layouts, attention weights, and the perceptron's middle with its error function.
func (c ViTConfig) keptPerToken(n int) int {
	return 9*c.Width + c.Heads*n + 2*int(c.MLPRatio*float64(c.Width))
}

func (c ViTConfig) name() string {
	s := fmt.Sprintf("ViT %dx%dx%d %s", c.Input[0], c.Input[1], c.Input[2], c.Tokenizer)
	switch c.Tokenizer {
	case TokensToToken:
		s += fmt.Sprintf(" %d", c.TokenWidth)
	case ConvStem:
		s += fmt.Sprintf(" %d, patch %d", c.StemChannels, c.Patch)
	default:
		s += fmt.Sprintf(" %d", c.Patch)
	}
	s += fmt.Sprintf(", width %d, depth %d, %d heads, ratio %g", c.Width, c.Depth, c.Heads, c.MLPRatio)
	if c.ConvBlocks > 0 {
		s += fmt.Sprintf(", %d convolutional", c.ConvBlocks)
	}
	if c.MeanPool {
		s += ", mean"
	}
	if c.NoQKVBias {
		s += ", no qkv bias"
	}
	if c.DropPath > 0 {
		s += fmt.Sprintf(", drop path %g", c.DropPath)
	}
	return s + fmt.Sprintf(", %d classes", c.Classes)
}

// NewViT builds a vision transformer with pre-norm blocks and learned positions (sinusoids with TokensToToken), the same
// weights on every backend: Xavier-normal, positions and class token normal with deviation 0.02, zero biases. Pixels are
// first mapped from [Lower, Upper] to [-1, 1], as for the published networks. (A blank patch of zeros would be a token of
// nothing but its position, which the normalization then blows up, and any perturbation with it.)
func NewViT(c ViTConfig) (*Model, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	b, err := newBuilder(c.Input, c.Classes, c.Lower, c.Upper, c.Seed)
	if err != nil {
		return nil, err
	}
	b.m.Name = c.name()
	tokens, err := b.tokenizer(c)
	if err != nil {
		return nil, err
	}
	v := &visionTransformer{m: b.m, width: c.Width, tokens: tokens, n: tokens.rows * tokens.columns}
	if !c.MeanPool {
		v.class, v.n = b.normal("class", "token", 0.02, 1, c.Width), v.n+1
	}
	if c.Tokenizer == TokensToToken {
		v.fixed = sinusoids(v.n, c.Width)
	} else {
		v.positions = b.normal("positions", "table", 0.02, v.n, c.Width)
	}
	for i := range c.Depth {
		drop := c.DropPath * float64(i) / float64(max(1, c.Depth-1))
		if i < c.ConvBlocks {
			v.convs = append(v.convs, b.convolutional(blockScope(i), c.Width, drop))
		} else {
			block := b.transformer(blockScope(i), c.Width, int(c.MLPRatio*float64(c.Width)), c.Heads, !c.NoQKVBias, drop)
			v.blocks = append(v.blocks, block)
		}
	}
	norm := b.norm("norm", c.Width)
	b.m.Dense = []DenseLayer{b.linear("head", c.Width, c.Classes, true)}
	if fits := keptBytes / (4 * v.n * c.Depth * c.keptPerToken(v.n)); fits >= 8 { // large networks have more work for each byte
		b.m.GradientBatch = fits
	}
	b.m.Inspect = func(scope *model.Scope, images *Node) (found []Feature) {
		v.graph(scope, images, func(f Feature) { found = append(found, f) })
		return found
	}
	b.m.Features = func(scope *model.Scope, images *Node) *Node {
		return ReduceMean(norm.graph(scope, v.graph(scope, images, nil)), 1) // the mean of one is itself
	}
	b.m.Logits = chain(b.m.Stages())
	return b.m, b.err
}

// visionTransformer is the network up to its last block.
type visionTransformer struct {
	m                *Model
	width, n         int // of a token; tokens, with the class token
	tokens           tokenizer
	class, positions string          // variables; "" if there is none
	fixed            *tensors.Tensor // positions that are not learned
	convs            []convBlock
	blocks           []transformerBlock
}

// graph builds it. If see is not nil, it is told every block's output and attention; else only the tokens that are
// classified leave the last block: that saves most of its work.
func (v *visionTransformer) graph(scope *model.Scope, x *Node, see func(Feature)) *Node {
	classified := v.n
	if see == nil {
		see = func(Feature) {}
		if v.class != "" {
			classified = 1
		}
	}
	batch := x.Shape().Dimensions[0]
	middle, radius := (v.m.Upper+v.m.Lower)/2, (v.m.Upper-v.m.Lower)/2
	x = v.tokens.graph(scope, MulScalar(AddScalar(x, -middle), 1/radius))
	position := func() *Node {
		if v.fixed != nil {
			return ConstTensor(x.Graph(), v.fixed)
		}
		return node(scope, v.positions, x)
	}()
	skip := 0 // the class token has the first position
	if v.class != "" {
		skip = 1
	}
	x = Add(x, InsertAxes(Slice(position, AxisRangeToEnd(skip)), 0))
	see(Feature{Name: "tokens", Kind: Tokens, Node: x})
	for i, block := range v.convs {
		x = block.graph(scope, x, v.tokens.rows, v.tokens.columns)
		see(Feature{Name: fmt.Sprintf("block %d", i+1), Kind: Tokens, Node: x})
	}
	if v.class != "" {
		first := Add(node(scope, v.class, x), Slice(position, AxisRange(0, 1)))
		x = Concatenate([]*Node{BroadcastToDims(InsertAxes(first, 0), batch, 1, v.width), x}, 1)
	}
	for i, block := range v.blocks {
		queries := v.n
		if i == len(v.blocks)-1 {
			queries = classified
		}
		var weights *Node
		x, weights = block.graph(scope, x, queries)
		number := len(v.convs) + i + 1
		see(Feature{Name: fmt.Sprintf("block %d", number), Kind: Tokens, Node: x})
		see(Feature{Name: fmt.Sprintf("attention %d", number), Kind: Attention, Node: weights})
	}
	return x
}
