package onnx

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// This file has the loop over time of recurrent layers, and its gradient. GoMLX's While has none, and a loop that is
// unrolled takes a compiler minutes: 28 steps of an LSTM took XLA 20 seconds. So one loop goes forward and keeps the states,
// and one comes back with the slopes by them; in both, a step does no more than it must, and what can be done for all
// steps at once is done outside. A gradient of that gradient there is not.
//
// A body sees its arguments alone. GoMLX keeps one node for each scalar constant of a graph, whoever made it first: so
// bodies take none but those of Const, which are new ones.

// loop runs body for steps 0 to count-1.
func loop(count int, state []*Node, body func(step *Node, state []*Node) []*Node) []*Node {
	g := state[0].Graph()
	begin := append([]*Node{Const(g, int32(0))}, state...)
	arguments := func(g *Graph) (all []*Node) {
		for i, s := range begin {
			all = append(all, Parameter(g, "state "+string(rune('a'+i)), s.Shape()))
		}
		return all
	}
	goesOn := NewClosure(g, func(g *Graph) []*Node { return []*Node{LessThan(arguments(g)[0], Const(g, int32(count)))} })
	once := NewClosure(g, func(g *Graph) []*Node {
		all := arguments(g)
		return append([]*Node{Add(all[0], Const(g, int32(1)))}, body(all[0], all[1:])...)
	})
	return While(goesOn, once, begin...)[1:]
}

// at is the slice of a step, at the first axis.
func at(all, step *Node) *Node {
	if !slicesAnywhere(all.Graph()) {
		return Gather(all, Reshape(step, 1))
	}
	d := append([]int{1}, all.Shape().Dimensions[1:]...)
	return Reshape(DynamicSlice(all, startAt(step, len(d)), d), d[1:]...)
}

// put writes the slice of a step.
func put(all, one, step *Node) *Node {
	one = InsertAxes(one, 0)
	if !slicesAnywhere(all.Graph()) {
		here := Equal(Iota(all.Graph(), shapeOf(dtypes.Int32, all.Shape().Dimensions), 0), step)
		return Where(here, BroadcastToDims(one, all.Shape().Dimensions...), all)
	}
	return DynamicUpdateSlice(all, one, startAt(step, all.Rank()))
}

func startAt(step *Node, rank int) []*Node {
	at := []*Node{step}
	for range rank - 1 {
		at = append(at, Const(step.Graph(), int32(0)))
	}
	return at
}

// slicesAnywhere tells whether a backend slices where a value says, which the pure-Go one does not.
func slicesAnywhere(g *Graph) bool {
	all := g.Backend().Capabilities().Operations
	return all[compute.OpTypeDynamicSlice] && all[compute.OpTypeDynamicUpdateSlice]
}

// parts are what a layer's steps depend on but for the time's input and the states, in order.
func (l *recurrentLayer) parts() []*Node {
	all := []*Node{l.recurrent}
	for _, x := range []*Node{l.bias, l.peepholes} {
		if x != nil {
			all = append(all, x)
		}
	}
	return all
}

// with is the layer with other parts.
func (l *recurrentLayer) with(parts []*Node) *recurrentLayer {
	m := *l
	m.recurrent, parts = parts[0], parts[1:]
	if l.bias != nil {
		m.bias, parts = parts[0], parts[1:]
	}
	if l.peepholes != nil {
		m.peepholes = parts[0]
	}
	return &m
}

func (l *recurrentLayer) steps() int { return l.inputs.Shape().Dimensions[0] }

// on is 1 in the steps of each sequence, 0 where it has ended, or going backwards not begun: [steps, batch, hidden]. nil: 1.
func (l *recurrentLayer) on() *Node {
	if l.lengths == nil {
		return nil
	}
	d := append(append([]int{}, l.inputs.Shape().Dimensions[:2]...), l.hidden)
	time := Iota(l.lengths.Graph(), shapeOf(dtypes.Int32, d), 0)
	if l.backwards {
		time = AddScalar(Neg(time), d[0]-1)
	}
	return ConvertDType(LessThan(time, BroadcastToDims(InsertAxes(l.lengths, 0), d...)), l.inputs.DType())
}

// kept is a step's result where it is on, else what was before.
func kept(on, next, before *Node) *Node {
	if on == nil || next == before {
		return next
	}
	return Add(before, Mul(on, Sub(next, before)))
}

