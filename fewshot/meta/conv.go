package meta

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// Conv is the convolutional network of few-shot learning: blocks of a 3x3 convolution, an activation and batch
// normalization, then a linear layer. Batch normalization always uses the statistics of the batch that it sees, in
// training and in testing, task by task (it is transductive): how many images are judged together changes results.
type Conv struct {
	Input   []int // [height, width, channels]; zero: 28, 28, 1
	Filters int   // of every block; zero: 32
	Blocks  int   // zero: 4
	Ways    int   // classes; zero: 5
	// Pool halves the image after each block by means over 2x2 pixels, instead of a stride of 2 in the convolution.
	Pool bool
	// MeanFeatures averages the last block over positions; otherwise each position gives features of its own.
	MeanFeatures bool
	// Box is the range of pixels; zero: [0, 1].
	Box robust.Box
	// Tanh stands in for ReLU, for checks that need a smooth function.
	Tanh bool
}

// Pixels is the range of values in images.
var Pixels = robust.Box{Lower: 0, Upper: 1}

// NewConv checks the settings and fills in the defaults.
func NewConv(c Conv) (*Conv, error) {
	if c.Input == nil {
		c.Input = []int{28, 28, 1}
	}
	c.Filters, c.Blocks, c.Ways = cmp.Or(c.Filters, 32), cmp.Or(c.Blocks, 4), cmp.Or(c.Ways, 5)
	if c.Box == (robust.Box{}) {
		c.Box = Pixels
	}
	if err := checkBox(c.Box); err != nil {
		return nil, err
	}
	if len(c.Input) != 3 || slices.Min(c.Input) < 1 {
		return nil, errors.Errorf("meta: images of shape %v: want [height, width, channels]", c.Input)
	}
	if c.Filters < 1 || c.Blocks < 1 || c.Ways < 2 {
		return nil, errors.Errorf("meta: %d filters, %d blocks, %d ways: want at least 1, 1 and 2", c.Filters, c.Blocks, c.Ways)
	}
	if h, w := c.after(c.Blocks); h < 1 || w < 1 {
		return nil, errors.Errorf("meta: %d blocks leave nothing of images of %d by %d pixels: use fewer", c.Blocks, c.Input[0], c.Input[1])
	}
	return &c, nil
}

// after is the size of the image after so many blocks.
func (c *Conv) after(blocks int) (h, w int) {
	h, w = c.Input[0], c.Input[1]
	for range blocks {
		if c.Pool {
			h, w = h/2, w/2
		} else {
			h, w = (h+1)/2, (w+1)/2
		}
	}
	return h, w
}

// Name implements [Model].
func (c *Conv) Name() string {
	return fmt.Sprintf("conv %v, %d blocks of %d, %d ways, pool=%t, mean=%t, tanh=%t",
		c.Input, c.Blocks, c.Filters, c.Ways, c.Pool, c.MeanFeatures, c.Tanh)
}

// InputShape implements [Model].
func (c *Conv) InputShape() []int { return c.Input }

// Bounds implements [Model].
func (c *Conv) Bounds() robust.Box { return c.Box }

// Outputs implements [Model].
func (c *Conv) Outputs() int { return c.Ways }

// Features is the number of features that go into the last layer.
func (c *Conv) Features() int {
	if c.MeanFeatures {
		return c.Filters
	}
	h, w := c.after(c.Blocks)
	return h * w * c.Filters
}

// Head implements [Model].
func (c *Conv) Head() int { return 4 * c.Blocks }

// taskwise implements the interface of that name.
func (c *Conv) taskwise() bool { return true }

// Init implements [Model]: He's normal values for kernels, 1 and 0 for scale and shift of the normalization, and Glorot's
// scale for the last layer. A block has a kernel [9·channels, filters], and bias, scale and shift [filters].
func (c *Conv) Init(seed int64) (all []*tensors.Tensor) {
	rng := rand.New(rand.NewPCG(uint64(seed), initStream))
	channels := c.Input[2]
	for range c.Blocks {
		all = append(all, normal(rng, he(9*channels), 9*channels, c.Filters), constant(0, c.Filters),
			constant(1, c.Filters), constant(0, c.Filters))
		channels = c.Filters
	}
	n := c.Features()
	return append(all, normal(rng, he(n+c.Ways), n, c.Ways), constant(0, c.Ways))
}

// Forward implements [Model].
func (c *Conv) Forward(p []*Node, x *Node) (features, logits *Node) {
	checkInput(c, x)
	for b := range c.Blocks {
		k := p[4*b:]
		x = Add(c.convolve(x, k[0]), InsertAxes(k[1], 1, 1, 1))
		if c.Tanh {
			x = Tanh(x)
		} else {
			x = Max(x, ZerosLike(x))
		}
		x = normalize(x, k[2], k[3])
		if c.Pool {
			x = meanPool(x)
		}
	}
	d := x.Shape().Dimensions // [tasks, n, height, width, filters]
	if c.MeanFeatures {
		features = ReduceMean(x, 2, 3)
	} else {
		features = Reshape(x, d[0], d[1], d[2]*d[3]*d[4])
	}
	return features, dense(features, p[4*c.Blocks], p[4*c.Blocks+1])
}

