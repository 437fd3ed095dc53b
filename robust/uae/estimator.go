package uae

import (
	"fmt"
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trustbook/trustbook/robust/information"
)

// estimator is the network T that estimates what two images share: to each of the pair a branch, to maps a 2x2 convolution to 16
// channels, then two dense layers; the sum of both branches through a ReLU; a linear layer without bias. Every image has weights of
// its own, with the batch as their first axis.
//
// Branches are linear, and products of matrices can be taken in any order: the dense layers are multiplied with each other first,
// which takes far less work than the 16 samples through the wide layer, and needs no values between. Pairs that do not belong
// together are the same outputs of the branches in another order, so that each branch runs once.
type estimator struct {
	samples       int // of an image
	height, width int // of maps; 0: rows
	values        int // of rows
	hidden, code  int
}

// The convolution of maps.
const (
	taps     = 4 // 2x2
	channels = 16
)

func (t estimator) maps() bool { return t.height > 0 }

// features are the inputs of the first dense layer.
func (t estimator) features() int {
	if t.maps() {
		return channels * (t.height - 1) * (t.width - 1)
	}
	return t.values
}

// name tells all that shapes the graph.
func (t estimator) name() string { return fmt.Sprintf("%+v", t) }

// weight is one of the estimator's: its shape for one image, and up to where Glorot's uniform distribution of its start goes.
type weight struct {
	shape []int
	limit float64 // 0: a bias, that starts at 0
}

// In the order of a branch, and where the layer behind both branches is.
const (
	kernel = iota // [taps, channels], of maps
	kernelBias
	first // [hidden, features]
	firstBias
	second // [hidden, code]
	secondBias
	branchWeights
	out = 2 * branchWeights // [code]
)

// weights are those of both branches and of what comes behind; a branch of rows has a kernel that nothing reads.
func (t estimator) weights() (all []weight) {
	glorot := func(in, out int) float64 { return math.Sqrt(6 / float64(in+out)) }
	for range 2 {
		all = append(all,
			weight{[]int{taps, channels}, glorot(taps, taps*channels)}, weight{[]int{channels}, 0},
			weight{[]int{t.hidden, t.features()}, glorot(t.features(), t.hidden)}, weight{[]int{t.hidden}, 0},
			weight{[]int{t.hidden, t.code}, glorot(t.hidden, t.code)}, weight{[]int{t.code}, 0})
	}
	return append(all, weight{[]int{t.code}, glorot(t.code, 1)})
}

// parameters counts the weights of one image.
func (t estimator) parameters() (n int) {
	for _, w := range t.weights() {
		n += product(w.shape)
	}
	return n
}

// start draws the weights of each of some images from its own stream.
func (t estimator) start(streams []*rand.Rand) []*tensors.Tensor {
	var flat [][]float32
	for _, w := range t.weights() {
		flat = append(flat, make([]float32, 0, len(streams)*product(w.shape)))
	}
	for _, rng := range streams {
		for i, w := range t.weights() {
			for range product(w.shape) {
				value := float32(0)
				if w.limit > 0 {
					value = float32(w.limit) * (2*rng.Float32() - 1)
				}
				flat[i] = append(flat[i], value)
			}
		}
	}
	var all []*tensors.Tensor
	for i, w := range t.weights() {
		all = append(all, tensors.FromFlatDataAndDimensions(flat[i], append([]int{len(streams)}, w.shape...)...))
	}
	return all
}

// collapsed is what a branch is as one linear function: the product of its dense layers, and what its biases come to.
type collapsed struct {
	kernel, kernelBias *Node
	matrix             *Node // [batch, code, features]
	shift              *Node // [batch, code]
}

func collapse(theta []*Node) collapsed {
	shift := Add(Einsum("bh,bhj->bj", theta[firstBias], theta[second]), theta[secondBias])
	return collapsed{theta[kernel], theta[kernelBias], Einsum("bhj,bhf->bjf", theta[second], theta[first]), shift}
}

// branch builds the codes [batch, samples, code] of samples [batch, samples, ...].
func (t estimator) branch(c collapsed, x *Node) *Node {
	shift := c.shift
	if t.maps() {
		batch, pixels := x.Shape().Dimensions[0], (t.height-1)*(t.width-1)
		x = t.taps(x)
		matrix := Reshape(c.matrix, batch, t.code, channels, pixels)
		shift = Add(shift, Einsum("bc,bjc->bj", c.kernelBias, ReduceSum(matrix, -1)))
		c.matrix = Einsum("btc,bjcp->bjtp", c.kernel, matrix)
	}
	batch := x.Shape().Dimensions[0]
	product := Einsum("bkf,bjf->bkj", Reshape(x, batch, t.samples, -1), Reshape(c.matrix, batch, t.code, -1))
	return Add(product, InsertAxes(shift, 1))
}

