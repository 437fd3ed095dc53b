package attack

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
)

// minimal is a search for the nearest success of each example: the frame of FAB, DeepFool and CW.
type minimal struct {
	job                // result holds the nearest success, or the clean image
	lengths  []float32 // of the nearest success in the threat's norm; +Inf: none found
	margins  []float32 // of the clean images: how far they are from a success (<= 0)
	rivals   []int32   // [n, ranks]: of each image the other classes, the likeliest first
	ranks    int
	examples int
}

// begin looks at the clean images; ranks (at least 1) is how many of the other classes to note. Examples on which the
// goal is met without any change have distance zero.
func begin(ctx context.Context, v *robust.Victim, p robust.Problem, ranks int) (*minimal, error) {
	switch {
	case p.Threat.MovesWeights():
		return nil, errors.New("this attack moves inputs only: use JointPGD for a threat with weights")
	case p.Goal.Classes() == nil:
		return nil, errors.New("the goal has neither labels nor targets: Evaluate fills in the clean predictions")
	}
	clean, err := tensors.CopyFlatData[float32](p.Images)
	if err != nil {
		return nil, err
	}
	m := &minimal{job: job{v: v, p: p, clean: clean, result: slices.Clone(clean), classes: p.Goal.Classes(),
		targeted: p.Goal.Targeted(), progress: p.Progress}, ranks: ranks, examples: p.Images.Shape().Dimensions[0]}
	if m.progress == nil {
		m.progress = report.Silent{}
	}
	targeted := m.targeted
	step, err := v.Compile(fmt.Sprintf("minimal/start/targeted=%t/ranks=%d", targeted, ranks), func(o *robust.Oracle, args []*Node) []*Node {
		logits := o.Logits(args[0])
		others := Sub(logits, MulScalar(OneHot(args[1], logits.Shape().Dimensions[1], logits.DType()), 1e30))
		_, rivals := TopK(others, ranks, -1)
		return []*Node{ConvertDType(met(logits, args[1], targeted), dtypes.Int32),
			robust.Margin.Graph(logits, args[1], targeted), ConvertDType(rivals, dtypes.Int32)}
	})
	if err != nil {
		return nil, err
	}
	for rows := range v.Batches(robust.Rows(m.examples)) {
		out, err := step.Call(ctx, rows, v.Images(clean, rows), v.Ints(m.classes, rows))
		if err != nil {
			return nil, err
		}
		done, err := tensors.CopyFlatData[int32](out[0])
		if err != nil {
			return nil, err
		}
		margins, err := tensors.CopyFlatData[float32](out[1])
		if err != nil {
			return nil, err
		}
		rivals, err := tensors.CopyFlatData[int32](out[2])
		if err != nil {
			return nil, err
		}
		for i, r := range rows {
			if margins[i] != margins[i] {
				return nil, errors.Errorf("the logits of example %d are NaN: look at the model's weights", r)
			}
			length := float32(math.Inf(1))
			if done[i] == 1 {
				length = 0
			}
			m.lengths = append(m.lengths, length)
		}
		m.margins = append(m.margins, margins[:len(rows)]...)
		m.rivals = append(m.rivals, rivals[:len(rows)*ranks]...)
	}
	return m, nil
}

// open returns the examples that are not at distance zero already nor, if within is not negative, solved within it.
func (m *minimal) open(within float64) (rows []int) {
	for r, length := range m.lengths {
		if length > 0 && float64(length) > within {
			rows = append(rows, r)
		}
	}
	return rows
}

// classesFrom returns the classes of the given ranks, count of them from first on, as a tensor int32 [Batch, count].
func (m *minimal) classesFrom(first, count int, rows []int) *tensors.Tensor {
	picked := make([]int32, 0, m.v.Batch*count)
	for _, r := range m.v.Full(rows) {
		at := r*m.ranks + first
		picked = append(picked, m.rivals[at:at+count]...)
	}
	return tensors.FromFlatDataAndDimensions(picked, m.v.Batch, count)
}

// column returns one value an example as a tensor [Batch], padded as Victim.Images pads.
func (m *minimal) column(values []float32, rows []int) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(nets.PickRows(values, 1, m.v.Full(rows)), m.v.Batch)
}

// keep takes over the nearest successes of a batch and their lengths.
func (m *minimal) keep(rows []int, best, lengths *tensors.Tensor) error {
	images, err := tensors.CopyFlatData[float32](best)
	if err != nil {
		return err
	}
	values, err := tensors.CopyFlatData[float32](lengths)
	if err != nil {
		return err
	}
	size := len(images) / m.v.Batch
	for i, r := range rows {
		if values[i] < m.lengths[r] {
			m.lengths[r] = values[i]
			copy(m.result[r*size:(r+1)*size], images[i*size:(i+1)*size])
		}
	}
	return nil
}

// answer returns the nearest successes. One beyond the threat's radius gives way to its projection or, should that be a
// success by chance, to the clean image.
func (m *minimal) answer(ctx context.Context) (*robust.Perturbation, error) {
	if m.p.Threat.HasBudget() {
		norm, box, targeted := m.p.Threat.Norm, m.box(), m.targeted
		step, err := m.v.Compile(fmt.Sprintf("minimal/cut/%s/targeted=%t", norm, targeted), func(o *robust.Oracle, args []*Node) []*Node {
			x, clean, epsilon := flat(args[0]), flat(args[1]), args[2]
			distance := robust.Length(norm, Sub(ConvertDType(x, dtypes.Float64), ConvertDType(clean, dtypes.Float64)))
			inside := LessOrEqual(distance, ConvertDType(epsilon, dtypes.Float64))
			cut := robust.Project(norm, x, clean, epsilon, box)
			cut = rowsWhere(met(o.Logits(ReshapeLike(cut, args[0])), args[3], targeted), clean, cut)
			return []*Node{ReshapeLike(Where(BroadcastToShape(inside, x.Shape()), x, cut), args[0])}
		})
		if err != nil {
			return nil, err
		}
		size := len(m.clean) / m.examples
		for rows := range m.v.Batches(robust.Rows(m.examples)) {
			out, err := step.Call(ctx, rows, m.v.Images(m.result, rows), m.v.Images(m.clean, rows), float32(m.p.Threat.Epsilon),
				m.v.Ints(m.classes, rows))
			if err != nil {
				return nil, err
			}
			images, err := tensors.CopyFlatData[float32](out[0])
			if err != nil {
				return nil, err
			}
			for i, r := range rows {
				copy(m.result[r*size:(r+1)*size], images[i*size:(i+1)*size])
			}
		}
	}
	return &robust.Perturbation{Images: tensors.FromFlatDataAndDimensions(m.result, m.p.Images.Shape().Dimensions...)}, nil
}

// met builds whether the goal is met, bool [batch].
func met(logits, classes *Node, targeted bool) *Node {
	if predicted := ArgMax(logits, -1, dtypes.Int32); targeted {
		return Equal(predicted, classes)
	} else {
		return NotEqual(predicted, classes)
	}
}

// rowsWhere is Where with one condition [batch] for rows [batch, values].
func rowsWhere(condition, yes, no *Node) *Node {
	return Where(BroadcastToShape(Reshape(condition, -1, 1), yes.Shape()), yes, no)
}
