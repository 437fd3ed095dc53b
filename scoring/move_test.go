package scoring

import (
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

func run(t *testing.T, fn func(args []*Node) *Node, args ...any) *tensors.Tensor {
	t.Helper()
	exec, err := NewExec(testengine.Quick(t).Backend(), fn)
	require.NoError(t, err)
	out, err := exec.Call(args...)
	require.NoError(t, err)
	return out[0]
}

func picture(rng *rand.Rand, dims ...int) *tensors.Tensor {
	size := 1
	for _, d := range dims {
		size *= d
	}
	values := make([]float32, size)
	for i := range values {
		values[i] = rng.Float32()
	}
	return tensors.FromFlatDataAndDimensions(values, dims...)
}

// bilinear is the value between pixels of one channel, zero beyond the border, by its definition.
func bilinear(pixel func(y, x int) float64, height, width int, y, x float64) (sum float64) {
	for i := range height {
		for j := range width {
			sum += pixel(i, j) * max(0, 1-math.Abs(y-float64(i))) * max(0, 1-math.Abs(x-float64(j)))
		}
	}
	return sum
}

func TestRotateByDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n, h, w, c = 3, 5, 7, 2
	images := picture(rng, n, h, w, c)
	values := tensors.MustCopyFlatData[float32](images)
	angles := []float32{30, -75, 181}
	got := tensors.MustCopyFlatData[float32](run(t, func(args []*Node) *Node { return Rotate(args[0], args[1]) }, images, angles))
	for i := range n {
		radians := float64(angles[i]) * math.Pi / 180
		for y := range h {
			for x := range w {
				dy, dx := float64(y)-2, float64(x)-3
				for k := range c {
					// The pixel that a counterclockwise turn (rows grow downward) brings to (y, x).
					want := bilinear(func(a, b int) float64 { return float64(values[((i*h+a)*w+b)*c+k]) }, h, w,
						2+dy*math.Cos(radians)+dx*math.Sin(radians), 3+dx*math.Cos(radians)-dy*math.Sin(radians))
					require.InDelta(t, want, got[((i*h+y)*w+x)*c+k], 1e-4)
				}
			}
		}
	}
}

// A quarter turn counterclockwise takes the last column to the first row; four of them, or none, change nothing.
func TestRotateExactly(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	images := picture(rng, 2, 6, 6, 1)
	rotated := func(angle float32) []float32 {
		return tensors.MustCopyFlatData[float32](run(t, func(args []*Node) *Node { return Rotate(args[0], args[1]) }, images, angle))
	}
	values := tensors.MustCopyFlatData[float32](images)
	require.Equal(t, values, rotated(0))
	require.InDeltaSlice(t, values, rotated(360), 1e-4)
	quarter := rotated(90)
	for y := range 6 {
		for x := range 6 {
			require.InDelta(t, values[x*6+(5-y)], quarter[y*6+x], 1e-4)
		}
	}
}

// Whole pixels move exactly; channels may come first; a move off the picture leaves nothing.
func TestTranslation(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	images := picture(rng, 2, 3, 5, 6) // [batch, channels, height, width]
	values := tensors.MustCopyFlatData[float32](images)
	move := func(p Translation, by float32) []float32 {
		return tensors.MustCopyFlatData[float32](run(t, func(args []*Node) *Node {
			return p.Apply(Sample{Values: args[0], Magnitude: args[1], Height: 2, Width: 3})
		}, images, by))
	}
	right, down := move(Translation{}, 2), move(Translation{Vertical: true}, -1)
	for plane := range 6 {
		for y := range 5 {
			for x := range 6 {
				var wantRight, wantDown float32
				if x >= 2 {
					wantRight = values[(plane*5+y)*6+x-2]
				}
				if y < 4 {
					wantDown = values[(plane*5+y+1)*6+x]
				}
				require.Equal(t, wantRight, right[(plane*5+y)*6+x])
				require.Equal(t, wantDown, down[(plane*5+y)*6+x])
			}
		}
	}
	require.Equal(t, make([]float32, len(values)), move(Translation{}, 9))
	half := move(Translation{}, 0.5)
	require.InDelta(t, (values[0]+values[1])/2, half[1], 1e-6)
}
