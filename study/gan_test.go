package study_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/janpfeifer/must"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// config is a study of a tiny GAN, whose generator learns where the numbers of a normal distribution lie.
type config struct {
	Scale    string          `json:"scale"`
	Seeds    []int64         `json:"seeds"`
	Steps    int             `json:"steps"`
	Dir      string          `json:"-"`
	Shard    study.Shard     `json:"-"`
	Progress report.Progress `json:"-"`
}

type measured struct {
	Seed int64   `json:"seed"`
	Mean float64 `json:"mean"` // of what the generator draws
}

type result struct {
	GANs []measured `json:"gans"`
}

const truth, batch = 3.0, 64

func run(ctx context.Context, e *engine.Engine, c config) (*result, error) {
	w, err := study.NewWork(c.Dir, c.Shard, c.Progress)
	if err != nil {
		return nil, study.First("toy", err)
	}
	r := &result{}
	for i, seed := range c.Seeds {
		gan := study.Piece[measured]{Name: study.Label("GAN", seed), Key: "toy-" + fit.Hash(seed, c.Steps), Group: i, Tasks: 1,
			Do: func() (measured, error) { return train(ctx, e, c, seed) }}
		if err := study.Do(w, &r.GANs, gan); err != nil {
			return nil, study.First("toy", err)
		}
	}
	return r, study.First("toy", w.Finish())
}

// train alternates a linear generator and a discriminator, and measures what the generator draws.
func train(ctx context.Context, e *engine.Engine, c config, seed int64) (m measured, err error) {
	store, rng := model.NewStore(), rand.New(rand.NewPCG(uint64(seed), 1))
	network := func(name string, shapes ...[]int) *nets.Network {
		n := &nets.Network{Name: name, Store: store}
		for i, s := range shapes {
			values := make([]float32, s[0]*s[1])
			for k := range values {
				values[k] = float32(rng.NormFloat64() / 2)
			}
			n.WeightPaths = append(n.WeightPaths, fmt.Sprintf("/%s/w%d", name, i))
			must.M1(store.CreateVariable(n.WeightPaths[i], tensors.FromFlatDataAndDimensions(values, s...)))
		}
		return n
	}
	maker, judge := network("maker", []int{2, 1}), network("judge", []int{2, 16}, []int{17, 1})
	layer := func(scope *model.Scope, n *nets.Network, i int, x *Node) *Node { // an input of ones gives it a bias
		ones := OnesLike(Slice(x, AxisRange(), AxisRange(0, 1)))
		return MatMul(Concatenate([]*Node{x, ones}, -1), scope.Store().GetVariable(n.WeightPaths[i]).NodeValue(x.Graph()))
	}
	noise := func(scope *model.Scope, g *Graph) *Node {
		return scope.RandomNormal(g, shapes.Make(dtypes.Float32, batch, 1))
	}
	real := func(scope *model.Scope, g *Graph) *Node { return AddScalar(noise(scope, g), truth) }
	draw := func(scope *model.Scope, g *Graph) *Node { return layer(scope, maker, 0, noise(scope, g)) }
	judged := func(scope *model.Scope, x *Node) *Node {
		return layer(scope, judge, 1, Tanh(layer(scope, judge, 0, x)))
	}
	rule := fit.Rule{LearningRate: 0.02, Beta1: 0.5}
	gan := fit.Alternation{Name: "toy GAN", Key: fmt.Sprint(seed), Store: store, Steps: c.Steps, Seed: seed, Updates: []fit.Update{
		{Name: "judge", Trains: []*nets.Network{judge}, Rule: rule, Loss: func(scope *model.Scope, g *Graph, _ []*Node) *Node { // least squares
			return ReduceAllMean(Add(Square(AddScalar(judged(scope, real(scope, g)), -1)), Square(judged(scope, draw(scope, g)))))
		}},
		{Name: "maker", Trains: []*nets.Network{maker}, Rule: rule, Loss: func(scope *model.Scope, g *Graph, _ []*Node) *Node {
			return ReduceAllMean(Square(AddScalar(judged(scope, draw(scope, g)), -1)))
		}}}}
	if _, err := gan.Train(ctx, e, fit.Options{Dir: c.Dir, Progress: c.Progress}); err != nil {
		return m, err
	}
	line := tensors.MustCopyFlatData[float32](must.M1(maker.Weights()[0].Value()))
	return measured{seed, float64(line[1])}, nil // the bias is the mean of what is drawn
}

// TestGANStudy: a study of networks that are no classifiers trains, is stopped, resumes, shards and merges.
func TestGANStudy(t *testing.T) {
	c := config{Scale: "quick", Seeds: []int64{1, 2, 3, 4}, Steps: 400}
	r := studytest.Repeats(t, testengine.Quick(t), c, run, []int{7, 450, 900}, 3)
	means := study.Values(r.GANs, study.Always(func(m measured) float64 { return m.Mean }))
	far := study.Minus(means, []float64{truth, truth, truth, truth})
	source := study.Source{Paper: "0000.00000", Scale: c.Scale, N: batch, Seeds: c.Seeds}
	claims := source.Number([]report.Claim{{Sentence: "It finds the mean.", Parts: []report.ClaimPart{
		{Statement: "not below", Test: report.Test{Values: far, Relation: report.Above, Threshold: -1}},
		{Statement: "not above", Test: report.Test{Values: far, Relation: report.Below, Threshold: 1}}}}})
	require.Equal(t, report.Replicated, claims[0].Verdict(), "%v", means)
}
