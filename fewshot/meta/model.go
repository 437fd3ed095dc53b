package meta

import (
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/robust"
)

// Model is a network as a pure function of its parameters, which is what meta-learning needs: the same function is
// called with the meta-parameters, with those of each task after each step, and differentiated through all of them.
//
// Every parameter and input has a leading axis of tasks, each task with parameters of its own. To be trained with
// second-order gradients, Forward must be built of operations whose gradients can be differentiated: not of graph.Convolve
// or MaxPool as they are.
type Model interface {
	// Name tells the architecture with every setting that matters, for cache keys and tables.
	Name() string
	// InputShape is the shape of one example.
	InputShape() []int
	// Bounds is the range of values that an example may hold, for attacks.
	Bounds() robust.Box
	// Outputs is the number of classes, or of values that are regressed.
	Outputs() int
	// Init draws parameters, float32, without the axis of tasks. The same seed gives the same ones on every machine.
	Init(seed int64) []*tensors.Tensor
	// Head is the index of the first parameter of the last layer, which ANIL adapts alone.
	Head() int
	// Forward builds the features [tasks, n, features] that go into the last layer, and the outputs [tasks, n, Outputs],
	// from parameters [tasks, ...] and inputs [tasks, n, InputShape...]. Panics on error.
	Forward(parameters []*Node, x *Node) (features, outputs *Node)
}

// checkBox reports bounds that hold nothing between them.
func checkBox(b robust.Box) error {
	if !(b.Lower < b.Upper) || math.IsInf(b.Upper-b.Lower, 1) {
		return errors.Errorf("meta: examples in [%g, %g]: want finite bounds, the lower first", b.Lower, b.Upper)
	}
	return nil
}

// normal draws a tensor of normal values with the given standard deviation.
func normal(rng *rand.Rand, deviation float64, dims ...int) *tensors.Tensor {
	values := make([]float32, product(dims))
	for i := range values {
		values[i] = float32(deviation * rng.NormFloat64())
	}
	return tensors.FromFlatDataAndDimensions(values, dims...)
}

// constant is a tensor of one value.
func constant(value float32, dims ...int) *tensors.Tensor {
	values := make([]float32, product(dims))
	for i := range values {
		values[i] = value
	}
	return tensors.FromFlatDataAndDimensions(values, dims...)
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// initStream separates the random numbers of initial parameters from others of the same seed.
const initStream = 0x696e6974 // "init"

// he is the deviation of He, Zhang, Ren and Sun (arXiv 1502.01852) for so many inputs.
func he(inputs int) float64 { return math.Sqrt(2 / float64(inputs)) }

// dense builds x·w + b for each task: x [tasks, n, in], w [tasks, in, out], b [tasks, out].
func dense(x, w, b *Node) *Node {
	return Add(taskDot(x, w), InsertAxes(b, 1))
}

// taskDot multiplies matrices of each task. A single task is a plain product, which XLA runs faster than a batch of one.
func taskDot(x, w *Node) *Node {
	if x.Shape().Dimensions[0] != 1 {
		return Einsum("tni,tio->tno", x, w)
	}
	d := x.Shape().Dimensions
	out := Einsum("ni,io->no", Reshape(x, d[1], d[2]), Reshape(w, w.Shape().Dimensions[1:]...))
	return InsertAxes(out, 0)
}

// checkInput panics where x does not hold examples of the model.
func checkInput(m Model, x *Node) {
	d, want := x.Shape().Dimensions, m.InputShape()
	if len(d) != 2+len(want) {
		exceptions.Panicf("meta: %s got inputs of shape %v: want [tasks, n, %v]", m.Name(), d, want)
	}
	for i, w := range want {
		if d[2+i] != w {
			exceptions.Panicf("meta: %s expects examples of shape %v, these have %v", m.Name(), want, d[2:])
		}
	}
}
