package uae

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// Objective is what an example must not get worse at: f(clean, adversarial) <= 0, one number an example.
type Objective struct {
	name  string
	model *nets.Model
	// loss builds ℓ of each image [batch], given the clean ones. f is that of x̃ less that of x, or the loss itself if absolute.
	loss     func(scope *model.Scope, in asked) *Node
	absolute bool        // and so supervised: the example is to share as much as it can with the original
	drawn    bool        // every evaluation draws anew, so that the loss of the clean image cannot be kept
	goal     robust.Goal // of absolute ones
}

// asked is what a loss is of.
type asked struct {
	clean, images *Node // [batch, InputShape...]
	classes       *Node // int32 [batch]
	state         *Node // uint64 [3]: of random numbers
}

// Name tells what it is and of which network.
func (o *Objective) Name() string { return fmt.Sprintf("%s of %s", o.name, o.model.Name) }

// Model is the network that it asks.
func (o *Objective) Model() *nets.Model { return o.model }

// Supervised tells whether examples are to fool a classifier, and to share as much as they can with the original.
func (o *Objective) Supervised() bool { return o.absolute }

// violation builds f [batch], given the loss of the clean images where that is kept.
func (o *Objective) violation(scope *model.Scope, in asked, kept *Node) (f *Node) {
	nets.Evaluating(scope, in.images.Graph(), func() {
		f = o.loss(scope, in)
		switch {
		case o.absolute:
		case kept != nil:
			f = Sub(f, kept)
		default:
			in.images = in.clean
			f = Sub(f, o.loss(scope, in))
		}
	})
	return f
}

// Loss is an objective of the user's own: the loss of x̃ less that of x. loss builds that of each image, [batch], given the clean
// images, by the model's graph; it must be differentiable and draw nothing at random.
func Loss(name string, m *nets.Model, loss func(scope *model.Scope, clean, images *Node) *Node) (*Objective, error) {
	if m == nil || loss == nil {
		return nil, errors.New("uae: Loss needs a model and a loss")
	}
	return &Objective{name: name, model: m, loss: func(scope *model.Scope, in asked) *Node { return loss(scope, in.clean, in.images) }}, nil
}

// Reconstruction is ‖x - Φ(x̃)‖² - ‖x - Φ(x)‖² in sums over pixels, x being the clean image in both terms. It refuses networks whose
// output has not the shape of their input.
func Reconstruction(m *nets.Model) (*Objective, error) {
	if m == nil {
		return nil, errors.New("reconstruction: no model given: want one from images to images")
	}
	shape, err := outputOf(m, m.Logits)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(shape[1:], m.InputShape) {
		return nil, errors.Errorf("reconstruction: output %s does not match input %s", dims(shape), dims(append(shape[:1:1], m.InputShape...)))
	}
	return Loss("reconstruction", m, func(scope *model.Scope, clean, images *Node) *Node {
		return squares(Sub(clean, m.Logits(scope, images)))
	})
}

// squares builds the sum of squares of each example, [batch].
func squares(x *Node) *Node { return ReduceSum(Square(rows(x)), -1) }

func rows(x *Node) *Node { return Reshape(x, x.Shape().Dimensions[0], -1) }

// Augment builds random views of images [n, InputShape...], shaped alike, each image in its own way. Random numbers come from the
// scope (scope.RandomUniform and such) alone, so that the views of two sets of images under the same state are the same.
type Augment func(scope *model.Scope, images *Node) *Node

