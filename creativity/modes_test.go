package creativity

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// profile is of six nodes: one that is dead, and others that are on in 1 to 5 of five samples.
func profile(t *testing.T) (*Profile, [][]float32) {
	t.Helper()
	acts := [][]float32{{0, 1, 5, 2, 0, 0}, {0, 2, 0, 2, 3, 0}, {0, 3, 0, 2, 1, 0}, {0, 4, 0, 2, 0, 4}, {0, 5, 0, 0, 2, 6}}
	p, err := NewProfile(acts)
	require.NoError(t, err)
	return p, acts
}

func TestProfile(t *testing.T) {
	p, _ := profile(t)
	require.Equal(t, []float64{0, 1, 0.2, 0.8, 0.6, 0.4}, p.Activity)
	require.Equal(t, []int{2, 5, 4, 3, 1}, p.Live, "from the least active to the most, without the dead one")
	require.EqualValues(t, 5, p.On(2, 0.9), "of one value")
	for q, want := range map[float64]float64{0.2: 1, 0.6: 3, 1: 5} {
		require.InDelta(t, want, p.On(1, q), 1e-6, "quantile %g of 1 to 5", q)
	}
	_, err := NewProfile(nil)
	require.ErrorContains(t, err, "no background activations")
	_, err = NewProfile([][]float32{{1, 2}, {1}})
	require.ErrorContains(t, err, "sample 1 of the background has 1 nodes, want 2")
}

// TestModes: each mode changes what it says and nothing else.
func TestModes(t *testing.T) {
	p, acts := profile(t)
	rng := func() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }
	a := clone(acts)
	changed, err := LowActive{K: 2, Q: 1}.Nodes(a, p, rng())
	require.NoError(t, err)
	require.Equal(t, []int{2, 5}, changed)
	require.Equal(t, [][]float32{{0, 1, 5, 2, 0, 6}, {0, 2, 5, 2, 3, 6}, {0, 3, 5, 2, 1, 6}, {0, 4, 5, 2, 0, 6}, {0, 5, 5, 0, 2, 6}}, a)
	above := [][]float32{{0, 0, 9, 0, 0, 9}}
	_, err = LowActive{K: 2, Q: 1}.Nodes(above, p, rng())
	require.NoError(t, err)
	require.Equal(t, [][]float32{{0, 0, 9, 0, 0, 9}}, above, "what is on more strongly stays")

	a = clone(acts)
	changed, err = HighOff{K: 2}.Nodes(a, p, rng())
	require.NoError(t, err)
	require.Equal(t, []int{1, 3}, changed)
	require.Equal(t, [][]float32{{0, 0, 5, 0, 0, 0}, {0, 0, 0, 0, 3, 0}, {0, 0, 0, 0, 1, 0}, {0, 0, 0, 0, 0, 4}, {0, 0, 0, 0, 2, 6}}, a)

	for range 20 {
		many := make([][]float32, 200)
		for i := range many {
			many[i] = slices.Clone(acts[i%5])
		}
		r := rng()
		flipped := clone(many)
		changed, err = RandomFlip{K: 2, Q: 1}.Nodes(flipped, p, r)
		require.NoError(t, err)
		require.Nil(t, changed)
		random := clone(many)
		_, err = LowActiveRandom{K: 1, Q: 1, Pool: 0.6}.Nodes(random, p, r)
		require.NoError(t, err)
		seen := map[int]bool{}
		for i := range many {
			n := 0
			for j := range many[i] {
				was, is := many[i][j], flipped[i][j]
				if was != is {
					n++
					require.True(t, was > 0 && is == 0 || was == 0 && is == p.On(j, 1), "node %d: from %g to %g", j, was, is)
				}
				if random[i][j] != many[i][j] {
					require.Contains(t, p.Live[:3], j)
					seen[j] = true
				}
			}
			require.Equal(t, 2, n)
		}
		require.Len(t, seen, 3, "other nodes for other samples")
	}

	z := make([][]float32, 2000)
	for i := range z {
		z[i] = []float32{1}
	}
	LatentNoise{Sigma: 2}.Latents(z, rng())
	var sum, squares float64
	for _, row := range z {
		sum, squares = sum+float64(row[0]-1), squares+math.Pow(float64(row[0]-1), 2)
	}
	require.InDelta(t, 0, sum/2000, 0.2)
	require.InDelta(t, 4, squares/2000, 0.5)

	for want, m := range map[string]Mode{
		"low-active 6 at 0.9 wants 6 nodes, 5 are live":                  LowActive{K: 6, Q: 0.9},
		"high-active 0 off wants 0 nodes, 5 are live":                    HighOff{},
		"wants 4 nodes, 3 are live":                                      LowActiveRandom{K: 4, Q: 0.9, Pool: 0.5},
		"pool of 2: want a share above 0 and at most 1":                  LowActiveRandom{K: 4, Q: 0.9, Pool: 2},
		"creativity: flip, each its 7, at 0.9 wants 7 nodes, 5 are live": RandomFlip{K: 7, Q: 0.9},
	} {
		_, err := m.Nodes(clone(acts), p, rng())
		require.ErrorContains(t, err, want)
	}
}

