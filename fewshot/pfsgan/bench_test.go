package pfsgan

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot/paired"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/peer"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/npy"
)

// someSteps is how many are timed at once.
const someSteps = 10

// strides is the progress of a training that makes someSteps steps each time that it is told to.
type strides struct {
	begin, made chan struct{}
	ctx         context.Context
	steps       int
}

func (s *strides) Begin(string, int, int) { s.wait(s.begin) }
func (s *strides) End()                   {}
func (s *strides) Advance(n int) {
	if s.steps += n; s.steps%someSteps == 0 {
		s.made <- struct{}{}
		s.wait(s.begin)
	}
}

func (s *strides) wait(c chan struct{}) {
	select {
	case <-c:
	case <-s.ctx.Done():
	}
}

// BenchmarkStep makes ten steps of stage 1, then of stage 2, in the sizes of Config's zero value with 20 pairs of images of 16x16 and a
// perceptual classifier, with all that a training has around them. A step updates the discriminator, the front in stage 2, and what
// makes images.
//
// Where BENCH_PYTHON names a Python that has torch, each is followed by the same steps of the same networks there, on two threads, or
// as many as OMP_NUM_THREADS says: with two on two busy cores, its threads wait for each other, so that cpu wants OMP_NUM_THREADS=1.
// TestPyTorch compares the networks.
func BenchmarkStep(b *testing.B) {
	e := testengine.Get(b)
	m, err := nets.NewCNN(nets.CNNConfig{Input: []int{16, 16, 3}, Channels: []int{16, 32}, Dense: 64, Lower: -1, Upper: 1, Seed: 3})
	require.NoError(b, err)
	c := Config{Seed: 1, Source: Schedule{Steps: 1 << 40}, Target: Schedule{Steps: 1 << 40}}
	s, err := NewSource(16, &Perceptual{Model: m, Scale: 5}, c)
	require.NoError(b, err)
	images := pictures(1, 200)
	first, err := s.alternation(images)
	require.NoError(b, err)
	target, err := newTarget(s, s.Config)
	require.NoError(b, err)
	d, err := target.data(e, s, &paired.Set{Source: pictures(2, 20), Target: pictures(3, 20)}, images)
	require.NoError(b, err)
	second, err := target.alternation(s, d)
	require.NoError(b, err)
	for _, stage := range []struct {
		name  string
		a     fit.Alternation
		learn *nets.Generator
	}{{"source", first, s.Generator}, {"target", second, target.Generator}} {
		b.Run(stage.name, func(b *testing.B) {
			// A look at a weight waits for the last update.
			stage.a.Watch = &fit.Watch{Every: someSteps, Build: func(scope *model.Scope, g *Graph) *Node {
				return ReduceAllSum(scope.Store().GetVariable(stage.learn.WeightPaths[0]).NodeValue(g))
			}}
			ctx, cancel := context.WithCancel(b.Context())
			p := &strides{make(chan struct{}), make(chan struct{}), ctx, 0}
			ended := make(chan error, 1)
			go func() {
				_, err := stage.a.Train(ctx, e, fit.Options{Progress: p})
				ended <- err
			}()
			steps := func() {
				p.begin <- struct{}{}
				select {
				case <-p.made:
				case err := <-ended:
					b.Fatal(err)
				}
			}
			other := peer.Start(b, "testdata/torch_pfsgan.py")
			for _, clock := range []struct {
				name, ask string
				compare   func(*testing.B, string, func(), func() float64)
			}{{"wall", stage.name, peer.Compare}, {"cpu", "cpu " + stage.name, peer.CompareCPU}} {
				b.Run(clock.name, func(b *testing.B) {
					var theirs func() float64
					if other != nil {
						theirs = func() float64 { return other(clock.ask) }
					}
					clock.compare(b, "PyTorch", steps, theirs)
				})
			}
			cancel()
			require.ErrorIs(b, <-ended, context.Canceled)
		})
	}
}

// TestPyTorch compares what the networks make of their inputs with the same in PyTorch, where BENCH_PYTHON names a Python that has it.
func TestPyTorch(t *testing.T) {
	s, err := NewSource(16, nil, Config{Seed: 5})
	require.NoError(t, err)
	moveBiases(t, s.store)
	dir := t.TempDir()
	for name, n := range map[string]*nets.Network{"generator": &s.Generator.Network, "judge": &s.judge.Network,
		"content": &s.Content.Network} {
		require.NoError(t, n.SaveWeights(filepath.Join(dir, name+".npz")))
	}
	drawn, err := drawn(6, s.Generator.Latent, 1)
	require.NoError(t, err)
	latents := tensors.FromValue(drawn)
	images := pictures(6, 5)
	require.NoError(t, npy.WriteImages(filepath.Join(dir, "latents.npy"), latents))
	require.NoError(t, npy.WriteImages(filepath.Join(dir, "images.npy"), images))
	var want map[string][]float32
	require.NoError(t, json.Unmarshal(peer.Output(t, "testdata/torch_pfsgan.py", "check", dir), &want))
	exec, err := model.NewExec(testengine.Quick(t).Backend(), s.store, func(scope *model.Scope, latents, images *Node) []*Node {
		var all []*Node
		for _, training := range []bool{false, true} {
			scope.Store().SetTraining(latents.Graph(), training)
			all = append(all, s.Generator.Images(scope, latents))
		}
		patches, whole := s.judge.Scores(scope, images)
		mean, logVariance := s.Content.Posterior(scope, images)
		return append(all, patches, whole, mean, logVariance)
	})
	require.NoError(t, err)
	got, err := exec.Call(latents, images)
	require.NoError(t, err)
	for i, name := range []string{"evaluated", "learning", "patches", "whole", "mean", "log_variance"} {
		require.InDeltaSlice(t, want[name], flat(got[i]), 1e-4, name)
	}
}
