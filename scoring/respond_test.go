package scoring

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// marks are n noisy images [8, 8, 1] of 3 classes: a bright bar at a place of its own.
func marks(n int, seed uint64) fit.Data {
	rng := rand.New(rand.NewPCG(seed, 1))
	pixels, labels := make([]float32, n*64), make([]int32, n)
	for i := range labels {
		labels[i] = int32(i % 3)
		for k := range 64 {
			v := 0.6 * rng.Float32()
			if k/8 == 2*int(labels[i])+1 {
				v += 0.35
			}
			pixels[64*i+k] = v
		}
	}
	return fit.Data{Images: tensors.FromFlatDataAndDimensions(pixels, n, 8, 8, 1), Labels: labels}
}

func trained(t testing.TB, d fit.Data, m *nets.Model, err error) *nets.Model {
	t.Helper()
	require.NoError(t, err)
	_, err = fit.Train(context.Background(), testengine.Quick(t), m, d,
		fit.Config{Phases: []fit.Phase{{Epochs: 6, Loss: fit.CrossEntropy()}}, BatchSize: 16, LearningRate: 3e-3})
	require.NoError(t, err)
	return m
}

func responder(t testing.TB, m *nets.Model, o ResponseOptions) *Responder {
	t.Helper()
	r, err := NewResponder(testengine.Quick(t), m, o)
	require.NoError(t, err)
	return r
}

var everyPerturbation = []Perturbation{Mixup{InterClass}, Mixup{IntraClass}, GaussianNoise{}, Rotation{}, Translation{},
	Translation{Vertical: true}}

// At magnitude 0 each curve has the plain accuracy, exactly, whatever the layer and the batch; and curves fall somewhere.
func TestMagnitudeZeroIsTheNetwork(t *testing.T) {
	d := marks(100, 1)
	cnn, err := nets.NewCNN(nets.CNNConfig{Input: []int{8, 8, 1}, Channels: []int{8, 8}, Dense: 16, Classes: 3, Seed: 2})
	mlp, mlpErr := nets.NewMLP(nets.MLPConfig{Input: []int{8, 8, 1}, Hidden: []int{16, 12}, Classes: 3, Seed: 1, Dropout: 0.2})
	for _, m := range []*nets.Model{trained(t, d, mlp, mlpErr), trained(t, d, cnn, err)} {
		t.Run(m.Name, func(t *testing.T) {
			r, small := responder(t, m, ResponseOptions{Seed: 3}), responder(t, m, ResponseOptions{Seed: 3, Batch: 32})
			_, plain, err := r.Margins(context.Background(), d)
			require.NoError(t, err)
			require.Greater(t, plain, 0.6)
			moved := 0
			for layer := range len(r.Stages) {
				for _, p := range everyPerturbation {
					if layer > 0 && p.Needs().Pixels {
						continue
					}
					c, err := r.Respond(context.Background(), d, p, layer)
					require.NoError(t, err)
					at, err := c.At(0)
					require.NoError(t, err)
					require.Equal(t, plain, at, "%s at %d", p.Name(), layer)
					batched, err := small.Respond(context.Background(), d, p, layer)
					require.NoError(t, err)
					require.Equal(t, c, batched, "%s at %d", p.Name(), layer)
					if gi, err := GiScore(c, IdealInvariant); err == nil && gi != 0 {
						moved++
					}
				}
			}
			require.Greater(t, moved, len(r.Stages))
		})
	}
}

// hand computes logits of a dense ReLU network on the host, from a layer's values on.
func hand(t *testing.T, m *nets.Model, from int, x []float64) (class int32) {
	for _, l := range m.Dense[from:] {
		w := m.Store.GetVariable(l.Weight).MustValue()
		n, k := w.Shape().Dimensions[0], w.Shape().Dimensions[1]
		flat, bias := tensors.MustCopyFlatData[float32](w), tensors.MustCopyFlatData[float32](m.Store.GetVariable(l.Bias).MustValue())
		require.Len(t, x, n)
		y := make([]float64, k)
		for j := range y {
			y[j] = float64(bias[j])
			for i, v := range x {
				y[j] += v * float64(flat[i*k+j])
			}
			if l.Activation == nets.ActReLU {
				y[j] = max(y[j], 0)
			}
		}
		x = y
	}
	for j, v := range x {
		if v > x[class] {
			class = int32(j)
		}
	}
	return class
}

// Curves by brute force: each example mixed and classified on the host.
func TestResponseByHand(t *testing.T) {
	d := marks(60, 1)
	mlp, err := nets.NewMLP(nets.MLPConfig{Input: []int{8, 8, 1}, Hidden: []int{16, 12}, Classes: 3, Seed: 1})
	m := trained(t, d, mlp, err)
	r := responder(t, m, ResponseOptions{Seed: 3})
	for layer := range 3 {
		hidden, err := r.Hidden(context.Background(), d.Images, layer)
		require.NoError(t, err)
		values := tensors.MustCopyFlatData[float32](hidden)
		width := len(values) / 60
		noise := tensors.MustCopyFlatData[float32](normal(hidden.Shape().Dimensions, false, 3))
		for _, p := range []Perturbation{Mixup{InterClass}, Mixup{IntraClass}, GaussianNoise{}} {
			c, err := r.Respond(context.Background(), d, p, layer)
			require.NoError(t, err)
			mates, err := Partners(d.Labels, p.Needs().Partner, 3)
			require.NoError(t, err)
			for k, magnitude := range c.Magnitudes {
				right := 0
				for i, y := range d.Labels {
					x := make([]float64, width)
					for j := range x {
						own, other := float64(values[i*width+j]), float64(values[int(mates[i])*width+j])
						if x[j] = (1-magnitude)*own + magnitude*other; p.Needs().Noise {
							x[j] = own + magnitude*float64(noise[i*width+j])
						}
					}
					if hand(t, m, layer, x) == y {
						right++
					}
				}
				// One near tie may fall either way.
				require.InDelta(t, float64(right)/60, c.Accuracies[k], 1./60+1e-12, "%s at %d, %g", p.Name(), layer, magnitude)
			}
		}
	}
}

