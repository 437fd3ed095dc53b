package fit

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// Update is one way to change weights: a loss, the networks whose weights descend it, and by what rule. Weights of other
// networks that the loss reads stay as they are.
type Update struct {
	Name   string // tells the loss with its every parameter, since names decide what counts as the same training
	Trains []*nets.Network
	Rule   Rule
	Times  int // in each step; zero: 1
	// Loss builds a scalar from the inputs that Batch returned. Networks and random numbers must come from scope, the root
	// of a copy of the store: what a step draws is saved in checkpoints. Panics on error.
	Loss func(scope *model.Scope, g *Graph, batch []*Node) *Node
	// Batch returns the inputs of the i-th time that this update is made, counted from 0: a function of i alone. nil: none.
	Batch func(i int) ([]any, error)
}

// Alternation trains networks that share a store, by updates in turn: a generator against its discriminator, an encoder
// and what reads it, or a single network that is no classifier.
//
//	gan := fit.Alternation{Name: "GAN", Key: "ring of 8", Store: store, Steps: 2000, Updates: []fit.Update{
//		{Name: "judge", Trains: []*nets.Network{judge}, Times: 2, Loss: judgeLoss, Batch: real},
//		{Name: "make", Trains: []*nets.Network{maker}, Loss: makerLoss}}}
//	losses, err := gan.Train(ctx, eng, fit.Options{Dir: dir})
type Alternation struct {
	Name    string // for progress and errors
	Key     string // tells what losses and batches depend on and names do not, such as the data
	Store   *model.Store
	Updates []Update // one step makes all of them, in this order
	Steps   int
	Seed    int64 // of random numbers in losses
	Every   int   // so many steps make an entry of Losses; zero: a hundredth of Steps, at least 1
}

// Losses are the mean losses of each update by its name, one entry every [Alternation].Every steps.
type Losses map[string][]float64

// Train trains the networks in place, or loads what the same training gave before: the same updates, initial values in the
// store, steps, seed, Key and backend. What [Loop.Run] says of checkpoints holds; a loss that is not finite ends the
// training with an error that names update and step. After an error the store is as it came.
func (a Alternation) Train(ctx context.Context, e *engine.Engine, o Options) (Losses, error) {
	if err := a.validate(); err != nil {
		return nil, errors.WithMessagef(err, "fit: %s", a.Name)
	}
	a = a.withDefaults()
	key, err := a.key(e)
	if err != nil {
		return nil, errors.WithMessagef(err, "fit: %s", a.Name)
	}
	r := &alternating{a: a, losses: Losses{}}
	if r.store, err = a.Store.Clone(); err != nil {
		return nil, errors.WithMessagef(err, "fit: %s", a.Name)
	}
	defer r.close()
	if err := r.begin(e); err != nil {
		return nil, errors.WithMessagef(err, "fit: %s", a.Name)
	}
	r.loop = &Loop{Kind: "fit", Name: a.Name, Key: key, Stretches: []Stretch{{Steps: a.Steps}},
		State: InStore(r.store), Notes: &r.losses, Step: r.step, Check: r.check}
	o.Label = cmp.Or(o.Label, "train "+a.Name)
	if err := r.loop.Run(ctx, o); err != nil {
		return nil, err
	}
	return r.losses, errors.WithMessagef(deliver(r.store, a.Store), "fit: %s", a.Name)
}

func (a Alternation) withDefaults() Alternation {
	a.Every = cmp.Or(a.Every, max(1, a.Steps/100))
	a.Updates = slices.Clone(a.Updates)
	for i := range a.Updates {
		u := &a.Updates[i]
		u.Rule, u.Times = u.Rule.withDefaults(), cmp.Or(u.Times, 1)
	}
	return a
}

// validate reports what cannot work.
func (a Alternation) validate() error {
	if a.Store == nil || len(a.Updates) == 0 {
		return errors.New("no store or no updates: an alternation needs both")
	}
	if a.Steps < 1 || a.Every < 0 {
		return errors.Errorf("Steps = %d, Every = %d: must be at least 1, and at least 0", a.Steps, a.Every)
	}
	names := map[string]bool{}
	for _, u := range a.Updates {
		if u.Name == "" || names[u.Name] || u.Loss == nil {
			return errors.Errorf("update %q: each needs a loss and a name of its own", u.Name)
		}
		names[u.Name] = true
		if u.Times < 0 {
			return errors.Errorf("update %s: Times = %d: must be at least 1", u.Name, u.Times)
		}
		if err := u.Rule.validate(); err != nil {
			return errors.WithMessagef(err, "update %s", u.Name)
		}
		if len(u.paths()) == 0 {
			return errors.Errorf("update %s trains nothing: give it a network that has weights", u.Name)
		}
		for _, path := range u.paths() {
			if v := a.Store.GetVariable(path); v == nil || !v.HasValue() {
				return errors.Errorf("update %s: weight %s is not in the store", u.Name, path)
			}
		}
	}
	return nil
}

