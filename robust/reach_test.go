package robust_test

import (
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust"
)

// TestReach compares the ways to random hyperplanes with the distance at which the closed form of internal/oracle says that
// a linear classifier of two classes changes, found by bisection in float64.
func TestReach(t *testing.T) {
	const n, values = 60, 40
	rng := rand.New(rand.NewPCG(5, 6))
	x, w, gain := make([][]float32, n), make([][]float32, n), make([][]float32, n)
	for i := range n {
		x[i], w[i] = make([]float32, values), make([]float32, values)
		scale := math.Pow(10, float64(i%5)*3-9) // gradients of 1e-9 to 1e3
		total := 0.0
		for j := range values {
			x[i][j] = min(1, max(0, float32(rng.Float64()*1.4-0.2)))
			w[i][j] = float32(rng.NormFloat64() * scale)
			switch i % 4 {
			case 1: // ties
				w[i][j] = float32(scale) * float32(rng.IntN(3)-1)
			case 2: // many orders of magnitude
				w[i][j] *= float32(math.Exp(3 * rng.NormFloat64()))
			}
			total += math.Abs(float64(w[i][j]))
		}
		// From a small part of what the box allows to all of it and more.
		gain[i] = []float32{float32(total * []float64{0, 0.001, 0.05, 0.2, 0.35, 5}[i%6])}
		if i%7 == 0 {
			gain[i][0] *= -1
		}
	}
	for _, norm := range []robust.Norm{robust.Linf, robust.L2, robust.L1} {
		exec, err := NewExec(testengine.Quick(t).Backend(), func(x, w, gain *Node) *Node {
			return robust.Reach(norm, x, w, gain, robust.Box{Upper: 1})
		})
		require.NoError(t, err)
		out, err := exec.Call1(tensors.FromValue(x), tensors.FromValue(w), tensors.FromValue(gain))
		require.NoError(t, err)
		d := tensors.MustCopyFlatData[float32](out)
		for i := range n {
			l, want := oracle.Linear{B: make([]float32, 2)}, float64(gain[i][0])
			sign := float32(1)
			if want < 0 {
				sign, want = -1, -want
			}
			largest := float32(0) // the oracle wants weights near 1
			for _, v := range w[i] {
				largest = max(largest, max(v, -v))
			}
			want /= float64(largest)
			reached, size, at, scale := 0.0, 0.0, make([]float32, values), 0.0
			for j := range values {
				move := float64(d[i*values+j])
				at[j] = x[i][j] + d[i*values+j]
				require.GreaterOrEqual(t, at[j], float32(-1e-6))
				require.LessOrEqual(t, at[j], float32(1+1e-6))
				weight := sign * w[i][j] / largest
				reached += float64(weight) * move
				scale += math.Abs(float64(weight))
				switch norm {
				case robust.Linf:
					size = max(size, math.Abs(move))
				case robust.L2:
					size += move * move
				default:
					size += math.Abs(move)
				}
				l.W = append(l.W, []float32{0, weight})
			}
			if norm == robust.L2 {
				size = math.Sqrt(size)
			}
			// The gain of the best displacement of radius r is what the margin of class 0 over class 1 loses.
			margin := func(r float64) float64 { return l.WorstMargin(x[i], 0, norm.String(), r, 0, 1) }
			clean := margin(0)
			most := clean - margin(1e4)
			if want >= most {
				require.InDelta(t, most, reached, 1e-5*scale, "%s, example %d: the box ends the way", norm, i)
				continue
			}
			from, to := 0.0, 1e4
			for range 100 {
				if r := (from + to) / 2; clean-margin(r) < want {
					from = r
				} else {
					to = r
				}
			}
			require.InDelta(t, want, reached, 2e-6*scale, "%s, example %d", norm, i)
			require.InDelta(t, to, size, 1e-4*to+1e-6, "%s, example %d", norm, i)
		}
	}
}
