package fit

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
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
	Rules  []Rule // one for each of Trains, in place of Rule
	Times  int    // in each step; zero: 1
	// Loss builds a scalar from the inputs that Batch returned. Networks and random numbers must come from scope, the root
	// of a copy of the store: what a step draws is saved in checkpoints. Panics on error.
	Loss func(scope *model.Scope, g *Graph, batch []*Node) *Node
	// LossParts, in place of Loss, builds further scalars as well, one for each name in Parts: what the loss is made of, for Losses.
	LossParts func(scope *model.Scope, g *Graph, batch []*Node) (loss *Node, parts []*Node)
	Parts     []string
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
	Seed    int64  // of random numbers in losses
	Every   int    // so many steps make an entry of Losses; zero: a hundredth of Steps, at least 1
	Watch   *Watch // nil: nothing is watched
}

// Watch looks at networks while they learn, such as at what a generator makes of the same latents.
type Watch struct {
	Every int // steps between looks; there is one before the first step, and one after the last
	// Build makes what is looked at, in evaluation mode. Networks must come from scope. Panics on error.
	Build func(scope *model.Scope, g *Graph) *Node
	// Seen is what [Alternation.Train] saw, in this order; of a training that was found, what was seen then.
	Seen []*tensors.Tensor
}

// Losses are the mean losses of each update, and of their parts, by name, one entry every [Alternation].Every steps.
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
	r := &alternating{a: a, notes: alternationNotes{Losses: Losses{}}}
	if r.store, err = a.Store.Clone(); err != nil {
		return nil, errors.WithMessagef(err, "fit: %s", a.Name)
	}
	defer r.close()
	if err := r.begin(e); err != nil {
		return nil, errors.WithMessagef(err, "fit: %s", a.Name)
	}
	r.loop = &Loop{Kind: "fit", Name: a.Name, Key: key, Stretches: []Stretch{{Steps: a.Steps}},
		State: InStore(r.store), Notes: &r.notes, Step: r.step, Check: r.check}
	o.Label = cmp.Or(o.Label, "train "+a.Name)
	if err := r.loop.Run(ctx, o); err != nil {
		return nil, err
	}
	if a.Watch != nil {
		if a.Watch.Seen, err = r.notes.seen(); err != nil {
			return nil, errors.WithMessagef(err, "fit: %s", a.Name)
		}
	}
	return r.notes.Losses, errors.WithMessagef(deliver(r.store, a.Store), "fit: %s", a.Name)
}

