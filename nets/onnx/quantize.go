package onnx

import (
	"maps"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// alongAxis shapes a scale or zero point for x: one number, one for each place of an axis, or one for each block of places.
func (v *values) alongAxis(n *protos.NodeProto, x, by *Node) *Node {
	block := int(intOr(n, "block_size", 0))
	if by.Shape().Size() == 1 && block == 0 {
		return Reshape(by)
	}
	axis := axisOf(int(intOr(n, "axis", 1)), x.Rank())
	size := x.Shape().Dimensions[axis]
	if block > 0 {
		dims := by.Shape().Dimensions
		if len(dims) != x.Rank() || block > maxWindow || dims[axis] != (size+block-1)/block {
			exceptions.Panicf("shape %s, in blocks of %d along axis %d of %s", by.Shape(), block, axis, x.Shape())
		}
		blocks := slices.Insert(slices.Clone(dims), axis+1, block)
		places := slices.Clone(dims)
		places[axis] *= block
		by = Reshape(BroadcastToDims(InsertAxes(by, axis+1), blocks...), places...)
		return SliceAxis(by, axis, AxisRange(0, size))
	}
	if by.Rank() != 1 || by.Shape().Size() != size {
		exceptions.Panicf("shape %s for axis %d of %s", by.Shape(), axis, x.Shape())
	}
	dims := make([]int, x.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[axis] = by.Shape().Size()
	return Reshape(by, dims...)
}

// Integers have no slopes. So what quantization makes has a second value under the name of twin: the same numbers as float32, with
// the slopes of the straight-through estimator (arXiv 1308.3432), 1 where the staircase goes through its range and 0 where it
// saturates. Operators that read integers as numbers read that one.

// twin is the name of a value's numbers with slopes.
func twin(name string) string { return name + "\x00" }

func (v *values) hasTwin(name string) bool {
	return v.plain[twin(name)] != nil || v.last[twin(name)] != nil
}

// numbersOf are a value's integers as float32, with slopes where it has a twin.
func (v *values) numbersOf(name string) *Node {
	if v.hasTwin(name) {
		return v.get(twin(name))
	}
	return ConvertDType(StopGradient(v.get(name)), dtypes.Float32)
}

// carriers are the operators that move integers about, or choose among them, and so carry twins with them.
var carriers = map[string]bool{"Concat": true, "DepthToSpace": true, "Expand": true, "Flatten": true, "Gather": true, "Identity": true,
	"MaxPool": true, "Pad": true, "Reshape": true, "Resize": true, "Slice": true, "SpaceToDepth": true, "Split": true, "Squeeze": true,
	"Tile": true, "Transpose": true, "Unsqueeze": true}

// carry builds a carrier again, of twins.
func (v *values) carry(n *protos.NodeProto) {
	twins := slices.DeleteFunc(slices.Clone(n.Input), func(in string) bool { return !v.hasTwin(in) })
	bare := func(in string) bool { return in != "" && !v.g.static[in] && !v.hasTwin(in) }
	if !carriers[n.OpType] || len(twins) == 0 || slices.ContainsFunc(n.Input, bare) || n.OpType == "Concat" && len(twins) < len(n.Input) {
		return
	}
	w := *v
	w.plain, w.last, w.flat = maps.Clone(v.plain), maps.Clone(v.last), maps.Clone(v.flat)
	put := func(to map[string]*Node, name string, x *Node) {
		if delete(to, name); x != nil {
			to[name] = x
		}
	}
	for _, in := range twins {
		put(w.plain, in, v.plain[twin(in)])
		put(w.last, in, v.last[twin(in)])
		put(w.flat, in, v.flat[twin(in)])
	}
	for _, out := range n.Output {
		put(w.plain, out, nil)
		put(w.last, out, nil)
		put(w.flat, out, nil)
	}
	operators[operatorName(n)].build(&w, n)
	for _, out := range n.Output {
		put(v.plain, twin(out), w.plain[out])
		put(v.last, twin(out), w.last[out])
		put(v.flat, twin(out), w.flat[out])
	}
}

// dequantize is (x - zero point) times scale.
func (v *values) dequantize(n *protos.NodeProto) {
	x, scale := v.get(n.Input[0]), v.get(n.Input[1])
	by, zero := v.alongAxis(n, x, scale), v.in(n, 2)
	if zero != nil {
		zero = v.alongAxis(n, x, ConvertDType(zero, dtypes.Int64))
	}
	convert := func(y *Node) *Node {
		y = mul(ConvertDType(y, scale.DType()), by)
		if to := intOr(n, "output_dtype", 0); to != 0 {
			dtype, ok := elementTypes[protos.TensorProto_DataType(to)]
			if !ok {
				exceptions.Panicf("output_dtype %s is not supported", protos.TensorProto_DataType(to))
			}
			y = castTo(y, dtype)
		}
		return y
	}
	if v.hasTwin(n.Input[0]) {
		less := func(q *Node) *Node {
			if zero != nil {
				q = sub(q, ConvertDType(zero, dtypes.Float32))
			}
			return convert(q)
		}
		if image := v.last[twin(n.Input[0])]; image != nil && by.IsScalar() && (zero == nil || zero.IsScalar()) {
			v.last[n.Output[0]] = less(image)
		} else {
			v.set(n, less(v.get(twin(n.Input[0]))))
		}
		return
	}
	y := StopGradient(x)
	if x.DType().IsInt() { // in integers: their difference may be more than a float32 tells apart
		if y = ConvertDType(y, dtypes.Int64); zero != nil {
			y = sub(y, zero)
		}
	}
	v.set(n, convert(y))
}

// quantize rounds x / scale, adds the zero point and saturates at the ends of the type.
func (v *values) quantize(n *protos.NodeProto) {
	scale, zero, dtype := v.get(n.Input[1]), v.in(n, 2), dtypes.Uint8
	if to := intOr(n, "output_dtype", 0); to != 0 {
		dtype = elementTypes[protos.TensorProto_DataType(to)]
	}
	if zero != nil {
		dtype = zero.DType()
		zero = ConvertDType(zero, scale.DType())
	}
	if image := v.last[n.Input[0]]; image != nil && scale.Shape().Size() == 1 && intOr(n, "block_size", 0) == 0 {
		if zero != nil {
			zero = Reshape(zero)
		}
		ratio := div(ConvertDType(image, scale.DType()), Reshape(scale))
		v.last[n.Output[0]], v.last[twin(n.Output[0])] = staircase(ratio, zero, dtype)
		return
	}
	x := v.get(n.Input[0])
	ratio := div(ConvertDType(x, scale.DType()), v.alongAxis(n, x, scale))
	if zero != nil {
		zero = v.alongAxis(n, x, zero)
	}
	v.quantized(n, ratio, zero, dtype)
}

// quantized stores what the staircase makes of x, and its twin, as the node's first output.
func (v *values) quantized(n *protos.NodeProto, x, zero *Node, dtype dtypes.DType) {
	v.plain[n.Output[0]], v.plain[twin(n.Output[0])] = staircase(x, zero, dtype)
}

// staircase rounds x, adds a zero point, which may be nil, and saturates at the ends of the type: as integers, and as float32 with
// slopes.
func staircase(x, zero *Node, dtype dtypes.DType) (integers, soft *Node) {
	ends, ok := map[dtypes.DType][2]float64{
		dtypes.Uint8: {0, 255}, dtypes.Int8: {-128, 127}, dtypes.Uint16: {0, 65535}, dtypes.Int16: {-32768, 32767}}[dtype]
	if !ok {
		exceptions.Panicf("quantization to %s is not supported", dtype)
	}
	y := Round(StopGradient(x))
	if zero != nil {
		y = add(y, StopGradient(zero))
	}
	fits := LogicalAnd(GreaterOrEqual(y, Scalar(y.Graph(), y.DType(), ends[0])), LessOrEqual(y, Scalar(y.Graph(), y.DType(), ends[1])))
	y = MinScalar(MaxScalar(y, ends[0]), ends[1])
	smooth := Where(fits, x, StopGradient(x)) // as PyTorch's fake quantization: what is rounded to an end is inside
	return ConvertDType(y, dtype), ConvertDType(withValue(smooth, y), dtypes.Float32)
}

// dynamicQuantize is QuantizeLinear to uint8 with a scale and zero point of the values themselves.
func (v *values) dynamicQuantize(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	low, high := MinScalar(ReduceAllMin(x), 0), MaxScalar(ReduceAllMax(x), 0)
	scale := DivScalar(Sub(high, low), 255)
	scale = Where(Equal(scale, ScalarZero(x.Graph(), x.DType())), ScalarOne(x.Graph(), x.DType()), scale)
	zero := StopGradient(Round(MinScalar(MaxScalar(Neg(Div(low, scale)), 0), 255)))
	v.quantized(n, div(x, scale), zero, dtypes.Uint8)
	v.setOutput(n, 1, func() *Node { return scale })
	v.setOutput(n, 2, func() *Node { return ConvertDType(zero, dtypes.Uint8) })
}

// centered are the integers of an input less their zero point, which is shaped for them.
func (v *values) centered(n *protos.NodeProto, x, zero int, shaped func(z *Node) *Node) *Node {
	numbers := v.numbersOf(n.Input[x])
	if has(n, zero) {
		numbers = sub(numbers, shaped(v.single(n, zero)))
	}
	return numbers
}

// rowwise shapes a number for each row of a matrix; those of its columns need no shaping. A lone number may come as a vector.
func rowwise(z *Node) *Node {
	if z = lone(z); z.Rank() == 1 {
		return InsertAxes(z, -1)
	}
	return z
}

// channelwise shapes a number for each place of the first of so many axes.
func channelwise(rank int) func(z *Node) *Node {
	return func(z *Node) *Node {
		if z = lone(z); z.Rank() == 1 {
			return Reshape(z, append([]int{z.Shape().Size()}, slices.Repeat([]int{1}, rank-1)...)...)
		}
		return z
	}
}

// lone makes a vector of one number that number.
func lone(z *Node) *Node {
	if z.Rank() == 1 && z.Shape().Size() == 1 {
		return Reshape(z)
	}
	return z
}

// accumulated stores sums of products of integers, exact in float32 up to 2^24.
func (v *values) accumulated(n *protos.NodeProto, sums *Node) {
	v.set(n, ConvertDType(StopGradient(sums), dtypes.Int32))
	v.plain[twin(n.Output[0])] = sums
}

func (v *values) matMulInteger(n *protos.NodeProto) {
	v.accumulated(n, numpyMatMul(v.centered(n, 0, 2, rowwise), v.centered(n, 1, 3, lone)))
}

// convInteger has no bias.
func (v *values) convInteger(n *protos.NodeProto) {
	v.accumulated(n, channelsFirst(v.integerConv(n, 0, 1, 2, 3)))
}

// integerConv convolves the integers of the inputs x and kernel, less their zero points, and has its channels last.
func (v *values) integerConv(n *protos.NodeProto, x, kernel, zero, kernelZero int) *Node {
	image := v.centered(n, x, zero, lone)
	if image.Rank() < 3 {
		exceptions.Panicf("its input has shape %s: want [batch, channels, height, width], or any other number of sides", image.Shape())
	}
	return convolve(n, channelsLast(image), v.centered(n, kernel, kernelZero, channelwise(image.Rank())))
}

// qLinearMatMul is a product of integers, brought to the scale of its result.
func (v *values) qLinearMatMul(n *protos.NodeProto) {
	sums := numpyMatMul(v.centered(n, 0, 2, rowwise), v.centered(n, 3, 5, lone))
	scale := Div(mul(rowwise(v.single(n, 1)), lone(v.single(n, 4))), lone(v.single(n, 6)))
	v.rescaled(n, sums, scale, 7)
}

// qLinearConv is a convolution of integers with an integer bias, brought to the scale of its result.
func (v *values) qLinearConv(n *protos.NodeProto) {
	sums := v.integerConv(n, 0, 3, 2, 5)
	if has(n, 8) {
		sums = Add(sums, ExpandLeftToRank(v.single(n, 8), sums.Rank()))
	}
	scale := Div(mul(lone(v.single(n, 1)), lone(v.single(n, 4))), lone(v.single(n, 6)))
	v.rescaled(n, channelsFirst(sums), channelwise(sums.Rank()-1)(scale), 7)
}

// single is an input as float32: products of half-precision scales would be zeros.
func (v *values) single(n *protos.NodeProto, i int) *Node {
	return ConvertDType(v.get(n.Input[i]), dtypes.Float32)
}

// rescaled stores sums times scale, quantized with the zero point that is the given input.
func (v *values) rescaled(n *protos.NodeProto, sums, scale *Node, zero int) {
	v.quantized(n, mul(sums, scale), lone(v.single(n, zero)), v.get(n.Input[zero]).DType())
}
