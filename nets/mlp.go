package nets

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// MLPConfig describes a multilayer perceptron.
type MLPConfig struct {
	Input   []int // shape of one example; zero: 28, 28, 1
	Hidden  []int // widths of the hidden layers; none: a linear classifier
	Classes int   // zero: 10
	NoBias  bool  // leave the biases out
	// Dropout is the probability with which training leaves a hidden neuron out (Srivastava et al., JMLR 2014); those that
	// stay are scaled up, so that evaluation needs no change.
	Dropout float64
	// Activation lies between the layers; zero: ReLU.
	Activation Activation
	Lower      float64 // pixel bounds; both zero: 0 and 1
	Upper      float64
	Seed       int64 // of the initial weights
}

// NewMLP builds an MLP with He-normal weights and zero biases, the same on every backend.
func NewMLP(c MLPConfig) (*Model, error) {
	if len(c.Input) == 0 {
		c.Input = []int{28, 28, 1}
	}
	if c.Classes == 0 {
		c.Classes = 10
	}
	if c.Activation == ActNone {
		c.Activation = ActReLU
	}
	if !slices.Contains([]Activation{ActReLU, ActSigmoid, ActSoftplus, ActTanh}, c.Activation) {
		return nil, errors.Errorf("nets: MLP activation %q: want relu, sigmoid, softplus or tanh", string(c.Activation))
	}
	if !(c.Dropout >= 0 && c.Dropout < 1) {
		return nil, errors.Errorf("nets: MLP dropout %g: want a probability from 0 to below 1", c.Dropout)
	}
	if err := checkSizes("MLP", slices.Concat(c.Input, c.Hidden, []int{c.Classes})); err != nil {
		return nil, err
	}
	b, err := newBuilder(c.Input, c.Classes, c.Lower, c.Upper, c.Seed)
	if err != nil {
		return nil, err
	}
	width := product(c.Input)
	name := strconv.Itoa(width)
	for i, next := range append(slices.Clone(c.Hidden), c.Classes) {
		layer := DenseLayer{Weight: b.weight(fmt.Sprintf("dense_%d", i), width, next)}
		if i < len(c.Hidden) {
			layer.Activation = c.Activation
		}
		if !c.NoBias {
			layer.Bias = b.bias(fmt.Sprintf("dense_%d", i), next)
		}
		b.m.Dense = append(b.m.Dense, layer)
		width, name = next, name+"-"+strconv.Itoa(next)
	}
	if b.m.Name = "MLP " + name; c.Activation != ActReLU {
		b.m.Name += " " + string(c.Activation)
	}
	if b.m.dropout = c.Dropout; c.Dropout > 0 {
		b.m.Name += fmt.Sprintf(", dropout %g", c.Dropout)
	}
	b.m.Logits = chain(b.m.Stages())
	return b.m, b.err
}

// dropOut zeroes entries of x with a probability in training graphs, one draw for each entry of the mask's shape, and scales
// the rest up so that the mean stays.
func dropOut(scope *model.Scope, x *Node, mask shapes.Shape, probability float64) *Node {
	if probability == 0 || !scope.IsTraining(x.Graph()) {
		return x
	}
	kept := ConvertDType(GreaterOrEqual(scope.RandomUniform(x.Graph(), mask), Scalar(x.Graph(), x.DType(), probability)), x.DType())
	return Mul(x, MulScalar(kept, 1/(1-probability)))
}

// denseLayer builds x·W + b, x [batch, inputs].
func denseLayer(scope *model.Scope, l DenseLayer, x *Node) *Node {
	y := MatMul(x, node(scope, l.Weight, x))
	if l.Bias != "" {
		y = Add(y, InsertAxes(node(scope, l.Bias, x), 0))
	}
	return y
}

// ReLU is max(x, 0).
func ReLU(x *Node) *Node { return MaxScalar(x, 0) }

// node returns a variable's value in the graph of x.
func node(scope *model.Scope, path string, x *Node) *Node {
	return scope.Store().GetVariable(path).NodeValue(x.Graph())
}

