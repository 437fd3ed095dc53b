package attack_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// pictures are random ones in all layouts: two axes, channels last, channels first.
var pictures = [][]int{{3, 8, 10}, {3, 8, 10, 3}, {3, 3, 10, 8}, {2, 28, 28, 1}, {2, 1, 28, 28}}

func random(shape []int) *tensors.Tensor {
	rng := rand.New(rand.NewPCG(31, 32))
	n := 1
	for _, d := range shape {
		n *= d
	}
	flat := make([]float32, n)
	for i := range flat {
		flat[i] = rng.Float32()
	}
	return tensors.FromFlatDataAndDimensions(flat, shape...)
}

func onGraph(t *testing.T, x *tensors.Tensor, fn func(x *Node) *Node) []float32 {
	t.Helper()
	exec, err := NewExec(testengine.Quick(t).Backend(), fn)
	require.NoError(t, err)
	out, err := exec.Call1(x)
	require.NoError(t, err)
	return tensors.MustCopyFlatData[float32](out)
}

// at is the index of a pixel or coefficient in a flat tensor.
func at(shape []int, image, row, column, channel int) int {
	switch {
	case len(shape) == 3:
		return (image*shape[1]+row)*shape[2] + column
	case shape[1] < shape[3]:
		return ((image*shape[1]+channel)*shape[2]+row)*shape[3] + column
	default:
		return ((image*shape[1]+row)*shape[2]+column)*shape[3] + channel
	}
}

func sides(shape []int) (height, width, channels int) {
	switch {
	case len(shape) == 3:
		return shape[1], shape[2], 1
	case shape[1] < shape[3]:
		return shape[2], shape[3], shape[1]
	default:
		return shape[1], shape[2], shape[3]
	}
}

// TestDCT compares with the sum of the definition in float64, and checks the round trip, Parseval's identity and that a
// constant image has energy at (0, 0) only.
func TestDCT(t *testing.T) {
	for _, shape := range pictures {
		x := random(shape)
		pixels := tensors.MustCopyFlatData[float32](x)
		found := onGraph(t, x, attack.DCT2)
		height, width, channels := sides(shape)
		norm := func(k, n int) float64 {
			if k == 0 {
				return math.Sqrt(1 / float64(n))
			}
			return math.Sqrt(2 / float64(n))
		}
		for image := range shape[0] {
			for channel := range channels {
				space, frequency := 0.0, 0.0
				for k := range height {
					for l := range width {
						v, f := float64(pixels[at(shape, image, k, l, channel)]), float64(found[at(shape, image, k, l, channel)])
						space, frequency = space+v*v, frequency+f*f
						if width > 10 && k%7 > 0 {
							continue // the sum is slow
						}
						want := 0.0
						for i := range height {
							for j := range width {
								want += float64(pixels[at(shape, image, i, j, channel)]) *
									math.Cos(math.Pi*(float64(i)+0.5)*float64(k)/float64(height)) *
									math.Cos(math.Pi*(float64(j)+0.5)*float64(l)/float64(width))
							}
						}
						require.InDelta(t, want*norm(k, height)*norm(l, width), f, 2e-5, "%v at %d, %d", shape, k, l)
					}
				}
				require.InEpsilon(t, space, frequency, 1e-4)
			}
		}
		back := onGraph(t, x, func(x *Node) *Node { return attack.IDCT2(attack.DCT2(x)) })
		for i := range back {
			require.InDelta(t, pixels[i], back[i], 1e-5)
		}
		constant := onGraph(t, x, func(x *Node) *Node { return attack.DCT2(MulScalar(OnesLike(x), 0.7)) })
		for image := range shape[0] {
			for channel := range channels {
				for k := range height {
					for l := range width {
						want := 0.0
						if k == 0 && l == 0 {
							want = 0.7 * math.Sqrt(float64(height*width))
						}
						require.InDelta(t, want, constant[at(shape, image, k, l, channel)], 2e-5)
					}
				}
			}
		}
	}
}

// TestMasks counts what each mask keeps, in the definition and in the filter itself, and checks that low and complement
// sum to the image.
func TestMasks(t *testing.T) {
	const height, width = 8, 10
	for _, r := range []int{1, 3, 8} {
		for mask, want := range map[attack.Mask]int{
			attack.Low: r * r, attack.High: (height - r) * (width - r), attack.Complement: height*width - r*r,
		} {
			kept := 0
			for row := range height {
				for column := range width {
					if mask.Keeps(row, column, r) {
						kept++
					}
				}
			}
			require.Equal(t, want, kept, "%s, r = %d", mask, r)
			// All coefficients of an image made of ones in frequency space.
			for _, shape := range [][]int{{1, height, width}, {1, height, width, 3}, {1, 3, height, width}} {
				flags := onGraph(t, random(shape), func(x *Node) *Node {
					return attack.DCT2(attack.Filter(attack.IDCT2(OnesLike(x)), mask, r))
				})
				_, _, channels := sides(shape)
				for channel := range channels {
					for row := range height {
						for column := range width {
							want := 0.0
							if mask.Keeps(row, column, r) {
								want = 1
							}
							require.InDelta(t, want, flags[at(shape, 0, row, column, channel)], 1e-5)
						}
					}
				}
			}
		}
		x := random([]int{2, height, width, 3})
		sum := onGraph(t, x, func(x *Node) *Node {
			return Add(attack.Filter(x, attack.Low, r), attack.Filter(x, attack.Complement, r))
		})
		for i, v := range tensors.MustCopyFlatData[float32](x) {
			require.InDelta(t, v, sum[i], 1e-5)
		}
	}
}