func TestPartners(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	labels := make([]int32, 3000)
	for i := range labels {
		labels[i] = int32(rng.IntN(4))
	}
	for _, kind := range []Partner{SameClass, OtherClass} {
		p, err := Partners(labels, kind, 5)
		require.NoError(t, err)
		again, err := Partners(labels, kind, 5)
		require.NoError(t, err)
		require.Equal(t, p, again)
		other, err := Partners(labels, kind, 6)
		require.NoError(t, err)
		require.NotEqual(t, p, other)
		used := map[int32]int{}
		for i, j := range p {
			require.Equal(t, kind == SameClass, labels[i] == labels[j])
			require.NotEqual(t, int32(i), j)
			used[j]++
		}
		// Uniform draws with replacement reach 1-1/e of the examples.
		require.InDelta(t, 3000*(1-math.Exp(-1)), len(used), 120)
	}
	_, err := Partners([]int32{0, 0, 7, 1, 1}, SameClass, 1)
	require.EqualError(t, err, "scoring: class 7 has one sample in the subset: intra-class mixup needs two")
	_, err = Partners([]int32{2, 2, 2}, OtherClass, 1)
	require.ErrorContains(t, err, "all samples are of class 2")
}

// With a first layer that is linear, mixing before it and behind it is the same.
func TestLinearLayerCommutesWithMixup(t *testing.T) {
	d := marks(90, 2)
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{8, 8, 1}, Hidden: []int{16, 12}, Classes: 3, Seed: 4})
	require.NoError(t, err)
	m.Dense[0].Activation = nets.ActNone
	logits := m.Logits
	m.Logits = func(scope *model.Scope, x *Node) *Node {
		for _, s := range m.Stages() {
			x = s.Graph(scope, x)
		}
		return x
	}
	require.NotNil(t, logits)
	r := responder(t, trained(t, d, m, nil), ResponseOptions{Seed: 1})
	for _, p := range []Perturbation{Mixup{InterClass}, Mixup{IntraClass}} {
		input, err := r.Respond(context.Background(), d, p, 0)
		require.NoError(t, err)
		first, err := r.Respond(context.Background(), d, p, 1)
		require.NoError(t, err)
		second, err := r.Respond(context.Background(), d, p, 2)
		require.NoError(t, err)
		require.InDeltaSlice(t, input.Accuracies, first.Accuracies, 1./90+1e-12)
		if p.(Mixup).Kind == InterClass {
			require.NotEqual(t, first.Accuracies, second.Accuracies, "behind a ReLU they differ")
		}
	}
}

// A network whose logits do not depend on the input has a flat curve at the share of its class.
func TestConstantNetwork(t *testing.T) {
	d := marks(90, 2)
	d.Labels[0], d.Labels[3] = 1, 1
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{8, 8, 1}, Hidden: []int{4}, Classes: 3})
	require.NoError(t, err)
	for _, w := range m.Weights() {
		require.NoError(t, w.SetValue(tensors.FromShape(w.Shape())))
	}
	require.NoError(t, m.Store.GetVariable(m.Dense[1].Bias).SetValue(tensors.FromValue([]float32{0, 2, 1})))
	r := responder(t, m, ResponseOptions{})
	for _, p := range everyPerturbation {
		c, err := r.Respond(context.Background(), d, p, 0)
		require.NoError(t, err)
		gi, err := GiScore(c, IdealPerfect)
		require.NoError(t, err)
		require.InDelta(t, 1-32./90, gi, 1e-12, p.Name())
	}
}

func TestRespondErrors(t *testing.T) {
	d := marks(30, 1)
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{8, 8, 1}, Hidden: []int{4}, Classes: 3})
	require.NoError(t, err)
	r := responder(t, m, ResponseOptions{})
	ask := func(d fit.Data, p Perturbation, layer int) error {
		_, err := r.Respond(context.Background(), d, p, layer)
		return err
	}
	require.ErrorContains(t, ask(d, Mixup{}, 2), "layer 2: MLP 64-4-3 has layers 0, the input, to 1")
	require.ErrorContains(t, ask(d, Mixup{}, -1), "layer -1")
	require.ErrorContains(t, ask(d, Rotation{}, 1), "rotation moves pixels")
	require.ErrorContains(t, ask(fit.Data{Images: d.Images, Labels: d.Labels[:3]}, Mixup{}, 0), "3 labels for 30 images")
	require.ErrorContains(t, ask(d, At(Mixup{}, 0.1), 0), "1 point")
	require.ErrorContains(t, ask(d, At(Mixup{}, 0.1, 0.1), 0), "must increase")
	wrong := fit.Data{Images: d.Images, Labels: append([]int32{9}, d.Labels[1:]...)}
	require.ErrorContains(t, ask(wrong, Mixup{}, 0), "label 9 at row 0")
	require.NoError(t, m.Store.GetVariable(m.Dense[1].Bias).SetValue(tensors.FromValue([]float32{0, float32(math.NaN()), 1})))
	require.ErrorContains(t, ask(d, Mixup{}, 0), "not finite")
	_, err = NewResponder(nil, m, ResponseOptions{})
	require.ErrorContains(t, err, "needs an engine")
	_, err = NewResponder(testengine.Quick(t), m, ResponseOptions{Batch: -1})
	require.ErrorContains(t, err, "batch size -1")
	_, err = ByName("blur")
	require.ErrorContains(t, err, `perturbation "blur"`)
}
