package watermark

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Phase is a stretch of marking with one learning rate and one weight of the regularizer.
type Phase struct {
	Steps  int
	Rate   float64
	Lambda float64 // 0: the cross-entropy alone
}

// Schedule is what marks a network from scratch or from trained weights: strong at first, then weaker, then slower.
func Schedule() []Phase { return []Phase{{1200, 1e-3, 0.3}, {500, 1e-3, 0.1}, {500, 2e-4, 0.1}} }

// Settle is a phase to come after [Schedule]: it gives the target class its accuracy back and leaves the mark in.
func Settle() Phase { return Phase{300, 2e-4, 0} }

// Embedder trains networks with a mark, by Adam, which keeps its moments over the phases.
type Embedder struct {
	Phases         []Phase // zero: Schedule()
	Batch          int     // zero: 100
	TargetPerBatch int     // images of the target in each batch; zero: a tenth of it
	Method         Method  // zero: Surrogate
	Step           float64 // of the surrogate, in the units of pixels; zero: 0.01
	Seed           int64   // of the batches, and of random numbers in the network
}

func (x Embedder) withDefaults() Embedder {
	if len(x.Phases) == 0 {
		x.Phases = Schedule()
	}
	x.Batch = cmp.Or(x.Batch, 100)
	x.TargetPerBatch = cmp.Or(x.TargetPerBatch, max(1, x.Batch/10))
	return x
}

// validate expects the defaults to be filled in, but for method and step.
func (x *Embedder) validate(m *nets.Model, k *Key, train fit.Data) (err error) {
	if err := k.check(); err != nil {
		return errors.WithMessage(err, "key")
	}
	if err := k.Fits(m); err != nil {
		return err
	}
	if x.Method, err = ParseMethod(string(x.Method)); err != nil {
		return err
	}
	if x.Step, err = checkStep(x.Step); err != nil {
		return err
	}
	total := 0
	for i, p := range x.Phases {
		if p.Steps < 0 || !(p.Rate > 0) || math.IsInf(p.Rate, 0) || !(p.Lambda >= 0) || math.IsInf(p.Lambda, 0) {
			return errors.Errorf("phase %d: %d steps, rate %g, lambda %g: must be >= 0, > 0 and >= 0", i+1, p.Steps, p.Rate, p.Lambda)
		}
		total += p.Steps
	}
	if total == 0 {
		return errors.New("the phases have no steps: give at least 1")
	}
	if err := m.CheckImages(train.Images); err != nil {
		return err
	}
	if n := train.Images.Shape().Dimensions[0]; n != len(train.Labels) {
		return errors.Errorf("%d labels for %d images: give one each", len(train.Labels), n)
	}
	if err := m.CheckLabels(train.Labels); err != nil {
		return err
	}
	if x.Batch < 2 || x.TargetPerBatch < 1 || x.TargetPerBatch >= x.Batch {
		return errors.Errorf("TargetPerBatch = %d of Batch = %d: want at least 1, and room for others", x.TargetPerBatch, x.Batch)
	}
	targets := 0
	for _, y := range train.Labels {
		if int(y) == k.Target {
			targets++
		}
	}
	others := len(train.Labels) - targets
	if targets < x.TargetPerBatch || others < x.Batch-x.TargetPerBatch {
		return errors.Errorf("%d images of class %d and %d others: batches take %d and %d", targets, k.Target, others,
			x.TargetPerBatch, x.Batch-x.TargetPerBatch)
	}
	return nil
}

// Validate reports settings that make no sense, and a model or training data that a key cannot be embedded in.
func (x Embedder) Validate(m *nets.Model, k *Key, train fit.Data) error {
	x = x.withDefaults()
	return errors.WithMessage(x.validate(m, k, train), "embed")
}

// Embed trains the model in place, from the weights it has, new or trained, until the images' gradients carry the key's mark.
// Labels are those of all classes; a batch takes TargetPerBatch images of the target and fills up with others.
//
// Where o.Dir is given, the same run is found again or gone on with, to the same weights, as [fit.Loop] says. The history has
// an entry whenever the images of other classes were gone through once, and one for the rest: loss with regularizer, and
// accuracy in training mode. After an error the weights are as they were.
func (x Embedder) Embed(ctx context.Context, e *engine.Engine, m *nets.Model, k *Key, train fit.Data, o fit.Options) (*fit.History, error) {
	x = x.withDefaults()
	if err := x.validate(m, k, train); err != nil {
		return nil, errors.WithMessage(err, "embed")
	}
	r := &embedding{e: e, x: x, k: k, train: train, given: m}
	l := &fit.Loop{Kind: "mark", Name: m.Name, Notes: &r.notes, Step: r.step, Finish: r.finish}
	if o.Dir != "" {
		var err error
		if l.Key, err = x.key(e, m, k, train); err != nil {
			return nil, errors.WithMessage(err, "embed")
		}
	}
	for i, p := range x.Phases {
		l.Stretches = append(l.Stretches, fit.Stretch{Name: fmt.Sprintf("phase %d/%d", i+1, len(x.Phases)), Steps: p.Steps})
	}
	var err error
	if r.m, err = m.Clone(); err != nil {
		return nil, err
	}
	defer r.close()
	l.State = fit.InStore(r.m.Store)
	o.Label = cmp.Or(o.Label, "mark "+m.Name)
	if err := l.Run(ctx, o); err != nil {
		return nil, err
	}
	return &r.notes.History, m.CopyWeights(r.m)
}

