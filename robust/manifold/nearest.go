package manifold

import (
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"

	"github.com/trustbook/trustbook/engine"
)

// batch is how many points a product looks for the nearest of.
const batch = 128

// neighborhood finds nearest training points.
type neighborhood struct {
	who    string // in errors
	train  points // less center
	center []float64
	exec   *Exec
	device [2]*tensors.Tensor // train, and the squares of its lengths
}

// newNeighborhood takes the training set's mean off: distances stay, and the product of what is far from 0 would lose them.
func newNeighborhood(e *engine.Engine, who string, train *tensors.Tensor) (*neighborhood, error) {
	if e == nil {
		return nil, errors.Errorf("%s: no engine: want one from engine.Open", who)
	}
	p, err := read(who, "training points", train)
	if err != nil {
		return nil, err
	}
	h := &neighborhood{who: who, train: p, center: p.mean(p.all())}
	h.move(p)
	squares := make([]float64, p.n)
	for i := range squares {
		squares[i] = floats.Dot(p.row(i), p.row(i))
	}
	h.device[0] = tensors.FromFlatDataAndDimensions(p.values, p.n, p.size)
	h.device[1] = tensors.FromFlatDataAndDimensions(squares, 1, p.n)
	h.exec, err = NewExec(e.Backend(), func(train, squares, x *Node) *Node {
		return Sub(squares, MulScalar(Einsum("xv,tv->xt", x, train), 2)) // the distance's square, less that of x
	})
	return h, errors.WithMessage(err, who)
}

// move takes the center off.
func (h *neighborhood) move(p points) {
	for i := range p.n {
		for j, row := 0, p.row(i); j < len(row); j++ {
			row[j] -= h.center[j]
		}
	}
}

// read takes points of the training set's size, less the center.
func (h *neighborhood) read(what string, x *tensors.Tensor) (points, error) {
	p, err := read(h.who, what, x)
	if err != nil {
		return points{}, err
	}
	if p.size != h.train.size {
		return points{}, errors.Errorf("%s: %s have %d values, training points have %d", h.who, what, p.size, h.train.size)
	}
	h.move(p)
	return p, nil
}

// nearest returns, for each point, the rows of the k nearest training points, in order.
func (h *neighborhood) nearest(x points, k int) ([][]int, error) {
	found := make([][]int, x.n)
	for from := 0; from < x.n; from += batch {
		to := min(from+batch, x.n)
		padded := make([]float64, batch*x.size)
		copy(padded, x.values[from*x.size:to*x.size])
		input := tensors.FromFlatDataAndDimensions(padded, batch, x.size)
		out, err := h.exec.Call(h.device[0], h.device[1], input)
		input.FinalizeAll()
		if err != nil {
			return nil, errors.WithMessage(err, h.who)
		}
		err = tensors.ConstFlatData(out[0], func(far []float64) {
			each(to-from, func(i int) { found[from+i] = smallest(far[i*h.train.n:(i+1)*h.train.n], k) })
		})
		out[0].FinalizeAll()
		if err != nil {
			return nil, errors.WithMessage(err, h.who)
		}
	}
	return found, nil
}

// smallest returns where the k smallest values stand, in order; of equal ones, the first.
func smallest(values []float64, k int) []int {
	found := make([]int, 0, k+1)
	for i, v := range values {
		if len(found) == k && v >= values[found[k-1]] {
			continue
		}
		at, _ := slices.BinarySearchFunc(found, v, func(j int, v float64) int {
			if values[j] <= v {
				return -1
			}
			return 1
		})
		if found = slices.Insert(found, at, i); len(found) > k {
			found = found[:k]
		}
	}
	return found
}
