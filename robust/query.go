package robust

import (
	"context"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// Remote is a model that is elsewhere: it answers questions about images, and no graph can hold it. remote.Client is one,
// over HTTP; a program, a device or a person's eyes may be another.
type Remote interface {
	Name() string    // for tables
	Notes() []string // what a user should know
	Classes() int    // how many there are
	Scores() bool    // whether it answers scores; else decisions only
	// Ask answers n examples whose pixels stand one after the other: the predicted class of each, below Classes, and,
	// if Scores, logits [n, Classes], finite. It may be called for as many as there are.
	Ask(ctx context.Context, pixels []float32, n int) (logits []float32, classes []int32, err error)
}

// NewRemoteVictim wraps a model that is elsewhere. Examples have the given shape and pixels from lower to upper. Attacks
// ask it by Victim.Query, for up to batch examples at once (0: 128); what they compute themselves runs on the engine. Those
// that need more than it answers are refused.
func NewRemoteVictim(e *engine.Engine, r Remote, shape []int, lower, upper float64, batch int) (*Victim, error) {
	if r == nil {
		return nil, errors.New("robust: NewRemoteVictim needs a model to ask")
	}
	m, err := nets.NewModel(shape, lower, upper)
	if err != nil {
		return nil, err
	}
	m.Name, m.Notes, m.Classes = r.Name(), r.Notes(), r.Classes()
	v, err := NewVictim(e, m, batch)
	if err != nil {
		return nil, err
	}
	v.remote = r
	return v, nil
}

// Gives is the most that attacks can have of the model.
func (v *Victim) Gives() Access {
	switch {
	case v.remote == nil:
		return Gradients
	case v.remote.Scores():
		return Scores
	}
	return Decisions
}

// Elsewhere reports whether the model is remote: then no step can hold it, and Query is the only way to ask it.
func (v *Victim) Elsewhere() bool { return v.remote != nil }

// allows refuses an attack that needs more than the model gives.
func (v *Victim) allows(a Attack) error {
	if gives := v.Gives(); a.Access() > gives {
		return errors.Errorf("robust: %s needs %s, but %s gives %s only", a.Name(), a.Access(), v.Model.Name, gives)
	}
	return nil
}

// Answers are what a model says of some images.
type Answers struct {
	Classes []int32   // predicted, one an image
	Logits  []float32 // [images, classes]; nil for attacks with access to decisions only
}

// Query asks the model, here or elsewhere, about images whose pixels stand one after the other, from outside of any graph.
// Each is one forward pass, booked on its example; rows tells whose it is, and may name an example many times. Any number
// may be asked at once: few calls with many images are fast.
func (v *Victim) Query(ctx context.Context, rows []int, pixels []float32) (*Answers, error) {
	if size := v.exampleSize(); len(pixels) != len(rows)*size {
		return nil, errors.Errorf("robust: %d pixels for %d images of %d", len(pixels), len(rows), size)
	}
	if len(rows) == 0 {
		return &Answers{}, ctx.Err()
	}
	if v.remote == nil {
		return v.queryHere(ctx, rows, pixels)
	}
	if err := v.booked(rows); err != nil {
		return nil, err
	}
	found, err := v.askRemote(ctx, pixels, len(rows))
	if err != nil {
		return nil, err
	}
	v.book(rows, 1, 0)
	if v.access < Scores {
		found.Logits = nil
	}
	return found, nil
}

// queryHere runs a step on batches, the last of them padded.
func (v *Victim) queryHere(ctx context.Context, rows []int, pixels []float32) (*Answers, error) {
	scores := v.access >= Scores
	step, err := v.Compile(fmt.Sprintf("query/scores=%t", scores), func(o *Oracle, args []*Node) []*Node {
		if !scores {
			return []*Node{o.Predict(args[0])}
		}
		logits := o.Logits(args[0])
		return []*Node{ArgMax(logits, -1, dtypes.Int32), logits}
	})
	if err != nil {
		return nil, err
	}
	found, done := &Answers{}, 0
	for chosen := range v.Batches(Rows(len(rows))) {
		images, err := v.question(pixels[done*v.exampleSize():], len(chosen))
		if err != nil {
			return nil, err
		}
		out, err := step.Call(ctx, rows[done:done+len(chosen)], images)
		if err != nil {
			return nil, err
		}
		classes, err := tensors.CopyFlatData[int32](out[0])
		if err != nil {
			return nil, err
		}
		found.Classes = append(found.Classes, classes[:len(chosen)]...)
		if scores {
			logits, err := tensors.CopyFlatData[float32](out[1])
			if err != nil {
				return nil, err
			}
			found.Logits = append(found.Logits, logits[:len(chosen)*v.Model.Classes]...)
		}
		done += len(chosen)
	}
	return found, nil
}

// question returns a batch that begins with the first n images of pixels, in memory that the next question uses again: what
// follows them was asked before.
func (v *Victim) question(pixels []float32, n int) (*tensors.Tensor, error) {
	if v.asked == nil || v.asked.Shape().Dimensions[0] != v.Batch {
		shape := shapes.Make(dtypes.Float32, append([]int{v.Batch}, v.Model.InputShape...)...)
		asked, err := tensors.FromShapeForBackend(v.Engine.Backend(), 0, shape)
		if err != nil {
			return nil, err
		}
		v.asked = asked
	}
	err := tensors.MutableFlatData(v.asked, func(flat []float32) { copy(flat, pixels[:n*v.exampleSize()]) })
	return v.asked, err
}

// askRemote asks and checks that the answers are as many as the questions.
func (v *Victim) askRemote(ctx context.Context, pixels []float32, n int) (*Answers, error) {
	logits, classes, err := v.remote.Ask(ctx, pixels, n)
	if err != nil {
		return nil, err
	}
	scores := v.remote.Scores()
	if want := n * v.Model.Classes; len(classes) != n || scores && len(logits) != want {
		return nil, errors.Errorf("robust: %s answered %d classes and %d scores for %d images of %d classes",
			v.Model.Name, len(classes), len(logits), n, v.Model.Classes)
	}
	return &Answers{Classes: classes, Logits: logits}, nil
}

// predictRemote is Predictions of a model elsewhere.
func (v *Victim) predictRemote(ctx context.Context, images *tensors.Tensor, weights []*tensors.Tensor) ([]int32, error) {
	if weights != nil {
		return nil, errors.Errorf("robust: %s is elsewhere, and its weights cannot be replaced", v.Model.Name)
	}
	pixels, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	n := images.Shape().Dimensions[0]
	found, err := v.askRemote(ctx, pixels, n)
	if err != nil {
		return nil, err
	}
	v.refereed += int64(n)
	return found.Classes, nil
}

// booked reports rows that no query can be booked on while an attack is evaluated.
func (v *Victim) booked(rows []int) error {
	if !v.attacked {
		return nil
	}
	if len(rows) == 0 {
		return errors.New("robust: a step that asks the model was called for no example: its queries must be booked")
	}
	for _, r := range rows {
		if r < 0 || r >= len(v.forwards) {
			return errors.Errorf("robust: a step was called for example %d of %d: its queries must be booked", r, len(v.forwards))
		}
	}
	return nil
}

// book counts the passes of one call on each of the rows.
func (v *Victim) book(rows []int, forwards, backwards int64) {
	if !v.attacked {
		return
	}
	for _, r := range rows {
		v.forwards[r] += forwards
		v.backwards[r] += backwards
	}
}
