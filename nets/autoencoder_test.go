package nets_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/nettest"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

func newAutoencoder(t *testing.T, c nets.AutoencoderConfig) *nets.Autoencoder {
	t.Helper()
	a, err := nets.NewAutoencoder(c)
	require.NoError(t, err)
	return a
}

// small are autoencoders of every kind.
func small(t *testing.T) (all []*nets.Autoencoder) {
	t.Helper()
	input := []int{4, 8, 1}
	for _, c := range []nets.AutoencoderConfig{
		{Input: []int{4, 8, 2}, Channels: []int{5, 3}, Kernel: 3},
		{Input: input, Channels: []int{3}, Code: 2, Linear: true, Activation: nets.ActTanh},
		{Kind: nets.DenseAE, Input: input, Code: 5},
		{Kind: nets.DenseAE, Input: input, Hidden: []int{9, 7}, Activation: nets.ActReLU},
		{Kind: nets.SparseAE, Input: input, Code: 6},
		{Kind: nets.AdversarialAE, Input: input, Hidden: []int{9, 7}},
		{Kind: nets.ConcreteAE, Input: input, Hidden: []int{9, 7}, Code: 3},
	} {
		c.Seed = 1
		all = append(all, newAutoencoder(t, c))
	}
	return all
}

// TestAutoencodersAreChains: the encoder, then the decoder, is the network; images come back in their shape.
func TestAutoencodersAreChains(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range small(t) {
		m := a.Model()
		require.False(t, seen[a.Name], a.Name)
		seen[a.Name] = true
		nettest.StagesAreTheNetwork(t, m)
		exec, err := model.NewExec(testengine.Quick(t).Backend(), a.Store, func(scope *model.Scope, x *Node) []*Node {
			codes := a.Encode(scope, x)
			return []*Node{a.Decode(scope, codes), m.Logits(scope, x), codes, a.Encoder().Logits(scope, x)}
		})
		require.NoError(t, err)
		x := images(m, 3, 7)
		out, err := exec.Call(x)
		require.NoError(t, err)
		require.Equal(t, x.Shape(), out[0].Shape(), a.Name)
		require.Equal(t, out[1].Value(), out[0].Value())
		require.Equal(t, append([]int{3}, a.Code...), out[2].Shape().Dimensions)
		require.Equal(t, out[3].Value(), out[2].Value())
		require.Equal(t, out[0].Size()/3, m.Classes)
		require.Equal(t, out[2].Size()/3, a.Encoder().Classes)
		require.Less(t, len(a.Encoder().WeightPaths), len(a.WeightPaths))
	}
}

// TestPaperAutoencoders: the sizes of the paper's networks, counted by hand.
func TestPaperAutoencoders(t *testing.T) {
	for _, c := range []struct {
		c      nets.AutoencoderConfig
		weight int
		code   []int
	}{
		{nets.AutoencoderConfig{}, 25*16 + 16 + 25*16*8 + 8 + 25*8*8 + 8 + 25*8*16 + 16 + 25*16 + 1, []int{7, 7, 8}},
		{nets.AutoencoderConfig{Kind: nets.DenseAE}, 2*784*128 + 128 + 784, []int{128}},
		{nets.AutoencoderConfig{Kind: nets.SparseAE}, 2*784*128 + 128 + 784, []int{128}},
		{nets.AutoencoderConfig{Kind: nets.AdversarialAE}, 2*784*1000 + 2*1000*1000 + 2*2*1000 + 4*1000 + 2 + 784, []int{2}},
		{nets.AutoencoderConfig{Kind: nets.ConcreteAE}, 784*50 + 51*320 + 321*320 + 321*784, []int{50}},
	} {
		a := newAutoencoder(t, c.c)
		require.Equal(t, c.weight, a.NumParameters(), a.Name)
		require.Equal(t, c.code, a.Code)
		if a.Kind == nets.AdversarialAE {
			require.Equal(t, 3*1000+1000*1000+1001+1000, a.Critic.NumParameters())
		}
	}
	stages := newAutoencoder(t, nets.AutoencoderConfig{Input: []int{8, 8, 1}, Kernel: 3}).Model().Stages()
	var names []string
	for _, s := range stages {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{"encoder 1", "pooled 1", "encoder 2", "code", "decoder 1", "decoder 2", "logits", "pixels"}, names)
}

// grid is a map [height][width][channels].
type grid [][][]float64

func newGrid(height, width int, at func(y, x int) []float64) grid {
	g := make(grid, height)
	for y := range g {
		for x := range width {
			g[y] = append(g[y], at(y, x))
		}
	}
	return g
}

