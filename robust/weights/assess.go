package weights

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/study"
)

// AssessConfig says how to assess a network. Zero fields mean the defaults.
type AssessConfig struct {
	Epsilon  float64 // weight radius; must be > 0
	Relative bool    // Epsilon is a share of each tensor's largest absolute weight
	Steps    int     // of weight PGD; zero: 20
	Restarts int     // of weight PGD; zero: 1
	Draws    int     // of the random control; zero: 10
	Bits     []int   // to which weights are rounded; nil: 8 to 2
	Batch    int     // examples a call; zero: 500
	Seed     int64
	Progress report.Progress // nil shows nothing
}

// Assessment is what moving the weights of a network does to it.
type Assessment struct {
	Examples int     `json:"examples"`
	Clean    float64 `json:"clean_accuracy"`
	// Parts are the perturbed parts: all weights, the dense layers that the bounds cover if those are not all, and each
	// matrix or kernel alone.
	Parts []PartAssessment `json:"parts"`
	Bits  []BitsAssessment `json:"quantized"`
	// Uncovered says where the bounds do not apply, and why; "" if they cover all weights.
	Uncovered string `json:"uncovered"`
}

// PartAssessment are the figures of one part whose weights move, all others staying.
type PartAssessment struct {
	Name     string  `json:"name"`
	Weights  int     `json:"weights"`           // how many move
	Random   float64 `json:"random_accuracy"`   // accuracy under the worst of the random corners
	Attacked float64 `json:"attacked_accuracy"` // accuracy under weight PGD
	// Certified is the share of examples whose right prediction nothing inside the radius can change, Margin the median
	// certified margin; nil where the bounds do not cover the part.
	Certified *float64 `json:"certified_accuracy"`
	Margin    *float64 `json:"median_certified_margin"`
}

// BitsAssessment are the figures of the network with rounded weights.
type BitsAssessment struct {
	Bits      int      `json:"bits"`
	Rounded   float64  `json:"accuracy"`
	Attacked  float64  `json:"attacked_accuracy"`  // under weight PGD inside the radii that rounding cannot leave
	Certified *float64 `json:"certified_accuracy"` // inside them; nil where the bounds do not cover all matrices
}

// Assess attacks, rounds and, as far as the bounds go, certifies a network on examples d.
func Assess(ctx context.Context, e *engine.Engine, m *nets.Model, d fit.Data, c AssessConfig) (*Assessment, error) {
	if m == nil {
		return nil, errors.New("weights: give a model")
	}
	if err := m.CheckImages(d.Images); err != nil {
		return nil, err
	}
	if n := d.Images.Shape().Dimensions[0]; len(d.Labels) != n {
		return nil, errors.Errorf("weights: %d labels for %d images", len(d.Labels), n)
	}
	if err := m.CheckLabels(d.Labels); err != nil {
		return nil, err
	}
	if c.Bits == nil {
		c.Bits = []int{8, 7, 6, 5, 4, 3, 2}
	}
	if err := study.First("weights", study.Positive(study.Rate("Epsilon", c.Epsilon)), checkBits(c.Bits...)); err != nil {
		return nil, err
	}
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	a, err := NewAssessor(e, m, min(cmp.Or(c.Batch, 500), len(d.Labels)))
	if err != nil {
		return nil, err
	}
	radii, err := c.radii(m)
	if err != nil {
		return nil, err
	}
	parts := a.parts()
	r := &Assessment{Examples: len(d.Labels), Uncovered: a.uncovered()}
	c.Progress.Begin("weights of "+m.Name, 0, 1+2*len(parts)+len(c.Bits))
	defer c.Progress.End()
	if r.Clean, err = a.Accuracy(ctx, c.pgd(), d, nil, c.Seed); err != nil {
		return nil, err
	}
	c.Progress.Advance(1)
	for _, p := range parts {
		if err := a.part(ctx, &p, radii, d, c); err != nil {
			return nil, errors.WithMessage(err, p.Name)
		}
		r.Parts = append(r.Parts, p.PartAssessment)
	}
	for _, bits := range c.Bits {
		b, covered, err := a.bits(ctx, bits, c.pgd(), d, c.Seed)
		if err != nil {
			return nil, errors.WithMessagef(err, "%d bits", bits)
		}
		known := BitsAssessment{Bits: bits, Rounded: b.Rounded, Attacked: b.Attacked}
		if covered {
			known.Certified = &b.Certified
		}
		r.Bits = append(r.Bits, known)
		c.Progress.Advance(1)
	}
	return r, nil
}

func (c AssessConfig) pgd() robust.Attack {
	return attack.JointPGD{Steps: c.Steps, Restarts: c.Restarts}
}

