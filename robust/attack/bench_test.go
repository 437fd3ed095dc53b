package attack_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
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
			run := pgd20(b, m)
			other := torchattacks(b)
			run()
			var ratios, theirs []float64
			b.ResetTimer()
			for range b.N {
				start := time.Now()
				run()
				ours := time.Since(start).Seconds()
				if other != nil {
					b.StopTimer()
					t := other(name)
					theirs, ratios = append(theirs, t), append(ratios, ours/t)
					b.StartTimer()
				}
			}
			if other != nil {
				b.ReportMetric(1e3*median(theirs), "torchattacks-ms")
				b.ReportMetric(median(ratios), "times-torchattacks")
			}
		})
	}
}

// pgd20 compiles the attack and returns one run of it.
func pgd20(b *testing.B, m *nets.Model) (run func()) {
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
	return func() {
		_, err := attack.PGD{Steps: 20}.Perturb(context.Background(), v, p)
		require.NoError(b, err)
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// startTorchattacks starts the other side once; it ends with this process, whose pipe it reads.
var startTorchattacks = sync.OnceValues(func() (func(name string) (float64, error), error) {
	python := os.Getenv("BENCH_PYTHON")
	if python == "" {
		return nil, nil
	}
	cmd := exec.Command(python, "testdata/torchattacks_pgd.py")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	versions, err := lines.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("BENCH_PYTHON=%s: want a Python with torch and torchattacks: %w", python, err)
	}
	fmt.Print("against ", versions)
	return func(name string) (float64, error) {
		if _, err := io.WriteString(in, name+"\n"); err != nil {
			return 0, err
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.ParseFloat(strings.TrimSpace(line), 64)
	}, nil
})

// torchattacks returns the seconds of one attack there, or nil where there is none to ask.
func torchattacks(b *testing.B) func(name string) float64 {
	ask, err := startTorchattacks()
	require.NoError(b, err)
	if ask == nil {
		return nil
	}
	return func(name string) float64 {
		seconds, err := ask(name)
		require.NoError(b, err)
		return seconds
	}
}
