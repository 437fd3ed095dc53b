package meta

import (
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/internal/peer"
	"github.com/trustbook/trustbook/internal/testengine"
)

// BenchmarkMetaGradient measures the second-order meta-gradient of one 5-way task through five steps of fine-tuning: conv-4 with 32
// filters on images of 28x28 with strides or mean pooling, or of 84x84x3, with one shot or five, and 15 queries a class.
//
// Where BENCH_PYTHON names a Python that has torch, each is followed by the same gradient by torch.func.
func BenchmarkMetaGradient(b *testing.B) {
	for _, k := range []struct {
		name           string
		size, channels int
		pool           bool
		shots          int
	}{{"strided-1-shot", 28, 1, false, 1}, {"strided-5-shot", 28, 1, false, 5},
		{"pooled-1-shot", 28, 1, true, 1}, {"pooled-5-shot", 28, 1, true, 5},
		{"mini-1-shot", 84, 3, true, 1}, {"mini-5-shot", 84, 3, true, 5}} {
		b.Run(k.name, func(b *testing.B) {
			net, err := NewConv(Conv{Input: []int{k.size, k.size, k.channels}, Pool: k.pool, MeanFeatures: true})
			require.NoError(b, err)
			source, err := fewshot.NewSampler(noise(b, net.Input), fewshot.Episodes{Ways: 5, Shots: k.shots, Queries: 15, Tasks: 1})
			require.NoError(b, err)
			batch, err := source.Batch(0)
			require.NoError(b, err)
			o := &objective{model: net}
			n := len(net.Init(1))
			exec, err := NewExec(testengine.Get(b).Backend(), func(a []*Node) []*Node {
				meta, g, _ := MetaGradient(a[:n], 1, net.Head(), InnerLoop{Steps: 5, LR: 0.1}, o.support(a[n], a[n+1]),
					func(p []*Node) *Node { return CrossEntropy(o.outputs(p, a[n+2]), a[n+3]) })
				return append(g, meta)
			})
			require.NoError(b, err)
			args := append(anys(net.Init(1)), batch.Support, batch.SupportLabels, batch.Query, batch.QueryLabels)
			var theirs func() float64
			if other := peer.Start(b, "testdata/torch_maml.py"); other != nil {
				theirs = func() float64 { return other(k.name) }
			}
			peer.Compare(b, "PyTorch", func() {
				out, err := exec.Call(args...)
				require.NoError(b, err)
				finalize(out)
			}, theirs)
		})
	}
}

// noise is a set of classes of random images.
func noise(b *testing.B, shape []int) *fewshot.ClassSet {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	var classes []fewshot.Class
	for i := range 5 {
		c := fewshot.Class{Name: string(rune('a' + i))}
		for range 20 {
			image := make([]float32, product(shape))
			for k := range image {
				image[k] = rng.Float32()
			}
			c.Images = append(c.Images, image)
		}
		classes = append(classes, c)
	}
	s, err := fewshot.NewClassSet("noise", shape, classes)
	require.NoError(b, err)
	return s
}
