package watermark

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Method is how the regularizer's gradient is computed.
type Method string

const (
	// Surrogate takes the slope of the cross-entropy between two inputs, which costs two passes over the images of the
	// target and needs first derivatives alone: any network will do. Where a network has kinks, as ReLU makes, it also sees
	// those that lie between the two inputs, of which derivatives know nothing.
	Surrogate Method = "surrogate"
	// DoubleBackprop differentiates the gradient. Every operation of the network must have second derivatives, as those of
	// dense layers and of nets.CNNConfig.Strided have; many ONNX operators have none.
	DoubleBackprop Method = "double backpropagation"
)

// ParseMethod reads a name; "" is Surrogate.
func ParseMethod(name string) (Method, error) {
	switch m := Method(name); m {
	case "":
		return Surrogate, nil
	case Surrogate, DoubleBackprop:
		return m, nil
	}
	return "", errors.Errorf("method %q: want %q or %q", name, Surrogate, DoubleBackprop)
}

// defaultStep is the distance of the surrogate's inputs. A tenth costs accuracy.
const defaultStep = 0.01

// checkStep fills in the default.
func checkStep(step float64) (float64, error) {
	if step == 0 {
		step = defaultStep
	}
	if !(step > 0) || math.IsInf(step, 0) {
		return 0, errors.Errorf("Step = %g: must be finite and > 0", step)
	}
	return step, nil
}

// marker is a key in a graph: matrix [bits, carriers], carriers int32 [carriers], signature [bits].
type marker struct {
	matrix, carriers, signature *Node
	target                      int
	method                      Method
	step                        float64
}

// tensorsOf are the matrix, carriers and signature for a graph in float32.
func (k *Key) tensorsOf() []*tensors.Tensor {
	bits, carriers := len(k.Matrix), len(k.Carriers)
	matrix, at, signature := make([]float32, 0, bits*carriers), make([]int32, carriers), make([]float32, bits)
	for j, row := range k.Matrix {
		for _, v := range row {
			matrix = append(matrix, float32(v))
		}
		if k.Signature[j] {
			signature[j] = 1
		}
	}
	for i, c := range k.Carriers {
		at[i] = int32(c)
	}
	return []*tensors.Tensor{tensors.FromFlatDataAndDimensions(matrix, bits, carriers), tensors.FromFlatDataAndDimensions(at, carriers),
		tensors.FromFlatDataAndDimensions(signature, bits)}
}

// marked holds the key in the graph as constants.
func (k *Key) marked(g *Graph, dtype dtypes.DType, method Method, step float64) marker {
	t := k.tensorsOf()
	matrix, signature := Const(g, k.Matrix), ConvertDType(ConstTensor(g, t[2]), dtype)
	return marker{ConvertDType(matrix, dtype), ConstTensor(g, t[1]), signature, k.Target, method, step}
}

// lossOf builds the cross-entropy of class target, weighted: the images [n, ...] by the weights [n].
func lossOf(scope *model.Scope, m *nets.Model, x, weights *Node, target int) *Node {
	labels := BroadcastToDims(Const(x.Graph(), int32(target)), x.Shape().Dimensions[0])
	return ReduceAllSum(Mul(nets.CrossEntropy(m.Logits(scope, x), labels), ConvertDType(weights, x.DType())))
}

// inputGradient builds v [inputs]: the weighted sum over images of the gradient of the cross-entropy of class target with
// respect to the input.
func inputGradient(scope *model.Scope, m *nets.Model, x, weights *Node, target int) *Node {
	v := Gradient(lossOf(scope, m, x, weights, target), x)[0]
	return ReduceSum(Reshape(v, x.Shape().Dimensions[0], -1), 0)
}

