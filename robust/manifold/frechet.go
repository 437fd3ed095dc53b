package manifold

import (
	"math"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Frechet returns the square of the Fréchet distance between the normal distributions that have means and covariances (with
// n − 1) of two sets of features [n, features], as the Fréchet inception distance has it (Heusel et al., arXiv 1706.08500):
//
//	‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁^½ Σ₂ Σ₁^½)^½)
//
// It is 0 for equal ones, up to rounding. Each set must have at least two samples a feature.
func Frechet(a, b *tensors.Tensor) (float64, error) {
	var sides [2]side
	for i, t := range []*tensors.Tensor{a, b} {
		p, err := read("frechet", [2]string{"features of the first set", "features of the second set"}[i], t)
		if err != nil {
			return 0, err
		}
		if p.n < 2*p.size {
			return 0, errors.Errorf("frechet: %d samples for %d features; covariance is singular: want at least %d", p.n, p.size, 2*p.size)
		}
		sides[i] = newSide(p)
	}
	first, second := sides[0], sides[1]
	if n, m := len(first.mean), len(second.mean); n != m {
		return 0, errors.Errorf("frechet: %d features in the first set, %d in the second: want the same", n, m)
	}
	// The eigenvalues of Σ₁^½ Σ₂ Σ₁^½ are those of Σ₁Σ₂ = R₁ᵀR₁R₂ᵀR₂, and so the squares of the singular values of R₁R₂ᵀ:
	// no root of a small eigenvalue is taken that rounding made.
	var product mat.Dense
	product.Mul(first.root, second.root.T())
	var svd mat.SVD
	if !svd.Factorize(&product, mat.SVDNone) {
		return 0, errors.New("frechet: the singular values of the covariances did not converge: look at the features")
	}
	means := floats.Distance(first.mean, second.mean, 2)
	return max(0, means*means+first.trace+second.trace-2*floats.Sum(svd.Values(nil))), nil
}

// side is what a set of features is reduced to.
type side struct {
	mean  []float64
	trace float64    // of the covariance
	root  *mat.Dense // R, where the covariance is RᵀR
}

func newSide(p points) side {
	s := side{mean: p.mean(p.all())}
	for i := range p.n {
		floats.Sub(p.row(i), s.mean)
	}
	floats.Scale(1/math.Sqrt(float64(p.n-1)), p.values)
	s.trace = floats.Dot(p.values, p.values)
	var qr mat.QR
	qr.Factorize(mat.NewDense(p.n, p.size, p.values))
	var r mat.Dense
	qr.RTo(&r)
	s.root = mat.DenseCopyOf(r.Slice(0, p.size, 0, p.size))
	return s
}
