package robust

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// Victim is a model under attack: it compiles the attack's graphs, hands them only the access that was declared, and
// counts what each example cost. It is not safe for concurrent use.
type Victim struct {
	Model  *nets.Model
	Engine *engine.Engine
	Batch  int // examples a call

	remote    Remote          // nil: the model is here
	refereed  int64           // rows that the referee asked of it
	asked     *tensors.Tensor // see question; nil: nothing yet
	steps     map[string]*Step
	settled   bool // see settle
	attacked  bool // by an attack under Evaluate, right now
	access    Access
	forwards  []int64
	backwards []int64
}

// NewVictim wraps a model. Graphs run on batches of the given size (0: 128, or fewer of a large network on a CPU); the last
// batch is padded, so that every graph is compiled once.
func NewVictim(e *engine.Engine, m *nets.Model, batch int) (*Victim, error) {
	if e == nil || m == nil {
		return nil, errors.New("robust: NewVictim needs an engine and a model")
	}
	if batch < 0 {
		return nil, errors.Errorf("robust: batch size %d: must be > 0", batch)
	}
	if batch == 0 {
		batch = 128
		if m.GradientBatch > 0 && e.OnCPU() {
			batch = min(batch, 4*m.GradientBatch) // a forward pass holds that much less
		}
	}
	return &Victim{Model: m, Engine: e, Batch: batch, steps: map[string]*Step{}, access: Gradients}, nil
}

// Shrink lowers Batch to what the model's gradients take fastest on the engine, until restore is called: for attacks that
// work on each example by itself.
func (v *Victim) Shrink() (restore func()) {
	before := v.Batch
	if fast := v.Model.GradientBatch; fast > 0 && v.Engine.OnCPU() {
		v.Batch = min(v.Batch, fast)
	}
	return func() { v.Batch = before }
}

// Split lowers Batch to an even share of n examples, rounded up to a multiple of 16, until restore is called: 145 of them are two
// batches of 80 and not one of 128 and one of 17 that is padded to 128. It is for long attacks, which take more time than compiling
// their graphs for one more shape does.
func (v *Victim) Split(n int) (restore func()) {
	before := v.Batch
	if n > 0 {
		batches := (n + v.Batch - 1) / v.Batch
		v.Batch = min(v.Batch, (n+16*batches-1)/(16*batches)*16)
	}
	return func() { v.Batch = before }
}

// begin starts the counting for an attack on n examples under the given access, end stops it.
func (v *Victim) begin(n int, a Access) {
	v.attacked, v.access = true, a
	v.forwards, v.backwards = make([]int64, n), make([]int64, n)
}

func (v *Victim) end() { v.attacked, v.access = false, Gradients }

// Oracle is what a graph function may ask of the model.
type Oracle struct {
	victim              *Victim
	scope               *model.Scope
	forwards, backwards int64
}

// Logits builds the model's logits [batch, classes] on images [batch, InputShape...]: one forward pass.
func (o *Oracle) Logits(images *Node) *Node {
	o.need(Scores)
	o.forwards++
	return o.victim.Model.Logits(o.scope, images)
}

// Predict builds the predicted classes, int32 [batch]: one forward pass.
func (o *Oracle) Predict(images *Node) *Node {
	o.need(Decisions)
	o.forwards++
	return ArgMax(o.victim.Model.Logits(o.scope, images), -1, dtypes.Int32)
}

// Inside builds fn with the scope that the model's graph functions take, for attacks that read its stages or features: one forward pass.
func (o *Oracle) Inside(fn func(scope *model.Scope)) {
	o.need(Gradients)
	o.forwards++
	fn(o.scope)
}

// Gradient builds the gradients of a scalar, finite everywhere (see [Slopes]): one backward pass.
func (o *Oracle) Gradient(loss *Node, with ...*Node) []*Node {
	o.need(Gradients)
	o.backwards++
	return Slopes(loss, with...)
}

