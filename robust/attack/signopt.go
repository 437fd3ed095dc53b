package attack

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/robust"
)

// SignOPT searches for the direction θ in which the decision boundary is nearest (Cheng et al., arXiv 1909.10773; the authors'
// code), for l2, by decisions alone. With g(θ) the distance of the boundary in direction θ, one query tells for a direction
// close to θ whether g is above or below g(θ) there. From the signs of Probes such directions it takes its descent direction,
// whose length is searched for along the line.
//
// It minimizes the norm. It begins with the best of Initial directions, or goes to Problem.Starts; or, with targets, to another
// image of the problem whose label is the target. Unlike the authors' code it clips what it asks to the pixel bounds, and does not look
// outwards for a g that is above the present one, which changes nothing but the number of queries.
type SignOPT struct {
	Queries    int        // for each example, all counted; zero: 5000
	Probes     int        // of each step; zero: 200
	Initial    int        // directions to begin with; zero: 100
	Alpha      float64    // length of the first step; zero: 0.2
	Beta       float64    // how far probes are from θ, which has length 1; zero: 0.001
	Unclipped  bool       // asks about points outside of the pixel bounds, too; only points inside are results
	Directions Directions // of probes and of the start; nil: FullSpace
	Budgets    []int      // of queries, rising: each Trace keeps what the attack finds with so many
}

var _ robust.Unbudgeted = SignOPT{}

// Name implements robust.Attack.
func (a SignOPT) Name() string {
	a = a.defaults()
	s := fmt.Sprintf("sign-opt(queries=%d, probes=%d", a.Queries, a.Probes)
	if a.Initial != 100 || a.Alpha != 0.2 || a.Beta != 0.001 {
		s += fmt.Sprintf(", initial=%d, alpha=%g, beta=%g", a.Initial, a.Alpha, a.Beta)
	}
	if a.Unclipped {
		s += ", unclipped"
	}
	return s + ", " + a.Directions.Name() + ")"
}

// Access implements robust.Attack.
func (SignOPT) Access() robust.Access { return robust.Decisions }

// Unbudgeted implements robust.Unbudgeted.
func (SignOPT) Unbudgeted() bool { return true }

func (a SignOPT) defaults() SignOPT {
	a.Queries, a.Probes, a.Initial = cmp.Or(a.Queries, 5000), cmp.Or(a.Probes, 200), cmp.Or(a.Initial, 100)
	a.Alpha, a.Beta = cmp.Or(a.Alpha, 0.2), cmp.Or(a.Beta, 0.001)
	if a.Directions == nil {
		a.Directions = FullSpace{}
	}
	return a
}

// Perturb implements robust.Attack.
func (a SignOPT) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a = a.defaults()
	switch {
	case p.Threat.Norm != robust.L2:
		return nil, errors.Errorf("sign-opt: works in l2, not in %s", p.Threat.Norm)
	case a.Probes < 1 || a.Initial < 1:
		return nil, errors.Errorf("Probes = %d, Initial = %d: need at least 1", a.Probes, a.Initial)
	case !(a.Alpha > 0) || math.IsInf(a.Alpha, 1) || !(a.Beta > 0) || math.IsInf(a.Beta, 1):
		return nil, errors.Errorf("Alpha = %g, Beta = %g: must be finite and > 0", a.Alpha, a.Beta)
	case p.Starts == nil && a.Queries <= a.Initial:
		return nil, errors.Errorf("sign-opt: budget %d below the clean image and the %d initial directions", a.Queries, a.Initial)
	}
	h := &hunt{v: v, p: p, name: a.Name(), queries: a.Queries, budgets: a.Budgets, directions: a.Directions, search: a.search}
	return h.run(ctx)
}

// A line search doubles or quarters its step so often, at most.
const lineSteps = 15

