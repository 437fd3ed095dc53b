package fit

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/peer"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// BenchmarkStep measures a training step of the MLP 784-128-64-32-10, batch 64, with all that Train does around it but compiling.
func BenchmarkStep(b *testing.B) {
	e := testengine.Get(b)
	m, err := nets.NewMLP(nets.MLPConfig{Hidden: []int{128, 64, 32}, NoBias: true, Seed: 1})
	require.NoError(b, err)
	const n = 8192
	rng := rand.New(rand.NewPCG(1, 1))
	pixels, labels := make([]float32, n*784), make([]int32, n)
	for i := range pixels {
		pixels[i] = rng.Float32()
	}
	for i := range labels {
		labels[i] = rng.Int32N(10)
	}
	data := Data{Images: tensors.FromFlatDataAndDimensions(pixels, n, 28, 28, 1), Labels: labels}
	const stepsPerEpoch = n / 64
	epochs := 2 + b.N/stepsPerEpoch
	p := &counter{}
	p.each = func(step int) {
		if step == stepsPerEpoch { // compiled and warm
			b.ResetTimer()
		}
	}
	c := Config{Phases: []Phase{{epochs, CrossEntropy()}}}
	_, err = TrainOrLoad(context.Background(), e, m, data, c, Options{Progress: p})
	require.NoError(b, err)
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64((epochs-1)*stepsPerEpoch), "µs/step")
}

// BenchmarkAutoencoder takes ten steps of training the convolutional autoencoder on batches of 100 images of 28x28, with all that is
// around them but checkpoints; with kernels of 5x5 as in the paper, and of 3x3. It compares the processor's
// time, of PyTorch on one thread.
func BenchmarkAutoencoder(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	pixels := make([]float32, 1000*784)
	for i := range pixels {
		pixels[i] = rng.Float32()
	}
	images := Data{Images: tensors.FromFlatDataAndDimensions(pixels, 1000, 28, 28, 1)}
	for side, name := range map[int]string{3: "3", 5: "5"} {
		b.Run(name, func(b *testing.B) {
			a, err := nets.NewAutoencoder(nets.AutoencoderConfig{Kernel: side, Seed: 1})
			require.NoError(b, err)
			t, err := AutoencoderConfig{Steps: 1 << 40}.alternation(a, images)
			require.NoError(b, err)
			r := &alternating{a: t.withDefaults(), store: a.Store, notes: alternationNotes{Losses: Losses{}}}
			defer r.close()
			require.NoError(b, r.begin(testengine.Get(b)))
			next := 0
			steps := func() {
				for range 10 {
					require.NoError(b, r.step(context.Background(), next))
					next++
				}
				require.NoError(b, r.check()) // waits
			}
			var theirs func() float64
			if other := peer.Start(b, "testdata/torch_autoencoder.py"); other != nil {
				theirs = func() float64 { return other(name) }
			}
			peer.CompareCPU(b, "PyTorch", steps, theirs)
		})
	}
}
