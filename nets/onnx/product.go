package onnx

import (
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/trustbook/trustbook/nets"
)

func (v *values) gemm(n *protos.NodeProto) {
	a, b := v.get(n.Input[0]), v.get(n.Input[1])
	if a.Rank() != 2 || b.Rank() != 2 {
		exceptions.Panicf("shapes %s and %s: want two matrices", a.Shape(), b.Shape())
	}
	if intOr(n, "transA", 0) != 0 {
		a = TransposeAllAxes(a, 1, 0)
	}
	if intOr(n, "transB", 0) != 0 {
		b = TransposeAllAxes(b, 1, 0)
	}
	if image := v.flat[n.Input[0]]; image != nil && intOr(n, "transA", 0) == 0 {
		a, b = channelsLastProduct(image, a, b)
	}
	y := MatMul(a, b)
	if alpha := floatOr(n, "alpha", 1); alpha != 1 {
		y = MulScalar(y, alpha)
	}
	if c := v.in(n, 2); c != nil {
		if beta := floatOr(n, "beta", 1); beta != 1 {
			c = MulScalar(c, beta)
		}
		if dims := broadcastDims(c.Shape().Dimensions, y.Shape().Dimensions); !slices.Equal(dims, y.Shape().Dimensions) {
			exceptions.Panicf("the third input has shape %s, the product %s", c.Shape(), y.Shape())
		}
		if !c.IsScalar() {
			c = ExpandLeftToRank(c, 2)
		}
		y = Add(y, c)
	}
	v.set(n, y)
}

// channelsLastProduct returns the factors of a·b, where a is an image, flattened: with the rows of b in the order in which the
// image lies, if that is less to turn about.
func channelsLastProduct(image, a, b *Node) (*Node, *Node) {
	d, n := image.Shape().Dimensions, b.Shape().Dimensions[1]
	if len(d) != 4 || n > d[0] || b.Shape().Dimensions[0] != a.Shape().Dimensions[1] {
		return a, b
	}
	b = TransposeAllAxes(Reshape(b, d[3], d[1], d[2], n), 1, 2, 0, 3)
	return Reshape(nets.Settled(image), d[0], -1), Reshape(b, -1, n)
}

func (v *values) matMul(n *protos.NodeProto) {
	v.set(n, numpyMatMul(v.get(n.Input[0]), v.get(n.Input[1])))
}

// numpyMatMul is numpy.matmul.
func numpyMatMul(a, b *Node) *Node {
	if a.Rank() < 1 || b.Rank() < 1 {
		exceptions.Panicf("shapes %s and %s: want vectors, matrices or batches of them", a.Shape(), b.Shape())
	}
	if a.Rank() > 2 && b.Rank() > 2 {
		da, db := a.Shape().Dimensions, b.Shape().Dimensions
		batch := broadcastDims(da[:len(da)-2], db[:len(db)-2])
		a = broadcastTo(a, slices.Concat(batch, da[len(da)-2:]))
		b = broadcastTo(b, slices.Concat(batch, db[len(db)-2:]))
	}
	return MatMul(a, b)
}

