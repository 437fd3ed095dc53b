package attack_test

import (
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust/attack"
)

// mapped maps one row of numbers.
func mapped(t *testing.T, d attack.Directions, shape []int, numbers ...float64) []float64 {
	t.Helper()
	size, err := d.Size(shape)
	require.NoError(t, err)
	require.Len(t, numbers, size)
	out, err := d.Map([][]float64{numbers}, shape)
	require.NoError(t, err)
	require.Len(t, out, 1)
	return out[0]
}

// TestBilinear compares with PyTorch 2.15: F.interpolate(x, size=shape, mode="bilinear", align_corners=True) of
// x = [[1, -2, 0.5], [3, 0, -1], [0.25, 4, 2]].
func TestBilinear(t *testing.T) {
	x := []float64{1, -2, 0.5, 3, 0, -1, 0.25, 4, 2}
	square := []float64{1, -0.5, -2, -0.75, 0.5, 2, 0.5, -1, -0.625, -0.25, 3, 1.5, 0, -0.5, -1,
		1.625, 1.8125, 2, 1.25, 0.5, 0.25, 2.125, 4, 3, 2}
	wide := []float64{1, 0, -1, -2, -1.166667, -0.333333, 0.5, 2.333333, 1.333333, 0.333333, -0.666667, -0.611111, -0.555556, -0.5,
		2.083333, 1.833333, 1.583333, 1.333333, 0.888889, 0.444444, 0, 0.25, 1.5, 2.75, 4, 3.333333, 2.666667, 2}
	three := attack.Bilinear{Side: 3}
	require.InDeltaSlice(t, square, mapped(t, three, []int{5, 5}, x...), 1e-6)
	require.InDeltaSlice(t, wide, mapped(t, three, []int{4, 7}, x...), 1e-6)
	require.Equal(t, x, mapped(t, three, []int{3, 3, 1}, x...), "of the image's own size: the identity")
	for _, v := range mapped(t, attack.Bilinear{Side: 1}, []int{6, 5}, 0.7) {
		require.Equal(t, 0.7, v)
	}
	for _, v := range mapped(t, attack.Bilinear{Side: 2}, []int{6, 5}, 0.7, 0.7, 0.7, 0.7) {
		require.InDelta(t, 0.7, v, 1e-15)
	}
	// Two channels are mapped one by one, wherever the image has them.
	both := append(append([]float64(nil), x...), 9, 8, 7, 6, 5, 4, 3, 2, 1)
	first := mapped(t, three, []int{2, 5, 5}, both...)
	last := mapped(t, three, []int{5, 5, 2}, both...)
	require.InDeltaSlice(t, square, first[:25], 1e-6)
	for i := range 25 {
		require.Equal(t, first[i], last[2*i])
		require.Equal(t, first[25+i], last[2*i+1])
	}
}

// TestDCTDirections: the map keeps lengths, and has the low frequencies only.
func TestDCTDirections(t *testing.T) {
	shape, rng := []int{8, 10, 2}, rand.New(rand.NewPCG(1, 1))
	numbers := make([]float64, 3*3*2)
	for i := range numbers {
		numbers[i] = rng.NormFloat64()
	}
	image := mapped(t, attack.DCT{Side: 3}, shape, numbers...)
	require.InDelta(t, square(numbers), square(image), 1e-9)
	filter, err := NewExec(testengine.Quick(t).Backend(), func(x *Node) *Node { return attack.Filter(x, attack.Low, 3) })
	require.NoError(t, err)
	out, err := filter.Call1(tensors.FromFlatDataAndDimensions(image, 1, 8, 10, 2))
	require.NoError(t, err)
	require.InDeltaSlice(t, image, tensors.MustCopyFlatData[float64](out), 1e-12)
}

func square(x []float64) (sum float64) {
	for _, v := range x {
		sum += v * v
	}
	return sum
}

// TestDecoder: a decoder's own image is taken off, so that zeros give zero.
func TestDecoder(t *testing.T) {
	vae, err := nets.NewVAE(nets.VAEConfig{Input: []int{4, 4, 1}, Hidden: []int{6}, Latent: 3})
	require.NoError(t, err)
	part, err := nets.NewPart(testengine.Quick(t).Backend(), vae, nets.LayerLatent, nets.LayerLogits, 4)
	require.NoError(t, err)
	d := &attack.Decoder{Label: "vae", Latent: 3, Decode: part.Of}
	require.Equal(t, "decoder:vae", d.Name())
	require.Equal(t, make([]float64, 16), mapped(t, d, []int{4, 4, 1}, 0, 0, 0))
	want, err := part.Of([][]float32{{1, 2, -1}, {0, 0, 0}})
	require.NoError(t, err)
	for i, v := range mapped(t, d, []int{4, 4, 1}, 1, 2, -1) {
		require.InDelta(t, want[0][i]-want[1][i], v, 1e-6)
	}
	_, err = d.Size([]int{5, 5})
	require.ErrorContains(t, err, "an image of 16 values, where the network takes 25")

	// A network that is a decoder as a whole.
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{2, 2}, Hidden: []int{6}, Classes: 16, Lower: -9, Upper: 9})
	require.NoError(t, err)
	run, err := nets.NewPredictor(testengine.Quick(t).Backend(), m, 2)
	require.NoError(t, err)
	want, err = run.Logits(tensors.FromFlatDataAndDimensions([]float32{1, 2, -1, 3, 0, 0, 0, 0}, 2, 2, 2))
	require.NoError(t, err)
	d, err = attack.NewDecoder(testengine.Quick(t).Backend(), "mlp", m)
	require.NoError(t, err)
	require.Equal(t, 4, d.Latent)
	for i, v := range mapped(t, d, []int{4, 4, 1}, 1, 2, -1, 3) {
		require.InDelta(t, want[0][i]-want[1][i], v, 1e-5)
	}
	_, err = (&attack.Decoder{}).Size([]int{5, 5})
	require.ErrorContains(t, err, "want a size of at least 1, and a function")
	d.Decode = func([][]float32) ([][]float32, error) { return nil, errors.New("no") }
	_, err = d.Size([]int{4, 4})
	require.ErrorContains(t, err, "no")
}

func TestParseDirections(t *testing.T) {
	for s, want := range map[string]attack.Directions{
		"full": attack.FullSpace{}, "bilinear:7": attack.Bilinear{Side: 7}, "DCT:8": attack.DCT{Side: 8},
	} {
		d, err := attack.ParseDirections(s)
		require.NoError(t, err)
		require.Equal(t, want, d)
	}
	for _, s := range []string{"", "full:3", "bilinear", "bilinear:", "bilinear:0", "bilinear:x", "dct:-1", "wavelet:3"} {
		_, err := attack.ParseDirections(s)
		require.ErrorContains(t, err, "want full, bilinear:SIDE or dct:SIDE", s)
	}
	for want, d := range map[string]attack.Directions{
		"bilinear: reduced size 32 exceeds image 28": attack.Bilinear{Side: 32},
		"dct: reduced size 29 exceeds image 28":      attack.DCT{Side: 29},
		"bilinear: reduced size 0: want 1 to 28":     attack.Bilinear{},
	} {
		_, err := d.Size([]int{1, 28, 30})
		require.EqualError(t, err, want)
	}
}
