package manifold_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust/manifold"
)

func normal(seed uint64, n, size int) []float64 {
	rng := rand.New(rand.NewPCG(seed, 0))
	out := make([]float64, n*size)
	for i := range out {
		out[i] = rng.NormFloat64()
	}
	return out
}

func table(flat []float64, size int) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(flat, len(flat)/size, size)
}

func single(flat []float64, dims ...int) *tensors.Tensor {
	out := make([]float32, len(flat))
	for i, v := range flat {
		out[i] = float32(v)
	}
	return tensors.FromFlatDataAndDimensions(out, dims...)
}

// TestAffinePlane: points of a plane of 10 dimensions are on it, and what is moved by h along its normal is h away, in
// float32 and float64. The move is all off the plane, and a move within it not at all.
func TestAffinePlane(t *testing.T) {
	e := testengine.Quick(t)
	const size, rank, n = 64, 10, 150
	directions, within := normal(1, rank+1, size), normal(2, n+20, rank)
	base := mat.NewDense(rank+1, size, directions)
	var qr mat.QR
	qr.Factorize(base.T())
	var q mat.Dense
	qr.QTo(&q) // orthonormal columns: ten of the plane, one normal to it
	point := func(i int) []float64 {
		out := make([]float64, size)
		for j := range out {
			out[j] = 3
			for k := range rank {
				out[j] += within[i*rank+k] * q.At(j, k)
			}
		}
		return out
	}
	var train, on, off []float64
	for i := range n {
		train = append(train, point(i)...)
	}
	const h = 0.05
	for i := n; i < n+20; i++ {
		on = append(on, point(i)...)
		moved := point(i)
		for j := range moved {
			moved[j] += h * q.At(j, rank)
		}
		off = append(off, moved...)
	}
	for _, tensor := range []func([]float64) *tensors.Tensor{
		func(v []float64) *tensors.Tensor { return table(v, size) },
		func(v []float64) *tensors.Tensor { return single(v, len(v)/size, 8, 8, 1) },
	} {
		surface, err := manifold.Tangent{}.Fit(e, tensor(train))
		require.NoError(t, err)
		near, err := surface.Distances(tensor(on))
		require.NoError(t, err)
		far, err := surface.Distances(tensor(off))
		require.NoError(t, err)
		shares, err := surface.OffShares(tensor(off), tensor(on))
		require.NoError(t, err)
		around, err := surface.OffShares(tensor(append(on[size:], on[:size]...)), tensor(on))
		require.NoError(t, err)
		for i := range near {
			require.Less(t, near[i], 1e-5)
			require.InDelta(t, h, far[i], 1e-5)
			require.InDelta(t, 1, shares[i], 1e-5)
			require.Less(t, around[i], 1e-5)
		}
		none, err := surface.OffShares(tensor(on), tensor(on))
		require.NoError(t, err)
		require.True(t, math.IsNaN(none[0]))
	}
}

// TestTangentDefinition compares with the definition, by brute force and a singular value decomposition.
func TestTangentDefinition(t *testing.T) {
	e := testengine.Quick(t)
	const size, k, rank, n, m = 30, 12, 4, 70, 140 // more points than a batch
	train, x, at := normal(3, n, size), normal(4, m, size), normal(5, m, size)
	surface, err := manifold.Tangent{Neighbors: k, Rank: rank}.Fit(e, table(slices.Clone(train), size))
	require.NoError(t, err)
	got, err := surface.Distances(table(slices.Clone(x), size))
	require.NoError(t, err)
	shares, err := surface.OffShares(table(slices.Clone(x), size), table(slices.Clone(at), size))
	require.NoError(t, err)
	for i := range m {
		p, a := x[i*size:(i+1)*size], at[i*size:(i+1)*size]
		mean, project := definition(train, p, size, k, rank)
		off := make([]float64, size)
		floats.SubTo(off, p, mean)
		require.InDelta(t, floats.Norm(project(off), 2), got[i], 1e-9)
		_, project = definition(train, a, size, k, rank)
		floats.SubTo(off, p, a)
		require.InDelta(t, floats.Norm(project(off), 2)/floats.Norm(off, 2), shares[i], 1e-9)
	}
}

