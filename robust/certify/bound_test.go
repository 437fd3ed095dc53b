package certify

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// matrices are the weights of a network without biases, rows being outputs as in the formulas.
type matrices [][][]float64

// toy2 and toy1 are the networks of the golden values, which were worked out by hand from the formulas.
var (
	toy1 = matrices{{{1, 1}, {1, 0.5}}, {{1, 0.5}, {0.25, 1}}}
	toy2 = matrices{{{1, -1}, {0.5, 2}}, {{1, -0.5}, {-1, 1}}, {{1, 0}, {0, 1}}}
)

// layersOf puts them into a graph as [inputs, outputs].
func (ms matrices) layersOf(g *Graph, dtype dtypes.DType) []layer {
	var layers []layer
	for _, m := range ms {
		layers = append(layers, layer{weight: ConvertDType(Transpose(Const(g, m), 0, 1), dtype), activation: nets.ActReLU})
	}
	layers[len(layers)-1].activation = nets.ActNone
	return layers
}

type numbers struct{ margin, drop, ibp, clean, upper []float64 }

func compute(t *testing.T, ms matrices, dtype dtypes.DType, x []float64, y int32, epsilonInput float64, epsilonWeights ...float64) numbers {
	t.Helper()
	if len(epsilonWeights) == 1 {
		epsilonWeights = same(epsilonWeights[0], len(ms))
	}
	exec, err := NewExec(testengine.Quick(t).Backend(), func(x, y *Node) []*Node {
		layers := ms.layersOf(x.Graph(), dtype)
		for k, r := range epsilonWeights {
			layers[k].weightRadius = Scalar(x.Graph(), dtype, r)
		}
		b := boundGraph(layers, ConvertDType(x, dtype), y, Scalar(x.Graph(), dtype, epsilonInput))
		hot := OneHot(y, b.logits.Shape().Dimensions[1], dtype)
		clean := Neg(ReduceSum(Mul(LogSoftmax(b.logits, -1), hot), -1))
		outputs := []*Node{b.margin, b.drop, b.ibp, clean, upperLoss(b)}
		for i, o := range outputs {
			outputs[i] = ConvertDType(o, dtypes.Float64)
		}
		return outputs
	})
	require.NoError(t, err)
	out, err := exec.Call([][]float64{x}, []int32{y})
	require.NoError(t, err)
	var lists [5][]float64
	for i := range lists {
		lists[i] = tensors.MustCopyFlatData[float64](out[i])
	}
	return numbers{lists[0], lists[1], lists[2], lists[3], lists[4]}
}

func TestGolden(t *testing.T) {
	for _, precision := range []struct {
		dtype dtypes.DType
		delta float64
	}{{dtypes.Float64, 1e-6}, {dtypes.Float32, 1e-5}} {
		d := precision.delta
		n := compute(t, toy2, precision.dtype, []float64{1, 0.5}, 1, 0.02, 0.01)
		require.InDelta(t, 1, n.margin[0], d)
		require.InDelta(t, 0.3268340, n.drop[0], d)
		require.InDelta(t, 0.3132616875, n.clean[0], d)
		require.InDelta(t, 0.4121699605, n.upper[0], d)
		require.InDelta(t, 0.8421140, n.ibp[0], d)
		require.InDelta(t, 0.2, compute(t, toy2, precision.dtype, []float64{1, 0.5}, 1, 0.02, 0).drop[0], d)
		require.InDelta(t, 0.1216, compute(t, toy2, precision.dtype, []float64{1, 0.5}, 1, 0, 0.01).drop[0], d)
		require.InDelta(t, 2.0685, compute(t, toy2, precision.dtype, []float64{1, 0.5}, 1, 0.05, 0.1).drop[0], d)

		one := compute(t, toy1, precision.dtype, []float64{1, 2}, 0, 0.05, 0.1)
		require.InDelta(t, 1.6715, one.drop[1], d)
		require.InDelta(t, -0.245, one.ibp[1], d)
		require.InDelta(t, 0.125, compute(t, toy1, precision.dtype, []float64{1, 2}, 0, 0.05, 0).drop[1], d)
		// Weights alone, one layer at a time and together.
		for _, c := range []struct{ first, second, drop float64 }{{0.1, 0, 0.375}, {0, 0.1, 1}, {0.1, 0.1, 1.495}} {
			require.InDelta(t, c.drop, compute(t, toy1, precision.dtype, []float64{1, 2}, 0, 0, c.first, c.second).drop[1], d)
		}
		for k, drop := range []float64{0.6, 0.4, 0.2} {
			radii := make([]float64, 3)
			radii[k] = 0.1
			require.InDelta(t, drop, compute(t, toy2, precision.dtype, []float64{1, 0.5}, 1, 0, radii...).drop[0], d)
		}
		require.InDelta(t, 1.395, compute(t, toy2, precision.dtype, []float64{1, 0.5}, 1, 0, 0.1).drop[0], d)
	}
}