// run passes through time, and returns the states after each step [steps, batch, hidden], and the last cell.
func (l *recurrentLayer) run(h, c *Node) (states, cell *Node) {
	if !l.loops {
		return l.unrolled(h, c)
	}
	// To be differentiated by all that it depends on, that is put into one row of numbers, whose gradient is a rule of its own;
	// at the row's end stand zeros, one for each number of the result, and the result has their slopes.
	given := append(append([]*Node{l.inputs}, l.parts()...), h, c)
	passed, cells := l.forward(h, c)
	results := []*Node{SliceAxis(passed, 0, AxisRange(1)), Reshape(SliceAxis(cells, 0, AxisRange(l.steps())), c.Shape().Dimensions...)}
	all := append(given[:len(given):len(given)], ZerosLike(results[0]), ZerosLike(results[1]))
	row := IdentityWithCustomGradient(joined(all), func(_, slopes *Node) *Node {
		down := parted(slopes, all)[len(given):]
		return joined(append(l.backward(passed, cells, down[0], down[1]), all[len(given):]...))
	})
	slopes := parted(row, all)[len(given):]
	return Add(results[0], slopes[0]), Add(results[1], slopes[1])
}

// unrolled is run without a loop, for activations that need constants.
func (l *recurrentLayer) unrolled(h, c *Node) (states, cell *Node) {
	var all []*Node
	on := l.on()
	for s := range l.steps() {
		slice := func(x *Node) *Node {
			if x == nil {
				return nil
			}
			return Reshape(SliceAxis(x, 0, AxisRange(s, s+1)), x.Shape().Dimensions[1:]...)
		}
		next, nextCell := l.step(slice(l.inputs), h, c)
		h, c = kept(slice(on), next, h), kept(slice(on), nextCell, c)
		all = append(all, h)
	}
	return Stack(all, 0), c
}

// joined puts values into one row.
func joined(all []*Node) *Node {
	var rows []*Node
	for _, x := range all {
		rows = append(rows, Reshape(x, x.Shape().Size()))
	}
	return Concatenate(rows, 0)
}

// parted cuts a row into values of the shapes of others.
func parted(row *Node, like []*Node) (all []*Node) {
	from := 0
	for _, x := range like {
		size := x.Shape().Size()
		all = append(all, Reshape(SliceAxis(row, 0, AxisRange(from, from+size)), x.Shape().Dimensions...))
		from += size
	}
	return all
}

// forward returns the states and cells before the first step and after each, [1+steps, batch, hidden].
func (l *recurrentLayer) forward(h, c *Node) (states, cells *Node) {
	room := Zeros(h.Graph(), shapeOf(h.DType(), append([]int{l.steps()}, h.Shape().Dimensions...)))
	state := []*Node{h, c, Concatenate([]*Node{InsertAxes(h, 0), room}, 0), Concatenate([]*Node{InsertAxes(c, 0), room}, 0), l.inputs}
	state = append(state, l.parts()...)
	on := l.on()
	if on != nil {
		state = append(state, on)
	}
	for i := range state {
		state[i] = StopGradient(state[i])
	}
	end := loop(l.steps(), state, func(step *Node, s []*Node) []*Node {
		m := l.with(s[5:])
		next, cell := m.step(at(s[4], step), s[0], s[1])
		if on != nil {
			now := at(s[len(s)-1], step)
			next, cell = kept(now, next, s[0]), kept(now, cell, s[1])
		}
		after := Add(step, Const(step.Graph(), int32(1)))
		return append([]*Node{next, cell, put(s[2], next, after), put(s[3], cell, after)}, s[4:]...)
	})
	return StopGradient(end[2]), StopGradient(end[3])
}

// backward returns the slopes by the inputs, the parts and the first states, of those by the states after each step and by the
// last cell.
func (l *recurrentLayer) backward(states, cells, byStates, byCell *Node) []*Node {
	before := func(x *Node) *Node { return StopGradient(SliceAxis(x, 0, AxisRange(0, l.steps()))) }
	h, c, on := before(states), before(cells), l.on()
	factors := l.factors(h, c)
	if on != nil {
		for i := range factors {
			factors[i] = Mul(factors[i], StopGradient(Concatenate(sameTimes(on, factors[i].Shape().Dimensions[2]/l.hidden), 2)))
		}
		factors = append(factors, OneMinus(on))
	}
	state := []*Node{ZerosLike(byCell), byCell, ZerosLike(byStates), ZerosLike(byStates), byStates, TransposeAllAxes(l.recurrent, 1, 0)}
	fixed := len(state) - 2
	for _, f := range factors {
		state = append(state, StopGradient(f))
	}
	end := loop(l.steps(), state, func(step *Node, s []*Node) []*Node {
		step = Sub(Const(step.Graph(), int32(l.steps()-1)), step)
		byState, byCell := Add(s[0], at(s[4], step)), s[1]
		var now []*Node
		for _, f := range s[6:] {
			now = append(now, at(f, step))
		}
		down, downCell := l.pull(byState, byCell, s[5], now)
		if on != nil {
			off := now[len(now)-1]
			if down = Add(down, Mul(off, byState)); downCell != byCell { // else there is no cell, which passes by
				downCell = Add(downCell, Mul(off, byCell))
			}
		}
		return append([]*Node{down, downCell, put(s[2], byState, step), put(s[3], byCell, step)}, s[fixed:]...)
	})
	// With the slopes by all states known, all steps are one batch.
	next, cell := l.step(l.inputs, h, c)
	if on != nil {
		next, cell = kept(on, next, h), kept(on, cell, c)
	}
	whole := Add(ReduceAllSum(Mul(next, StopGradient(end[2]))), ReduceAllSum(Mul(cell, StopGradient(end[3]))))
	return append(Gradient(whole, append([]*Node{l.inputs}, l.parts()...)...), end[0], end[1])
}