// picture is a small untrained CNN with its own predictions as labels.
func picture(t *testing.T, n int) (*robust.Victim, robust.Problem) {
	t.Helper()
	m, err := nets.NewCNN(nets.CNNConfig{Input: []int{12, 12, 1}, Channels: []int{4}, Dense: 16, Classes: 4, Seed: 3})
	require.NoError(t, err)
	v, err := robust.NewVictim(testengine.Quick(t), m, 16)
	require.NoError(t, err)
	p := robust.Problem{Images: random([]int{n, 12, 12, 1}), Threat: robust.Threat{Epsilon: 0.1}, Seed: 4}
	p.Goal.Labels, err = v.Predictions(context.Background(), p.Images, nil)
	require.NoError(t, err)
	return v, p
}

// TestFiltered: the full mask reproduces the attack, low and complement split its perturbation, longer ones are reported
// where there is no budget, and do not count as successes where there is one, unless they are projected.
func TestFiltered(t *testing.T) {
	v, p := picture(t, 20)
	pgd := attack.PGD{Steps: 5, NoRandom: true}
	clean, plain := tensors.MustCopyFlatData[float32](p.Images), perturb(t, v, pgd, p)
	filtered := func(mask attack.Mask, r int) []float32 {
		return perturb(t, v, attack.Filtered{Attack: pgd, Mask: mask, Size: r}, p)
	}
	for i, x := range filtered(attack.Low, 12) {
		require.InDelta(t, plain[i], x, 1e-5)
	}
	for i, x := range filtered(attack.Complement, 12) {
		require.InDelta(t, clean[i], x, 1e-5)
	}
	low, rest := filtered(attack.Low, 4), filtered(attack.Complement, 4)
	inside := 0
	for i := range low {
		if min(low[i], rest[i]) > 0 && max(low[i], rest[i]) < 1 { // not clipped
			inside++
			require.InDelta(t, plain[i]-clean[i], low[i]-clean[i]+rest[i]-clean[i], 1e-5)
		}
	}
	require.Greater(t, inside, len(low)/2)

	paper := attack.Filtered{Attack: pgd, Mask: attack.Complement, Size: 4, Epsilon: 0.1}
	free := p
	free.Threat.Epsilon = math.Inf(1)
	o := evaluate(t, v, paper, free) // raises no check
	require.Greater(t, o.MaxNorm, 0.1+1e-3, "filtering raised no pixel above the radius: the test shows nothing")
	require.Equal(t, rest, tensors.MustCopyFlatData[float32](o.Perturbed))
	strict, err := robust.Evaluate(context.Background(), v, attack.Filtered{Attack: pgd, Mask: attack.Complement, Size: 4}, p)
	require.NoError(t, err)
	require.True(t, strict.Checks[0].Raised, "over the budget")
	projected := evaluate(t, v, attack.Filtered{Attack: pgd, Mask: attack.Complement, Size: 4, Project: true}, p)
	require.LessOrEqual(t, projected.MaxNorm, 0.1+1e-6)

	p.Threat.Epsilon = 0
	require.Equal(t, clean, perturb(t, v, attack.Filtered{Attack: pgd, Mask: attack.High, Size: 4}, p))
}

// TestFilteredBadSettings: each is one line.
func TestFilteredBadSettings(t *testing.T) {
	v, p := picture(t, 2)
	free := p
	free.Threat.Epsilon = math.Inf(1)
	for _, c := range []struct {
		attack robust.Attack
		p      robust.Problem
		want   string
	}{
		{attack.Filtered{Attack: attack.FGSM{}, Size: 0}, p, "r=0 must be in [1,12]"},
		{attack.Filtered{Attack: attack.FGSM{}, Size: 13}, p, "r=13 must be in [1,12]"},
		{attack.Filtered{Attack: attack.FGSM{}, Size: 2, Mask: 7}, p, "Mask = 7"},
		{attack.Filtered{Size: 2}, p, "Attack is nil"},
		{attack.Filtered{Attack: attack.FGSM{}, Size: 2, Epsilon: -1}, p, "Epsilon = -1"},
		{attack.Filtered{Attack: attack.FGSM{}, Size: 2}, free, "no budget"},
	} {
		_, err := robust.Evaluate(context.Background(), v, c.attack, c.p)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "\n")
	}
	flat, q := perceptron(t, 4, 3)
	_, err := robust.Evaluate(context.Background(), flat, attack.Filtered{Attack: attack.FGSM{}, Size: 2}, q)
	require.ErrorContains(t, err, "no images")
}
