package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// pad adds a border: a constant, the edge repeated, or the image mirrored or continued. Negative widths cut off.
func (v *values) pad(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	name := "pads"
	if v.version(n) == 1 {
		name = "paddings"
	}
	pads, _ := v.list(n, name, 1)
	axes, given := v.list(n, "axes", 3)
	if !given {
		for i := range x.Rank() {
			axes = append(axes, i)
		}
	}
	if len(pads) != 2*len(axes) || slices.ContainsFunc(pads, func(p int) bool { return p < -maxWindow || p > maxWindow }) {
		exceptions.Panicf("pads %v of %s: want two numbers from %d to %d for each of %d axes", pads, x.Shape(), -maxWindow, maxWindow, len(axes))
	}
	value := func(x *Node) *Node {
		if has(n, 2) {
			return ConvertDType(Reshape(v.get(n.Input[2])), x.DType()) // of integers, for a twin
		}
		return ConvertDType(ConstTensor(v.graph, tensors.FromScalar(float32(floatOr(n, "value", 0)))), x.DType())
	}
	mode := stringOr(n, "mode", "constant")
	for i, axis := range axes {
		axis = axisOf(axis, x.Rank())
		before, after, size := pads[i], pads[i+len(axes)], x.Shape().Dimensions[axis]
		if before < 0 || after < 0 {
			low, high := max(-before, 0), size-max(-after, 0)
			if low >= high {
				exceptions.Panicf("pads %v leave nothing of %s", pads, x.Shape())
			}
			x = SliceAxis(x, axis, AxisRange(low, high))
			before, after, size = max(before, 0), max(after, 0), high-low
		}
		if before == 0 && after == 0 {
			continue
		}
		if mode == "constant" {
			widths := make([]PadAxis, x.Rank())
			widths[axis] = PadAxis{Start: before, End: after}
			x = Pad(x, value(x), widths...)
			continue
		}
		x = bordered(x, axis, before, after, size, mode)
	}
	v.set(n, x)
}

// bordered adds what lies inside an axis around it.
func bordered(x *Node, axis, before, after, size int, mode string) *Node {
	cut := func(from, to int) *Node { return SliceAxis(x, axis, AxisRange(from, to)) }
	var parts []*Node
	switch mode {
	case "edge":
		repeat := func(at, times int) *Node {
			dims := slices.Clone(x.Shape().Dimensions)
			dims[axis] = times
			return BroadcastToDims(cut(at, at+1), dims...)
		}
		if before > 0 {
			parts = append(parts, repeat(0, before))
		}
		if parts = append(parts, x); after > 0 {
			parts = append(parts, repeat(size-1, after))
		}
	case "reflect":
		if before >= size || after >= size {
			exceptions.Panicf("mirrors more than the image of %s has", x.Shape())
		}
		if before > 0 {
			parts = append(parts, Reverse(cut(1, before+1), axis))
		}
		if parts = append(parts, x); after > 0 {
			parts = append(parts, Reverse(cut(size-1-after, size-1), axis))
		}
	case "wrap":
		if before > size || after > size {
			exceptions.Panicf("continues more than the image of %s has", x.Shape())
		}
		if before > 0 {
			parts = append(parts, cut(size-before, size))
		}
		if parts = append(parts, x); after > 0 {
			parts = append(parts, cut(0, after))
		}
	default:
		exceptions.Panicf("mode %q is not supported", mode)
	}
	return Concatenate(parts, axis)
}
