package nets_test

import (
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// uniform draws a tensor of values in [0, 1).
func uniform(seed uint64, dims ...int) *tensors.Tensor {
	rng := rand.New(rand.NewPCG(seed, 1))
	values := make([]float32, mustShape(dims...).Size())
	for i := range values {
		values[i] = rng.Float32()
	}
	return tensors.FromFlatDataAndDimensions(values, dims...)
}

// transformers are small networks of every kind.
func transformers() map[string]nets.ViTConfig {
	small := nets.ViTConfig{Input: []int{12, 12, 1}, Patch: 3, Width: 8, Depth: 2, Heads: 2, MLPRatio: 2, Classes: 4, Seed: 1,
		TokenWidth: 4, StemChannels: 3}
	with := func(change func(*nets.ViTConfig)) nets.ViTConfig {
		c := small
		change(&c)
		return c
	}
	return map[string]nets.ViTConfig{
		"class token": small,
		"mean":        with(func(c *nets.ViTConfig) { c.MeanPool, c.NoQKVBias = true, true }),
		"color":       with(func(c *nets.ViTConfig) { c.Input = []int{12, 6, 3} }),
		"stem":        with(func(c *nets.ViTConfig) { c.Tokenizer = nets.ConvStem }),
		"t2t":         with(func(c *nets.ViTConfig) { c.Tokenizer = nets.TokensToToken }),
		"hybrid":      with(func(c *nets.ViTConfig) { c.ConvBlocks = 1 }),
		"convolution": with(func(c *nets.ViTConfig) { c.ConvBlocks = 2 }),
		"drop path":   with(func(c *nets.ViTConfig) { c.DropPath = 0.5 }),
	}
}

// run calls a graph function of a model's once.
func run(t *testing.T, m *nets.Model, f func(scope *model.Scope, x *Node) *Node, x *tensors.Tensor) []float32 {
	t.Helper()
	exec, err := model.NewExec(testengine.Quick(t).Backend(), m.Store, f)
	require.NoError(t, err)
	defer exec.Finalize()
	out, err := exec.Call(x)
	require.NoError(t, err)
	return tensors.MustCopyFlatData[float32](out[0])
}

// The gradient of every kind of network against central differences along random directions.
func TestTransformerGradients(t *testing.T) {
	for name, c := range transformers() {
		t.Run(name, func(t *testing.T) {
			m, err := nets.NewViT(c)
			require.NoError(t, err)
			x := uniform(1, append([]int{3}, c.Input...)...)
			exec, err := model.NewExec(testengine.Quick(t).Backend(), m.Store, func(scope *model.Scope, x *Node) []*Node {
				loss := ReduceAllSum(Sin(m.Logits(scope, x)))
				again := Sub(m.Logits(scope, x), m.Logits(scope, x)) // a network may be built many times in one graph
				return []*Node{loss, Gradient(loss, x)[0], ReduceAllMax(Abs(again))}
			})
			require.NoError(t, err)
			defer exec.Finalize()
			call := func(x *tensors.Tensor) (float64, []float32) {
				out, err := exec.Call(x)
				require.NoError(t, err)
				require.Zero(t, tensors.ToScalar[float32](out[2]))
				return float64(tensors.ToScalar[float32](out[0])), tensors.MustCopyFlatData[float32](out[1])
			}
			_, gradient := call(x)
			values, direction := tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](uniform(2, len(gradient)))
			slope := 0.0
			for i, d := range direction {
				slope += float64(gradient[i]) * (float64(d) - 0.5)
			}
			at := func(step float64) float64 {
				moved := make([]float32, len(values))
				for i, v := range values {
					moved[i] = v + float32(step*(float64(direction[i])-0.5))
				}
				loss, _ := call(tensors.FromFlatDataAndDimensions(moved, x.Shape().Dimensions...))
				return loss
			}
			const step = 3e-4 // smaller than the distance to most kinks of ReLU
			assert.InDelta(t, slope, (at(step)-at(-step))/(2*step), 2e-2*math.Abs(slope)+3e-3)
			found := 0
			run(t, m, func(scope *model.Scope, x *Node) *Node {
				for _, f := range m.Inspect(scope, x) {
					require.Equal(t, 3, f.Node.Shape().Dimensions[0])
					if f.Kind == nets.Attention {
						found++
						require.Equal(t, c.Heads, f.Node.Shape().Dimensions[1])
					}
				}
				return x
			}, x)
			assert.Equal(t, c.Depth-c.ConvBlocks, found)
		})
	}
}

