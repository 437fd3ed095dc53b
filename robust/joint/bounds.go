package joint

import (
	"cmp"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// Bounds are the margin bounds of a set of examples, computed in float64. All slices are [example][class]; the column
// of the example's own label holds 0.
type Bounds struct {
	Margin [][]float64 // f_y - f_j of the clean network on the clean input
	Total  [][]float64 // B_yj: no perturbation inside the threat lowers the margin by more
	Input  [][]float64 // B_yj of the inputs alone
	Weight [][]float64 // B_yj of the weights alone
	Cross  [][]float64 // Total - Input - Weight >= 0: what the two singular analyses miss together
	IBP    [][]float64 // interval lower bound on the perturbed margin itself, usually tighter than Margin - Total
	Clean  []float64   // cross-entropy of the clean network on the clean input
	Upper  []float64   // bound on the cross-entropy under perturbation
}

// rows returns the bounds of some of the examples.
func (b *Bounds) rows(from, to int) *Bounds {
	return &Bounds{Margin: b.Margin[from:to], Total: b.Total[from:to], Input: b.Input[from:to], Weight: b.Weight[from:to],
		Cross: b.Cross[from:to], IBP: b.IBP[from:to], Clean: b.Clean[from:to], Upper: b.Upper[from:to]}
}

// Certifier computes bounds of one model: compiled once, used for any images and radii.
type Certifier struct {
	m      *nets.Model
	exec   *model.Exec
	victim *robust.Victim // for its batches
}

// NewCertifier prepares the bounds of a dense ReLU network; others are refused. Graphs run on batches of the given
// size (0: 256).
func NewCertifier(e *engine.Engine, m *nets.Model, batch int) (*Certifier, error) {
	if m == nil {
		return nil, errors.New("joint: give a model")
	}
	layers, err := layerTensors(m)
	if err != nil {
		return nil, err
	}
	v, err := robust.NewVictim(e, m, cmp.Or(batch, 256))
	if err != nil {
		return nil, err
	}
	exec, err := model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, x, y, epsilonInput, epsilonWeights *Node) []*Node {
		nodes := layerNodes(m, scope, x.Graph())
		var radii, none []*Node
		for i := range nodes {
			nodes[i] = nodes[i].as(dtypes.Float64)
			radii = append(radii, Reshape(Slice(epsilonWeights, AxisElem(i))))
			none = append(none, ScalarZero(x.Graph(), dtypes.Float64))
		}
		x = ConvertDType(Reshape(x, x.Shape().Dimensions[0], -1), dtypes.Float64)
		all := boundGraph(nodes, x, y, epsilonInput, radii)
		input := boundGraph(nodes, x, y, epsilonInput, none).drop
		weight := boundGraph(nodes, x, y, none[0], radii).drop
		clean := robust.CrossEntropy.Graph(all.logits, y, false)
		return []*Node{all.margin, all.drop, input, weight, all.ibp, clean, upperLoss(all)}
	})
	if err != nil {
		return nil, errors.WithMessagef(err, "joint: bounds of %s with %d layers", m.Name, len(layers))
	}
	return &Certifier{m: m, exec: exec, victim: v}, nil
}

// Bounds computes the margin bounds for l-infinity perturbations of inputs (radius t.Epsilon) and weights (t.Weights,
// one radius a weight tensor or one for all). images is [n, InputShape...], labels one class an example.
func (c *Certifier) Bounds(images *tensors.Tensor, labels []int32, t robust.Threat) (*Bounds, error) {
	if err := checkProblem(c.m, images, labels, t); err != nil {
		return nil, err
	}
	radii, err := layerRadii(c.m, t)
	if err != nil {
		return nil, err
	}
	flat, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	b := &Bounds{}
	tables, lists := []*[][]float64{&b.Margin, &b.Total, &b.Input, &b.Weight, &b.IBP}, []*[]float64{&b.Clean, &b.Upper}
	for rows := range c.victim.Batches(robust.Rows(len(labels))) {
		out, err := c.exec.Call(c.victim.Images(flat, rows), c.victim.Ints(labels, rows), t.Epsilon, radii)
		if err != nil {
			return nil, errors.WithMessage(err, "joint: margin bounds")
		}
		for i, o := range out {
			values, err := tensors.CopyFlatData[float64](o)
			if err != nil {
				return nil, err
			}
			if i >= len(tables) {
				*lists[i-len(tables)] = append(*lists[i-len(tables)], values[:len(rows)]...)
				continue
			}
			for r := range rows {
				*tables[i] = append(*tables[i], values[r*c.m.Classes:(r+1)*c.m.Classes])
			}
		}
	}
	for i := range b.Total {
		cross := make([]float64, c.m.Classes)
		for j := range cross {
			cross[j] = b.Total[i][j] - b.Input[i][j] - b.Weight[i][j]
		}
		b.Cross = append(b.Cross, cross)
	}
	return b, nil
}

