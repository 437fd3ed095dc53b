package onnx

import (
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// This file builds the layers that pass a state from one time to the next: RNN, LSTM and GRU.

// maxTimes bounds the loop over time.
const maxTimes = 1 << 20

// recurrentLayer is one direction of such a layer.
type recurrentLayer struct {
	op           string
	hidden       int
	backwards    bool
	activations  []func(x *Node) *Node
	loops        bool   // they are all a sigmoid or a tanh
	sigmoid      []bool // which
	resetOutside bool   // of a GRU: the reset gate acts on the product with the state

	inputs    *Node // what each step adds to each gate, biases included: [steps, batch, gates·hidden]
	recurrent *Node // [hidden, gates·hidden]
	bias      *Node // of the state's product, for the gates that must add it later; nil: none
	peepholes *Node // [3·hidden]; nil: none
	lengths   *Node // int32 [batch, 1]; nil: all are as long as there are times
}

func (v *values) recurrent(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	if x.Rank() != 3 {
		exceptions.Panicf("its input has shape %s: want three axes", x.Shape())
	}
	batchFirst := intOr(n, "layout", 0) != 0
	if batchFirst {
		x = TransposeAllAxes(x, 1, 0, 2)
	}
	if times := x.Shape().Dimensions[0]; times < 1 || times > maxTimes {
		exceptions.Panicf("%d times: want 1 to %d", times, maxTimes)
	}
	if intOr(n, "input_forget", 0) != 0 {
		exceptions.Panicf("input_forget is not supported")
	}
	if n.OpType == "LSTM" && floatOr(n, "clip", 0) > 0 {
		exceptions.Panicf("clip of an LSTM: ONNX Runtime does not clip what the format does, the cell")
	}
	layers := v.recurrentLayers(n, x)
	h, c := v.states(n, 5, x, layers, batchFirst), v.states(n, 6, x, layers, batchFirst)
	var all, last, cells []*Node
	for d, l := range layers {
		states, cell := l.run(h[d], c[d])
		end := SliceAxis(states, 0, AxisRange(-1))
		if l.backwards {
			states = Reverse(states, 0)
		}
		if l.lengths != nil { // behind the end of a sequence there is no output
			at := Iota(v.graph, shapeOf(dtypes.Int32, states.Shape().Dimensions), 0)
			inside := LessThan(at, BroadcastToDims(InsertAxes(l.lengths, 0), states.Shape().Dimensions...))
			states = Where(inside, states, ZerosLike(states))
		}
		all, last, cells = append(all, states), append(last, end), append(cells, InsertAxes(cell, 0))
	}
	order, ends := []int{0, 1, 2, 3}, []int{0, 1, 2}
	if batchFirst {
		order, ends = []int{2, 0, 1, 3}, []int{1, 0, 2}
	}
	v.setOutput(n, 0, func() *Node { return TransposeAllAxes(Stack(all, 1), order...) })
	v.setOutput(n, 1, func() *Node { return TransposeAllAxes(Concatenate(last, 0), ends...) })
	v.setOutput(n, 2, func() *Node { return TransposeAllAxes(Concatenate(cells, 0), ends...) })
}

// recurrentGates are how many gates each operator has, and its activations.
var recurrentGates = map[string]struct {
	gates       int
	activations []string
}{
	"RNN":  {1, []string{"Tanh"}},
	"GRU":  {3, []string{"Sigmoid", "Tanh"}},
	"LSTM": {4, []string{"Sigmoid", "Tanh", "Tanh"}},
}

// recurrentLayers reads what a node says of its directions, for x [times, batch, inputs].
func (v *values) recurrentLayers(n *protos.NodeProto, x *Node) (layers []*recurrentLayer) {
	kind := recurrentGates[n.OpType]
	w, r := v.get(n.Input[1]), v.get(n.Input[2])
	var backwards []bool
	switch direction := stringOr(n, "direction", "forward"); direction {
	case "forward":
		backwards = []bool{false}
	case "reverse":
		backwards = []bool{true}
	case "bidirectional":
		backwards = []bool{false, true}
	default:
		exceptions.Panicf("direction %q is not supported", direction)
	}
	hidden := r.Shape().Dimensions[r.Rank()-1]
	directions, rows := len(backwards), kind.gates*hidden
	if !slices.Equal(w.Shape().Dimensions, []int{directions, rows, x.Shape().Dimensions[2]}) ||
		!slices.Equal(r.Shape().Dimensions, []int{directions, rows, hidden}) || int(intOr(n, "hidden_size", int64(hidden))) != hidden {
		exceptions.Panicf("weights %s and %s do not fit %d directions of %d gates, for inputs %s", w.Shape(), r.Shape(), directions,
			kind.gates, x.Shape())
	}
	part := func(input, size, d int) *Node { // of a direction
		all := v.in(n, input)
		if all == nil {
			return nil
		}
		if !slices.Equal(all.Shape().Dimensions, []int{directions, size}) {
			exceptions.Panicf("input %d has shape %s: want [%d, %d]", input, all.Shape(), directions, size)
		}
		return Reshape(SliceAxis(all, 0, AxisRange(d, d+1)), size)
	}
	activations, names := recurrentActivations(n, kind.activations, directions)
	for d, b := range backwards {
		l := &recurrentLayer{op: n.OpType, hidden: hidden, backwards: b, activations: activations[d],
			resetOutside: intOr(n, "linear_before_reset", 0) != 0, recurrent: turned(r, d)}
		l.loops = floatOr(n, "clip", 0) <= 0
		for _, name := range names[d] {
			name = strings.ToLower(name)
			l.loops = l.loops && (name == "sigmoid" || name == "tanh")
			l.sigmoid = append(l.sigmoid, name == "sigmoid")
		}
		added := Einsum("tbi,ig->tbg", x, turned(w, d))
		if bias := part(3, 2*rows, d); bias != nil {
			input, state := SliceAxis(bias, 0, AxisRange(0, rows)), SliceAxis(bias, 0, AxisRange(rows, 2*rows))
			if n.OpType == "GRU" && l.resetOutside {
				l.bias = SliceAxis(state, 0, AxisRange(2*hidden, rows))
				state = Concatenate([]*Node{SliceAxis(state, 0, AxisRange(0, 2*hidden)), ZerosLike(l.bias)}, 0)
			}
			added = Add(added, ExpandLeftToRank(Add(input, state), 3))
		}
		if b {
			added = Reverse(added, 0)
		}
		l.inputs = added
		l.peepholes = part(7, 3*hidden, d)
		if lengths := v.in(n, 4); lengths != nil {
			if !slices.Equal(lengths.Shape().Dimensions, x.Shape().Dimensions[1:2]) {
				exceptions.Panicf("sequence_lens %s for inputs %s", lengths.Shape(), x.Shape())
			}
			l.lengths = InsertAxes(ConvertDType(lengths, dtypes.Int32), -1)
		}
		layers = append(layers, l)
	}
	return layers
}

// turned is the matrix of a direction, [columns, rows].
func turned(w *Node, d int) *Node {
	return TransposeAllAxes(Reshape(SliceAxis(w, 0, AxisRange(d, d+1)), w.Shape().Dimensions[1:]...), 1, 0)
}

// recurrentActivations are the functions of each direction; their parameters stand in lists, one for each that takes one.
func recurrentActivations(n *protos.NodeProto, standard []string, directions int) (all [][]func(x *Node) *Node, byDirection [][]string) {
	names := slices.Repeat(standard, directions)
	if a := attribute(n, "activations"); a != nil && len(a.Strings) > 0 {
		names = nil
		for _, s := range a.Strings {
			names = append(names, string(s))
		}
		if n.OpType == "RNN" && directions == 1 { // whose default is one too many
			names = names[:1]
		}
	}
	if len(names) != len(standard)*directions {
		exceptions.Panicf("%d activations for %d directions: want %d each", len(names), directions, len(standard))
	}
	parameters := map[string][]float32{}
	for _, key := range []string{"activation_alpha", "activation_beta"} {
		if a := attribute(n, key); a != nil {
			parameters[key] = a.Floats
		}
	}
	next := func(key string, otherwise float64) float64 {
		if left := parameters[key]; len(left) > 0 {
			parameters[key] = left[1:]
			return float64(left[0])
		}
		return otherwise
	}
	var found []func(x *Node) *Node
	for _, name := range names {
		found = append(found, clipped(n, recurrentActivation(name, next)))
	}
	for d := range directions {
		from, to := d*len(standard), (d+1)*len(standard)
		all, byDirection = append(all, found[from:to]), append(byDirection, names[from:to])
	}
	return all, byDirection
}

func recurrentActivation(name string, next func(key string, otherwise float64) float64) func(x *Node) *Node {
	const alpha, beta = "activation_alpha", "activation_beta"
	switch strings.ToLower(name) {
	case "tanh":
		return Tanh
	case "sigmoid":
		return Sigmoid
	case "relu":
		return relu
	case "softsign":
		return func(x *Node) *Node { return Div(x, AddScalar(abs(x), 1)) }
	case "leakyrelu":
		a := next(alpha, 0.01)
		return func(x *Node) *Node { return Where(positive(x), x, MulScalar(x, a)) }
	case "elu":
		a := next(alpha, 1)
		return func(x *Node) *Node { return elu(x, a, 1) }
	case "hardsigmoid":
		a, b := next(alpha, 0.2), next(beta, 0.5)
		return func(x *Node) *Node { return hardSigmoid(x, a, b) }
	}
	exceptions.Panicf("activation %q of a recurrent layer is not supported", name)
	return nil
}

// clipped limits what an activation is given; beyond the limits it has no slope.
func clipped(n *protos.NodeProto, f func(x *Node) *Node) func(x *Node) *Node {
	limit := floatOr(n, "clip", 0)
	if limit <= 0 {
		return f
	}
	return func(x *Node) *Node { return f(ClipScalar(x, -limit, limit)) }
}

// states are what each direction begins with, [batch, hidden]: zeros where the file gives nothing. Exporters that fix the
// batch write one for each image, all alike, and then one serves any batch.
func (v *values) states(n *protos.NodeProto, input int, x *Node, layers []*recurrentLayer, batchFirst bool) (all []*Node) {
	batch, hidden := x.Shape().Dimensions[1], layers[0].hidden
	given := v.in(n, input)
	if given == nil {
		for range layers {
			all = append(all, Zeros(v.graph, shapeOf(x.DType(), []int{batch, hidden})))
		}
		return all
	}
	if given.Rank() == 3 && batchFirst {
		given = TransposeAllAxes(given, 1, 0, 2)
	}
	if d := given.Shape().Dimensions; len(d) == 3 && d[1] != batch && d[1] == int(v.g.batch) && v.alike(n.Input[input], batchFirst) {
		given = BroadcastToDims(SliceAxis(given, 1, AxisRange(0, 1)), d[0], batch, d[2])
	}
	if !slices.Equal(given.Shape().Dimensions, []int{len(layers), batch, hidden}) {
		exceptions.Panicf("a state of shape %s: want %d directions, a batch of %d and %d values", given.Shape(), len(layers), batch, hidden)
	}
	for d := range layers {
		all = append(all, Reshape(SliceAxis(given, 0, AxisRange(d, d+1)), batch, hidden))
	}
	return all
}

// alike tells whether a constant [directions, batch, hidden], or [batch, directions, hidden], has one value for the batch.
func (v *values) alike(name string, batchFirst bool) bool {
	if !v.g.static[name] {
		return false
	}
	t := v.constant(name)
	d := t.Shape().Dimensions
	if t.DType() != dtypes.Float32 || t.Size() == 0 {
		return false
	}
	values, outer, batch, inner := tensors.MustCopyFlatData[float32](t), d[0], d[1], d[2]
	if batchFirst {
		outer, batch, inner = 1, d[0], d[1]*d[2]
	}
	for i, x := range values {
		if x != values[i/(batch*inner)*batch*inner+i%inner] {
			return false
		}
	}
	return outer > 0
}

// step is one time, or many alike: [..., batch, hidden].
func (l *recurrentLayer) step(x, h, c *Node) (next, cell *Node) {
	f, gate := l.activations, l.gate
	switch l.op {
	case "RNN":
		return f[0](Add(x, MatMul(h, l.recurrent))), c
	case "GRU": // update and reset gates, and the candidate
		both := f[0](Add(gate(x, 0, 2), MatMul(h, gate(l.recurrent, 0, 2))))
		update, reset := gate(both, 0, 1), gate(both, 1, 1)
		var candidate *Node
		if l.resetOutside {
			candidate = MatMul(h, gate(l.recurrent, 2, 1))
			if l.bias != nil {
				candidate = Add(candidate, ExpandLeftToRank(l.bias, h.Rank()))
			}
			candidate = Mul(reset, candidate)
		} else {
			candidate = MatMul(Mul(reset, h), gate(l.recurrent, 2, 1))
		}
		candidate = f[1](Add(gate(x, 2, 1), candidate))
		return Add(candidate, Mul(update, Sub(h, candidate))), c
	}
	all := Add(x, MatMul(h, l.recurrent)) // input, output and forget gates, and the candidate
	input, output, forget, candidate := gate(all, 0, 1), gate(all, 1, 1), gate(all, 2, 1), gate(all, 3, 1)
	cell = Add(Mul(f[0](l.peep(forget, 2, c)), c), Mul(f[0](l.peep(input, 0, c)), f[1](candidate)))
	return Mul(f[0](l.peep(output, 1, cell)), f[2](cell)), cell
}

// gate takes some of what lies side by side for each gate.
func (l *recurrentLayer) gate(of *Node, i, count int) *Node {
	return SliceAxis(of, -1, AxisRange(i*l.hidden, (i+count)*l.hidden))
}

// peep adds what an LSTM's gate sees of the cell.
func (l *recurrentLayer) peep(of *Node, i int, cell *Node) *Node {
	if l.peepholes == nil {
		return of
	}
	return Add(of, Mul(ExpandLeftToRank(l.gate(l.peepholes, i, 1), cell.Rank()), cell))
}
