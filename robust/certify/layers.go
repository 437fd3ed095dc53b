package certify

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// Coverage tells which weights of a model the bounds speak of: those of the dense layers at its end, after the last
// activation that the bounds cannot take.
type Coverage struct {
	Layers []nets.DenseLayer // from first to last; the last gives the logits
	Why    string            // why the layers before them are not covered; "" if there are none
	m      *nets.Model
	body   []nets.DenseLayer // dense layers before the covered ones
}

// Covers finds what the bounds cover of a model. The error is that of a model which they do not cover at all: its end is no
// dense layer.
func Covers(m *nets.Model) (*Coverage, error) {
	if m == nil {
		return nil, errors.New("certify: give a model")
	}
	if len(m.Dense) == 0 {
		return nil, errors.Errorf("certify: %s does not end in dense layers: the bounds cover no others", m.Name)
	}
	s := &Coverage{m: m, Layers: m.Dense}
	if m.Features != nil {
		s.Why = "what lies before the dense layers at the end is no chain of dense layers"
	}
	for k, l := range m.Dense[:len(m.Dense)-1] {
		if _, ok := lipschitz[l.Activation]; !ok {
			s.Layers, s.body = m.Dense[k+1:], m.Dense[:k+1]
			s.Why = fmt.Sprintf("activation %s can be negative: the bound needs a non-negative monotone activation", l.Activation)
		}
	}
	return s, nil
}

// Whole reports whether all weights are covered, so that inputs may be perturbed too.
func (c *Coverage) Whole() bool { return c.Why == "" }

// Radii are weight radii for a robust.Threat: the given one for all covered weights, or for those of one layer (0 is the
// first of Layers; negative: all), and 0 for all others.
func (c *Coverage) Radii(radius float64, layer int) []float64 {
	radii := make([]float64, len(c.m.WeightPaths))
	for k, l := range c.Layers {
		if layer < 0 || layer == k {
			for _, i := range c.tensors(l) {
				if i >= 0 {
					radii[i] = radius
				}
			}
		}
	}
	return radii
}

// tensors are the indexes of a layer's weight and bias among the model's weights; -1 for no bias.
func (c *Coverage) tensors(l nets.DenseLayer) [2]int {
	return [2]int{slices.Index(c.m.WeightPaths, l.Weight), slices.Index(c.m.WeightPaths, l.Bias)}
}

// layerRadii turns a threat's radii, one a weight tensor, into two a layer: of its weight and of its bias.
func (c *Coverage) layerRadii(t robust.Threat) ([]float64, error) {
	all := t.WeightRadii(len(c.m.WeightPaths))
	var radii []float64
	for _, l := range c.Layers {
		for _, i := range c.tensors(l) {
			r := 0.0
			if i >= 0 {
				r, all[i] = all[i], 0
			}
			radii = append(radii, r)
		}
	}
	for i, r := range all {
		if r > 0 {
			return nil, errors.Errorf("certify: weight %s of %s may move by %g, but is not covered (%s): give it radius 0, as Coverage.Radii does",
				c.m.WeightPaths[i], c.m.Name, r, c.Why)
		}
	}
	if t.Epsilon > 0 && !c.Whole() {
		return nil, errors.Errorf("certify: inputs may move by %g, but not all of %s is covered (%s): perturb weights alone",
			t.Epsilon, c.m.Name, c.Why)
	}
	return radii, nil
}

// Check reports weights that may move but are not covered, and inputs that may move where not all weights are.
func (c *Coverage) Check(t robust.Threat) error {
	_, err := c.layerRadii(t)
	return err
}

// features builds the input [batch, values] of the first covered layer.
func (c *Coverage) features(scope *model.Scope, images *Node) *Node {
	x := Reshape(images, images.Shape().Dimensions[0], -1)
	if c.m.Features != nil {
		x = c.m.Features(scope, images)
	}
	for _, l := range c.body {
		x = l.Activation.Graph(affine(c.node(scope, l, x.Graph()), x))
	}
	return x
}

func (c *Coverage) node(scope *model.Scope, l nets.DenseLayer, g *Graph) layer {
	value := func(path string) *Node { return scope.Store().GetVariable(path).NodeValue(g) }
	n := layer{weight: value(l.Weight), activation: l.Activation}
	if l.Bias != "" {
		n.bias = value(l.Bias)
	}
	return n
}

// nodes returns the covered layers as they stand in the graph.
func (c *Coverage) nodes(scope *model.Scope, g *Graph) (layers []layer) {
	for _, l := range c.Layers {
		layers = append(layers, c.node(scope, l, g))
	}
	return layers
}

// withRadii sets the radii from a vector with two for each layer.
func withRadii(layers []layer, radii *Node) []layer {
	layers = slices.Clone(layers)
	for k := range layers {
		layers[k].weightRadius = Reshape(Slice(radii, AxisElem(2*k)))
		layers[k].biasRadius = Reshape(Slice(radii, AxisElem(2*k+1)))
	}
	return layers
}

// perTensor lists the radii in the order of forwardEach.
func perTensor(layers []layer) (radii []*Node) {
	for _, l := range layers {
		if radii = append(radii, l.weightRadius); l.bias != nil {
			radii = append(radii, l.biasRadius)
		}
	}
	return radii
}

// sameRadius sets one radius for all.
func sameRadius(layers []layer, radius *Node) []layer {
	layers = slices.Clone(layers)
	for k := range layers {
		layers[k].weightRadius, layers[k].biasRadius = radius, radius
	}
	return layers
}

func (l layer) as(dtype dtypes.DType) layer {
	l.weight = ConvertDType(l.weight, dtype)
	if l.bias != nil {
		l.bias = ConvertDType(l.bias, dtype)
	}
	return l
}

// mustCover is Covers of a whole model, for graphs. Panics on error.
func mustCover(m *nets.Model) *Coverage {
	s, err := Covers(m)
	if err != nil {
		exceptions.Panicf("%v", err)
	}
	if !s.Whole() {
		exceptions.Panicf("certify: %s: %s", m.Name, s.Why)
	}
	return s
}

// forward builds the logits, x [batch, inputs].
func forward(layers []layer, x *Node) *Node {
	for _, l := range layers {
		x = l.activation.Graph(affine(l, x))
	}
	return x
}

// forwardEach is forward with a weight perturbation for each example: deltas are [batch, ...] in the order in which
// the layers list their tensors (weight, then bias if there is one).
func forwardEach(layers []layer, deltas []*Node, x *Node) *Node {
	for _, l := range layers {
		y := Add(affine(l, x), Einsum("bi,bio->bo", x, deltas[0]))
		deltas = deltas[1:]
		if l.bias != nil {
			y, deltas = Add(y, deltas[0]), deltas[1:]
		}
		x = l.activation.Graph(y)
	}
	return x
}