// Attention knows no order: patches that are permuted together with their positions give the same logits; without
// positions, patches alone do.
func TestTransformerOrder(t *testing.T) {
	for _, mean := range []bool{false, true} {
		c := nets.ViTConfig{Input: []int{12, 12, 1}, Patch: 3, Width: 16, Depth: 2, Heads: 4, Classes: 5, MeanPool: mean, Seed: 3}
		m, err := nets.NewViT(c)
		require.NoError(t, err)
		x := uniform(1, 2, 12, 12, 1)
		values := tensors.MustCopyFlatData[float32](x)
		order := rand.New(rand.NewPCG(1, 2)).Perm(16)
		moved := make([]float32, len(values))
		for e := range 2 {
			for to, from := range order {
				for p := range 9 {
					at := func(patch int) int { return e*144 + (patch/4*3+p/3)*12 + patch%4*3 + p%3 }
					moved[at(to)] = values[at(from)]
				}
			}
		}
		permuted := tensors.FromFlatDataAndDimensions(moved, 2, 12, 12, 1)
		want := run(t, m, m.Logits, x)
		different := run(t, m, m.Logits, permuted)
		assert.Greater(t, gap(want, different), 1e-3, "positions matter")

		table := m.Store.GetVariable("/positions/table")
		old := tensors.MustCopyFlatData[float32](table.MustValue())
		first := (len(old) - 16*16) / 16 // 1 row of the class token, or none
		if mean {
			require.Zero(t, first)
		}
		rows := make([]float32, len(old))
		copy(rows, old)
		for to, from := range order {
			copy(rows[(first+to)*16:(first+to+1)*16], old[(first+from)*16:(first+from+1)*16])
		}
		require.NoError(t, table.SetValue(tensors.FromFlatDataAndDimensions(rows, first+16, 16)))
		assert.Less(t, gap(want, run(t, m, m.Logits, permuted)), 1e-4)

		require.NoError(t, table.SetValue(tensors.FromFlatDataAndDimensions(make([]float32, len(old)), first+16, 16)))
		assert.Less(t, gap(run(t, m, m.Logits, x), run(t, m, m.Logits, permuted)), 1e-4)
	}
}

// gap is the largest difference.
func gap(a, b []float32) (d float64) {
	for i := range a {
		d = max(d, math.Abs(float64(a[i]-b[i])))
	}
	return d
}

// The logits, for which the last block leaves out what nobody classifies, against the whole network that Inspect builds;
// and attention weights sum to 1.
func TestTransformerShortcut(t *testing.T) {
	for name, c := range transformers() {
		t.Run(name, func(t *testing.T) {
			m, err := nets.NewViT(c)
			require.NoError(t, err)
			x := uniform(1, append([]int{3}, c.Input...)...)
			weight := func(path string, x *Node) *Node { return m.Store.GetVariable(path).NodeValue(x.Graph()) }
			gaps := run(t, m, func(scope *model.Scope, x *Node) *Node {
				var last *Node
				wrong := Zeros(x.Graph(), mustShape())
				for _, f := range m.Inspect(scope, x) {
					if f.Kind == nets.Tokens {
						last = f.Node
					} else {
						wrong = Max(wrong, ReduceAllMax(Abs(AddScalar(ReduceSum(f.Node, -1), -1))))
					}
				}
				last = Sub(last, ReduceAndKeep(last, ReduceMean, -1))
				last = Div(last, Sqrt(AddScalar(ReduceAndKeep(Square(last), ReduceMean, -1), 1e-6)))
				if m.Store.GetVariable("/class/token") != nil {
					last = Slice(last, AxisRange(), AxisRange(0, 1))
				}
				logits := Add(MatMul(ReduceMean(last, 1), weight("/head/weights", x)), InsertAxes(weight("/head/biases", x), 0))
				return Stack([]*Node{wrong, ReduceAllMax(Abs(logits)), ReduceAllMax(Abs(Sub(logits, m.Logits(scope, x))))}, 0)
			}, x)
			assert.Less(t, gaps[0], float32(1e-5))
			assert.Greater(t, gaps[1], float32(1e-2))
			assert.Less(t, gaps[2], float32(1e-5))
		})
	}
}

// What a transformer keeps for its gradients stays within the allocator's limit, unless hardly any example does.
func TestGradientBatch(t *testing.T) {
	reference, err := nets.NewViT(nets.ViTConfig{})
	require.NoError(t, err)
	assert.Equal(t, 32, reference.GradientBatch)
	large, err := nets.NewViT(nets.ViTConfig{Depth: 8})
	require.NoError(t, err)
	assert.Equal(t, 16, large.GradientBatch)
	patchy, err := nets.NewViT(nets.ViTConfig{Input: []int{56, 56, 1}, Width: 16})
	require.NoError(t, err)
	kept := 4 * float64(patchy.GradientBatch) * 197 * 4 * (9*16 + 4*197 + 2*64)
	assert.LessOrEqual(t, kept, math.Pow(2, 25))
	assert.Greater(t, kept, math.Pow(2, 24))
	huge, err := nets.NewViT(nets.ViTConfig{Depth: 40})
	require.NoError(t, err)
	assert.Zero(t, huge.GradientBatch)
}

