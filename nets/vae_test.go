package nets_test

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
)

func vaes(t *testing.T) map[string]*nets.VAE {
	t.Helper()
	all := map[string]*nets.VAE{}
	for name, c := range map[string]nets.VAEConfig{
		"dense":         {Input: []int{4, 3, 1}, Hidden: []int{9, 7}, Latent: 2, Seed: 1},
		"convolutional": {Input: []int{8, 4, 2}, Hidden: []int{6}, Channels: []int{3, 4}, Latent: 3, Seed: 1},
	} {
		v, err := nets.NewVAE(c)
		require.NoError(t, err)
		all[name] = v
	}
	return all
}

func imageRows(n, size int) [][]float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	rows := make([][]float32, n)
	for i := range rows {
		rows[i] = make([]float32, size)
		for j := range rows[i] {
			rows[i][j] = rng.Float32()
		}
	}
	return rows
}

// TestVAEParts: the network in two parts, cut behind any layer, is the network; names say what the layers put out.
func TestVAEParts(t *testing.T) {
	e := testengine.Quick(t)
	for name, v := range vaes(t) {
		size := 1
		for _, d := range v.InputShape {
			size *= d
		}
		part := func(from, to string, x [][]float32) [][]float32 {
			p, err := nets.NewPart(e.Backend(), v, from, to, 4)
			require.NoError(t, err)
			y, err := p.Of(x)
			require.NoError(t, err)
			return y
		}
		images := imageRows(5, size)
		want := part("", nets.LayerPixels, images)
		require.Len(t, want, 5)
		require.Len(t, want[0], size)
		for i, l := range v.Layers[:len(v.Layers)-1] {
			first := part("", l.Name, images)
			n := 1
			for _, d := range l.Shape {
				n *= d
			}
			require.Len(t, first[0], n, "%s, %s", name, l.Name)
			if i < len(v.Layers)-1 {
				for k, row := range part(l.Name, nets.LayerPixels, first) {
					require.InDeltaSlice(t, want[k], row, 1e-6, "%s, cut behind %s", name, l.Name)
				}
			}
		}
		posterior, latent := part("", nets.LayerPosterior, images), part("", nets.LayerLatent, images)
		require.Equal(t, posterior[3][:v.Latent], latent[3], "the latent is the mean")
	}
}

// TestVAEForward compares the dense decoder with plain loops.
func TestVAEForward(t *testing.T) {
	v := vaes(t)["dense"]
	weight := func(path string) []float32 {
		value, err := v.Store.GetVariable(path).Value()
		require.NoError(t, err)
		return tensors.MustCopyFlatData[float32](value)
	}
	z := []float32{0.7, -1.1}
	x := z
	for _, layer := range []string{"decoder_1", "decoder_2", "logits"} {
		w, b := weight("/"+layer+"/weights"), weight("/"+layer+"/biases")
		y := append([]float32{}, b...)
		for i := range x {
			for j := range y {
				y[j] += x[i] * w[i*len(y)+j]
			}
		}
		for j := range y {
			if layer == "logits" {
				y[j] = float32(1 / (1 + math.Exp(-float64(y[j]))))
			} else {
				y[j] = max(0, y[j])
			}
		}
		x = y
	}
	p, err := nets.NewPart(testengine.Quick(t).Backend(), v, nets.LayerLatent, nets.LayerPixels, 1)
	require.NoError(t, err)
	got, err := p.Of([][]float32{z})
	require.NoError(t, err)
	require.InDeltaSlice(t, x, got[0], 1e-6)
	// Weights begin as PyTorch's: within ±1/√inputs, and filling that range.
	least, most := float32(1), float32(-1)
	for _, w := range weight("/encoder_1/weights") {
		least, most = min(least, w), max(most, w)
	}
	bound := float32(1 / math.Sqrt(12))
	require.True(t, least >= -bound && most <= bound && most-least > 1.8*bound)
}

