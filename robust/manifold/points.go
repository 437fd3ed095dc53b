package manifold

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
)

// points are the rows of a tensor.
type points struct {
	values  []float64
	n, size int
}

func (p points) row(i int) []float64 { return p.values[i*p.size : (i+1)*p.size] }

// largest is what a value may be, so that no product of some of them overflows.
const largest = 1e100

// read takes the rows of a tensor [n, ...]; who names the measure in errors, what the tensor.
func read(who, what string, t *tensors.Tensor) (points, error) {
	if t == nil {
		return points{}, errors.Errorf("%s: no %s: want float32 or float64 [n, ...]", who, what)
	}
	shape := t.Shape()
	if shape.Rank() < 2 || shape.DType != dtypes.Float32 && shape.DType != dtypes.Float64 {
		return points{}, errors.Errorf("%s: %s have shape %s: want float32 or float64 [n, ...]", who, what, shape)
	}
	if shape.Size() == 0 {
		return points{}, errors.Errorf("%s: %s are empty (%s): want at least one of at least one value", who, what, shape)
	}
	p := points{n: shape.Dimensions[0], size: shape.Size() / shape.Dimensions[0]}
	if shape.DType == dtypes.Float64 {
		var err error
		if p.values, err = tensors.CopyFlatData[float64](t); err != nil {
			return points{}, errors.WithMessage(err, who)
		}
	} else {
		p.values = make([]float64, shape.Size())
		err := tensors.ConstFlatData(t, func(flat []float32) {
			for i, v := range flat {
				p.values[i] = float64(v)
			}
		})
		if err != nil {
			return points{}, errors.WithMessage(err, who)
		}
	}
	for i, v := range p.values {
		if !(math.Abs(v) <= largest) {
			return points{}, errors.Errorf("%s: value %g at [%d,%d] of %s: want finite ones, up to ±%g", who, v, i/p.size, i%p.size, what, largest)
		}
	}
	return p, nil
}

// all are the numbers of the rows.
func (p points) all() []int {
	rows := make([]int, p.n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// mean is the mean of the given rows.
func (p points) mean(rows []int) []float64 {
	sum := make([]float64, p.size)
	for _, r := range rows {
		for j, v := range p.row(r) {
			sum[j] += v
		}
	}
	for j := range sum {
		sum[j] /= float64(len(rows))
	}
	return sum
}

// each calls work for 0 to n-1, on all processors.
func each(n int, work func(i int)) {
	var next atomic.Int64
	var done sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		done.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
	}
	done.Wait()
}
