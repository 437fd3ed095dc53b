package scoring

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/trustbook/trustbook/nets"
)

// graphFn is a graph of several inputs and outputs.
type graphFn = func(scope *model.Scope, args []*Node) []*Node

// pick takes rows int32 [batch] of a tensor [all, ...].
func pick(all, rows *Node) *Node { return Gather(all, InsertAxes(rows, -1)) }

func through(stages []nets.Stage, scope *model.Scope, x *Node) *Node {
	for _, s := range stages {
		x = s.Graph(scope, x)
	}
	return x
}

// hiddenGraph builds what stages make of the images of rows. Inputs: images [n, ...], rows int32 [batch].
func hiddenGraph(stages []nets.Stage) graphFn {
	return func(scope *model.Scope, args []*Node) []*Node {
		x := through(stages, scope, pick(args[0], args[1]))
		if x.DType() != dtypes.Float32 {
			exceptions.Panicf("layer of type %s: want float32", x.DType())
		}
		return []*Node{x}
	}
}

// correctGraph perturbs values and sends them through the stages. Inputs: values [n, ...], noise of that shape (or a scalar,
// unused), rows, partners and labels int32 [batch], how many of the batch count, the magnitude. Outputs: how many of these are
// classified as their label, and how many have logits that are not finite.
func correctGraph(stages []nets.Stage, p Perturbation, height, width int) graphFn {
	return func(scope *model.Scope, args []*Node) []*Node {
		values, noise, rows, partners, labels, count, magnitude := args[0], args[1], args[2], args[3], args[4], args[5], args[6]
		needs := p.Needs()
		s := Sample{Values: pick(values, rows), Magnitude: ConvertDType(magnitude, values.DType()), Height: height, Width: width}
		if needs.Partner != NoPartner {
			s.Partner = pick(values, partners)
		}
		if needs.Noise {
			s.Noise = pick(noise, rows)
		}
		x := p.Apply(s)
		if !x.Shape().Equal(s.Values.Shape()) {
			exceptions.Panicf("%s makes %s of %s: it must keep the shape", p.Name(), x.Shape(), s.Values.Shape())
		}
		logits := through(stages, scope, x)
		counts := LessThan(Iota(values.Graph(), shapes.Make(dtypes.Int32, rows.Shape().Dimensions[0]), 0), count)
		total := func(which *Node) *Node { return ReduceAllSum(ConvertDType(LogicalAnd(which, counts), dtypes.Int64)) }
		return []*Node{total(Equal(ArgMax(logits, -1, dtypes.Int32), labels)), total(LogicalNot(LogicalAll(IsFinite(logits), -1)))}
	}
}

// perturbGraph builds perturbed images. Inputs: images [n, ...], noise of that shape, partners int32 [n], the magnitude.
func perturbGraph(p Perturbation, height, width int) graphFn {
	return func(_ *model.Scope, args []*Node) []*Node {
		return []*Node{p.Apply(Sample{Values: args[0], Noise: args[1], Partner: pick(args[0], args[2]), Magnitude: args[3],
			Height: height, Width: width})}
	}
}

// marginGraph builds the margin of the label's logit over the largest other one, and the predicted class. Inputs: images
// [n, ...], rows and labels int32 [batch].
func marginGraph(m *nets.Model) graphFn {
	return func(scope *model.Scope, args []*Node) []*Node {
		logits := m.Logits(scope, pick(args[0], args[1]))
		own := OneHot(args[2], m.Classes, logits.DType())
		others := Sub(logits, MulScalar(own, 1e30))
		return []*Node{Sub(ReduceSum(Mul(logits, own), -1), ReduceMax(others, -1)), ArgMax(logits, -1, dtypes.Int32)}
	}
}
