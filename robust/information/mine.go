package information

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
)

// DonskerVaradhan builds the bound on mutual information of a statistic T on pairs that belong together and pairs that do not, both
// [..., samples], as [...], in nats:
//
//	mean T(joint) - ln mean exp T(marginal)
//
// (Donsker and Varadhan; Belghazi et al., arXiv 1801.04062, equation 10). The largest value is taken out of the exponential, so that
// none overflows. Panics on error.
func DonskerVaradhan(joint, marginal *Node) *Node {
	last := marginal.Rank() - 1
	largest := StopGradient(ReduceAndKeep(marginal, ReduceMax, last))
	mean := ReduceMean(Exp(Sub(marginal, largest)), last)
	return Sub(ReduceMean(joint, -1), Add(Log(mean), Squeeze(largest, last)))
}

// MINE estimates the mutual information of paired samples, of any distributions, by a network that learns to tell pairs that belong
// together from pairs that do not (Belghazi et al., arXiv 1801.04062). The network is that of arXiv 2103.01895: two linear layers for
// each of the pair, the sum of both through a ReLU, and a linear layer. It is trained by Adam on half of the samples, and the
// estimate is taken on the other half, which it never saw: what it learns by heart does not count. Estimates are bounds from below
// but for chance, which may take them below 0, and are poor beyond a few nats.
type MINE struct {
	Hidden       int     // width of the first layers; zero: 64
	Steps        int     // zero: 3000
	BatchSize    int     // zero: 512, or all there are if less
	LearningRate float64 // zero: 1e-3
	Seed         int64   // of weights, of how samples are halved, batched and paired
	Progress     report.Progress
}

const mineCode = 10 // values of the second layers

// Estimate returns the mutual information in nats of paired samples x, float32 [n, p], and y, float32 [n, q]: row i of one belongs to
// row i of the other. Rows must be independent of each other, and n at least 8.
func (m MINE) Estimate(ctx context.Context, e *engine.Engine, x, y *tensors.Tensor) (float64, error) {
	m, err := m.settled(x, y)
	if err != nil {
		return 0, err
	}
	n, rng := x.Shape().Dimensions[0], rand.New(rand.NewPCG(uint64(m.Seed), 0x4d494e45))
	halves := rng.Perm(n)
	train, test := halves[:n-n/2], halves[n-n/2:]
	net, err := newStatistic(m.Hidden, x.Shape().Dimensions[1], y.Shape().Dimensions[1], rng)
	if err != nil {
		return 0, err
	}
	xs, ys := tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](y)
	size := min(m.BatchSize, len(train))
	a := fit.Alternation{Name: net.Name, Key: "mine", Store: net.Store, Steps: m.Steps, Every: m.Steps, Seed: m.Seed,
		Updates: []fit.Update{{Name: "-MINE", Trains: []*nets.Network{net}, Rule: fit.Rule{LearningRate: m.LearningRate},
			Batch: func(int) ([]any, error) {
				rows, others := draw(rng, train, size), draw(rng, train, size)
				return []any{pick(xs, x, rows), pick(ys, y, rows), pick(ys, y, others)}, nil
			},
			Loss: func(scope *model.Scope, _ *Graph, b []*Node) *Node { return Neg(bound(scope, b[0], b[1], b[2])) }}}}
	if _, err := a.Train(ctx, e, fit.Options{Progress: m.Progress}); err != nil {
		return 0, errors.WithMessage(err, "information: MINE")
	}
	exec, err := model.NewExec(e.Backend(), net.Store, bound)
	if err != nil {
		return 0, err
	}
	out, err := exec.Call(pick(xs, x, test), pick(ys, y, test), pick(ys, y, turned(test)))
	if err != nil {
		return 0, errors.WithMessage(err, "information: MINE")
	}
	return float64(tensors.ToScalar[float32](out[0])), nil
}