// Published counts of parameters, by a count of layers that is itself held against small networks.
func TestTransformerParameters(t *testing.T) {
	count := func(c nets.ViTConfig) int {
		patches := c.Input[0] / c.Patch * (c.Input[1] / c.Patch)
		hidden := int(c.MLPRatio * float64(c.Width))
		qkvBias := 3 * c.Width
		if c.NoQKVBias {
			qkvBias = 0
		}
		block := 4*c.Width + 3*c.Width*c.Width + qkvBias + c.Width*c.Width + c.Width + 2*c.Width*hidden + hidden + c.Width
		embed := c.Patch*c.Patch*c.Input[2]*c.Width + c.Width
		return embed + c.Width + (patches+1)*c.Width + c.Depth*block + 2*c.Width + c.Width*c.Classes + c.Classes
	}
	for _, name := range []string{"class token", "color", "drop path"} {
		c := transformers()[name]
		m, err := nets.NewViT(c)
		require.NoError(t, err)
		assert.Equal(t, count(c), m.NumParameters(), name)
	}
	base := nets.ViTConfig{Input: []int{224, 224, 3}, Patch: 16, Width: 768, Depth: 12, Heads: 12, MLPRatio: 4, Classes: 1000}
	assert.Equal(t, 86_567_656, count(base))
	small := base // timm 0.4.5's vit_small, by its settings: narrower perceptrons, no biases of queries, keys and values
	small.Depth, small.Heads, small.MLPRatio, small.NoQKVBias = 8, 8, 3, true
	assert.Equal(t, 48_754_408, count(small))
}

// In evaluation, paths are never dropped; in training, about as many as asked for, each example on its own.
func TestDropPath(t *testing.T) {
	c := nets.ViTConfig{Input: []int{12, 12, 1}, Patch: 3, Width: 8, Depth: 2, Heads: 2, Classes: 4, DropPath: 0.3, Seed: 1}
	m, err := nets.NewViT(c)
	require.NoError(t, err)
	c.DropPath = 0
	plain, err := nets.NewViT(c)
	require.NoError(t, err)
	x := tensors.FromFlatDataAndDimensions(make([]float32, 400*144), 400, 12, 12, 1)
	want := run(t, plain, plain.Logits, x)
	assert.Zero(t, gap(want, run(t, m, m.Logits, x)))
	require.NoError(t, m.Store.SetRNGStateFromSeed(1))
	trained := run(t, m, func(scope *model.Scope, x *Node) *Node {
		scope.Store().SetTraining(x.Graph(), true)
		return m.Logits(scope, x)
	}, x)
	kinds := map[int]int{} // the last block keeps or drops each of two branches: four outcomes, but for rounding
	for i := range 400 {
		kinds[int(math.Round(1e4*float64(trained[4*i])))]++
	}
	assert.Len(t, kinds, 4)
	most := 0
	for _, n := range kinds {
		most = max(most, n)
	}
	assert.InDelta(t, 0.49, float64(most)/400, 0.08, "0.7² keep both")
}

// A small patch projects as its enlargement did.
func TestShrinkPatch(t *testing.T) {
	kernel := uniform(1, 8*8*3, 5)
	small, err := nets.ShrinkPatch(kernel, 8, 3, 4)
	require.NoError(t, err)
	require.Equal(t, []int{2 * 2 * 3, 5}, small.Shape().Dimensions)
	patch := tensors.MustCopyFlatData[float32](uniform(2, 2*2*3))
	k, ks := tensors.MustCopyFlatData[float32](kernel), tensors.MustCopyFlatData[float32](small)
	for out := range 5 {
		want, got := 0.0, 0.0
		for y := range 8 {
			for x := range 8 {
				for c := range 3 {
					want += float64(patch[(y/4*2+x/4)*3+c]) * float64(k[((y*8+x)*3+c)*5+out])
				}
			}
		}
		for i, v := range patch {
			got += float64(v) * float64(ks[i*5+out])
		}
		assert.InDelta(t, want, got, 1e-4)
	}
	for _, bad := range [][3]int{{8, 3, 3}, {7, 3, 1}, {8, 3, 0}} {
		_, err := nets.ShrinkPatch(kernel, bad[0], bad[1], bad[2])
		assert.ErrorContains(t, err, "ShrinkPatch")
	}
}

func TestBadTransformers(t *testing.T) {
	for want, c := range map[string]nets.ViTConfig{
		"image side 28 is not divisible by patch 5": {Patch: 5},
		"width 64 is not divisible by 5 heads":      {Heads: 5},
		"every size must be at least 1":             {Depth: -1},
		"MLP ratio -1":                              {MLPRatio: -1},
		"DropPath 1":                                {DropPath: 1},
		"5 convolutional blocks of 4":               {ConvBlocks: 5},
		`tokenizer "pixels"`:                        {Tokenizer: "pixels"},
		"input shape [28 28]":                       {Input: []int{28, 28}},
	} {
		_, err := nets.NewViT(c)
		assert.ErrorContains(t, err, want)
	}
}