// definition is the plane at x, and what is left of a vector off it.
func definition(train, x []float64, size, k, rank int) (mean []float64, project func([]float64) []float64) {
	order := sorted(train, x, size)
	mean = make([]float64, size)
	for _, r := range order[:k] {
		floats.AddScaled(mean, 1/float64(k), train[r*size:(r+1)*size])
	}
	near := mat.NewDense(k, size, nil)
	for i, r := range order[:k] {
		floats.SubTo(near.RawRowView(i), train[r*size:(r+1)*size], mean)
	}
	var svd mat.SVD
	svd.Factorize(near, mat.SVDThinV)
	var v mat.Dense
	svd.VTo(&v)
	return mean, func(off []float64) []float64 {
		out := slices.Clone(off)
		for c := range rank {
			floats.AddScaled(out, -mat.Dot(mat.NewVecDense(size, slices.Clone(off)), v.ColView(c)), mat.Col(nil, c, &v))
		}
		return out
	}
}

// sorted are the training points from near to far.
func sorted(train, x []float64, size int) []int {
	order := make([]int, len(train)/size)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		da, db := floats.Distance(train[a*size:(a+1)*size], x, 2), floats.Distance(train[b*size:(b+1)*size], x, 2)
		return map[bool]int{true: -1, false: 1}[da < db]
	})
	return order
}

// TestKNN compares with brute force, far from zero too, and finds a training point at itself.
func TestKNN(t *testing.T) {
	e := testengine.Quick(t)
	const size, n, m = 7, 90, 130
	for _, shift := range []float64{0, 1e6} {
		train, x := normal(6, n, size), normal(7, m, size)
		floats.AddConst(shift, train)
		floats.AddConst(shift, x)
		for _, k := range []int{1, 5, n} {
			got, err := manifold.KNN(e, table(slices.Clone(train), size), table(slices.Clone(x), size), k)
			require.NoError(t, err)
			for i := range m {
				want, p := 0.0, x[i*size:(i+1)*size]
				for _, r := range sorted(train, p, size)[:k] {
					want += floats.Distance(train[r*size:(r+1)*size], p, 2) / float64(k)
				}
				require.InDelta(t, want, got[i], 1e-8)
			}
		}
		self, err := manifold.KNN(e, table(slices.Clone(train), size), table(slices.Clone(train), size), 1)
		require.NoError(t, err)
		require.Equal(t, make([]float64, n), self)
	}
}

// TestFewDirections: a plane has no more directions than the points near it, so that copies of one point are a point, and
// what rounding makes of a flat neighborhood does not count.
func TestFewDirections(t *testing.T) {
	e := testengine.Quick(t)
	const size = 20
	var copies, line []float64
	for i := range 60 {
		one := make([]float64, size)
		copies = append(copies, one...)
		one = slices.Clone(one)
		one[0] = float64(i) / 60
		line = append(line, one...)
	}
	x := make([]float64, size)
	x[0], x[1] = 3, 4
	for _, c := range []struct {
		train []float64
		want  float64
	}{{copies, 5}, {line, 4}} {
		surface, err := manifold.Tangent{}.Fit(e, table(c.train, size))
		require.NoError(t, err)
		got, err := surface.Distances(table(slices.Clone(x), size))
		require.NoError(t, err)
		require.InDelta(t, c.want, got[0], 1e-12)
	}
}

// TestFrechetGaussians compares with the closed forms for normal distributions: a shift of the mean, diagonal covariances.
// Samples are made to have just the wanted means and covariances.
func TestFrechetGaussians(t *testing.T) {
	const n, features = 50, 4
	exact := func(seed uint64, mean, deviation []float64) *tensors.Tensor {
		values := mat.NewDense(n, features, normal(seed, n, features))
		for j := range features {
			column := mat.Col(nil, j, values)
			floats.AddConst(-floats.Sum(column)/n, column)
			values.SetCol(j, column)
		}
		var qr mat.QR
		qr.Factorize(values)
		var q mat.Dense
		qr.QTo(&q)
		flat := make([]float64, 0, n*features)
		for i := range n {
			for j := range features {
				flat = append(flat, mean[j]+deviation[j]*q.At(i, j)*math.Sqrt(n-1))
			}
		}
		return table(flat, features)
	}
	zero, ones := make([]float64, features), []float64{1, 1, 1, 1}
	for name, c := range map[string]struct {
		mean, first, second []float64
	}{
		"mean":       {[]float64{3, 0, -4, 0}, ones, ones},
		"covariance": {zero, []float64{1, 2, 3, 4}, []float64{2, 0.5, 3, 1}},
		"both":       {[]float64{0.1, 0, 0, 2}, []float64{1, 2, 3, 1e-3}, []float64{2, 0.5, 1e-3, 1}},
		"flat":       {[]float64{0.1, 0, 0, 2}, []float64{1, 2, 3, 0}, []float64{2, 0.5, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			want := 0.0
			for j := range features {
				want += c.mean[j]*c.mean[j] + (c.first[j]-c.second[j])*(c.first[j]-c.second[j])
			}
			a, b := exact(8, zero, c.first), exact(9, c.mean, c.second)
			got, err := manifold.Frechet(a, b)
			require.NoError(t, err)
			require.InDelta(t, want, got, 1e-10)
			back, err := manifold.Frechet(b, a)
			require.NoError(t, err)
			require.InDelta(t, want, back, 1e-10)
			self, err := manifold.Frechet(a, a)
			require.NoError(t, err)
			require.InDelta(t, 0, self, 1e-12)
		})
	}
}

