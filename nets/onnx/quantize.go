package onnx

import (
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

// dequantize is (x - zero point) times scale.
func (v *values) dequantize(n *protos.NodeProto) {
	x, scale := v.get(n.Input[0]), v.get(n.Input[1])
	y := ConvertDType(StopGradient(x), scale.DType())
	if x.DType().IsInt() { // in integers: their difference may be more than a float32 tells apart
		y = ConvertDType(v.lessZeroPoint(n, ConvertDType(StopGradient(x), dtypes.Int64)), scale.DType())
	}
	y = mul(y, v.alongAxis(n, x, scale))
	if to := intOr(n, "output_dtype", 0); to != 0 {
		dtype, ok := elementTypes[protos.TensorProto_DataType(to)]
		if !ok {
			exceptions.Panicf("output_dtype %s is not supported", protos.TensorProto_DataType(to))
		}
		y = castTo(y, dtype)
	}
	v.set(n, y)
}

func (v *values) lessZeroPoint(n *protos.NodeProto, x *Node) *Node {
	if zero := v.in(n, 2); zero != nil {
		return sub(x, v.alongAxis(n, x, ConvertDType(zero, dtypes.Int64)))
	}
	return x
}

// quantize rounds x / scale, adds the zero point and saturates at the ends of the type: a staircase, without slope.
func (v *values) quantize(n *protos.NodeProto) {
	x, scale := StopGradient(v.get(n.Input[0])), v.get(n.Input[1])
	dtype := dtypes.Uint8
	if to := intOr(n, "output_dtype", 0); to != 0 {
		dtype = elementTypes[protos.TensorProto_DataType(to)]
	}
	y := Round(div(ConvertDType(x, scale.DType()), v.alongAxis(n, x, scale)))
	if zero := v.in(n, 2); zero != nil {
		dtype = zero.DType()
		y = add(y, v.alongAxis(n, x, ConvertDType(zero, y.DType())))
	}
	ends, ok := map[dtypes.DType][2]float64{
		dtypes.Uint8: {0, 255}, dtypes.Int8: {-128, 127}, dtypes.Uint16: {0, 65535}, dtypes.Int16: {-32768, 32767}}[dtype]
	if !ok {
		exceptions.Panicf("quantization to %s is not supported", dtype)
	}
	v.set(n, StopGradient(ConvertDType(MinScalar(MaxScalar(y, ends[0]), ends[1]), dtype)))
}
