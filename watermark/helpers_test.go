package watermark

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/datasets"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

const side = 14

// digits are MNIST's, halved in height and width.
type digits struct {
	train   fit.Data
	images  *tensors.Tensor // test
	labels  []int32
	targets *tensors.Tensor // those of the test images that are of class target
}

const target = 3

func halved(s *datasets.Set, n int) (*tensors.Tensor, []int32) {
	x := make([]float32, n*side*side)
	for i := range n {
		for p, v := range s.Image(i) {
			x[i*side*side+p/28/2*side+p%28/2] += v / 4
		}
	}
	return tensors.FromFlatDataAndDimensions(x, n, side, side, 1), s.Labels[:n]
}

var loadDigits = sync.OnceValues(func() (*digits, error) {
	train, test, err := datasets.Load(context.Background(), "mnist", datasets.Options{})
	if err != nil {
		return nil, err
	}
	d := &digits{}
	d.train.Images, d.train.Labels = halved(train, 12000)
	d.images, d.labels = halved(test, 5000)
	d.targets = ofClass(d.images, d.labels, target)
	return d, nil
})

func ofClass(images *tensors.Tensor, labels []int32, class int32) *tensors.Tensor {
	pixels := tensors.MustCopyFlatData[float32](images)
	size := len(pixels) / len(labels)
	var some []float32
	for i, y := range labels {
		if y == class {
			some = append(some, pixels[i*size:(i+1)*size]...)
		}
	}
	return tensors.FromFlatDataAndDimensions(some, append([]int{len(some) / size}, images.Shape().Dimensions[1:]...)...)
}

func smallNet(t testing.TB, seed int64) *nets.Model {
	m, err := nets.NewCNN(nets.CNNConfig{Input: []int{side, side, 1}, Channels: []int{8, 16}, Dense: 32, Strided: true, Seed: seed})
	require.NoError(t, err)
	return m
}

func smallKey(t testing.TB, secret string) *Key {
	k, err := NewKey([]byte(secret), "Acme Ltd", KeyOptions{Shape: []int{side, side, 1}, Target: target, Bits: 64, Carriers: 150})
	require.NoError(t, err)
	return k
}

// trained are a marked network and one that was trained alike, but for the mark.
type trained struct {
	*digits
	key           *Key
	marked, plain *nets.Model
}

// small is the schedule, shortened.
func small(lambda float64) Embedder {
	return Embedder{Phases: []Phase{{600, 2e-3, lambda}, {200, 5e-4, lambda / 3}}, Batch: 50, TargetPerBatch: 10, Seed: 1}
}

var (
	once  sync.Once
	nets2 trained
)

func networks(t testing.TB) *trained {
	t.Helper()
	e := testengine.Training(t)
	once.Do(func() {
		d, err := loadDigits()
		require.NoError(t, err)
		r := trained{digits: d, key: smallKey(t, "secret"), marked: smallNet(t, 1), plain: smallNet(t, 1)}
		_, err = small(0.3).Embed(context.Background(), e, r.marked, r.key, d.train, fit.Options{})
		require.NoError(t, err)
		_, err = small(0).Embed(context.Background(), e, r.plain, r.key, d.train, fit.Options{})
		require.NoError(t, err)
		nets2 = r
	})
	require.NotNil(t, nets2.marked, "an earlier test could not train")
	return &nets2
}

func accuracy(t testing.TB, m *nets.Model, images *tensors.Tensor, labels []int32) float64 {
	t.Helper()
	p, err := nets.NewPredictor(testengine.Training(t).Backend(), m, 0)
	require.NoError(t, err)
	a, err := p.Accuracy(images, labels)
	require.NoError(t, err)
	return a
}

func ones(bits []int8) (n int) {
	for _, b := range bits {
		n += max(0, int(b))
	}
	return n
}

func allTarget(n int) []int32 { return slices.Repeat([]int32{target}, n) }
