package maml

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot"
	"github.com/trustbook/trustbook/internal/testengine"
)

// BenchmarkUpdate measures a whole meta-update of the quick scale, for each method.
func BenchmarkUpdate(b *testing.B) {
	c := Config{}.WithDefaults()
	train, _, net, err := Load(b.Context(), c)
	require.NoError(b, err)
	for _, name := range MethodNames {
		b.Run(name, func(b *testing.B) {
			t, err := NewTrainer(testengine.Get(b), net, c.Method(name))
			require.NoError(b, err)
			defer t.Close()
			source, err := fewshot.NewSampler(train, c.episodes(name, 1))
			require.NoError(b, err)
			start := time.Now()
			_, err = t.Train(b.Context(), source, TrainOptions{Updates: 1})
			require.NoError(b, err)
			b.ReportMetric(time.Since(start).Seconds(), "compile-s")
			b.ResetTimer()
			_, err = t.Train(b.Context(), source, TrainOptions{Updates: b.N})
			require.NoError(b, err)
		})
	}
}

// BenchmarkEvaluate measures the fine-tuning of test tasks and the attack on them, a task.
func BenchmarkEvaluate(b *testing.B) {
	c := Config{}.WithDefaults()
	_, test, net, err := Load(b.Context(), c)
	require.NoError(b, err)
	v, err := NewEvaluator(testengine.Get(b), net)
	require.NoError(b, err)
	defer v.Close()
	for _, tasks := range []int{1, 4} {
		b.Run(map[int]string{1: "one", 4: "four"}[tasks], func(b *testing.B) {
			source, err := fewshot.NewSampler(test, fewshot.Episodes{Tasks: tasks})
			require.NoError(b, err)
			o := EvalOptions{Epsilon: c.Epsilon, StepSize: c.stepSize(c.Epsilon), Tasks: 1}
			_, err = v.Evaluate(b.Context(), net.Init(1), source, o)
			require.NoError(b, err)
			o.Tasks = b.N
			b.ResetTimer()
			_, err = v.Evaluate(b.Context(), net.Init(1), source, o)
			require.NoError(b, err)
		})
	}
}

func BenchmarkMetaGradient(b *testing.B) {
	for _, k := range []struct {
		name                  string
		size, channels, tasks int
		pool                  bool
		shots                 int
	}{{"strided", 28, 1, 1, false, 5}, {"strided1", 28, 1, 1, false, 1}, {"strided4", 28, 1, 4, false, 5}, {"pooled", 28, 1, 1, true, 5}, {"pooled1", 28, 1, 1, true, 1}, {"mini", 84, 3, 1, true, 5}, {"mini1", 84, 3, 1, true, 1}} {
		b.Run(k.name, func(b *testing.B) {
			net, err := NewConv(Conv{Input: []int{k.size, k.size, k.channels}, Pool: k.pool, MeanFeatures: true})
			require.NoError(b, err)
			set := noise(b, net.Input)
			source, err := fewshot.NewSampler(set, fewshot.Episodes{Ways: 5, Shots: k.shots, Queries: 15, Tasks: k.tasks})
			require.NoError(b, err)
			batch, err := source.Batch(0)
			require.NoError(b, err)
			o := &objective{model: net}
			n := len(net.Init(1))
			exec, err := NewExec(testengine.Get(b).Backend(), func(a []*Node) []*Node {
				meta, g, _ := MetaGradient(a[:n], k.tasks, net.Head(), InnerLoop{Steps: 5, LR: 0.1}, o.support(a[n], a[n+1]),
					func(p []*Node) *Node { return CrossEntropy(o.outputs(p, a[n+2]), a[n+3]) })
				return append(g, meta)
			})
			require.NoError(b, err)
			args := append(anys(net.Init(1)), batch.Support, batch.SupportLabels, batch.Query, batch.QueryLabels)
			run := func() {
				out, err := exec.Call(args...)
				require.NoError(b, err)
				finalize(out)
			}
			run()
			b.ResetTimer()
			if os.Getenv("PAR") != "" {
				b.SetParallelism(1)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						run()
					}
				})
				return
			}
			for range b.N {
				run()
			}
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