// taps builds what each of the kernel's values sees, [batch, samples, taps, pixels], of maps [batch, samples, height, width].
func (t estimator) taps(x *Node) *Node {
	var all []*Node
	for r := range 2 {
		for c := range 2 {
			view := Slice(x, AxisRange(), AxisRange(), AxisRange(r, t.height-1+r), AxisRange(c, t.width-1+c))
			all = append(all, Reshape(view, view.Shape().Dimensions[0], t.samples, 1, -1))
		}
	}
	return Concatenate(all, 2)
}

// estimate builds the bound [batch] from the codes of both branches, and of each image a permutation int32 [batch, samples] that
// makes pairs that do not belong together.
func (t estimator) estimate(a, b, last, permutation *Node) *Node {
	shuffled := Einsum("bki,bij->bkj", OneHot(permutation, t.samples, b.DType()), b)
	statistic := func(b *Node) *Node {
		return Einsum("bkj,bj->bk", MaxScalar(Add(a, b), 0), last)
	}
	return information.DonskerVaradhan(statistic(b), statistic(shuffled))
}

// information builds the estimate [batch] of samples x and y.
func (t estimator) information(theta []*Node, x, y, permutation *Node) *Node {
	a, b := collapse(theta[:branchWeights]), collapse(theta[branchWeights:out])
	return t.estimate(t.branch(a, x), t.branch(b, y), theta[out], permutation)
}

// Adam's constants, as in PyTorch; its corrections for the start at 0 come with the rate.
const (
	beta1, beta2 = 0.9, 0.999
	adamEpsilon  = 1e-8
)

// ascend builds one step of Adam up the estimate of x and y: weights and moments after it. rate is the learning rate divided by
// 1-β1ᵗ, correct is 1/(1-β2ᵗ).
func (t estimator) ascend(theta, mean, square []*Node, x, y, permutation, rate, correct *Node) (_, _, _ []*Node) {
	a, b := collapse(theta[:branchWeights]), collapse(theta[branchWeights:out])
	// The samples may come of a step that the weights had a part in: this is another's slope.
	x, y = StopGradient(x), StopGradient(y)
	value := t.estimate(t.branch(a, x), t.branch(b, y), theta[out], permutation)
	with := []*Node{a.matrix, a.shift, b.matrix, b.shift, theta[out]}
	if t.maps() {
		with = append(with, a.kernel, a.kernelBias, b.kernel, b.kernelBias)
	}
	slopes := Gradient(ReduceAllSum(value), with...)
	var all []*Node
	for i := range 2 {
		kernels := []*Node{nil, nil}
		if t.maps() {
			kernels = slopes[5+2*i : 7+2*i]
		}
		all = append(append(all, kernels...), expanded(theta[branchWeights*i:], slopes[2*i], slopes[2*i+1])...)
	}
	all = append(all, slopes[4])
	theta1, mean1, square1 := make([]*Node, len(theta)), make([]*Node, len(theta)), make([]*Node, len(theta))
	for i, g := range all {
		if g == nil {
			theta1[i], mean1[i], square1[i] = theta[i], mean[i], square[i]
			continue
		}
		mean1[i] = Add(MulScalar(mean[i], beta1), MulScalar(g, 1-beta1))
		square1[i] = Add(MulScalar(square[i], beta2), MulScalar(Square(g), 1-beta2))
		theta1[i] = Add(theta[i], Div(Mul(mean1[i], rate), AddScalar(Sqrt(Mul(square1[i], correct)), adamEpsilon)))
	}
	return theta1, mean1, square1
}

// expanded builds the slopes of a branch's dense layers from those of their product. That of the first layer, by far the largest, is a
// sum of code products of a column by a row, written out: XLA computes it where Adam needs it and never stores it.
func expanded(theta []*Node, matrix, shift *Node) []*Node {
	var wide *Node
	for j := range matrix.Shape().Dimensions[1] {
		p := Mul(Slice(theta[second], AxisRange(), AxisRange(), AxisElem(j)), Slice(matrix, AxisRange(), AxisElem(j), AxisRange()))
		if wide == nil {
			wide = p
		} else {
			wide = Add(wide, p)
		}
	}
	narrow := Add(Einsum("bhf,bjf->bhj", theta[first], matrix), Einsum("bh,bj->bhj", theta[firstBias], shift))
	return []*Node{wide, Einsum("bhj,bj->bh", theta[second], shift), narrow, shift}
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
