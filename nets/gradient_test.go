package nets_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
)

func mlp(t *testing.T) *nets.Model {
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{2, 3}, Hidden: []int{8, 7}, Classes: 3, Seed: 1})
	require.NoError(t, err)
	return m
}

func cnn(t *testing.T, mean bool, depth int) *nets.Model {
	m, err := nets.NewCNN(nets.CNNConfig{Input: []int{8, 6, depth}, Channels: []int{3, 4}, Dense: 5, Classes: 3, MeanPool: mean, Seed: 1})
	require.NoError(t, err)
	return m
}

func strided(t *testing.T, depth int) *nets.Model {
	m, err := nets.NewCNN(nets.CNNConfig{Input: []int{8, 6, depth}, Channels: []int{3, 4}, Dense: 5, Classes: 3, Strided: true, Seed: 1})
	require.NoError(t, err)
	return m
}

// TestForward compares the networks with plain loops over float64 that share no code with them.
func TestForward(t *testing.T) {
	cases := map[string]*nets.Model{
		"MLP": mlp(t), "CNN max": cnn(t, false, 1), "CNN mean": cnn(t, true, 1), "CNN max, deep input": cnn(t, false, 5),
		"CNN strided": strided(t, 1), "CNN strided, deep input": strided(t, 5),
	}
	for name, m := range cases {
		weights := float64Weights(t, m)
		x := images(m, 3, 5)
		var want []float64
		size := x.Size() / 3
		for i := range 3 {
			want = append(want, slowLogits(m, weights, tensors.MustCopyFlatData[float32](x)[i*size:(i+1)*size], name)...)
		}
		for backend, b := range backends(t) {
			t.Run(name+" "+backend, func(t *testing.T) {
				exec, err := model.NewExec(b, float64Store(t, m, weights), m.Logits)
				require.NoError(t, err)
				out, err := exec.Call(double(x))
				require.NoError(t, err)
				require.Equal(t, []int{3, 3}, out[0].Shape().Dimensions)
				require.InDeltaSlice(t, want, tensors.MustCopyFlatData[float64](out[0]), 1e-9)
			})
		}
	}
}

// TestGradients compares the gradients of a weighted sum of logits by the images and by every weight with central
// differences in double precision.
func TestGradients(t *testing.T) {
	cases := map[string]*nets.Model{
		"MLP": mlp(t), "CNN max": cnn(t, false, 1), "CNN mean": cnn(t, true, 1), "CNN max, deep input": cnn(t, false, 5),
		"CNN strided": strided(t, 1),
	}
	for name, m := range cases {
		for backend, b := range backends(t) {
			t.Run(name+" "+backend, func(t *testing.T) {
				weights := float64Weights(t, m)
				store := float64Store(t, m, weights)
				value := func(scope *model.Scope, x *Node) *Node {
					z := m.Logits(scope, x)
					return ReduceAllSum(Mul(z, Sin(Add(IotaFull(x.Graph(), z.Shape()), ScalarOne(x.Graph(), z.DType())))))
				}
				gradients, err := model.NewExec(b, store, func(scope *model.Scope, x *Node) []*Node {
					of := []*Node{x}
					for _, path := range m.WeightPaths {
						of = append(of, scope.Store().GetVariable(path).NodeValue(x.Graph()))
					}
					return Gradient(value(scope, x), of...)
				})
				require.NoError(t, err)
				x := double(images(m, 2, 6))
				got, err := gradients.Call(x)
				require.NoError(t, err)
				exec, err := model.NewExec(b, store, value)
				require.NoError(t, err)
				at := func(x *tensors.Tensor) float64 {
					out, err := exec.Call(x)
					require.NoError(t, err)
					return tensors.ToScalar[float64](out[0])
				}
				rng := rand.New(rand.NewPCG(3, 0))
				const h = 1e-6
				for k, g := range got {
					tensor := x
					set := at
					if k > 0 {
						tensor = weights[k-1]
						set = func(changed *tensors.Tensor) float64 {
							v := store.GetVariable(m.WeightPaths[k-1])
							require.NoError(t, v.SetValue(changed))
							return at(x)
						}
					}
					flat, slope := tensors.MustCopyFlatData[float64](tensor), tensors.MustCopyFlatData[float64](g)
					nonzero := false
					for range 12 {
						i := rng.IntN(len(flat))
						moved := func(by float64) float64 {
							changed := slices.Clone(flat)
							changed[i] += by
							return set(tensors.FromFlatDataAndDimensions(changed, tensor.Shape().Dimensions...))
						}
						difference := (moved(h) - moved(-h)) / (2 * h)
						require.InDelta(t, difference, slope[i], 1e-6, "of tensor %d at %d", k, i)
						nonzero = nonzero || slope[i] != 0
					}
					require.True(t, nonzero, "all gradients of tensor %d were zero: nothing was tested", k)
					if k > 0 { // back to where it was, for the next tensor
						set(tensors.FromFlatDataAndDimensions(flat, tensor.Shape().Dimensions...))
					}
				}
			})
		}
	}
}

