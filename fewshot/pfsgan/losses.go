package pfsgan

import (
	"cmp"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/nets"
)

// All losses are means over values, never sums: their weights are made for these.

// squared is the mean squared difference.
func squared(a, b *Node) *Node { return ReduceAllMean(Square(Sub(a, b))) }

// absolute is the mean absolute difference.
func absolute(a, b *Node) *Node { return ReduceAllMean(Abs(Sub(a, b))) }

// divergence is the mean over values of what a normal distribution's divergence from the standard one is made of,
// -½(1 + ln σ² - µ² - σ²).
func divergence(mean, logVariance *Node) *Node {
	return MulScalar(ReduceAllMean(Sub(Sub(OnePlus(logVariance), Square(mean)), Exp(logVariance))), -0.5)
}

// judged is the hinge loss of a discriminator (Lim and Ye, arXiv 1705.02894).
func judged(realScores, fakeScores *Node) *Node {
	return Add(hinge(Neg(realScores)), hinge(fakeScores))
}

// hinge is the mean of [1 + score]₊.
func hinge(scores *Node) *Node { return ReduceAllMean(MaxScalar(OnePlus(scores), 0)) }

// fooled is the hinge loss of a generator.
func fooled(fakeScores *Node) *Node { return Neg(ReduceAllMean(fakeScores)) }

// relation is how far apart the contents of two images are, value by value.
func relation(a, b *Node) *Node { return Square(Sub(a, b)) }

// latent puts an appearance before a content.
func latent(appearance, content *Node) *Node { return Concatenate([]*Node{appearance, content}, -1) }

// cycled repeats rows from the first on until there are n.
func cycled(rows *Node, n int) *Node {
	have := rows.Shape().Dimensions[0]
	var all []*Node
	for n > 0 {
		some := min(n, have)
		all = append(all, Slice(rows, AxisRange(0, some)))
		n -= some
	}
	return Concatenate(all, 0)
}

// split cuts rows into as many parts of n each as there are.
func split(rows *Node, sizes ...int) (parts []*Node) {
	at := 0
	for _, n := range sizes {
		parts = append(parts, Slice(rows, AxisRange(at, at+n)))
		at += n
	}
	return parts
}

// features are the outputs of the three layers; nil without a network.
func (p *Perceptual) features(scope *model.Scope, images *Node) (all []*Node) {
	if p == nil {
		return nil
	}
	x, next := images, 0
	layers := p.layers()
	nets.Evaluating(scope, images.Graph(), func() {
		for i, stage := range p.Model.Stages() {
			if x = stage.Graph(scope, x); i+1 == layers[next] {
				all = append(all, MulScalar(x, cmp.Or(p.Scale, 1)))
				if next++; next == len(layers) {
					break
				}
			}
		}
	})
	return all
}

// adopt gives a store a network that is in another one.
func adopt(store *model.Store, n *nets.Network) error {
	for _, path := range append(append([]string{}, n.WeightPaths...), n.StatePaths...) {
		value, err := n.Store.GetVariable(path).Value()
		if err != nil {
			return err
		}
		if value, err = value.LocalClone(); err != nil {
			return err
		}
		v, err := store.CreateVariable(path, value)
		if err != nil {
			return err
		}
		v.SetTrainable(false)
	}
	return nil
}

// adoptPerceptual is adopt where there is a network.
func adoptPerceptual(store *model.Store, p *Perceptual) error {
	if p == nil {
		return nil
	}
	return adopt(store, &p.Model.Network)
}

// flat are the values of a tensor of float32.
func flat(t *tensors.Tensor) []float32 { return tensors.MustCopyFlatData[float32](t) }

// latentShape is that of n latents, of the type of an image.
func latentShape(like *Node, n, values int) shapes.Shape { return shapes.Make(like.DType(), n, values) }
