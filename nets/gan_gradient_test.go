package nets_test

import (
	"cmp"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
)

// residualCase is a network of package nets' residual ones with what it puts out.
type residualCase struct {
	net      *nets.Network
	input    []int
	training bool
	values   func(scope *model.Scope, x *Node) []*Node
}

func generatorOf(t *testing.T, c nets.ResidualConfig) *nets.Generator {
	g, err := nets.NewGenerator(model.NewStore(), c)
	require.NoError(t, err)
	return g
}

func discriminatorOf(t *testing.T, c nets.ResidualConfig) *nets.Discriminator {
	d, err := nets.NewDiscriminator(model.NewStore(), c)
	require.NoError(t, err)
	return d
}

func encoderOf(t *testing.T, c nets.ResidualConfig) *nets.GaussianEncoder {
	e, err := nets.NewGaussianEncoder(model.NewStore(), c)
	require.NoError(t, err)
	return e
}

func residualCases(t *testing.T) map[string]residualCase {
	c := nets.ResidualConfig{Size: 16, Channels: 2, Latent: 3, Seed: 4, Scope: "net"}
	image := []int{2, c.Size, c.Size, 3}
	g, d, e := generatorOf(t, c), discriminatorOf(t, c), encoderOf(t, c)
	made := func(scope *model.Scope, x *Node) []*Node { return []*Node{g.Images(scope, x)} }
	return map[string]residualCase{
		"generator":             {&g.Network, []int{2, 3}, false, made},
		"generator that learns": {&g.Network, []int{3, 3}, true, made},
		"discriminator": {&d.Network, image, true, func(scope *model.Scope, x *Node) []*Node {
			patches, whole := d.Scores(scope, x)
			return []*Node{patches, whole}
		}},
		"encoder": {&e.Network, image, true, func(scope *model.Scope, x *Node) []*Node {
			mean, logVariance := e.Posterior(scope, x)
			return []*Node{mean, logVariance}
		}},
	}
}

// doubled is a store with copies of a network's variables in float64. Biases, shifts and running averages are moved by chance, so that
// none is invisible.
func doubled(t *testing.T, n *nets.Network) *model.Store {
	rng := rand.New(rand.NewPCG(5, 0))
	store := model.NewStore()
	for _, path := range slices.Concat(n.WeightPaths, n.StatePaths) {
		v := n.Store.GetVariable(path)
		value, err := v.Value()
		require.NoError(t, err)
		flat := make([]float64, value.Size())
		for i, f := range tensors.MustCopyFlatData[float32](value) {
			flat[i] = float64(f)
			if value.Rank() == 1 {
				flat[i] += rng.Float64() / 5
			}
		}
		_, err = store.CreateVariable(path, tensors.FromFlatDataAndDimensions(flat, value.Shape().Dimensions...))
		require.NoError(t, err)
	}
	return store
}

// TestResidualGradients compares the gradients of a weighted sum of all that a generator, a discriminator or an encoder puts out, by
// its input and by every weight, with central differences in double precision.
func TestResidualGradients(t *testing.T) {
	for name, c := range residualCases(t) {
		t.Run(name, func(t *testing.T) {
			store := doubled(t, c.net)
			loss := func(scope *model.Scope, x *Node) *Node {
				g := x.Graph()
				store.SetTraining(g, c.training)
				sum := ScalarZero(g, x.DType())
				for i, v := range c.values(scope, x) {
					at := AddScalar(IotaFull(g, v.Shape()), float64(1+i))
					sum = Add(sum, ReduceAllSum(Mul(v, Sin(ConvertDType(at, v.DType())))))
				}
				return sum
			}
			b := backends(t)["xla"]
			gradients, err := model.NewExec(b, store, func(scope *model.Scope, x *Node) []*Node {
				of := []*Node{x}
				for _, path := range c.net.WeightPaths {
					of = append(of, scope.Store().GetVariable(path).NodeValue(x.Graph()))
				}
				return Gradient(loss(scope, x), of...)
			})
			require.NoError(t, err)
			rng := rand.New(rand.NewPCG(6, 0))
			size := 1
			for _, d := range c.input {
				size *= d
			}
			flat := make([]float64, size)
			for i := range flat {
				flat[i] = 2*rng.Float64() - 1
			}
			x := tensors.FromFlatDataAndDimensions(flat, c.input...)
			got, err := gradients.Call(x)
			require.NoError(t, err)
			exec, err := model.NewExec(b, store, loss)
			require.NoError(t, err)
			at := func(x *tensors.Tensor) float64 {
				out, err := exec.Call(x)
				require.NoError(t, err)
				return tensors.ToScalar[float64](out[0])
			}
			compareSlopes(t, rng, "the input", flat, got[0], func(changed []float64) float64 {
				return at(tensors.FromFlatDataAndDimensions(changed, c.input...))
			})
			for i, path := range c.net.WeightPaths {
				v := store.GetVariable(path)
				before, err := v.Value()
				require.NoError(t, err)
				compareSlopes(t, rng, path, tensors.MustCopyFlatData[float64](before), got[i+1], func(changed []float64) float64 {
					require.NoError(t, v.SetValue(tensors.FromFlatDataAndDimensions(changed, v.Shape().Dimensions...)))
					return at(x)
				})
			}
		})
	}
}