// TestFrechetGolden compares with scipy's matrix square root, by testdata/frechet.py.
func TestFrechetGolden(t *testing.T) {
	content, err := os.ReadFile("testdata/frechet.json")
	require.NoError(t, err)
	var golden struct {
		First, Second [][]float64
		Distance      float64
	}
	require.NoError(t, json.Unmarshal(content, &golden))
	got, err := manifold.Frechet(tensors.FromValue(golden.First), tensors.FromValue(golden.Second))
	require.NoError(t, err)
	require.InEpsilon(t, golden.Distance, got, 1e-9)
}

func TestErrors(t *testing.T) {
	e := testengine.Quick(t)
	twenty, hole := normal(10, 20, 16), normal(11, 60, 16)
	hole[16*3+7] = math.NaN()
	good := table(normal(12, 60, 16), 16)
	fit := func(tangent manifold.Tangent, train *tensors.Tensor) func() error {
		return func() error { _, err := tangent.Fit(e, train); return err }
	}
	surface, err := manifold.Tangent{}.Fit(e, good)
	require.NoError(t, err)
	distances := func(x *tensors.Tensor) func() error {
		return func() error { _, err := surface.Distances(x); return err }
	}
	knn := func(train, x *tensors.Tensor, k int) func() error {
		return func() error { _, err := manifold.KNN(e, train, x, k); return err }
	}
	frechet := func(a, b *tensors.Tensor) func() error {
		return func() error { _, err := manifold.Frechet(a, b); return err }
	}
	alone := func() error { _, err := manifold.Tangent{}.Fit(nil, good); return err }
	uneven := func() error { _, err := surface.OffShares(table(twenty, 16), good); return err }
	for want, call := range map[string]func() error{
		"tangent: K=50 exceeds 20 training points":                       fit(manifold.Tangent{}, table(twenty, 16)),
		"tangent: no training points":                                    fit(manifold.Tangent{}, nil),
		"tangent: training points have shape (Int32)[2, 2]":              fit(manifold.Tangent{}, tensors.FromValue([][]int32{{1, 2}, {3, 4}})),
		"tangent: value NaN at [3,7] of training points: want finite":    fit(manifold.Tangent{}, table(slices.Clone(hole), 16)),
		"tangent: Rank = 10 of Neighbors = 5: want":                      fit(manifold.Tangent{Neighbors: 5}, good),
		"tangent: Rank = -1 of Neighbors = 50: want":                     fit(manifold.Tangent{Rank: -1}, good),
		"tangent: Rank = 16 for points of 16 values":                     fit(manifold.Tangent{Rank: 16}, good),
		"tangent: no engine":                                             alone,
		"tangent: value NaN at [3,7] of points: want finite":             distances(table(slices.Clone(hole), 16)),
		"tangent: points have 8 values, training points have 16":         distances(table(twenty, 8)),
		"tangent: 20 points and 60 to start from":                        uneven,
		"knn: k=0 of 60 training points: want":                           knn(good, good, 0),
		"knn: k=61 of 60 training points: want":                          knn(good, good, 61),
		"knn: value NaN at [3,7] of points: want finite":                 knn(good, table(slices.Clone(hole), 16), 5),
		"frechet: 40 samples for 64 features; covariance is singular":    frechet(table(normal(13, 40, 64), 64), table(normal(14, 128, 64), 64)),
		"frechet: value NaN at [3,7] of features of the first set: want": frechet(table(slices.Clone(hole), 16), good),
		"frechet: 16 features in the first set, 8 in the second":         frechet(good, table(twenty, 8)),
	} {
		require.ErrorContains(t, call(), want)
	}
	_, err = manifold.Frechet(table(normal(13, 128, 64), 64), table(normal(14, 128, 64), 64))
	require.NoError(t, err, "128 samples are enough for 64 features")
}
