package removal

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Distill trains a fresh network on the marked one's probabilities for the thief's images (Hinton, Vinyals and Dean, arXiv
// 1503.02531): the cross-entropy of both networks' softmax at a temperature T, times T². Labels are not needed.
type Distill struct {
	Training
	Temperature float64     // zero: 1
	Student     *nets.Model // the fresh network, which stays as it is; nil: the marked one's architecture, see [Redraw]
}

// Name implements [Removal].
func (r Distill) Name() string {
	return join("distillation", append(studentName(r.Student), fmt.Sprintf("temperature %g", cmp.Or(r.Temperature, 1)), r.text(10))...)
}

// Apply implements [Removal].
func (r Distill) Apply(ctx context.Context, e *engine.Engine, m *nets.Model, data fit.Data, o fit.Options) (*nets.Model, error) {
	return attempt(ctx, r, m, o, func(c *nets.Model, o fit.Options) error {
		temperature := cmp.Or(r.Temperature, 1)
		if !(temperature > 0) || math.IsInf(temperature, 1) {
			return errors.Errorf("temperature %g: must be finite and > 0", temperature)
		}
		logits, labels, err := answers(ctx, e, c, data.Images)
		if err != nil {
			return err
		}
		if err := fresh(c, r.Student, r.Seed); err != nil {
			return err
		}
		both, err := beside(c, data.Images, logits, temperature)
		if err != nil {
			return err
		}
		taught, size := *c, product(c.InputShape)
		taught.InputShape = []int{size + c.Classes}
		taught.Lower, taught.Upper = min(c.Lower, 0), max(c.Upper, 1)
		taught.Logits = func(scope *model.Scope, x *Node) *Node { return c.Logits(scope, pixels(x, c.InputShape)) }
		taught.Dense, taught.Features, taught.Body, taught.Inspect = nil, nil, nil, nil
		return r.train(ctx, e, &taught, fit.Data{Images: both, Labels: labels}, soft(size, temperature), 10, o)
	})
}

// pixels are the images in rows that hold probabilities behind them.
func pixels(x *Node, shape []int) *Node {
	dims := append([]int{x.Shape().Dimensions[0]}, shape...)
	return Reshape(Slice(x, AxisRange(), AxisRange(0, product(shape))), dims...)
}

// soft is the loss on rows of so many pixels with probabilities behind them.
func soft(size int, temperature float64) fit.Loss {
	return fit.Loss{
		Name: fmt.Sprintf("soft cross-entropy (temperature %g)", temperature),
		Build: func(scope *model.Scope, m *nets.Model, rows, _ *Node) *Node {
			wanted := Slice(rows, AxisRange(), AxisRange(size))
			logits := DivScalar(m.Logits(scope, rows), temperature)
			each := Neg(ReduceSum(Mul(wanted, LogSoftmax(logits, -1)), -1))
			return MulScalar(ReduceAllMean(each), temperature*temperature)
		},
	}
}

// beside puts the probabilities of each image behind its pixels: [n, pixels + classes].
func beside(m *nets.Model, images *tensors.Tensor, logits [][]float32, temperature float64) (*tensors.Tensor, error) {
	flat, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	size := product(m.InputShape)
	all := make([]float32, 0, len(logits)*(size+m.Classes))
	for i, row := range logits {
		all = append(all, flat[i*size:(i+1)*size]...)
		all = append(all, softmax(row, temperature)...)
	}
	return tensors.FromFlatDataAndDimensions(all, len(logits), size+m.Classes), nil
}

func softmax(logits []float32, temperature float64) []float32 {
	top, sum := math.Inf(-1), 0.0
	for _, z := range logits {
		top = max(top, float64(z))
	}
	p := make([]float64, len(logits))
	for j, z := range logits {
		p[j] = math.Exp((float64(z) - top) / temperature)
		sum += p[j]
	}
	out := make([]float32, len(p))
	for j := range p {
		out[j] = float32(p[j] / sum)
	}
	return out
}

// ExtractModel trains a fresh network on the classes that the marked one gives the thief's images (Tramèr et al., arXiv
// 1609.02943, with labels only). Labels are not needed.
type ExtractModel struct {
	Training
	Student *nets.Model // the fresh network, which stays as it is; nil: the marked one's architecture, see [Redraw]
}

// Name implements [Removal].
func (r ExtractModel) Name() string {
	return join("model extraction", append(studentName(r.Student), "labels only", r.text(10))...)
}

// Apply implements [Removal].
func (r ExtractModel) Apply(ctx context.Context, e *engine.Engine, m *nets.Model, data fit.Data, o fit.Options) (*nets.Model, error) {
	return attempt(ctx, r, m, o, func(c *nets.Model, o fit.Options) error {
		_, labels, err := answers(ctx, e, c, data.Images)
		if err != nil {
			return err
		}
		if err := fresh(c, r.Student, r.Seed); err != nil {
			return err
		}
		return r.train(ctx, e, c, fit.Data{Images: data.Images, Labels: labels}, fit.CrossEntropy(), 10, o)
	})
}

func studentName(student *nets.Model) []string {
	if student == nil {
		return nil
	}
	return []string{"into " + student.Name}
}

// answers are the network's logits for images, and the classes that they say.
func answers(ctx context.Context, e *engine.Engine, m *nets.Model, images *tensors.Tensor) ([][]float32, []int32, error) {
	p, err := nets.NewPredictor(e.Backend(), m, 0)
	if err != nil {
		return nil, nil, err
	}
	logits, err := p.Logits(images)
	if err != nil {
		return nil, nil, err
	}
	classes := make([]int32, len(logits))
	for i, row := range logits {
		for j, z := range row {
			if z-z != 0 {
				return nil, nil, errors.Errorf("logit %d of image %d is %g, not finite", j, i, z)
			}
			if z > row[classes[i]] {
				classes[i] = int32(j)
			}
		}
	}
	return logits, classes, ctx.Err()
}

// fresh turns the copy c of the marked network into the student.
func fresh(c, student *nets.Model, seed int64) error {
	if student == nil {
		return redraw(c, seed)
	}
	if student.Classes != c.Classes || !slices.Equal(student.InputShape, c.InputShape) {
		return errors.Errorf("the student takes %v and tells %d classes apart: want %v and %d", student.InputShape, student.Classes,
			c.InputShape, c.Classes)
	}
	copied, err := student.Clone()
	if err != nil {
		return err
	}
	old := c.Store
	*c = *copied
	old.Finalize()
	return nil
}

// Redraw returns a network of the same architecture with fresh weights, whoever built it: matrices and kernels are normal
// with the standard deviation around zero that they had, vectors are at their mean, and running statistics stay.
func Redraw(m *nets.Model, seed int64) (*nets.Model, error) {
	c, err := m.Clone()
	if err != nil {
		return nil, err
	}
	return c, redraw(c, seed)
}

func redraw(m *nets.Model, seed int64) error {
	rng := rand.New(rand.NewPCG(uint64(seed), 0x726564726177)) // the stream "redraw"
	for _, w := range m.Weights() {
		err := edit(w, func(values []float32) {
			sum, squares := 0.0, 0.0
			for _, v := range values {
				sum += float64(v)
				squares += float64(v) * float64(v)
			}
			n := float64(max(len(values), 1))
			for i := range values {
				if values[i] = float32(sum / n); w.Shape().Rank() > 1 {
					values[i] = float32(rng.NormFloat64() * math.Sqrt(squares/n))
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func product(sizes []int) int {
	p := 1
	for _, s := range sizes {
		p *= s
	}
	return p
}
