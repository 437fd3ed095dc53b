package nets

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// CrossEntropy builds log Σ_j exp(z_j) - z_y of each example, [...], from logits [..., classes] and labels int32 [...].
func CrossEntropy(logits, labels *Node) *Node {
	classes := logits.Shape().Dimensions[logits.Rank()-1]
	return Neg(ReduceSum(Mul(LogSoftmax(logits, -1), OneHot(labels, classes, logits.DType())), -1))
}

// KL builds the Kullback-Leibler divergence KL(p ‖ q) of each example, [...], from log-probabilities [..., classes], such
// as LogSoftmax makes of logits.
func KL(logP, logQ *Node) *Node { return ReduceSum(Mul(Exp(logP), Sub(logP, logQ)), -1) }

// NTXent builds the contrastive loss of each batch, [batches], from embeddings [batches, 2B, features] of two views of
// each of B images, first all first views and then all second ones (Chen et al., arXiv 2002.05709, equation 1).
// Embeddings are scaled to length 1 here.
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