func (a SignOPT) search(s *seeker) error {
	s.unclipped = a.Unclipped
	theta, g, err := a.begin(s)
	if err != nil {
		return err
	}
	s.stands(along(s, theta, g))
	for alpha, beta := a.Alpha, a.Beta; beta >= 1e-8; {
		if !s.affords(a.Probes + 1) { // at least one more along the line
			return errSpent
		}
		descent, err := a.descent(s, theta, g, beta)
		if err != nil {
			return err
		}
		best, least := theta, g
		try := func() (nearer bool, err error) {
			next := s.moved(theta, -alpha, func(i int) float64 { return descent[i] })
			if !normalize(next) {
				return false, nil
			}
			far, err := inwards(s, next, least, beta/500*(s.high-s.low))
			if nearer = far < least; nearer {
				best, least = next, far
			}
			return nearer, err
		}
		for nearer, k := true, 0; nearer && k < lineSteps; k++ {
			if nearer, err = try(); err != nil {
				return err
			}
			alpha *= 2
		}
		for k := 0; least >= g && k < lineSteps; k++ {
			alpha /= 4
			if _, err := try(); err != nil {
				return err
			}
		}
		if alpha < 1e-4 {
			alpha, beta = 1, beta/10
		}
		theta, g = best, least
		s.stands(along(s, theta, g))
	}
	return nil
}

// begin returns the direction to begin with, and how far the boundary is there.
func (a SignOPT) begin(s *seeker) (theta []float64, g float64, err error) {
	// Gaussian noise of the pixels' range is about so long.
	g, width := math.Sqrt(float64(s.size))*(s.high-s.low), 1e-3*(s.high-s.low)
	if s.starts != nil || s.p.Goal.Targeted() {
		x, err := s.start()
		if err != nil {
			return nil, 0, err
		}
		theta, g = s.moved(x, -1, func(i int) float64 { return s.x0[i] }), s.length(x)
		normalize(theta)
		g, _, err = s.bisect(0, g, width, func(m float64) []float64 { return along(s, theta, m) })
		return theta, g, err
	}
	far := g
	err = s.sample(a.Initial, false, func(u []float64) []float64 { return along(s, u, far) }, func(u []float64, _ []float32, met bool) error {
		if !met {
			return nil
		}
		if theta != nil { // is it nearer than the best so far?
			if ok, err := s.met(along(s, u, g)); err != nil || !ok {
				return err
			}
		}
		theta = slices.Clone(u)
		g, _, err = s.bisect(0, g, width, func(m float64) []float64 { return along(s, u, m) })
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	if theta == nil {
		return nil, 0, failure(fmt.Sprintf("no success in %d initial directions: give a starting point (Problem.Starts)", a.Initial))
	}
	return theta, g, nil
}

// descent is the mean of random directions, each with the sign that leads to where the boundary is nearer.
func (a SignOPT) descent(s *seeker, theta []float64, g, beta float64) ([]float64, error) {
	mean := make([]float64, s.size)
	err := s.sample(a.Probes, false, func(u []float64) []float64 {
		near := s.moved(theta, beta, func(i int) float64 { return u[i] })
		normalize(near)
		return along(s, near, g)
	}, func(u []float64, _ []float32, met bool) error {
		vote := 1 / float64(a.Probes)
		if met {
			vote = -vote
		}
		for i, v := range u {
			mean[i] += vote * v
		}
		return nil
	})
	return mean, err
}

// inwards returns how far the boundary is in a direction, if there is a success at the given distance; else +Inf. It looks 1 % nearer,
// then 2 % and so on, and bisects what is left.
func inwards(s *seeker, theta []float64, far, width float64) (float64, error) {
	at := func(m float64) []float64 { return along(s, theta, m) }
	if met, err := s.met(at(far)); err != nil || !met {
		return math.Inf(1), err
	}
	for step := 0.01; ; step *= 2 {
		low := far * max(0, 1-step)
		met, err := s.met(at(low))
		if err != nil {
			return math.Inf(1), err
		}
		if !met {
			far, _, err = s.bisect(low, far, width, at)
			return far, err
		}
		far = low
	}
}

// along is the point at a distance from the clean image.
func along(s *seeker, theta []float64, far float64) []float64 {
	return s.moved(s.x0, far, func(i int) float64 { return theta[i] })
}
