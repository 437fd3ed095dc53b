package removal

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Removal is an attack on a network that may carry a watermark.
type Removal interface {
	// Name tells the attack with its settings.
	Name() string
	// Apply returns a network that is another, and leaves m as it was. data is what the thief has: images float32
	// [n, InputShape...] with labels; attacks whose comment says so need no labels, or no data at all. Attacks that train
	// resume and repeat as fit.TrainOrLoad does, in the folder of o. Equal settings, networks and data give equal networks.
	Apply(ctx context.Context, e *engine.Engine, m *nets.Model, data fit.Data, o fit.Options) (*nets.Model, error)
}

// Training says how an attack trains: by Adam, all weights, with a rate that stays.
type Training struct {
	Rate   float64 // zero: 1e-3
	Epochs int     // zero: 10, of adversarial fine-tuning and the gradient penalty 5
	Batch  int     // zero: 64, or as many as there are
	Seed   int64   // of the order of the examples
}

// text tells what is not as usual, and rate and epochs in any case.
func (t Training) text(epochs int) string {
	text := fmt.Sprintf("rate %g, %d epochs", cmp.Or(t.Rate, 1e-3), cmp.Or(t.Epochs, epochs))
	if t.Batch != 0 {
		text += fmt.Sprintf(", batch %d", t.Batch)
	}
	if t.Seed != 0 {
		text += fmt.Sprintf(", seed %d", t.Seed)
	}
	return text
}

// config is the same for fit, for so many examples.
func (t Training) config(loss fit.Loss, epochs, examples int) fit.Config {
	return fit.Config{Phases: []fit.Phase{{Epochs: cmp.Or(t.Epochs, epochs), Loss: loss}}, LearningRate: cmp.Or(t.Rate, 1e-3),
		BatchSize: cmp.Or(t.Batch, min(64, examples)), Seed: t.Seed}
}

// train trains m in place.
func (t Training) train(ctx context.Context, e *engine.Engine, m *nets.Model, data fit.Data, loss fit.Loss, epochs int,
	o fit.Options) error {
	_, err := fit.TrainOrLoad(ctx, e, m, data, t.config(loss, epochs, len(data.Labels)), o)
	return err
}

// attempt copies m and lets change change the copy.
func attempt(ctx context.Context, r Removal, m *nets.Model, o fit.Options,
	change func(c *nets.Model, o fit.Options) error) (*nets.Model, error) {
	if m == nil {
		return nil, errors.Errorf("removal: %s: no network given", r.Name())
	}
	err := ctx.Err()
	var c *nets.Model
	if err == nil {
		c, err = m.Clone()
	}
	if err == nil {
		o.Label = cmp.Or(o.Label, r.Name())
		err = change(c, o)
	}
	if err != nil {
		if c != nil {
			c.Store.Finalize()
		}
		return nil, errors.WithMessagef(err, "removal: %s of %s", r.Name(), m.Name)
	}
	return c, nil
}

// checkMatrices reports a network without weights of two axes or more.
func checkMatrices(m *nets.Model) error {
	for _, w := range m.Weights() {
		if w.Shape().Rank() > 1 {
			return nil
		}
	}
	return errors.New("the network has no weight matrices or kernels")
}

// edit lets change change the values of a weight.
func edit(w *model.Variable, change func(values []float32)) error {
	value, err := w.Value()
	if err != nil {
		return errors.WithMessagef(err, "weight %s", w.Path())
	}
	values, err := tensors.CopyFlatData[float32](value)
	if err != nil {
		return errors.WithMessagef(err, "weight %s", w.Path())
	}
	change(values)
	return w.SetValue(tensors.FromFlatDataAndDimensions(values, w.Shape().Dimensions...))
}

// checkShare reports a share that is none.
func checkShare(share float64) error {
	if !(share >= 0 && share < 1) {
		return errors.Errorf("share %g: want 0 to below 1", share)
	}
	return nil
}

// join puts the parts of a name together.
func join(name string, settings ...string) string {
	return name + " (" + strings.Join(settings, ", ") + ")"
}
