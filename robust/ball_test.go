package robust_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust"
)

var norms = []robust.Norm{robust.Linf, robust.L2, robust.L1}

// rows are the tests' points, in float64 with values that float32 holds exactly.
type rows [][]float64

func (r rows) tensor() *tensors.Tensor {
	var flat []float32
	for _, row := range r {
		for _, v := range row {
			flat = append(flat, float32(v))
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, len(r), len(r[0]))
}

func rowsOf(t *tensors.Tensor) rows {
	width := t.Shape().Dimensions[1]
	var r rows
	for part := range slices.Chunk(tensors.MustCopyFlatData[float32](t), width) {
		row := make([]float64, width)
		for i, v := range part {
			row[i] = float64(v)
		}
		r = append(r, row)
	}
	return r
}

// draw makes n points of the given width: clean ones in [lower, upper], of which some values lie on the bounds, and
// displaced ones, of which many lie far outside.
func draw(rng *rand.Rand, n, width int, box robust.Box) (clean, x rows) {
	scales := []float64{0, 1e-3, 0.1, 0.5, 3}
	for i := range n {
		a, b := make([]float64, width), make([]float64, width)
		for j := range a {
			a[j] = float64(float32(min(box.Upper, max(box.Lower, box.Lower+(rng.Float64()*1.6-0.3)*(box.Upper-box.Lower)))))
			b[j] = float64(float32(a[j] + scales[i%len(scales)]*rng.NormFloat64()))
		}
		clean, x = append(clean, a), append(x, b)
	}
	return clean, x
}

func length(norm robust.Norm, z []float64) (l float64) {
	for _, v := range z {
		switch norm {
		case robust.Linf:
			l = max(l, math.Abs(v))
		case robust.L2:
			l += v * v
		default:
			l += math.Abs(v)
		}
	}
	if norm == robust.L2 {
		return math.Sqrt(l)
	}
	return l
}

func sub(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

// ontoBall projects z onto the ball of radius epsilon around 0, in closed form (l1: by sorting, Duchi et al. 2008).
func ontoBall(norm robust.Norm, z []float64, epsilon float64) []float64 {
	out := slices.Clone(z)
	if length(norm, z) <= epsilon {
		return out
	}
	switch norm {
	case robust.Linf:
		for i := range out {
			out[i] = min(epsilon, max(-epsilon, out[i]))
		}
	case robust.L2:
		for i := range out {
			out[i] *= epsilon / length(norm, z)
		}
	default:
		if epsilon == 0 {
			return make([]float64, len(z))
		}
		sorted := make([]float64, len(z))
		for i, v := range z {
			sorted[i] = math.Abs(v)
		}
		slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(b, a) })
		sum, shrink := 0.0, 0.0
		for k, v := range sorted {
			sum += v
			if t := (sum - epsilon) / float64(k+1); v > t {
				shrink = t
			}
		}
		for i, v := range z {
			out[i] = math.Copysign(max(0, math.Abs(v)-shrink), v)
		}
	}
	return out
}

// dykstra projects x onto the intersection of ball and box by Dykstra's alternating projections (Boyle and Dykstra
// 1986), which know nothing of the KKT conditions that Project uses.
func dykstra(norm robust.Norm, x, clean []float64, epsilon float64, box robust.Box) []float64 {
	if epsilon == 0 {
		return clean
	}
	z, p, q := sub(x, clean), make([]float64, len(x)), make([]float64, len(x))
	for range 5000 {
		before := slices.Clone(z)
		y := ontoBall(norm, sub(z, negated(p)), epsilon)
		for i := range z {
			p[i] += z[i] - y[i]
			z[i] = min(box.Upper-clean[i], max(box.Lower-clean[i], y[i]+q[i]))
			q[i] += y[i] - z[i]
		}
		if length(robust.Linf, sub(z, before)) < 1e-11 && length(robust.Linf, sub(z, y)) < 1e-8 {
			break
		}
	}
	for i := range z {
		z[i] += clean[i]
	}
	return z
}

func negated(z []float64) []float64 { return sub(make([]float64, len(z)), z) }

