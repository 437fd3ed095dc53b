package watermark

import (
	"context"
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// A linear classifier of four inputs in three classes whose mark was computed by hand.
var (
	goldenW = [][]float64{{1, -1, 0.5, 0}, {0, 1, -1, 2}, {-0.5, 0, 1, 1}}
	goldenA = []float64{0, 0.5, -0.5}
	goldenX = [][]float64{{0.2, 0.4, 0.6, 0.8}, {1, 0, 0.5, 0.25}}
	goldenV = []float64{-0.7383809273, 1.1229750817, -0.6211145781, 1.1229750817}
	goldenY = []float64{-0.1470798678, 0.4941586582, -1.8027228344, 1.7358908831}
)

func goldenKey(t *testing.T) *Key {
	k, err := KeyFromArrays(Key{Shape: []int{4}, Target: 0, Carriers: []int{0, 2, 3},
		Matrix:    [][]float64{{1, -0.5, 0.25}, {-0.75, 1, 0.5}, {0.5, 0.5, -1}, {-1, -0.25, 0.75}},
		Signature: []bool{false, true, true, true}})
	require.NoError(t, err)
	return k
}

// goldenModel computes in T.
func goldenModel[T float32 | float64](t *testing.T) *nets.Model {
	w, a := make([][]T, 3), make([]T, 3)
	for i := range w {
		a[i] = T(goldenA[i])
		for _, v := range goldenW[i] {
			w[i] = append(w[i], T(v))
		}
	}
	m, err := nets.NewModel([]int{4}, -1, 2)
	require.NoError(t, err)
	m.Name, m.Classes, m.WeightPaths = "golden", 3, []string{"/w", "/a"}
	for name, value := range map[string]any{"w": w, "a": a} {
		values, err := tensors.FromAnyValue(value)
		require.NoError(t, err)
		_, err = m.Store.RootScope().CreateVariable(name, values)
		require.NoError(t, err)
	}
	m.Logits = func(scope *model.Scope, x *Node) *Node {
		at := func(path string) *Node { return scope.Store().GetVariable(path).NodeValue(x.Graph()) }
		return Add(Einsum("ni,ci->nc", x, at("/w")), InsertAxes(at("/a"), 0))
	}
	return m
}

func close1e9(t *testing.T, want, got []float64, delta float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.InDelta(t, want[i], got[i], delta, "%d", i)
	}
}

// TestGolden: gradients, projections, bits, the regularizer and its gradient.
func TestGolden(t *testing.T) {
	e, k, m := testengine.Training(t), goldenKey(t), goldenModel[float64](t)
	run := func(method Method, step float64) (v, ce, r, w, a []float64) {
		exec, err := model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, x *Node) []*Node {
			share := Const(x.Graph(), []float64{0.5, 0.5})
			value := k.marked(x.Graph(), x.DType(), method, step).regularizer(scope, m, x, share)
			weights := m.Weights()
			g := Gradient(value, weights[0].NodeValue(x.Graph()), weights[1].NodeValue(x.Graph()))
			return []*Node{inputGradient(scope, m, x, share, k.Target), lossOf(scope, m, x, share, k.Target), value, g[0], g[1]}
		})
		require.NoError(t, err)
		out, err := exec.Call(goldenX)
		require.NoError(t, err)
		all := make([][]float64, len(out))
		for i := range out {
			require.Equal(t, dtypes.Float64, out[i].DType())
			all[i] = tensors.MustCopyFlatData[float64](out[i])
		}
		return all[0], all[1], all[2], all[3], all[4]
	}
	v, ce, r, w, a := run(DoubleBackprop, 1)
	close1e9(t, goldenV, v, 1e-9)
	close1e9(t, []float64{1.3661100442}, ce, 1e-9)
	close1e9(t, []float64{0.8040588584}, r, 1e-9)
	close1e9(t, []float64{-0.1238544402, -0.0081146004, 0.1288213373, -0.1364301096}, w[:4], 1e-9)
	close1e9(t, []float64{-0.0640287342, 0.1381154875, -0.0740867532}, a, 1e-9)
	reading := k.Read(v)
	close1e9(t, goldenY, reading.Projections, 1e-9)
	require.Equal(t, []int8{0, 1, 0, 1}, reading.Bits)
	require.Equal(t, 0.25, *reading.BER)
	require.Equal(t, []int{1, 4}, []int{reading.Errors, reading.Decided})

	for step, most := range map[float64]float64{0.01: 2e-5, 0.001: 2e-7} {
		_, _, value, near, _ := run(Surrogate, step)
		require.InDelta(t, r[0], value[0], 1e-12, "the value is exact")
		off, largest := 0.0, 0.0
		for i := range w {
			off, largest = math.Max(off, math.Abs(near[i]-w[i])), math.Max(largest, math.Abs(w[i]))
		}
		require.LessOrEqual(t, off/largest, most)
		require.Greater(t, off/largest, most/4, "the comparison compares")
	}
}