// regularizer builds R, the mean binary cross-entropy of the projections with the signature, a scalar. Its value is exact;
// its gradient is that of the method:
//
//	double backpropagation  u·v(θ)
//	surrogate               ‖u‖ (CE(x + h u/‖u‖) - CE(x - h u/‖u‖)) / 2h
//
// with u = Kᵀ(σ(y) - w)/bits on the carriers, held constant, which makes both the gradient of R but for O(h²). The network is
// in evaluation mode throughout: marks are read in it, and both inputs must meet the same masks and statistics.
func (k marker) regularizer(scope *model.Scope, m *nets.Model, x, weights *Node) (r *Node) {
	g, bits := x.Graph(), k.matrix.Shape().Dimensions[0]
	nets.Evaluating(scope, g, func() {
		v := inputGradient(scope, m, x, weights, k.target)
		at := InsertAxes(k.carriers, -1)
		y := StopGradient(Einsum("bc,c->b", k.matrix, Gather(v, at)))
		value := ReduceAllMean(Sub(softplus(y), Mul(k.signature, y)))
		pull := DivScalar(Sub(Sigmoid(y), k.signature), float64(bits))
		u := Scatter(at, Einsum("bc,b->c", k.matrix, pull), shapes.Make(x.DType(), v.Shape().Dimensions[0]), false, true)
		u = StopGradient(u)
		var slope *Node
		if k.method == DoubleBackprop {
			slope = ReduceAllSum(Mul(u, v))
		} else {
			length := MaxScalar(Sqrt(ReduceAllSum(Square(u))), 1e-30)
			move := Reshape(MulScalar(Div(u, length), k.step), append([]int{1}, x.Shape().Dimensions[1:]...)...)
			both := Concatenate([]*Node{Add(x, move), Sub(x, move)}, 0)
			signed := Concatenate([]*Node{weights, Neg(weights)}, 0)
			slope = Mul(length, DivScalar(lossOf(scope, m, both, signed, k.target), 2*k.step))
		}
		r = Add(StopGradient(Sub(value, slope)), slope)
	})
	return r
}

// softplus is ln(1 + exp(y)), whatever the size of y.
func softplus(y *Node) *Node { return Add(MaxScalar(y, 0), Log1P(Exp(Neg(Abs(y))))) }

// Loss is the cross-entropy plus lambda times the regularizer of a key: a loss for fit.TrainOrLoad, which may also be part of
// another. The gradient that it reads is that of the batch's images of the target; a batch without any is not regularized.
// Batches with few of them mark slowly: an [Embedder] sees to it that each has enough. With lambda 0 it is the cross-entropy
// itself. Step is that of the surrogate; zero: 0.01.
func Loss(k *Key, lambda float64, method Method, step float64) (fit.Loss, error) {
	if err := k.check(); err != nil {
		return fit.Loss{}, errors.WithMessage(err, "key")
	}
	method, err := ParseMethod(string(method))
	if err != nil {
		return fit.Loss{}, errors.WithMessage(err, "watermark")
	}
	if step, err = checkStep(step); err != nil {
		return fit.Loss{}, errors.WithMessage(err, "watermark")
	}
	plain := fit.CrossEntropy()
	switch {
	case !(lambda >= 0) || math.IsInf(lambda, 0):
		return fit.Loss{}, errors.Errorf("watermark: lambda = %g: must be finite and >= 0", lambda)
	case lambda == 0:
		return plain, nil
	}
	name := fmt.Sprintf("%s + %g mark %s of class %d by %s, step %g", plain.Name, lambda, k.fingerprint(), k.Target, method, step)
	return fit.Loss{Name: name, Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
		g := images.Graph()
		is := ConvertDType(Equal(labels, Const(g, int32(k.Target))), images.DType())
		count := ReduceAllSum(is)
		r := k.marked(g, images.DType(), method, step).regularizer(scope, m, images, Div(is, MaxScalar(count, 1)))
		present := MinScalar(count, 1)
		return Add(plain.Build(scope, m, images, labels), Mul(MulScalar(present, lambda), r))
	}}, nil
}