// convolve is a 3x3 convolution with one pixel of padding, x [tasks, n, height, width, channels] with kernel
// [tasks, 9·channels, filters], differentiable to any order.
func (c *Conv) convolve(x, kernel *Node) *Node {
	d := x.Shape().Dimensions
	if d[0] > 1 {
		return c.product(x, kernel)
	}
	value := c.native
	if d[4] <= fewChannels || d[2]*d[3] <= fewPixels {
		value = c.product
	}
	return nets.NewBilinear(value, x, kernel).Apply(x, kernel)
}

// Up to so many input channels, or pixels, a product of patches is faster than XLA's own convolution, on CPUs.
const fewChannels, fewPixels = 4, 16

// native is convolve of a single task by XLA's own convolution. Its gradient cannot be differentiated.
func (c *Conv) native(x, kernel *Node) *Node {
	d, k := x.Shape().Dimensions, kernel.Shape().Dimensions
	y := Convolve(Reshape(x, d[1:]...), Reshape(kernel, 3, 3, d[4], k[2])).PaddingPerDim([][2]int{{1, 1}, {1, 1}}).Strides(c.stride()).Done()
	return InsertAxes(y, 0)
}

// product is convolve as a product of patches.
func (c *Conv) product(x, kernel *Node) *Node {
	patches := patches(x, c.stride())
	d := patches.Shape().Dimensions
	y := taskDot(Reshape(patches, d[0], d[1]*d[2]*d[3], d[4]), kernel)
	return Reshape(y, d[0], d[1], d[2], d[3], kernel.Shape().Dimensions[2])
}

func (c *Conv) stride() int {
	if c.Pool {
		return 1
	}
	return 2
}

// patches gathers the 3x3 neighborhoods at every stride-th pixel, 1 or 2: [tasks, n, height', width', 9·channels]. XLA is slow at
// strided slices and their gradients, so pixels are grouped by the stride once, and whole groups are shifted, along rows and then
// along columns.
func patches(x *Node, stride int) *Node {
	d := x.Shape().Dimensions
	h, w := (d[2]+stride-1)/stride, (d[3]+stride-1)/stride
	if d[2] != h*stride || d[3] != w*stride {
		none := compute.PadAxis{} // every axis must be named, or the gradient fails
		x = Pad(x, ScalarZero(x.Graph(), x.DType()), none, none,
			compute.PadAxis{End: h*stride - d[2]}, compute.PadAxis{End: w*stride - d[3]}, none)
	}
	x = TransposeAllDims(Reshape(x, d[0], d[1], h, stride, w, stride, d[4]), 0, 1, 2, 4, 3, 5, 6)
	x = neighbors(neighbors(x, 3, 5), 2, 4)
	return Reshape(x, d[0], d[1], h, w, 9*d[4])
}

// neighbors takes the pixels of a group, along the axis within, to three along the axis along: the one before, its own, and, where
// a group has but one pixel, the one after.
func neighbors(x *Node, along, within int) *Node {
	d := x.Shape().Dimensions
	last := d[along] - 1
	shifted := func(from, to, pixel int, pad compute.PadAxis) *Node {
		ranges, pads := slices.Repeat([]SliceAxisSpec{AxisRange()}, len(d)), make([]compute.PadAxis, len(d))
		ranges[within] = AxisRange(pixel, pixel+1)
		if last == 0 {
			return ZerosLike(Slice(x, ranges...))
		}
		ranges[along], pads[along] = AxisRange(from, to), pad
		return Pad(Slice(x, ranges...), ScalarZero(x.Graph(), x.DType()), pads...)
	}
	three := []*Node{shifted(0, last, d[within]-1, compute.PadAxis{Start: 1}), x}
	if d[within] == 1 {
		three = append(three, shifted(1, last+1, 0, compute.PadAxis{End: 1}))
	}
	return Concatenate(three, within)
}

// normalize is batch normalization over the images and positions of each task.
func normalize(x, scale, shift *Node) *Node {
	const epsilon = 1e-5
	d := x.Shape().Dimensions
	flat := Reshape(x, d[0], d[1]*d[2]*d[3], d[4])
	centered := Sub(flat, rowMean(flat))
	deviation := Sqrt(AddScalar(rowMean(Square(centered)), epsilon))
	y := Add(Mul(centered, Div(InsertAxes(scale, 1), deviation)), InsertAxes(shift, 1))
	return Reshape(y, d...)
}

// rowMean is the mean over the middle axis, which it keeps. A product with a row of equal numbers is what XLA does fastest on CPUs.
func rowMean(x *Node) *Node {
	d := x.Shape().Dimensions
	return taskDot(BroadcastToDims(Scalar(x.Graph(), x.DType(), 1/float64(d[1])), d[0], 1, d[1]), x)
}

// meanPool averages 2x2 pixels; an odd last row or column is left out.
func meanPool(x *Node) *Node {
	d := x.Shape().Dimensions
	h, w := d[2]/2, d[3]/2
	if d[2] != 2*h || d[3] != 2*w {
		x = Slice(x, AxisRange(), AxisRange(), AxisRange(0, 2*h), AxisRange(0, 2*w), AxisRange())
	}
	return ReduceMean(Reshape(x, d[0], d[1], h, 2, w, 2, d[4]), 3, 5)
}