// TestProject compares with Dykstra's algorithm in float64, and checks feasibility, idempotence and that feasible
// points stay where they are, bit for bit.
func TestProject(t *testing.T) {
	box := robust.Box{Lower: -0.5, Upper: 1}
	for _, norm := range norms {
		exec, err := NewExec(testengine.Quick(t).Backend(), func(x, clean, epsilon *Node) *Node {
			return robust.Project(norm, x, clean, epsilon, box)
		})
		require.NoError(t, err)
		for _, width := range []int{1, 7, 30} {
			rng := rand.New(rand.NewPCG(1, uint64(width)))
			clean, x := draw(rng, 10, width, box)
			for _, epsilon := range []float32{0, 0.2, 0.7, 3, 1000} {
				out, err := exec.Call1(x.tensor(), clean.tensor(), epsilon)
				require.NoError(t, err)
				again, err := exec.Call1(out, clean.tensor(), epsilon)
				require.NoError(t, err)
				once, twice, e := rowsOf(out), rowsOf(again), float64(epsilon)
				for i := range x {
					name := fmt.Sprintf("%s, width %d, epsilon %g, row %d", norm, width, epsilon, i)
					u := sub(x[i], clean[i])
					scale := 1 + length(robust.Linf, u)
					want := dykstra(norm, x[i], clean[i], e, box)
					require.InDeltaSlicef(t, want, once[i], 2e-6*scale, name)
					require.LessOrEqualf(t, length(norm, sub(once[i], clean[i])), e+1e-6, name)
					require.GreaterOrEqual(t, slices.Min(once[i]), box.Lower, name)
					require.LessOrEqual(t, slices.Max(once[i]), box.Upper, name)
					require.InDeltaSlicef(t, once[i], twice[i], 1e-6, "%s, projected twice", name)
					if slices.Min(x[i]) >= box.Lower && slices.Max(x[i]) <= box.Upper && length(norm, u) < 0.999*e {
						require.InDeltaSlicef(t, x[i], once[i], 1.2e-7, "%s, feasible before", name)
					}
				}
			}
		}
	}
}

// TestProjectLargeImages holds the budget to 1e-6 where sums run over many pixels.
func TestProjectLargeImages(t *testing.T) {
	box := robust.Box{Lower: 0, Upper: 1}
	clean, x := draw(rand.New(rand.NewPCG(3, 4)), 20, 3072, box)
	for _, norm := range norms {
		exec, err := NewExec(testengine.Quick(t).Backend(), func(x, clean, epsilon *Node) *Node {
			return robust.Project(norm, x, clean, epsilon, box)
		})
		require.NoError(t, err)
		for _, epsilon := range []float32{8. / 255, 0.5, 4} {
			out, err := exec.Call1(x.tensor(), clean.tensor(), epsilon)
			require.NoError(t, err)
			for i, z := range rowsOf(out) {
				reached := length(norm, sub(z, clean[i]))
				require.LessOrEqual(t, reached, float64(epsilon)+1e-6, "%s, row %d", norm, i)
				if i%5 >= 3 && norm != robust.Linf { // far outside: the projection lies on the sphere
					require.InDelta(t, float64(epsilon), reached, 2e-3*float64(epsilon), "%s, row %d", norm, i)
				}
			}
		}
	}
}

// TestProjectByteRange holds the budget to 1e-6 where float32 values are 1.5e-5 apart.
func TestProjectByteRange(t *testing.T) {
	box := robust.Box{Lower: 0, Upper: 255}
	rng := rand.New(rand.NewPCG(9, 10))
	clean, x := draw(rng, 20, 784, box)
	for i := range x {
		for j := range x[i] {
			x[i][j] = float64(float32(clean[i][j] + 20*rng.NormFloat64()))
		}
	}
	for _, norm := range norms {
		exec, err := NewExec(testengine.Quick(t).Backend(), func(x, clean, epsilon *Node) *Node {
			return robust.Project(norm, x, clean, epsilon, box)
		})
		require.NoError(t, err)
		for _, epsilon := range []float64{2.3, 8.1} {
			out, err := exec.Call1(x.tensor(), clean.tensor(), float32(epsilon))
			require.NoError(t, err)
			for i, z := range rowsOf(out) {
				reached := length(norm, sub(z, clean[i]))
				require.LessOrEqual(t, reached, epsilon+1e-6, "%s, row %d", norm, i)
				require.Greater(t, reached, 0.99*epsilon, "%s, row %d", norm, i)
			}
		}
	}
}

// bestInner is max <g, d> over ||d|| <= size, for l1 also inside the box around x (a fractional knapsack).
func bestInner(norm robust.Norm, g, x []float64, size float64, box robust.Box) (best float64) {
	switch norm {
	case robust.Linf:
		return size * length(robust.L1, g)
	case robust.L2:
		return size * length(robust.L2, g)
	}
	order := make([]int, len(g))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(math.Abs(g[b]), math.Abs(g[a])) })
	for _, i := range order {
		space := box.Upper - x[i]
		if g[i] < 0 {
			space = x[i] - box.Lower
		}
		space = min(space, size)
		best += math.Abs(g[i]) * space
		size -= space
	}
	return best
}

