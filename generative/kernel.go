package generative

import (
	"math/rand/v2"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// Kernel is the unbiased squared maximum mean discrepancy of two sets of features [n][d] with the kernel (⟨x,y⟩/d + 1)³, as KID has
// it (Bińkowski et al., arXiv 1801.01401). Its expectation does not depend on the number of samples; it may be below 0. It needs
// two samples a set.
func Kernel(real, generated [][]float64) (float64, error) {
	x, y, err := matrices("KID", real, generated, 2)
	if err != nil {
		return 0, err
	}
	return kernel(x, y), nil
}

func kernel(x, y *mat.Dense) float64 {
	within := func(a *mat.Dense) float64 {
		n, _ := a.Dims()
		k := kernels(a, a)
		return (mat.Sum(k) - mat.Trace(k)) / (float64(n) * float64(n-1))
	}
	n, _ := x.Dims()
	m, _ := y.Dims()
	return within(x) + within(y) - 2*mat.Sum(kernels(x, y))/(float64(n)*float64(m))
}

func kernels(x, y *mat.Dense) *mat.Dense {
	_, d := x.Dims()
	var k mat.Dense
	k.Mul(x, y.T())
	k.Apply(func(_, _ int, v float64) float64 { v = v/float64(d) + 1; return v * v * v }, &k)
	return &k
}

// KernelSubsets is the mean of [Kernel] over random subsets of both sets, and the standard deviation of one subset's; size is cut to
// the smaller set.
func KernelSubsets(real, generated [][]float64, subsets, size int, seed int64) (mean, deviation float64, err error) {
	x, y, err := matrices("KID", real, generated, 2)
	if err != nil {
		return 0, 0, err
	}
	if size = min(size, len(real), len(generated)); size < 2 || subsets < 1 {
		return 0, 0, errors.Errorf("generative: %d subsets of %d samples: want at least 1 of 2", subsets, size)
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x7375627365747300)) // the stream "subsets"
	values := make([]float64, subsets)
	for i := range values {
		values[i] = kernel(subset(x, size, rng), subset(y, size, rng))
	}
	mean, deviation = stat.PopMeanStdDev(values, nil)
	return mean, deviation, nil
}
