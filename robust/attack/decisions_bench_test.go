package attack_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/datasets"
	"github.com/trustbook/trustbook/internal/peer"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// decisionsProblem is a network that PyTorch trained, n images of MNIST that it gets right, and a success for each. Folder
// holds the same for Python.
func decisionsProblem(b *testing.B, n int) (v *robust.Victim, p robust.Problem, folder string) {
	b.Helper()
	folder = b.TempDir()
	file := filepath.Join("..", "..", "notebooks", "models", "mnist_cnn.onnx")
	m, err := onnx.Load(file, onnx.Options{})
	require.NoError(b, err)
	v, err = robust.NewVictim(testengine.Get(b), m, 128)
	require.NoError(b, err)
	ctx := context.Background()
	_, test, err := datasets.Load(ctx, "mnist", datasets.Options{})
	require.NoError(b, err)
	const size, some = 28 * 28, 400
	pixels := make([]float32, 0, some*size)
	for i := range some {
		pixels = append(pixels, test.Image(i)...)
	}
	predict := func(flat []float32) []int32 {
		classes, err := v.Predictions(ctx, tensors.FromFlatDataAndDimensions(flat, len(flat)/size, 1, 28, 28), nil)
		require.NoError(b, err)
		return classes
	}
	rng, noise := rand.New(rand.NewPCG(1, 1)), make([]float32, some*size)
	for i := range noise {
		noise[i] = rng.Float32()
	}
	var images, starts []float32
	answers := predict(noise)
	for i, class := range predict(pixels) {
		if class != test.Labels[i] || len(p.Goal.Labels) == n {
			continue
		}
		for k, other := range answers {
			if other != class {
				p.Goal.Labels = append(p.Goal.Labels, class)
				images, starts = append(images, pixels[i*size:(i+1)*size]...), append(starts, noise[k*size:(k+1)*size]...)
				break
			}
		}
	}
	require.Len(b, p.Goal.Labels, n)
	p.Images = tensors.FromFlatDataAndDimensions(images, n, 1, 28, 28)
	p.Starts = tensors.FromFlatDataAndDimensions(starts, n, 1, 28, 28)
	p.Threat = robust.Threat{Norm: robust.L2, Epsilon: math.Inf(1)}
	require.NoError(b, npy.WriteImages(filepath.Join(folder, "images.npy"), p.Images))
	require.NoError(b, npy.WriteImages(filepath.Join(folder, "starts.npy"), p.Starts))
	labels := make([]float32, n)
	for i, y := range p.Goal.Labels {
		labels[i] = float32(y)
	}
	require.NoError(b, npy.WriteImages(filepath.Join(folder, "labels.npy"), tensors.FromFlatDataAndDimensions(labels, n)))
	model, err := os.ReadFile(file)
	require.NoError(b, err)
	require.NoError(b, os.WriteFile(filepath.Join(folder, "model.onnx"), model, 0o600))
	return v, p, folder
}

// BenchmarkDecisions compares attacks by decisions with those of Foolbox and ART on the same network, images and starts, where
// BENCH_PYTHON names a Python that has them: the seconds of 100 images with 1,000 queries each, and the median l2 distance at
// equal queries, ours divided by theirs; RayS is held against our HopSkipJump, in linf.
func BenchmarkDecisions(b *testing.B) {
	v, p, folder := decisionsProblem(b, 100)
	b.Setenv("DECISIONS", folder)
	ask := peer.Start(b, "testdata/decisions.py")
	b.Run("seconds", func(b *testing.B) {
		var theirs func() float64
		if ask != nil {
			theirs = func() float64 { return ask("seconds foolbox hopskipjump 1000 100") }
		}
		peer.Compare(b, "foolbox", func() {
			_, err := attack.HopSkipJump{Queries: 1000}.Perturb(context.Background(), v, p)
			require.NoError(b, err)
		}, theirs)
	})
	for _, c := range []struct {
		name    string
		attack  robust.Attack
		queries int
		peers   []string
	}{
		{"hopskipjump", attack.HopSkipJump{Queries: 1000}, 1000, []string{"foolbox hopskipjump", "art hopskipjump"}},
		{"hopskipjump", attack.HopSkipJump{Queries: 5000}, 5000, []string{"foolbox hopskipjump", "art hopskipjump"}},
		{"sign-opt", attack.SignOPT{Queries: 10_000}, 10_000, []string{"foolbox hopskipjump", "art sign-opt"}},
		{"boundary", attack.Boundary{Queries: 5000}, 5000, nil},
	} {
		b.Run(fmt.Sprintf("median/%s/%d", c.name, c.queries), func(b *testing.B) {
			const n = 50
			q := p
			q.Goal.Labels = p.Goal.Labels[:n]
			q.Images, q.Starts = head(b, p.Images, n), head(b, p.Starts, n)
			for range b.N {
				o, err := robust.Evaluate(context.Background(), v, c.attack, q)
				require.NoError(b, err)
				b.ReportMetric(o.MedianNorm, "l2")
				for _, name := range c.peers {
					if ask != nil {
						theirs := ask(fmt.Sprintf("median %s %d %d", name, c.queries, n))
						b.ReportMetric(o.MedianNorm/theirs, "times-"+name[:3])
					}
				}
			}
		})
	}
	b.Run("median/rays/10000", func(b *testing.B) {
		q := p
		q.Threat.Norm = robust.Linf
		for range b.N {
			rays, err := robust.Evaluate(context.Background(), v, attack.RayS{Queries: 10_000}, q)
			require.NoError(b, err)
			jump, err := robust.Evaluate(context.Background(), v, attack.HopSkipJump{Queries: 10_000}, q)
			require.NoError(b, err)
			b.ReportMetric(rays.MedianNorm, "linf")
			b.ReportMetric(rays.MedianNorm/jump.MedianNorm, "times-hopskipjump")
		}
	})
}

// head returns the first n images.
func head(b *testing.B, images *tensors.Tensor, n int) *tensors.Tensor {
	b.Helper()
	flat, err := tensors.CopyFlatData[float32](images)
	require.NoError(b, err)
	dims := images.Shape().Dimensions
	return tensors.FromFlatDataAndDimensions(flat[:len(flat)/dims[0]*n], append([]int{n}, dims[1:]...)...)
}