// Weights returns the nodes of the model's weights, in the order of nets.Model.Weights.
func (o *Oracle) Weights(g *Graph) []*Node {
	o.need(Gradients)
	return weightNodes(o.victim.Model, o.scope, g)
}

// WithWeights builds fn with the model's weights replaced, then restores them.
func (o *Oracle) WithWeights(weights []*Node, fn func()) {
	WithWeights(o.victim.Model, o.scope, weights, fn)
}

func (o *Oracle) need(a Access) {
	if o.victim.remote != nil {
		exceptions.Panicf("robust: %s is elsewhere, and no graph can hold it: ask it by Victim.Query", o.victim.Model.Name)
	}
	if o.victim.access < a {
		exceptions.Panicf("robust: the attack declared access to %s only, but asks for %s", o.victim.access, a)
	}
}

// Step is a compiled piece of an attack.
type Step struct {
	victim *Victim
	exec   *model.Exec
	oracle Oracle
}

// Compile returns the step of that key, compiling it at its first call. The key must tell everything that shapes the
// graph; steps are kept, so that a second run of the same attack compiles nothing.
func (v *Victim) Compile(key string, fn func(o *Oracle, args []*Node) []*Node) (*Step, error) {
	return v.compile(fmt.Sprintf("attack/%s/%d", key, v.access), fn)
}

func (v *Victim) compile(key string, fn func(o *Oracle, args []*Node) []*Node) (*Step, error) {
	if s, ok := v.steps[key]; ok {
		return s, nil
	}
	s := &Step{victim: v}
	exec, err := model.NewExec(v.Engine.Backend(), v.Model.Store, func(scope *model.Scope, args []*Node) []*Node {
		s.oracle = Oracle{victim: v, scope: scope}
		return fn(&s.oracle, args)
	})
	if err != nil {
		return nil, errors.WithMessagef(err, "robust: step %s", key)
	}
	s.exec = exec.WithName(key).SetMaxCache(-1)
	v.steps[key] = s
	return s, nil
}

// Call runs the step for the given examples (padding rows not among them) and books its passes on them. While an attack
// is evaluated, passes that are booked on no example, or on one that does not exist, are an error.
func (s *Step) Call(ctx context.Context, rows []int, args ...any) ([]*tensors.Tensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.victim.settle(); err != nil {
		return nil, err
	}
	out, err := s.exec.Call(args...)
	if err != nil {
		return nil, readable(err)
	}
	if !s.victim.attacked || s.oracle.forwards+s.oracle.backwards == 0 {
		return out, nil
	}
	if err := s.victim.booked(rows); err != nil {
		return nil, err
	}
	s.victim.book(rows, s.oracle.forwards, s.oracle.backwards)
	return out, nil
}

// settle moves the weights to the device, before the first call asks for more memory, and lets go of those on the host.
func (v *Victim) settle() error {
	if v.settled {
		return nil
	}
	var left nets.Garbage
	for _, w := range v.Model.Weights() {
		value, err := w.Value()
		if err != nil {
			return err
		}
		host := value.HasLocal()
		if err := value.ToDevice(v.Engine.Backend(), 0); err != nil {
			return err
		}
		if host {
			left.Add(int(value.ByteSize()))
		}
	}
	v.settled = true
	return nil
}

// readable keeps the first line of an error of the backend, and says in words what it says by a dump of the graph.
func readable(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if strings.Contains(line, "no gradient is defined") {
		return errors.New("the model has an operation that cannot be differentiated: attack its scores, which needs no gradients (square)")
	}
	return errors.New(line)
}

// Batches yields the rows in runs of at most Batch.
func (v *Victim) Batches(rows []int) iter.Seq[[]int] { return slices.Chunk(rows, v.Batch) }

// Full returns Batch rows: the given ones, then the last of them again and again. There must be at least one.
func (v *Victim) Full(rows []int) []int {
	full := make([]int, v.Batch)
	for i := range full {
		full[i] = rows[min(i, len(rows)-1)]
	}
	return full
}

