package uae

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

const side = 8

// strokes are images of one or two bright bars on black, which overlap the border, like digits mostly 0.
func strokes(n int, seed uint64) *tensors.Tensor {
	rng := rand.New(rand.NewPCG(seed, 9))
	flat := make([]float32, n*side*side)
	for i := range n {
		image := flat[i*side*side:][:side*side]
		for range 1 + rng.IntN(2) {
			at, from, length, across := 1+rng.IntN(side-2), rng.IntN(3), 4+rng.IntN(4), rng.IntN(2) == 0
			for k := from; k < min(side, from+length); k++ {
				j := at*side + k
				if !across {
					j = k*side + at
				}
				image[j] = float32(0.6 + 0.4*rng.Float64())
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, n, side, side, 1)
}

// convolutional is a network of two convolutions from images to images, the stages of which are told: input, outputs, then a sigmoid.
func convolutional(t testing.TB, input []int, seed uint64) *nets.Model {
	const kernels, channels = 3, 8
	rng := rand.New(rand.NewPCG(seed, 3))
	store := model.NewStore()
	m := &nets.Model{Network: nets.Network{Name: "small autoencoder", Store: store}, InputShape: input,
		Lower: 0, Upper: 1, Classes: product(input)}
	c := input[2]
	sizes := map[string][]int{"in": {kernels, kernels, c, channels}, "out": {kernels, kernels, channels, c}}
	for _, name := range []string{"in", "out"} {
		shape := sizes[name]
		flat := make([]float32, product(shape))
		for i := range flat {
			flat[i] = float32(rng.NormFloat64() * math.Sqrt(2/float64(kernels*kernels*shape[2])))
		}
		v, err := store.RootScope().CreateVariable(name, tensors.FromFlatDataAndDimensions(flat, shape...))
		require.NoError(t, err)
		m.WeightPaths = append(m.WeightPaths, v.Path())
	}
	at := func(scope *model.Scope, name string, x *Node) *Node {
		return ConvertDType(scope.Store().GetVariable("/"+name).NodeValue(x.Graph()), x.DType())
	}
	m.Body = []nets.Stage{
		{Name: "in", Graph: func(scope *model.Scope, x *Node) *Node { return nets.ReLU(nets.Conv2D(x, at(scope, "in", x))) }},
		{Name: "pool", Graph: func(_ *model.Scope, x *Node) *Node { return nets.MeanPool2D(x, 2) }},
		{Name: "out", Graph: func(scope *model.Scope, x *Node) *Node {
			d := x.Shape().Dimensions
			x = Reshape(BroadcastToDims(InsertAxes(x, 2, 3), d[0], d[1], 2, d[2], 2, d[3]), d[0], 2*d[1], 2*d[2], d[3])
			return Sigmoid(AddScalar(MulScalar(nets.Conv2D(x, at(scope, "out", x)), 4), -2))
		}}}
	m.Logits = func(scope *model.Scope, x *Node) *Node {
		for _, s := range m.Body {
			x = s.Graph(scope, x)
		}
		return x
	}
	return m
}

// autoencoder is a small one, trained on strokes.
func autoencoder(t testing.TB) *nets.Model {
	m := convolutional(t, []int{side, side, 1}, 1)
	batches, err := fit.Batches(strokes(256, 1), 64, 1)
	require.NoError(t, err)
	a := fit.Alternation{Name: m.Name, Store: m.Store, Steps: 300, Every: 300, Updates: []fit.Update{{Name: "error",
		Trains: []*nets.Network{&m.Network}, Rule: fit.Rule{LearningRate: 1e-2}, Batch: batches,
		Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node {
			return ReduceAllMean(squares(Sub(batch[0], m.Logits(scope, batch[0]))))
		}}}}
	losses, err := a.Train(context.Background(), testengine.Quick(t), fit.Options{})
	require.NoError(t, err)
	t.Log("training error", losses)
	return m
}
