package watermark

import (
	"context"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/remote"
)

// Endpoint is a model that is asked for predictions and tells nothing else: here, behind HTTP, or a wrapper that hides what
// another says.
//
// Probabilities answers images float32 [n, ...], whose pixels may lie a little outside the bounds of images, with float32
// [n, classes]. An endpoint that tells labels alone gives 1 to the class and 0 to the others; one that tells the largest few
// gives 0 to the others, and does not scale the rest up: a row with zeros in it that sums to less than 1 is taken for such a
// one. Rows must not depend on each other.
//
// An endpoint may also have a method Name() string, which then belongs to what tells journals apart.
type Endpoint interface {
	Probabilities(ctx context.Context, x *tensors.Tensor) (*tensors.Tensor, error)
}

// modelEndpoint asks a model that is here.
type modelEndpoint struct {
	m     *nets.Model
	exec  *model.Exec
	batch int
	name  string
}

// ModelEndpoint is a model that is here, seen through its predictions alone; batch 0 means 128 images at a time. It must not
// be trained meanwhile.
func ModelEndpoint(e *engine.Engine, m *nets.Model, batch int) (Endpoint, error) {
	if batch < 0 {
		return nil, errors.Errorf("watermark: batch size %d: must be > 0", batch)
	}
	if batch == 0 {
		batch = 128
	}
	hash, err := weightsHash(m)
	if err != nil {
		return nil, errors.WithMessage(err, "watermark")
	}
	exec, err := model.NewExec(e.Backend(), m.Store, m.Logits)
	if err != nil {
		return nil, err
	}
	return &modelEndpoint{m, exec.WithName("endpoint"), batch, m.Name + " " + hash}, nil
}

// Name tells the weights, too.
func (p *modelEndpoint) Name() string { return p.name }

// Probabilities implements Endpoint.
func (p *modelEndpoint) Probabilities(_ context.Context, x *tensors.Tensor) (*tensors.Tensor, error) {
	dims := x.Shape().Dimensions
	if len(dims) == 0 || !slices.Equal(dims[1:], p.m.InputShape) {
		return nil, errors.Errorf("watermark: inputs have shape %v, %s takes %v", dims, p.m.Name, p.m.InputShape)
	}
	pixels, err := tensors.CopyFlatData[float32](x)
	if err != nil {
		return nil, err
	}
	n := dims[0]
	size := len(pixels) / n
	all := make([]float32, 0, n*p.m.Classes)
	for from := 0; from < n; from += p.batch {
		rows := min(p.batch, n-from)
		padded := make([]float32, p.batch*size)
		copy(padded, pixels[from*size:(from+rows)*size])
		out, err := p.exec.Call(tensors.FromFlatDataAndDimensions(padded, append([]int{p.batch}, dims[1:]...)...))
		if err != nil {
			return nil, errors.WithMessagef(err, "watermark: running %s", p.m.Name)
		}
		logits, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return nil, err
		}
		for row := range slices.Chunk(logits[:rows*p.m.Classes], p.m.Classes) {
			all = append(all, softmax(row)...)
		}
	}
	return tensors.FromFlatDataAndDimensions(all, n, p.m.Classes), nil
}

// softmax computes in float64 and rounds once.
func softmax(z []float32) []float32 {
	out, largest, sum := make([]float32, len(z)), float64(slices.Max(z)), 0.0
	for _, v := range z {
		sum += math.Exp(float64(v) - largest)
	}
	for i, v := range z {
		out[i] = float32(math.Exp(float64(v)-largest) / sum)
	}
	return out
}

// remoteEndpoint asks by HTTP.
type remoteEndpoint struct {
	c     *remote.Client
	shape []int
}

// RemoteEndpoint is a model behind HTTP: logits become probabilities, probabilities stay as they are told, and a label is 1 for
// its class. Shape is that of one example.
func RemoteEndpoint(c *remote.Client, shape []int) Endpoint {
	return &remoteEndpoint{c, slices.Clone(shape)}
}

// Name is the model's and where it is.
func (p *remoteEndpoint) Name() string { return p.c.Name() }

// Probabilities implements Endpoint.
func (p *remoteEndpoint) Probabilities(ctx context.Context, x *tensors.Tensor) (*tensors.Tensor, error) {
	dims := x.Shape().Dimensions
	if len(dims) == 0 || !slices.Equal(dims[1:], p.shape) {
		return nil, errors.Errorf("watermark: inputs have shape %v, %s takes %v", dims, p.c.Name(), p.shape)
	}
	pixels, err := tensors.CopyFlatData[float32](x)
	if err != nil {
		return nil, err
	}
	n := dims[0]
	logits, labels, err := p.c.Ask(ctx, pixels, n)
	if err != nil {
		return nil, err
	}
	classes := p.c.Classes()
	all := make([]float32, 0, n*classes)
	switch {
	case logits == nil:
		for i, y := range labels {
			row := make([]float32, classes)
			if y < 0 || int(y) >= classes {
				return nil, errors.Errorf("watermark: answer %d of %s is label %d, of %d classes", i, p.c.Name(), y, classes)
			}
			row[y] = 1
			all = append(all, row...)
		}
	case p.c.Answers() == remote.Probabilities:
		for _, z := range logits { // which are their logarithms
			v := math.Exp(float64(z))
			if v < 1e-37 {
				v = 0 // what the client lifted to have a logarithm
			}
			all = append(all, float32(v))
		}
	default:
		for row := range slices.Chunk(logits, classes) {
			all = append(all, softmax(row)...)
		}
	}
	return tensors.FromFlatDataAndDimensions(all, n, classes), nil
}