// TestSteepest compares the inner product of gradient and displacement with its maximum on the ball (its dual norm).
func TestSteepest(t *testing.T) {
	box := robust.Box{Lower: 0, Upper: 1}
	rng := rand.New(rand.NewPCG(5, 6))
	x, g := draw(rng, 40, 12, box)
	for i := range g {
		for j := range g[i] {
			switch i % 4 {
			case 0:
				g[i][j] = rng.NormFloat64()
			case 1: // tiny: its squares underflow
				g[i][j] = rng.NormFloat64() * 1e-25
			case 2: // ties, with zeros among them
				g[i][j] = float64(rng.IntN(3) - 1)
			case 3: // all alike
				g[i][j] = -2
			}
			g[i][j] = float64(float32(g[i][j]))
		}
	}
	g[0] = make([]float64, 12) // no direction at all
	for _, norm := range norms {
		exec, err := NewExec(testengine.Quick(t).Backend(), func(g, x, size *Node) *Node {
			return robust.Steepest(norm, g, x, size, box)
		})
		require.NoError(t, err)
		for _, size := range []float32{0, 0.03, 0.8, 5} {
			out, err := exec.Call1(g.tensor(), x.tensor(), size)
			require.NoError(t, err)
			for i, d := range rowsOf(out) {
				name := fmt.Sprintf("%s, size %g, row %d", norm, size, i)
				require.LessOrEqual(t, length(norm, d), float64(size)*(1+1e-5), name)
				inner := 0.0
				for j := range d {
					inner += d[j] * g[i][j]
					if norm == robust.L1 {
						require.GreaterOrEqual(t, x[i][j]+d[j], box.Lower-1e-6, name)
						require.LessOrEqual(t, x[i][j]+d[j], box.Upper+1e-6, name)
					}
				}
				want := bestInner(norm, g[i], x[i], float64(size), box)
				require.InDelta(t, want, inner, 1e-5*want, name)
			}
		}
	}
}

// TestRandomInBall checks that draws lie in ball and box, fill them, repeat with the seed and change with it.
func TestRandomInBall(t *testing.T) {
	const n, width = 400, 5
	box := robust.Box{Lower: 0, Upper: 1}
	middle := make(rows, n) // far from the bounds, so that clipping does not change the distribution
	for i := range middle {
		middle[i] = slices.Repeat([]float64{0.5}, width)
	}
	edge, _ := draw(rand.New(rand.NewPCG(7, 8)), n, width, box)
	for _, norm := range norms {
		exec, err := NewExec(testengine.Quick(t).Backend(), func(state, clean, epsilon *Node) []*Node {
			state, x := robust.RandomInBall(norm, state, clean, epsilon, box)
			_, next := robust.RandomInBall(norm, state, clean, epsilon, box)
			return []*Node{x, next}
		})
		require.NoError(t, err)
		from := func(seed int64, clean rows, epsilon float64) (first, second rows) {
			state, err := RNGStateFromSeed(seed)
			require.NoError(t, err)
			out, err := exec.Call(state, clean.tensor(), float32(epsilon))
			require.NoError(t, err)
			return rowsOf(out[0]), rowsOf(out[1])
		}
		for _, epsilon := range []float64{0, 0.1, 0.45, 3} {
			x, _ := from(1, edge, epsilon)
			for i := range x {
				require.LessOrEqual(t, length(norm, sub(x[i], edge[i])), epsilon+1e-6)
				require.GreaterOrEqual(t, slices.Min(x[i]), box.Lower)
				require.LessOrEqual(t, slices.Max(x[i]), box.Upper)
			}
		}
		x, next := from(1, middle, 0.4)
		again, _ := from(1, middle, 0.4)
		other, _ := from(2, middle, 0.4)
		require.Equal(t, x, again)
		require.NotEqual(t, x, other)
		require.NotEqual(t, x, next, "the state moves on")
		// Mean length over radius: of the largest of 5 uniforms 5/6, of a uniform length 1/2, of a point uniform in a
		// 5-dimensional l1 ball 5/6. Four standard errors at n = 400 are below 0.06.
		want := map[robust.Norm]float64{robust.Linf: 5. / 6, robust.L2: 0.5, robust.L1: 5. / 6}[norm]
		lengths, center := 0.0, make([]float64, width)
		for i := range x {
			d := sub(x[i], middle[i])
			lengths += length(norm, d) / 0.4 / n
			for j := range d {
				center[j] += d[j] / n
			}
		}
		require.InDelta(t, want, lengths, 0.06, norm)
		require.InDeltaSlice(t, make([]float64, width), center, 0.05, norm)
	}
}