// einsum multiplies operand by operand, and sums over each letter once no operand to come has it.
func (v *values) einsum(n *protos.NodeProto) {
	equation := strings.ReplaceAll(stringOr(n, "equation", ""), " ", "")
	left, right, explicit := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(n.Input) {
		exceptions.Panicf("equation %q for %d operands", equation, len(n.Input))
	}
	operands := make([]*Node, len(terms))
	widest := 0
	for i, term := range terms {
		operands[i] = v.get(n.Input[i])
		letters := len(strings.Replace(term, "...", "", 1))
		if strings.Contains(term, "...") {
			widest = max(widest, operands[i].Rank()-letters)
		} else if letters != operands[i].Rank() {
			exceptions.Panicf("equation %q: operand %d has shape %s", equation, i, operands[i].Shape())
		}
	}
	const free = "αβγδεζηθ" // for the axes that dots stand for, aligned at the last
	dots := []rune(free)[:min(widest, 8)]
	labels := make([][]rune, len(terms))
	times := map[rune]int{}
	for i, term := range terms {
		extra := max(operands[i].Rank()-len(strings.Replace(term, "...", "", 1)), 0)
		if extra > len(dots) {
			exceptions.Panicf("equation %q: operand %d has shape %s", equation, i, operands[i].Shape())
		}
		labels[i] = []rune(strings.Replace(term, "...", string(dots[len(dots)-extra:]), 1))
		for _, l := range labels[i] {
			times[l]++
		}
	}
	out := []rune(strings.Replace(right, "...", string(dots), 1))
	if !explicit { // the letters that occur once, in order
		out = slices.Clone(dots)
		var once []rune
		for l, count := range times {
			if count == 1 && !slices.Contains(dots, l) {
				once = append(once, l)
			}
		}
		slices.Sort(once)
		out = append(out, once...)
	}
	x, have := labeled(operands[0], labels[0])
	for i := range terms {
		if i > 0 {
			next, more := labeled(operands[i], labels[i])
			x, have = multiply(x, have, next, more, func(l rune) bool { return slices.Contains(out, l) || later(labels[i+1:], l) })
		}
		var gone []int
		for at, l := range have {
			if !slices.Contains(out, l) && !later(labels[i+1:], l) {
				gone = append(gone, at)
			}
		}
		if len(gone) > 0 {
			x = ReduceSum(x, gone...)
			have = slices.DeleteFunc(slices.Clone(have), func(l rune) bool { return !slices.Contains(out, l) && !later(labels[i+1:], l) })
		}
	}
	order := make([]int, len(out))
	for i, l := range out {
		if order[i] = slices.Index(have, l); order[i] < 0 {
			exceptions.Panicf("equation %q: no operand has %q", equation, l)
		}
	}
	if len(out) != len(have) {
		exceptions.Panicf("equation %q names an axis twice on its right", equation)
	}
	v.set(n, TransposeAllAxes(x, order...))
}

func later(labels [][]rune, l rune) bool {
	return slices.ContainsFunc(labels, func(all []rune) bool { return slices.Contains(all, l) })
}

// labeled takes the diagonal where a label stands twice.
func labeled(x *Node, labels []rune) (*Node, []rune) {
	for i := 0; i < len(labels); i++ {
		for j := i + 1; j < len(labels); j++ {
			if labels[i] != labels[j] {
				continue
			}
			d := x.Shape().Dimensions
			if d[i] != d[j] {
				exceptions.Panicf("axes %d and %d of %s differ", i, j, x.Shape())
			}
			shape := x.Shape().Clone()
			shape.DType = dtypes.Int32
			same := Equal(Iota(x.Graph(), shape, i), Iota(x.Graph(), shape, j))
			x = ReduceSum(Where(same, x, ZerosLike(x)), j)
			labels = slices.Delete(slices.Clone(labels), j, j+1)
			j--
		}
	}
	return x, labels
}

// multiply is the product of two labeled operands, summed over the labels that both have and nobody keeps.
func multiply(a *Node, la []rune, b *Node, lb []rune, keep func(l rune) bool) (*Node, []rune) {
	var contractA, contractB, batchA, batchB []int
	var batch, restA, restB []rune
	for i, l := range la {
		j := slices.Index(lb, l)
		switch {
		case j < 0 || a.Shape().Dimensions[i] != b.Shape().Dimensions[j]: // of size 1 in one of them: broadcast below
			restA = append(restA, l)
		case keep(l):
			batch, batchA, batchB = append(batch, l), append(batchA, i), append(batchB, j)
		default:
			contractA, contractB = append(contractA, i), append(contractB, j)
		}
	}
	for _, l := range lb {
		if i := slices.Index(la, l); i >= 0 && slices.Contains(restA, l) {
			return broadcastMultiply(a, la, b, lb)
		} else if i < 0 {
			restB = append(restB, l)
		}
	}
	return DotGeneral(a, contractA, batchA, b, contractB, batchB), slices.Concat(batch, restA, restB)
}

// broadcastMultiply multiplies operands of which one has an axis of size 1 where the other has more.
func broadcastMultiply(a *Node, la []rune, b *Node, lb []rune) (*Node, []rune) {
	all := slices.Clone(la)
	for _, l := range lb {
		if !slices.Contains(all, l) {
			all = append(all, l)
		}
	}
	spread := func(x *Node, labels []rune) *Node {
		var order, dims []int
		for _, l := range all {
			if i := slices.Index(labels, l); i >= 0 {
				order, dims = append(order, i), append(dims, x.Shape().Dimensions[i])
			} else {
				dims = append(dims, 1)
			}
		}
		return Reshape(TransposeAllAxes(x, order...), dims...)
	}
	return mul(spread(a, la), spread(b, lb)), all
}