// TestConvAutoencoderInPlainLoops: convolutions of 5x5, ReLU, pooling, doubling and the sigmoid, in plain Go.
func TestConvAutoencoderInPlainLoops(t *testing.T) {
	a := newAutoencoder(t, nets.AutoencoderConfig{Input: []int{8, 12, 2}, Channels: []int{3, 4}, Seed: 3})
	weights := func(layer, name string) []float32 {
		value, err := a.Store.GetVariable("/" + layer + "/" + name).Value()
		require.NoError(t, err)
		return tensors.MustCopyFlatData[float32](value)
	}
	convolve := func(m grid, layer string, activation func(v float64) float64) grid {
		kernel, bias := weights(layer, "weights"), weights(layer, "biases")
		in, out := len(m[0][0]), len(bias)
		return newGrid(len(m), len(m[0]), func(y, x int) []float64 {
			values := make([]float64, out)
			for o := range values {
				values[o] = float64(bias[o])
				for r := range 5 {
					for c := range 5 {
						if v, w := y+r-2, x+c-2; v >= 0 && v < len(m) && w >= 0 && w < len(m[0]) {
							for i := range in {
								values[o] += m[v][w][i] * float64(kernel[((r*5+c)*in+i)*out+o])
							}
						}
					}
				}
				values[o] = activation(values[o])
			}
			return values
		})
	}
	pool := func(m grid) grid {
		return newGrid(len(m)/2, len(m[0])/2, func(y, x int) []float64 {
			best := slices.Clone(m[2*y][2*x])
			for k := range best {
				best[k] = max(best[k], m[2*y][2*x+1][k], m[2*y+1][2*x][k], m[2*y+1][2*x+1][k])
			}
			return best
		})
	}
	twice := func(m grid) grid {
		return newGrid(2*len(m), 2*len(m[0]), func(y, x int) []float64 { return m[y/2][x/2] })
	}
	relu := func(v float64) float64 { return max(v, 0) }
	sigmoid := func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

	x := images(a.Model(), 1, 4)
	flat := tensors.MustCopyFlatData[float32](x)
	m := newGrid(8, 12, func(y, x int) []float64 { return []float64{float64(flat[(y*12+x)*2]), float64(flat[(y*12+x)*2+1])} })
	m = pool(convolve(pool(convolve(m, "encoder_1", relu)), "encoder_2", relu))
	m = convolve(twice(convolve(m, "decoder_1", relu)), "decoder_2", relu)
	m = convolve(twice(m), "logits", sigmoid)
	exec, err := model.NewExec(testengine.Quick(t).Backend(), a.Store, a.Model().Logits)
	require.NoError(t, err)
	out, err := exec.Call(x)
	require.NoError(t, err)
	for i, v := range tensors.MustCopyFlatData[float32](out[0]) {
		require.InDelta(t, m[i/24][i/2%12][i%2], v, 1e-5)
	}
}

// TestDoubledConv2D: the values and gradients of the convolution of what was doubled, for kernels of any odd side.
func TestDoubledConv2D(t *testing.T) {
	plain := func(x, kernel *Node) *Node {
		d := x.Shape().Dimensions
		x = BroadcastToDims(InsertAxes(x, 2, 3), d[0], d[1], 2, d[2], 2, d[3])
		return nets.Conv2D(Reshape(x, d[0], 2*d[1], 2*d[2], d[3]), kernel)
	}
	both := func(f func(x, kernel *Node) *Node) func(x, kernel *Node) []*Node {
		return func(x, kernel *Node) []*Node {
			y := f(x, kernel)
			return append([]*Node{y}, Gradient(ReduceAllSum(Mul(y, Sin(IotaFull(x.Graph(), y.Shape())))), x, kernel)...)
		}
	}
	rng := rand.New(rand.NewPCG(5, 3))
	draw := func(dims ...int) *tensors.Tensor {
		values := make([]float32, mustShape(dims...).Size())
		for i := range values {
			values[i] = rng.Float32() - 0.5
		}
		return tensors.FromFlatDataAndDimensions(values, dims...)
	}
	for _, side := range []int{1, 3, 5, 7} {
		x, kernel := draw(2, 3, 5, 2), draw(side, side, 2, 3)
		var found [2][]*tensors.Tensor
		for i, f := range []func(x, kernel *Node) *Node{nets.DoubledConv2D, plain} {
			exec, err := NewExec(testengine.Quick(t).Backend(), both(f))
			require.NoError(t, err)
			found[i], err = exec.Call(x, kernel)
			require.NoError(t, err)
		}
		for i, want := range found[1] {
			require.Equal(t, want.Shape(), found[0][i].Shape())
			require.InDeltaSlice(t, tensors.MustCopyFlatData[float32](want), tensors.MustCopyFlatData[float32](found[0][i]), 1e-4, side)
		}
	}
	exec, err := NewExec(testengine.Quick(t).Backend(), nets.DoubledConv2D)
	require.NoError(t, err)
	_, err = exec.Call(draw(1, 2, 2, 1), draw(2, 2, 1, 1))
	require.ErrorContains(t, err, "of an odd side")
}

