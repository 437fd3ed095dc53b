package manifold

import (
	"cmp"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/trustbook/trustbook/engine"
)

// Tangent takes the data to be flat near each point: the mean of the nearest training points, and the directions in which
// those are spread most, are a plane there. Its definition is this replication's own.
type Tangent struct {
	Neighbors int // nearest training points that a plane is fitted to, of all classes, in l2; zero: 50
	Rank      int // dimensions of a plane; zero: 10
}

// Surface has a plane for each point. A training point counts among its own nearest.
type Surface struct {
	tangent Tangent
	near    *neighborhood
}

// Fit takes the training points [n, ...]. An error says what a plane cannot be fitted to.
func (t Tangent) Fit(e *engine.Engine, train *tensors.Tensor) (*Surface, error) {
	t = Tangent{cmp.Or(t.Neighbors, 50), cmp.Or(t.Rank, 10)}
	if t.Rank < 1 || t.Rank >= t.Neighbors {
		return nil, errors.Errorf("tangent: Rank = %d of Neighbors = %d: want at least 1, and fewer than neighbors", t.Rank, t.Neighbors)
	}
	near, err := newNeighborhood(e, "tangent", train)
	if err != nil {
		return nil, err
	}
	if t.Neighbors > near.train.n {
		return nil, errors.Errorf("tangent: K=%d exceeds %d training points: lower Neighbors, or give more", t.Neighbors, near.train.n)
	}
	if t.Rank >= near.train.size {
		return nil, errors.Errorf("tangent: Rank = %d for points of %d values: no direction is left off the plane, lower Rank",
			t.Rank, near.train.size)
	}
	return &Surface{t, near}, nil
}

// Distances returns the tangent residual of each point of x [n, ...]: its l2 distance from its plane,
//
//	‖(I − VᵀV)(x − μ)‖
//
// with the mean μ of its nearest training points and the Rank first right singular vectors V of what they differ from it by.
// Where those are spread in fewer directions, the plane has fewer.
func (s *Surface) Distances(x *tensors.Tensor) ([]float64, error) {
	p, err := s.near.read("points", x)
	if err != nil {
		return nil, err
	}
	planes, err := s.planes(p)
	if err != nil {
		return nil, err
	}
	out := make([]float64, p.n)
	for i := range out {
		off := make([]float64, p.size)
		floats.SubTo(off, p.row(i), planes[i].mean)
		out[i] = planes[i].residual(off)
	}
	return out, nil
}

// OffShares returns which share of the length of each difference δ = x − at stands off the plane of at: ‖(I − VᵀV)δ‖/‖δ‖,
// from 0 to 1. Where x is at, there is no share: NaN. Both are [n, ...].
func (s *Surface) OffShares(x, at *tensors.Tensor) ([]float64, error) {
	p, err := s.near.read("points", x)
	if err != nil {
		return nil, err
	}
	from, err := s.near.read("points to start from", at)
	if err != nil {
		return nil, err
	}
	if p.n != from.n {
		return nil, errors.Errorf("tangent: %d points and %d to start from: want one each", p.n, from.n)
	}
	planes, err := s.planes(from)
	if err != nil {
		return nil, err
	}
	out := make([]float64, p.n)
	for i := range out {
		moved := make([]float64, p.size)
		floats.SubTo(moved, p.row(i), from.row(i))
		length := blas64.Nrm2(vector(moved))
		out[i] = planes[i].residual(moved) / length // 0/0 is NaN
	}
	return out, nil
}

// plane is a piece of the surface.
type plane struct {
	mean  []float64
	basis [][]float64 // orthonormal
}

func (s *Surface) planes(x points) ([]plane, error) {
	found, err := s.near.nearest(x, s.tangent.Neighbors)
	if err != nil {
		return nil, err
	}
	planes, failed := make([]plane, x.n), make([]bool, x.n)
	each(x.n, func(i int) {
		var ok bool
		planes[i], ok = fitPlane(s.near.train, found[i], s.tangent.Rank)
		failed[i] = !ok
	})
	for i, f := range failed {
		if f {
			return nil, errors.Errorf("tangent: no plane fits the training points near point %d: eigenvalues did not converge, look at them", i)
		}
	}
	return planes, nil
}

// spread is the least singular value of a plane's directions, as a share of the first: below lies what images in float32
// are rounded by.
const spread = 1e-6

// fitPlane takes the left singular vectors from the products of the points with each other, which are few, and the right ones
// from those.
func fitPlane(train points, rows []int, rank int) (plane, bool) {
	p := plane{mean: train.mean(rows)}
	off := mat.NewDense(len(rows), train.size, nil)
	for i, r := range rows {
		floats.SubTo(off.RawRowView(i), train.row(r), p.mean)
	}
	var products mat.SymDense
	products.SymOuterK(1, off)
	var eigen mat.EigenSym
	if !eigen.Factorize(&products, true) {
		return p, false
	}
	var left mat.Dense
	eigen.VectorsTo(&left)
	least := 0.0
	for i := range rank {
		direction := make([]float64, train.size)
		column := len(rows) - 1 - i // eigenvalues rise
		blas64.Gemv(blas.Trans, 1, off.RawMatrix(), left.ColView(column).(*mat.VecDense).RawVector(), 0, vector(direction))
		// Rounding has left the later ones not quite orthogonal.
		for _, b := range p.basis {
			floats.AddScaled(direction, -floats.Dot(direction, b), b)
		}
		length := blas64.Nrm2(vector(direction))
		if i == 0 {
			least = spread * length
		}
		if length <= least {
			break
		}
		floats.Scale(1/length, direction)
		p.basis = append(p.basis, direction)
	}
	return p, true
}

// residual is the length of what stands off the plane; it changes off.
func (p plane) residual(off []float64) float64 {
	for _, b := range p.basis {
		floats.AddScaled(off, -floats.Dot(off, b), b)
	}
	return blas64.Nrm2(vector(off))
}

func vector(v []float64) blas64.Vector { return blas64.Vector{N: len(v), Data: v, Inc: 1} }