// builder makes a model's weights on the host: the same numbers whatever the backend.
type builder struct {
	m   *Model
	rng *rand.Rand
	err error
}

func newBuilder(input []int, classes int, lower, upper float64, seed int64) (*builder, error) {
	m, err := NewModel(input, lower, upper)
	if err != nil {
		return nil, err
	}
	m.Classes = classes
	return &builder{rng: rand.New(rand.NewPCG(uint64(seed), 0x77656967687473)), m: m}, nil // the stream "weights"
}

// NewModel begins a network that is built elsewhere: with a store but without weights, name, graph and number of classes,
// for images [n, input...] with pixels from lower to upper; both zero: 0 and 1. An error says which bounds are none.
func NewModel(input []int, lower, upper float64) (*Model, error) {
	if lower == 0 && upper == 0 {
		upper = 1
	}
	if !(lower < upper) || math.IsInf(upper-lower, 0) {
		return nil, errors.Errorf("nets: pixel bounds [%g, %g]: the lower must be below the upper, both finite", lower, upper)
	}
	return &Model{Network: Network{Store: model.NewStore()}, InputShape: slices.Clone(input), Lower: lower, Upper: upper}, nil
}

// weight adds a He-normal variable whose last axis is the output: standard deviation sqrt(2 / fan-in).
func (b *builder) weight(scope string, shape ...int) string {
	fanIn := product(shape) / shape[len(shape)-1]
	return b.normal(scope, "weights", math.Sqrt(2/float64(fanIn)), shape...)
}

// normal adds a variable with normal values of mean 0.
func (b *builder) normal(scope, name string, deviation float64, shape ...int) string {
	values := make([]float32, product(shape))
	for i := range values {
		values[i] = float32(b.rng.NormFloat64() * deviation)
	}
	return b.add(scope, name, tensors.FromFlatDataAndDimensions(values, shape...))
}

// uniform adds a variable with values between ±1/√inputs, as PyTorch's layers begin.
func (b *builder) uniform(scope, name string, inputs int, shape ...int) string {
	bound, values := 1/math.Sqrt(float64(inputs)), make([]float32, product(shape))
	for i := range values {
		values[i] = float32(bound * (2*b.rng.Float64() - 1))
	}
	return b.add(scope, name, tensors.FromFlatDataAndDimensions(values, shape...))
}

func (b *builder) bias(scope string, size int) string {
	return b.vector(scope, "biases", make([]float32, size))
}

func (b *builder) vector(scope, name string, values []float32) string {
	return b.add(scope, name, tensors.FromFlatDataAndDimensions(values, len(values)))
}

// state adds a variable that training moves, but not by gradients.
func (b *builder) state(scope, name string, values []float32) string {
	v := b.create(scope, name, tensors.FromFlatDataAndDimensions(values, len(values)))
	if v == nil {
		return ""
	}
	v.SetTrainable(false)
	b.m.StatePaths = append(b.m.StatePaths, v.Path())
	return v.Path()
}

func (b *builder) add(scope, name string, value *tensors.Tensor) string {
	v := b.create(scope, name, value)
	if v == nil {
		return ""
	}
	b.m.WeightPaths = append(b.m.WeightPaths, v.Path())
	return v.Path()
}

func (b *builder) create(scope, name string, value *tensors.Tensor) *model.Variable {
	v, err := b.m.Store.RootScope().At("%s", scope).CreateVariable(name, value)
	if err != nil {
		b.err = errors.WithMessagef(err, "nets: variable %s/%s", scope, name)
		return nil
	}
	return v
}

func checkSizes(what string, sizes []int) error {
	for _, s := range sizes {
		if s < 1 {
			return errors.Errorf("nets: %s sizes %v: every size must be at least 1", what, sizes)
		}
	}
	return nil
}

func product(sizes []int) int {
	p := 1
	for _, s := range sizes {
		p *= s
	}
	return p
}
