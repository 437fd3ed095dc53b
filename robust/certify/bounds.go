package certify

import (
	"cmp"
	"math"
	"slices"

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
	*Coverage
	exec, body *model.Exec    // body: images to the input of the first covered layer; nil if that is the images
	victim     *robust.Victim // for its batches
}

// NewCertifier prepares the bounds of a network that ends in dense layers (see Covers); others are refused. Graphs run on
// batches of the given size (0: 256).
func NewCertifier(e *engine.Engine, m *nets.Model, batch int) (*Certifier, error) {
	cover, err := Covers(m)
	if err != nil {
		return nil, err
	}
	v, err := robust.NewVictim(e, m, cmp.Or(batch, 256))
	if err != nil {
		return nil, err
	}
	c := &Certifier{Coverage: cover, victim: v}
	c.exec, err = model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, x, y, epsilonInput, radii *Node) []*Node {
		layers := c.nodes(scope, x.Graph())
		for i := range layers {
			layers[i] = layers[i].as(dtypes.Float64)
		}
		zero := ScalarZero(x.Graph(), dtypes.Float64)
		still, moving := sameRadius(layers, zero), withRadii(layers, radii)
		x = ConvertDType(Reshape(x, x.Shape().Dimensions[0], -1), dtypes.Float64)
		all := boundGraph(moving, x, y, epsilonInput)
		input := boundGraph(still, x, y, epsilonInput).drop
		weight := boundGraph(moving, x, y, zero).drop
		clean := robust.CrossEntropy.Graph(all.logits, y, false)
		return []*Node{all.margin, all.drop, input, weight, all.ibp, clean, upperLoss(all)}
	})
	if err == nil && !c.Whole() {
		c.body, err = model.NewExec(e.Backend(), m.Store, c.features)
	}
	if err != nil {
		return nil, errors.WithMessagef(err, "certify: bounds of %s with %d layers", m.Name, len(c.Layers))
	}
	return c, nil
}

// Bounds computes the margin bounds for l-infinity perturbations of inputs (radius t.Epsilon) and weights (t.Weights,
// one radius a weight tensor or one for all). images is [n, InputShape...], labels one class an example. Weights that are
// not covered must have radius 0; then inputs must have radius 0 too.
func (c *Certifier) Bounds(images *tensors.Tensor, labels []int32, t robust.Threat) (*Bounds, error) {
	if err := checkProblem(c.m, images, labels, t); err != nil {
		return nil, err
	}
	radii, err := c.layerRadii(t)
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
		x := c.victim.Images(flat, rows)
		if c.body != nil {
			if x, err = c.body.Call1(x); err != nil {
				return nil, errors.WithMessage(err, "certify: features")
			}
		}
		out, err := c.exec.Call(x, c.victim.Ints(labels, rows), t.Epsilon, radii)
		if err != nil {
			return nil, errors.WithMessage(err, "certify: margin bounds")
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
			*tables[i] = slices.AppendSeq(*tables[i], slices.Chunk(values[:len(rows)*c.m.Classes], c.m.Classes))
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
func (c *Certifier) Close() {
	c.exec.Finalize()
	if c.body != nil {
		c.body.Finalize()
	}
}

// inputs are the inputs [n, values] of the first covered layer.
func (c *Certifier) inputs(images *tensors.Tensor) (*tensors.Tensor, error) {
	flat, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	n := images.Shape().Dimensions[0]
	if c.body == nil {
		return tensors.FromFlatDataAndDimensions(flat, n, len(flat)/n), nil
	}
	var all []float32
	width := 0
	for rows := range c.victim.Batches(robust.Rows(n)) {
		out, err := c.body.Call1(c.victim.Images(flat, rows))
		if err != nil {
			return nil, errors.WithMessage(err, "certify: features")
		}
		values, err := tensors.CopyFlatData[float32](out)
		if err != nil {
			return nil, err
		}
		width = out.Shape().Dimensions[1]
		all = append(all, values[:len(rows)*width]...)
	}
	return tensors.FromFlatDataAndDimensions(all, n, width), nil
}

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

// Floor is a lower bound on the margin f_y - f_j of example i under perturbation: the larger of the two that we have,
// Margin - Total and IBP.
func (b *Bounds) Floor(i, j int) float64 { return max(b.Margin[i][j]-b.Total[i][j], b.IBP[i][j]) }

// Margins are the certified margins: of each example the smallest Floor over all other classes. Where it is positive, no
// perturbation inside the threat can change the (right) prediction.
func (b *Bounds) Margins(labels []int32) []float64 {
	margins := make([]float64, len(labels))
	for i, y := range labels {
		margins[i] = math.Inf(1)
		for j := range b.Margin[i] {
			if int32(j) != y {
				margins[i] = min(margins[i], b.Floor(i, j))
			}
		}
	}
	return margins
}

// CertifiedAccuracy is the share of examples that are Certified.
func CertifiedAccuracy(e *engine.Engine, m *nets.Model, images *tensors.Tensor, labels []int32, t robust.Threat) (float64, error) {
	b, err := MarginBounds(e, m, images, labels, t)
	if err != nil {
		return 0, err
	}
	return Share(b.Certified(labels)), nil
}

// LossBounds returns the clean cross-entropy of each example and the bound on it under perturbation:
//
//	CE(f_{W+Δ}(x+ξ), y)  <=  upper  <=  clean + max_j B_yj
func LossBounds(e *engine.Engine, m *nets.Model, images *tensors.Tensor, labels []int32,
	t robust.Threat) (clean, upper []float64, err error) {
	b, err := MarginBounds(e, m, images, labels, t)
	if err != nil {
		return nil, nil, err
	}
	return b.Clean, b.Upper, nil
}

func checkProblem(m *nets.Model, images *tensors.Tensor, labels []int32, t robust.Threat) error {
	if m == nil || images == nil {
		return errors.New("certify: give a model and images")
	}
	if t.Norm != robust.Linf {
		return errors.Errorf("certify: norm %s: the bound is for linf", t.Norm)
	}
	if err := cmp.Or(t.Validate(len(m.Weights())), t.RequireBudget()); err != nil {
		return err
	}
	if err := m.CheckImages(images); err != nil {
		return err
	}
	if n := images.Shape().Dimensions[0]; len(labels) != n {
		return errors.Errorf("certify: %d labels for %d images", len(labels), n)
	}
	return m.CheckLabels(labels)
}

// Share is the share of flags that are set, such as the certified accuracy from Certified; NaN of none.
func Share(flags []bool) float64 {
	n := 0
	for _, f := range flags {
		if f {
			n++
		}
	}
	return float64(n) / float64(len(flags))
}