func (a Alternation) withDefaults() Alternation {
	a.Every = cmp.Or(a.Every, max(1, a.Steps/100))
	a.Updates = slices.Clone(a.Updates)
	for i := range a.Updates {
		u := &a.Updates[i]
		u.Rule, u.Times = u.Rule.withDefaults(), cmp.Or(u.Times, 1)
		u.Rules = slices.Clone(u.Rules)
		for k := range u.Rules {
			u.Rules[k] = u.Rules[k].withDefaults()
		}
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
	if a.Watch != nil && (a.Watch.Every < 1 || a.Watch.Build == nil) {
		return errors.Errorf("Watch.Every = %d: want at least 1, and something to build", a.Watch.Every)
	}
	names := map[string]bool{}
	for _, u := range a.Updates {
		if u.Name == "" || (u.Loss == nil) == (u.LossParts == nil) {
			return errors.Errorf("update %q: each needs a loss and a name of its own", u.Name)
		}
		for _, name := range append([]string{u.Name}, u.Parts...) {
			if names[name] {
				return errors.Errorf("update %q: each needs a loss and a name of its own, and so does each part of a loss: %q is there twice",
					u.Name, name)
			}
			names[name] = true
		}
		if u.Times < 0 {
			return errors.Errorf("update %s: Times = %d: must be at least 1", u.Name, u.Times)
		}
		if n := len(u.Rules); n > 0 && n != len(u.Trains) {
			return errors.Errorf("update %s: %d Rules for %d networks: want one each, or none", u.Name, n, len(u.Trains))
		}
		for _, rule := range append([]Rule{u.Rule}, u.Rules...) {
			if err := rule.validate(); err != nil {
				return errors.WithMessagef(err, "update %s", u.Name)
			}
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

// descents are the update's weights by their rules, whose variables are under path.
func (u Update) descents(path string) (all []descent) {
	if len(u.Rules) == 0 {
		return []descent{{path, u.paths(), u.Rule}}
	}
	for i, n := range u.Trains {
		all = append(all, descent{fmt.Sprintf("%s/network/%d", path, i), n.WeightPaths, u.Rules[i]})
	}
	return all
}

// build is the update's loss with its parts.
func (u Update) build(scope *model.Scope, g *Graph, batch []*Node) (*Node, []*Node) {
	if u.Loss != nil {
		return u.Loss(scope, g, batch), nil
	}
	loss, parts := u.LossParts(scope, g, batch)
	if len(parts) != len(u.Parts) {
		exceptions.Panicf("loss %q has %d parts: want %d, one for each name", u.Name, len(parts), len(u.Parts))
	}
	return loss, parts
}

// key expects the defaults to be filled in.
func (a Alternation) key(e *engine.Engine) (string, error) {
	parts := []any{"alternation 1", a.Name, a.Key, e.Name(), a.Steps, a.Seed, a.Every}
	for _, u := range a.Updates {
		parts = append(parts, u.Name, u.paths(), u.Rule, u.Times)
		if len(u.Rules)+len(u.Parts) > 0 {
			parts = append(parts, u.Rules, u.Parts)
		}
	}
	if a.Watch != nil {
		parts = append(parts, "watched", a.Watch.Every)
	}
	sums, err := storeSums(a.Store)
	return Hash(append(parts, sums)...), err
}

// alternating is an alternation on its way. It works on a copy of the store, so that the networks change only when all
// is well.
type alternating struct {
	a     Alternation
	store *model.Store
	loop  *Loop
	execs []*model.Exec // one an update
	watch *model.Exec   // nil: nothing is watched
	notes alternationNotes
}

func (r *alternating) close() {
	for _, exec := range r.execs {
		exec.Finalize()
	}
	if r.watch != nil {
		r.watch.Finalize()
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
		descents := u.descents(r.path(i))
		for _, d := range descents {
			var weights []*model.Variable
			for _, path := range d.paths {
				weights = append(weights, r.store.GetVariable(path).SetTrainable(true))
			}
			if err := d.rule.Begin(r.store.Scope(d.path), weights); err != nil {
				return err
			}
		}
		for _, t := range r.tallies(i) {
			if err := t.reset(r.store); err != nil {
				return err
			}
		}
		// The first input is there for losses that have none: a graph needs one.
		exec, err := model.NewExec(e.Backend(), r.store, func(scope *model.Scope, inputs []*Node) {
			g := inputs[0].Graph()
			descend(r.store, g, u.Name, r.path(i), descents, r.a.Steps*u.Times, func() (*Node, []*Node) {
				return u.build(scope, g, inputs[1:])
			})
		})
		if err != nil {
			return err
		}
		r.execs = append(r.execs, exec.WithName(u.Name))
	}
	return r.beginWatch(e)
}

// tallies are those of an update: of its loss and of the loss's parts.
func (r *alternating) tallies(update int) []tally {
	all := []tally{tally(r.path(update))}
	for i := range r.a.Updates[update].Parts {
		all = append(all, partTally(r.path(update), i))
	}
	return all
}

// step makes each update once or several times, and an entry of the losses where one is due.
func (r *alternating) step(_ context.Context, i int) error {
	if i == 0 {
		if err := r.look(); err != nil {
			return err
		}
	}
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
	if w := r.a.Watch; w != nil && ((i+1)%w.Every == 0 || i+1 == r.a.Steps) {
		if err := r.look(); err != nil {
			return err
		}
	}
	if (i+1)%r.a.Every != 0 && i+1 < r.a.Steps {
		return nil
	}
	if err := r.check(); err != nil {
		return err
	}
	for k, u := range r.a.Updates {
		for j, sums := range r.tallies(k) {
			name := append([]string{u.Name}, u.Parts...)[j]
			mean, _, err := sums.mean(r.store)
			if err != nil {
				return err
			}
			r.notes.Losses[name] = append(r.notes.Losses[name], mean)
			if err := sums.reset(r.store); err != nil {
				return err
			}
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
		if step := len(r.notes.Losses[u.Name])*r.a.Every + (bad-1)/u.Times + 1; first == 0 || step < first {
			first, name = step, u.Name
		}
	}
	if first == 0 {
		return nil
	}
	return errors.Errorf("the loss of update %s is not finite at step %d: lower the learning rate, or look at the loss", name, first)
}
