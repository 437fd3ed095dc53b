package attack_test

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
)

// BenchmarkPGD20 is the reference work of the field: PGD-20 in l-infinity on a batch of 128 and the CNN 28x28x1 -
// conv 32 - pool - conv 64 - pool - dense 128 - 10.
func BenchmarkPGD20(b *testing.B) {
	for name, c := range map[string]nets.CNNConfig{"max": {Seed: 1}, "mean": {Seed: 1, MeanPool: true}} {
		b.Run(name, func(b *testing.B) {
			m, err := nets.NewCNN(c)
			require.NoError(b, err)
			v, err := robust.NewVictim(testengine.Get(b), m, 128)
			require.NoError(b, err)
			rng := rand.New(rand.NewPCG(1, 2))
			values := make([]float32, 128*28*28)
			for i := range values {
				values[i] = float32(rng.Float64())
			}
			x := tensors.FromFlatDataAndDimensions(values, 128, 28, 28, 1)
			labels, err := v.Predictions(context.Background(), x, nil)
			require.NoError(b, err)
			p := robust.Problem{Images: x, Goal: robust.Goal{Labels: labels}, Threat: robust.Threat{Norm: robust.Linf, Epsilon: 0.3}}
			run := func() {
				_, err := attack.PGD{Steps: 20}.Perturb(context.Background(), v, p)
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
