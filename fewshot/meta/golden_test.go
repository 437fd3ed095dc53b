package meta

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/floats"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// eval builds a graph and runs it once.
func eval(t *testing.T, fn func(args []*Node) []*Node, args ...any) [][]float64 {
	t.Helper()
	exec, err := NewExec(testengine.Quick(t).Backend(), fn)
	require.NoError(t, err)
	out, err := exec.Call(args...)
	require.NoError(t, err)
	values := make([][]float64, len(out))
	for i, o := range out {
		if o.DType().String() == "Float32" {
			values[i] = wide(tensors.MustCopyFlatData[float32](o))
		} else {
			values[i] = tensors.MustCopyFlatData[float64](o)
		}
	}
	return values
}

// The quadratic family ½(θ-c)ᵀA(θ-c) of two tasks.
var (
	quadA = [][][]float64{{{2, .5}, {.5, 1}}, {{1, -.3}, {-.3, 3}}}
	quadC = [][]float64{{1, -1}, {-2, .5}}
	quadB = [][][]float64{{{1, .2}, {.2, 2}}, {{1.5, 0}, {0, .5}}}
	quadD = [][]float64{{.5, 0}, {-1, 1}}
	theta = []float64{.3, -.7}
)

func quadratic(matrix [][][]float64, center [][]float64) TaskLoss {
	return func(p []*Node) *Node {
		g, dtype := p[0].Graph(), p[0].DType()
		d := Sub(p[0], ConvertDType(Const(g, center), dtype))
		return MulScalar(Einsum("ti,ti->t", d, Einsum("tij,tj->ti", ConvertDType(Const(g, matrix), dtype), d)), 0.5)
	}
}

// quadraticByHand: after K steps θ-c shrinks by M = (I-αA)^K, so that the gradient is the mean of MᵀB(θ_K-d), and of
// B(θ_K-d) to first order.
func quadraticByHand(steps int, rate float64) (meta float64, second, first []float64) {
	second, first = make([]float64, 2), make([]float64, 2)
	for t := range 2 {
		m := [2][2]float64{{1, 0}, {0, 1}}
		for range steps {
			var next [2][2]float64
			for i := range 2 {
				for j := range 2 {
					for k := range 2 {
						e := -rate * quadA[t][i][k]
						if i == k {
							e++
						}
						next[i][j] += e * m[k][j]
					}
				}
			}
			m = next
		}
		var at, g [2]float64
		for i := range 2 {
			at[i] = quadC[t][i] + m[i][0]*(theta[0]-quadC[t][0]) + m[i][1]*(theta[1]-quadC[t][1])
		}
		for i := range 2 {
			for j := range 2 {
				g[i] += quadB[t][i][j] * (at[j] - quadD[t][j])
			}
			meta += (at[i] - quadD[t][i]) * g[i] / 4
		}
		for i := range 2 {
			first[i] += g[i] / 2
			second[i] += (m[0][i]*g[0] + m[1][i]*g[1]) / 2
		}
	}
	return meta, second, first
}

// Meta-gradients on the quadratic family equal the closed form and the numbers that were computed from it in NumPy.
func TestQuadraticFamily(t *testing.T) {
	golden := map[int][]float64{ // F, second-order, first-order
		1: {0.850994875, 0.6379425, -0.82606, 0.6685, -1.02025},
		3: {0.4595388957, 0.3904602288, -0.5483915428, 0.44125945, -0.888061725},
		5: {0.3309038799, 0.2284524657, -0.4418803252, 0.2583349746, -0.8433786764},
	}
	for _, steps := range []int{1, 2, 3, 5, 10} {
		meta, second, first := quadraticByHand(steps, 0.1)
		if want := golden[steps]; want != nil {
			require.InDeltaSlice(t, want, []float64{meta, second[0], second[1], first[0], first[1]}, 1e-9)
		}
		for _, order := range []bool{false, true} {
			run := func(p any) [][]float64 {
				return eval(t, func(args []*Node) []*Node {
					m, g, _ := MetaGradient(args, 2, 0, InnerLoop{Steps: steps, LR: 0.1, FirstOrder: order},
						quadratic(quadA, quadC), quadratic(quadB, quadD))
					return []*Node{m, g[0]}
				}, p)
			}
			want := second
			if order {
				want = first
			}
			got := run(theta)
			require.InDelta(t, meta, got[0][0], 1e-9)
			require.InDeltaSlice(t, want, got[1], 1e-9, "steps %d, first order %t", steps, order)
			got = run([]float32{float32(theta[0]), float32(theta[1])})
			require.InDeltaSlice(t, want, got[1], 1e-4)
		}
		require.Greater(t, math.Abs(second[1]-first[1]), 1e-3, "the two orders must differ")
	}
}

