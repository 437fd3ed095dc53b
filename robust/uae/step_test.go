package uae

import (
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// TestNextC: the recursion's values for f = 1, and its fall for f = 0.
func TestNextC(t *testing.T) {
	exec, err := NewExec(testengine.Quick(t).Backend(), nextC)
	require.NoError(t, err)
	next := func(c, f float32, step int) float32 {
		out, err := exec.Call([]float32{c}, []float32{f}, float32(0.1/math.Pow(float64(step), 0.25)), float32(0.1))
		require.NoError(t, err)
		return tensors.MustCopyFlatData[float32](out[0])[0]
	}
	c := float32(1e-3)
	for i, want := range []float64{0.1009000, 0.1924154, 0.2777949, 0.3581519} {
		c = next(c, 1, i+1)
		require.InDelta(t, want, c, 1e-6)
	}
	for i := range 50 {
		before := c
		c = next(c, []float32{0, -3}[i%2], i+1)
		require.Less(t, c, before)
		require.GreaterOrEqual(t, c, float32(0))
	}
}

// projector is a linear autoencoder x·P, P the orthogonal projector on some directions.
func projector(t *testing.T, n, rank int) (*nets.Model, [][]float64) {
	rng := rand.New(rand.NewPCG(4, 4))
	var basis [][]float64
	for range rank {
		v := make([]float64, n)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		for _, u := range basis {
			dot := 0.0
			for i := range v {
				dot += u[i] * v[i]
			}
			for i := range v {
				v[i] -= dot * u[i]
			}
		}
		length := 0.0
		for _, x := range v {
			length += x * x
		}
		for i := range v {
			v[i] /= math.Sqrt(length)
		}
		basis = append(basis, v)
	}
	p := make([][]float64, n)
	for i := range p {
		p[i] = make([]float64, n)
		for j := range p[i] {
			for _, u := range basis {
				p[i][j] += u[i] * u[j]
			}
		}
	}
	store := model.NewStore()
	v, err := store.RootScope().CreateVariable("p", tensors.FromValue(p))
	require.NoError(t, err)
	return &nets.Model{Network: nets.Network{Name: "projector", Store: store, WeightPaths: []string{v.Path()}}, InputShape: []int{n},
		Lower: -math.MaxFloat32, Upper: math.MaxFloat32, Classes: n,
		Logits: func(scope *model.Scope, x *Node) *Node {
			return MatMul(x, ConvertDType(scope.Store().GetVariable("/p").NodeValue(x.Graph()), x.DType()))
		}}, basis
}

// TestLinearAutoencoder: f = ‖Pδ‖² for a projector, which the clean image as the target alone gives.
func TestLinearAutoencoder(t *testing.T) {
	const n = 12
	m, basis := projector(t, n, 5)
	o, err := Reconstruction(m)
	require.NoError(t, err)
	exec, err := model.NewExec(testengine.Quick(t).Backend(), m.Store, func(scope *model.Scope, clean, adv *Node) *Node {
		return o.violation(scope, asked{clean: clean, images: adv}, nil)
	})
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(5, 5))
	clean, adv, want := make([]float64, 3*n), make([]float64, 3*n), make([]float64, 3)
	for b := range 3 {
		delta := make([]float64, n)
		for i := range n {
			clean[b*n+i], delta[i] = rng.Float64(), rng.NormFloat64()
			adv[b*n+i] = clean[b*n+i] + delta[i]
		}
		for _, u := range basis {
			dot := 0.0
			for i := range u {
				dot += u[i] * delta[i]
			}
			want[b] += dot * dot
		}
	}
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(clean, 3, n), tensors.FromFlatDataAndDimensions(adv, 3, n))
	require.NoError(t, err)
	require.InEpsilonSlice(t, want, tensors.MustCopyFlatData[float64](out[0]), 1e-5)
}

