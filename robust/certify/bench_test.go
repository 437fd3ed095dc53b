package certify_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/robust/certify"
)

// BenchmarkThousand measures what the study does to each network with 1,000 images, compiled before: the bounds of all
// classes, and 20 steps of the joint attack.
func BenchmarkThousand(b *testing.B) {
	e := testengine.Get(b)
	m, err := nets.NewMLP(nets.MLPConfig{Hidden: []int{128, 64, 32}, NoBias: true, Seed: 1})
	require.NoError(b, err)
	x, labels := digits(1000)
	t := robust.Threat{Norm: robust.Linf, Epsilon: 0.05, Weights: []float64{0.005}}
	measure := func(name string, run func() error) {
		b.Run(name, func(b *testing.B) {
			require.NoError(b, run())
			b.ResetTimer()
			for range b.N {
				require.NoError(b, run())
			}
		})
	}
	c, err := certify.NewCertifier(e, m, 1000)
	require.NoError(b, err)
	measure("bounds", func() error { _, err := c.Bounds(x, labels, t); return err })
	v, err := robust.NewVictim(e, m, 1000)
	require.NoError(b, err)
	p := robust.Problem{Images: x, Goal: robust.Goal{Labels: labels}, Threat: t, Seed: 1}
	measure("attack", func() error {
		_, err := attack.JointPGD{Steps: 20}.Perturb(context.Background(), v, p)
		return err
	})
}

// digits are n images of noise with labels at random.
func digits(n int) (*tensors.Tensor, []int32) {
	rng := rand.New(rand.NewPCG(1, 1))
	pixels, labels := make([]float32, n*784), make([]int32, n)
	for i := range pixels {
		pixels[i] = rng.Float32()
	}
	for i := range labels {
		labels[i] = rng.Int32N(10)
	}
	return tensors.FromFlatDataAndDimensions(pixels, n, 28, 28, 1), labels
}

// BenchmarkVerify measures the attack on the bounds of 100 images: 2,000 random perturbations, and 20 steps of an
// adversary with a weight perturbation for each image.
func BenchmarkVerify(b *testing.B) {
	e := testengine.Get(b)
	m, err := nets.NewMLP(nets.MLPConfig{Hidden: []int{128, 64, 32}, NoBias: true, Seed: 1})
	require.NoError(b, err)
	v, err := certify.NewVerifier(e, m)
	require.NoError(b, err)
	x, labels := digits(100)
	t := robust.Threat{Norm: robust.Linf, Epsilon: 0.05, Weights: []float64{0.005}}
	for _, c := range []struct {
		name   string
		config certify.VerifyConfig
	}{{"random", certify.VerifyConfig{Random: 2000, Steps: 1}}, {"steps", certify.VerifyConfig{Random: 100, Steps: 20}}} {
		b.Run(c.name, func(b *testing.B) {
			run := func() {
				_, err := v.Verify(context.Background(), x, labels, t, c.config)
				require.NoError(b, err)
			}
			run()
			b.ResetTimer()
			for range b.N {
				run()
			}
		})
	}
}
