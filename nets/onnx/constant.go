package onnx

import (
	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// This file builds the operators that make values out of numbers.

func (v *values) constantOfShape(n *protos.NodeProto) {
	dims := v.ints(n, 0)
	for _, d := range dims {
		if d < 0 || d > maxElements {
			exceptions.Panicf("shape %v", dims)
		}
	}
	v.checkDims(dims)
	value := ScalarZero(v.graph, dtypes.Float32)
	if a := attribute(n, "value"); a != nil && a.T != nil {
		t, err := tensorOf(a.T)
		if err != nil {
			panic(err)
		}
		value = Reshape(ConstTensor(v.graph, t))
	}
	if len(dims) > 0 {
		value = BroadcastToDims(value, dims...)
	}
	v.set(n, value)
}

// sequence is Range: start, start+delta ... below limit.
func (v *values) sequence(n *protos.NodeProto) {
	start, limit, delta := v.constant(n.Input[0]), v.constant(n.Input[1]), v.constant(n.Input[2])
	dtype := start.DType()
	if limit.DType() != dtype || delta.DType() != dtype || start.Size() != 1 || limit.Size() != 1 || delta.Size() != 1 {
		exceptions.Panicf("start %s, limit %s, delta %s: want three numbers of one type", start.Shape(), limit.Shape(), delta.Shape())
	}
	from, to, by := v.floats(n, 0)[0], v.floats(n, 1)[0], v.floats(n, 2)[0]
	count := 0
	if by != 0 && (to-from)/by > 0 {
		if (to-from)/by > maxElements {
			exceptions.Panicf("makes %g values: impossible", (to-from)/by)
		}
		for count = int((to - from) / by); from+float64(count)*by < to && by > 0 || from+float64(count)*by > to && by < 0; count++ {
		}
	}
	if by == 0 {
		exceptions.Panicf("a step of 0")
	}
	at := make([]float64, count)
	for i := range at {
		at[i] = from + float64(i)*by
	}
	x := ConstTensor(v.graph, tensors.FromFlatDataAndDimensions(at, count))
	v.set(n, ConvertDType(x, dtype))
}

func (v *values) eyeLike(n *protos.NodeProto) {
	dims := v.dims(n.Input[0])
	if len(dims) != 2 {
		exceptions.Panicf("shape %v: want a matrix", dims)
	}
	dtype := dtypes.Float32
	if a := attribute(n, "dtype"); a != nil {
		var ok bool
		if dtype, ok = elementTypes[protos.TensorProto_DataType(a.I)]; !ok {
			exceptions.Panicf("dtype %d is not supported", a.I)
		}
	} else if x := v.plain[n.Input[0]]; x != nil || v.g.static[n.Input[0]] {
		dtype = v.get(n.Input[0]).DType()
	}
	rows, columns := positions(v.graph, dims)
	on := Equal(columns, AddScalar(rows, int(intOr(n, "k", 0))))
	v.set(n, ConvertDType(on, dtype))
}

// positions are the row and the column of every entry of a matrix, int32.
func positions(g *Graph, dims []int) (rows, columns *Node) {
	shape := shapeOf(dtypes.Int32, dims)
	return Iota(g, shape, len(dims)-2), Iota(g, shape, len(dims)-1)
}
