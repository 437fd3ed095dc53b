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
	return near.means(x, k)
}

// Neighbors returns, for each point of x [n, ...], the rows of its k nearest training points [m, ...] by their l2 distance, nearest
// first; of equally near ones those that come first.
func Neighbors(e *engine.Engine, train, x *tensors.Tensor, k int) ([][]int, error) {
	near, err := newNeighborhood(e, "knn", train)
	if err != nil {
		return nil, err
	}
	_, found, err := near.find(x, k)
	return found, err
}

// Nearest is [KNN] with the training points of the surface, which are prepared already.
func (s *Surface) Nearest(x *tensors.Tensor, k int) ([]float64, error) { return s.near.means(x, k) }

// means are the mean distances of points to their k nearest training points.
func (h *neighborhood) means(x *tensors.Tensor, k int) ([]float64, error) {
	p, found, err := h.find(x, k)
	if err != nil {
		return nil, err
	}
	out := make([]float64, p.n)
	each(p.n, func(i int) {
		for _, r := range found[i] {
			out[i] += floats.Distance(p.row(i), h.train.row(r), 2)
		}
		out[i] /= float64(k)
	})
	return out, nil
}

// find reads points, and finds the rows of their k nearest training points.
func (h *neighborhood) find(x *tensors.Tensor, k int) (points, [][]int, error) {
	if k < 1 || k > h.train.n {
		return points{}, nil, errors.Errorf("%s: k=%d of %d training points: want 1 to their number", h.who, k, h.train.n)
	}
	p, err := h.read("points", x)
	if err != nil {
		return points{}, nil, err
	}
	found, err := h.nearest(p, k)
	return p, found, err
}
