package nets

import (
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// Predictor runs a model on any number of images in batches of one size: compiled once, run many. It reads the model's
// weights anew at each call.
type Predictor struct {
	m *Model
	batched
}

// NewPredictor compiles nothing yet; batch 0 means 128.
func NewPredictor(backend compute.Backend, m *Model, batch int) (*Predictor, error) {
	return newPredictor(backend, m, batch, m.Logits)
}

func newPredictor(backend compute.Backend, m *Model, batch int, run func(*model.Scope, *graph.Node) *graph.Node) (*Predictor, error) {
	b, err := newBatched(backend, &m.Network, m.InputShape, batch, run)
	return &Predictor{m, b}, err
}

// Logits returns [n][classes] for images [n, InputShape...].
func (p *Predictor) Logits(images *tensors.Tensor) ([][]float32, error) { return p.run(images) }

// Activations runs a model up to one of its layers, in batches of one size.
type Activations struct{ p Predictor }

// NewActivations is of a layer of a model: layer l is what Stages()[l-1] puts out, from 1 to their number. Batch 0 means 128.
func NewActivations(backend compute.Backend, m *Model, layer, batch int) (*Activations, error) {
	stages := m.Stages()
	if layer < 1 || layer > len(stages) {
		return nil, errors.Errorf("nets: layer %d: %s has layers 1 to %d", layer, m.Name, len(stages))
	}
	p, err := newPredictor(backend, m, batch, chain(stages[:layer]))
	if err != nil {
		return nil, err
	}
	return &Activations{*p}, nil
}

// Of returns the activations for images [n, InputShape...], those of one image in a row: [n][nodes].
func (a *Activations) Of(images *tensors.Tensor) ([][]float32, error) { return a.p.run(images) }

// run returns what the graph makes of each image, in a row.
func (p *Predictor) run(images *tensors.Tensor) ([][]float32, error) {
	if err := p.m.CheckImages(images); err != nil {
		return nil, err
	}
	flat, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	return p.rows(flat)
}

// Runner runs any graph of a network on examples, in batches of one size.
type Runner struct{ batched }

// NewRunner is for examples of a shape; run takes [batch, shape...], and what it makes of one example depends on no other. It
// reads the weights anew at each call. Batch 0 means 128.
func NewRunner(backend compute.Backend, n *Network, shape []int, batch int,
	run func(*model.Scope, *graph.Node) *graph.Node) (*Runner, error) {
	b, err := newBatched(backend, n, shape, batch, run)
	return &Runner{b}, err
}

// Of returns what the graph makes of each example, in a row, of examples one behind the other.
func (r *Runner) Of(examples []float32) ([][]float32, error) {
	if size := product(r.shape); len(examples)%size != 0 {
		return nil, errors.Errorf("nets: %s: %d values, want a multiple of %d, those of an example of %v", r.name, len(examples), size, r.shape)
	}
	return r.rows(examples)
}

// batched runs a graph on examples in batches of one size.
type batched struct {
	name  string
	shape []int // of one example
	exec  *model.Exec
	batch int
}

// newBatched compiles nothing yet; batch 0 means 128.
func newBatched(backend compute.Backend, n *Network, shape []int, batch int,
	run func(*model.Scope, *graph.Node) *graph.Node) (batched, error) {
	if batch < 0 {
		return batched{}, errors.Errorf("nets: batch size %d: must be > 0", batch)
	}
	if batch == 0 {
		batch = 128
	}
	exec, err := model.NewExec(backend, n.Store, run)
	return batched{n.Name, shape, exec, batch}, errors.WithMessagef(err, "nets: predictor of %s", n.Name)
}

// rows returns what the graph makes of each example, in a row.
func (b batched) rows(flat []float32) ([][]float32, error) {
	size := product(b.shape)
	n := len(flat) / size
	all := make([][]float32, 0, n)
	for from := 0; from < n; from += b.batch {
		rows := min(b.batch, n-from)
		padded := make([]float32, b.batch*size)
		copy(padded, flat[from*size:(from+rows)*size])
		out, err := b.exec.Call(tensors.FromFlatDataAndDimensions(padded, append([]int{b.batch}, b.shape...)...))
		if err != nil {
			return nil, errors.WithMessagef(err, "nets: running %s", b.name)
		}
		values, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return nil, err
		}
		width := len(values) / b.batch
		all = slices.AppendSeq(all, slices.Chunk(values[:rows*width], width))
	}
	return all, nil
}

// Classes returns the class with the largest logit of each image, the first of equal ones. A logit that is NaN or
// infinite is an error.
func (p *Predictor) Classes(images *tensors.Tensor) ([]int32, error) {
	logits, err := p.Logits(images)
	if err != nil {
		return nil, err
	}
	classes := make([]int32, len(logits))
	for i, row := range logits {
		for j, z := range row {
			if z-z != 0 {
				return nil, errors.Errorf("nets: logit %d of image %d is %g, not finite: %s has bad weights; was its training stable?",
					j, i, z, p.m.Name)
			}
			if z > row[classes[i]] {
				classes[i] = int32(j)
			}
		}
	}
	return classes, nil
}

// Accuracy is the share of images [n, InputShape...] whose predicted class is the label.
func (p *Predictor) Accuracy(images *tensors.Tensor, labels []int32) (float64, error) {
	if err := p.m.CheckLabels(labels); err != nil {
		return 0, err
	}
	classes, err := p.Classes(images)
	if err != nil {
		return 0, err
	}
	if len(labels) != len(classes) {
		return 0, errors.Errorf("nets: %d labels for %d images", len(labels), len(classes))
	}
	right := 0
	for i, c := range classes {
		if c == labels[i] {
			right++
		}
	}
	return float64(right) / float64(len(labels)), nil
}
