package fit

import (
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
)

// blobs makes n images [6, 6, 1] of 3 classes, each a bright block at a place of its own plus noise.
func blobs(n int, seed uint64) Data {
	rng := rand.New(rand.NewPCG(seed, 7))
	pixels, labels := make([]float32, n*36), make([]int32, n)
	for i := range labels {
		labels[i] = rng.Int32N(3)
		for p := range 36 {
			v := 0.5 * rng.Float32()
			if y, x := p/6, p%6; y/2 == int(labels[i]) && x > 0 && x < 5 {
				v += 0.3
			}
			pixels[i*36+p] = v
		}
	}
	return Data{Images: tensors.FromFlatDataAndDimensions(pixels, n, 6, 6, 1), Labels: labels}
}

func mlp(t testing.TB, seed int64) *nets.Model {
	t.Helper()
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{6, 6, 1}, Hidden: []int{16}, Classes: 3, Seed: seed})
	require.NoError(t, err)
	return m
}

// weights copies all weights into one slice.
func weights(t testing.TB, m *nets.Model) (all []float32) {
	t.Helper()
	for _, w := range m.Weights() {
		value, err := w.Value()
		require.NoError(t, err)
		all = append(all, tensors.MustCopyFlatData[float32](value)...)
	}
	return all
}

// noisy is cross-entropy on images with random noise, so that runs agree only if their random numbers do.
func noisy() Loss {
	return Loss{Name: "noisy 0.1", Build: func(scope *model.Scope, m *nets.Model, images, labels *Node) *Node {
		noise := scope.RandomUniform(images.Graph(), images.Shape())
		return CrossEntropy().Build(scope, m, Add(images, MulScalar(noise, 0.1)), labels)
	}}
}

// counter is a Progress that remembers what it was told, and calls a function at each step.
type counter struct {
	tasks       []string
	first, last int
	total       int
	ended       int
	each        func(step int)
}

func (c *counter) Begin(task string, done, total int) {
	if len(c.tasks) == 0 {
		c.first = done
	}
	c.tasks, c.last, c.total = append(c.tasks, task), done, total
}

func (c *counter) Advance(n int) {
	c.last += n
	if c.each != nil {
		c.each(c.last)
	}
}

func (c *counter) End() { c.ended++ }