// key identifies a run by everything that it depends on, the key by its fingerprint.
func (x Embedder) key(e *engine.Engine, m *nets.Model, k *Key, train fit.Data) (string, error) {
	fingerprint := k.fingerprint()
	if !x.marks() {
		fingerprint = fmt.Sprint("class ", k.Target) // which is all of it that matters
	}
	name := fmt.Sprintf("mark %s %v %d %q %g", fingerprint, x.Phases, x.TargetPerBatch, x.Method, x.Step)
	c := fit.Config{Phases: []fit.Phase{{Epochs: 1, Loss: fit.Loss{Name: name}}}, BatchSize: x.Batch, Seed: x.Seed}
	return fit.Key(m, e.Name(), train, c)
}

func (x Embedder) marks() bool {
	return slices.ContainsFunc(x.Phases, func(p Phase) bool { return p.Steps > 0 && p.Lambda > 0 })
}

// embedding is a marking on its way, on a copy of the model.
type embedding struct {
	e     *engine.Engine
	x     Embedder
	k     *Key
	train fit.Data
	given *nets.Model
	m     *nets.Model
	notes struct {
		History     fit.History
		Loss        float64 // sum since the last entry
		Right, Seen int
	}

	plain, marked   *model.Exec // a step without and with the regularizer; nil: not used yet
	data            []*tensors.Tensor
	targets, others *pool
}

const ruleScope = "/mark"

func (r *embedding) rule() fit.Rule { return fit.Rule{Optimizer: fit.Adam} }

// place is the phase of a step.
func (r *embedding) place(i int) Phase {
	for _, p := range r.x.Phases {
		if i < p.Steps {
			return p
		}
		i -= p.Steps
	}
	panic("watermark: a step behind the last")
}

// step makes a step. Phases share executables: rate, lambda and key are inputs of them.
func (r *embedding) step(_ context.Context, i int) error {
	if r.data == nil {
		if err := r.begin(i == 0); err != nil {
			return err
		}
	}
	p := r.place(i)
	loss, right, err := r.update(append(r.targets.batch(i), r.others.batch(i)...), p, p.Lambda > 0)
	if err != nil {
		return err
	}
	if loss-loss != 0 {
		return errors.Errorf("the loss is not finite at step %d: lower the rate or lambda", i+1)
	}
	n := &r.notes
	n.Loss, n.Right, n.Seen = n.Loss+loss, n.Right+right, n.Seen+1
	if (i+1)%r.others.steps == 0 {
		r.entry()
	}
	return nil
}

// update descends on the batch of rows, with the regularizer or without, and returns the loss and how many were right.
func (r *embedding) update(rows []int32, p Phase, mark bool) (loss float64, right int, err error) {
	exec, err := r.exec(mark)
	if err != nil {
		return 0, 0, err
	}
	args := []any{r.data[0], r.data[1], rows, float32(p.Rate), float32(p.Lambda)}
	for _, t := range r.data[2:] {
		args = append(args, t)
	}
	out, err := exec.Call(args...)
	if err != nil {
		if r.x.Method == DoubleBackprop {
			err = errors.WithMessage(err, "the network's gradient cannot be differentiated; the surrogate needs first derivatives alone")
		}
		return 0, 0, err
	}
	loss, right = float64(tensors.ToScalar[float32](out[0])), int(tensors.ToScalar[int32](out[1]))
	for _, t := range out {
		if err := t.FinalizeAll(); err != nil {
			return 0, 0, err
		}
	}
	return loss, right, nil
}

// entry ends an entry of the history.
func (r *embedding) entry() {
	n := &r.notes
	if n.Seen == 0 {
		return
	}
	n.History.Loss = append(n.History.Loss, n.Loss/float64(n.Seen))
	n.History.TrainAccuracy = append(n.History.TrainAccuracy, float64(n.Right)/float64(n.Seen*r.x.Batch))
	n.Loss, n.Right, n.Seen = 0, 0, 0
}