// Images returns the given rows of a flat float32 array of examples as a tensor [Batch, InputShape...]; rows that are
// missing to a full batch repeat the last one.
func (v *Victim) Images(flat []float32, rows []int) *tensors.Tensor {
	out := nets.PickRows(flat, v.exampleSize(), v.Full(rows))
	return tensors.FromFlatDataAndDimensions(out, append([]int{v.Batch}, v.Model.InputShape...)...)
}

// Ints returns the given rows of an int32 array as a tensor [Batch], padded as Images pads.
func (v *Victim) Ints(all []int32, rows []int) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(nets.PickRows(all, 1, v.Full(rows)), v.Batch)
}

// Predictions returns the predicted classes of n images, int32, without booking any query: it is the referee's view,
// which attacks are refused. If weights is not nil, they stand in for the model's own. Of a model elsewhere it asks every
// image, which Outcome.Referee counts.
func (v *Victim) Predictions(ctx context.Context, images *tensors.Tensor, weights []*tensors.Tensor) ([]int32, error) {
	if v.attacked {
		return nil, errors.New("robust: an attack may not use Predictions, which books no queries: compile a step with Oracle.Predict")
	}
	if v.remote != nil {
		return v.predictRemote(ctx, images, weights)
	}
	key := "referee"
	if weights != nil {
		key = "referee/weights"
	}
	step, err := v.compile(key, func(o *Oracle, args []*Node) []*Node {
		var logits *Node
		run := func() { logits = v.Model.Logits(o.scope, args[0]) }
		if len(args) > 1 {
			WithWeights(v.Model, o.scope, args[1:], run)
		} else {
			run()
		}
		finite := ReduceMin(ConvertDType(IsFinite(logits), dtypes.Int32), -1)
		return []*Node{ArgMax(logits, -1, dtypes.Int32), finite}
	})
	if err != nil {
		return nil, err
	}
	flat, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	n := images.Shape().Dimensions[0]
	classes := make([]int32, 0, n)
	for rows := range v.Batches(Rows(n)) {
		args := []any{v.Images(flat, rows)}
		for _, w := range weights {
			args = append(args, w)
		}
		out, err := step.Call(ctx, nil, args...)
		if err != nil {
			return nil, err
		}
		batch, err := tensors.CopyFlatData[int32](out[0])
		if err != nil {
			return nil, err
		}
		finite, err := tensors.CopyFlatData[int32](out[1])
		if err != nil {
			return nil, err
		}
		for i, r := range rows {
			if finite[i] == 0 {
				return nil, errors.Errorf("robust: the model's logits of example %d are NaN or infinite: look at its weights and inputs", r)
			}
		}
		classes = append(classes, batch[:len(rows)]...)
	}
	return classes, nil
}

// Rows returns 0, 1 ... n-1.
func Rows(n int) []int {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

func (v *Victim) exampleSize() int {
	size := 1
	for _, d := range v.Model.InputShape {
		size *= d
	}
	return size
}

func weightNodes(m *nets.Model, scope *model.Scope, g *Graph) []*Node {
	var nodes []*Node
	for _, w := range m.Weights() {
		nodes = append(nodes, scope.Store().GetVariable(w.Path()).NodeValue(g))
	}
	return nodes
}

// WithWeights builds fn in the graph with the weights of m replaced by the given nodes (in the order of
// nets.Model.Weights), then restores what stood there: nothing is written back to the store.
func WithWeights(m *nets.Model, scope *model.Scope, weights []*Node, fn func()) {
	vars := m.Weights()
	if len(weights) != len(vars) {
		exceptions.Panicf("robust: %d weight tensors for a model with %d", len(weights), len(vars))
	}
	for i, w := range vars {
		w = scope.Store().GetVariable(w.Path())
		before := w.NodeValue(weights[i].Graph())
		w.SetNodeValue(weights[i])
		defer w.SetNodeValue(before)
	}
	fn()
}
