package lab

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph" // without a dot: it has a Shift of its own
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
)

// levels are the steps of a shift's factor u: -1, -0.99, ..., 1.
const levels = 201

// Range returns the ranges of a and b over all pixels of images [n, height, width, 3] in [-1, 1]: [2, 2], the least and the
// largest a, then the least and the largest b. PFS-GAN takes them once, of its first batch of target images. No gradient
// passes.
func Range(images *graph.Node) *graph.Node {
	checkImages(images)
	ab := split(RGBToLab(toUnit(images)), "Lab")[1:]
	var out []*graph.Node
	for _, v := range ab {
		out = append(out, graph.ReduceAllMin(v), graph.ReduceAllMax(v))
	}
	for i, v := range out {
		out[i] = graph.Reshape(v, 1, 1)
	}
	return graph.StopGradient(graph.Reshape(graph.Concatenate(out, 0), 2, 2))
}

// Shift changes the colors of images [n, height, width, 3] in [-1, 1] at random, and neither their lightness nor their
// content. Each image has one offset for a and one for b: u·½(max-min), u uniform on {-1, -0.99, ..., 1}, where min and max
// are channelRange, [2, 2], which [Range] gives. Shifted values are clipped to [min, max], those of the display to [-1, 1].
// A channel whose range is empty stays as it is. u is drawn from the random state of scope; no gradient passes.
func Shift(scope *model.Scope, images, channelRange *graph.Node) *graph.Node {
	checkImages(images)
	g, dtype := images.Graph(), images.DType()
	if channelRange.Rank() != 2 || channelRange.Shape().Dim(0) != 2 || channelRange.Shape().Dim(1) != 2 || channelRange.DType() != dtype {
		exceptions.Panicf("lab: the range of channels is %s: want (%s)[2, 2], the least and the largest of a and of b, as Range gives",
			channelRange.Shape(), dtype)
	}
	draws := scope.RandomIntN(g, int32(levels), shapes.Make(dtypes.Int32, images.Shape().Dim(0), 2))
	u := graph.MulScalar(graph.AddScalar(graph.ConvertDType(draws, dtype), -(levels-1)/2), 2./(levels-1))
	return graph.StopGradient(shiftBy(images, channelRange, u))
}

// shiftBy shifts image k by u[k, 0] in a and by u[k, 1] in b.
func shiftBy(images, channelRange, u *graph.Node) *graph.Node {
	unit := toUnit(images)
	channels := split(RGBToLab(unit), "Lab")
	var changes *graph.Node
	for c := range 2 {
		bound := func(i int) *graph.Node {
			return graph.Reshape(graph.Slice(channelRange, graph.AxisElem(c), graph.AxisElem(i)), 1, 1, 1, 1)
		}
		low, high := bound(0), bound(1)
		factor := graph.Reshape(graph.Slice(u, graph.AxisRange(), graph.AxisElem(c)), -1, 1, 1, 1)
		v := channels[1+c]
		shifted := graph.Add(v, graph.Mul(factor, graph.MulScalar(graph.Sub(high, low), 0.5)))
		shifted = graph.Min(graph.Max(shifted, low), high)
		wide := graph.GreaterThan(high, low)
		channels[1+c] = graph.Where(graph.BroadcastToDims(wide, v.Shape().Dimensions...), shifted, v)
		if changes == nil {
			changes = wide
		} else {
			changes = graph.LogicalOr(changes, wide)
		}
	}
	out := graph.ClipScalar(LabToRGB(graph.Concatenate(channels, -1)), 0, 1)
	out = graph.AddScalar(graph.MulScalar(out, 2), -1)
	// With nothing to change, not even rounding changes anything.
	return graph.Where(graph.BroadcastToDims(changes, images.Shape().Dimensions...), out, images)
}

// toUnit takes [-1, 1] to [0, 1].
func toUnit(images *graph.Node) *graph.Node { return graph.MulScalar(graph.AddScalar(images, 1), 0.5) }

// checkImages wants a batch of RGB images.
func checkImages(images *graph.Node) {
	if images.Rank() != 4 {
		exceptions.Panicf("lab: images are %s: want [n, height, width, 3] in [-1, 1]", images.Shape())
	}
	if c := images.Shape().Dim(-1); c != 3 {
		exceptions.Panicf("lab: images have %d channels; the Lab shift needs RGB: convert them", c)
	}
}