// compareSlopes compares some of a tensor's slopes with central differences of what value gives of its values, and leaves it as it was.
func compareSlopes(t *testing.T, rng *rand.Rand, what string, flat []float64, slope *tensors.Tensor, value func([]float64) float64) {
	const h = 1e-6
	slopes, nonzero := tensors.MustCopyFlatData[float64](slope), false
	for range 4 {
		i := rng.IntN(len(flat))
		moved := func(by float64) float64 {
			changed := slices.Clone(flat)
			changed[i] += by
			return value(changed)
		}
		require.InDelta(t, (moved(h)-moved(-h))/(2*h), slopes[i], 1e-6*max(1, slopes[i], -slopes[i]), "of %s at %d", what, i)
		nonzero = nonzero || slopes[i] > 1e-9 || slopes[i] < -1e-9
	}
	value(slices.Clone(flat))
	if slope.Rank() > 1 { // biases that a normalization follows have none
		require.True(t, nonzero, "slopes of %s are all 0", what)
	}
}

// TestResidualParameters: as many as by hand.
func TestResidualParameters(t *testing.T) {
	conv := func(side, in, out int) int { return side*side*in*out + out }
	dense := func(in, out int) int { return in*out + out }
	for _, c := range []nets.ResidualConfig{{Size: 16, Channels: 2, Latent: 3}, {Size: 32, Channels: 5, Latent: 7, Colors: 1},
		{Size: 64, Channels: 4, Latent: 6}} {
		c.Scope = "net"
		colors := cmp.Or(c.Colors, 3)
		halvings := map[int]int{16: 2, 32: 3, 64: 4}[c.Size]
		blocks := map[int]int{16: 3, 32: 3, 64: 4}[c.Size] // of the discriminator: to patches of 4, 8 and 8, and one behind them
		k := c.Channels
		require.Equal(t, dense(c.Latent, 16*k)+halvings*2*conv(3, k, k)+2*k+conv(3, k, colors), generatorOf(t, c).NumParameters(), c)
		require.Equal(t, conv(3, colors, k)+conv(3, k, k)+conv(1, colors, k)+(blocks-1)*(2*conv(3, k, k)+conv(1, k, k))+
			conv(1, k, 1)+dense(k, 1), discriminatorOf(t, c).NumParameters(), c)
		front := conv(3, colors, k) + conv(3, k, k)
		e := encoderOf(t, c)
		require.Equal(t, front, e.Front.NumParameters(), c)
		quarter := c.Size / 4
		require.Equal(t, front+conv(3, k, 2*k)+dense(quarter*quarter*2*k, 128)+2*dense(128, c.Latent), e.NumParameters(), c)
	}
}

// TestResidualWeightsElsewhere: a file of a network of another size or kind is refused, and the network stays as it was.
func TestResidualWeightsElsewhere(t *testing.T) {
	c := nets.ResidualConfig{Channels: 2, Latent: 3, Scope: "net", Seed: 1}
	wide := c
	wide.Channels = 3
	path := filepath.Join(t.TempDir(), "weights.npz")
	require.NoError(t, generatorOf(t, wide).SaveWeights(path))
	weights := func(n *nets.Network) [][]float32 {
		var all [][]float32
		for _, w := range n.Weights() {
			v, err := w.Value()
			require.NoError(t, err)
			all = append(all, tensors.MustCopyFlatData[float32](v))
		}
		return all
	}
	g, d := generatorOf(t, c), discriminatorOf(t, c)
	before := [][][]float32{weights(&g.Network), weights(&d.Network)}
	require.ErrorContains(t, g.LoadWeights(path), "has shape [3 48]: want [3 32]")
	require.ErrorContains(t, d.LoadWeights(path), "net_down_0_first")
	require.Equal(t, before, [][][]float32{weights(&g.Network), weights(&d.Network)})
}
