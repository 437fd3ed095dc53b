package removal

import (
	"context"
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// Prune sets a share of the weights to zero: those with the smallest absolute values among all matrices and kernels
// together (Han et al., arXiv 1506.02626). Vectors, such as biases, stay. It needs no data.
type Prune struct {
	Share float64 // of the values of matrices and kernels, from 0 to below 1
}

// Name implements [Removal].
func (r Prune) Name() string { return join("pruning", fmt.Sprintf("share %g", r.Share)) }

// Apply implements [Removal].
func (r Prune) Apply(ctx context.Context, _ *engine.Engine, m *nets.Model, _ fit.Data, o fit.Options) (*nets.Model, error) {
	return attempt(ctx, r, m, o, func(c *nets.Model, _ fit.Options) error { return prune(c, r.Share) })
}

// prune zeroes exactly the nearest whole number to the share. Of equal values the first go first.
func prune(m *nets.Model, share float64) error {
	if err := checkShare(share); err != nil {
		return err
	}
	if err := checkMatrices(m); err != nil {
		return err
	}
	var sizes []float32
	for _, w := range m.Weights() {
		if w.Shape().Rank() < 2 {
			continue
		}
		value, err := w.Value()
		if err != nil {
			return err
		}
		values, err := tensors.CopyFlatData[float32](value)
		if err != nil {
			return errors.WithMessagef(err, "weight %s", w.Path())
		}
		for _, v := range values {
			sizes = append(sizes, float32(math.Abs(float64(v))))
		}
	}
	left := int(math.Round(share * float64(len(sizes))))
	if left == 0 {
		return nil
	}
	slices.Sort(sizes)
	limit := sizes[left-1]
	below, _ := slices.BinarySearch(sizes, limit)
	equal := left - below // of the values that are just as large
	for _, w := range m.Weights() {
		if w.Shape().Rank() < 2 {
			continue
		}
		err := edit(w, func(values []float32) {
			for i, v := range values {
				switch size := float32(math.Abs(float64(v))); {
				case size < limit:
					values[i] = 0
				case size == limit && equal > 0:
					values[i] = 0
					equal--
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// PruneFineTune prunes as [Prune] does, and then fine-tunes what is left; zeros stay zeros.
type PruneFineTune struct {
	Training
	Share float64 // of the values of matrices and kernels, from 0 to below 1
}

// Name implements [Removal].
func (r PruneFineTune) Name() string {
	return join("pruning and fine-tuning", fmt.Sprintf("share %g", r.Share), r.text(10))
}

// Apply implements [Removal].
func (r PruneFineTune) Apply(ctx context.Context, e *engine.Engine, m *nets.Model, data fit.Data, o fit.Options) (*nets.Model, error) {
	return attempt(ctx, r, m, o, func(c *nets.Model, o fit.Options) error {
		if err := prune(c, r.Share); err != nil {
			return err
		}
		return r.train(ctx, e, c, data, sparse(fit.CrossEntropy()), 10, o)
	})
}

// sparse keeps zeros of matrices and kernels at zero: they have no gradient.
func sparse(loss fit.Loss) fit.Loss {
	return fit.Loss{
		Name: loss.Name + ", zeros stay",
		Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) (value *Node) {
			var kept []*Node
			for _, w := range m.Weights() {
				x := scope.Store().GetVariable(w.Path()).NodeValue(images.Graph())
				if x.Rank() > 1 {
					x = Mul(x, StopGradient(ConvertDType(NotEqual(x, ZerosLike(x)), x.DType())))
				}
				kept = append(kept, x)
			}
			robust.WithWeights(m, scope, kept, func() { value = loss.Build(scope, m, images, labels) })
			return value
		},
	}
}

// FinePrune is fine-pruning (Liu, Dolan-Gavitt and Garg, RAID 2018, arXiv 1805.12185): the units that are least active on
// clean data are taken out, by zeroing what the next layer makes of them, and the rest is fine-tuned. Units are what a dense
// layer at the network's end reads: the channels of the last convolution, as in the paper, or the neurons of a hidden layer.
type FinePrune struct {
	Training
	Share float64 // of the units, from 0 to below 1
	// Layer is the dense layer, counted from 1, that reads the units; zero: the first, or the last of a network that is
	// nothing but dense layers.
	Layer int
}

// Name implements [Removal].
func (r FinePrune) Name() string {
	settings := []string{fmt.Sprintf("share %g", r.Share)}
	if r.Layer != 0 {
		settings = append(settings, fmt.Sprintf("before dense layer %d", r.Layer))
	}
	return join("fine-pruning", append(settings, r.text(10))...)
}

// Apply implements [Removal].
func (r FinePrune) Apply(ctx context.Context, e *engine.Engine, m *nets.Model, data fit.Data, o fit.Options) (*nets.Model, error) {
	return attempt(ctx, r, m, o, func(c *nets.Model, o fit.Options) error {
		if err := checkShare(r.Share); err != nil {
			return err
		}
		u, err := unitsOf(e, c, r.Layer)
		if err != nil {
			return err
		}
		if err := u.silence(ctx, e, c, data, r.Share); err != nil {
			return err
		}
		return r.train(ctx, e, c, data, sparse(fit.CrossEntropy()), 10, o)
	})
}
