package uae

import (
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// plain is the estimator as the paper's code has it: layer after layer, on pairs, in float64.
func (t estimator) plain(theta [][]float64, x, y [][]float64, permutation []int32) float64 {
	branch := func(w [][]float64, sample []float64) []float64 {
		in := sample
		if t.maps() {
			in = nil
			for c := range channels {
				for r := range t.height - 1 {
					for k := range t.width - 1 {
						sum := w[kernel][4*channels+c]
						for tap := range 4 {
							sum += w[kernel][tap*channels+c] * sample[(r+tap/2)*t.width+k+tap%2]
						}
						in = append(in, sum)
					}
				}
			}
		}
		blocks, values := t.blocks()
		wide := make([]float64, t.hidden)
		for h := range wide {
			wide[h] = w[firstBias][h]
			for b := range blocks {
				for v := range values {
					wide[h] += in[b*values+v] * w[first][(b*t.hidden+h)*values+v]
				}
			}
		}
		codes := make([]float64, t.code)
		for j := range codes {
			codes[j] = w[secondBias][j]
			for h := range wide {
				codes[j] += wide[h] * w[second][h*t.code+j]
			}
		}
		return codes
	}
	statistic := func(i, k int) (sum float64) {
		a, b := branch(theta[:branchWeights], x[i]), branch(theta[branchWeights:out], y[k])
		for j := range a {
			sum += max(a[j]+b[j], 0) * theta[out][j]
		}
		return sum
	}
	joint, marginal := 0.0, 0.0
	for i := range x {
		joint += statistic(i, i) / float64(len(x))
		marginal += math.Exp(statistic(i, int(permutation[i]))) / float64(len(x))
	}
	return joint - math.Log(marginal)
}

// estimators that tests look at, and samples for them.
var estimators = map[string]estimator{
	"maps": {samples: 5, height: 4, width: 3, hidden: 6, code: 3},
	"rows": {samples: 7, values: 4, hidden: 6, code: 3},
}

func (t estimator) draw(rng *rand.Rand) (theta [][]float64, x, y [][]float64, permutation []int32) {
	for _, w := range t.weights() {
		values := make([]float64, product(w.shape))
		for i := range values {
			values[i] = 0.7 * rng.NormFloat64()
		}
		theta = append(theta, values)
	}
	for range t.samples {
		a, b := make([]float64, max(t.values, t.height*t.width)), make([]float64, max(t.values, t.height*t.width))
		for i := range a {
			a[i], b[i] = rng.NormFloat64(), rng.NormFloat64()
		}
		x, y = append(x, a), append(y, b)
	}
	for _, k := range rng.Perm(t.samples) {
		permutation = append(permutation, int32(k))
	}
	return theta, x, y, permutation
}

// inputs are two images' worth of draws as tensors: weights, x, y, permutations.
func (t estimator) inputs(rng *rand.Rand) (args []any, want []float64, values [2][][]float64) {
	flat := make([][]float64, len(t.weights())+2)
	var permutations []int32
	for b := range 2 {
		theta, x, y, permutation := t.draw(rng)
		values[b] = theta
		for i, w := range theta {
			flat[i] = append(flat[i], w...)
		}
		for k := range x {
			flat[len(theta)], flat[len(theta)+1] = append(flat[len(theta)], x[k]...), append(flat[len(theta)+1], y[k]...)
		}
		permutations = append(permutations, permutation...)
		want = append(want, t.plain(theta, x, y, permutation))
	}
	for i, w := range t.weights() {
		args = append(args, tensors.FromFlatDataAndDimensions(flat[i], append([]int{2}, w.shape...)...))
	}
	shape := []int{2, t.samples, t.height, t.width}
	if !t.maps() {
		shape = []int{2, t.samples, t.values}
	}
	for _, x := range flat[len(flat)-2:] {
		args = append(args, tensors.FromFlatDataAndDimensions(x, shape...))
	}
	return append(args, tensors.FromFlatDataAndDimensions(permutations, 2, t.samples)), want, values
}

// TestEstimatorIsTheNetwork: reordered products are the network, layer after layer, each image with its own weights; and the slopes that
// are built by hand are those that GoMLX derives.
func TestEstimatorIsTheNetwork(t *testing.T) {
	for name, net := range estimators {
		t.Run(name, func(t *testing.T) {
			args, want, _ := net.inputs(rand.New(rand.NewPCG(1, 1)))
			n := len(net.weights())
			exec, err := NewExec(testengine.Quick(t).Backend(), func(in []*Node) []*Node {
				theta, x, y, permutation := in[:n], in[n], in[n+1], in[n+2]
				kept := net.pack(theta)
				zeros := []*Node{ZerosLike(kept[0]), ZerosLike(kept[1]), ZerosLike(kept[2])}
				value := net.information(kept, x, y, permutation)
				one := Scalar(x.Graph(), x.DType(), 1)
				_, mean, square := net.ascend(kept, zeros, zeros, x, y, permutation, one, one)
				all := append([]*Node{value, net.information(zeros, x, y, permutation)}, net.unpack(mean)...)
				all = append(all, net.unpack(square)...)
				with := theta
				if !net.maps() { // kernels that nothing reads have no slopes
					with = append(append([]*Node{}, theta[first:branchWeights]...), theta[branchWeights+first:]...)
				}
				return append(all, Gradient(ReduceAllSum(value), with...)...)
			})
			require.NoError(t, err)
			out, err := exec.Call(args...)
			require.NoError(t, err)
			require.InDeltaSlice(t, want, tensors.MustCopyFlatData[float64](out[0]), 1e-9)
			require.Equal(t, []float64{0, 0}, tensors.MustCopyFlatData[float64](out[1]), "T = 0 estimates 0")
			at := 2 + 2*n
			for i := range n {
				if !net.maps() && i%branchWeights == kernel && i < branchWeights*2 {
					continue
				}
				slope := tensors.MustCopyFlatData[float64](out[at])
				mean, square := tensors.MustCopyFlatData[float64](out[2+i]), tensors.MustCopyFlatData[float64](out[2+n+i])
				for k, s := range slope {
					require.InDelta(t, (1-beta1)*s, mean[k], 1e-9, "weight %d at %d", i, k)
					require.InDelta(t, (1-beta2)*s*s, square[k], 1e-9)
				}
				at++
			}
			require.Len(t, out, at)
		})
	}
}

// TestEstimatorStart: Glorot's limits for kernels and dense layers, biases of 0, and for each image its own numbers.
func TestEstimatorStart(t *testing.T) {
	net := estimator{samples: 16, height: 28, width: 28, hidden: 32, code: 10}
	kept := net.start([]*rand.Rand{stream(1, 0), stream(1, 1)})
	exec, err := NewExec(testengine.Quick(t).Backend(), func(kept []*Node) []*Node { return net.unpack(kept) })
	require.NoError(t, err)
	theta, err := exec.Call(kept[0], kept[1], kept[2])
	require.NoError(t, err)
	at := func(i int) []float32 { return tensors.MustCopyFlatData[float32](theta[i]) }
	largest := func(values []float32) (most float64) {
		for _, v := range values {
			most = max(most, math.Abs(float64(v)))
		}
		return most
	}
	for i, limit := range map[int]float64{kernel: 6.0 / 68, first: 6.0 / (27*27*16 + 32), second: 6.0 / 42, out: 6.0 / 11} {
		require.InEpsilon(t, math.Sqrt(limit), largest(at(i)), 0.1)
	}
	require.Zero(t, largest(at(kernel)[4*channels:5*channels]), "biases")
	require.Zero(t, largest(at(firstBias)))
	require.NotEqual(t, at(first)[:10], at(first)[len(at(first))/2:][:10])
	single := tensors.MustCopyFlatData[float32](net.start([]*rand.Rand{stream(1, 1)})[0])
	require.Equal(t, single, at(first)[len(single):])
}

// TestProjections: the same projections of both images, standardized, the same for all images of a batch.
func TestProjections(t *testing.T) {
	x, err := RandomProjection(6, 40)
	require.NoError(t, err)
	exec, err := NewExec(testengine.Quick(t).Backend(), func(clean, state *Node) []*Node {
		a, b := x.pair(nil, clean, nil, clean, state)
		return []*Node{a, b}
	})
	require.NoError(t, err)
	image := make([]float32, 30)
	for i := range image {
		image[i] = float32(i%5) / 5
	}
	clean := tensors.FromFlatDataAndDimensions(append(image, image...), 2, 5, 6, 1)
	out, err := exec.Call(clean, []uint64{1, 2, 3})
	require.NoError(t, err)
	a, b := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
	require.Equal(t, []int{2, 6, 40}, out[0].Shape().Dimensions)
	require.Equal(t, a, b)
	require.Equal(t, a[:240], a[240:])
	require.NotEqual(t, a[:40], a[40:80])
	other, err := exec.Call(clean, []uint64{4, 5, 6})
	require.NoError(t, err)
	require.NotEqual(t, a, tensors.MustCopyFlatData[float32](other[0]))
	for row := range 12 {
		mean, variance := 0.0, 0.0
		for _, v := range a[row*40:][:40] {
			mean += float64(v) / 40
			variance += float64(v) * float64(v) / 40
		}
		require.InDelta(t, 0, mean, 1e-5)
		require.InDelta(t, 1, variance, 1e-3)
	}
}
