package nets

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// Tokenizer is how a vision transformer makes tokens of an image.
type Tokenizer string

const (
	// Patches cuts the image into squares and projects each (Dosovitskiy et al., arXiv 2010.11929).
	Patches Tokenizer = "patches"
	// ConvStem has two 3x3 convolutions of StemChannels with ReLU before the patches.
	ConvStem Tokenizer = "conv stem"
	// TokensToToken unfolds overlapping 3x3 windows at stride 2, three times, with one single-head attention layer of width
	// TokenWidth after each of the first two (T2T-ViT; Yuan et al., arXiv 2101.11986, with 3, 3, 3 in place of 7, 3, 3 and
	// softmax attention). Positions are sinusoids, not learned.
	TokensToToken Tokenizer = "tokens to token"
)

// tokenizer turns images [batch, height, width, channels] into tokens [batch, rows·columns, Width].
type tokenizer struct {
	rows, columns int
	graph         func(scope *model.Scope, images *Node) *Node
}

func (b *builder) tokenizer(c ViTConfig) (tokenizer, error) {
	height, width, channels := c.Input[0], c.Input[1], c.Input[2]
	if c.Tokenizer == TokensToToken {
		return b.tokensToToken(c), nil
	}
	for _, side := range []int{height, width} {
		if side%c.Patch != 0 {
			return tokenizer{}, errors.Errorf("nets: ViT: image side %d is not divisible by patch %d", side, c.Patch)
		}
	}
	var stem []DenseLayer
	if c.Tokenizer == ConvStem {
		for i := range 2 {
			scope := fmt.Sprintf("stem_%d", i)
			stem = append(stem, DenseLayer{Weight: b.weight(scope, 3, 3, channels, c.StemChannels), Bias: b.bias(scope, c.StemChannels)})
			channels = c.StemChannels
		}
	}
	t := tokenizer{rows: height / c.Patch, columns: width / c.Patch}
	embed := b.linear("embed", c.Patch*c.Patch*channels, c.Width, true)
	t.graph = func(scope *model.Scope, x *Node) *Node {
		for _, l := range stem {
			x = ReLU(Add(Conv2D(x, node(scope, l.Weight, x)), InsertAxes(node(scope, l.Bias, x), 0, 0, 0)))
		}
		return tokenLayer(scope, embed, cut(x, c.Patch))
	}
	return t, nil
}

// cut returns the patches of x [batch, height, width, channels], [batch, patches, size·size·channels], row by row.
func cut(x *Node, size int) *Node {
	d := x.Shape().Dimensions
	rows, columns := d[1]/size, d[2]/size
	x = Reshape(x, d[0], rows, size, columns, size, d[3])
	return Reshape(TransposeAllAxes(x, 0, 1, 3, 2, 4, 5), d[0], rows*columns, size*size*d[3])
}

// unfold returns the 3x3 windows of x [batch, height, width, channels] at stride 2, zeros around it, as [batch, windows,
// 9·channels].
func unfold(x *Node) *Node {
	d := x.Shape().Dimensions
	one := PadAxis{Start: 1, End: 1}
	padded := Pad(x, ScalarZero(x.Graph(), x.DType()), PadAxis{}, one, one, PadAxis{})
	var columns []*Node
	for r := range 3 {
		for c := range 3 {
			columns = append(columns, Slice(padded, AxisRange(),
				AxisRange(r, r+2*half(d[1])-1).Stride(2), AxisRange(c, c+2*half(d[2])-1).Stride(2), AxisRange()))
		}
	}
	return Reshape(Concatenate(columns, -1), d[0], half(d[1])*half(d[2]), 9*d[3])
}

// half is the number of windows along a side.
func half(side int) int { return (side + 1) / 2 }

// tokenBlock is the transformer layer of tokens-to-token: its skip connection carries the values, whose width is that of
// the layer, not the input's.
type tokenBlock struct {
	norm1, norm2 normLayer
	attention    attentionLayer
	fc1, fc2     DenseLayer
}

func (t tokenBlock) graph(scope *model.Scope, x *Node) *Node {
	mixed, values, _ := t.attention.graph(scope, t.norm1.graph(scope, x), x.Shape().Dimensions[1])
	x = Add(values, mixed)
	return Add(x, perceptron(scope, t.fc1, t.fc2, t.norm2.graph(scope, x)))
}

func (b *builder) tokensToToken(c ViTConfig) tokenizer {
	inner := c.TokenWidth
	inputs := 9 * c.Input[2]
	var blocks []tokenBlock
	for i := range 2 {
		scope := fmt.Sprintf("t2t_%d", i)
		blocks = append(blocks, tokenBlock{norm1: b.norm(scope+"_norm1", inputs),
			attention: b.attention(scope+"_attention", inputs, inner, 1, false),
			norm2:     b.norm(scope+"_norm2", inner),
			fc1:       b.linear(scope+"_fc1", inner, inner, true),
			fc2:       b.linear(scope+"_fc2", inner, inner, true)})
		inputs = 9 * inner
	}
	embed := b.linear("embed", inputs, c.Width, true)
	rows, columns := c.Input[0], c.Input[1]
	for range 3 {
		rows, columns = half(rows), half(columns)
	}
	return tokenizer{rows: rows, columns: columns, graph: func(scope *model.Scope, x *Node) *Node {
		for _, t := range blocks {
			d := x.Shape().Dimensions
			x = Reshape(t.graph(scope, unfold(x)), d[0], half(d[1]), half(d[2]), inner)
		}
		return tokenLayer(scope, embed, unfold(x))
	}}
}

// sinusoids are the fixed positions of Vaswani et al. (arXiv 1706.03762), [n, width]: sines in even, cosines in odd places.
func sinusoids(n, width int) *tensors.Tensor {
	values := make([]float32, n*width)
	for p := range n {
		for j := range width {
			angle := float64(p) / math.Pow(10_000, float64(j/2*2)/float64(width))
			if j%2 == 0 {
				values[p*width+j] = float32(math.Sin(angle))
			} else {
				values[p*width+j] = float32(math.Cos(angle))
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(values, n, width)
}

// ShrinkPatch turns the projection of size-pixel patches [size·size·channels, width] into one of patches that are factor
// times smaller, by summing the weights of each factor x factor square: the small patch projects as its enlargement by
// nearest neighbors did. So a transformer of large images is fine-tuned on small ones.
func ShrinkPatch(kernel *tensors.Tensor, size, channels, factor int) (*tensors.Tensor, error) {
	d := kernel.Shape().Dimensions
	if size < 1 || channels < 1 || factor < 1 || size%factor != 0 || len(d) != 2 || d[0] != size*size*channels {
		return nil, errors.Errorf("nets: ShrinkPatch: kernel %s for patches of %d with %d channels by factor %d: "+
			"want [size·size·channels, width] and a factor that divides the size",
			kernel.Shape(), size, channels, factor)
	}
	values, err := tensors.CopyFlatData[float32](kernel)
	if err != nil {
		return nil, err
	}
	width, small := d[1], size/factor
	out := make([]float32, small*small*channels*width)
	for i, v := range values {
		w, rest := i%width, i/width
		c, rest := rest%channels, rest/channels
		x, y := rest%size, rest/size
		out[((y/factor*small+x/factor)*channels+c)*width+w] += v
	}
	return tensors.FromFlatDataAndDimensions(out, small*small*channels, width), nil
}