// TestNegativeELBO: the two terms by their definition. With no variance the drawn latent is the mean, so that the
// reconstruction is known; the divergence is compared with the mean of ln q(z)/p(z) over many draws.
func TestNegativeELBO(t *testing.T) {
	e := testengine.Quick(t)
	mean, logVariance := []float32{0.5, -1}, []float32{-0.7, 0.4}
	kl, err := NewExec(e.Backend(), nets.StandardKL)
	require.NoError(t, err)
	out, err := kl.Call([][]float32{mean}, [][]float32{logVariance})
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(7, 7))
	const draws = 200_000
	sum := 0.
	for range draws {
		for i := range mean {
			noise, deviation := rng.NormFloat64(), math.Exp(float64(logVariance[i])/2)
			z := float64(mean[i]) + deviation*noise
			sum += -noise*noise/2 - math.Log(deviation) + z*z/2
		}
	}
	require.InDelta(t, sum/draws, tensors.MustCopyFlatData[float32](out[0])[0], 0.01)

	v := vaes(t)["dense"]
	biases := v.Store.GetVariable("/posterior/biases")
	require.NoError(t, biases.SetValue(tensors.FromValue([]float32{0.3, -0.2, -80, -80})))
	zeros := tensors.FromShape(v.Store.GetVariable("/posterior/weights").Shape())
	require.NoError(t, v.Store.GetVariable("/posterior/weights").SetValue(zeros))
	images := imageRows(3, 12)
	exec, err := model.NewExec(e.Backend(), v.Store, func(scope *model.Scope, x *Node) []*Node {
		reconstruction, divergence := v.NegativeELBO(scope, x)
		return []*Node{reconstruction, divergence}
	})
	require.NoError(t, err)
	flat := append(append(append([]float32{}, images[0]...), images[1]...), images[2]...)
	out, err = exec.Call(tensors.FromFlatDataAndDimensions(flat, 3, 4, 3, 1))
	require.NoError(t, err)
	decode, err := nets.NewPart(e.Backend(), v, nets.LayerLatent, nets.LayerPixels, 1)
	require.NoError(t, err)
	pixels, err := decode.Of([][]float32{{0.3, -0.2}})
	require.NoError(t, err)
	got := tensors.MustCopyFlatData[float32](out[0])
	for i, image := range images {
		want := 0.
		for j, x := range image {
			p := float64(pixels[0][j])
			want -= float64(x)*math.Log(p) + (1-float64(x))*math.Log(1-p)
		}
		require.InDelta(t, want, got[i], 1e-4)
	}
	require.InDelta(t, (0.09+0.04-2+160)/2, tensors.MustCopyFlatData[float32](out[1])[0], 1e-4)
}

// TestDraw: drawn latents have the mean and the variance that the encoder tells.
func TestDraw(t *testing.T) {
	store := model.NewStore()
	require.NoError(t, store.SetRNGStateFromSeed(3))
	const n = 20_000
	exec, err := model.NewExec(testengine.Quick(t).Backend(), store, func(scope *model.Scope, x *Node) *Node {
		return nets.Draw(scope, AddScalar(x, 2), AddScalar(x, math.Log(9)))
	})
	require.NoError(t, err)
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(make([]float32, n), n, 1))
	require.NoError(t, err)
	var sum, squares float64
	for _, v := range tensors.MustCopyFlatData[float32](out[0]) {
		sum, squares = sum+float64(v), squares+float64(v)*float64(v)
	}
	require.InDelta(t, 2, sum/n, 0.08)
	require.InDelta(t, 9, squares/n-4, 0.4)
}

func TestVAEErrors(t *testing.T) {
	for want, c := range map[string]nets.VAEConfig{
		"VAE sizes":       {Latent: -1},
		"divisible by 4":  {Input: []int{6, 8, 1}, Channels: []int{2, 2}},
		"height, width, ": {Input: []int{64}, Channels: []int{2}},
	} {
		_, err := nets.NewVAE(c)
		require.ErrorContains(t, err, want)
	}
	v := vaes(t)["dense"]
	b := testengine.Quick(t).Backend()
	for _, names := range [][2]string{{"", "decoder 9"}, {"decoder 9", nets.LayerPixels}, {"decoder 2", "decoder 1"},
		{"decoder 1", "decoder 1"}} {
		_, err := nets.NewPart(b, v, names[0], names[1], 0)
		require.ErrorContains(t, err, "want two of encoder 1, encoder 2, posterior, latent, decoder 1, decoder 2, logits, pixels, in this order")
	}
	p, err := nets.NewPart(b, v, nets.LayerLatent, nets.LayerPixels, 0)
	require.NoError(t, err)
	_, err = p.Of([][]float32{{1, 2}, {1}})
	require.ErrorContains(t, err, `example 1 has 1 values, the way to layer "pixels" begins with 2`)
	require.ErrorContains(t, v.CheckImages(tensors.FromFlatDataAndDimensions(make([]float32, 24), 2, 4, 3)), "wants float32 [n, 4, 3, 1]")
	bright := tensors.FromFlatDataAndDimensions([]float32{0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0}, 1, 4, 3, 1)
	require.ErrorContains(t, v.CheckImages(bright), "outside the bounds")
}
