package nets

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// CNNConfig describes a convolutional network: blocks of 3x3 convolution (same padding), ReLU and 2x2 pooling, then
// one dense hidden layer. The zero value is the reference network of the benchmarks:
// 28x28x1 - conv 32 - pool - conv 64 - pool - dense 128 - 10.
type CNNConfig struct {
	Input    []int   // height, width, channels; zero: 28, 28, 1
	Channels []int   // of the blocks; zero: 32, 64
	Dense    int     // width of the hidden layer; zero: 128
	Classes  int     // zero: 10
	MeanPool bool    // pool by the mean instead of the maximum
	Strided  bool    // no pooling: convolutions of stride 2, whose gradients can be differentiated
	Lower    float64 // pixel bounds; both zero: 0 and 1
	Upper    float64
	Seed     int64 // of the initial weights
}

// NewCNN builds a CNN with He-normal weights and zero biases, the same on every backend.
func NewCNN(c CNNConfig) (*Model, error) {
	if len(c.Input) == 0 {
		c.Input = []int{28, 28, 1}
	}
	if len(c.Channels) == 0 {
		c.Channels = []int{32, 64}
	}
	if c.Dense == 0 {
		c.Dense = 128
	}
	if c.Classes == 0 {
		c.Classes = 10
	}
	if c.Strided && c.MeanPool {
		return nil, errors.New("nets: CNN that is strided has no pooling: leave MeanPool out")
	}
	if len(c.Input) != 3 {
		return nil, errors.Errorf("nets: CNN input shape %v: want height, width, channels", c.Input)
	}
	if err := checkSizes("CNN", slices.Concat(c.Input, c.Channels, []int{c.Dense, c.Classes})); err != nil {
		return nil, err
	}
	b, err := newBuilder(c.Input, c.Classes, c.Lower, c.Upper, c.Seed)
	if err != nil {
		return nil, err
	}
	height, width, depth := c.Input[0], c.Input[1], c.Input[2]
	var blocks []DenseLayer
	for i, channels := range c.Channels {
		scope := fmt.Sprintf("conv_%d", i)
		blocks = append(blocks, DenseLayer{Weight: b.weight(scope, 3, 3, depth, channels), Bias: b.bias(scope, channels)})
		if c.Strided {
			height, width = height+1, width+1 // every other position, the first among them
		}
		height, width, depth = height/2, width/2, channels
	}
	if height == 0 || width == 0 {
		return nil, errors.Errorf("nets: CNN input %v is too small for %d poolings by 2", c.Input, len(c.Channels))
	}
	b.m.Dense = []DenseLayer{{Weight: b.weight("dense_0", height*width*depth, c.Dense), Bias: b.bias("dense_0", c.Dense), Activation: ActReLU}}
	b.m.Dense = append(b.m.Dense, DenseLayer{Weight: b.weight("dense_1", c.Dense, c.Classes), Bias: b.bias("dense_1", c.Classes)})
	// Maximum, bias and ReLU commute, so the max-pool comes first and saves three quarters of their work; the mean does
	// not commute with ReLU.
	block, kind := func(x, kernel, bias *Node) *Node { return ReLU(Add(ConvMaxPool2D(x, kernel), bias)) }, "max"
	if c.MeanPool {
		block, kind = func(x, kernel, bias *Node) *Node { return MeanPool2D(ReLU(Add(Conv2D(x, kernel), bias)), 2) }, "mean"
	}
	kind += "-pool"
	if c.Strided {
		block, kind = func(x, kernel, bias *Node) *Node { return ReLU(Add(stridedConv2D(x, kernel), bias)) }, "strided"
	}
	b.m.Name = fmt.Sprintf("CNN %dx%dx%d conv %v %s dense %d-%d",
		c.Input[0], c.Input[1], c.Input[2], c.Channels, kind, c.Dense, c.Classes)
	for i, l := range blocks {
		b.m.Body = append(b.m.Body, Stage{Name: fmt.Sprintf("block %d", i+1), Graph: func(scope *model.Scope, x *Node) *Node {
			return block(x, node(scope, l.Weight, x), InsertAxes(node(scope, l.Bias, x), 0, 0, 0))
		}})
	}
	maps := b.m.Body
	b.m.Inspect = func(scope *model.Scope, x *Node) []Feature { return featureMaps(maps, scope, x) }
	body := chain(b.m.Body)
	b.m.Features = func(scope *model.Scope, x *Node) *Node { return Reshape(body(scope, x), x.Shape().Dimensions[0], -1) }
	b.m.Logits = chain(b.m.Stages())
	return b.m, b.err
}
