package vit

import (
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// ridge is the penalty of the read-out, in units of the mean squared length of the features.
const ridge = 1e-3

// readout tells how much of the targets can be read off the features linearly: R² = 1 - SSE/SST of a ridge regression
// that is fitted on the first half of the rows and tested on the second; 1 if all, 0 or less if nothing. features
// [n, p], targets [n, q].
//
// The dual form is solved, since there are fewer rows than features: with centered features F, K = FFᵀ and λ = ridge·tr(K)/n,
// predictions are K* (K + λI)⁻¹ (Y - mean).
func readout(features, targets *mat.Dense) (float64, error) {
	n, p := features.Dims()
	_, q := targets.Dims()
	half := n / 2
	fit, test := mat.DenseCopyOf(features.Slice(0, half, 0, p)), mat.DenseCopyOf(features.Slice(half, n, 0, p))
	y, want := mat.DenseCopyOf(targets.Slice(0, half, 0, q)), mat.DenseCopyOf(targets.Slice(half, n, 0, q))
	center(fit, test)
	center(y, want)

	var k, kTest, alpha, predicted mat.Dense
	k.Mul(fit, fit.T())
	kTest.Mul(test, fit.T())
	penalty := ridge * mat.Trace(&k) / float64(half)
	if penalty == 0 { // all features are constant: nothing can be read off them
		return 0, nil
	}
	system := mat.NewSymDense(half, nil)
	for i := range half {
		for j := i; j < half; j++ {
			system.SetSym(i, j, k.At(i, j))
		}
		system.SetSym(i, i, k.At(i, i)+penalty)
	}
	var cholesky mat.Cholesky
	if !cholesky.Factorize(system) {
		return 0, errors.New("vit: the read-out's system is not positive definite: the features are not finite")
	}
	if err := cholesky.SolveTo(&alpha, y); err != nil {
		return 0, errors.WithMessage(err, "vit: read-out")
	}
	predicted.Mul(&kTest, &alpha)
	predicted.Sub(want, &predicted)
	total := mat.Norm(want, 2)
	if total == 0 {
		return 0, errors.New("vit: the read-out has nothing to predict: its targets are constant")
	}
	left := mat.Norm(&predicted, 2)
	return 1 - left*left/(total*total), nil
}

// center takes the mean of a's columns from the columns of a and b.
func center(a, b *mat.Dense) {
	rows, columns := a.Dims()
	column := make([]float64, rows)
	for j := range columns {
		mean := stat.Mean(mat.Col(column, j, a), nil)
		for _, m := range []*mat.Dense{a, b} {
			r, _ := m.Dims()
			for i := range r {
				m.Set(i, j, m.At(i, j)-mean)
			}
		}
	}
}
