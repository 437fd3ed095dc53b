package robust

import (
	"context"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
)

// Access is what an attack asks of the model. Victim refuses anything beyond it.
type Access int

// From least to most.
const (
	Decisions Access = iota // the predicted class only
	Scores                  // logits
	Gradients               // gradients with respect to inputs or weights
)

// String names the access as papers do.
func (a Access) String() string {
	return [...]string{"decisions", "scores", "gradients"}[a]
}

// Problem is what an attack is given.
type Problem struct {
	Images *tensors.Tensor // clean inputs, float32 [n, InputShape...] inside the model's pixel bounds
	Goal   Goal
	Threat Threat
	// Starts are points from which searches that go from a success towards the clean image begin, one an example, shaped
	// and bounded as Images. nil: they find their own. Other attacks take no notice.
	Starts   *tensors.Tensor
	Seed     int64           // of every random choice
	Progress report.Progress // nil shows nothing
}

// Perturbation is what an attack answers.
type Perturbation struct {
	Images  *tensors.Tensor   // perturbed inputs, shaped as the clean ones; nil leaves them as they are
	Weights []*tensors.Tensor // perturbed weights in the order of nets.Model.Weights; nil leaves them as they are
	Stages  []Stage           // of an ensemble: what each member did, in their order
	Traces  []Trace           // of a search that keeps one: how it went on each example; nil for others
}

// Attack searches inside a threat for a perturbation that meets a goal. Implementations are plain structs whose zero
// fields mean documented defaults.
type Attack interface {
	// Name tells the method and every setting that matters, for tables: "pgd(steps=20, restarts=1)".
	Name() string
	// Access is the most that the attack asks of the model.
	Access() Access
	// Perturb runs the attack. Examples for which it finds nothing keep whatever it tried last, inside the threat.
	Perturb(ctx context.Context, v *Victim, p Problem) (*Perturbation, error)
}

// Fitted is implemented by attacks that ask for more than some models have, such as more target classes.
type Fitted interface {
	Attack
	// For returns the attack as it runs on the model, under a name that says so.
	For(m *nets.Model) Attack
}

// For returns the attack as it runs on the model: itself, unless it is Fitted.
func For(a Attack, m *nets.Model) Attack {
	if fitted, ok := a.(Fitted); ok {
		return fitted.For(m)
	}
	return a
}
