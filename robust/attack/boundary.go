package attack

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/robust"
)

// Boundary is the boundary attack (Brendel et al., arXiv 1712.04248), for l2, by decisions alone, as its authors wrote it for
// Foolbox: a walk from a success along the decision boundary. A query is a random step on the sphere around the clean image and a
// step towards that; it is taken if it is a success that is nearer. Every tenth time the step on the sphere is asked about by
// itself, too. Both steps grow where they succeed often (the sphere's in half of the last 100 times, the other's in a quarter of
// 30), and shrink where they seldom do (a fifth, a tenth).
//
// It minimizes the norm. A start comes from Problem.Starts; or, with targets, from another image of the problem whose label is the
// target; or it is noise. It is brought to the boundary by bisection.
type Boundary struct {
	Queries    int        // for each example, all counted; zero: 5000
	Sphere     float64    // first step on the sphere, as a share of the distance; zero: 0.01
	Source     float64    // first step towards the clean image, as a share of the distance; zero: 0.01
	Directions Directions // of steps on the sphere; nil: FullSpace
	Budgets    []int      // of queries, rising: each Trace keeps what the attack finds with so many
}

var _ robust.Unbudgeted = Boundary{}

// Name implements robust.Attack.
func (a Boundary) Name() string {
	a = a.defaults()
	s := fmt.Sprintf("boundary(queries=%d", a.Queries)
	if a.Sphere != 0.01 || a.Source != 0.01 {
		s += fmt.Sprintf(", sphere=%g, source=%g", a.Sphere, a.Source)
	}
	return s + ", " + a.Directions.Name() + ")"
}

// Access implements robust.Attack.
func (Boundary) Access() robust.Access { return robust.Decisions }

// Unbudgeted implements robust.Unbudgeted.
func (Boundary) Unbudgeted() bool { return true }

func (a Boundary) defaults() Boundary {
	a.Queries, a.Sphere, a.Source = cmp.Or(a.Queries, 5000), cmp.Or(a.Sphere, 0.01), cmp.Or(a.Source, 0.01)
	if a.Directions == nil {
		a.Directions = FullSpace{}
	}
	return a
}

// Perturb implements robust.Attack.
func (a Boundary) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a = a.defaults()
	switch {
	case p.Threat.Norm != robust.L2:
		return nil, errors.Errorf("boundary: works in l2, not in %s", p.Threat.Norm)
	case !(a.Sphere > 0) || math.IsInf(a.Sphere, 1) || !(a.Source > 0) || math.IsInf(a.Source, 1):
		return nil, errors.Errorf("Sphere = %g, Source = %g: must be finite and > 0", a.Sphere, a.Source)
	}
	h := &hunt{v: v, p: p, name: a.Name(), queries: a.Queries, budgets: a.Budgets, directions: a.Directions, search: a.search}
	return h.run(ctx)
}

func (a Boundary) search(s *seeker) error {
	x, err := s.start()
	if err != nil {
		return err
	}
	if _, x, err = s.bisect(0, 1, 1e-3, s.between(x)); err != nil {
		return err
	}
	s.stands(x)
	sphere, source := a.Sphere, a.Source
	spheres, steps := rates{size: 100}, rates{size: 30}
	for t := 0; source >= 1e-7; t++ {
		ways, err := s.ways(1, false)
		if err != nil {
			return err
		}
		around, next := a.propose(s, x, ways[0], sphere, source)
		points, look := [][]float64{next}, t%10 == 0
		if look {
			points = append(points, around)
		}
		met, err := s.ask(points)
		if err != nil {
			return err
		}
		if next = widened(s.point(0)); met[0] && s.length(next) < s.length(x) {
			x = next
			s.stands(x)
		}
		if !look {
			continue
		}
		spheres.add(met[1])
		steps.add(met[0])
		if rate, full := spheres.rate(); full && rate > 0.5 {
			sphere, source = sphere*1.5, source*1.5
			spheres.clear()
		} else if full && rate < 0.2 {
			sphere, source = sphere/1.5, source/1.5
			spheres.clear()
		}
		if rate, full := steps.rate(); full && rate > 0.25 {
			source *= 1.5
			steps.clear()
		} else if full && rate < 0.1 {
			source /= 1.5
			steps.clear()
		}
	}
	return nil
}

// propose returns the point of a step on the sphere around the clean image, and where the step from there towards it leads.
func (Boundary) propose(s *seeker, x, way []float64, sphere, source float64) (around, next []float64) {
	far := s.length(x)
	out := s.moved(x, -1, func(i int) float64 { return s.x0[i] })
	across := dot(way, out) / (far * far)
	way = s.moved(way, -across, func(i int) float64 { return out[i] })
	normalize(way)
	shrunk := math.Sqrt(sphere*sphere + 1)
	around = s.asAsked(s.moved(s.x0, 1/shrunk, func(i int) float64 { return out[i] + sphere*far*way[i] }))
	// How far the bounds have let it come counts, too.
	now := s.length(around)
	if now == 0 {
		return around, around
	}
	back := max(0, source*far+now-far) / now
	return around, s.moved(around, back, func(i int) float64 { return s.x0[i] - around[i] })
}

// rates are the last successes of so many.
type rates struct {
	size int
	last []bool
}

func (r *rates) add(ok bool) {
	if r.last = append(r.last, ok); len(r.last) > r.size {
		r.last = r.last[1:]
	}
}

func (r *rates) clear() { r.last = r.last[:0] }

// rate is the share of successes, and whether there are enough to tell.
func (r *rates) rate() (share float64, full bool) {
	for _, ok := range r.last {
		if ok {
			share++
		}
	}
	return share / float64(r.size), len(r.last) == r.size
}