// Contrastive is the difference of the contrastive loss (nets.NTXent) of copies pairs of views of x̃ and that of x, by a network that
// embeds images as [batch, values]. Both see the same views, drawn anew at each evaluation, for all images of a batch together.
func Contrastive(m *nets.Model, copies int, temperature float64, augment Augment) (*Objective, error) {
	switch {
	case m == nil || augment == nil:
		return nil, errors.New("uae: Contrastive needs a model and an augmentation")
	case copies < 2:
		return nil, errors.Errorf("uae: Contrastive with %d copies: want at least 2, which are told apart", copies)
	case !(temperature > 0) || math.IsInf(temperature, 1):
		return nil, errors.Errorf("uae: Contrastive with temperature %g: must be finite and > 0", temperature)
	}
	loss := func(scope *model.Scope, in asked) *Node {
		batch := in.images.Shape().Dimensions[0]
		many := BroadcastToDims(InsertAxes(in.images, 1), append([]int{batch, 2 * copies}, m.InputShape...)...)
		withState(scope, in.state, func() { many = augment(scope, Reshape(many, append([]int{batch * 2 * copies}, m.InputShape...)...)) })
		return nets.NTXent(Reshape(m.Logits(scope, many), batch, 2*copies, -1), temperature)
	}
	return &Objective{name: fmt.Sprintf("contrast of %d copies", copies), model: m, loss: loss, drawn: true}, nil
}

// withState builds fn with random numbers that the scope draws from the given state, and leaves none behind.
func withState(scope *model.Scope, state *Node, fn func()) {
	path := "/" + model.RNGStateVariableName
	v := scope.Store().GetVariable(path)
	if v == nil {
		if err := scope.Store().SetRNGStateFromSeed(0); err != nil {
			exceptions.Panicf("uae: %v", err)
		}
		v = scope.Store().GetVariable(path)
	}
	before := v.NodeValue(state.Graph())
	v.SetNodeValue(state)
	defer v.SetNodeValue(before)
	fn()
}

// Margin is, of a classifier, z_t - max_{j≠t} z_j + kappa on logits, t the label, or with targets max_{j≠t} z_j - z_t + kappa, t the
// target: at most 0 where the classifier is fooled, by at least kappa.
func Margin(m *nets.Model, goal robust.Goal, kappa float64) (*Objective, error) {
	switch {
	case m == nil:
		return nil, errors.New("uae: Margin needs a model")
	case !(kappa >= 0) || math.IsInf(kappa, 1):
		return nil, errors.Errorf("uae: Margin with kappa %g: must be finite and >= 0", kappa)
	case m.Classes < 2:
		return nil, errors.Errorf("uae: Margin of a network with %d classes: want at least 2", m.Classes)
	case goal.Classes() == nil:
		return nil, errors.New("uae: Margin without labels or targets: give the network's own predictions for a label-free goal")
	}
	if err := goal.Validate(len(goal.Classes()), m); err != nil {
		return nil, errors.WithMessage(err, "uae")
	}
	loss := func(scope *model.Scope, in asked) *Node {
		return AddScalar(Neg(robust.Margin.Graph(m.Logits(scope, in.images), in.classes, goal.Targeted())), kappa)
	}
	return &Objective{name: "margin", model: m, loss: loss, absolute: true, goal: goal}, nil
}

// shapeBatch is the batch of graphs that are built to see what shapes come out.
const shapeBatch = 8

func dims(shape []int) string { return strings.ReplaceAll(fmt.Sprint(shape), " ", ",") }

// outputOf returns the dimensions of what a graph function of the model makes of a batch of images.
func outputOf(m *nets.Model, fn func(scope *model.Scope, x *Node) *Node) (shape []int, err error) {
	err = exceptions.TryCatch[error](func() {
		g := NewGraph(gobackend.GetBackend(), "shape")
		defer g.Finalize()
		x := Parameter(g, "images", shapes.Make(dtypes.Float32, append([]int{shapeBatch}, m.InputShape...)...))
		shape = slices.Clone(fn(m.Store.RootScope(), x).Shape().Dimensions)
	})
	if err != nil {
		return nil, errors.Errorf("uae: %s takes no images of shape %v: %v", m.Name, m.InputShape, err)
	}
	if len(shape) < 1 || shape[0] != shapeBatch {
		return nil, errors.Errorf("uae: %s puts out %v for %d images: want one entry an image", m.Name, shape, shapeBatch)
	}
	return shape, nil
}