// paths are those of the weights that the update trains.
func (u Update) paths() (all []string) {
	for _, n := range u.Trains {
		all = append(all, n.WeightPaths...)
	}
	return all
}

// key expects the defaults to be filled in.
func (a Alternation) key(e *engine.Engine) (string, error) {
	parts := []any{"alternation 1", a.Name, a.Key, e.Name(), a.Steps, a.Seed, a.Every}
	for _, u := range a.Updates {
		parts = append(parts, u.Name, u.paths(), u.Rule, u.Times)
	}
	sums, err := storeSums(a.Store)
	return Hash(append(parts, sums)...), err
}

// alternating is an alternation on its way. It works on a copy of the store, so that the networks change only when all
// is well.
type alternating struct {
	a      Alternation
	store  *model.Store
	loop   *Loop
	execs  []*model.Exec // one an update
	losses Losses
}

func (r *alternating) close() {
	for _, exec := range r.execs {
		exec.Finalize()
	}
	r.store.Finalize()
}

// path is where what an update adds to the store is kept.
func (r *alternating) path(update int) string { return fmt.Sprintf("%s/%d", fitPath, update) }

// begin makes the store ready for the first step.
func (r *alternating) begin(e *engine.Engine) error {
	if err := r.store.SetRNGStateFromSeed(r.a.Seed); err != nil {
		return err
	}
	for v := range r.store.IterVariables() {
		v.SetTrainable(false)
	}
	for i, u := range r.a.Updates {
		var weights []*model.Variable
		for _, path := range u.paths() {
			weights = append(weights, r.store.GetVariable(path).SetTrainable(true))
		}
		if err := u.Rule.Begin(r.store.Scope(r.path(i)), weights); err != nil {
			return err
		}
		if err := tally(r.path(i)).reset(r.store); err != nil {
			return err
		}
		// The first input is there for losses that have none: a graph needs one.
		exec, err := model.NewExec(e.Backend(), r.store, func(scope *model.Scope, inputs []*Node) {
			g := inputs[0].Graph()
			descend(r.store, g, u.Name, r.path(i), u.paths(), u.Rule, r.a.Steps*u.Times, func() *Node {
				return u.Loss(scope, g, inputs[1:])
			})
		})
		if err != nil {
			return err
		}
		r.execs = append(r.execs, exec.WithName(u.Name))
	}
	return nil
}

// step makes each update once or several times, and an entry of the losses where one is due.
func (r *alternating) step(_ context.Context, i int) error {
	for k, u := range r.a.Updates {
		for time := range u.Times {
			inputs := []any{int32(0)}
			if u.Batch != nil {
				batch, err := u.Batch(i*u.Times + time)
				if err != nil {
					return errors.WithMessagef(err, "batch of %s at step %d", u.Name, i+1)
				}
				inputs = append(inputs, batch...)
			}
			if _, err := r.execs[k].Call(inputs...); err != nil {
				return errors.WithMessagef(err, "update %s at step %d", u.Name, i+1)
			}
		}
	}
	if (i+1)%r.a.Every != 0 && i+1 < r.a.Steps {
		return nil
	}
	if err := r.check(); err != nil {
		return err
	}
	for k, u := range r.a.Updates {
		sums := tally(r.path(k))
		mean, _, err := sums.mean(r.store)
		if err != nil {
			return err
		}
		r.losses[u.Name] = append(r.losses[u.Name], mean)
		if err := sums.reset(r.store); err != nil {
			return err
		}
	}
	return nil
}

// check reports the update whose loss was the first that was not finite.
func (r *alternating) check() error {
	first, name := 0, ""
	for k, u := range r.a.Updates {
		_, bad, err := tally(r.path(k)).mean(r.store)
		if err != nil {
			return err
		}
		if bad == 0 {
			continue
		}
		if step := len(r.losses[u.Name])*r.a.Every + (bad-1)/u.Times + 1; first == 0 || step < first {
			first, name = step, u.Name
		}
	}
	if first == 0 {
		return nil
	}
	return errors.Errorf("the loss of update %s is not finite at step %d: lower the learning rate, or look at the loss", name, first)
}
