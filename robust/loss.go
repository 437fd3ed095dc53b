package robust

import (
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// Loss is what a gradient attack climbs, for each example.
type Loss int

// The losses, written for an untargeted attack on class y, with π the order of the logits from the largest down.
const (
	CrossEntropy Loss = iota // log Σ_j exp(z_j) - z_y
	Margin                   // max_{j≠y} z_j - z_y (Carlini and Wagner, arXiv 1608.04644)
	// DLR is the difference of logits ratio (Croce and Hein, arXiv 2003.01690, equation 6), which neither the scale of
	// the logits nor a shift of them changes: -(z_y - max_{j≠y} z_j) / (z_π1 - z_π3 + 1e-12).
	DLR
)

var losses = [...]string{CrossEntropy: "ce", Margin: "margin", DLR: "dlr"}

// ParseLoss reads "ce", "margin" or "dlr".
func ParseLoss(s string) (Loss, error) {
	for l, name := range losses {
		if strings.EqualFold(s, name) {
			return Loss(l), nil
		}
	}
	return 0, errors.Errorf("robust: loss %q: want ce, margin or dlr", s)
}

// String returns "ce", "margin" or "dlr".
func (l Loss) String() string {
	if l < 0 || int(l) >= len(losses) {
		return "unknown loss"
	}
	return losses[l]
}

// Validate reports a loss that does not exist, or that a model with this many classes does not have: DLR needs three,
// its targeted forms four.
func (l Loss) Validate(classes int, targeted bool) error {
	least := 2
	if l == DLR {
		if least = 3; targeted {
			least = 4
		}
	}
	switch {
	case l < 0 || int(l) >= len(losses):
		return errors.Errorf("Loss = %d: want CrossEntropy, Margin or DLR", int(l))
	case classes < least:
		return errors.Errorf("%s: needs >= %d classes, got %d", l, least, classes)
	}
	return nil
}

// Graph builds the loss [batch] from logits [batch, classes] and classes int32 [batch]: the labels that the adversary
// wants to leave, or (targeted) the targets t that it wants to reach. Targeted, cross-entropy and margin are negated, and
// DLR is that of [Loss.Towards] with the strongest class other than t in place of the label. Panics on error.
func (l Loss) Graph(logits, classes *Node, targeted bool) *Node {
	l.mustFit(logits, targeted)
	hot := OneHot(classes, logits.Shape().Dimensions[1], logits.DType())
	var loss *Node
	switch l {
	case CrossEntropy:
		loss = nets.CrossEntropy(logits, classes)
	default:
		others := Sub(logits, MulScalar(hot, 1e30)) // the class itself out of the maximum
		loss = Sub(ReduceMax(others, -1), ReduceSum(Mul(logits, hot), -1))
	}
	if l == DLR {
		loss = Div(loss, dlrScale(logits, targeted))
	}
	if targeted {
		loss = Neg(loss)
	}
	return loss
}

// Towards builds the loss [batch] of leaving the labels y for the targets t, both int32 [batch]; it does not look at
// third classes more than it must:
//
//	ce      z_t - log Σ_j exp(z_j)
//	margin  z_t - z_y
//	dlr     -(z_y - z_t) / (z_π1 - (z_π3 + z_π4)/2 + 1e-12)   (arXiv 2003.01690, equation 7)
//
// Panics on error.
func (l Loss) Towards(logits, labels, targets *Node) *Node {
	if l == CrossEntropy {
		return l.Graph(logits, targets, true)
	}
	l.mustFit(logits, true)
	classes := logits.Shape().Dimensions[1]
	hot := Sub(OneHot(targets, classes, logits.DType()), OneHot(labels, classes, logits.DType()))
	loss := ReduceSum(Mul(logits, hot), -1)
	if l == DLR {
		loss = Div(loss, dlrScale(logits, true))
	}
	return loss
}

func (l Loss) mustFit(logits *Node, targeted bool) {
	if err := l.Validate(logits.Shape().Dimensions[1], targeted); err != nil {
		exceptions.Panicf("%s", err)
	}
}

// dlrScale is the denominator of DLR [batch]. Which logits are the largest is found on a copy without gradient, as there
// is none of sorting; the logits themselves are picked by one-hot products, and have one.
func dlrScale(logits *Node, targeted bool) *Node {
	rest, classes := StopGradient(logits), logits.Shape().Dimensions[1]
	var sorted []*Node
	for range 4 {
		hot := OneHot(ArgMax(rest, -1, dtypes.Int32), classes, logits.DType())
		sorted = append(sorted, ReduceSum(Mul(logits, hot), -1))
		if rest = Sub(rest, MulScalar(hot, 1e30)); !targeted && len(sorted) == 3 {
			break
		}
	}
	below := sorted[2]
	if targeted {
		below = MulScalar(Add(sorted[2], sorted[3]), 0.5)
	}
	return AddScalar(Sub(sorted[0], below), 1e-12)
}