// MarginBounds is Certifier.Bounds for a single use.
func MarginBounds(e *engine.Engine, m *nets.Model, images *tensors.Tensor, labels []int32, t robust.Threat) (*Bounds, error) {
	c, err := NewCertifier(e, m, min(256, max(1, len(labels))))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Bounds(images, labels, t)
}

// Close frees the compiled graph.
func (c *Certifier) Close() { c.exec.Finalize() }

// Certified reports for each example whether no perturbation inside the threat can change its (right) prediction:
// margin - bound > 0 for every other class.
func (b *Bounds) Certified(labels []int32) []bool {
	certified := make([]bool, len(labels))
	for i, y := range labels {
		certified[i] = true
		for j := range b.Margin[i] {
			if int32(j) != y && !(b.Margin[i][j]-b.Total[i][j] > 0) {
				certified[i] = false
			}
		}
	}
	return certified
}

// CertifiedAccuracy is the share of examples that are Certified.
func CertifiedAccuracy(e *engine.Engine, m *nets.Model, images *tensors.Tensor, labels []int32, t robust.Threat) (float64, error) {
	b, err := MarginBounds(e, m, images, labels, t)
	if err != nil {
		return 0, err
	}
	return share(b.Certified(labels)), nil
}

// LossBounds returns the clean cross-entropy of each example and the bound on it under perturbation:
//
//	CE(f_{W+Δ}(x+ξ), y)  <=  upper  <=  clean + max_j B_yj
func LossBounds(e *engine.Engine, m *nets.Model, images *tensors.Tensor, labels []int32, t robust.Threat) (clean, upper []float64, err error) {
	b, err := MarginBounds(e, m, images, labels, t)
	if err != nil {
		return nil, nil, err
	}
	return b.Clean, b.Upper, nil
}

func checkProblem(m *nets.Model, images *tensors.Tensor, labels []int32, t robust.Threat) error {
	if m == nil || images == nil {
		return errors.New("joint: give a model and images")
	}
	if t.Norm != robust.Linf {
		return errors.Errorf("joint: norm %s: the bound is for linf", t.Norm)
	}
	if err := cmp.Or(t.Validate(len(m.Weights())), t.RequireBudget()); err != nil {
		return err
	}
	if err := m.CheckImages(images); err != nil {
		return err
	}
	if n := images.Shape().Dimensions[0]; len(labels) != n {
		return errors.Errorf("joint: %d labels for %d images", len(labels), n)
	}
	return m.CheckLabels(labels)
}

// layerRadii turns one radius a weight tensor into one a layer; a bias must move by its weight's radius.
func layerRadii(m *nets.Model, t robust.Threat) ([]float64, error) {
	perTensor := t.WeightRadii(len(m.Weights()))
	indexes, err := layerTensors(m)
	if err != nil {
		return nil, err
	}
	var radii []float64
	for k, index := range indexes {
		radii = append(radii, perTensor[index.weight])
		if index.bias >= 0 && perTensor[index.bias] != perTensor[index.weight] {
			return nil, errors.Errorf("joint: layer %d: its bias has radius %g and its weight %g: the bound takes one for both",
				k+1, perTensor[index.bias], perTensor[index.weight])
		}
	}
	return radii, nil
}

func (l layer) as(dtype dtypes.DType) layer {
	l.weight = ConvertDType(l.weight, dtype)
	if l.bias != nil {
		l.bias = ConvertDType(l.bias, dtype)
	}
	return l
}

func share(flags []bool) float64 {
	n := 0
	for _, f := range flags {
		if f {
			n++
		}
	}
	return float64(n) / float64(len(flags))
}
