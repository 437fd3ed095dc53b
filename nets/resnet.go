package nets

import (
	"cmp"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// ResNetConfig describes a residual network of basic blocks (He et al., arXiv 1512.03385). The zero value is a small one
// for 28 or 32 pixels: 28x28x1, one block in each of three stages of 16, 32 and 64 channels. ResNet-18 is
//
//	ResNetConfig{Input: []int{224, 224, 3}, Blocks: []int{2, 2, 2, 2}, Channels: []int{64, 128, 256, 512}, LargeStem: true, Classes: 1000}
type ResNetConfig struct {
	Input    []int // height, width, channels; zero: 28, 28, 1
	Blocks   []int // of each stage; zero: one
	Channels []int // of each stage; zero: 16, 32, 64. Every stage but the first halves the sides
	// LargeStem begins with a 7x7 convolution and a 3x3 max-pool, both at stride 2, for large images, in place of one 3x3
	// convolution.
	LargeStem bool
	// SqueezeExcite is by how much the channels shrink inside a squeeze-and-excitation gate at the end of every block (Hu
	// et al., arXiv 1709.01507; 16 there); zero: no gates.
	SqueezeExcite int
	Classes       int     // zero: 10
	Lower         float64 // pixel bounds; both zero: 0 and 1
	Upper         float64
	Seed          int64 // of the initial weights
}

func (c ResNetConfig) withDefaults() ResNetConfig {
	if len(c.Input) == 0 {
		c.Input = []int{28, 28, 1}
	}
	if len(c.Channels) == 0 {
		c.Channels = []int{16, 32, 64}
	}
	if len(c.Blocks) == 0 {
		c.Blocks = slices.Repeat([]int{1}, len(c.Channels))
	}
	c.Classes = cmp.Or(c.Classes, 10)
	return c
}

func (c ResNetConfig) validate() error {
	if len(c.Input) != 3 {
		return errors.Errorf("nets: ResNet: input shape %v: want height, width, channels", c.Input)
	}
	if len(c.Blocks) != len(c.Channels) {
		return errors.Errorf("nets: ResNet: %d stages of Blocks, %d of Channels: want as many", len(c.Blocks), len(c.Channels))
	}
	if err := checkSizes("ResNet", slices.Concat(c.Input, c.Blocks, c.Channels, []int{c.Classes})); err != nil {
		return err
	}
	if c.SqueezeExcite < 0 || c.SqueezeExcite > slices.Min(c.Channels) {
		return errors.Errorf("nets: ResNet: SqueezeExcite %d: must be between 0 (none) and the fewest channels, %d",
			c.SqueezeExcite, slices.Min(c.Channels))
	}
	return nil
}

func (c ResNetConfig) name() string {
	s := fmt.Sprintf("ResNet %dx%dx%d blocks %v channels %v", c.Input[0], c.Input[1], c.Input[2], c.Blocks, c.Channels)
	if c.LargeStem {
		s += ", large stem"
	}
	if c.SqueezeExcite > 0 {
		s += fmt.Sprintf(", squeeze-excite %d", c.SqueezeExcite)
	}
	return s + fmt.Sprintf(", %d classes", c.Classes)
}

// NewResNet builds a residual network with batch normalization and He-normal weights, the same on every backend.
func NewResNet(c ResNetConfig) (*Model, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	b, err := newBuilder(c.Input, c.Classes, c.Lower, c.Upper, c.Seed)
	if err != nil {
		return nil, err
	}
	b.m.Name = c.name()
	size, stride := 3, 1
	if c.LargeStem {
		size, stride = 7, 2
	}
	stem := b.normalizedConv("stem", size, stride, c.Input[2], c.Channels[0])
	var blocks []residualBlock
	channels := c.Channels[0]
	for stage, width := range c.Channels {
		for i := range c.Blocks[stage] {
			stride := 1
			if stage > 0 && i == 0 {
				stride = 2
			}
			blocks = append(blocks, b.residual(fmt.Sprintf("stage_%d_block_%d", stage, i), channels, width, stride, c.SqueezeExcite))
			channels = width
		}
	}
	b.m.Dense = []DenseLayer{{Weight: b.weight("head", channels, c.Classes), Bias: b.bias("head", c.Classes)}}
	b.m.Body = append(b.m.Body, Stage{Name: "stem", Graph: func(scope *model.Scope, x *Node) *Node {
		if x = ReLU(stem.graph(scope, x)); c.LargeStem {
			x = overlappingMaxPool(x)
		}
		return x
	}})
	for i, block := range blocks {
		b.m.Body = append(b.m.Body, Stage{Name: fmt.Sprintf("block %d", i+1), Graph: block.graph})
	}
	maps := b.m.Body
	b.m.Inspect = func(scope *model.Scope, x *Node) []Feature { return featureMaps(maps, scope, x) }
	mean := Stage{Name: "mean", Graph: func(_ *model.Scope, x *Node) *Node { return ReduceMean(x, 1, 2) }}
	b.m.Body = append(b.m.Body[:len(maps):len(maps)], mean)
	b.m.Features = chain(b.m.Body)
	b.m.Logits = chain(b.m.Stages())
	return b.m, b.err
}

// normalizedConv is a convolution without bias, and the batch normalization of what it gives.
type normalizedConv struct {
	kernel string
	stride int
	norm   batchNorm
}

func (b *builder) normalizedConv(scope string, size, stride, inputs, outputs int) normalizedConv {
	return normalizedConv{kernel: b.weight(scope, size, size, inputs, outputs), stride: stride, norm: b.batchNorm(scope+"_norm", outputs)}
}

func (l normalizedConv) graph(scope *model.Scope, x *Node) *Node {
	return l.norm.graph(scope, centeredConv(x, node(scope, l.kernel, x), l.stride))
}

// residualBlock is relu(shortcut(x) + gate(norm(conv(relu(norm(conv(x))))))).
type residualBlock struct {
	conv1, conv2    normalizedConv
	project         bool // whether the shortcut is a 1x1 convolution, where the shape changes, or x itself
	shortcut        normalizedConv
	gate            bool
	squeeze, excite DenseLayer
}

func (b *builder) residual(scope string, inputs, outputs, stride, reduction int) residualBlock {
	r := residualBlock{conv1: b.normalizedConv(scope+"_conv_0", 3, stride, inputs, outputs),
		conv2:   b.normalizedConv(scope+"_conv_1", 3, 1, outputs, outputs),
		project: stride > 1 || inputs != outputs, gate: reduction > 0}
	if r.gate {
		inner := outputs / reduction
		r.squeeze = DenseLayer{Weight: b.weight(scope+"_squeeze", outputs, inner), Bias: b.bias(scope+"_squeeze", inner)}
		r.excite = DenseLayer{Weight: b.weight(scope+"_excite", inner, outputs), Bias: b.bias(scope+"_excite", outputs)}
	}
	if r.project {
		r.shortcut = b.normalizedConv(scope+"_shortcut", 1, stride, inputs, outputs)
	}
	return r
}

func (r residualBlock) graph(scope *model.Scope, x *Node) *Node {
	y := r.conv2.graph(scope, ReLU(r.conv1.graph(scope, x)))
	if r.gate {
		y = Mul(y, InsertAxes(squeezeExcite(scope, r.squeeze, r.excite, y), 1, 1))
	}
	if r.project {
		x = r.shortcut.graph(scope, x)
	}
	return ReLU(Add(x, y))
}

// squeezeExcite is a factor in (0, 1) for each channel of x, [batch, channels], out of all channels' means.
func squeezeExcite(scope *model.Scope, squeeze, excite DenseLayer, x *Node) *Node {
	return Sigmoid(denseLayer(scope, excite, ReLU(denseLayer(scope, squeeze, ReduceMean(x, 1, 2)))))
}

// centeredConv is the convolution of x [batch, height, width, inputs] with an odd kernel [size, size, inputs, outputs],
// size/2 zeros on every side, as PyTorch pads: at stride 2, the first window is centered at the first pixel.
func centeredConv(x, kernel *Node, stride int) *Node {
	d, k := x.Shape().Dimensions, kernel.Shape().Dimensions
	pads := [][2]int{{k[0] / 2, k[0] / 2}, {k[1] / 2, k[1] / 2}}
	if d[3] > fewChannels && k[0] > 1 {
		return Convolve(x, kernel).PaddingPerDim(pads).Strides(stride).Done()
	}
	// XLA's convolution is slow over few channels (on CPUs), and a 1x1 convolution is a product of matrices.
	w := Windows{Kernel: k[:2], Stride: []int{stride, stride}, Dilation: []int{1, 1}, Pads: pads,
		Out: []int{(d[1]-1)/stride + 1, (d[2]-1)/stride + 1}}
	patches := x
	if k[0] > 1 || stride > 1 {
		patches = Concatenate(w.Views(x, ScalarZero(x.Graph(), x.DType())), -1)
	}
	y := MatMul(Reshape(patches, -1, k[0]*k[1]*d[3]), Reshape(kernel, k[0]*k[1]*d[3], k[3]))
	return Reshape(y, d[0], w.Out[0], w.Out[1], k[3])
}

// overlappingMaxPool takes the maximum over 3x3 windows at stride 2, the first centered at the first pixel.
func overlappingMaxPool(x *Node) *Node {
	d := x.Shape().Dimensions
	w := Windows{Kernel: []int{3, 3}, Stride: []int{2, 2}, Dilation: []int{1, 1}, Pads: [][2]int{{1, 1}, {1, 1}},
		Out: []int{(d[1]-1)/2 + 1, (d[2]-1)/2 + 1}}
	return w.Maximum(x)
}
