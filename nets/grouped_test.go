package nets_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
)

// grouped is a grouped convolution to compare.
type grouped struct {
	sides                    []int
	inputs, outputs, groups  int
	kernel, stride, dilation []int
	pads                     [][2]int
}

func (c grouped) windows() nets.Windows {
	w := nets.Windows{Kernel: c.kernel, Stride: c.stride, Dilation: c.dilation, Pads: c.pads}
	for i, size := range c.sides {
		w.Out = append(w.Out, (size+c.pads[i][0]+c.pads[i][1]-w.Extent(i))/c.stride[i]+1)
	}
	return w
}

// drawGrouped draws depthwise convolutions, those of few and of many channels in a group, of one side to three.
func drawGrouped(rng *rand.Rand) grouped {
	for {
		c := grouped{groups: 1 + rng.IntN(6)}
		c.inputs, c.outputs = c.groups*(1+rng.IntN(3)), c.groups*(1+rng.IntN(3))
		if rng.IntN(3) == 0 {
			c.inputs = c.groups
		}
		if rng.IntN(6) == 0 {
			c.inputs = c.groups * 16
		}
		fits := true
		for range 1 + rng.IntN(3) {
			size, kernel, dilation := 1+rng.IntN(6), 1+rng.IntN(3), 1+rng.IntN(2)
			pads := [2]int{rng.IntN(4), rng.IntN(4)}
			fits = fits && size+pads[0]+pads[1] >= (kernel-1)*dilation+1
			c.sides, c.kernel, c.dilation = append(c.sides, size), append(c.kernel, kernel), append(c.dilation, dilation)
			c.stride, c.pads = append(c.stride, 1+rng.IntN(3)), append(c.pads, pads)
		}
		if fits {
			return c
		}
	}
}

// slowly is the same as products written out, view by view and group by group, to be differentiated as they are.
func (c grouped) slowly(x, kernel *Node) *Node {
	w := c.windows()
	inputs, outputs := c.inputs/c.groups, c.outputs/c.groups
	flat := Reshape(kernel, -1, inputs, c.outputs)
	var groups []*Node
	for g := range c.groups {
		var sum *Node
		for i, view := range w.Views(x, ScalarZero(x.Graph(), x.DType())) {
			mine := Slice(view, AxisRange().Spacer(), AxisRange(g*inputs, (g+1)*inputs))
			weight := Reshape(Slice(flat, AxisElem(i), AxisRange(), AxisRange(g*outputs, (g+1)*outputs)), inputs, outputs)
			product := MatMul(mine, weight)
			if sum == nil {
				sum = product
			} else {
				sum = Add(sum, product)
			}
		}
		groups = append(groups, sum)
	}
	return Concatenate(groups, -1)
}

// TestGroupedConv: values, gradients and the gradients of a gradient's square are those of the products written out.
func TestGroupedConv(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	noise := func(dims ...int) *tensors.Tensor {
		size := 1
		for _, d := range dims {
			size *= d
		}
		flat := make([]float64, size)
		for i := range flat {
			flat[i] = rng.NormFloat64()
		}
		return tensors.FromFlatDataAndDimensions(flat, dims...)
	}
	seen := map[string]int{}
	for i := range 40 {
		c := drawGrouped(rng)
		if c.inputs == c.groups {
			seen["depthwise"]++
		} else {
			seen["grouped"]++
		}
		x := noise(append(append([]int{2}, c.sides...), c.inputs)...)
		kernel := noise(append(append([]int{}, c.kernel...), c.inputs/c.groups, c.outputs)...)
		all := func(conv func(x, kernel *Node) *Node) func(x, kernel *Node) []*Node {
			return func(x, kernel *Node) []*Node {
				y := conv(x, kernel)
				weights := Sin(ConvertDType(IotaFull(y.Graph(), y.Shape()), y.DType()))
				first := Gradient(ReduceAllSum(Mul(Square(y), weights)), x, kernel)
				again := Gradient(Add(ReduceAllSum(Square(first[0])), ReduceAllSum(Square(first[1]))), x, kernel)
				return append(append([]*Node{y}, first...), again...)
			}
		}
		for name, b := range backends(t) {
			if name == "xla" && i%8 != 0 { // compiling is all it does
				continue
			}
			t.Run(fmt.Sprintf("%s %+v", name, c), func(t *testing.T) {
				got, err := NewExec(b, all(func(x, kernel *Node) *Node { return nets.GroupedConv(x, kernel, c.windows(), c.groups) }))
				require.NoError(t, err)
				want, err := NewExec(b, all(c.slowly))
				require.NoError(t, err)
				x, kernel := ownCopy(t, x), ownCopy(t, kernel)
				found, err := got.Call(x, kernel)
				require.NoError(t, err)
				right, err := want.Call(x, kernel)
				require.NoError(t, err)
				for k, part := range []string{"value", "by x", "by kernel", "second by x", "second by kernel"} {
					require.Equal(t, right[k].Shape().Dimensions, found[k].Shape().Dimensions, part)
					wanted, scale := tensors.MustCopyFlatData[float64](right[k]), 1.0
					for _, v := range wanted {
						scale = max(scale, v, -v)
					}
					require.InDeltaSlice(t, wanted, tensors.MustCopyFlatData[float64](found[k]), 1e-12*scale, part)
				}
			})
		}
	}
	require.Greater(t, seen["depthwise"], 8)
	require.Greater(t, seen["grouped"], 8)
}

// ownCopy is for one backend only.
func ownCopy(t *testing.T, x *tensors.Tensor) *tensors.Tensor {
	t.Helper()
	c, err := x.LocalClone()
	require.NoError(t, err)
	return c
}

func TestGroupedConvRefuses(t *testing.T) {
	exec, err := NewExec(backends(t)["go"], func(x, kernel *Node) *Node {
		w := nets.Windows{Kernel: []int{3}, Stride: []int{1}, Dilation: []int{1}, Pads: [][2]int{{0, 0}}, Out: []int{3}}
		return nets.GroupedConv(x, kernel, w, 2)
	})
	require.NoError(t, err)
	zeros := func(dims ...int) *tensors.Tensor { return tensors.FromShape(shapes.Make(dtypes.Float32, dims...)) }
	_, err = exec.Call(zeros(1, 5, 6), zeros(3, 2, 4))
	require.ErrorContains(t, err, "in 2 groups")
	require.ErrorContains(t, err, "want [sides..., inputs/groups, outputs]")
}
