package onnx

import (
	"encoding/binary"
	"math"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/float16"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"
)

// This file builds ensembles of trees: all trees of all examples are walked together, a level at a time.

// isTrees tells whether a node is an ensemble of trees.
func isTrees(n *protos.NodeProto) bool {
	switch operatorName(n) {
	case domainML + ".TreeEnsembleClassifier", domainML + ".TreeEnsembleRegressor", domainML + ".TreeEnsemble":
		return true
	}
	return false
}

// splitTrees checks an ensemble, and puts its rows in place of the file's lists: as inputs, so that large ones lie in the store and
// in no graph. The label of a classifier, its first output, is never needed here.
func (g *network) splitTrees(n *protos.NodeProto) ([]*protos.NodeProto, error) {
	var e *ensemble
	var base []float64
	var err error
	aggregate, post := stringOr(n, "aggregate_function", "SUM"), stringOr(n, "post_transform", "NONE")
	switch n.OpType {
	case "TreeEnsembleClassifier":
		if len(n.Output) < 2 {
			return nil, errors.Errorf("%s puts out no scores", nodeLabel(n))
		}
		e, base, err = classifier(n)
		n.Output = n.Output[1:2]
	case "TreeEnsembleRegressor":
		e, base, err = regressor(n)
	default:
		aggregate = setAggregates[intOr(n, "aggregate_function", 1)]
		if number := intOr(n, "post_transform", 0); number != 0 {
			return nil, errors.Errorf("%s: post_transform %d is not supported: ONNX Runtime and the format differ in it", nodeLabel(n), number)
		}
		post = "NONE"
		e, err = treeSet(n)
	}
	depth := 0
	if err == nil {
		depth, err = e.depth()
	}
	if err == nil && len(base) != 0 && len(base) != e.targets {
		err = errors.Errorf("%d base values for %d targets", len(base), e.targets)
	}
	if err != nil {
		return nil, errors.WithMessage(err, nodeLabel(n))
	}
	if err := g.layTrees(n, e, base, aggregate); err != nil {
		return nil, err
	}
	highest := int64(0)
	for _, b := range e.branches {
		highest = max(highest, b.feature)
	}
	n.Attribute = []*protos.AttributeProto{intAttribute("depth", int64(depth)), intAttribute("highest", highest),
		stringAttribute("aggregate_function", aggregate)}
	return g.transformed(n, post)
}

// setAggregates are the functions of TreeEnsemble, by their numbers.
var setAggregates = map[int64]string{0: "AVERAGE", 1: "SUM", 2: "MIN", 3: "MAX"}

// layTrees makes the inputs of an ensemble: features, thresholds, the nodes that follow, roots, weights, and what is added.
func (g *network) layTrees(n *protos.NodeProto, e *ensemble, base []float64, aggregate string) error {
	none, combine := 0.0, func(a, b float64) float64 { return a + b }
	switch aggregate {
	case "SUM", "AVERAGE":
	case "MIN":
		none, combine = math.Inf(1), math.Min
	case "MAX":
		none, combine = math.Inf(-1), math.Max
	default:
		return errors.Errorf("%s: aggregate_function %q is not supported", nodeLabel(n), aggregate)
	}
	features, thresholds, next := e.rows()
	roots := make([]int32, len(e.roots))
	for i, root := range e.roots {
		if roots[i] = int32(root); root < 0 {
			roots[i] = int32(len(e.branches) + ^root)
		}
	}
	if len(base) == 0 {
		base = make([]float64, e.targets)
	}
	leaves, targets := int64(e.leaves), int64(e.targets)
	for _, t := range []*protos.TensorProto{placeTensor(features), numberTensor(thresholds, e.wide, int64(len(thresholds))), placeTensor(next),
		placeTensor(roots), numberTensor(e.weights(none, combine), e.wide, leaves, targets), numberTensor(base, e.wide, 1, targets)} {
		n.Input = append(n.Input, g.addConstant(t))
		g.tables[t.Name] = true
	}
	return nil
}

func placeTensor(values []int32) *protos.TensorProto {
	t := &protos.TensorProto{DataType: int32(protos.TensorProto_INT32), Dims: []int64{int64(len(values))}, Int32Data: values}
	t.RawData, t.Int32Data = typedBytes(t), nil
	return t
}

func numberTensor(values []float64, wide bool, dims ...int64) *protos.TensorProto {
	if wide {
		t := &protos.TensorProto{DataType: int32(protos.TensorProto_DOUBLE), Dims: dims, DoubleData: values}
		t.RawData, t.DoubleData = typedBytes(t), nil
		return t
	}
	narrow := make([]float32, len(values))
	for i, v := range values {
		narrow[i] = float32(v)
	}
	return floatTensor("", narrow, dims...)
}

