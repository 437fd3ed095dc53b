package scoring

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// ResponseOptions say how curves are measured.
type ResponseOptions struct {
	Batch int   // examples in a call; zero: 500. It changes no result
	Seed  int64 // of partners and noise
}

// Responder measures perturbation response curves of a network. Its graphs are compiled once for each perturbation and
// layer and take the network's weights as they are at the time of a call, so that CopyWeights lets one Responder measure many
// networks of one architecture. It is not safe for concurrent use.
type Responder struct {
	Model  *nets.Model
	Stages []nets.Stage // of Model

	engine  *engine.Engine
	layout  nets.Layout // of the network's images, and of its feature maps
	images  bool        // whether it takes images
	options ResponseOptions
	execs   map[string]*model.Exec
}

// NewResponder prepares to measure a network.
func NewResponder(e *engine.Engine, m *nets.Model, o ResponseOptions) (*Responder, error) {
	if e == nil || m == nil {
		return nil, errors.New("scoring: NewResponder needs an engine and a model")
	}
	if o.Batch < 0 {
		return nil, errors.Errorf("scoring: batch size %d: must be > 0", o.Batch)
	}
	if o.Batch == 0 {
		o.Batch = 500
	}
	layout, images := nets.LayoutOf(m.InputShape)
	return &Responder{Model: m, Stages: m.Stages(), engine: e, layout: layout, images: images, options: o,
		execs: map[string]*model.Exec{}}, nil
}

// CheckLayer reports a layer behind which the network cannot be perturbed: 0 is the input, l the output of Stages[l-1], and
// behind the last stage are the logits.
func (r *Responder) CheckLayer(layer int) error {
	if layer < 0 || layer >= len(r.Stages) {
		return errors.Errorf("scoring: layer %d: %s has layers 0, the input, to %d", layer, r.Model.Name, len(r.Stages)-1)
	}
	return nil
}

// Respond measures the curve of a perturbation at a layer (0: the input, l: behind Stages[l-1]):
//
//	A(α) = mean over examples of 1[argmax of the network on the perturbed values = label]
//
// with the labels that the network was trained on. Partners and noise depend on labels and seed alone: they are the same at all
// magnitudes and for all networks. The accuracy at magnitude 0 is the plain accuracy on the examples.
func (r *Responder) Respond(ctx context.Context, d fit.Data, p Perturbation, layer int) (Curve, error) {
	if err := r.check(d); err != nil {
		return Curve{}, err
	}
	if err := r.CheckLayer(layer); err != nil {
		return Curve{}, err
	}
	magnitudes := p.Magnitudes()
	if err := (Curve{Magnitudes: magnitudes, Accuracies: make([]float64, len(magnitudes))}).Validate(); err != nil {
		return Curve{}, errors.WithMessage(err, p.Name())
	}
	needs := p.Needs()
	if needs.Pixels && (!r.images || layer > 0) {
		return Curve{}, errors.Errorf("scoring: %s moves pixels: it needs images with height and width, at layer 0", p.Name())
	}
	partners, err := Partners(d.Labels, needs.Partner, r.options.Seed)
	if err != nil {
		return Curve{}, err
	}
	hidden, err := r.Hidden(ctx, d.Images, layer)
	if err != nil {
		return Curve{}, err
	}
	var noise *tensors.Tensor
	if needs.Noise {
		noise = normal(hidden.Shape().Dimensions, r.layout.ChannelsFirst, r.options.Seed)
	}
	return r.sweep(ctx, p, layer, hidden, noise, d.Labels, partners)
}

func (r *Responder) check(d fit.Data) error {
	if err := r.Model.CheckImages(d.Images); err != nil {
		return err
	}
	if n := d.Images.Shape().Dimensions[0]; n != len(d.Labels) {
		return errors.Errorf("scoring: %d labels for %d images: give one each", len(d.Labels), n)
	}
	return r.Model.CheckLabels(d.Labels)
}