// TestSlopes compares the slope of c·f⁺ + I with central differences in float64, for maps and for projections that stay.
func TestSlopes(t *testing.T) {
	m := convolutional(t, []int{6, 6, 1}, 2)
	o, err := Reconstruction(m)
	require.NoError(t, err)
	maps, err := FirstConv(m)
	require.NoError(t, err)
	lines, err := RandomProjection(5, 9)
	require.NoError(t, err)
	for _, x := range []*Expansion{maps, lines} {
		t.Run(x.Name(), func(t *testing.T) {
			p := problem{o: o, x: x, t: x.estimator(6, 4), box: boxOf(m)}
			rng := rand.New(rand.NewPCG(7, 7))
			var args []any
			for _, w := range p.t.weights() {
				values := make([]float64, product(w.shape))
				for i := range values {
					values[i] = 0.5 * rng.NormFloat64()
				}
				args = append(args, tensors.FromFlatDataAndDimensions(values, append([]int{1}, w.shape...)...))
			}
			n := len(args)
			var permutation []int32
			for _, k := range rng.Perm(x.Samples()) {
				permutation = append(permutation, int32(k))
			}
			clean, delta := make([]float64, 36), make([]float64, 36)
			for i := range clean {
				clean[i], delta[i] = 0.2+0.6*rng.Float64(), 0.1*rng.NormFloat64()
			}
			exec, err := model.NewExec(testengine.Quick(t).Backend(), m.Store, func(scope *model.Scope, in []*Node) []*Node {
				clean, delta := in[n], in[n+1]
				fixed := p.prepare(scope, clean, nil, in[n+3])
				at := given{clean: clean, samples: fixed[1]}
				adv := p.perturbed(clean, delta, Scalar(clean.Graph(), clean.DType(), 1))
				f := o.violation(scope, asked{clean: clean, images: adv}, fixed[0])
				value := ReduceAllSum(Add(MulScalar(MaxScalar(f, 0), 0.3), p.shared(scope, at, p.t.pack(in[:n]), adv, in[n+2], in[n+3])))
				return []*Node{value, ReduceAllSum(f), Gradient(value, delta)[0]}
			})
			require.NoError(t, err)
			at := func(delta []float64) []*tensors.Tensor {
				out, err := exec.Call(append(append([]any{}, args...), tensors.FromFlatDataAndDimensions(clean, 1, 6, 6, 1),
					tensors.FromFlatDataAndDimensions(delta, 1, 6, 6, 1), [][]int32{permutation}, []uint64{1, 2, 3})...)
				require.NoError(t, err)
				return out
			}
			out := at(delta)
			for range 20 { // until it is worse than the original, so that f has a part in it
				if tensors.ToScalar[float64](out[1]) > 0 {
					break
				}
				for i := range delta {
					delta[i] = 0.1 * rng.NormFloat64()
				}
				out = at(delta)
			}
			require.Positive(t, tensors.ToScalar[float64](out[1]), "f must have a part in it")
			slope := tensors.MustCopyFlatData[float64](out[2])
			largest := 0.0
			for _, s := range slope {
				largest = max(largest, math.Abs(s))
			}
			require.Positive(t, largest)
			const h = 1e-6
			for i := range slope {
				moved := append([]float64{}, delta...)
				moved[i] = delta[i] + h
				up := tensors.ToScalar[float64](at(moved)[0])
				moved[i] = delta[i] - h
				down := tensors.ToScalar[float64](at(moved)[0])
				require.InDelta(t, (up-down)/(2*h), slope[i], 1e-3*largest, "pixel %d", i)
			}
		})
	}
}

// TestGlorotLimits: how far first perturbations go, for shapes that the specification knows.
func TestGlorotLimits(t *testing.T) {
	for _, c := range []struct {
		shape []int
		want  float64
	}{{[]int{28, 28, 1}, 0.086}, {[]int{32, 32, 3}, 0.073}, {[]int{8, 8, 1}, 0.289}, {[]int{3, 32, 32}, 0.073}, {[]int{784}, 0.0874}} {
		require.InDelta(t, c.want, glorot(c.shape), 5e-4, "%v", c.shape)
	}
}

func TestBisection(t *testing.T) {
	a := account{c: 1e-3, high: inf}
	for _, step := range []struct {
		hit  bool
		want float32
	}{{false, 1e-2}, {false, 1e-1}, {true, 0.055}, {false, 0.0775}, {true, 0.06625}} {
		a.tried, a.hit = a.c, step.hit
		a.bisect()
		require.InEpsilon(t, step.want, a.c, 1e-5)
	}
}
