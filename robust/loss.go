package robust

import (
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/pkg/errors"
)

// Loss is what a gradient attack climbs, for each example.
type Loss int

// The losses, written for an untargeted attack on class y; for a targeted one on class t they are negated.
const (
	CrossEntropy Loss = iota // log Σ_j exp(z_j) - z_y
	Margin                   // max_{j≠y} z_j - z_y (Carlini and Wagner, arXiv 1608.04644)
)

// ParseLoss reads "ce" or "margin".
func ParseLoss(s string) (Loss, error) {
	for _, l := range []Loss{CrossEntropy, Margin} {
		if strings.EqualFold(s, l.String()) {
			return l, nil
		}
	}
	return 0, errors.Errorf("robust: loss %q: want ce or margin", s)
}

// String returns "ce" or "margin".
func (l Loss) String() string {
	if l == Margin {
		return "margin"
	}
	return "ce"
}

// Graph builds the loss [batch] from logits [batch, classes] and classes int32 [batch]: the labels that the adversary
// wants to leave, or (targeted) the targets that it wants to reach. Panics on error.
func (l Loss) Graph(logits, classes *Node, targeted bool) *Node {
	hot := OneHot(classes, logits.Shape().Dimensions[1], logits.DType())
	var loss *Node
	if l == Margin {
		others := Sub(logits, MulScalar(hot, 1e30)) // the class itself out of the maximum
		loss = Sub(ReduceMax(others, -1), ReduceSum(Mul(logits, hot), -1))
	} else {
		loss = Neg(ReduceSum(Mul(LogSoftmax(logits, -1), hot), -1))
	}
	if targeted {
		loss = Neg(loss)
	}
	return loss
}
