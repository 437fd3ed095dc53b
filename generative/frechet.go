package generative

import (
	"math"
	"math/rand/v2"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// Frechet is the Fréchet distance (squared, as FID is told) of normal distributions with the means and the unbiased covariances of
// two sets of features [n][d]:
//
//	|m₁ - m₂|² + tr(S₁ + S₂ - 2(S₁S₂)^½)
//
// It needs two samples a set, and is biased upwards the more the fewer there are.
func Frechet(real, generated [][]float64) (float64, error) {
	x, y, err := matrices("FID", comparedSets, real, generated, 2)
	if err != nil {
		return 0, err
	}
	return frechet(x, y)
}

func frechet(x, y *mat.Dense) (float64, error) {
	xm, xc := moments(x)
	ym, yc := moments(y)
	n, d := x.Dims()
	m, _ := y.Dims()
	if !isFinite(distance2(xm, ym) + trace2(xc)*trace2(yc)) { // of what is factorized below, nothing is larger
		return 0, tooLarge("FID", x, y)
	}
	if n < d && m < d || n*m < d*d {
		return frechetOfFew(xm, xc, ym, yc)
	}
	return FrechetOf(xm, covariance(xc), ym, covariance(yc))
}

// frechetOfFew is the distance by a matrix of samples by samples, which is the smaller one where they are fewer than features: of
// A = X/√(n-1) and B = Y/√(m-1), the eigenvalues of S₁S₂ = AᵀA·BᵀB that are not 0 are those of (ABᵀ)(ABᵀ)ᵀ, and their roots the
// singular values of ABᵀ.
func frechetOfFew(xm []float64, xc *mat.Dense, ym []float64, yc *mat.Dense) (float64, error) {
	n, _ := xc.Dims()
	m, _ := yc.Dims()
	var product mat.Dense
	product.Mul(xc, yc.T())
	product.Scale(1/math.Sqrt(float64(n-1)*float64(m-1)), &product)
	var svd mat.SVD
	if !svd.Factorize(&product, mat.SVDNone) {
		return 0, errors.New("generative: the singular values of features did not converge")
	}
	sum := distance2(xm, ym) + trace2(xc)/float64(n-1) + trace2(yc)/float64(m-1)
	for _, v := range svd.Values(nil) {
		sum -= 2 * v
	}
	return sum, nil
}

// moments are the mean, and the rows without it.
func moments(x *mat.Dense) (mean []float64, without *mat.Dense) {
	n, d := x.Dims()
	mean = make([]float64, d)
	for i := range n {
		for j, v := range x.RawRowView(i) {
			mean[j] += v / float64(n)
		}
	}
	without = mat.DenseCopyOf(x)
	for i := range n {
		row := without.RawRowView(i)
		for j := range row {
			row[j] -= mean[j]
		}
	}
	return mean, without
}

// covariance is that of rows without their mean.
func covariance(x *mat.Dense) *mat.SymDense {
	n, d := x.Dims()
	s := mat.NewSymDense(d, nil)
	s.SymOuterK(1/float64(n-1), x.T())
	return s
}

func distance2(a, b []float64) (sum float64) {
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return sum
}

func trace2(x *mat.Dense) (sum float64) {
	for _, v := range squaredNorms(x) {
		sum += v
	}
	return sum
}

// FrechetOf is the distance of two normal distributions with these means and covariances, as [Frechet] has it. The trace of the
// root of S₁S₂ is the sum of the roots of the eigenvalues of S₁^½·S₂·S₁^½, which is symmetric: it stays real where covariances are
// singular. Means and covariances must be of one dimension, and finite.
func FrechetOf(m1 []float64, s1 *mat.SymDense, m2 []float64, s2 *mat.SymDense) (float64, error) {
	d := len(m1)
	if len(m2) != d || s1.SymmetricDim() != d || s2.SymmetricDim() != d {
		return 0, errors.Errorf("generative: means of %d and %d values, covariances of %d and %d: want one dimension", d, len(m2),
			s1.SymmetricDim(), s2.SymmetricDim())
	}
	if total := distance2(m1, m2) + mat.Norm(s1, 2)*mat.Norm(s2, 2); !isFinite(total) {
		return 0, errors.New("generative: means or covariances are not finite, or too large to be multiplied in float64: divide " +
			"the features of both sets by the same number")
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(s1, true) {
		return 0, errors.New("generative: the eigenvalues of a covariance did not converge")
	}
	var vectors, root mat.Dense
	eigen.VectorsTo(&vectors)
	root.CloneFrom(&vectors) // V·√Λ: with it from both sides, the eigenvalues are those of S₁^½·S₂·S₁^½
	for j, v := range eigen.Values(nil) {
		for i := range d {
			root.Set(i, j, root.At(i, j)*math.Sqrt(math.Max(0, v)))
		}
	}
	var half, product mat.Dense
	half.Mul(s2, &root)
	product.Mul(root.T(), &half)
	symmetric := mat.NewSymDense(d, nil)
	for i := range d {
		for j := i; j < d; j++ {
			symmetric.SetSym(i, j, (product.At(i, j)+product.At(j, i))/2)
		}
	}
	if !eigen.Factorize(symmetric, false) {
		return 0, errors.New("generative: the eigenvalues of covariances did not converge")
	}
	sum := distance2(m1, m2) + mat.Trace(s1) + mat.Trace(s2)
	for _, v := range eigen.Values(nil) {
		sum -= 2 * math.Sqrt(math.Max(0, v))
	}
	return sum, nil
}

// Extrapolated is a Fréchet distance for infinitely many samples.
type Extrapolated struct {
	Value float64 `json:"value"` // may be a little below 0
	Slope float64 `json:"slope"` // how much 1/n adds
	Sizes []int   `json:"sizes"` // numbers of samples a set
}

// FrechetInfinity takes the bias of few samples away (Chong and Forsyth, arXiv 1911.07023): the distance of random subsets, of ten
// sizes from a fifth of the samples to all, falls along a line in 1/n, which is read where 1/n is 0. Both sets are cut to the size
// of the smaller one, since both add bias. It needs 20 samples a set, and 5 a feature to be worth something: with fewer the distance
// does not follow a line, covariances of the smaller subsets are singular, and the value says more of the number of samples.
func FrechetInfinity(real, generated [][]float64, seed int64) (Extrapolated, error) {
	x, y, err := matrices("FID∞", comparedSets, real, generated, 20)
	if err != nil {
		return Extrapolated{}, err
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x696e66696e697479)) // the stream "infinity"
	n := min(len(real), len(generated))
	const sizes = 10
	e := Extrapolated{}
	var inverse, values []float64
	for i := range sizes {
		size := n/5 + (n-n/5)*i/(sizes-1)
		v, err := frechet(subset(x, size, rng), subset(y, size, rng))
		if err != nil {
			return Extrapolated{}, err
		}
		e.Sizes, inverse, values = append(e.Sizes, size), append(inverse, 1/float64(size)), append(values, v)
	}
	e.Value, e.Slope = stat.LinearRegression(inverse, values, nil, false)
	return e, nil
}

// subset are so many rows, drawn without replacement.
func subset(x *mat.Dense, size int, rng *rand.Rand) *mat.Dense {
	n, d := x.Dims()
	some := mat.NewDense(size, d, nil)
	for i, row := range rng.Perm(n)[:size] {
		some.SetRow(i, x.RawRowView(row))
	}
	return some
}
