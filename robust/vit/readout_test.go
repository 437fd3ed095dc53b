package vit

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
)

func normal(rng *rand.Rand, rows, columns int) *mat.Dense {
	m := mat.NewDense(rows, columns, nil)
	for i := range rows {
		for j := range columns {
			m.Set(i, j, rng.NormFloat64())
		}
	}
	return m
}

// A linear function is read off almost wholly, half of a function by half, and nothing off noise or constants.
func TestReadout(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	x := normal(rng, 400, 20)
	var y mat.Dense
	y.Mul(x, normal(rng, 20, 6))
	r2, err := readout(x, &y)
	require.NoError(t, err)
	assert.Greater(t, r2, 0.99)

	var half mat.Dense // ten of the twenty inputs: half of the variance
	half.CloneFrom(x.Slice(0, 400, 0, 10))
	r2, err = readout(&half, x)
	require.NoError(t, err)
	assert.InDelta(t, 0.5, r2, 0.05)

	r2, err = readout(normal(rng, 400, 20), &y)
	require.NoError(t, err)
	assert.Less(t, r2, 0.05)

	r2, err = readout(mat.NewDense(400, 3, nil), &y)
	require.NoError(t, err)
	assert.Zero(t, r2)
	_, err = readout(x, mat.NewDense(400, 3, nil))
	assert.ErrorContains(t, err, "nothing to predict")
}

// The dual form against the primal one, solved directly.
func TestReadoutIsRidge(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	x, y := normal(rng, 60, 5), normal(rng, 60, 3)
	got, err := readout(x, y)
	require.NoError(t, err)

	fit, test := mat.DenseCopyOf(x.Slice(0, 30, 0, 5)), mat.DenseCopyOf(x.Slice(30, 60, 0, 5))
	target, want := mat.DenseCopyOf(y.Slice(0, 30, 0, 3)), mat.DenseCopyOf(y.Slice(30, 60, 0, 3))
	center(fit, test)
	center(target, want)
	var gram, right, w, predicted mat.Dense
	gram.Mul(fit.T(), fit)
	penalty := ridge * mat.Trace(&gram) / 30
	for i := range 5 {
		gram.Set(i, i, gram.At(i, i)+penalty)
	}
	right.Mul(fit.T(), target)
	require.NoError(t, w.Solve(&gram, &right))
	predicted.Mul(test, &w)
	predicted.Sub(want, &predicted)
	left, total := mat.Norm(&predicted, 2), mat.Norm(want, 2)
	assert.InDelta(t, 1-left*left/(total*total), got, 1e-9)
}
