package nets

import (
	"strings"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// Chain is a network that is a chain of layers with names, whose outputs can be read and replaced; see [NewPart].
type Chain struct {
	Network
	InputShape []int // of one image
	Layers     []Layer
}

// Layer is a stage of a chain, and what it puts out.
type Layer struct {
	Stage
	Shape []int // of its output for one example

	weights int // how many of the network's weights are this layer's or those of layers before
}

// Layered is what is a chain of layers: [VAE] and [Autoencoder].
type Layered interface{ layered() *Chain }

func (c *Chain) layered() *Chain { return c }

// CheckImages reports images that the network cannot take: not float32 [n, InputShape...], none at all, or values that are
// not finite or outside 0 to 1, which are no probabilities.
func (c *Chain) CheckImages(images *tensors.Tensor) error {
	return (&Model{Network: c.Network, InputShape: c.InputShape, Lower: 0, Upper: 1}).CheckImages(images)
}

// Between builds the chain from the output of one layer to that of another; from "" takes images. It also returns the shapes
// of one example before and after. An error names the layers that there are.
func (c *Chain) Between(from, to string) (run func(scope *model.Scope, x *Node) *Node, in, out []int, err error) {
	first, in := 0, c.InputShape
	var names []string
	last := -1
	for i, l := range c.Layers {
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
	for _, l := range c.Layers[first : last+1] {
		stages = append(stages, l.Stage)
	}
	return chain(stages), in, out, nil
}

// between is Between for names that are known to be there.
func (c *Chain) between(from, to string) func(scope *model.Scope, x *Node) *Node {
	run, _, _, err := c.Between(from, to)
	if err != nil {
		panic(err)
	}
	return run
}

// Part runs some of a chain's layers on any number of examples, in batches of one size.
type Part struct {
	batched
	to string
}

// NewPart runs the layers after from up to to; from "" takes images. Batch 0 means 128. It reads the weights anew at each call.
//
//	encode, err := nets.NewPart(backend, vae, "", nets.LayerLatent, 0)
//	decode, err := nets.NewPart(backend, vae, "decoder 2", nets.LayerPixels, 0) // of activations that one may have changed
func NewPart(backend compute.Backend, of Layered, from, to string, batch int) (*Part, error) {
	c := of.layered()
	run, in, _, err := c.Between(from, to)
	if err != nil {
		return nil, err
	}
	b, err := newBatched(backend, &c.Network, in, batch, run)
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

// layering adds layers to a chain.
type layering struct {
	b     *builder
	c     *Chain
	shape []int // of the output so far
}

func (l *layering) add(name string, shape []int, graph func(scope *model.Scope, x *Node) *Node) {
	l.c.Layers = append(l.c.Layers, Layer{Stage{name, graph}, shape, len(l.b.m.WeightPaths)})
	l.shape = shape
}

// dense adds a layer after which values have the given shape.
func (l *layering) dense(name string, activation Activation, shape ...int) {
	in, out, scope := product(l.shape), product(shape), scopeOf(name)
	d := DenseLayer{Weight: l.b.uniform(scope, "weights", in, in, out), Bias: l.b.uniform(scope, "biases", in, out), Activation: activation}
	l.add(name, shape, func(scope *model.Scope, x *Node) *Node {
		batch := x.Shape().Dimensions[0]
		return Reshape(activation.Graph(denseLayer(scope, d, Reshape(x, batch, -1))), append([]int{batch}, shape...)...)
	})
}

// scopeOf is where a layer's variables are.
func scopeOf(name string) string { return strings.ReplaceAll(name, " ", "_") }