// settled checks the samples and fills in the defaults.
func (m MINE) settled(x, y *tensors.Tensor) (MINE, error) {
	m.Hidden, m.Steps = cmp.Or(m.Hidden, 64), cmp.Or(m.Steps, 3000)
	m.BatchSize, m.LearningRate = cmp.Or(m.BatchSize, 512), cmp.Or(m.LearningRate, 1e-3)
	if m.Progress == nil {
		m.Progress = report.Silent{}
	}
	switch {
	case m.Hidden < 1 || m.Steps < 1 || m.BatchSize < 2:
		return m, errors.Errorf("information: MINE with Hidden = %d, Steps = %d, BatchSize = %d: want at least 1, 1 and 2",
			m.Hidden, m.Steps, m.BatchSize)
	case !(m.LearningRate > 0) || math.IsInf(m.LearningRate, 1):
		return m, errors.Errorf("information: MINE with LearningRate = %g: must be finite and > 0", m.LearningRate)
	case x == nil || y == nil:
		return m, errors.New("information: MINE without samples: want x, float32 [n, p], and y, float32 [n, q]")
	}
	for _, s := range []*tensors.Tensor{x, y} {
		if s.DType() != dtypes.Float32 || s.Rank() != 2 || s.Shape().Dimensions[1] < 1 {
			return m, errors.Errorf("information: MINE of samples %s: want float32 [n, values]", s.Shape())
		}
	}
	n, other := x.Shape().Dimensions[0], y.Shape().Dimensions[0]
	if n != other || n < 8 {
		return m, errors.Errorf("information: MINE of %d and %d samples: want as many of both, and at least 8", n, other)
	}
	for k, s := range []*tensors.Tensor{x, y} {
		size := s.Shape().Dimensions[1]
		for i, v := range tensors.MustCopyFlatData[float32](s) {
			if v-v != 0 {
				return m, errors.Errorf("information: MINE: value %g of %c at [%d,%d] is not finite", v, "xy"[k], i/size, i%size)
			}
		}
	}
	return m, nil
}

// newStatistic makes the network's weights: Glorot's uniform ones, and biases of 0.
func newStatistic(hidden, p, q int, rng *rand.Rand) (*nets.Network, error) {
	n := &nets.Network{Name: "MINE", Store: model.NewStore()}
	add := func(name string, in, out int) error {
		flat, limit := make([]float32, in*out), math.Sqrt(6/float64(in+out))
		for i := range flat {
			flat[i] = float32(limit * (2*rng.Float64() - 1))
		}
		v, err := n.Store.RootScope().CreateVariable(name, tensors.FromFlatDataAndDimensions(flat, in, out))
		if err == nil {
			n.WeightPaths = append(n.WeightPaths, v.Path())
		}
		return err
	}
	bias := func(name string, out int) error {
		v, err := n.Store.RootScope().CreateVariable(name, tensors.FromFlatDataAndDimensions(make([]float32, out), out))
		if err == nil {
			n.WeightPaths = append(n.WeightPaths, v.Path())
		}
		return err
	}
	for i, in := range []int{p, q} {
		side := string("xy"[i])
		if err := cmp.Or(add(side+"1", in, hidden), bias(side+"1_bias", hidden), add(side+"2", hidden, mineCode),
			bias(side+"2_bias", mineCode)); err != nil {
			return nil, err
		}
	}
	return n, add("out", mineCode, 1)
}

// bound builds the estimate on pairs x, y that belong together and x, other that do not.
func bound(scope *model.Scope, x, y, other *Node) *Node {
	weight := func(name string) *Node { return scope.Store().GetVariable("/" + name).NodeValue(x.Graph()) }
	branch := func(side string, x *Node) *Node {
		x = Add(MatMul(x, weight(side+"1")), InsertAxes(weight(side+"1_bias"), 0))
		return Add(MatMul(x, weight(side+"2")), InsertAxes(weight(side+"2_bias"), 0))
	}
	ours := branch("x", x)
	statistic := func(theirs *Node) *Node { return Squeeze(MatMul(nets.ReLU(Add(ours, theirs)), weight("out")), -1) }
	return DonskerVaradhan(statistic(branch("y", y)), statistic(branch("y", other)))
}

// draw takes so many of the rows, none twice, in random order.
func draw(rng *rand.Rand, rows []int, n int) []int {
	for i := range n {
		j := i + rng.IntN(len(rows)-i)
		rows[i], rows[j] = rows[j], rows[i]
	}
	return slices.Clone(rows[:n])
}

// turned pairs each row with the next, which is another's: the samples are in random order.
func turned(rows []int) []int { return append(slices.Clone(rows[1:]), rows[0]) }

func pick(flat []float32, of *tensors.Tensor, rows []int) *tensors.Tensor {
	size := of.Shape().Dimensions[1]
	return tensors.FromFlatDataAndDimensions(nets.PickRows(flat, size, rows), len(rows), size)
}
