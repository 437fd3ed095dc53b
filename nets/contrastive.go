package nets

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// ContrastiveConfig describes a small convolutional network for contrastive learning.
type ContrastiveConfig struct {
	Input      []int // height, width, channels; zero: 28, 28, 1
	Channels   []int // of the encoder's 3x3 convolutions, each of which ReLU and pooling follow; zero: 16, 32
	Features   int   // values of a representation; zero: 64
	Projection int   // values of an embedding; zero: 32
	Seed       int64 // of the initial weights
}

// Contrastive is a network for SimCLR (Chen et al., arXiv 2002.05709): an encoder from images to features, and a head of one
// hidden layer from those to embeddings, which the loss compares. Its layers are "encoder 1", "pooled 1" and so on, "features",
// "head" and "embedding", see [NewPart].
type Contrastive struct {
	Chain
	Features, Projection int
}

// LayerFeatures is the name of the layer that puts out a Contrastive's features.
const LayerFeatures = "features"

// NewContrastive builds a network for contrastive learning. Weights and biases are uniform within ±1/√inputs.
func NewContrastive(c ContrastiveConfig) (*Contrastive, error) {
	if len(c.Input) == 0 {
		c.Input = []int{28, 28, 1}
	}
	if len(c.Channels) == 0 {
		c.Channels = []int{16, 32}
	}
	if c.Features == 0 {
		c.Features = 64
	}
	if c.Projection == 0 {
		c.Projection = 32
	}
	if err := checkSizes("contrastive network", slices.Concat(c.Input, c.Channels, []int{c.Features, c.Projection})); err != nil {
		return nil, err
	}
	if side := 1 << len(c.Channels); len(c.Input) != 3 || c.Input[0] < side || c.Input[1] < side {
		return nil, errors.Errorf("nets: contrastive network for images %v: want height, width, channels, the first two at least %d, "+
			"or fewer Channels", c.Input, side)
	}
	b, err := newBuilder(c.Input, 0, 0, 1, c.Seed)
	if err != nil {
		return nil, err
	}
	n := &Contrastive{Chain: Chain{InputShape: c.Input}, Features: c.Features, Projection: c.Projection}
	l := &layering{b: b, c: &n.Chain, shape: c.Input}
	for i, channels := range c.Channels {
		l.squareConvolution(fmt.Sprintf("encoder %d", i+1), ActReLU, 3, channels, false)
		l.pool(fmt.Sprintf("pooled %d", i+1))
	}
	l.dense(LayerFeatures, ActReLU, c.Features)
	l.dense("head", ActReLU, c.Features)
	l.dense("embedding", ActNone, c.Projection)
	n.Network = b.m.Network
	n.Name = fmt.Sprintf("contrastive network %v %v-%d-%d", c.Input, c.Channels, c.Features, c.Projection)
	return n, b.err
}

// Model is the network from images [batch, InputShape...] to embeddings [batch, Projection]; Classes is the latter's number.
func (n *Contrastive) Model() *Model { return n.model() }

// Encoder is the network from images [batch, InputShape...] to features [batch, Features]; Classes is the latter's number.
func (n *Contrastive) Encoder() *Model { return n.until(LayerFeatures) }

// model is the whole chain as a network whose stages are the layers.
func (c *Chain) model() *Model {
	last := c.Layers[len(c.Layers)-1]
	m := &Model{Network: c.Network, InputShape: c.InputShape, Lower: 0, Upper: 1, Classes: product(last.Shape)}
	for _, l := range c.Layers {
		m.Body = append(m.Body, l.Stage)
	}
	m.Logits = chain(m.Body)
	return m
}

// until is the chain up to a layer, with the weights that lie before.
func (c *Chain) until(layer string) *Model {
	at := slices.IndexFunc(c.Layers, func(l Layer) bool { return l.Name == layer })
	part := *c
	part.Layers = c.Layers[:at+1]
	part.Name = c.Name + " up to " + layer
	part.WeightPaths = c.WeightPaths[:c.Layers[at].weights:c.Layers[at].weights]
	return part.model()
}

// pool adds the maximum over windows of 2x2.
func (l *layering) pool(name string) {
	l.add(name, []int{l.shape[0] / 2, l.shape[1] / 2, l.shape[2]}, func(_ *model.Scope, x *Node) *Node { return MaxPool2D(x, 2) })
}