// Only the second parameter adapts: the golden values of task 1, and finite differences.
func TestHeadOnly(t *testing.T) {
	part := func(matrix [][][]float64, center [][]float64) TaskLoss {
		whole := quadratic(matrix[:1], center[:1])
		return func(p []*Node) *Node { return whole([]*Node{Concatenate(p, 1)}) }
	}
	got := eval(t, func(args []*Node) []*Node {
		_, g, adapted := MetaGradient(args, 1, 1, InnerLoop{Steps: 1, LR: 0.1, HeadOnly: true}, part(quadA, quadC), part(quadB, quadD))
		return []*Node{adapted[0], adapted[1], g[0], g[1]}
	}, theta[:1], theta[1:])
	for i, want := range []float64{.3, -.695, -.2675, -1.287} {
		require.InDelta(t, want, got[i][0], 1e-9)
	}
}

// A model that is not quadratic: w·tanh(b·x), squared error; golden values from NumPy, checked there by finite differences.
func TestTanhModel(t *testing.T) {
	loss := func(x, y float64) TaskLoss {
		return func(p []*Node) *Node { return Square(AddScalar(Mul(p[0], Tanh(MulScalar(p[1], x))), -y)) }
	}
	for first, want := range map[bool][]float64{false: {-0.3806620627, -0.2347597423}, true: {-0.4149282940, -0.4969605416}} {
		got := eval(t, func(args []*Node) []*Node {
			m, g, adapted := MetaGradient(args, 1, 0, InnerLoop{Steps: 1, LR: 0.2, FirstOrder: first}, loss(1.5, 1.2), loss(-.7, -.9))
			return []*Node{m, g[0], g[1], adapted[0], adapted[1]}
		}, .8, .5)
		require.InDelta(t, 0.2095815018, got[0][0], 1e-9)
		require.InDeltaSlice(t, want, []float64{got[1][0], got[2][0]}, 1e-9)
		require.InDeltaSlice(t, []float64{0.9757789558, 0.6981278187}, []float64{got[3][0], got[4][0]}, 1e-9)
	}
}

func random(rng *rand.Rand, dims ...int) *tensors.Tensor {
	values := make([]float64, product(dims))
	for i := range values {
		values[i] = rng.Float64()
	}
	return tensors.FromFlatDataAndDimensions(values, dims...)
}

// Convolution by products of patches and by the trilinear form equals graph.Convolve, of any size, and so do its gradients.
func TestConvolutionIsConvolve(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, size := range [][3]int{{7, 6, 6}, {4, 4, 3}, {2, 1, 6}} {
		h, w, channels := size[0], size[1], size[2]
		x, kernel := random(rng, 1, 2, h, w, channels), random(rng, 1, 9*channels, 4)
		for _, c := range []*Conv{{}, {Pool: true}} {
			out := []int{1, 2, (h + c.stride() - 1) / c.stride(), (w + c.stride() - 1) / c.stride(), 4}
			v := random(rng, out...)
			got := eval(t, func(args []*Node) (all []*Node) {
				for _, of := range []func(x, kernel *Node) *Node{c.native, c.product, c.convolve} {
					y := of(args[0], args[1])
					all = append(append(all, y), Gradient(ReduceAllSum(Mul(y, args[2])), args[0], args[1])...)
				}
				return all
			}, x, kernel, v)
			for i := range got {
				require.Len(t, got[i], len(got[i%3]))
				require.InDeltaSlice(t, got[i%3], got[i], 1e-10, "%v, stride %d, %d", size, c.stride(), i)
			}
		}
	}
}

// Second derivatives of the trilinear form are those of products of patches, which GoMLX differentiates by itself.
func TestTrilinearSecondOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, c := range []*Conv{{}, {Pool: true}} {
		x, kernel, a, b := random(rng, 1, 2, 7, 6, 5), random(rng, 1, 45, 4), random(rng, 1, 2, 7, 6, 5), random(rng, 1, 45, 4)
		of := func(value func(x, kernel *Node) *Node) func(x, kernel *Node) *Node {
			return func(x, kernel *Node) *Node { return nets.NewBilinear(value, x, kernel).Apply(x, kernel) }
		}
		got := eval(t, func(args []*Node) (all []*Node) {
			for _, convolve := range []func(x, kernel *Node) *Node{c.product, of(c.product), of(c.native)} {
				first := Gradient(ReduceAllSum(Tanh(convolve(args[0], args[1]))), args[0], args[1])
				sum := Add(ReduceAllSum(Mul(Square(first[0]), args[2])), ReduceAllSum(Mul(Square(first[1]), args[3])))
				all = append(all, Gradient(sum, args[0], args[1])...)
			}
			return all
		}, x, kernel, a, b)
		for i := range got {
			require.InDeltaSlice(t, got[i%2], got[i], 1e-8)
		}
	}
}