// TestPerturbedWeights calls a model three times in one graph: as it is, with the weights moved in the graph, and
// restored. The moved call must equal a model that has the moved weights, its gradient by the move must flow, and the
// store must be left as it was.
func TestPerturbedWeights(t *testing.T) {
	for name, m := range map[string]*nets.Model{"MLP": mlp(t), "CNN": cnn(t, false, 1)} {
		for backend, b := range backends(t) {
			t.Run(name+" "+backend, func(t *testing.T) {
				m, err := m.Clone() // a store belongs to one backend
				require.NoError(t, err)
				const move = 0.05
				before := flatWeights(t, m)
				exec, err := model.NewExec(b, m.Store, func(scope *model.Scope, inputs []*Node) []*Node {
					x, by := inputs[0], inputs[1]
					plain := m.Logits(scope, x)
					original := make([]*Node, len(m.WeightPaths))
					for i, path := range m.WeightPaths {
						v := scope.Store().GetVariable(path)
						original[i] = v.NodeValue(x.Graph())
						v.SetNodeValue(Add(original[i], by))
					}
					moved := m.Logits(scope, x)
					for i, path := range m.WeightPaths {
						scope.Store().GetVariable(path).SetNodeValue(original[i])
					}
					return []*Node{plain, moved, m.Logits(scope, x), Gradient(ReduceAllSum(moved), by)[0]}
				})
				require.NoError(t, err)
				x := images(m, 3, 8)
				out, err := exec.Call(x, float32(move))
				require.NoError(t, err)
				plain, moved := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
				restored := tensors.MustCopyFlatData[float32](out[2])
				require.Equal(t, plain, restored)
				require.NotEqual(t, plain, moved)
				require.Equal(t, before, flatWeights(t, m))

				// A model that has the moved weights, and the slope between two moves nearby.
				shifted := func(by float32) []float32 {
					other, err := m.Clone()
					require.NoError(t, err)
					for _, w := range other.Weights() {
						value, err := w.Value()
						require.NoError(t, err)
						flat := tensors.MustCopyFlatData[float32](value)
						for i := range flat {
							flat[i] += by
						}
						require.NoError(t, w.SetValue(tensors.FromFlatDataAndDimensions(flat, value.Shape().Dimensions...)))
					}
					p, err := nets.NewPredictor(b, other, 3)
					require.NoError(t, err)
					rows, err := p.Logits(x)
					require.NoError(t, err)
					return slices.Concat(rows...)
				}
				require.InDeltaSlice(t, shifted(move), moved, 1e-5)
				const h = 1e-3
				sum := 0.0
				up, down := shifted(move+h), shifted(move-h)
				for i := range up {
					sum += float64(up[i]) - float64(down[i])
				}
				require.InEpsilon(t, sum/(2*h), float64(tensors.ToScalar[float32](out[3])), 2e-2)
			})
		}
	}
}

func double(x *tensors.Tensor) *tensors.Tensor {
	flat := make([]float64, x.Size())
	for i, v := range tensors.MustCopyFlatData[float32](x) {
		flat[i] = float64(v)
	}
	return tensors.FromFlatDataAndDimensions(flat, x.Shape().Dimensions...)
}

// slowLogits is the forward pass of one image by loops: weights in the order of the network, kernels [3, 3, in, out].
func slowLogits(m *nets.Model, weights []*tensors.Tensor, image []float32, kind string) []float64 {
	x := make([]float64, len(image))
	for i, v := range image {
		x[i] = float64(v)
	}
	height, width := m.InputShape[0], m.InputShape[1]
	for k := 0; k < len(weights); k += 2 {
		w, b := tensors.MustCopyFlatData[float64](weights[k]), tensors.MustCopyFlatData[float64](weights[k+1])
		d := weights[k].Shape().Dimensions
		if weights[k].Rank() == 2 {
			y := slices.Clone(b)
			for o := range y {
				for i, v := range x {
					y[o] += v * w[i*d[1]+o]
				}
				if k < len(weights)-2 {
					y[o] = max(y[o], 0)
				}
			}
			x = y
			continue
		}
		in, out := d[2], d[3]
		y := make([]float64, height*width*out)
		for r := range height {
			for c := range width {
				for o := range out {
					sum := b[o]
					for dr := -1; dr <= 1; dr++ {
						for dc := -1; dc <= 1; dc++ {
							if r+dr < 0 || r+dr >= height || c+dc < 0 || c+dc >= width {
								continue
							}
							for i := range in {
								sum += x[((r+dr)*width+c+dc)*in+i] * w[(((dr+1)*3+dc+1)*in+i)*out+o]
							}
						}
					}
					y[(r*width+c)*out+o] = max(sum, 0)
				}
			}
		}
		if strings.HasPrefix(kind, "CNN strided") {
			x = nil
			for r := 0; r < height; r += 2 {
				for c := 0; c < width; c += 2 {
					x = append(x, y[(r*width+c)*out:(r*width+c+1)*out]...)
				}
			}
			height, width = (height+1)/2, (width+1)/2
			continue
		}
		x = make([]float64, height/2*(width/2)*out)
		for r := range height / 2 {
			for c := range width / 2 {
				for o := range out {
					var best, sum float64 // values after ReLU are at least 0
					for q := range 4 {
						v := y[((2*r+q/2)*width+2*c+q%2)*out+o]
						best, sum = max(best, v), sum+v/4
					}
					if kind == "CNN mean" {
						best = sum
					}
					x[(r*(width/2)+c)*out+o] = best
				}
			}
		}
		height, width = height/2, width/2
	}
	return x
}