func sameTimes(x *Node, times int) (all []*Node) {
	for range times {
		all = append(all, x)
	}
	return all
}

// slopeAt is the slope of the i-th activation, a sigmoid or a tanh, where its value is y.
func (l *recurrentLayer) slopeAt(i int, y *Node) *Node {
	if l.sigmoid[i] {
		return Sub(y, Square(y))
	}
	return OneMinus(Square(y))
}

// factors are what slopes by a step's results are multiplied with on their way to the states before, for all steps at once; pull
// tells which is which.
func (l *recurrentLayer) factors(h, c *Node) []*Node {
	f, gate := l.activations, l.gate
	switch l.op {
	case "RNN":
		y, _ := l.step(l.inputs, h, c)
		return []*Node{l.slopeAt(0, y)}
	case "GRU":
		product := MatMul(h, l.recurrent)
		both := f[0](Add(gate(l.inputs, 0, 2), gate(product, 0, 2)))
		update, reset := gate(both, 0, 1), gate(both, 1, 1)
		var candidate, inner *Node
		if l.resetOutside {
			if inner = gate(product, 2, 1); l.bias != nil {
				inner = Add(inner, ExpandLeftToRank(l.bias, inner.Rank()))
			}
			candidate = f[1](Add(gate(l.inputs, 2, 1), Mul(reset, inner)))
		} else {
			inner = h
			candidate = f[1](Add(gate(l.inputs, 2, 1), MatMul(Mul(reset, h), gate(l.recurrent, 2, 1))))
		}
		byUpdate := Mul(Sub(h, candidate), l.slopeAt(0, update))
		byCandidate := Mul(OneMinus(update), l.slopeAt(1, candidate))
		byReset := Mul(inner, l.slopeAt(0, reset))
		if l.resetOutside {
			return []*Node{update, Concatenate([]*Node{byUpdate, Mul(byCandidate, byReset), Mul(byCandidate, reset)}, 2)}
		}
		return []*Node{update, byUpdate, byCandidate, byReset, reset}
	}
	all := Add(l.inputs, MatMul(h, l.recurrent))
	input, forget := f[0](l.peep(gate(all, 0, 1), 0, c)), f[0](l.peep(gate(all, 2, 1), 2, c))
	candidate := f[1](gate(all, 3, 1))
	cell := Add(Mul(forget, c), Mul(input, candidate))
	output, seen := f[0](l.peep(gate(all, 1, 1), 1, cell)), f[2](cell)
	byOutput := Mul(seen, l.slopeAt(0, output))
	byCell := Mul(output, l.slopeAt(2, seen))
	byInput, byForget := Mul(candidate, l.slopeAt(0, input)), Mul(c, l.slopeAt(0, forget))
	down := forget
	if l.peepholes != nil {
		byCell = l.peep(byCell, 1, byOutput)
		down = l.peep(l.peep(down, 0, byInput), 2, byForget)
	}
	return []*Node{byOutput, byCell, byInput, byForget, Mul(input, l.slopeAt(1, candidate)), down}
}

// pull takes the slopes by a step's results to the states before it; turned is the transposed matrix of the state.
func (l *recurrentLayer) pull(byState, byCell, turned *Node, k []*Node) (down, downCell *Node) {
	rows := func(i, count int) *Node { return SliceAxis(turned, 0, AxisRange(i*l.hidden, (i+count)*l.hidden)) }
	switch {
	case l.op == "RNN":
		return MatMul(Mul(byState, k[0]), turned), byCell
	case l.op == "GRU" && l.resetOutside:
		return Add(Mul(byState, k[0]), MatMul(Mul(Concatenate(sameTimes(byState, 3), 1), k[1]), turned)), byCell
	case l.op == "GRU":
		byProduct := MatMul(Mul(byState, k[2]), rows(2, 1))
		gates := Concatenate([]*Node{Mul(byState, k[1]), Mul(byProduct, k[3])}, 1)
		return Add(Add(Mul(byState, k[0]), Mul(byProduct, k[4])), MatMul(gates, rows(0, 2))), byCell
	}
	byOutput := Mul(byState, k[0])
	byCell = Add(byCell, Mul(byState, k[1]))
	gates := Concatenate([]*Node{Mul(byCell, k[2]), byOutput, Mul(byCell, k[3]), Mul(byCell, k[4])}, 1)
	return MatMul(gates, turned), Mul(byCell, k[5])
}
