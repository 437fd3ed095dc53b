package attack

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/robust"
)

// RayS looks for the direction of signs in which the decision boundary is nearest (Chen and Gu, arXiv 2006.12792; the authors'
// code), for linf, by decisions alone. It starts with all pixels up, and turns blocks of them around: the whole image, halves,
// quarters and so on to single pixels. A turn is kept if the boundary is nearer then, which one query at the present radius tells;
// only then is the new radius found by bisection.
//
// It minimizes the norm. Blocks are of neighbors in rows of pixels, one channel after the other, whatever the layout. It ends early
// once no turn of a single pixel helps. From Problem.Starts it takes the signs. Towards targets it seldom finds a way.
type RayS struct {
	Queries   int     // for each example, all counted; zero: 5000
	Tolerance float64 // of a radius in l2, as a share of the pixels' range; zero: 1e-3
	Budgets   []int   // of queries, rising: each Trace keeps what the attack finds with so many
}

var _ robust.Unbudgeted = RayS{}

// Name implements robust.Attack.
func (a RayS) Name() string {
	a = a.defaults()
	if a.Tolerance != 1e-3 {
		return fmt.Sprintf("rays(queries=%d, tolerance=%g)", a.Queries, a.Tolerance)
	}
	return fmt.Sprintf("rays(queries=%d)", a.Queries)
}

// Access implements robust.Attack.
func (RayS) Access() robust.Access { return robust.Decisions }

// Unbudgeted implements robust.Unbudgeted.
func (RayS) Unbudgeted() bool { return true }

func (a RayS) defaults() RayS {
	a.Queries, a.Tolerance = cmp.Or(a.Queries, 5000), cmp.Or(a.Tolerance, 1e-3)
	return a
}

// Perturb implements robust.Attack.
func (a RayS) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a = a.defaults()
	switch {
	case p.Threat.Norm != robust.Linf:
		return nil, errors.Errorf("rays: works in linf, not in %s", p.Threat.Norm)
	case !(a.Tolerance > 0) || math.IsInf(a.Tolerance, 1):
		return nil, errors.Errorf("Tolerance = %g: must be finite and > 0", a.Tolerance)
	}
	l, err := layoutOf(v.Model.InputShape)
	if err != nil {
		return nil, errors.Errorf("rays: inputs of shape %v are no images: want one, two or three axes", v.Model.InputShape)
	}
	r := rays{RayS: a}
	for c := range l.channels {
		for y := range l.height {
			for x := range l.width {
				r.order = append(r.order, l.place(c, y, x))
			}
		}
	}
	h := &hunt{v: v, p: p, name: a.Name(), queries: a.Queries, budgets: a.Budgets, search: r.search}
	return h.run(ctx)
}

// rays is RayS for images of one layout.
type rays struct {
	RayS
	order []int // where the pixels stand, one channel after the other
}

func (r rays) search(s *seeker) error {
	signs, radius := make([]float64, s.size), math.Inf(1) // in linf
	for i := range signs {
		signs[i] = 1
	}
	if s.starts != nil {
		for i := range signs {
			signs[i] = math.Copysign(1, float64(s.starts[s.row*s.size+i])-s.x0[i])
		}
		var err error
		if radius, err = r.nearer(s, signs, radius); err != nil {
			return err
		}
	}
	for blocks, helped := 1, false; ; {
		size := max(1, (s.size+blocks-1)/blocks)
		for first := 0; first < s.size; first += size {
			block := r.order[first:min(first+size, s.size)]
			turn(signs, block)
			found, err := r.nearer(s, signs, radius)
			if err != nil {
				return err
			}
			if found < radius {
				radius, helped = found, true
				s.stands(along(s, signs, radius))
			} else {
				turn(signs, block)
			}
		}
		switch {
		case size > 1:
			blocks, helped = 2*blocks, false
		case !helped && math.IsInf(radius, 1):
			return failure("no success in any direction that was tried")
		case !helped:
			return nil
		default:
			helped = false // single pixels once more
		}
	}
}

// nearer returns the radius in a direction, if it is below the present one; else that.
func (r rays) nearer(s *seeker, signs []float64, radius float64) (float64, error) {
	at := func(m float64) []float64 { return along(s, signs, m) }
	high := min(radius, s.high-s.low)
	if met, err := s.met(at(high)); err != nil || !met {
		return radius, err
	}
	high, _, err := s.bisect(0, high, r.Tolerance*(s.high-s.low)/math.Sqrt(float64(s.size)), at)
	return high, err
}

// turn turns the signs of a block around.
func turn(signs []float64, block []int) {
	for _, i := range block {
		signs[i] = -signs[i]
	}
}
