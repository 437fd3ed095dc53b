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
	x, y, err := matrices("KID", comparedSets, real, generated, 2)
	if err != nil {
		return 0, err
	}
	return kernel(x, y)
}

func kernel(x, y *mat.Dense) (float64, error) {
	xx, yy, xy := kernels(x, x), kernels(y, y), kernels(x, y)
	n, _ := x.Dims()
	m, _ := y.Dims()
	v := (xx.all-xx.diagonal)/(float64(n)*float64(n-1)) + (yy.all-yy.diagonal)/(float64(m)*float64(m-1)) - 2*xy.all/(float64(n)*float64(m))
	if !isFinite(v) {
		return 0, tooLarge("KID", x, y)
	}
	return v, nil
}

// kernelSums are the sums of all kernels of two sets, and of those of rows of one number.
type kernelSums struct{ all, diagonal float64 }

func kernels(x, y *mat.Dense) (s kernelSums) {
	_, d := x.Dims()
	products(x, y, func(i int, row []float64) bool {
		for j, v := range row {
			v = v/float64(d) + 1
			v = v * v * v
			s.all += v // one by one: the bits of floats.Sum depend on where a row lies
			if j == i {
				s.diagonal += v
			}
		}
		return true
	})
	return s
}

// KernelSubsets is the mean of [Kernel] over random subsets of both sets, and the standard deviation of one subset's; size is cut to
// the smaller set.
func KernelSubsets(real, generated [][]float64, subsets, size int, seed int64) (mean, deviation float64, err error) {
	x, y, err := matrices("KID", comparedSets, real, generated, 2)
	if err != nil {
		return 0, 0, err
	}
	if size = min(size, len(real), len(generated)); size < 2 || subsets < 1 {
		return 0, 0, errors.Errorf("generative: %d subsets of %d samples: want at least 1 of 2", subsets, size)
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x7375627365747300)) // the stream "subsets"
	values := make([]float64, subsets)
	for i := range values {
		if values[i], err = kernel(subset(x, size, rng), subset(y, size, rng)); err != nil {
			return 0, 0, err
		}
	}
	if mean, deviation = stat.PopMeanStdDev(values, nil); !isFinite(mean) || !isFinite(deviation) {
		return 0, 0, tooLarge("KID", x, y)
	}
	return mean, deviation, nil
}
