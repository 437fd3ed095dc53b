package attack

import (
	"context"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// Mask names the coefficients of the discrete cosine transform that a filter of size r keeps (arXiv 2103.15670).
// Coefficient (0, 0) is the mean.
type Mask int

// The masks.
const (
	Low        Mask = iota // rows < r and columns < r: r·r coefficients
	High                   // rows >= r and columns >= r: (H-r)·(W-r) coefficients, which is not all that Low drops
	Complement             // all that Low drops
)

// String returns "low", "high" or "complement".
func (m Mask) String() string {
	switch m {
	case Low:
		return "low"
	case High:
		return "high"
	case Complement:
		return "complement"
	}
	return "unknown mask"
}

// Keeps reports whether the filter of size r keeps a coefficient.
func (m Mask) Keeps(row, column, r int) bool {
	switch m {
	case Low:
		return row < r && column < r
	case High:
		return row >= r && column >= r
	default:
		return row >= r || column >= r
	}
}

// DCT2 builds the orthonormal two-dimensional DCT-II of each channel of images [batch, height, width],
// [batch, height, width, channels] or [batch, channels, height, width]; coefficients lie where pixels lay. The channels'
// axis is the smaller of the first and the last one of an image, of equal ones the last. Panics on other shapes.
//
//	X_k = s_k Σ_n x_n cos(π(2n+1)k / 2N)     s_0 = √(1/N), else s_k = √(2/N)
func DCT2(images *Node) *Node { return transform(images, false) }

// IDCT2 builds the inverse of DCT2.
func IDCT2(coefficients *Node) *Node { return transform(coefficients, true) }

// Filter builds IDCT2(DCT2(images) ⊙ mask). r is in [1, the shorter side]. Panics on error.
func Filter(images *Node, mask Mask, r int) *Node {
	l, err := pictures(images.Shape().Dimensions[1:])
	if err == nil {
		err = checkFilter(mask, r, l)
	}
	if err != nil {
		exceptions.Panicf("%v", err)
	}
	keep := make([]float32, 0, l.height*l.width)
	for row := range l.height {
		for column := range l.width {
			value := float32(0)
			if mask.Keeps(row, column, r) {
				value = 1
			}
			keep = append(keep, value)
		}
	}
	shape := []int{1, l.height, l.width}
	switch {
	case images.Rank() == 4 && l.last:
		shape = []int{1, l.height, l.width, 1}
	case images.Rank() == 4:
		shape = []int{1, 1, l.height, l.width}
	}
	plane := Const(images.Graph(), tensors.FromFlatDataAndDimensions(keep, shape...))
	return IDCT2(Mul(DCT2(images), ConvertDType(plane, images.DType())))
}

// transform multiplies rows and columns with the cosine basis, or with its transpose.
func transform(x *Node, inverse bool) *Node {
	l, err := pictures(x.Shape().Dimensions[1:])
	if err != nil {
		exceptions.Panicf("%v", err)
	}
	rows, columns := "bchw,kh->bckw", "bckw,lw->bckl"
	switch {
	case x.Rank() == 3:
		rows, columns = "bhw,kh->bkw", "bkw,lw->bkl"
	case l.last:
		rows, columns = "bhwc,kh->bkwc", "bkwc,lw->bklc"
	}
	basis := func(n int) *Node {
		b := ConvertDType(Const(x.Graph(), cosines(n)), x.DType())
		if inverse {
			b = Transpose(b, 0, 1)
		}
		return b
	}
	return Einsum(columns, Einsum(rows, x, basis(l.height)), basis(l.width))
}

// cosines is the orthonormal basis of the DCT-II, [frequency][place].
func cosines(n int) [][]float64 {
	basis := make([][]float64, n)
	for k := range basis {
		scale := math.Sqrt(2 / float64(n))
		if k == 0 {
			scale = math.Sqrt(1 / float64(n))
		}
		basis[k] = make([]float64, n)
		for i := range basis[k] {
			basis[k][i] = scale * math.Cos(math.Pi*float64((2*i+1)*k)/float64(2*n))
		}
	}
	return basis
}

// pictures is the layout of images with two or three axes.
func pictures(shape []int) (layout, error) {
	if len(shape) != 2 && len(shape) != 3 {
		return layout{}, errors.Errorf("filter: inputs of shape %v are no images: want height and width, with or without channels", shape)
	}
	return layoutOf(shape)
}

func checkFilter(mask Mask, r int, l layout) error {
	if mask < Low || mask > Complement {
		return errors.Errorf("filter: Mask = %d: want Low, High or Complement", int(mask))
	}
	if side := min(l.height, l.width); r < 1 || r > side {
		return errors.Errorf("filter: r=%d must be in [1,%d]", r, side)
	}
	return nil
}

// Filtered filters what another attack found (arXiv 2103.15670):
//
//	x' = clip(x + Filter(x_attack - x, Mask, Size))     with the model's pixel bounds, and without any rescaling
//
// The filtered perturbation may be longer than the attack's radius, and the referee holds it to the threat's. For the
// paper's form, give the attack's radius here and none in the threat: then nothing is over the budget, and the outcome
// reports the norms as they are (Norms, MaxNorm).
//
//	o, err := robust.Evaluate(ctx, v, attack.Filtered{Attack: attack.PGD{}, Mask: attack.Low, Size: 7, Epsilon: 0.1},
//		robust.Problem{..., Threat: robust.Threat{Norm: robust.Linf, Epsilon: math.Inf(1)}})
//
// With a radius in the threat, Project brings the result back inside it.
type Filtered struct {
	Attack  robust.Attack
	Mask    Mask
	Size    int     // r, in [1, the image's shorter side]
	Epsilon float64 // radius that Attack gets; zero: that of the threat
	Project bool    // project the result to the threat's ball
}

var (
	_ robust.Unbudgeted = Filtered{}
	_ robust.Fitted     = Filtered{}
)

// Name implements robust.Attack.
func (a Filtered) Name() string {
	s := fmt.Sprintf("filtered(%s, r=%d", a.Mask, a.Size)
	if a.Epsilon > 0 {
		s += fmt.Sprintf(", epsilon=%g", a.Epsilon)
	}
	if a.Project {
		s += ", projected"
	}
	if a.Attack == nil {
		return s + ")"
	}
	return s + ", " + a.Attack.Name() + ")"
}

// Access implements robust.Attack.
func (a Filtered) Access() robust.Access {
	if a.Attack == nil {
		return robust.Decisions
	}
	return a.Attack.Access()
}

// For implements robust.Fitted.
func (a Filtered) For(m *nets.Model) robust.Attack {
	a.Attack = robust.For(a.Attack, m)
	return a
}

// Unbudgeted implements robust.Unbudgeted: with a radius of its own, or if the attack itself needs none.
func (a Filtered) Unbudgeted() bool {
	if a.Epsilon > 0 {
		return true
	}
	inner, ok := a.Attack.(robust.Unbudgeted)
	return ok && inner.Unbudgeted()
}

// Perturb implements robust.Attack.
func (a Filtered) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	l, err := pictures(v.Model.InputShape)
	if err == nil {
		err = checkFilter(a.Mask, a.Size, l)
	}
	switch {
	case err != nil:
		return nil, err
	case a.Attack == nil:
		return nil, errors.New("filter: Attack is nil: give the attack whose perturbation is filtered")
	case !(a.Epsilon >= 0) || math.IsInf(a.Epsilon, 1):
		return nil, errors.Errorf("filter: Epsilon = %g: must be finite and > 0, or 0 for the threat's", a.Epsilon)
	}
	inner := p
	if a.Epsilon > 0 {
		inner.Threat.Epsilon = a.Epsilon
	}
	found, err := a.Attack.Perturb(ctx, v, inner)
	if err != nil || found == nil || found.Images == nil {
		return found, err
	}
	project, norm := a.Project && p.Threat.HasBudget(), p.Threat.Norm
	box := robust.Box{Lower: v.Model.Lower, Upper: v.Model.Upper}
	step, err := v.Compile(fmt.Sprintf("filter/%s/%d/%t/%s", a.Mask, a.Size, project, norm), func(_ *robust.Oracle, args []*Node) []*Node {
		x, clean, epsilon := args[0], args[1], args[2]
		x = ClipScalar(Add(clean, Filter(Sub(x, clean), a.Mask, a.Size)), box.Lower, box.Upper)
		if project {
			x = ReshapeLike(robust.Project(norm, flat(x), flat(clean), epsilon, box), x)
		}
		return []*Node{x}
	})
	if err != nil {
		return nil, err
	}
	clean, err := tensors.CopyFlatData[float32](p.Images)
	if err != nil {
		return nil, err
	}
	moved, err := tensors.CopyFlatData[float32](found.Images)
	if err != nil {
		return nil, err
	}
	n := p.Images.Shape().Dimensions[0]
	size := len(clean) / n
	for rows := range v.Batches(robust.Rows(n)) {
		out, err := step.Call(ctx, rows, v.Images(moved, rows), v.Images(clean, rows), float32(p.Threat.Epsilon))
		if err != nil {
			return nil, err
		}
		filtered, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return nil, err
		}
		copy(moved[rows[0]*size:(rows[len(rows)-1]+1)*size], filtered)
	}
	found.Images = tensors.FromFlatDataAndDimensions(moved, p.Images.Shape().Dimensions...)
	return found, nil
}
