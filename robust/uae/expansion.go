package uae

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// Expansion makes several samples of one image, so that information can be estimated for it.
type Expansion struct {
	name  string
	model *nets.Model // nil: random projections
	maps  func(scope *model.Scope, images *Node) *Node

	samples, height, width int // of maps
	dim                    int // of projections
}

// Name tells which, and how many.
func (x *Expansion) Name() string { return x.name }

// Samples is how many samples it makes of an image.
func (x *Expansion) Samples() int { return x.samples }

// drawn tells whether every evaluation draws anew.
func (x *Expansion) drawn() bool { return x.maps == nil }

// FirstConv takes the channels of the network's first convolution: what its first stage with maps puts out, with all that this stage
// does, such as its activation. It refuses networks without.
func FirstConv(m *nets.Model) (*Expansion, error) {
	if m == nil {
		return nil, errors.New("uae: FirstConv needs a model")
	}
	var stages []nets.Stage
	for _, s := range m.Stages() {
		if s.Name == "all" { // of one piece: what it puts out are no features
			break
		}
		stages = append(stages, s)
		graph := func(scope *model.Scope, x *Node) *Node {
			for _, s := range stages {
				x = s.Graph(scope, x)
			}
			return x
		}
		shape, err := outputOf(m, graph)
		if err != nil {
			return nil, err
		}
		if len(shape) == 2 { // what comes after dense layers is no map, whatever its shape
			break
		}
		if len(shape) != 4 {
			continue
		}
		last := channelsLast(m, shape)
		x := &Expansion{model: m, samples: shape[1], height: shape[2], width: shape[3], maps: graph}
		if last {
			x.samples, x.height, x.width = shape[3], shape[1], shape[2]
			x.maps = func(scope *model.Scope, images *Node) *Node {
				return TransposeAllAxes(graph(scope, images), 0, 3, 1, 2)
			}
		}
		switch {
		case x.samples < 2:
			return nil, errors.Errorf("mine: need >= 2 expanded samples, got %d: the first convolution of %s has so few channels; "+
				"use RandomProjection", x.samples, m.Name)
		case x.height < 2 || x.width < 2:
			return nil, errors.Errorf("uae: the first convolution of %s puts out maps of %dx%d: want at least 2x2; use RandomProjection",
				m.Name, x.height, x.width)
		}
		x.name = fmt.Sprintf("first convolution(%d maps)", x.samples)
		return x, nil
	}
	return nil, errors.New("uae: model exposes no conv features; use RandomProjection")
}

// channelsLast tells whether maps of that shape have their channels behind. The first kernel tells how many there are: it holds them in
// front, as files have it, or behind, as networks of this module; where both axes are as long, maps lie as the images.
func channelsLast(m *nets.Model, shape []int) bool {
	layout, ok := nets.LayoutOf(m.InputShape)
	asImages := !ok || !layout.ChannelsFirst
	for _, w := range m.Weights() {
		k := w.Shape().Dimensions
		if len(k) != 4 {
			continue
		}
		first, last := k[0] == shape[1], k[0] == shape[3]
		if asImages {
			first, last = k[3] == shape[1] || first, k[3] == shape[3] || last
		}
		if first != last {
			return last
		}
		break
	}
	return asImages
}

// RandomProjection takes k random projections of the pixels to dim values, each standardized to mean 0 and variance 1. They are drawn
// anew at each evaluation, the same for all images, and normal with standard deviation 1/√dim. It does for any network. The authors'
// code takes 500 of 128.
func RandomProjection(k, dim int) (*Expansion, error) {
	switch {
	case k < 2:
		return nil, errors.Errorf("mine: need >= 2 expanded samples, got %d", k)
	case dim < 2:
		return nil, errors.Errorf("uae: RandomProjection to %d values: want at least 2, of which none is lost to standardizing", dim)
	}
	return &Expansion{name: fmt.Sprintf("%d random projections to %d values", k, dim), samples: k, dim: dim}, nil
}

// estimator is the one for these samples.
func (x *Expansion) estimator(hidden, code int) estimator {
	return estimator{samples: x.samples, height: x.height, width: x.width, values: x.dim, hidden: hidden, code: code}
}

// pair builds the samples [batch, K, ...] of the clean images and of the adversarial ones, by the same projections. kept are those of
// the clean ones where they stay the same; state is uint64 [3].
func (x *Expansion) pair(scope *model.Scope, clean, kept, adv, state *Node) (a, b *Node) {
	if !x.drawn() {
		nets.Evaluating(scope, adv.Graph(), func() { b = x.maps(scope, adv) })
		return kept, b
	}
	p := x.projections(state, rows(clean).Shape())
	return project(rows(clean), p), project(rows(adv), p)
}

// projections draws matrices [K, pixels, dim] for images [batch, pixels].
func (x *Expansion) projections(state *Node, images shapes.Shape) *Node {
	_, drawn := RandomNormal(state, shapes.Make(images.DType, x.samples, images.Dimensions[1], x.dim))
	return MulScalar(drawn, 1/math.Sqrt(float64(x.dim)))
}

// project builds the standardized projections [batch, K, dim] of images [batch, pixels].
func project(images, matrices *Node) *Node {
	z := Einsum("bp,kpd->bkd", images, matrices)
	z = Sub(z, ReduceAndKeep(z, ReduceMean, -1))
	// The floor is for images that a step has made black: their projections are 0, not NaN.
	return Div(z, Sqrt(MaxScalar(ReduceAndKeep(Square(z), ReduceMean, -1), 1e-20)))
}
