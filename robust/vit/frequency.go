package vit

import (
	"context"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// Filtered is the accuracy under PGD at Reference when only some frequencies of its perturbation are left.
type Filtered struct {
	Mask     string  `json:"mask"` // "low", "high" or "complement" (all but low)
	Size     int     `json:"size"` // the mask's r
	Accuracy float64 `json:"accuracy"`
	Norm     float64 `json:"norm"` // the largest l-infinity norm of what is left, which may exceed Reference
}

type mask struct {
	mask attack.Mask
	size int
}

// masks are the frequency masks of the study: low, high and all but low, at an eighth, a quarter and a half of the
// shorter side.
func masks(l nets.Layout) (all []mask) {
	for _, share := range []int{8, 4, 2} {
		for _, m := range []attack.Mask{attack.Low, attack.High, attack.Complement} {
			all = append(all, mask{m, max(1, min(l.Height, l.Width)/share)})
		}
	}
	return all
}

// plane is 1 at the coefficients that the mask keeps and 0 elsewhere, of a shape that multiplies images of a rank, the
// batch's axis included.
func (m mask) plane(l nets.Layout, rank int) *tensors.Tensor {
	values := make([]float32, l.Height*l.Width)
	for i := range values {
		if m.mask.Keeps(i/l.Width, i%l.Width, m.size) {
			values[i] = 1
		}
	}
	dims := slices.Repeat([]int{1}, rank)
	height, width := l.Axes()
	dims[height], dims[width] = l.Height, l.Width
	return tensors.FromFlatDataAndDimensions(values, dims...)
}

// filtered measures what is left of an attack's success when each mask filters its perturbations. What is left may move a
// pixel further than the radius, which the referee would not allow: the norms are reported instead.
func (g *gauge) filtered(ctx context.Context, s *Study, perturbed *tensors.Tensor, masks []mask) ([]Filtered, error) {
	v, box := g.victim, g.net
	step, err := v.Compile("filtered", func(o *robust.Oracle, args []*Node) []*Node { // one graph for all masks
		x, delta, keep := args[0], Sub(args[1], args[0]), args[2]
		y := ClipScalar(Add(x, attack.IDCT2(Mul(attack.DCT2(delta), keep))), box.Lower, box.Upper)
		return []*Node{o.Predict(x), o.Predict(y), ReduceMax(Reshape(Abs(Sub(y, x)), x.Shape().Dimensions[0], -1), -1)}
	})
	if err != nil {
		return nil, err
	}
	clean, err := tensors.CopyFlatData[float32](s.images)
	if err != nil {
		return nil, err
	}
	moved, err := tensors.CopyFlatData[float32](perturbed)
	if err != nil {
		return nil, err
	}
	all := make([]Filtered, len(masks))
	for rows := range v.Batches(robust.Rows(len(s.labels))) {
		for k, m := range masks {
			out, err := step.Call(ctx, rows, v.Images(clean, rows), v.Images(moved, rows), m.plane(s.layout, s.images.Rank()))
			if err != nil {
				return nil, err
			}
			f := &all[k]
			f.Mask, f.Size = m.mask.String(), m.size
			before, after := tensors.MustCopyFlatData[int32](out[0]), tensors.MustCopyFlatData[int32](out[1])
			norms := tensors.MustCopyFlatData[float32](out[2])
			for i, row := range rows {
				if y := s.labels[row]; before[i] == y && after[i] == y {
					f.Accuracy += 1 / float64(len(s.labels))
				}
				f.Norm = max(f.Norm, float64(norms[i]))
			}
		}
	}
	return all, nil
}

// energy is the share of the perturbations' energy at each frequency of the cosine transform, [height·width].
func (s *Study) energy(perturbed *tensors.Tensor) ([]float64, error) {
	if s.energies == nil { // compiled once
		var err error
		if s.energies, err = NewExec(s.e.Backend(), s.energyGraph); err != nil {
			return nil, err
		}
	}
	out, err := s.energies.Call1(s.images, perturbed)
	if err != nil {
		return nil, err
	}
	var shares []float64
	for _, v := range tensors.MustCopyFlatData[float32](out) {
		shares = append(shares, float64(v))
	}
	return shares, nil
}

func (s *Study) energyGraph(x, moved *Node) *Node {
	height, width := s.layout.Axes()
	var over []int
	for axis := range x.Rank() {
		if axis != height && axis != width {
			over = append(over, axis)
		}
	}
	energy := ReduceSum(Square(attack.DCT2(Sub(moved, x))), over...)
	return Div(energy, MaxScalar(ReduceAllSum(energy), 1e-30))
}

// cumulative sums energy over the squares of low frequencies, from 1x1 to the whole; nil if it was not measured.
func (r *Result) cumulative(energy []float64) []float64 {
	l := r.layout()
	if len(energy) == 0 {
		return nil
	}
	c := make([]float64, max(l.Height, l.Width))
	for i, v := range energy {
		c[max(i/l.Width, i%l.Width)] += v
	}
	return floats.CumSum(c, c)
}

func (r *Result) layout() nets.Layout {
	l, _ := nets.LayoutOf(r.Shape) // Open refused other shapes
	return l
}
