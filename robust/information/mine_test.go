package information_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust/information"
)

// gaussian draws n pairs of normal numbers, in so many dimensions that each correlate by rho.
func gaussian(n, dimensions int, rho float64, seed uint64) (x, y *tensors.Tensor) {
	rng := rand.New(rand.NewPCG(seed, 5))
	a, b := make([]float32, n*dimensions), make([]float32, n*dimensions)
	for i := range a {
		u, v := rng.NormFloat64(), rng.NormFloat64()
		a[i], b[i] = float32(u), float32(rho*u+math.Sqrt(1-rho*rho)*v)
	}
	return tensors.FromFlatDataAndDimensions(a, n, dimensions), tensors.FromFlatDataAndDimensions(b, n, dimensions)
}

// TestMINEOnGaussians compares with -½·d·ln(1 - ρ²); pairs that were shuffled share nothing.
func TestMINEOnGaussians(t *testing.T) {
	e := testengine.Get(t)
	for _, c := range []struct {
		dimensions, steps int
		rho, tolerance    float64
	}{{1, 1000, 0, 0.02}, {1, 3000, 0.5, 0.03}, {1, 3000, 0.9, 0.06}, {3, 3000, 0.5, 0.06}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			x, y := gaussian(40000, c.dimensions, c.rho, 1)
			got, err := information.MINE{Steps: c.steps, Seed: 1}.Estimate(context.Background(), e, x, y)
			require.NoError(t, err)
			require.InDelta(t, -0.5*float64(c.dimensions)*math.Log(1-c.rho*c.rho), got, c.tolerance)
		})
	}
	t.Run("shuffled", func(t *testing.T) {
		x, _ := gaussian(40000, 1, 0.9, 1)
		_, y := gaussian(40000, 1, 0.9, 2)
		got, err := information.MINE{Steps: 1000, Seed: 1}.Estimate(context.Background(), e, x, y)
		require.NoError(t, err)
		require.Less(t, got, 0.05)
	})
}

// TestDonskerVaradhan: 0 for a statistic that is 0, the closed form for two values, and no overflow.
func TestDonskerVaradhan(t *testing.T) {
	exec, err := NewExec(testengine.Get(t).Backend(), information.DonskerVaradhan)
	require.NoError(t, err)
	of := func(joint, marginal [][]float32) []float32 {
		out, err := exec.Call(joint, marginal)
		require.NoError(t, err)
		return tensors.MustCopyFlatData[float32](out[0])
	}
	require.Equal(t, []float32{0, 0}, of([][]float32{{0, 0}, {0, 0}}, [][]float32{{0, 0}, {0, 0}}))
	got := of([][]float32{{1, 3}, {1000, 1000}}, [][]float32{{0, 1}, {1000, 0}})
	require.InDelta(t, 2-math.Log((1+math.E)/2), got[0], 1e-6)
	require.InDelta(t, math.Ln2, got[1], 1e-4)
}

func TestMINERefuses(t *testing.T) {
	e := testengine.Get(t)
	x, y := gaussian(10, 1, 0, 1)
	few, _ := gaussian(7, 1, 0, 1)
	bad := tensors.FromValue([][]float32{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {float32(math.NaN())}, {8}, {9}})
	for _, c := range []struct {
		m    information.MINE
		x, y *tensors.Tensor
		want string
	}{
		{information.MINE{Hidden: -1}, x, y, "Hidden = -1"},
		{information.MINE{BatchSize: 1}, x, y, "BatchSize = 1"},
		{information.MINE{LearningRate: math.Inf(1)}, x, y, "LearningRate = +Inf: must be finite and > 0"},
		{information.MINE{}, nil, y, "without samples"},
		{information.MINE{}, x, few, "of 10 and 7 samples"},
		{information.MINE{}, few, few, "at least 8"},
		{information.MINE{}, x, tensors.FromValue(make([]float32, 10)), "want float32 [n, values]"},
		{information.MINE{}, x, bad, "value NaN of y at [7,0] is not finite"},
	} {
		_, err := c.m.Estimate(context.Background(), e, c.x, c.y)
		require.ErrorContains(t, err, c.want)
	}
}
