package oracle

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// marginAt is the smallest margin of y over the other classes at a point.
func marginAt(l Linear, x []float64, y int32) float64 {
	z := make([]float64, len(l.B))
	for j := range z {
		z[j] = float64(l.B[j])
		for i, v := range x {
			z[j] += v * float64(l.W[i][j])
		}
	}
	worst := math.Inf(1)
	for j := range z {
		if int32(j) != y {
			worst = min(worst, z[int(y)]-z[j])
		}
	}
	return worst
}

func size(norm string, d []float64) (s float64) {
	for _, v := range d {
		switch norm {
		case "linf":
			s = max(s, math.Abs(v))
		case "l1":
			s += math.Abs(v)
		default:
			s += v * v
		}
	}
	if norm == "l2" {
		return math.Sqrt(s)
	}
	return s
}

// TestWorstMargin compares the closed form with a full search over a fine grid of the box in three dimensions: no grid
// point inside the ball is below it, and the grid comes near it.
func TestWorstMargin(t *testing.T) {
	const cells = 60
	rng := rand.New(rand.NewPCG(21, 22))
	for trial := range 6 {
		l := RandomLinear(3, 2+trial%3, uint64(trial))
		x := []float32{rng.Float32(), rng.Float32(), float32(trial % 2)} // the last value lies on a bound
		for _, norm := range []string{"linf", "l2", "l1"} {
			for _, epsilon := range []float64{0, 0.15, 0.4, 3} {
				y := l.Predict(x)
				closed := l.WorstMargin(x, y, norm, epsilon, 0, 1)
				best := math.Inf(1)
				// Grid values, with the clean value and the corners of the linf ball among them.
				var axes [3][]float64
				for i, v := range x {
					for k := range cells + 1 {
						axes[i] = append(axes[i], float64(k)/cells)
					}
					axes[i] = append(axes[i], float64(v), min(1, float64(v)+epsilon), max(0, float64(v)-epsilon))
				}
				for _, a := range axes[0] {
					for _, b := range axes[1] {
						for _, c := range axes[2] {
							d := []float64{a - float64(x[0]), b - float64(x[1]), c - float64(x[2])}
							if size(norm, d) <= epsilon+1e-12 {
								best = min(best, marginAt(l, []float64{a, b, c}, y))
							}
						}
					}
				}
				require.GreaterOrEqual(t, best, closed-1e-9, "%s, epsilon %g", norm, epsilon)
				slope := 0.0 // of a margin, along a grid cell
				for i := range l.W {
					for j := range l.B {
						slope = max(slope, math.Abs(float64(l.W[i][int(y)]-l.W[i][j])))
					}
				}
				tolerance := 3 * slope / cells
				if norm == "linf" || epsilon == 0 || epsilon == 3 { // the optimum is a corner, and on the grid
					tolerance = 1e-9
				}
				require.LessOrEqual(t, best, closed+tolerance, "%s, epsilon %g", norm, epsilon)
			}
		}
	}
}

// TestWorstMarginShrinks: a larger budget never helps the defender, and budgets nest: l1 inside l2 inside linf.
func TestWorstMarginShrinks(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	l := RandomLinear(20, 4, 9)
	for range 50 {
		x := make([]float32, 20)
		for i := range x {
			x[i] = rng.Float32()
		}
		y := l.Predict(x)
		before := map[string]float64{"linf": math.Inf(1), "l2": math.Inf(1), "l1": math.Inf(1)}
		for _, epsilon := range []float64{0, 0.05, 0.2, 0.7, 2} {
			for norm := range before {
				now := l.WorstMargin(x, y, norm, epsilon, 0, 1)
				require.LessOrEqual(t, now, before[norm]+1e-9)
				before[norm] = now
			}
			require.LessOrEqual(t, before["linf"], before["l2"]+1e-9)
			require.LessOrEqual(t, before["l2"], before["l1"]+1e-9)
		}
		require.Positive(t, l.WorstMargin(x, y, "l2", 0, 0, 1))
	}
}

// TestModel: the network is the classifier.
func TestModel(t *testing.T) {
	l := RandomLinear(7, 4, 3)
	m := l.Model(0, 1)
	rng := rand.New(rand.NewPCG(25, 26))
	rows := make([][]float32, 30)
	for i := range rows {
		for range 7 {
			rows[i] = append(rows[i], rng.Float32())
		}
	}
	out, err := model.CallOnce(testengine.Quick(t).Backend(), m.Store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		return m.Logits(scope, x)
	}, tensors.FromValue(rows))
	require.NoError(t, err)
	logits := tensors.MustCopyFlatData[float32](out)
	for i, x := range rows {
		for j := range 4 {
			require.InDelta(t, l.logit(x, j), float64(logits[i*4+j]), 1e-5)
		}
		best := 0
		for j := range 4 {
			if logits[i*4+j] > logits[i*4+best] {
				best = j
			}
		}
		require.EqualValues(t, best, l.Predict(x))
	}
}
