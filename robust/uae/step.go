package uae

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// problem is what shapes the graphs of a search. All numbers of its settings are inputs, so that settings share executables.
type problem struct {
	o   *Objective
	x   *Expansion // nil: squared l2, without an estimator
	t   estimator
	box robust.Box
}

// slopes builds gradients of a sum, as robust.Slopes does.
type slopes func(loss *Node, with ...*Node) []*Node

// The settings of a step, in the order of its input.
const (
	setStep    = iota // α
	setEpsilon        // ε
	setDecay          // β/tᵖ
	setBeta           // β
	setLive           // 1, or 0 before the first step, where nothing is kept and c stays
	setSign           // 1: little in common with the original is better; -1: much is
	setRate           // of Adam, divided by 1-β1ᵗ
	setCorrect        // 1/(1-β2ᵗ)
	settings
)

// given are inputs of a batch that stay the same.
type given struct {
	clean   *Node // [batch, InputShape...]
	loss    *Node // of the clean images, [batch]
	samples *Node // of the clean images; of drawn ones a placeholder
	classes *Node // int32 [batch]
}

// held is what a batch keeps from step to step.
type held struct {
	delta, c     *Node // [batch, InputShape...], [batch]
	best, fall   *Node // images
	value, less  *Node // [batch]: what best shares, what fall violates
	theta        []*Node
	mean, square []*Node // Adam's moments
}

const heldImages = 6

func holding(args []*Node) held {
	h := held{delta: args[0], c: args[1], best: args[2], fall: args[3], value: args[4], less: args[5]}
	rest := args[heldImages:]
	n := len(rest) / 3
	h.theta, h.mean, h.square = rest[:n], rest[n:2*n], rest[2*n:]
	return h
}

func (h held) list() []*Node {
	all := []*Node{h.delta, h.c, h.best, h.fall, h.value, h.less}
	return append(append(append(all, h.theta...), h.mean...), h.square...)
}

// perturbed builds clip(x + δ), back by a unit in the last place where rounding would leave the radius.
func (p problem) perturbed(clean, delta, epsilon *Node) *Node {
	x := Add(clean, delta)
	beyond := GreaterThan(Abs(Sub(x, clean)), epsilon)
	unit := MulScalar(Mul(Abs(x), Sign(delta)), 0x1p-23)
	x = Sub(x, StopGradient(Where(beyond, unit, ZerosLike(unit))))
	return MinScalar(MaxScalar(x, p.box.Lower), p.box.Upper) // GoMLX has no gradient of Clip
}

// nextC builds c's recursion: c ← max((1 - β/tᵖ)·c + β·f⁺, 0), with decay = β/tᵖ.
func nextC(c, f, decay, beta *Node) *Node {
	return MaxScalar(Add(Mul(OneMinus(decay), c), Mul(beta, MaxScalar(f, 0))), 0)
}

// shared builds what is made small, [batch]: the estimate, or minus the squared distance.
func (p problem) shared(scope *model.Scope, in given, theta []*Node, adv, permutation, states *Node) *Node {
	if p.x == nil {
		return Neg(squares(Sub(adv, in.clean)))
	}
	a, b := p.x.pair(scope, in.clean, in.samples, adv, states)
	return p.t.information(theta, a, b, permutation)
}

// step builds one iteration: it evaluates where the search stands (f, what is shared, all at one δ), moves c and keeps the best,
// then descends, and takes the estimator's first step there. The last output is [batch, 4]: c, f, what is shared, and whether this is
// the best success so far.
//
// permutations are int32 [2, batch, samples] and states uint64 [2, 3]: of the evaluation, and of the estimator's step.
func (p problem) step(scope *model.Scope, slope slopes, h held, in given, set, permutations, states *Node) []*Node {
	setting := func(i int) *Node { return Reshape(Slice(set, AxisElem(i))) }
	at := func(x *Node, i int) *Node { return Reshape(Slice(x, AxisElem(i)), x.Shape().Dimensions[1:]...) }
	epsilon := setting(setEpsilon)
	adv := p.perturbed(in.clean, h.delta, epsilon)
	kept := in.loss
	if p.o.drawn {
		kept = nil
	}
	f := p.o.violation(scope, asked{in.clean, adv, in.classes, at(states, 0)}, kept)
	value := p.shared(scope, in, h.theta, adv, at(permutations, 0), at(states, 0))

	live := GreaterThan(setting(setLive), ScalarZero(set.Graph(), set.DType()))
	sign := setting(setSign)
	c := Where(live, nextC(h.c, StopGradient(f), setting(setDecay), setting(setBeta)), h.c)
	violated := IsPositive(f)
	rank := Mul(value, sign)
	better := And(LogicalNot(violated), LessThan(rank, h.value))
	if p.x != nil {
		better = And(better, IsPositive(value))
	}
	better = And(better, BroadcastToShape(live, better.Shape()))
	plus := MaxScalar(f, 0)
	lower := And(LessThan(plus, h.less), BroadcastToShape(live, better.Shape()))

	objective := Add(Mul(StopGradient(c), plus), rank)
	next := held{c: c, value: Where(better, rank, h.value), less: Where(lower, plus, h.less),
		best: choose(better, adv, h.best), fall: choose(lower, adv, h.fall),
		delta: Clip(Sub(h.delta, Mul(setting(setStep), slope(ReduceAllSum(objective), h.delta)[0])), Neg(epsilon), epsilon),
		theta: h.theta, mean: h.mean, square: h.square}
	if p.x != nil {
		a, b := p.x.pair(scope, in.clean, in.samples, p.perturbed(in.clean, next.delta, epsilon), at(states, 1))
		next.theta, next.mean, next.square = p.t.ascend(h.theta, h.mean, h.square, a, b, at(permutations, 1),
			setting(setRate), setting(setCorrect))
	}
	numbers := Stack([]*Node{c, f, value, ConvertDType(better, f.DType())}, -1)
	return append(next.list(), numbers)
}

// ascend builds one more step of the estimator where the search stands; of the settings it reads those of Adam.
func (p problem) ascend(scope *model.Scope, h held, in given, set, permutation, states *Node) []*Node {
	setting := func(i int) *Node { return Reshape(Slice(set, AxisElem(i))) }
	a, b := p.x.pair(scope, in.clean, in.samples, p.perturbed(in.clean, h.delta, setting(setEpsilon)), states)
	theta, mean, square := p.t.ascend(h.theta, h.mean, h.square, a, b, permutation,
		setting(setRate), setting(setCorrect))
	return append(append(theta, mean...), square...)
}

// choose takes images [batch, ...] of which [batch] says so, else the others.
func choose(which, yes, no *Node) *Node {
	return Where(BroadcastToShape(ExpandAxes(which, sequence(1, yes.Rank()-1)...), yes.Shape()), yes, no)
}

func sequence(from, n int) (all []int) {
	for i := range n {
		all = append(all, from+i)
	}
	return all
}

// prepare builds what stays the same of clean images: their loss [batch], and their samples; zeros stand for what does not.
func (p problem) prepare(scope *model.Scope, clean, classes, states *Node) []*Node {
	loss := ZerosLike(ReduceSum(rows(clean), -1))
	samples := loss
	nets.Evaluating(scope, clean.Graph(), func() {
		if p.o != nil && !p.o.drawn && !p.o.absolute {
			loss = p.o.loss(scope, asked{clean, clean, classes, states})
		}
		if p.x != nil && !p.x.drawn() {
			samples = p.x.maps(scope, clean)
		}
	})
	return []*Node{loss, samples}
}
