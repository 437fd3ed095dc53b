package onnx

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// TestLoopsAndUnrolledAgree compares the loop over time, whose gradient is written by hand, with the same layer unrolled, whose
// gradient GoMLX finds: values, and slopes by inputs, weights and states.
func TestLoopsAndUnrolledAgree(t *testing.T) {
	const times, batch, hidden = 4, 3, 2
	sigmoid, tanh := Sigmoid, Tanh
	rng := rand.New(rand.NewPCG(1, 2))
	numbers := func(dims ...int) *tensors.Tensor {
		values := make([]float64, product(dims))
		for i := range values {
			values[i] = rng.NormFloat64()
		}
		return tensors.FromFlatDataAndDimensions(values, dims...)
	}
	layers := map[string]*recurrentLayer{
		"RNN":  {op: "RNN", activations: []func(x *Node) *Node{tanh}, sigmoid: []bool{false}},
		"GRU":  {op: "GRU", activations: []func(x *Node) *Node{sigmoid, tanh}, sigmoid: []bool{true, false}},
		"LSTM": {op: "LSTM", activations: []func(x *Node) *Node{sigmoid, tanh, tanh}, sigmoid: []bool{true, false, false}},
	}
	for _, name := range []string{"RNN", "GRU", "GRU reset outside", "LSTM", "LSTM peepholes"} {
		for _, lengths := range []bool{false, true} {
			for i, backend := range []func() compute.Backend{hostBackend, func() compute.Backend { return testengine.Quick(t).Backend() }} {
				t.Run(fmt.Sprintf("%s lengths %v backend %d", name, lengths, i), func(t *testing.T) {
					op, _, _ := strings.Cut(name, " ")
					l := *layers[op]
					gates := recurrentGates[l.op].gates
					l.hidden, l.backwards, l.resetOutside = hidden, lengths, name == "GRU reset outside"
					out, err := CallOnceN(backend(), func(all []*Node) []*Node {
						if l.inputs, l.recurrent = all[0], all[1]; l.resetOutside {
							l.bias = all[4]
						}
						if name == "LSTM peepholes" {
							l.peepholes = all[5]
						}
						if lengths {
							l.lengths = Const(all[0].Graph(), [][]int32{{4}, {1}, {3}})
						}
						var results []*Node
						for _, l.loops = range []bool{true, false} {
							states, cell := l.run(all[2], all[3])
							by := append([]*Node{all[0], all[2], all[3]}, l.parts()...)
							results = append(results, states, cell)
							whole := Add(ReduceAllSum(Mul(states, all[6])), ReduceAllSum(Mul(cell, all[7])))
							results = append(results, Gradient(whole, by...)...)
						}
						return results
					}, numbers(times, batch, gates*hidden), numbers(hidden, gates*hidden), numbers(batch, hidden), numbers(batch, hidden), numbers(hidden),
						numbers(3*hidden), numbers(times, batch, hidden), numbers(batch, hidden))
					require.NoError(t, err)
					half := len(out) / 2
					require.GreaterOrEqual(t, half, 6)
					for k := range half {
						require.InDeltaSlice(t, tensors.MustCopyFlatData[float64](out[half+k]), tensors.MustCopyFlatData[float64](out[k]), 1e-10, k)
					}
				})
			}
		}
	}
}