// begin brings the data to the device, and makes the store ready unless it was resumed.
func (r *embedding) begin(fresh bool) error {
	images, err := r.train.Images.OnDeviceClone(r.e.Backend(), 0)
	if err != nil {
		return err
	}
	r.data = append([]*tensors.Tensor{images, tensors.FromFlatDataAndDimensions(r.train.Labels, len(r.train.Labels))}, r.k.tensorsOf()...)
	r.targets, r.others = &pool{take: r.x.TargetPerBatch, seed: r.x.Seed}, &pool{take: r.x.Batch - r.x.TargetPerBatch, seed: ^r.x.Seed}
	for i, y := range r.train.Labels {
		p := r.others
		if int(y) == r.k.Target {
			p = r.targets
		}
		p.rows = append(p.rows, int32(i))
	}
	r.targets.steps, r.others.steps = len(r.targets.rows)/r.targets.take, len(r.others.rows)/r.others.take
	if !fresh {
		return nil
	}
	if err := r.m.Store.SetRNGStateFromSeed(r.x.Seed); err != nil {
		return err
	}
	for v := range r.m.Store.IterVariables() {
		v.SetTrainable(slices.Contains(r.m.WeightPaths, v.Path()))
	}
	return r.rule().Begin(r.m.Store.Scope(ruleScope), r.m.Weights())
}

// exec compiles a step, once with and once without the regularizer.
func (r *embedding) exec(mark bool) (*model.Exec, error) {
	kept := &r.plain
	if mark {
		kept = &r.marked
	}
	if *kept != nil {
		return *kept, nil
	}
	exec, err := model.NewExec(r.e.Backend(), r.m.Store, func(_ *model.Scope, in []*Node) []*Node { return r.graph(in, mark) })
	if err != nil {
		return nil, err
	}
	*kept = exec.WithName("marking step")
	return exec, nil
}

// graph builds a step from images, labels, rows of the batch, rate, lambda, and the key.
func (r *embedding) graph(in []*Node, mark bool) []*Node {
	store, rate, lambda := r.m.Store, in[3], in[4]
	g, scope := rate.Graph(), store.RootScope()
	store.SetTraining(g, true)
	pick := func(all *Node) *Node { return Gather(all, InsertAxes(in[2], -1)) }
	images, labels := pick(in[0]), pick(in[1])
	weights := r.m.Weights()
	nodes := make([]*Node, len(weights))
	for i, w := range weights {
		nodes[i] = w.NodeValue(g)
	}
	logits := r.m.Logits(scope, images)
	right := ReduceAllSum(ConvertDType(Equal(ArgMax(logits, -1), labels), labels.DType()))
	loss := ReduceAllMean(nets.CrossEntropy(logits, labels))
	if mark {
		t := r.x.TargetPerBatch // which stand first
		k := marker{in[5], in[6], in[7], r.k.Target, r.x.Method, r.x.Step}
		share := BroadcastToDims(Const(g, float32(1/float64(t))), t)
		loss = Add(loss, Mul(lambda, k.regularizer(scope, r.m, Slice(images, AxisRange(0, t)), share)))
	}
	r.rule().ApplyRate(store.Scope(ruleScope), rate, weights, Gradient(loss, nodes...))
	return []*Node{loss, right}
}

// finish takes away what the training added to the store.
func (r *embedding) finish() error {
	r.entry()
	var added []string
	for v := range r.m.Store.IterVariables() {
		if !slices.Contains(r.m.WeightPaths, v.Path()) && !slices.Contains(r.m.StatePaths, v.Path()) {
			added = append(added, v.Path())
		}
	}
	for _, path := range added {
		if err := r.m.Store.DeleteVariable(path); err != nil {
			return err
		}
	}
	return nil
}

func (r *embedding) close() {
	for _, exec := range []*model.Exec{r.plain, r.marked} {
		if exec != nil {
			exec.Finalize()
		}
	}
	for _, t := range r.data {
		t.FinalizeAll()
	}
	r.m.Store.Finalize()
}

// pool deals out rows, so many a step: all of them once, in an order of its own, before any comes again.
type pool struct {
	rows        []int32
	take, steps int // a step; steps until all were dealt
	seed        int64
	epoch       int
	order       []int32
}

func (p *pool) batch(i int) []int32 {
	if epoch := i / p.steps; p.order == nil || epoch != p.epoch {
		p.epoch, p.order = epoch, fit.Permutation(len(p.rows), p.seed, epoch)
	}
	from := i % p.steps * p.take
	rows := make([]int32, p.take)
	for j, at := range p.order[from : from+p.take] {
		rows[j] = p.rows[at]
	}
	return rows
}
