package representation

import (
	"context"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

const (
	// flatSlope is how small the largest slope of the mean loss is at its minimum.
	flatSlope = 1e-8
	// newtons and conjugates limit the steps, and the directions that each is made of.
	newtons, conjugates = 200, 500
)

// regression minimizes the mean cross-entropy of a linear classifier with a penalty, by Newton's method with conjugate gradients
// (Nocedal and Wright, Numerical Optimization, algorithm 7.1): the engine multiplies, the host does the rest. Weights are
// [values+1][classes], the last row of which are biases.
type regression struct {
	value, curve *Exec
	inputs       []any // features with a column of ones, labels, and the penalties of rows of weights
	dims         []int // of the weights
}

func newRegression(e *engine.Engine, x []float64, labels []int32, size, classes int, l2 float64) (*regression, error) {
	n := len(labels)
	rows := make([]float64, 0, n*(size+1))
	for i := range n {
		rows = append(append(rows, x[i*size:(i+1)*size]...), 1)
	}
	penalties := make([]float64, size+1)
	for j := range size {
		penalties[j] = l2 / float64(n)
	}
	r := &regression{dims: []int{size + 1, classes}, inputs: []any{tensors.FromFlatDataAndDimensions(rows, n, size+1),
		tensors.FromFlatDataAndDimensions(labels, n), tensors.FromFlatDataAndDimensions(penalties, size+1, 1)}}
	var err error
	if r.value, err = NewExec(e.Backend(), valueGraph); err != nil {
		return nil, err
	}
	r.curve, err = NewExec(e.Backend(), curveGraph)
	return r, err
}

func (r *regression) close() {
	r.value.Finalize()
	r.curve.Finalize()
}

// valueGraph builds the loss, its gradient and the diagonal of its second derivatives.
func valueGraph(x, labels, penalties, weights *Node) []*Node {
	logits := MatMul(x, weights)
	loss := Add(ReduceAllMean(nets.CrossEntropy(logits, labels)), MulScalar(ReduceAllSum(Mul(penalties, Square(weights))), 0.5))
	p := Softmax(logits, -1)
	spread := DivScalar(Einsum("nv,nc->vc", Square(x), Mul(p, OneMinus(p))), float64(x.Shape().Dimensions[0]))
	return []*Node{loss, Gradient(loss, weights)[0], Add(spread, penalties)}
}

// curveGraph builds the product of the second derivatives with a direction.
func curveGraph(x, _, penalties, weights, direction *Node) *Node {
	p, along := Softmax(MatMul(x, weights), -1), MatMul(x, direction)
	moved := Mul(p, Sub(along, ReduceAndKeep(Mul(p, along), ReduceSum, -1)))
	return Add(DivScalar(Einsum("nv,nc->vc", x, moved), float64(x.Shape().Dimensions[0])), Mul(penalties, direction))
}

// call runs a graph on the inputs and arrays of the weights' shape, and returns what it puts out.
func (r *regression) call(exec *Exec, arrays ...[]float64) (out [][]float64, err error) {
	inputs := r.inputs
	for _, a := range arrays {
		inputs = append(inputs[:len(inputs):len(inputs)], tensors.FromFlatDataAndDimensions(append([]float64{}, a...), r.dims...))
	}
	found, err := exec.Call(inputs...)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		values, err := tensors.CopyFlatData[float64](f)
		if err != nil {
			return nil, err
		}
		out = append(out, values)
	}
	return out, nil
}

func (r *regression) minimize(ctx context.Context) ([]float64, error) {
	at := make([]float64, r.dims[0]*r.dims[1])
	now, err := r.call(r.value, at)
	if err != nil {
		return nil, err
	}
	for range newtons {
		slope := floats.Norm(now[1], math.Inf(1))
		if slope <= flatSlope {
			return at, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		step, err := r.newton(at, now[1], now[2])
		if err != nil {
			return nil, err
		}
		// Halved until the loss falls by a part of what the slope promises, but for rounding.
		descent, moved := floats.Dot(now[1], step), make([]float64, len(at))
		var next [][]float64
		for length := 1.; ; length /= 2 {
			if !(length > 1e-9) {
				return nil, errors.Errorf("no descent from a slope of %.2g, %.2g wanted: scale the features, or raise L2", slope, flatSlope)
			}
			floats.AddScaledTo(moved, at, length, step)
			if next, err = r.call(r.value, moved); err != nil {
				return nil, err
			}
			if next[0][0] <= now[0][0]+1e-4*length*descent+1e-14*math.Abs(now[0][0]) {
				break
			}
		}
		at, now = moved, next
	}
	return nil, errors.Errorf("not converged after %d steps: scale the features, or raise L2", newtons)
}

// newton solves for the step at which the loss, were it a parabola, is minimal: nearly, the nearer the smaller the slope is. The
// diagonal of the second derivatives takes out of it how features are scaled.
func (r *regression) newton(at, gradient, diagonal []float64) ([]float64, error) {
	size := len(at)
	step, rest, scaled := make([]float64, size), make([]float64, size), make([]float64, size)
	floats.ScaleTo(rest, -1, gradient)
	length := floats.Norm(rest, 2)
	enough := min(0.1, math.Sqrt(length)) * length
	scale := func() float64 {
		for i, v := range rest {
			scaled[i] = v / max(diagonal[i], 1e-300)
		}
		return floats.Dot(rest, scaled)
	}
	power := scale()
	direction := append([]float64{}, scaled...)
	for range conjugates {
		out, err := r.call(r.curve, at, direction)
		if err != nil {
			return nil, err
		}
		curved := floats.Dot(direction, out[0])
		if !(curved > 0) { // only rounding is left in this direction
			break
		}
		floats.AddScaled(step, power/curved, direction)
		floats.AddScaled(rest, -power/curved, out[0])
		if floats.Norm(rest, 2) <= enough {
			break
		}
		before := power
		power = scale()
		floats.Scale(power/before, direction)
		floats.Add(direction, scaled)
	}
	return step, nil
}