// The meta-gradient through a whole convolutional network agrees with central differences along random directions; that of
// first order does not.
func TestConvMetaGradient(t *testing.T) {
	for _, k := range []struct {
		Conv
		tasks int
	}{{Conv{Tanh: true, Pool: true, MeanFeatures: true}, 2}, {Conv{Tanh: true}, 1}} {
		c := k.Conv
		c.Input, c.Filters, c.Blocks, c.Ways = []int{12, 12, 1}, 5, 2, 3
		m, err := NewConv(c)
		require.NoError(t, err)
		rng := rand.New(rand.NewPCG(2, 3))
		var parameters []any
		for _, p := range m.Init(5) {
			parameters = append(parameters, tensors.FromFlatDataAndDimensions(wide(tensors.MustCopyFlatData[float32](p)), p.Shape().Dimensions...))
		}
		n := len(parameters)
		batch := []any{random(rng, k.tasks, 3, 12, 12, 1), slices.Repeat([][]int32{{0, 1, 2}}, k.tasks),
			random(rng, k.tasks, 6, 12, 12, 1), slices.Repeat([][]int32{{0, 0, 1, 1, 2, 2}}, k.tasks)}
		grads := func(first bool) func(args []*Node) []*Node {
			return func(args []*Node) []*Node {
				b := args[n:]
				o := &objective{model: m}
				meta, g, _ := MetaGradient(args[:n], k.tasks, m.Head(), InnerLoop{Steps: 3, LR: 0.3, FirstOrder: first}, o.support(b[0], b[1]),
					func(p []*Node) *Node { return CrossEntropy(o.outputs(p, b[2]), b[3]) })
				return append([]*Node{meta}, g...)
			}
		}
		exec, err := NewExec(testengine.Quick(t).Backend(), grads(false))
		require.NoError(t, err)
		at := func(p []any) [][]float64 {
			out, err := exec.Call(append(append([]any{}, p...), batch...)...)
			require.NoError(t, err)
			var values [][]float64
			for _, o := range out {
				values = append(values, tensors.MustCopyFlatData[float64](o))
			}
			return values
		}
		exact := at(parameters)
		first := eval(t, grads(true), append(append([]any{}, parameters...), batch...)...)
		off := 0.0
		for range 5 {
			const h = 1e-5
			var plus, minus []any
			var along, alongFirst float64
			for i, p := range parameters {
				flat := tensors.MustCopyFlatData[float64](p.(*tensors.Tensor))
				up, down := make([]float64, len(flat)), make([]float64, len(flat))
				for k, v := range flat {
					d := rng.NormFloat64()
					up[k], down[k] = v+h*d, v-h*d
					along, alongFirst = along+d*exact[1+i][k], alongFirst+d*first[1+i][k]
				}
				dims := p.(*tensors.Tensor).Shape().Dimensions
				plus = append(plus, tensors.FromFlatDataAndDimensions(up, dims...))
				minus = append(minus, tensors.FromFlatDataAndDimensions(down, dims...))
			}
			difference := (at(plus)[0][0] - at(minus)[0][0]) / (2 * h)
			require.InDelta(t, difference, along, 1e-5*(1+math.Abs(difference)))
			off = max(off, math.Abs(alongFirst-difference)/math.Abs(difference))
		}
		require.Greater(t, off, 0.05)
	}
}

// One attack step and ten on a linear softmax classifier: golden values from NumPy.
func TestAttackGolden(t *testing.T) {
	w, b := [][]float64{{1, -2}, {.5, 1}, {-1.5, .3}}, []float64{.1, -.1}
	got := eval(t, func(args []*Node) []*Node {
		x, start, epsilon, step := args[0], args[1], args[2], args[3]
		loss := func(u *Node) *Node {
			logits := Add(MatMul(rows(u), args[4]), InsertAxes(args[5], 0))
			return ReduceAllSum(CrossEntropy(InsertAxes(logits, 0), Const(u.Graph(), [][]int32{{0}})))
		}
		ball := Ball{robust.Linf, Pixels}
		fast, slow := ball.FGSM(x, start, epsilon, loss), ball.PGD(x, start, epsilon, step, 10, loss)
		return []*Node{fast, loss(x), loss(fast), slow, loss(slow)}
	}, [][][]float64{{{.2, .98, .5}}}, [][][]float64{{{.05, .08, -.02}}}, .1, .02, w, b)
	require.InDeltaSlice(t, []float64{.125, 1, .6}, got[0], 1e-9)
	require.InDelta(t, 1.0310428377, got[1][0], 1e-9)
	require.InDelta(t, 1.3169194362, got[2][0], 1e-9)
	require.InDeltaSlice(t, []float64{.1, 1, .6}, got[3], 1e-9)
	require.InDelta(t, 1.3723677218, got[4][0], 1e-9)
}

