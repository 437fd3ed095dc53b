// Package nettest has what must hold for every network, built here or imported.
package nettest

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

const batch = 3

// StagesAreTheNetwork requires that one stage after the other, each keeping the batch, computes the logits.
func StagesAreTheNetwork(t *testing.T, m *nets.Model) {
	t.Helper()
	sameAsLogits(t, m, func(scope *model.Scope, x *Node) *Node {
		for _, s := range m.Stages() {
			x = s.Graph(scope, x)
			require.Equal(t, batch, x.Shape().Dimensions[0], s.Name)
		}
		return x
	})
}

// DenseIsTheEnd requires that the features, then the listed dense layers, multiplied out here, are the logits.
func DenseIsTheEnd(t *testing.T, m *nets.Model) {
	t.Helper()
	require.NotEmpty(t, m.Dense)
	require.Equal(t, nets.ActNone, m.Dense[len(m.Dense)-1].Activation)
	sameAsLogits(t, m, func(scope *model.Scope, images *Node) *Node {
		x := Reshape(images, batch, -1)
		if m.Features != nil {
			x = m.Features(scope, images)
		}
		for _, l := range m.Dense {
			x = MatMul(x, scope.Store().GetVariable(l.Weight).NodeValue(x.Graph()))
			if l.Bias != "" {
				x = Add(x, InsertAxes(scope.Store().GetVariable(l.Bias).NodeValue(x.Graph()), 0))
			}
			x = l.Activation.Graph(x)
		}
		return x
	})
}

// sameAsLogits compares a graph function with the model's logits, to 1e-5 of the largest.
func sameAsLogits(t *testing.T, m *nets.Model, f func(scope *model.Scope, images *Node) *Node) {
	t.Helper()
	exec, err := model.NewExec(testengine.Quick(t).Backend(), m.Store, func(scope *model.Scope, images *Node) []*Node {
		return []*Node{f(scope, images), m.Logits(scope, images)}
	})
	require.NoError(t, err)
	size := batch
	for _, d := range m.InputShape {
		size *= d
	}
	pixels := make([]float32, size)
	for i := range pixels {
		pixels[i] = float32(i%17) / 17
	}
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(pixels, append([]int{batch}, m.InputShape...)...))
	require.NoError(t, err)
	require.Equal(t, out[1].Shape().Dimensions, out[0].Shape().Dimensions)
	got, want := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	require.Positive(t, largest)
	require.InDeltaSlice(t, want, got, 1e-5*largest)
}
