package onnx

import (
	"math"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

const defaultEpsilon = 1e-5

// softmax builds Softmax, LogSoftmax and Hardmax. Before version 13 they work on the input flattened at the axis to a
// matrix, so that a row spans all axes from there on.
func (v *values) softmax(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	dims, otherwise := x.Shape().Dimensions, int64(-1)
	if v.version(n) < 13 {
		otherwise = 1
	}
	axis := int(intOr(n, "axis", otherwise))
	if v.version(n) < 13 {
		x, axis = matrixAt(x, axis), 1
	}
	axis = axisOf(axis, x.Rank())
	switch n.OpType {
	case "Softmax":
		x = v.softmaxOf(x, axis)
	case "LogSoftmax":
		x = inSingle(x, func(x *Node) *Node { return LogSoftmax(x, axis) })
	case "Hardmax":
		first := InsertAxes(ArgMax(StopGradient(x), axis), axis)
		shape := x.Shape().Clone()
		shape.DType = first.DType()
		x = StopGradient(ConvertDType(Equal(BroadcastToDims(first, shape.Dimensions...), Iota(v.graph, shape, axis)), x.DType()))
	}
	v.set(n, Reshape(x, dims...))
}

// softmaxOf has slope 0 where nothing but -∞ is given, as masks do: what follows replaces the values there, which are no
// numbers, and would not replace slopes that are none. Files without an infinity need no such care.
func (v *values) softmaxOf(x *Node, axis int) *Node {
	return inSingle(x, func(x *Node) *Node {
		if !v.g.infinite {
			return Softmax(x, axis)
		}
		nothing := StopGradient(Equal(ReduceAndKeep(x, ReduceMax, axis), Infinity(x.Graph(), x.DType(), -1)))
		nothing = BroadcastToDims(nothing, x.Shape().Dimensions...)
		y := Softmax(Where(nothing, ZerosLike(x), x), axis)
		return Where(nothing, Scalar(x.Graph(), x.DType(), math.NaN()), y)
	})
}

// batchNorm is inference: a scale and a shift per channel, or in old files per value.
func (v *values) batchNorm(n *protos.NodeProto) {
	version := v.version(n)
	training := intOr(n, "training_mode", 0) != 0 || version < 7 && intOr(n, "is_test", 0) == 0
	for _, out := range n.Output[1:] {
		training = training || out != "" // before version 14 more outputs are what tells
	}
	if training && !v.g.seesImages(n.Input[0], map[string]bool{}) { // weights, standardized by themselves
		v.standardizeWeights(n)
		return
	}
	if training {
		exceptions.Panicf("the file was exported in training mode, where examples of a batch change each other: " +
			"export the network in evaluation mode")
	}
	scale, shift := v.get(n.Input[1]), v.get(n.Input[2])
	mean, variance := v.get(n.Input[3]), v.get(n.Input[4])
	factor := Div(scale, Sqrt(AddScalar(variance, floatOr(n, "epsilon", defaultEpsilon))))
	shift = Sub(shift, Mul(mean, factor))
	rank := len(v.dims(n.Input[0]))
	if rank < 2 {
		exceptions.Panicf("its input has shape %v: want [batch, channels, ...]", v.dims(n.Input[0]))
	}
	if intOr(n, "spatial", 1) == 0 && factor.Rank() > 1 {
		x := v.get(n.Input[0])
		v.set(n, Add(Mul(x, InsertAxes(factor, 0)), InsertAxes(shift, 0)))
		return
	}
	if v.last[n.Input[0]] != nil || rank >= 3 {
		x := v.image(n.Input[0])
		v.last[n.Output[0]] = Add(Mul(x, ExpandLeftToRank(factor, rank)), ExpandLeftToRank(shift, rank))
		return
	}
	v.set(n, Add(Mul(v.get(n.Input[0]), InsertAxes(factor, 0)), InsertAxes(shift, 0)))
}

// seesImages tells whether a value is made from the images; seen are names that were looked at.
func (g *network) seesImages(name string, seen map[string]bool) bool {
	if name == g.input || seen[name] || g.producer[name] == nil {
		return name == g.input
	}
	seen[name] = true
	return slices.ContainsFunc(g.producer[name].Input, func(in string) bool { return g.seesImages(in, seen) })
}

// standardizeWeights is batch normalization of what no image changes, by its own mean and variance, the biased one: so networks
// write weights that are standardized channel by channel.
func (v *values) standardizeWeights(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axes := append([]int{0}, axesFrom(2, x.Rank())...)
	y, mean, deviation := standardized(x, floatOr(n, "epsilon", defaultEpsilon), axes...)
	ones := slices.Repeat([]int{1}, x.Rank())
	ones[1] = -1
	v.set(n, Add(Mul(y, Reshape(v.get(n.Input[1]), ones...)), Reshape(v.get(n.Input[2]), ones...)))
	variance := AddScalar(Square(deviation), -floatOr(n, "epsilon", defaultEpsilon))
	keep := floatOr(n, "momentum", 0.9)
	for i, now := range []*Node{mean, variance} {
		v.setOutput(n, 1+i, func() *Node { return Add(MulScalar(v.get(n.Input[3+i]), keep), MulScalar(Reshape(now, -1), 1-keep)) })
	}
}

// standardized has mean 0 and variance 1 over the axes, but for epsilon.
func standardized(x *Node, epsilon float64, axes ...int) (y, mean, deviation *Node) {
	mean = ReduceAndKeep(x, ReduceMean, axes...)
	y = Sub(x, mean)
	deviation = Sqrt(AddScalar(ReduceAndKeep(Square(y), ReduceMean, axes...), epsilon))
	return Div(y, deviation), mean, deviation
}

// axesFrom are the axes from one on.
func axesFrom(axis, rank int) (axes []int) {
	for i := axis; i < rank; i++ {
		axes = append(axes, i)
	}
	return axes
}

// perChannel shapes [channels] for [batch, channels, ...].
func perChannel(x *Node, rank int) *Node {
	dims := slices.Repeat([]int{1}, rank)
	dims[1] = x.Shape().Size()
	return Reshape(x, dims...)
}

// instanceNorm normalizes every channel of every example.
func (v *values) instanceNorm(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	if x.Rank() < 3 {
		exceptions.Panicf("its input has shape %s: want [batch, channels, ...]", x.Shape())
	}
	y, _, _ := standardized(x, floatOr(n, "epsilon", defaultEpsilon), axesFrom(2, x.Rank())...)
	v.set(n, Add(Mul(y, perChannel(v.get(n.Input[1]), x.Rank())), perChannel(v.get(n.Input[2]), x.Rank())))
}

// groupNorm normalizes every group of channels of every example; version 18 has a scale and a shift for each group, later
// ones for each channel.
func (v *values) groupNorm(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	d, groups := x.Shape().Dimensions, int(intOr(n, "num_groups", 0))
	if len(d) < 2 || groups < 1 || d[1]%groups != 0 {
		exceptions.Panicf("%d groups for shape %s", groups, x.Shape())
	}
	y, _, _ := standardized(Reshape(x, d[0], groups, -1), floatOr(n, "epsilon", defaultEpsilon), 2)
	scale, shift := v.get(n.Input[1]), v.get(n.Input[2])
	if v.version(n) < 21 {
		v.set(n, Reshape(Add(Mul(y, perChannel(scale, 3)), perChannel(shift, 3)), d...))
		return
	}
	v.set(n, Add(Mul(Reshape(y, d...), perChannel(scale, len(d))), perChannel(shift, len(d))))
}

// layerNorm normalizes over all axes from one on.
func (v *values) layerNorm(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axis := axisOf(int(intOr(n, "axis", -1)), x.Rank())
	y, mean, deviation := standardized(x, floatOr(n, "epsilon", defaultEpsilon), axesFrom(axis, x.Rank())...)
	y = mul(y, leftTo(v.get(n.Input[1]), x.Rank()))
	if shift := v.in(n, 2); shift != nil {
		y = add(y, leftTo(shift, x.Rank()))
	}
	v.set(n, y)
	v.setOutput(n, 1, func() *Node { return mean })
	v.setOutput(n, 2, func() *Node { return reciprocal(deviation) })
}

func leftTo(x *Node, rank int) *Node {
	if x.IsScalar() || x.Rank() >= rank {
		return x
	}
	return ExpandLeftToRank(x, rank)
}

func (v *values) rmsNorm(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axis := axisOf(int(intOr(n, "axis", -1)), x.Rank())
	square := ReduceAndKeep(Square(x), ReduceMean, axesFrom(axis, x.Rank())...)
	y := Div(x, Sqrt(AddScalar(square, floatOr(n, "epsilon", defaultEpsilon))))
	v.set(n, mul(y, leftTo(v.get(n.Input[1]), x.Rank())))
}

// meanVarianceNorm divides by the deviation plus 1e-9, as the format defines it.
func (v *values) meanVarianceNorm(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axes, given := v.list(n, "axes", 0)
	if !given {
		axes = []int{0, 2, 3}
	}
	for i := range axes {
		axes[i] = axisOf(axes[i], x.Rank())
	}
	y := Sub(x, ReduceAndKeep(x, ReduceMean, axes...))
	v.set(n, Div(y, AddScalar(Sqrt(ReduceAndKeep(Square(y), ReduceMean, axes...)), 1e-9)))
}

// lpNorm divides by the l1 or l2 norm along an axis; what is 0 throughout stays 0.
func (v *values) lpNorm(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	axis := axisOf(int(intOr(n, "axis", -1)), x.Rank())
	norm := reduceL2
	switch p := intOr(n, "p", 2); p {
	case 1:
		norm = reduceL1
	case 2:
	default:
		exceptions.Panicf("p %d: want 1 or 2", p)
	}
	v.set(n, normalized(x, axis, norm))
}

func normalized(x *Node, axis int, norm func(x *Node, axes []int) *Node) *Node {
	by := InsertAxes(norm(x, []int{axis}), axis)
	return div(x, Where(Equal(by, ZerosLike(by)), OnesLike(by), by))
}