// On a linear objective PGD reaches the best point of ball and box in every norm, perturbations keep to both, and with
// radius 0 nothing moves; starts lie in the ball.
func TestAttackProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for _, norm := range []robust.Norm{robust.Linf, robust.L2, robust.L1} {
		ball := Ball{norm, robust.Box{Lower: -2, Upper: 1}}
		degree := map[robust.Norm]float64{robust.Linf: math.Inf(1), robust.L2: 2, robust.L1: 1}[norm]
		state, err := RNGStateFromSeed(5)
		require.NoError(t, err)
		climb := func(w *Node) Objective { return func(u *Node) *Node { return ReduceAllSum(Mul(u, w)) } }
		// Steps are unrolled on the host: a graph of forty is slow to compile.
		begin, err := NewExec(testengine.Quick(t).Backend(), func(args []*Node) []*Node {
			x, epsilon, step, w := args[0], args[1], args[2], args[3]
			start := (&chance{args[4]}).start(ball, x, epsilon)
			return []*Node{ball.FGSM(x, start, epsilon, climb(w)), start,
				ball.PGD(x, MulScalar(start, 0), MulScalar(epsilon, 0), step, 1, climb(w)), Add(x, start)}
		})
		require.NoError(t, err)
		ascend, err := NewExec(testengine.Quick(t).Backend(), func(args []*Node) []*Node {
			next, _ := ball.pgdStep(args[0], args[4], args[1], args[2], climb(args[3]))
			return []*Node{next, ball.perturbed(args[0], next)}
		})
		require.NoError(t, err)
		for range 10 {
			const size, n = 6, 2 * 3
			x, w, epsilon := random(rng, 2, 3, size), random(rng, 2, 3, size), 0.1+0.3*rng.Float64()
			tensors.MustMutableFlatData(w, func(flat []float64) {
				for i := range flat {
					flat[i] -= 0.5
				}
			})
			clean, slope := tensors.MustCopyFlatData[float64](x), tensors.MustCopyFlatData[float64](w)
			out, err := begin.Call(x, epsilon, epsilon/8, w, state)
			require.NoError(t, err)
			delta := out[1]
			for range 40 {
				moved, err := ascend.Call(x, epsilon, epsilon/8, w, delta)
				require.NoError(t, err)
				delta, out[1] = moved[0], moved[1]
			}
			require.Equal(t, clean, tensors.MustCopyFlatData[float64](out[2]))
			for k, o := range []*tensors.Tensor{out[0], out[1], out[3]} {
				found := tensors.MustCopyFlatData[float64](o)
				for i := range n {
					own, from, along := found[i*size:][:size], clean[i*size:][:size], slope[i*size:][:size]
					moved := slices.Clone(own)
					floats.Sub(moved, from)
					require.LessOrEqual(t, floats.Norm(moved, degree), epsilon+1e-9)
					if k == 2 {
						continue // starts may leave the box: attacks clip what they look at
					}
					for _, v := range own {
						require.True(t, v >= -2 && v <= 1)
					}
					if k == 1 {
						best := robustBest(norm, from, along, epsilon)
						require.InDelta(t, best, floats.Dot(moved, along), 0.05*best, "%s", norm)
					}
				}
			}
		}
	}
	loss := func(m float64) float64 { return math.Log1p(math.Exp(-m)) }
	m := 1.5*.4 - .5*.6 + .2
	require.InDelta(t, 0.4740769841, loss(m), 1e-9)
	require.InDelta(t, 0.5543552445, loss(m-.1*2), 1e-9)
}