// TestShortcutIsUnsound keeps the interval form: with negative weights, propagating one network with weights W+ε gives
// 0 here, below the 0.5 that a perturbation reaches.
func TestShortcutIsUnsound(t *testing.T) {
	exec, err := NewExec(testengine.Quick(t).Backend(), func(g *Graph) *Node {
		layers := matrices{{{1}, {1}}, {{1, -2}}}.layersOf(g, dtypes.Float64)
		center := affine(layers[0], Const(g, [][]float64{{1}}))
		radius := Const(g, [][]float64{{0.3, 0.3}})
		layers[1].weightRadius = Scalar(g, dtypes.Float64, 0.3)
		upper, _ := intervalStep(layers[1], Add(center, radius), Sub(center, radius))
		return nets.ReLU(upper)
	})
	require.NoError(t, err)
	out, err := exec.Call1()
	require.NoError(t, err)
	require.InDelta(t, 0.5, tensors.MustCopyFlatData[float64](out)[0], 1e-12)
}

// random draws a network of 2 to 4 layers, an input that may be negative, and radii.
func random(rng *rand.Rand) (ms matrices, x []float64, epsilonInput float64, epsilonWeights []float64) {
	sizes := []int{2 + rng.IntN(5)}
	for range 2 + rng.IntN(3) {
		sizes = append(sizes, 2+rng.IntN(5))
	}
	for k := range len(sizes) - 1 {
		m := make([][]float64, sizes[k+1])
		for r := range m {
			m[r] = make([]float64, sizes[k])
			for c := range m[r] {
				m[r][c] = rng.NormFloat64()
			}
		}
		ms = append(ms, m)
		epsilonWeights = append(epsilonWeights, []float64{0, 0.01, 0.1, 0.3}[rng.IntN(4)])
	}
	for range sizes[0] {
		x = append(x, rng.NormFloat64())
	}
	return ms, x, []float64{0, 0.01, 0.1, 0.3}[rng.IntN(4)], epsilonWeights
}

// reference computes the bound in plain Go, class by class, as the formulas are written.
func reference(ms matrices, x []float64, y int, epsilonInput float64, epsilonWeights []float64) (drop []float64) {
	upper, lower := x, x
	u, e := float64(len(x))*epsilonInput, epsilonInput
	for _, v := range x {
		u += math.Abs(v)
	}
	last := len(ms) - 1
	for k := range last {
		nextUpper, nextLower := make([]float64, len(ms[k])), make([]float64, len(ms[k]))
		norm := 0.0
		for r, row := range ms[k] {
			sum := 0.0
			for c, w := range row {
				sum += math.Abs(w)
				if k == 0 {
					nextUpper[r] += w * x[c]
					nextLower[r] += w * x[c]
					continue
				}
				p, m := w+epsilonWeights[k], w-epsilonWeights[k]
				nextUpper[r] += max(p, 0)*upper[c] - max(-p, 0)*lower[c]
				nextLower[r] += max(m, 0)*lower[c] - max(-m, 0)*upper[c]
			}
			if k == 0 {
				nextUpper[r] += epsilonInput*sum + epsilonWeights[0]*u
				nextLower[r] -= epsilonInput*sum + epsilonWeights[0]*u
			}
			norm = max(norm, sum)
		}
		e, u = norm*e+epsilonWeights[k]*u, 0
		for r := range nextUpper {
			nextUpper[r], nextLower[r] = max(nextUpper[r], 0), max(nextLower[r], 0)
			u += nextUpper[r]
		}
		upper, lower = nextUpper, nextLower
	}
	for j := range ms[last] {
		b := 0.0
		for c := range ms[last][j] {
			b += math.Abs(ms[last][y][c] - ms[last][j][c])
		}
		drop = append(drop, b*e+2*epsilonWeights[last]*u)
	}
	drop[y] = 0
	return drop
}

