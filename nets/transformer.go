package nets

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// layerNormEpsilon is that of the published vision transformers.
const layerNormEpsilon = 1e-6

// normLayer are the paths of a layer normalization's scale and shift, both [width].
type normLayer struct{ scale, shift string }

func (b *builder) norm(scope string, width int) normLayer {
	return normLayer{scale: b.vector(scope, "scale", ones(width)), shift: b.vector(scope, "shift", make([]float32, width))}
}

// graph normalizes the last axis of x to mean 0 and variance 1, then scales and shifts (Ba et al., arXiv 1607.06450).
func (l normLayer) graph(scope *model.Scope, x *Node) *Node {
	centered := Sub(x, ReduceAndKeep(x, ReduceMean, -1))
	variance := ReduceAndKeep(Square(centered), ReduceMean, -1)
	normal := Div(centered, Sqrt(AddScalar(variance, layerNormEpsilon)))
	row := func(path string) *Node {
		v := node(scope, path, x)
		for range x.Rank() - 1 {
			v = InsertAxes(v, 0)
		}
		return v
	}
	return Add(Mul(normal, row(l.scale)), row(l.shift))
}

// linear adds a dense layer with Xavier-normal weights (Glorot and Bengio, 2010): standard deviation sqrt(2 / (inputs +
// outputs)).
func (b *builder) linear(scope string, inputs, outputs int, bias bool) DenseLayer {
	l := DenseLayer{Weight: b.normal(scope, "weights", math.Sqrt(2/float64(inputs+outputs)), inputs, outputs)}
	if bias {
		l.Bias = b.bias(scope, outputs)
	}
	return l
}

// tokenLayer is denseLayer on every token of x [batch, tokens, inputs].
func tokenLayer(scope *model.Scope, l DenseLayer, x *Node) *Node {
	d := x.Shape().Dimensions
	return Reshape(denseLayer(scope, l, Reshape(x, d[0]*d[1], d[2])), d[0], d[1], -1)
}

// GELU is x·Φ(x), with the normal distribution's Φ (Hendrycks and Gimpel, arXiv 1606.08415).
func GELU(x *Node) *Node { return Mul(x, MulScalar(OnePlus(Erf(MulScalar(x, math.Sqrt2/2))), 0.5)) }

// attentionLayer is multi-head self-attention (Vaswani et al., arXiv 1706.03762).
type attentionLayer struct {
	heads    int
	qkv, out DenseLayer
}

// attention adds a layer from width inputs to width outputs.
func (b *builder) attention(scope string, inputs, width, heads int, bias bool) attentionLayer {
	return attentionLayer{heads: heads, qkv: b.linear(scope+"_qkv", inputs, 3*width, bias), out: b.linear(scope+"_out", width, width, true)}
}

// graph takes tokens [batch, n, inputs] and returns tokens [batch, queries, width] for the first of them, as many as
// queries, the values of all [batch, n, width], and weights [batch, heads, queries, n].
func (l attentionLayer) graph(scope *model.Scope, x *Node, queries int) (y, values, weights *Node) {
	q, k, values := l.project(scope, x, queries)
	batch, width := x.Shape().Dimensions[0], values.Shape().Dimensions[2]
	split := func(x *Node) *Node {
		return TransposeAllAxes(Reshape(x, batch, -1, l.heads, width/l.heads), 0, 2, 1, 3)
	}
	scores := Einsum("bhqd,bhkd->bhqk", MulScalar(split(q), 1/math.Sqrt(float64(width/l.heads))), split(k))
	// The softmax is normalized behind the product with the values, which leaves less to divide and to keep for gradients.
	powers := Exp(Sub(scores, StopGradient(ReduceAndKeep(scores, ReduceMax, -1))))
	sums := ReduceAndKeep(powers, ReduceSum, -1)
	mixed := Div(Einsum("bhqk,bhkd->bhqd", powers, split(values)), sums)
	y = tokenLayer(scope, l.out, Reshape(TransposeAllAxes(mixed, 0, 2, 1, 3), batch, queries, width))
	return y, values, Div(powers, sums)
}

