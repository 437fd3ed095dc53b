package generative

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/peer"
	"github.com/trustbook/trustbook/npy"
)

// independent is what testdata/independent.py finds.
type independent struct {
	FID       float64  `json:"fid"`
	KID       float64  `json:"kid"`
	Precision float64  `json:"precision"`
	Recall    float64  `json:"recall"`
	PRDC      Fidelity `json:"prdc"`
}

// sample is a pair of feature sets.
type sample struct {
	real, generated [][]float64
	k               int
	tied            bool // distances are equal
}

// drawSamples are pairs of random sets: as many in both or not, fewer samples than features, just enough for k; and whole numbers,
// many of whose distances are equal. Values are those of float32, in which files hold them.
func drawSamples() (all []sample) {
	rng := rand.New(rand.NewPCG(11, 1))
	rounded := func(n, d int, f func() float64) [][]float64 {
		return wave(n, d, func(float64) float64 { return float64(float32(f())) })
	}
	for range 3 {
		for _, c := range []struct{ n, m, d, k int }{{50, 40, 3, 3}, {40, 40, 8, 5}, {200, 150, 20, 5}, {12, 12, 30, 3}, {9, 30, 64, 5},
			{300, 300, 64, 5}, {3, 3, 2, 1}, {7, 60, 2, 5}, {90, 90, 130, 2}} {
			mean, deviation := rng.Float64(), .5+rng.Float64()
			all = append(all, sample{rounded(c.n, c.d, rng.NormFloat64),
				rounded(c.m, c.d, func() float64 { return mean + deviation*rng.NormFloat64() }), c.k, false})
		}
		for _, c := range []struct{ n, m, d, k int }{{60, 50, 2, 3}, {40, 40, 3, 5}, {30, 35, 5, 1}} {
			whole := func() float64 { return float64(rng.IntN(4)) }
			all = append(all, sample{rounded(c.n, c.d, whole), rounded(c.m, c.d, func() float64 { return 1 + whole() }), c.k, true})
		}
	}
	return all
}

// TestIndependent compares measures with those of torch-fidelity (and scikit-learn's kernel, for sets of two sizes) and prdc:
//
//	BENCH_PYTHON=$PWD/.bench/bin/python go test -run Independent ./generative
func TestIndependent(t *testing.T) {
	samples, dir := drawSamples(), t.TempDir()
	var neighbors []int
	for i, s := range samples {
		for name, rows := range map[string][][]float64{"real": s.real, "generated": s.generated} {
			var flat []float32
			for _, row := range rows {
				for _, v := range row {
					flat = append(flat, float32(v))
				}
			}
			path := filepath.Join(dir, fmt.Sprintf("%d_%s.npy", i, name))
			require.NoError(t, npy.WriteImages(path, tensors.FromFlatDataAndDimensions(flat, len(rows), len(rows[0]))))
		}
		neighbors = append(neighbors, s.k)
	}
	text, err := json.Marshal(neighbors)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "K.json"), text, 0o600))
	var found []independent
	require.NoError(t, json.Unmarshal(peer.Output(t, "testdata/independent.py", dir), &found))
	require.Len(t, found, len(samples))

	partly, fewer, worst := 0, 0, map[string]float64{}
	for i, s := range samples {
		n, m, d := len(s.real), len(s.generated), len(s.real[0])
		name, want := fmt.Sprintf("%d: %d real, %d generated, %d features, k = %d", i, n, m, d, s.k), found[i]
		same := func(what string, want, got, delta float64) {
			worst[what] = max(worst[what], math.Abs(want-got)/max(1, math.Abs(want)))
			require.InDelta(t, want, got, delta*max(1, math.Abs(want)), "%s of %s", what, name)
		}
		fid, err := Frechet(s.real, s.generated)
		require.NoError(t, err)
		if min(n, m) > d {
			same("FID", want.FID, fid, 1e-9)
		} else { // there, roots of eigenvalues that are 0 but for rounding
			same("FID of few samples", want.FID, fid, 1e-6)
		}
		kid, err := Kernel(s.real, s.generated)
		require.NoError(t, err)
		same("KID", want.KID, kid, 1e-9)
		f, err := Compare(s.real, s.generated, s.k)
		require.NoError(t, err)
		same("precision", want.Precision, f.Precision, 1e-6) // float32 there
		same("recall", want.Recall, f.Recall, 1e-6)
		if f.Precision > 0 && f.Precision < 1 && f.Recall > 0 && f.Recall < 1 && f.Coverage > 0 && f.Coverage < 1 {
			partly++
		}
		if !s.tied {
			requireSame(t, want.PRDC, f)
			continue
		}
		// What is exactly as far away as the k-th neighbor is within reach here, and not in prdc.
		for _, pair := range [][2]float64{{want.PRDC.Precision, f.Precision}, {want.PRDC.Recall, f.Recall}, {want.PRDC.Density, f.Density},
			{want.PRDC.Coverage, f.Coverage}} {
			require.LessOrEqual(t, pair[0], pair[1]+1e-12, name)
			if pair[0] < pair[1]-1e-12 {
				fewer++
			}
		}
	}
	require.Greater(t, partly, len(samples)/4, "samples that tell something")
	require.Positive(t, fewer, "samples whose ties count")
	t.Logf("%d samples, %d of them with measures between 0 and 1, worst relative differences %v", len(samples), partly, worst)
}
