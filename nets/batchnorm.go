package nets

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// PyTorch's defaults.
const (
	batchNormEpsilon  = 1e-5
	batchNormMomentum = 0.1 // share of the new batch in the running averages
)

// batchNorm are the paths of a batch normalization, all [channels]: its weights, and the running averages that take the
// batch's place in evaluation.
type batchNorm struct{ scale, shift, mean, variance string }

func (b *builder) batchNorm(scope string, channels int) batchNorm {
	return batchNorm{scale: b.vector(scope, "scale", ones(channels)), shift: b.vector(scope, "shift", make([]float32, channels)),
		mean: b.state(scope, "mean", make([]float32, channels)), variance: b.state(scope, "variance", ones(channels))}
}

// graph normalizes every channel, the last axis of x, to mean 0 and variance 1 over all other axes, then scales and
// shifts (Ioffe and Szegedy, arXiv 1502.03167). In training graphs it takes the batch's own mean and variance, and
// moves the running averages towards them (towards the unbiased variance, as PyTorch does).
func (l batchNorm) graph(scope *model.Scope, x *Node) *Node {
	row := func(v *Node) *Node { return ExpandLeftToRank(v, x.Rank()) }
	at := func(path string) *Node { return node(scope, path, x) }
	if !scope.IsTraining(x.Graph()) {
		factor := Div(at(l.scale), Sqrt(AddScalar(at(l.variance), batchNormEpsilon)))
		return Add(Mul(x, row(factor)), row(Sub(at(l.shift), Mul(at(l.mean), factor))))
	}
	channels := x.Shape().Dimensions[x.Rank()-1]
	rows := Reshape(x, -1, channels)
	n := rows.Shape().Dimensions[0]
	mean := ReduceMean(rows, 0)
	centered := Sub(x, row(mean))
	variance := ReduceMean(Reshape(Square(centered), -1, channels), 0)
	move := func(path string, to *Node) {
		v := scope.Store().GetVariable(path)
		v.SetNodeValue(Add(MulScalar(at(path), 1-batchNormMomentum), MulScalar(StopGradient(to), batchNormMomentum)))
	}
	move(l.mean, mean)
	move(l.variance, MulScalar(variance, float64(n)/float64(max(1, n-1))))
	factor := Div(at(l.scale), Sqrt(AddScalar(variance, batchNormEpsilon)))
	return Add(Mul(centered, row(factor)), row(at(l.shift)))
}

// Evaluating builds what fn builds with layers in evaluation mode, as attacks want them in the middle of a training
// graph: batch normalization by its running averages, which stay as they are, and nothing dropped.
func Evaluating(scope *model.Scope, g *Graph, fn func()) {
	store := scope.Store()
	before := store.IsTraining(g)
	store.SetTraining(g, false)
	defer store.SetTraining(g, before)
	fn()
}

func ones(n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = 1
	}
	return values
}