// normal draws standard normal values, the same on every backend, and the same for each pixel of images or maps whether
// their channels come first or last.
func normal(dims []int, channelsFirst bool, seed int64) *tensors.Tensor {
	size := 1
	for _, d := range dims {
		size *= d
	}
	channels := 1
	if channelsFirst && len(dims) == 4 {
		channels = dims[1]
	}
	pixels := size / dims[0] / channels
	rng := rand.New(rand.NewPCG(uint64(seed), 0x6e6f697365)) // the stream "noise"
	values := make([]float32, size)
	for i := range dims[0] {
		for p := range pixels {
			for c := range channels {
				values[(i*channels+c)*pixels+p] = float32(rng.NormFloat64())
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(values, dims...)
}

// exec compiles a graph at its first use.
func (r *Responder) exec(key string, fn graphFn) (*model.Exec, error) {
	if r.execs[key] == nil {
		exec, err := model.NewExec(r.engine.Backend(), r.Model.Store, fn)
		if err != nil {
			return nil, err
		}
		r.execs[key] = exec.WithName(key)
	}
	return r.execs[key], nil
}

// batches calls fn with the rows of each batch, of equal length, and how many of them count: the last batch is filled up.
func (r *Responder) batches(ctx context.Context, n int, fn func(rows []int32, count int) error) error {
	size := min(r.options.Batch, n)
	for from := 0; from < n; from += size {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows := make([]int32, size)
		for i := range rows {
			rows[i] = int32(min(from+i, n-1))
		}
		if err := fn(rows, min(size, n-from)); err != nil {
			return err
		}
	}
	return nil
}

// Hidden returns what the network makes of images at a layer, [n, ...]: the images themselves at layer 0.
func (r *Responder) Hidden(ctx context.Context, images *tensors.Tensor, layer int) (*tensors.Tensor, error) {
	if err := r.CheckLayer(layer); err != nil {
		return nil, err
	}
	if layer == 0 {
		return images, nil
	}
	exec, err := r.exec(fmt.Sprintf("hidden %d", layer), hiddenGraph(r.Stages[:layer]))
	if err != nil {
		return nil, err
	}
	var all []float32
	var dims []int
	err = r.batches(ctx, images.Shape().Dimensions[0], func(rows []int32, count int) error {
		out, err := exec.Call(images, rows)
		if err != nil {
			return errors.WithMessagef(err, "scoring: layer %d of %s", layer, r.Model.Name)
		}
		dims = slices.Clone(out[0].Shape().Dimensions)
		values := tensors.MustCopyFlatData[float32](out[0])
		all = append(all, values[:len(values)/len(rows)*count]...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	dims[0] = images.Shape().Dimensions[0]
	return tensors.FromFlatDataAndDimensions(all, dims...), nil
}

// sweep measures the accuracy on perturbed hidden values at all magnitudes.
func (r *Responder) sweep(ctx context.Context, p Perturbation, layer int, hidden, noise *tensors.Tensor,
	labels, partners []int32) (Curve, error) {
	height, width := r.layout.Axes()
	exec, err := r.exec(fmt.Sprintf("%s at %d", p.Name(), layer), correctGraph(r.Stages[layer:], p, height, width))
	if err != nil {
		return Curve{}, err
	}
	values, err := hidden.OnDeviceClone(r.engine.Backend(), 0)
	if err != nil {
		return Curve{}, err
	}
	defer values.FinalizeAll()
	if noise == nil {
		noise = tensors.FromScalar(float32(0))
	}
	if noise, err = noise.OnDeviceClone(r.engine.Backend(), 0); err != nil {
		return Curve{}, err
	}
	defer noise.FinalizeAll()
	c := Curve{Magnitudes: slices.Clone(p.Magnitudes())}
	for _, magnitude := range c.Magnitudes {
		var right int64
		err := r.batches(ctx, len(labels), func(rows []int32, count int) error {
			wanted, mates := make([]int32, len(rows)), make([]int32, len(rows))
			for i, row := range rows {
				wanted[i], mates[i] = labels[row], partners[row]
			}
			out, err := exec.Call(values, noise, rows, mates, wanted, int32(count), float32(magnitude))
			if err != nil {
				return errors.WithMessagef(err, "scoring: %s at layer %d of %s", p.Name(), layer, r.Model.Name)
			}
			if tensors.ToScalar[int64](out[1]) > 0 {
				return errors.Errorf("scoring: %s at layer %d of %s: logits are not finite at magnitude %g", p.Name(), layer, r.Model.Name, magnitude)
			}
			right += tensors.ToScalar[int64](out[0])
			return nil
		})
		if err != nil {
			return Curve{}, err
		}
		c.Accuracies = append(c.Accuracies, float64(right)/float64(len(labels)))
	}
	return c, nil
}

// Perturb returns images as a perturbation leaves them at a magnitude, with the partners and the noise of Respond: to look at.
func (r *Responder) Perturb(ctx context.Context, d fit.Data, p Perturbation, magnitude float64) (*tensors.Tensor, error) {
	if err := r.check(d); err != nil {
		return nil, err
	}
	height, width := r.layout.Axes()
	if p.Needs().Pixels && !r.images {
		return nil, errors.Errorf("scoring: %s moves pixels: it needs images with height and width", p.Name())
	}
	partners, err := Partners(d.Labels, p.Needs().Partner, r.options.Seed)
	if err != nil {
		return nil, err
	}
	exec, err := r.exec(p.Name(), perturbGraph(p, height, width))
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	noise := normal(d.Images.Shape().Dimensions, r.layout.ChannelsFirst, r.options.Seed)
	out, err := exec.Call(d.Images, noise, partners, float32(magnitude))
	if err != nil {
		return nil, errors.WithMessagef(err, "scoring: %s", p.Name())
	}
	return out[0], nil
}

// Margins returns f_y - max over other classes of f, the logits' margin of each example, and the accuracy.
func (r *Responder) Margins(ctx context.Context, d fit.Data) (margins []float64, accuracy float64, err error) {
	if err := r.check(d); err != nil {
		return nil, 0, err
	}
	exec, err := r.exec("margins", marginGraph(r.Model))
	if err != nil {
		return nil, 0, err
	}
	right := 0
	err = r.batches(ctx, len(d.Labels), func(rows []int32, count int) error {
		out, err := exec.Call(d.Images, rows, nets.PickRows(d.Labels, 1, rows))
		if err != nil {
			return errors.WithMessagef(err, "scoring: margins of %s", r.Model.Name)
		}
		predicted := tensors.MustCopyFlatData[int32](out[1])
		for i, v := range tensors.MustCopyFlatData[float32](out[0])[:count] {
			if v != v || math.IsInf(float64(v), 0) {
				return errors.Errorf("scoring: logits of %s are not finite for example %d", r.Model.Name, rows[i])
			}
			margins = append(margins, float64(v))
			if predicted[i] == d.Labels[rows[i]] {
				right++
			}
		}
		return nil
	})
	return margins, float64(right) / float64(len(d.Labels)), err
}