// project returns queries [batch, queries, width] of the first tokens, and keys and values [batch, n, width] of all.
func (l attentionLayer) project(scope *model.Scope, x *Node, queries int) (q, k, v *Node) {
	width := node(scope, l.qkv.Weight, x).Shape().Dimensions[1] / 3
	parts := func(x *Node, from, to int) []*Node {
		d, columns := x.Shape().Dimensions, AxisRange(from*width, to*width)
		y := MatMul(Reshape(x, d[0]*d[1], d[2]), Slice(node(scope, l.qkv.Weight, x), AxisRange(), columns))
		if l.qkv.Bias != "" {
			y = Add(y, InsertAxes(Slice(node(scope, l.qkv.Bias, x), columns), 0))
		}
		return Split(Reshape(y, d[0], d[1], -1), -1, to-from)
	}
	if queries == x.Shape().Dimensions[1] {
		all := parts(x, 0, 3)
		return all[0], all[1], all[2]
	}
	rest := parts(x, 1, 3)
	return parts(firstTokens(x, queries), 0, 1)[0], rest[0], rest[1]
}

// firstTokens returns the first n tokens of x [batch, tokens, width].
func firstTokens(x *Node, n int) *Node { return Slice(x, AxisRange(), AxisRange(0, n)) }

// transformerBlock is a pre-norm block: attention and a perceptron, each behind a normalization and added to its input.
type transformerBlock struct {
	norm1, norm2 normLayer
	attention    attentionLayer
	fc1, fc2     DenseLayer
	drop         float64 // probability that a branch is left out for an example in training
}

func (b *builder) transformer(scope string, width, hidden, heads int, qkvBias bool, drop float64) transformerBlock {
	return transformerBlock{
		norm1: b.norm(scope+"_norm1", width), attention: b.attention(scope+"_attention", width, width, heads, qkvBias),
		norm2: b.norm(scope+"_norm2", width), fc1: b.linear(scope+"_fc1", width, hidden, true), fc2: b.linear(scope+"_fc2", hidden, width, true),
		drop: drop,
	}
}

// graph takes tokens [batch, n, width] and returns the first of them, as many as queries.
func (t transformerBlock) graph(scope *model.Scope, x *Node, queries int) (y, weights *Node) {
	mixed, _, weights := t.attention.graph(scope, t.norm1.graph(scope, x), queries)
	x = Add(firstTokens(x, queries), dropPath(scope, mixed, t.drop))
	return Add(x, dropPath(scope, perceptron(scope, t.fc1, t.fc2, t.norm2.graph(scope, x)), t.drop)), weights
}

func perceptron(scope *model.Scope, fc1, fc2 DenseLayer, x *Node) *Node {
	return tokenLayer(scope, fc2, GELU(tokenLayer(scope, fc1, x)))
}

// convBlock is the convolutional counterpart of a transformer block, on the grid of tokens: a 3x3 convolution, GELU and a
// dense layer behind a normalization, added to the input.
type convBlock struct {
	norm normLayer
	conv DenseLayer
	out  DenseLayer
	drop float64
}

func (b *builder) convolutional(scope string, width int, drop float64) convBlock {
	return convBlock{norm: b.norm(scope+"_norm", width),
		conv: DenseLayer{Weight: b.weight(scope+"_conv", 3, 3, width, width), Bias: b.bias(scope+"_conv", width)},
		out:  b.linear(scope+"_out", width, width, true), drop: drop}
}

// graph takes and returns tokens [batch, rows·columns, width].
func (c convBlock) graph(scope *model.Scope, x *Node, rows, columns int) *Node {
	d := x.Shape().Dimensions
	grid := Reshape(c.norm.graph(scope, x), d[0], rows, columns, d[2])
	h := GELU(Add(Conv2D(grid, node(scope, c.conv.Weight, x)), InsertAxes(node(scope, c.conv.Bias, x), 0, 0, 0)))
	return Add(x, dropPath(scope, tokenLayer(scope, c.out, Reshape(h, d...)), c.drop))
}

// dropPath leaves a residual branch [batch, ...] out for each example with the given probability in training graphs,
// and scales the rest up so that its mean stays (stochastic depth; Huang et al., arXiv 1603.09382).
func dropPath(scope *model.Scope, x *Node, probability float64) *Node {
	shape := x.Shape().Clone()
	for i := range shape.Dimensions[1:] {
		shape.Dimensions[i+1] = 1
	}
	return dropOut(scope, x, shape, probability)
}

func blockScope(i int) string { return fmt.Sprintf("block_%d", i) }
