package manifold

import (
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"

	"github.com/trustbook/trustbook/engine"
)

// KNN returns the mean l2 distance of each point of x [n, ...] to its k nearest training points [m, ...].
func KNN(e *engine.Engine, train, x *tensors.Tensor, k int) ([]float64, error) {
	near, err := newNeighborhood(e, "knn", train)
	if err != nil {
		return nil, err
	}
	if k < 1 || k > near.train.n {
		return nil, errors.Errorf("knn: k=%d of %d training points: want 1 to their number", k, near.train.n)
	}
	p, err := near.read("points", x)
	if err != nil {
		return nil, err
	}
	found, err := near.nearest(p, k)
	if err != nil {
		return nil, err
	}
	out := make([]float64, p.n)
	each(p.n, func(i int) {
		for _, r := range found[i] {
			out[i] += floats.Distance(p.row(i), near.train.row(r), 2)
		}
		out[i] /= float64(k)
	})
	return out, nil
}