// robustBest is the most that a linear function gains in the ball, where pixels end at 1 (and far below).
func robustBest(norm robust.Norm, from, slope []float64, epsilon float64) (gain float64) {
	room := make([]float64, len(from))
	for i, v := range from {
		room[i] = 1 - v
		if slope[i] < 0 {
			room[i] = math.Inf(1)
		}
	}
	switch norm {
	case robust.Linf:
		for i, s := range slope {
			gain += math.Abs(s) * min(epsilon, room[i])
		}
	case robust.L2: // s·|slope|, cut at the room, for the s at which the length is epsilon
		low, high := 0.0, 1e6
		for range 200 {
			scale, length := (low+high)/2, 0.0
			gain = 0
			for i, s := range slope {
				d := min(scale*math.Abs(s), room[i])
				gain, length = gain+d*math.Abs(s), length+d*d
			}
			if math.Sqrt(length) > epsilon {
				high = scale
			} else {
				low = scale
			}
		}
	default: // the steepest first
		for _, i := range steepest(slope) {
			d := min(epsilon, room[i])
			gain, epsilon = gain+d*math.Abs(slope[i]), epsilon-d
		}
	}
	return gain
}

func steepest(slope []float64) []int {
	order := make([]int, len(slope))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(math.Abs(slope[b]), math.Abs(slope[a])) })
	return order
}

func TestLossesGolden(t *testing.T) {
	got := eval(t, func(args []*Node) []*Node {
		return []*Node{KL(args[0], args[1]), KL(args[0], args[0])}
	}, [][][]float64{{{1, 0, -1}}}, [][][]float64{{{.5, .3, -.8}}})
	require.InDelta(t, 0.0713578301, got[0][0], 1e-9)
	require.InDelta(t, 0, got[1][0], 1e-12)
	for temperature, want := range map[float64]float64{0.5: 0.4301902771, 0.1: 0.0637798397} {
		got := eval(t, func(args []*Node) []*Node {
			return []*Node{nets.NTXent(args[0], temperature)}
		}, [][][]float64{{{1, 0}, {0, 1}, {.8, .6}, {-.6, .8}}})
		require.InDelta(t, want, got[0][0], 1e-9)
	}
	got = eval(t, func(args []*Node) []*Node {
		return []*Node{SquaredError(args[0], args[1])}
	}, [][][]float64{{{1}, {2}}, {{0}, {0}}}, [][][]float64{{{0}, {0}}, {{3}, {1}}})
	require.InDeltaSlice(t, []float64{2.5, 5}, got[0], 1e-12)
}

// Both regularizers have the gradient of central differences along random directions: perturbed images, whose signs stay
// the same this near, are held constant, and of TRADES both branches are differentiated.
func TestRegularizerGradient(t *testing.T) {
	m, err := NewMLP(MLP{Inputs: 6, Hidden: []int{8}, Out: 3, Box: Pixels})
	require.NoError(t, err)
	state, err := RNGStateFromSeed(3)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(5, 6))
	var parameters []*tensors.Tensor
	for _, p := range m.Init(2) {
		p := random(rng, append([]int{1}, p.Shape().Dimensions...)...)
		tensors.MustMutableFlatData(p, func(flat []float64) {
			for i := range flat {
				flat[i] = 2*flat[i] - 1
			}
		})
		parameters = append(parameters, p)
	}
	x, y := random(rng, 1, 4, 6), [][]int32{{0, 1, 2, 0}}
	for _, regularizer := range []Regularizer{TRADES, AdversarialCE} {
		exec, err := NewExec(testengine.Quick(t).Backend(), func(args []*Node) []*Node {
			p, rest := args[:len(parameters)], args[len(parameters):]
			o := &objective{model: m, method: Method{Epsilon: 0.1}.WithDefaults(), chance: &chance{rest[2]}}
			value := o.adversarial(p, rest[0], rest[1])
			if regularizer == TRADES {
				value = o.trades(p, rest[0])
			}
			value = ReduceAllSum(value)
			return append([]*Node{value}, Gradient(value, p...)...)
		})
		require.NoError(t, err)
		at := func(p []*tensors.Tensor) (values [][]float64) {
			out, err := exec.Call(append(anys(p), x, y, state)...)
			require.NoError(t, err)
			for _, o := range out {
				values = append(values, tensors.MustCopyFlatData[float64](o))
			}
			return values
		}
		exact := at(parameters)
		require.Positive(t, exact[0][0])
		for range 5 {
			const h = 1e-6
			var sides [2][]*tensors.Tensor
			along := 0.
			for i, p := range parameters {
				up := tensors.MustCopyFlatData[float64](p)
				down := slices.Clone(up)
				for k := range up {
					d := rng.NormFloat64()
					up[k], down[k], along = up[k]+h*d, down[k]-h*d, along+d*exact[1+i][k]
				}
				for side, values := range [][]float64{up, down} {
					sides[side] = append(sides[side], tensors.FromFlatDataAndDimensions(values, p.Shape().Dimensions...))
				}
			}
			require.InDelta(t, (at(sides[0])[0][0]-at(sides[1])[0][0])/(2*h), along, 1e-7, regularizer)
		}
	}
}