func (c AssessConfig) radii(m *nets.Model) ([]float64, error) {
	if c.Relative {
		return robust.RelativeRadii(m, c.Epsilon)
	}
	return slices.Repeat([]float64{c.Epsilon}, len(m.WeightPaths)), nil
}

// part is a part of a network, with the weight tensors that it consists of.
type part struct {
	PartAssessment
	tensors map[int]bool
}

// parts lists what is attacked.
func (a *Assessor) parts() []part {
	weights := a.Net.Weights()
	all := part{PartAssessment{Name: "all weights"}, map[int]bool{}}
	var single []part
	for i, w := range weights {
		all.tensors[i] = true
		if w.Shape().Rank() > 1 {
			single = append(single, part{PartAssessment{Name: tensorName(w)}, map[int]bool{i: true}})
		}
	}
	parts := []part{all}
	if a.Coverage != nil && !a.Coverage.Whole() {
		end := part{PartAssessment{Name: fmt.Sprintf("the last %d dense layers", len(a.Coverage.Layers))}, map[int]bool{}}
		if len(a.Coverage.Layers) == 1 {
			end.Name = "the last dense layer"
		}
		for i, r := range a.Coverage.Radii(1, -1) {
			if r > 0 {
				end.tensors[i] = true
			}
		}
		parts = append(parts, end)
	}
	parts = append(parts, single...)
	for i, p := range parts {
		for k := range p.tensors {
			parts[i].Weights += weights[k].Shape().Size()
		}
	}
	return parts
}

// tensorName is the name of a weight in its file or its layer, with its sizes.
func tensorName(w *model.Variable) string {
	sizes := make([]string, w.Shape().Rank())
	for i, d := range w.Shape().Dimensions {
		sizes[i] = strconv.Itoa(d)
	}
	return strings.TrimPrefix(strings.TrimPrefix(w.Path(), "/ONNX"), "/") + " " + strings.Join(sizes, "×")
}

// uncovered says where the bounds do not apply.
func (a *Assessor) uncovered() string {
	switch {
	case a.Coverage == nil:
		return a.Uncovered.Error()
	case a.Coverage.Whole():
		return ""
	}
	return fmt.Sprintf("the bounds cover the last %d of its dense layers only: %s", len(a.Coverage.Layers), a.Coverage.Why)
}

func (a *Assessor) part(ctx context.Context, p *part, radii []float64, d fit.Data, c AssessConfig) (err error) {
	radii = slices.Clone(radii)
	for i := range radii {
		if !p.tensors[i] {
			radii[i] = 0
		}
	}
	if p.Random, err = a.Accuracy(ctx, attack.RandomWeights{Draws: c.Draws}, d, radii, c.Seed); err != nil {
		return err
	}
	c.Progress.Advance(1)
	if p.Attacked, err = a.Accuracy(ctx, c.pgd(), d, radii, c.Seed); err != nil {
		return err
	}
	c.Progress.Advance(1)
	if !a.Covered(radii) {
		return nil
	}
	bounds, err := a.Bounds(d, radii)
	if err != nil {
		return err
	}
	margins := bounds.Margins(d.Labels)
	share := positive(margins)
	slices.Sort(margins)
	p.Certified, p.Margin = &share, &margins[len(margins)/2]
	return nil
}

// Tables are the assessment's tables: the parts, and the rounded weights.
func (r *Assessment) Tables() []*report.Table {
	known := func(v *float64) any {
		if v == nil {
			return "not covered"
		}
		return *v
	}
	parts := &report.Table{Title: "Weights under attack", Caption: fmt.Sprintf("%d examples, clean accuracy %.1f%%", r.Examples, 100*r.Clean),
		Columns: []report.Column{{Name: "part"}, {Name: "weights"}, {Name: "certified accuracy", Percent: true},
			{Name: "median certified margin"}, {Name: "random", Percent: true}, {Name: "weight PGD", Percent: true}}}
	for _, p := range r.Parts {
		parts.Rows = append(parts.Rows, []any{p.Name, p.Weights, known(p.Certified), known(p.Margin), p.Random, p.Attacked})
	}
	bits := &report.Table{Title: "Rounded weights", Caption: "Weight PGD and certificate: inside the radii that rounding cannot leave",
		Columns: []report.Column{{Name: "bits"}, {Name: "rounded", Percent: true}, {Name: "weight PGD", Percent: true},
			{Name: "certified accuracy", Percent: true}}}
	for _, b := range r.Bits {
		bits.Rows = append(bits.Rows, []any{b.Bits, b.Rounded, b.Attacked, known(b.Certified)})
	}
	return []*report.Table{parts, bits}
}
