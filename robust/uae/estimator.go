package uae

import (
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

// The convolution of maps: four values and a bias, which is a fifth that sees 1 everywhere.
const (
	taps     = 5
	channels = 16
)

func (t estimator) maps() bool { return t.height > 0 }

// blocks are the inputs of the first dense layer: so many of so many values, the convolution's channels or the row.
func (t estimator) blocks() (count, values int) {
	if t.maps() {
		return channels, (t.height - 1) * (t.width - 1)
	}
	return 1, t.values
}

// weight is one of the estimator's: its shape for one image, and up to where Glorot's uniform distribution of its start goes.
type weight struct {
	shape []int
	limit float64 // 0: a bias, that starts at 0
	free  int     // as many of the last values start at 0 too
}

// In the order of a branch, and where the layer behind both branches is.
const (
	kernel = iota // [taps, channels], of maps
	first         // [blocks, hidden, values]
	firstBias
	second // [hidden, code]
	secondBias
	branchWeights
	out = 2 * branchWeights // [code]
)

// weights are those of both branches and of what comes behind; a branch of rows has a kernel that nothing reads.
func (t estimator) weights() (all []weight) {
	glorot := func(in, out int) float64 { return math.Sqrt(6 / float64(in+out)) }
	blocks, values := t.blocks()
	for range 2 {
		all = append(all,
			weight{[]int{taps, channels}, glorot(taps-1, (taps-1)*channels), channels},
			weight{[]int{blocks, t.hidden, values}, glorot(blocks*values, t.hidden), 0}, weight{shape: []int{t.hidden}},
			weight{[]int{t.hidden, t.code}, glorot(t.hidden, t.code), 0}, weight{shape: []int{t.code}})
	}
	return append(all, weight{[]int{t.code}, glorot(t.code, 1), 0})
}

// parameters counts the weights of one image.
func (t estimator) parameters() (n int) {
	for _, w := range t.weights() {
		n += product(w.shape)
	}
	return n
}

// start draws the weights of each of some images from its own stream, packed.
func (t estimator) start(streams []*rand.Rand) []*tensors.Tensor {
	weights := t.weights()
	var flat [packs][]float32
	for _, rng := range streams {
		for i, w := range weights {
			size := product(w.shape)
			pack := packOf(i)
			for k := range size {
				value := float32(0)
				if w.limit > 0 && k < size-w.free {
					value = float32(w.limit) * (2*rng.Float32() - 1)
				}
				flat[pack] = append(flat[pack], value)
			}
		}
	}
	wide := append([]int{len(streams)}, weights[first].shape...)
	return []*tensors.Tensor{tensors.FromFlatDataAndDimensions(flat[0], wide...), tensors.FromFlatDataAndDimensions(flat[1], wide...),
		tensors.FromFlatDataAndDimensions(flat[2], len(streams), len(flat[2])/len(streams))}
}

// packs are as what weights are kept: the first dense layers, which are large, and all others in one row [batch, ...]. Few arrays are
// compiled and updated in less time than many.
const packs = 3

func packOf(weight int) int {
	switch weight {
	case first:
		return 0
	case branchWeights + first:
		return 1
	}
	return 2
}

// pack builds packs of weights, or of their slopes; nil stands for slopes of 0.
func (t estimator) pack(all []*Node) []*Node {
	var others []*Node
	for i, w := range t.weights() {
		batch := all[first].Shape().Dimensions[0]
		switch {
		case packOf(i) < 2:
		case all[i] == nil:
			others = append(others, BroadcastToDims(ScalarZero(all[first].Graph(), all[first].DType()), batch, product(w.shape)))
		default:
			others = append(others, Reshape(all[i], batch, -1))
		}
	}
	return []*Node{all[first], all[branchWeights+first], Concatenate(others, 1)}
}

// unpack builds the weights of packs.
func (t estimator) unpack(kept []*Node) (all []*Node) {
	at := 0
	for i, w := range t.weights() {
		if pack := packOf(i); pack < 2 {
			all = append(all, kept[pack])
			continue
		}
		size := product(w.shape)
		row := Slice(kept[2], AxisRange(), AxisRange(at, at+size))
		all = append(all, Reshape(row, append([]int{-1}, w.shape...)...))
		at += size
	}
	return all
}

// collapsed is what a branch is as one linear function: the product of its dense layers, what that comes to with the kernel before it,
// and what the biases come to.
type collapsed struct {
	dense  *Node // [batch, blocks, code, values]
	matrix *Node // [batch, taps, code, values]; of rows dense itself
	shift  *Node // [batch, code]
}

// collapse builds it. Here and below the order of axes is such that no product of matrices needs any turned before or after: XLA would
// do so again and again, within the loops that read them.
func (t estimator) collapse(theta []*Node) collapsed {
	shift := Add(Einsum("bh,bhj->bj", theta[firstBias], theta[second]), theta[secondBias])
	c := collapsed{dense: Einsum("bchj,bchv->bcjv", onEach(theta[second], theta[first]), theta[first]), shift: shift}
	if c.matrix = c.dense; t.maps() {
		c.matrix = Einsum("btc,bcjv->btjv", theta[kernel], c.dense)
	}
	return c
}

// onEach repeats x [batch, ...] for every block of like [batch, blocks, ...].
func onEach(x, like *Node) *Node {
	d := x.Shape().Dimensions
	return BroadcastToDims(InsertAxes(x, 1), append([]int{d[0], like.Shape().Dimensions[1]}, d[1:]...)...)
}

// codes builds what a branch puts out, [batch, samples, code], for what sees gives of samples.
func (c collapsed) codes(seen *Node) *Node {
	return Add(ReduceSum(Einsum("btkv,btjv->btkj", seen, c.matrix), 1), InsertAxes(c.shift, 1))
}

// sees builds what each of the kernel's values sees of maps [batch, samples, height, width], as [batch, taps, samples, values], with
// ones for the bias; of rows [batch, samples, values] just these, as one.
func (t estimator) sees(x *Node) *Node {
	if !t.maps() {
		return InsertAxes(x, 1)
	}
	var all []*Node
	for r := range 2 {
		for c := range 2 {
			view := Slice(x, AxisRange(), AxisRange(), AxisRange(r, t.height-1+r), AxisRange(c, t.width-1+c))
			all = append(all, Reshape(view, view.Shape().Dimensions[0], 1, t.samples, -1))
		}
	}
	return Concatenate(append(all, OnesLike(all[0])), 1)
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

// information builds the estimate [batch] of samples x and y by packed weights.
func (t estimator) information(kept []*Node, x, y, permutation *Node) *Node {
	theta := t.unpack(kept)
	a, b := t.collapse(theta[:branchWeights]), t.collapse(theta[branchWeights:out])
	return t.estimate(a.codes(t.sees(x)), b.codes(t.sees(y)), theta[out], permutation)
}

// Adam's constants, as in PyTorch; its corrections for the start at 0 come with the rate.
const (
	beta1, beta2 = 0.9, 0.999
	adamEpsilon  = 1e-8
)

// ascend builds one step of Adam up the estimate of x and y: weights and moments after it, all packed. rate is the learning rate
// divided by 1-β1ᵗ, correct is 1/(1-β2ᵗ).
func (t estimator) ascend(kept, mean, square []*Node, x, y, permutation, rate, correct *Node) (_, _, _ []*Node) {
	// The samples may come of a step that the weights had a part in: that is another slope.
	x, y = StopGradient(t.sees(x)), StopGradient(t.sees(y))
	theta := t.unpack(kept)
	a, b := t.collapse(theta[:branchWeights]), t.collapse(theta[branchWeights:out])
	ours, theirs := a.codes(x), b.codes(y)
	slopes := Gradient(ReduceAllSum(t.estimate(ours, theirs, theta[out], permutation)), ours, theirs, theta[out])
	all := append(t.slopes(theta, a, x, slopes[0]), t.slopes(theta[branchWeights:], b, y, slopes[1])...)
	after, mean1, square1 := make([]*Node, packs), make([]*Node, packs), make([]*Node, packs)
	for i, g := range t.pack(append(all, slopes[2])) {
		mean1[i] = Add(MulScalar(mean[i], beta1), MulScalar(g, 1-beta1))
		square1[i] = Add(MulScalar(square[i], beta2), MulScalar(Square(g), 1-beta2))
		after[i] = Add(kept[i], Div(Mul(mean1[i], rate), AddScalar(Sqrt(Mul(square1[i], correct)), adamEpsilon)))
	}
	return after, mean1, square1
}

// slopes builds those of a branch's weights from those of its codes, in the order of the weights; nil for the kernel of rows. That of
// the first dense layer, by far the largest, is a sum of code products of a column by a row, written out: XLA computes it where Adam
// needs it and never stores it.
func (t estimator) slopes(theta []*Node, c collapsed, seen, codes *Node) []*Node {
	dense := Einsum("btkj,btkv->btjv", onEach(codes, seen), seen)
	shift := ReduceSum(codes, 1)
	var ofKernel *Node
	if t.maps() {
		ofKernel = Einsum("btjv,bcjv->btc", dense, c.dense)
		dense = Einsum("btc,btjv->bcjv", theta[kernel], dense)
	}
	var wide *Node
	for j := range t.code {
		column := InsertAxes(Slice(theta[second], AxisRange(), AxisRange(), AxisElem(j)), 1) // [batch, 1, hidden, 1]
		p := Mul(column, Slice(dense, AxisRange(), AxisRange(), AxisElem(j), AxisRange()))
		if wide == nil {
			wide = p
		} else {
			wide = Add(wide, p)
		}
	}
	narrow := ReduceSum(Einsum("bchv,bcjv->bchj", theta[first], dense), 1)
	narrow = Add(narrow, Einsum("bh,bj->bhj", theta[firstBias], shift))
	return []*Node{ofKernel, wide, Einsum("bhj,bj->bh", theta[second], shift), narrow, shift}
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
