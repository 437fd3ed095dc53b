package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// This file builds the operators that join values and cut them.

func (v *values) concat(n *protos.NodeProto) {
	a := attribute(n, "axis")
	if a == nil && v.version(n) >= 4 {
		exceptions.Panicf("has no axis")
	}
	rank := len(v.dims(n.Input[0]))
	axis := axisOf(int(intOr(n, "axis", 1)), rank)
	anyLast := slices.ContainsFunc(n.Input, func(in string) bool { return v.last[in] != nil }) && rank >= 3
	var parts []*Node
	for _, in := range n.Input {
		if anyLast {
			parts = append(parts, v.image(in))
		} else {
			parts = append(parts, v.get(in))
		}
	}
	if !anyLast {
		v.set(n, Concatenate(parts, axis))
		return
	}
	switch {
	case axis == 1:
		axis = rank - 1
	case axis > 1:
		axis--
	}
	v.last[n.Output[0]] = Concatenate(parts, axis)
}

func (v *values) split(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axis := axisOf(int(intOr(n, "axis", 0)), x.Rank())
	size := x.Shape().Dimensions[axis]
	sizes, given := v.list(n, "split", 1)
	if !given {
		parts := len(n.Output)
		if count := int(intOr(n, "num_outputs", int64(parts))); count != parts {
			exceptions.Panicf("num_outputs %d with %d outputs", count, parts)
		}
		each := (size + parts - 1) / parts // from version 18 on the last part may be smaller
		if v.version(n) < 18 && size%parts != 0 {
			exceptions.Panicf("cannot split %d into %d equal parts", size, parts)
		}
		for left := size; len(sizes) < parts; left -= each {
			sizes = append(sizes, min(each, left))
		}
	}
	if len(sizes) != len(n.Output) {
		exceptions.Panicf("%d sizes for %d outputs", len(sizes), len(n.Output))
	}
	at := 0
	for i, s := range sizes {
		if s < 0 || at+s > size {
			exceptions.Panicf("parts %v of %d", sizes, size)
		}
		v.setOutput(n, i, func() *Node { return SliceAxis(x, axis, AxisRange(at, at+s)) })
		at += s
	}
	if at != size {
		exceptions.Panicf("parts %v of %d", sizes, size)
	}
}

// slice cuts ranges, backwards where the step is negative; ends beyond the border are those of the border.
func (v *values) slice(n *protos.NodeProto) {
	starts, _ := v.list(n, "starts", 1)
	ends, _ := v.list(n, "ends", 2)
	axes, given := v.list(n, "axes", 3)
	steps, stepped := v.list(n, "steps", 4)
	x := v.get(n.Input[0])
	if !given {
		for i := range starts {
			axes = append(axes, i)
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || stepped && len(steps) != len(starts) {
		exceptions.Panicf("%d starts, %d ends, %d axes", len(starts), len(ends), len(axes))
	}
	specs := make([]SliceAxisSpec, x.Rank())
	for i := range specs {
		specs[i] = AxisRange()
	}
	for i, axis := range axes {
		axis = axisOf(axis, x.Rank())
		size, start, end, step := x.Shape().Dimensions[axis], starts[i], ends[i], 1
		if stepped {
			step = steps[i]
		}
		if step == 0 {
			exceptions.Panicf("step 0")
		}
		if start < 0 {
			start += size
		}
		if end < 0 {
			end += size
		}
		if step < 0 { // the same range, of the axis reversed
			x = Reverse(x, axis)
			start, end, step = size-1-min(start, size-1), size-1-max(end, -1), -step
		}
		start, end = min(max(start, 0), size), min(max(end, 0), size)
		if start >= end {
			end = start
		}
		specs[axis] = SliceAxisSpec{Start: start, End: end, StrideValue: min(step, max(size, 1))}
	}
	v.set(n, Slice(x, specs...))
}
