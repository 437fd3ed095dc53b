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
	"github.com/trustbook/trustbook/robust"
)

// TestExact: with one hidden layer, positive first weights and positive inputs, there is a perturbation that reaches the
// bound of either layer alone, and the interval bound of both: 1,000 networks.
func TestExact(t *testing.T) {
	const inputs, hidden, classes = 4, 5, 3
	exec, err := NewExec(testengine.Quick(t).Backend(), func(first, second, x, y, radii *Node) []*Node {
		layers := withRadii([]layer{{weight: first, activation: nets.ActReLU}, {weight: second}}, radii)
		b := boundGraph(layers, x, y, ScalarZero(x.Graph(), x.DType()))
		return []*Node{b.margin, b.drop, b.ibp}
	})
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(21, 22))
	for range 1000 {
		ms := matrices{make([][]float64, hidden), make([][]float64, classes)}
		first, second := make([][]float64, inputs), make([][]float64, hidden) // [inputs, outputs]
		for i := range first {
			for range hidden {
				first[i] = append(first[i], 0.3+0.7*rng.Float64())
			}
		}
		for i := range second {
			for range classes {
				second[i] = append(second[i], rng.NormFloat64())
			}
		}
		for h := range hidden {
			for i := range inputs {
				ms[0][h] = append(ms[0][h], first[i][h])
			}
		}
		for k := range classes {
			for h := range hidden {
				ms[1][k] = append(ms[1][k], second[h][k])
			}
		}
		x, size := make([]float64, inputs), 0.0
		for i := range x {
			x[i] = 0.1 + 0.9*rng.Float64()
			size += x[i]
		}
		y, epsilon := rng.IntN(classes), 0.25*rng.Float64()
		j := (y + 1 + rng.IntN(classes-1)) % classes
		bound := func(first2, second2 float64) (margin, drop, ibp float64) {
			out, err := exec.Call(first, second, [][]float64{x}, []int32{int32(y)}, []float64{first2, 0, second2, 0})
			require.NoError(t, err)
			at := func(i int) float64 { return tensors.MustCopyFlatData[float64](out[i])[j] }
			return at(0), at(1), at(2)
		}
		// The margin when row h of the first layer moves by -epsilon·sign(D_h), and the second layer against class y.
		attacked := func(first2, second2 float64) float64 {
			moved := matrices{make([][]float64, hidden), make([][]float64, classes)}
			for h := range hidden {
				d := ms[1][y][h] - ms[1][j][h] - 2*second2
				for _, w := range ms[0][h] {
					moved[0][h] = append(moved[0][h], w-first2*math.Copysign(1, d))
				}
			}
			for k := range classes {
				for _, w := range ms[1][k] {
					switch k {
					case y:
						w -= second2
					case j:
						w += second2
					}
					moved[1][k] = append(moved[1][k], w)
				}
			}
			f := moved.evaluate(x)
			return f[y] - f[j]
		}
		margin, drop, ibp := bound(epsilon, 0)
		require.InEpsilon(t, drop, margin-attacked(epsilon, 0), 1e-5)
		require.InDelta(t, ibp, attacked(epsilon, 0), 1e-9)
		require.InEpsilon(t, epsilon*size*distance1(ms[1][y], ms[1][j]), drop, 1e-9) // the closed form
		margin, drop, _ = bound(0, epsilon)
		require.InEpsilon(t, drop, margin-attacked(0, epsilon), 1e-5)
		margin, drop, ibp = bound(epsilon, epsilon)
		fall := margin - attacked(epsilon, epsilon)
		require.InEpsilon(t, margin-ibp, fall, 1e-5)
		require.LessOrEqual(t, fall/drop, 1+1e-9)
		require.GreaterOrEqual(t, fall/drop, 0.65)
	}
}

func distance1(a, b []float64) (sum float64) {
	for i := range a {
		sum += math.Abs(a[i] - b[i])
	}
	return sum
}

