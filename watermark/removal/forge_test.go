package removal_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/watermark"
	"github.com/trustbook/trustbook/watermark/removal"
)

func gradient(n int) []float64 {
	rng := rand.New(rand.NewPCG(1, 1))
	v := make([]float64, n)
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	return v
}

var options = watermark.KeyOptions{Shape: []int{8, 8, 1}, Bits: 64, Carriers: 48}

// TestForge: a key that is read from a network has no errors there, and those of chance elsewhere.
func TestForge(t *testing.T) {
	v := gradient(64)
	k, err := removal.Forge(v, []byte("late"), "thief", options)
	require.NoError(t, err)
	r := k.Read(v)
	require.Zero(t, r.Errors)
	require.Equal(t, 64, r.Decided)
	require.Less(t, r.PValue, watermark.Level)
	honest, err := watermark.NewKey([]byte("late"), "thief", options)
	require.NoError(t, err)
	require.Equal(t, honest.Matrix, k.Matrix)
	require.NotEqual(t, honest.Signature, k.Signature)
	again, err := removal.Forge(v, []byte("late"), "thief", options)
	require.NoError(t, err)
	require.Equal(t, k, again)

	_, err = removal.Forge(v[1:], []byte("late"), "", options)
	require.ErrorContains(t, err, "a gradient of 63 values: the key is for inputs of 64")
	_, err = removal.Forge(make([]float64, 64), []byte("late"), "", options)
	require.ErrorContains(t, err, "zero on all carriers")
	_, err = removal.Forge(v, nil, "", options)
	require.ErrorContains(t, err, "secret")
}

// TestForgeRows: the owner's signature fits after two draws a bit on average.
func TestForgeRows(t *testing.T) {
	v := gradient(64)
	owner, err := watermark.NewKey([]byte("secret"), "owner", options)
	require.NoError(t, err)
	total := 0
	for seed := range int64(50) {
		k, draws, err := removal.ForgeRows(v, owner, seed)
		require.NoError(t, err)
		require.Equal(t, owner.Signature, k.Signature)
		require.NotEqual(t, owner.Matrix, k.Matrix)
		require.Zero(t, k.Read(v).Errors)
		total += draws
	}
	require.InDelta(t, 2*64, float64(total)/50, 4*11.4/7.07) // the sum of 64 geometric numbers has the variance 128
	_, _, err = removal.ForgeRows(v, nil, 0)
	require.ErrorContains(t, err, "no key given")
	_, _, err = removal.ForgeRows(v[:3], owner, 0)
	require.ErrorContains(t, err, "a gradient of 3 values")
	_, _, err = removal.ForgeRows(make([]float64, 64), owner, 0)
	require.ErrorContains(t, err, "zero on all carriers")
}
