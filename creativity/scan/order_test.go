package scan

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Keys are in the order of the numbers, sorted by either way, and searched as the numbers would be.
func TestKeys(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	special := []float32{0, float32(math.Copysign(0, -1)), 1, -1, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, math.MaxFloat32,
		-math.MaxFloat32}
	for _, n := range []int{1, 2, 3, 100, 255, 256, 1000, 1027} {
		values := make([]float32, n)
		for i := range values {
			if values[i] = float32(rng.NormFloat64()); rng.IntN(3) == 0 {
				values[i] = special[rng.IntN(len(special))]
			}
		}
		keys := make([]uint32, n)
		for i, x := range values {
			keys[i] = key(x)
		}
		sortKeys(keys, make([]uint32, n))
		slices.SortStableFunc(values, cmp.Compare[float32])
		for i, x := range values {
			require.Equal(t, key(x), keys[i])
		}
		for _, x := range append(special, values...) {
			below := 0
			for _, v := range values {
				if v < x {
					below++
				}
			}
			require.Equal(t, below, search(keys, key(x)), "%v of %d", x, n)
		}
	}
}

// All entries of the lower levels are there once, whatever the shape, in levels of either size.
func TestOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, k := range [][3]int{{1, 1, 2}, {1, 300, 50}, {300, 1, 50}, {600, 3, 20}, {257, 128, 90}, {30, 65, 90}, {20, 64, 1 << 17}} {
		rows, nodes, levels := k[0], k[1], k[2]
		r, err := newRanks(rows, nodes, make([]float64, levels))
		require.NoError(t, err)
		var want [][3]int
		for i := range rows {
			for j := range nodes {
				level := rng.IntN(levels)
				if r.put(i, j, level); level < levels/2 {
					want = append(want, [3]int{level, i, j})
				}
			}
		}
		slices.SortFunc(want, compare)
		var got [][3]int
		o := r.upToLevel(levels / 2)
		for level := range levels / 2 {
			for _, entry := range o.level(level) {
				got = append(got, [3]int{level, int(entry >> r.bits), int(entry & (1<<r.bits - 1))})
			}
		}
		slices.SortFunc(got, compare)
		require.Equal(t, want, got, "%v", k)
		require.Same(t, o, r.upToLevel(levels/4)) // others may ask for less
		require.Len(t, r.upToLevel(levels).entries, rows*nodes)
	}
}

func compare(a, b [3]int) int { return slices.Compare(a[:], b[:]) }

// Bounds never exclude a score that is above, and do exclude most that are well below.
func TestBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for s := range scores {
		tight, all := 0, 0
		for range 100_000 {
			n := 1 + rng.IntN(1<<rng.IntN(20))
			k, alpha := 1+rng.IntN(n), float64(1+rng.IntN(2000))/2001
			score := s.Value(k, n, alpha)
			if score == 0 {
				continue
			}
			excluded := func(other float64) bool {
				bound, most := s.bound(other, alpha)
				excess := float64(k) - float64(n)*alpha
				return excess*excess < bound*float64(n) && float64(k) <= most*float64(n) ||
					s == BerkJones && surelyBelow(other, float64(k), float64(n), alpha)
			}
			require.False(t, excluded(score), "%s of %d of %d at %v", s, k, n, alpha)
			all++
			if k == n || excluded(1.5*score) {
				tight++
			}
		}
		assert.Greater(t, float64(tight), 0.7*float64(all), s)
	}
}

// The number of threads changes nothing.
func TestWorkers(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	b, err := NewBackground(normals(rng, 300, 90))
	require.NoError(t, err)
	r, err := b.Ranks(shifted(rng, 100, 90, 0.5), Upper)
	require.NoError(t, err)
	var want string
	for _, workers := range []int{1, 2, 7} {
		singles, err := Singles(r, Options{Workers: workers})
		require.NoError(t, err)
		group, climbs, err := Group(r, Options{Workers: workers})
		require.NoError(t, err)
		got := fmt.Sprint(singles, group, climbs)
		if want == "" {
			want = got
		}
		require.Equal(t, want, got)
	}
}
