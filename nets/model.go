package nets

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// Model is a classifier that can be trained, attacked and scored: weights, the graph that uses them, and what its
// inputs look like.
type Model struct {
	Network
	// Logits builds the graph from images [batch, InputShape...] to logits [batch, Classes]. It is called with the
	// root scope of Store (or of a clone of it), may be called several times in one graph, and panics on error as
	// GoMLX graph functions do.
	Logits func(scope *model.Scope, images *graph.Node) *graph.Node
	// Inspect builds the graph from images to what the network computes on its way, from input to logits: the output of
	// every block, and the attention weights of transformers; nil for networks that do not tell.
	Inspect func(scope *model.Scope, images *graph.Node) []Feature
	// InputShape is the shape of one example, without the batch axis; [height, width, channels] for the networks of
	// this package, whatever the file says for imported ones.
	InputShape []int
	// Lower and Upper are the smallest and largest legal pixel value.
	Lower, Upper float64
	// Classes is the number of logits.
	Classes int
	// Dense lists the dense layers at the end of the network, up to the logits; nil if there is none. Bounds that hold
	// for such layers read it.
	Dense []DenseLayer
	// Features builds the graph from images to the input [batch, values] of the first of Dense; nil if that is the images
	// themselves, flattened: a network that is nothing but dense layers.
	Features func(scope *model.Scope, images *graph.Node) *graph.Node
	// Body lists the stages before the dense layers, if the network is a chain of several there; read it through Stages.
	Body []Stage
	// GradientBatch is how many examples at a time input gradients take fastest on a CPU, or of a large network in about as
	// much memory as its weights and a gigabyte; 0: as many as there are.
	GradientBatch int
	// Notes say what a user should know, such as a softmax at the end of an imported network.
	Notes []string

	dropout float64 // rate after each hidden dense layer, in training
}

// DenseLayer names the variables of a dense layer: the path of its weight [inputs, outputs] and of its bias [outputs],
// "" if it has none; and the activation of its output.
type DenseLayer struct {
	Weight, Bias string
	Activation   Activation
}

// Clone returns a model with a copy of its whole store, so that one can be changed without the other.
func (m *Model) Clone() (*Model, error) {
	store, err := m.Store.Clone()
	if err != nil {
		return nil, errors.WithMessagef(err, "nets: cloning %s", m.Name)
	}
	c := *m
	c.Store = store
	return &c, nil
}

// ErrOutside tells pixels that the model's bounds do not allow from other bad images.
var ErrOutside = errors.New("outside the bounds")

// CheckImages reports images that the model cannot take: not float32 [n, InputShape...], none at all, NaN or infinite,
// or outside the pixel bounds by more than 1e-6 ([ErrOutside]). The error names the first bad value.
func (m *Model) CheckImages(images *tensors.Tensor) error {
	if images == nil {
		return errors.Errorf("nets: no images given: want float32 [n%s]", dims(m.InputShape))
	}
	shape := images.Shape()
	if shape.DType != dtypes.Float32 || shape.Rank() != len(m.InputShape)+1 || !slices.Equal(shape.Dimensions[1:], m.InputShape) {
		return errors.Errorf("nets: images have shape %s: %s wants float32 [n%s]", shape, m.Name, dims(m.InputShape))
	}
	if shape.Dimensions[0] == 0 {
		return errors.Errorf("nets: no images given: %s wants at least one", m.Name)
	}
	size := shape.Size() / shape.Dimensions[0]
	low, high := float32(m.Lower-1e-6), float32(m.Upper+1e-6)
	var bad error
	err := tensors.ConstFlatData(images, func(values []float32) {
		for i, v := range values {
			if v >= low && v <= high {
				continue
			}
			if v != v || v-v != 0 {
				bad = errors.Errorf("nets: image value %g at [%d,%d] is not finite", v, i/size, i%size)
			} else {
				bad = fmt.Errorf("nets: image value %g at [%d,%d] is %w [%g, %g]", v, i/size, i%size, ErrOutside, m.Lower, m.Upper)
			}
			return
		}
	})
	if err != nil {
		return err
	}
	return bad
}

// CheckLabels reports the first label that is not a class of the model.
func (m *Model) CheckLabels(labels []int32) error {
	for i, y := range labels {
		if y < 0 || int(y) >= m.Classes {
			return errors.Errorf("nets: label %d at row %d: the network has %d classes, so labels are 0 to %d", y, i, m.Classes, m.Classes-1)
		}
	}
	return nil
}

func dims(shape []int) string {
	s := ""
	for _, d := range shape {
		s += ", " + strconv.Itoa(d)
	}
	return s
}

// CopyWeights gives m the weights and state of another model of the same architecture. Compiled graphs of m go on
// working, with the new weights.
func (m *Model) CopyWeights(from *Model) error { return m.Network.CopyWeights(&from.Network) }
