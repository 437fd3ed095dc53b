package uae

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// Objective is what an example must not get worse at: f(clean, adversarial) <= 0, one number an example.
type Objective struct {
	name  string
	model *nets.Model
	// similar: supervised, where the example is to share as much as it can with the original, and not as little.
	similar bool
	// random: every evaluation draws anew, so that the loss of the clean image cannot be kept.
	random bool
	goal   robust.Goal
}

// Name tells what it is and of which network: "reconstruction(conv autoencoder)".
func (o *Objective) Name() string { return o.name }

// Model is the network that it asks.
func (o *Objective) Model() *nets.Model { return o.model }

// Supervised tells whether examples are to fool a classifier, and to share as much as they can with the original.
func (o *Objective) Supervised() bool { return o.similar }

// Augment builds random views of images [n, InputShape...], shaped alike. Random numbers come from the scope
// (scope.RandomUniform and such), so that the views of two sets of images under the same state are the same.
type Augment func(scope *model.Scope, images *Node) *Node

// Reconstruction is ‖x - Φ(x̃)‖² - ‖x - Φ(x)‖² in sums over pixels, x being the clean image in both terms. It refuses networks whose
// output has not the shape of their input.
func Reconstruction(m *nets.Model) (*Objective, error) { return nil, errUnbuilt }

// Contrastive is the difference of the contrastive loss (nets.NTXent) of copies pairs of views of x̃ and that of x, by a network that
// embeds images. Both see the same views, drawn anew at each evaluation.
func Contrastive(m *nets.Model, copies int, temperature float64, augment Augment) (*Objective, error) {
	return nil, errUnbuilt
}

// Margin is, of a classifier, z_t - max_{j≠t} z_j + kappa on logits, t the label, or with targets max_{j≠t} z_j - z_t + kappa, t the
// target. A goal of neither means the network's own predictions.
func Margin(m *nets.Model, goal robust.Goal, kappa float64) (*Objective, error) {
	return nil, errUnbuilt
}
