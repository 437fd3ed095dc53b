package hardlabel

import (
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/robust/manifold"
)

// maps are values [height][width][channels].
type maps [][][]float64

func newMaps(height, width, channels int) maps {
	m := make(maps, height)
	for y := range m {
		m[y] = make([][]float64, width)
		for x := range m[y] {
			m[y][x] = make([]float64, channels)
		}
	}
	return m
}

// convolved is a 3x3 convolution that keeps height and width, in plain Go.
func convolved(m maps, kernel, bias []float32) maps {
	in, out := len(m[0][0]), len(bias)
	r := newMaps(len(m), len(m[0]), out)
	for y := range r {
		for x := range r[y] {
			for o := range out {
				r[y][x][o] = float64(bias[o])
				for dy := range 3 {
					for dx := range 3 {
						if v, w := y+dy-1, x+dx-1; v >= 0 && v < len(m) && w >= 0 && w < len(m[0]) {
							for i := range in {
								r[y][x][o] += m[v][w][i] * float64(kernel[((dy*3+dx)*in+i)*out+o])
							}
						}
					}
				}
			}
		}
	}
	return r
}

// TestDecoderInPlainGo: the decoder is convolutions, an activation and doubling; the directions that it makes are its images less that of
// zeros.
func TestDecoderInPlainGo(t *testing.T) {
	a, err := NewAutoencoder([]int{8, 12, 2}, 2, 3, true, 5)
	require.NoError(t, err)
	require.Equal(t, []int{2, 3, 2}, a.Latent)
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 12)
	for i := range values {
		values[i] = rng.NormFloat64()
	}
	decoded := func(values []float64) maps {
		m := newMaps(2, 3, 2)
		for i, v := range values {
			m[i/6][i/2%3][i%2] = v
		}
		for layer := range 3 {
			var w [2][]float32
			for k := range w {
				value, err := a.Weights()[2*(3+layer)+k].Value() // the encoder has three, too
				require.NoError(t, err)
				w[k] = tensors.MustCopyFlatData[float32](value)
			}
			m = convolved(m, w[0], w[1])
			if layer == 2 {
				break
			}
			doubled := newMaps(2*len(m), 2*len(m[0]), len(m[0][0]))
			for y := range doubled {
				for x := range doubled[y] {
					for c := range doubled[y][x] {
						doubled[y][x][c] = math.Tanh(m[y/2][x/2][c])
					}
				}
			}
			m = doubled
		}
		return m
	}
	d, err := attack.NewDecoder(testengine.Training(t).Backend(), "autoencoder", a.Decoder())
	require.NoError(t, err)
	size, err := d.Size(a.Image)
	require.NoError(t, err)
	require.Equal(t, 12, size)
	got, err := d.Map([][]float64{values, make([]float64, 12)}, a.Image)
	require.NoError(t, err)
	want, zero := decoded(values), decoded(make([]float64, 12))
	for i, v := range got[0] {
		y, x, c := i/24, i/2%12, i%2
		require.InDelta(t, want[y][x][c]-zero[y][x][c], v, 1e-5)
	}
	require.Equal(t, make([]float64, 192), got[1])
	_, err = NewAutoencoder([]int{8, 10, 2}, 2, 3, true, 5)
	require.ErrorContains(t, err, "divisible by 4")
	_, err = NewAutoencoder([]int{64}, 1, 3, true, 5)
	require.ErrorContains(t, err, "want height, width, channels")
}

// TestAutoencoderLearns: images come back better than as their mean.
func TestAutoencoderLearns(t *testing.T) {
	s, err := Open(t.Context(), testengine.Training(t), Config{Dataset: "glyphs", Train: 200, Held: 240, Test: 20, BatchSize: 12,
		Filters: 4, Images: 2, Neighbors: 20, AutoencoderEpochs: 9})
	require.NoError(t, err)
	a, losses, err := s.Autoencoder(t.Context(), 1)
	require.NoError(t, err)
	errors := losses[autoencoderLoss]
	require.Len(t, errors, 9)
	exec, err := model.NewExec(testengine.Training(t).Backend(), a.Store, func(scope *model.Scope, x *Node) *Node {
		return ReduceAllMean(Square(Sub(a.Decode(scope, a.Encode(scope, x)), x)))
	})
	require.NoError(t, err)
	out, err := exec.Call1(s.Data.Images)
	require.NoError(t, err)
	pixels := tensors.MustCopyFlatData[float32](s.Data.Images)
	mean, spread := 0., 0.
	for _, v := range pixels {
		mean += float64(v) / float64(len(pixels))
	}
	for _, v := range pixels {
		spread += (float64(v) - mean) * (float64(v) - mean) / float64(len(pixels))
	}
	t.Log(errors, tensors.ToScalar[float32](out), spread)
	require.Less(t, float64(tensors.ToScalar[float32](out)), spread/4)
}

// TestFrechetOfFound: features of what was found are compared with those of training images where there are enough.
func TestFrechetOfFound(t *testing.T) {
	e, shape := testengine.Training(t), []int{8, 8, 1}
	net, err := nets.NewCNN(nets.CNNConfig{Input: shape, Channels: []int{3}, Dense: 2, Classes: 3, MeanPool: true})
	require.NoError(t, err)
	z := &Scene{}
	z.features, err = nets.NewActivations(e.Backend(), net, len(net.Stages())-1, 0)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(3, 3))
	images := make([][]float32, 24)
	for i := range images {
		images[i] = make([]float32, 64)
		for k := range images[i] {
			images[i][k] = rng.Float32()
		}
	}
	z.known, err = z.featuresOf(stack(images[:20], shape))
	require.NoError(t, err)
	require.Equal(t, []int{20, 2}, z.known.Shape().Dimensions)
	s, a := &Study{Config: Config{Dense: 2}, e: e}, &Attacked{Net: net}
	clean := make([]*example, 4)
	f := finds{of: make([]*example, 4)}
	for i := range clean {
		clean[i], f.of[i] = &example{}, &example{image: images[20+i], length: float64(i)}
	}
	require.NoError(t, s.average(z, a, clean, &f))
	found, err := z.featuresOf(stack(images[20:], shape))
	require.NoError(t, err)
	want, err := manifold.Frechet(found, z.known)
	require.NoError(t, err)
	require.Equal(t, want, *f.Frechet)
	require.Equal(t, 1.5, f.Of.Length)
	few := finds{of: append([]*example{nil}, f.of[1:]...)}
	require.NoError(t, s.average(z, a, clean, &few))
	require.Nil(t, few.Frechet, "three images of two features")
	require.Equal(t, 0.75, few.Success)
	none := finds{of: make([]*example, 4)}
	require.NoError(t, s.average(z, a, clean, &none))
	require.Nil(t, none.Of)
}