// TestDecoder: without a mode it is the network, a mode shows in its layer and after it and nowhere before, and equal seeds
// give equal samples.
func TestDecoder(t *testing.T) {
	e := testengine.Training(t)
	v, err := nets.NewVAE(nets.VAEConfig{Input: []int{4, 4, 1}, Hidden: []int{12, 10}, Latent: 3, Seed: 1})
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(2, 2))
	latents := make([][]float32, 50)
	for i := range latents {
		latents[i] = []float32{float32(rng.NormFloat64()), float32(rng.NormFloat64()), float32(rng.NormFloat64())}
	}
	d, err := NewDecoder(e, v, "decoder 2", latents)
	require.NoError(t, err)
	whole, err := nets.NewPart(e.Backend(), v, nets.LayerLatent, nets.LayerPixels, 0)
	require.NoError(t, err)
	want, err := whole.Of(latents)
	require.NoError(t, err)
	plain, err := d.Decode(latents, None{}, 1)
	require.NoError(t, err)
	for i := range want {
		require.InDeltaSlice(t, want[i], plain.Pixels[i], 1e-6)
	}
	require.Nil(t, plain.Changed)
	changed, err := d.Decode(latents, HighOff{K: 3}, 1)
	require.NoError(t, err)
	require.Equal(t, plain.Before, changed.Before)
	require.NotEqual(t, plain.Pixels, changed.Pixels)
	for i, row := range changed.Layer {
		for j, a := range row {
			if slices.Contains(changed.Changed, j) {
				require.Zero(t, a)
			} else {
				require.Equal(t, plain.Layer[i][j], a)
			}
		}
	}
	flip := RandomFlip{K: 2, Q: 0.9}
	one, err := d.Decode(latents, flip, 7)
	require.NoError(t, err)
	same, err := d.Decode(latents, flip, 7)
	require.NoError(t, err)
	other, err := d.Decode(latents, flip, 8)
	require.NoError(t, err)
	require.Equal(t, one, same)
	require.NotEqual(t, one.Layer, other.Layer)
	noisy, err := d.Decode(latents, LatentNoise{Sigma: 1}, 7)
	require.NoError(t, err)
	require.NotEqual(t, plain.Before, noisy.Before)
	for _, layer := range []string{"decoder 1", "pixels", "latent", "encoder 2", "decoder 9"} {
		_, err = NewDecoder(e, v, layer, latents)
		require.ErrorContains(t, err, "want a hidden layer of the decoder after", layer)
	}
}

func TestEightBit(t *testing.T) {
	require.Equal(t, [][]float32{{0, 0, 1. / 255, 1, 128. / 255}}, EightBit([][]float32{{0, 0.0019, 0.002, 1, 0.5001}}))
}