// TestConcreteSelects: codes are the selected values; in training they are means of values, nearer to single ones the colder it is.
func TestConcreteSelects(t *testing.T) {
	a := newAutoencoder(t, nets.AutoencoderConfig{Kind: nets.ConcreteAE, Input: []int{2, 3}, Code: 2, Hidden: []int{4}, Seed: 1})
	logits := []float32{0, 0, 0, 1, 9, 1, 0, 9, 0, 0, 0, 0} // [values, Code]
	require.NoError(t, a.Store.GetVariable(a.WeightPaths[0]).SetValue(tensors.FromFlatDataAndDimensions(logits, 6, 2)))
	selected, err := a.Selected()
	require.NoError(t, err)
	require.Equal(t, []int{2, 3}, selected)
	require.NoError(t, a.Store.SetRNGStateFromSeed(1))
	exec, err := model.NewExec(testengine.Quick(t).Backend(), a.Store, func(scope *model.Scope, x, temperature *Node) []*Node {
		hard := a.Encode(scope, x)
		return []*Node{hard, a.Relax(scope, x, temperature), Gradient(ReduceAllSum(hard), x)[0]}
	})
	require.NoError(t, err)
	x := [][][]float32{{{.1, .2, .3}, {.4, .5, .6}}, {{.6, .5, .9}, {.7, .2, .1}}}
	share := map[float32]int{}
	for _, temperature := range []float32{0.1, 1000} {
		for range 200 {
			out, err := exec.Call(x, temperature)
			require.NoError(t, err)
			require.Equal(t, [][]float32{{.3, .4}, {.9, .7}}, out[0].Value())
			require.Equal(t, [][][]float32{{{0, 0, 1}, {1, 0, 0}}, {{0, 0, 1}, {1, 0, 0}}}, out[2].Value())
			if v := out[1].Value().([][]float32)[0][0]; math.Abs(float64(v-.3)) < 1e-3 {
				share[temperature]++
			} else if temperature == 1000 {
				require.InDelta(t, (.1+.2+.3+.4+.5+.6)/6, v, 0.01)
			}
		}
	}
	// The value is drawn with probability e⁹/(e⁹+e+4), nearly always.
	require.Greater(t, share[0.1], 190)
	require.Zero(t, share[1000])
	_, err = newAutoencoder(t, nets.AutoencoderConfig{}).Selected()
	require.ErrorContains(t, err, "want a concrete autoencoder")
}

// TestAutoencoderParts: layers are read and replaced as a VAE's are.
func TestAutoencoderParts(t *testing.T) {
	a := newAutoencoder(t, nets.AutoencoderConfig{Input: []int{4, 4, 1}, Channels: []int{2}, Kernel: 3, Seed: 1})
	b := testengine.Quick(t).Backend()
	encode, err := nets.NewPart(b, a, "", nets.LayerCode, 2)
	require.NoError(t, err)
	decode, err := nets.NewPart(b, a, nets.LayerCode, nets.LayerPixels, 2)
	require.NoError(t, err)
	all, err := nets.NewPart(b, a, "", nets.LayerPixels, 2)
	require.NoError(t, err)
	x := imageRows(3, 16)
	codes, err := encode.Of(x)
	require.NoError(t, err)
	require.Len(t, codes[0], 2*2*2)
	got, err := decode.Of(codes)
	require.NoError(t, err)
	want, err := all.Of(x)
	require.NoError(t, err)
	for i := range want {
		require.InDeltaSlice(t, want[i], got[i], 1e-6)
	}
}

func TestAutoencoderErrors(t *testing.T) {
	for want, c := range map[string]nets.AutoencoderConfig{
		`no autoencoder is "deep"`:              {Kind: "deep"},
		"autoencoder sizes [8 0 1 16 8]":        {Input: []int{8, 0, 1}},
		"Code = -1":                             {Kind: nets.DenseAE, Code: -1},
		"it has no dense layers":                {Hidden: []int{3}},
		"it has no convolutions":                {Kind: nets.SparseAE, Channels: []int{3}},
		"Kernel = 4: want an odd side":          {Kernel: 4},
		"divisible by 4, or fewer Channels":     {Input: []int{6, 8, 1}},
		"images [64]: want height, width":       {Input: []int{64}},
		`want "sigmoid", whose mean is a share`: {Kind: nets.SparseAE, Activation: nets.ActReLU},
		`with activation "step"`:                {Activation: "step"},
		"selects Code = 50 of 16 values":        {Kind: nets.ConcreteAE, Input: []int{4, 4, 1}},
		"Dropout = 1":                           {Kind: nets.ConcreteAE, Dropout: 1},
		"none but of concrete ones":             {Dropout: 0.5},
	} {
		_, err := nets.NewAutoencoder(c)
		require.ErrorContains(t, err, want)
	}
	a := newAutoencoder(t, nets.AutoencoderConfig{Input: []int{4, 4, 1}})
	values := make([]float32, 16)
	values[4] = nan
	require.ErrorContains(t, a.CheckImages(tensors.FromFlatDataAndDimensions(values, 1, 4, 4, 1)), "[0,4] is not finite")
}
