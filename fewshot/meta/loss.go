package meta

import (
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/trustbook/trustbook/nets"
)

// CrossEntropy builds the mean cross-entropy of each task, [tasks], from logits [tasks, n, classes] and labels int32
// [tasks, n].
func CrossEntropy(logits, labels *Node) *Node {
	return ReduceMean(nets.CrossEntropy(logits, labels), -1)
}

// SquaredError builds the mean squared error of each task, [tasks], from outputs and targets [tasks, n, outputs].
func SquaredError(outputs, targets *Node) *Node {
	return ReduceMean(Square(Sub(outputs, targets)), 1, 2)
}

// KL builds the mean over a task's images of KL(p ‖ q), [tasks], for the softmax p of clean and q of perturbed logits
// [tasks, n, classes]: the regularizer of TRADES (Zhang et al., arXiv 1901.08573), which needs no labels.
func KL(clean, perturbed *Node) *Node {
	return ReduceMean(nets.KL(LogSoftmax(clean, -1), LogSoftmax(perturbed, -1)), -1)
}

// project is the projection head of the contrastive task: features [tasks, n, F] through F→F→F with ReLU.
func project(p []*Node, features *Node) *Node {
	x := dense(features, p[0], p[1])
	return dense(Max(x, ZerosLike(x)), p[2], p[3])
}