// TestSound: 400 random networks with radii of their own for each layer, 50 perturbations each, interior points and
// corners: none beats the bounds. In plain Go; TestAgainstPlainGo ties the graph to it.
func TestSound(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	tried := 0
	for range 400 {
		ms, x, _, radii := random(rng)
		clean := ms.evaluate(x)
		y := rng.IntN(len(clean))
		drop, ibp := reference(ms, x, y, 0, radii), interval(ms, x, y, radii)
		for range 50 {
			moved := make(matrices, len(ms))
			scale := rng.Float64()
			corner := rng.IntN(2) == 0
			for k, m := range ms {
				for _, row := range m {
					next := make([]float64, len(row))
					for c, w := range row {
						u := 2*rng.Float64() - 1
						if corner {
							u = math.Copysign(scale, u)
						}
						next[c] = w + u*radii[k]
					}
					moved[k] = append(moved[k], next)
				}
			}
			f := moved.evaluate(x)
			for j := range f {
				slack := 1e-9 * (1 + math.Abs(clean[y]-clean[j]) + drop[j])
				require.GreaterOrEqual(t, f[y]-f[j]+slack, clean[y]-clean[j]-drop[j])
				if j != y {
					require.GreaterOrEqual(t, f[y]-f[j]+slack, ibp[j])
				}
			}
			tried++
		}
	}
	require.Equal(t, 20_000, tried)
}

// interval is the interval bound on the margins in plain Go.
func interval(ms matrices, x []float64, y int, radii []float64) (ibp []float64) {
	upper, lower := x, x
	for k, m := range ms[:len(ms)-1] {
		var high, low []float64
		for _, row := range m {
			h, l := 0.0, 0.0
			for c, w := range row {
				// The corners of [w-r, w+r] × [lower, upper].
				most, least := math.Inf(-1), math.Inf(1)
				for _, v := range []float64{w - radii[k], w + radii[k]} {
					for _, z := range []float64{lower[c], upper[c]} {
						most, least = max(most, v*z), min(least, v*z)
					}
				}
				h, l = h+most, l+least
			}
			high, low = append(high, max(h, 0)), append(low, max(l, 0))
		}
		upper, lower = high, low
	}
	last, r := ms[len(ms)-1], radii[len(ms)-1]
	for j := range last {
		sum := 0.0
		for c := range last[j] {
			d := last[y][c] - last[j][c] - 2*r
			sum += min(d*lower[c], d*upper[c])
		}
		ibp = append(ibp, sum)
	}
	return ibp
}

// TestStructure: the bound is 0 at radius 0, does not fall as any radius grows, and is symmetric in the two classes; the
// interval bound agrees with the corners of plain Go.
func TestStructure(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	for range 200 {
		ms, x, _, radii := random(rng)
		classes := len(ms[len(ms)-1])
		i, j := 0, 1+rng.IntN(classes-1)
		at := func(y, j int, radii []float64) float64 { return reference(ms, x, y, 0, radii)[j] }
		require.InDelta(t, at(i, j, radii), at(j, i, radii), 1e-12)
		require.Zero(t, at(i, j, make([]float64, len(ms))))
		for k := range radii {
			grown := append([]float64(nil), radii...)
			grown[k] += 0.05
			require.Greater(t, at(i, j, grown), at(i, j, radii)-1e-12)
		}
	}
	for range 20 {
		ms, x, _, radii := random(rng)
		n := compute(t, ms, dtypes.Float64, x, 0, 0, radii...)
		want := interval(ms, x, 0, radii)
		for j := 1; j < len(want); j++ {
			require.InDelta(t, want[j], n.ibp[j], 1e-9*(1+math.Abs(want[j])))
		}
	}
}

