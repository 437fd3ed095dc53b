package attack_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/peer"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// BenchmarkPGD20 is the reference work of the field: PGD-20 in l-infinity on a batch of 128 and the CNN 28x28x1 -
// conv 32 - pool - conv 64 - pool - dense 128 - 10, with max or mean pooling, or the reference transformer.
//
// Where BENCH_PYTHON names a Python that has torch and torchattacks, each attack is followed by the same one there, and
// the median of the pairs' ratios of times is reported: machines are noisy, and their noise hits both of a pair.
func BenchmarkPGD20(b *testing.B) {
	for _, name := range []string{"max", "mean", "vit"} {
		b.Run(name, func(b *testing.B) {
			m, err := nets.NewCNN(nets.CNNConfig{Seed: 1, MeanPool: name == "mean"})
			if name == "vit" {
				m, err = nets.NewViT(nets.ViTConfig{Seed: 1})
			}
			require.NoError(b, err)
			var theirs func() float64
			if other := peer.Start(b, "testdata/torchattacks_pgd.py"); other != nil {
				theirs = func() float64 { return other(name) }
			}
			peer.Compare(b, "torchattacks", pgd20(b, m), theirs)
		})
	}
}

// BenchmarkTorchvision is PGD-20 on networks of torchvision that BENCH_PYTHON's Python exports, on eight images of 224x224.
func BenchmarkTorchvision(b *testing.B) {
	const script = "testdata/torchvision_pgd.py"
	for _, name := range []string{"resnet18", "mobilenet_v2", "efficientnet_b0", "convnext_tiny", "vit_b_16"} {
		b.Run(name, func(b *testing.B) {
			name, folder := "torchvision/"+name, b.TempDir()
			peer.Output(b, script, "export", name, folder)
			m, err := onnx.Load(filepath.Join(folder, "model.onnx"), onnx.Options{})
			require.NoError(b, err)
			x, err := npy.ReadImages(filepath.Join(folder, "x.npy"))
			require.NoError(b, err)
			other := peer.Start(b, script)
			other(name) // builds the network
			peer.Compare(b, "torchattacks", pgd20On(b, m, x, 4./255), func() float64 { return other(name) })
		})
	}
}

// pgd20 compiles the attack and returns one run of it.
func pgd20(b *testing.B, m *nets.Model) (run func()) {
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, 128*28*28)
	for i := range values {
		values[i] = float32(rng.Float64())
	}
	return pgd20On(b, m, tensors.FromFlatDataAndDimensions(values, 128, 28, 28, 1), 0.3)
}

// pgd20On is pgd20 on these images.
func pgd20On(b *testing.B, m *nets.Model, x *tensors.Tensor, epsilon float64) (run func()) {
	v, err := robust.NewVictim(testengine.Get(b), m, x.Shape().Dimensions[0])
	require.NoError(b, err)
	labels, err := v.Predictions(context.Background(), x, nil)
	require.NoError(b, err)
	p := robust.Problem{Images: x, Goal: robust.Goal{Labels: labels}, Threat: robust.Threat{Norm: robust.Linf, Epsilon: epsilon}}
	return func() {
		_, err := attack.PGD{Steps: 20}.Perturb(context.Background(), v, p)
		require.NoError(b, err)
	}
}