// The same by what users call, in float32.
func TestGoldenExtractAndVerify(t *testing.T) {
	e, k, m := testengine.Training(t), goldenKey(t), goldenModel[float32](t)
	x := tensors.FromValue([][]float32{{0.2, 0.4, 0.6, 0.8}, {1, 0, 0.5, 0.25}})
	v, err := InputGradient(context.Background(), e, m, 0, x)
	require.NoError(t, err)
	close1e9(t, goldenV, v, 1e-5)
	r, err := Extract(context.Background(), e, m, k, x, []int32{0, 0})
	require.NoError(t, err)
	close1e9(t, goldenY, r.Projections, 1e-5)
	end, err := ModelEndpoint(e, m, 0)
	require.NoError(t, err)
	got, err := Verifier{Step: 0.5, Samples: 2}.Verify(context.Background(), end, k, x)
	require.NoError(t, err)
	close1e9(t, []float64{-0.1595339732, 0.5096336867, -1.8051557423, 1.7296269946}, got.Projections, 1e-5)
	require.Equal(t, 16, got.Queries)
	require.Equal(t, NotShown, got.Result)
	require.Equal(t, []string{"4 bits cannot give p < 1e-09"}, got.Notes)
}

// TestSlopes: the central slopes in float64, and the other estimators where c is nearly linear.
func TestEstimatorsAgree(t *testing.T) {
	e, k, m := testengine.Training(t), goldenKey(t), goldenModel[float32](t)
	x := tensors.FromValue([][]float32{{0.2, 0.4, 0.6, 0.8}, {1, 0, 0.5, 0.25}, {0.2, 0.4, 0.6, 0.8}, {1, 0, 0.5, 0.25},
		{0.2, 0.4, 0.6, 0.8}, {0.2, 0.4, 0.6, 0.8}, {0.2, 0.4, 0.6, 0.8}, {0.2, 0.4, 0.6, 0.8}})
	end, err := ModelEndpoint(e, m, 0)
	require.NoError(t, err)
	for _, c := range []struct {
		v     Verifier
		delta float64
	}{
		{Verifier{Step: 0.01, Samples: 2}, 1e-3},
		{Verifier{Estimator: Forward, Step: 0.01, Samples: 2}, 2e-2},
		{Verifier{Estimator: Coordinate, Step: 0.01, Samples: 2}, 2e-2},
		{Verifier{Estimator: RandomDirections, Step: 0.01, Samples: 2, Directions: 20000}, 0.1},
	} {
		got, err := c.v.Verify(context.Background(), end, k, x)
		require.NoError(t, err)
		close1e9(t, goldenY, got.Projections, c.delta)
		require.Equal(t, c.v.Queries(k, 8), got.Queries)
	}
	// One image, so that the two halves see the same.
	same := tensors.FromFlatDataAndDimensions(repeated([]float32{0.2, 0.4, 0.6, 0.8}, 8), 8, 4)
	one, err := Verifier{Estimator: OneQuery, Step: 0.01, Samples: 2}.Verify(context.Background(), end, k, same)
	require.NoError(t, err)
	two, err := Verifier{Step: 0.01, Samples: 1}.Verify(context.Background(), end, k, same)
	require.NoError(t, err)
	close1e9(t, two.Projections, one.Projections, 1e-4)
}

func repeated(x []float32, n int) (all []float32) {
	for range n {
		all = append(all, x...)
	}
	return all
}

func TestPValues(t *testing.T) {
	for _, c := range []struct {
		decided, errors int
		want            float64
	}{{64, 0, 5.421010862427522e-20}, {64, 8, 2.781336121159862e-10}, {64, 9, 1.771111690087538e-9},
		{128, 30, 6.452936410277733e-10}, {16, 1, 0.0002593994140625}, {0, 0, 1}, {64, 64, 1}, {1, 0, 0.5}, {2048, 0, 0}} {
		require.InEpsilon(t, 1+c.want, 1+PValue(c.errors, c.decided), 1e-12)
		if c.want > 0 {
			require.InEpsilon(t, c.want, PValue(c.errors, c.decided), 1e-12)
		}
	}
	for bits, want := range map[int]int{16: -1, 29: -1, 30: 0, 32: 0, 64: 8, 128: 30, 256: 80} {
		require.Equal(t, want, MaxErrors(bits, Level), bits)
	}
	require.Equal(t, -1, MaxErrors(64, Strict))
	require.Equal(t, 10, MaxErrors(128, Strict))
	require.Equal(t, 0.5, Cover(128, 64))
	require.InEpsilon(t, 0.005462280345872436, Cover(160, 64), 1e-12)
	require.Equal(t, 1.0, Cover(64, 64))
	for n, want := range map[int][2]int{32: {7, 25}, 64: {19, 45}, 128: {46, 82}} {
		low, high := Interval(n, 0.999)
		require.Equal(t, want, [2]int{low, high}, n)
	}
	sum := 0.0
	for e := range 65 { // the chances of all counts of errors sum to 1
		below := 0.0
		if e > 0 {
			below = PValue(e-1, 64)
		}
		sum += PValue(e, 64) - below
	}
	require.InDelta(t, 1, sum, 1e-12)
}