// evaluate runs a network in plain Go.
func (ms matrices) evaluate(x []float64) []float64 {
	for k, m := range ms {
		y := make([]float64, len(m))
		for r, row := range m {
			for c, w := range row {
				y[r] += w * x[c]
			}
			if k < len(ms)-1 {
				y[r] = max(y[r], 0)
			}
		}
		x = y
	}
	return x
}

// TestAgainstPlainGo compares the graph with an independent implementation, looks for perturbations that beat the
// bounds (corners and interior points), and checks super-additivity, symmetry of zero and monotonicity.
func TestAgainstPlainGo(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 25 {
		ms, x, ex, ew := random(rng)
		y := rng.IntN(len(ms[len(ms)-1]))
		n := compute(t, ms, dtypes.Float64, x, int32(y), ex, ew...)
		want := reference(ms, x, y, ex, ew)
		require.InDeltaSlice(t, want, n.drop, 1e-9*(1+maximum(want)))
		clean := ms.evaluate(x)
		for range 50 {
			moved := make(matrices, len(ms))
			corner := rng.IntN(2) == 0
			draw := func(radius float64) float64 {
				u := 2*rng.Float64() - 1
				if corner {
					u = math.Copysign(1, u)
				}
				return u * radius
			}
			for k, m := range ms {
				for _, row := range m {
					next := make([]float64, len(row))
					for c, w := range row {
						next[c] = w + draw(ew[k])
					}
					moved[k] = append(moved[k], next)
				}
			}
			xi := make([]float64, len(x))
			for i, v := range x {
				xi[i] = v + draw(ex)
			}
			f := moved.evaluate(xi)
			loss := 0.0
			for j := range f {
				require.GreaterOrEqual(t, f[y]-f[j]+1e-9, clean[y]-clean[j]-n.drop[j])
				if j != y {
					require.GreaterOrEqual(t, f[y]-f[j]+1e-9, n.ibp[j])
				}
				loss += math.Exp(f[j] - f[y])
			}
			require.LessOrEqual(t, math.Log(loss), n.upper[0]+1e-9)
		}
		require.LessOrEqual(t, n.upper[0], n.clean[0]+maximum(n.drop)+1e-9)
	}
}

// TestSuperAdditive: B(ε_x, ε_w) >= B(ε_x, 0) + B(0, ε_w), with equality when either radius is 0. 1,000 networks, in
// plain Go (TestAgainstPlainGo ties the graph to it).
func TestSuperAdditive(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 1000 {
		ms, x, ex, ew := random(rng)
		none := make([]float64, len(ew))
		both, input, weight := reference(ms, x, 0, ex, ew), reference(ms, x, 0, ex, none), reference(ms, x, 0, 0, ew)
		for j := range both {
			scale := 1e-9 * (1 + both[j])
			require.GreaterOrEqual(t, both[j]+scale, input[j]+weight[j])
			if ex == 0 || maximum(ew) == 0 {
				require.InDelta(t, both[j], input[j]+weight[j], scale)
			}
		}
	}
}

func maximum(v []float64) float64 {
	m := 0.0
	for _, x := range v {
		m = max(m, x)
	}
	return m
}

func same[T any](v T, n int) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = v
	}
	return all
}