// tensorNumbers are the numbers of a tensor in an attribute; wide tells whether they are of double precision.
func tensorNumbers(name string, t *protos.TensorProto) (numbers []float64, wide bool, err error) {
	raw := t.RawData
	switch protos.TensorProto_DataType(t.DataType) {
	case protos.TensorProto_FLOAT:
		for _, v := range floatsOf(t) {
			numbers = append(numbers, float64(v))
		}
	case protos.TensorProto_DOUBLE:
		wide = true
		for ; len(raw) >= 8; raw = raw[8:] {
			numbers = append(numbers, math.Float64frombits(binary.LittleEndian.Uint64(raw)))
		}
	case protos.TensorProto_FLOAT16:
		for ; len(raw) >= 2; raw = raw[2:] {
			numbers = append(numbers, float64(float16.FromBits(binary.LittleEndian.Uint16(raw)).Float32()))
		}
	case protos.TensorProto_UINT8:
		for _, v := range raw {
			numbers = append(numbers, float64(v))
		}
	default:
		return nil, false, errors.Errorf("%s holds %s: not supported", name, protos.TensorProto_DataType(t.DataType))
	}
	return numbers, wide, nil
}

// trees walks from the roots to the leaves, and joins what these give. It has no slope.
func (v *values) trees(n *protos.NodeProto) {
	x, out := StopGradient(v.get(n.Input[0])), dtypes.Float32
	if n.OpType == "TreeEnsemble" { // the others put out no other type
		out = x.DType()
	}
	if x.Rank() != 2 {
		exceptions.Panicf("its input has shape %s: want [batch, features]", x.Shape())
	}
	features, thresholds, next := v.get(n.Input[1]), v.get(n.Input[2]), v.get(n.Input[3])
	roots, weights, base := v.get(n.Input[4]), v.get(n.Input[5]), v.get(n.Input[6])
	if x.DType() != dtypes.Float64 {
		if x = castTo(x, dtypes.Float32); weights.DType() == dtypes.Float64 {
			exceptions.Panicf("trees in double precision of an input that is not: not supported")
		}
	}
	if most, columns := int(intOr(n, "highest", 0)), x.Shape().Dimensions[1]; most >= columns {
		exceptions.Panicf("looks at feature %d of %d", most, columns)
	}
	g, count := x.Graph(), roots.Shape().Size()
	places := shapeOf(dtypes.Int32, []int{x.Shape().Dimensions[0], count})
	start := BroadcastToDims(InsertAxes(roots, 0), places.Dimensions...)
	walk := func(_ *Node, state []*Node) []*Node {
		at, x, example, features, thresholds, next := state[0], state[1], state[2], state[3], state[4], state[5]
		value := Gather(x, Concatenate([]*Node{InsertAxes(example, -1), InsertAxes(lookUp(features, at), -1)}, -1))
		threshold := ConvertDType(lookUp(thresholds, at), x.DType())
		is := func(i int) *Node { return Const(at.Graph(), int32(i)) }
		relation := Where(LessThan(value, threshold), is(0), Where(Equal(value, threshold), is(1),
			Where(GreaterThan(value, threshold), is(2), is(3))))
		return append([]*Node{lookUp(next, Add(Mul(at, is(4)), relation))}, state[1:]...)
	}
	at := start
	if depth := int(intOr(n, "depth", 0)); depth > 0 {
		at = loop(depth, []*Node{start, x, Iota(g, places, 0), features, thresholds, next}, walk)[0]
	}
	inner := features.Shape().Size() - weights.Shape().Dimensions[0]
	given := ConvertDType(lookUp(weights, AddScalar(at, -inner)), x.DType()) // [batch, trees, targets]
	var y *Node
	switch aggregate := stringOr(n, "aggregate_function", "SUM"); aggregate {
	case "MIN", "MAX":
		if y = ReduceMin(given, 1); aggregate == "MAX" {
			y = ReduceMax(given, 1)
		}
		y = Where(IsFinite(y), y, ZerosLike(y)) // of a target that no leaf gives anything to
	case "AVERAGE":
		y = DivScalar(ReduceSum(given, 1), float64(count))
	default:
		y = ReduceSum(given, 1)
	}
	v.set(n, castTo(Add(y, ConvertDType(base, x.DType())), out))
}

// lookUp takes the rows of a table at places.
func lookUp(table, places *Node) *Node { return Gather(table, InsertAxes(places, -1)) }
