package maml

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// CrossEntropy builds the mean cross-entropy of each task, [tasks], from logits [tasks, n, classes] and labels int32
// [tasks, n].
func CrossEntropy(logits, labels *Node) *Node {
	classes := logits.Shape().Dimensions[2]
	right := OneHot(labels, classes, logits.DType())
	return Neg(ReduceMean(ReduceSum(Mul(LogSoftmax(logits, -1), right), -1), -1))
}

// SquaredError builds the mean squared error of each task, [tasks], from outputs and targets [tasks, n, outputs].
func SquaredError(outputs, targets *Node) *Node {
	return ReduceMean(Square(Sub(outputs, targets)), 1, 2)
}

// KL builds the mean over a task's images of KL(p ‖ q), [tasks], for the softmax p of clean and q of perturbed logits
// [tasks, n, classes]: the regularizer of TRADES (Zhang et al., arXiv 1901.08573), which needs no labels.
func KL(clean, perturbed *Node) *Node {
	p := LogSoftmax(clean, -1)
	return ReduceMean(ReduceSum(Mul(Exp(p), Sub(p, LogSoftmax(perturbed, -1))), -1), -1)
}

// NTXent builds the contrastive loss of each task, [tasks], from embeddings [tasks, 2B, features] of two views of each of
// B images, first all first views and then all second ones (Chen et al., arXiv 2002.05709, equation 1). Embeddings are
// scaled to length 1 here.
func NTXent(embeddings *Node, temperature float64) *Node {
	d := embeddings.Shape().Dimensions
	g, n := embeddings.Graph(), d[1]
	z := Div(embeddings, Sqrt(AddScalar(ReduceAndKeep(Square(embeddings), ReduceSum, -1), 1e-12)))
	similar := DivScalar(Einsum("tif,tjf->tij", z, z), temperature)
	self, partner := make([][]float64, n), make([][]float64, n)
	for i := range n {
		self[i], partner[i] = make([]float64, n), make([]float64, n)
		self[i][i], partner[i][(i+n/2)%n] = -1e9, 1
	}
	constant := func(values [][]float64) *Node { return InsertAxes(ConvertDType(Const(g, values), z.DType()), 0) }
	return Neg(ReduceMean(ReduceSum(Mul(LogSoftmax(Add(similar, constant(self)), -1), constant(partner)), -1), -1))
}

// project is the projection head of the contrastive task: features [tasks, n, F] through F→F→F with ReLU.
func project(p []*Node, features *Node) *Node {
	x := dense(features, p[0], p[1])
	return dense(Max(x, ZerosLike(x)), p[2], p[3])
}