// TestActivationsAndHeads: no perturbation beats the bounds of networks with other activations, or of the dense end of a
// convolutional network or of one with tanh; and they are not vacuous.
func TestActivationsAndHeads(t *testing.T) {
	e := testengine.Quick(t)
	rng := rand.New(rand.NewPCG(27, 28))
	for _, c := range []struct {
		name   string
		model  func() (*nets.Model, error)
		layers int
		whole  bool
	}{
		{"sigmoid", func() (*nets.Model, error) {
			return nets.NewMLP(nets.MLPConfig{Input: []int{6}, Hidden: []int{5, 4}, Classes: 3, Activation: nets.ActSigmoid, Seed: 1})
		}, 3, true},
		{"softplus", func() (*nets.Model, error) {
			return nets.NewMLP(nets.MLPConfig{Input: []int{6}, Hidden: []int{5, 4}, Classes: 3, Activation: nets.ActSoftplus, Seed: 2})
		}, 3, true},
		{"tanh", func() (*nets.Model, error) {
			return nets.NewMLP(nets.MLPConfig{Input: []int{6}, Hidden: []int{5, 4}, Classes: 3, Activation: nets.ActTanh, Seed: 3})
		}, 1, false},
		{"linear", func() (*nets.Model, error) { return nets.NewMLP(nets.MLPConfig{Input: []int{6}, Classes: 3, Seed: 4}) }, 1, true},
		{"cnn", func() (*nets.Model, error) {
			return nets.NewCNN(nets.CNNConfig{Input: []int{8, 8, 1}, Channels: []int{2, 3}, Dense: 7, Classes: 3, Seed: 5})
		}, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := c.model()
			require.NoError(t, err)
			cover, err := Covers(m)
			require.NoError(t, err)
			require.Len(t, cover.Layers, c.layers)
			require.Equal(t, c.whole, cover.Whole())
			n, size := 20, 1
			for _, d := range m.InputShape {
				size *= d
			}
			pixels, labels := make([]float32, n*size), make([]int32, n)
			for i := range pixels {
				pixels[i] = rng.Float32()
			}
			for i := range labels {
				labels[i] = rng.Int32N(3)
			}
			images := tensors.FromFlatDataAndDimensions(pixels, append([]int{n}, m.InputShape...)...)
			for _, radius := range []float64{0.001, 0.05} {
				v, err := Verify(t.Context(), e, m, images, labels, robust.Threat{Weights: cover.Radii(radius, -1)},
					VerifyConfig{Random: 2000, Steps: 10})
				require.NoError(t, err)
				require.Zero(t, v.Margin+v.IBP+v.Loss)
				require.Greater(t, v.MaxTightness, 0.25)
				require.LessOrEqual(t, v.MaxTightness, 1+1e-6)
			}
			// One layer alone: its bound is no larger than that of all.
			all, err := MarginBounds(e, m, images, labels, robust.Threat{Weights: cover.Radii(0.01, -1)})
			require.NoError(t, err)
			for k := range cover.Layers {
				one, err := MarginBounds(e, m, images, labels, robust.Threat{Weights: cover.Radii(0.01, k)})
				require.NoError(t, err)
				for i := range one.Total {
					require.LessOrEqual(t, maximum(one.Total[i]), maximum(all.Total[i])+1e-9)
					require.Positive(t, maximum(one.Total[i]))
				}
			}
		})
	}
}

// TestBiasRadii: weights and biases may have radii of their own; a linear classifier's bound is 2(ε‖x‖₁ + β), a sigmoid
// layer's a quarter of what it would be without the sigmoid.
func TestBiasRadii(t *testing.T) {
	x := tensors.FromValue([][]float32{{0.5, 0.25, 1}})
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{3}, Classes: 2, Seed: 1})
	require.NoError(t, err)
	b, err := MarginBounds(testengine.Quick(t), m, x, []int32{0}, robust.Threat{Weights: []float64{0.01, 0.3}})
	require.NoError(t, err)
	require.InDelta(t, 2*(0.01*1.75+0.3), b.Total[0][1], 1e-9)
	m, err = nets.NewMLP(nets.MLPConfig{Input: []int{3}, Hidden: []int{4}, Classes: 2, Seed: 1, Activation: nets.ActSigmoid})
	require.NoError(t, err)
	b, err = MarginBounds(testengine.Quick(t), m, x, []int32{0}, robust.Threat{Weights: []float64{0.01, 0.3, 0, 0}})
	require.NoError(t, err)
	w := tensors.MustCopyFlatData[float32](m.Weights()[2].MustValue())
	apart := 0.0
	for h := range 4 {
		apart += math.Abs(float64(w[2*h]) - float64(w[2*h+1]))
	}
	require.InEpsilon(t, apart*(0.01*1.75+0.3)/4, b.Total[0][1], 1e-6)
}

// TestTies: of equal sums only one gets the gradient of the norm, not each of them.
func TestTies(t *testing.T) {
	exec, err := NewExec(testengine.Quick(t).Backend(), func(w *Node) []*Node {
		norm := InfinityNorm(w)
		return []*Node{norm, Gradient(norm, w)[0]}
	})
	require.NoError(t, err)
	out, err := exec.Call([][]float64{{1, -2, 1}, {-2, 1, 0.5}})
	require.NoError(t, err)
	require.Equal(t, 3.0, tensors.ToScalar[float64](out[0]))
	require.Equal(t, []float64{1, 0, 0, -1, 0, 0}, tensors.MustCopyFlatData[float64](out[1]))
}
