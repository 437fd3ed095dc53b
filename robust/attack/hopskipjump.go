package attack

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/robust"
)

// HopSkipJump walks along the decision boundary (Chen et al., arXiv 1904.02144; the authors' code), for l2 and linf, by
// decisions alone. From a success on the boundary it asks about probes in random directions, whose answers estimate the
// boundary's normal; goes along that; and comes back to the boundary by bisection towards the clean image.
//
// It minimizes the norm. Step t asks Probes·√t probes, and goes by 1/√t of the distance, halved as long as there is no
// success. A search stops before a step that it cannot afford. A start comes from Problem.Starts; or, with targets, from another image
// of the problem whose label is the target; or it is noise.
type HopSkipJump struct {
	Queries    int        // for each example, all counted; zero: 5000
	Steps      int        // zero: as many as Queries pay for
	Probes     int        // of the first step; zero: 100
	MaxProbes  int        // of any step; zero: 10000
	Gamma      float64    // scales the bisection's width, and the probes' radius with it; zero: 1
	Directions Directions // of the probes; nil: FullSpace
	Budgets    []int      // of queries, rising: each Trace keeps what the attack finds with so many
}

var _ robust.Unbudgeted = HopSkipJump{}

// Name implements robust.Attack.
func (a HopSkipJump) Name() string {
	a = a.defaults()
	s := fmt.Sprintf("hopskipjump(queries=%d", a.Queries)
	if a.Steps > 0 {
		s += fmt.Sprintf(", steps=%d", a.Steps)
	}
	if a.Probes != 100 || a.MaxProbes != 10_000 {
		s += fmt.Sprintf(", probes=%d to %d", a.Probes, a.MaxProbes)
	}
	if a.Gamma != 1 {
		s += fmt.Sprintf(", gamma=%g", a.Gamma)
	}
	return s + ", " + a.Directions.Name() + ")"
}

// Access implements robust.Attack.
func (HopSkipJump) Access() robust.Access { return robust.Decisions }

// Unbudgeted implements robust.Unbudgeted.
func (HopSkipJump) Unbudgeted() bool { return true }

func (a HopSkipJump) defaults() HopSkipJump {
	a.Queries, a.Probes, a.MaxProbes = cmp.Or(a.Queries, 5000), cmp.Or(a.Probes, 100), cmp.Or(a.MaxProbes, 10_000)
	a.Gamma = cmp.Or(a.Gamma, 1)
	if a.Directions == nil {
		a.Directions = FullSpace{}
	}
	return a
}

// Perturb implements robust.Attack.
func (a HopSkipJump) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a = a.defaults()
	switch {
	case p.Threat.Norm == robust.L1:
		return nil, errors.New("hopskipjump: works in l2 and linf, not in l1")
	case a.Steps < 0:
		return nil, errors.Errorf("Steps = %d: need at least 1, or 0 for as many as the queries pay for", a.Steps)
	case a.Probes < 1 || a.MaxProbes < 1:
		return nil, errors.Errorf("Probes = %d, MaxProbes = %d: need at least 1", a.Probes, a.MaxProbes)
	case !(a.Gamma > 0) || math.IsInf(a.Gamma, 1):
		return nil, errors.Errorf("Gamma = %g: must be finite and > 0", a.Gamma)
	}
	h := &hunt{v: v, p: p, name: a.Name(), queries: a.Queries, budgets: a.Budgets, directions: a.Directions, search: a.search}
	return h.run(ctx)
}

func (a HopSkipJump) search(s *seeker) error {
	x, err := s.start()
	if err != nil {
		return err
	}
	// The width of bisections, as a share of the distance, and the probes' radius, too.
	d := float64(s.size)
	width, radius := a.Gamma/(d*math.Sqrt(d)), a.Gamma/d
	if s.p.Threat.Norm == robust.Linf {
		width = a.Gamma / (d * d)
	}
	if x, err = a.back(s, x, width); err != nil {
		return err
	}
	s.stands(x)
	delta := 0.1 * (s.high - s.low)
	for t := 1; a.Steps == 0 || t <= a.Steps; t++ {
		probes := min(int(float64(a.Probes)*math.Sqrt(float64(t))), a.MaxProbes)
		if !s.affords(probes + 2) { // one more goes along, one more comes back
			return errSpent
		}
		normal, err := a.normal(s, x, delta, probes)
		if err != nil {
			return err
		}
		far := s.length(x) / math.Sqrt(float64(t))
		for {
			// Steps that are halved often enough lead to x itself, which is a success.
			y := s.asAsked(s.moved(x, far, func(i int) float64 { return normal[i] }))
			met, err := s.met(y)
			if err != nil {
				return err
			}
			if met {
				x = y
				break
			}
			far /= 2
		}
		delta = radius * s.length(x)
		if x, err = a.back(s, x, width); err != nil {
			return err
		}
		s.stands(x)
	}
	return nil
}

// back goes from a success to the boundary: in l2 straight towards the clean image, in linf by clipping to a box around it.
func (a HopSkipJump) back(s *seeker, x []float64, width float64) ([]float64, error) {
	high, at := 1.0, s.between(x)
	if s.p.Threat.Norm == robust.Linf {
		high = s.length(x)
		width *= high
		at = func(m float64) []float64 {
			out := make([]float64, len(x))
			for i, v := range x {
				out[i] = min(s.x0[i]+m, max(s.x0[i]-m, v))
			}
			return out
		}
	}
	_, x, err := s.bisect(0, high, width, at)
	return x, err
}

// normal estimates the boundary's normal at x from the answers at probes of the given radius: in l2 of length 1, in linf its
// signs. A probe's direction is what the pixel bounds leave of it. Without any normal it is zero.
func (a HopSkipJump) normal(s *seeker, x []float64, radius float64, probes int) ([]float64, error) {
	// Σ v·u and Σ u; from v its mean is taken, unless all are equal.
	voted, plain, yes := make([]float64, s.size), make([]float64, s.size), 0
	err := s.sample(probes, s.p.Threat.Norm == robust.Linf, func(u []float64) []float64 {
		for i := range u {
			u[i] = x[i] + radius*u[i]
		}
		return u
	}, func(_ []float64, asked []float32, met bool) error {
		vote := -1.0
		if met {
			vote, yes = 1, yes+1
		}
		x, voted, plain := x[:len(asked)], voted[:len(asked)], plain[:len(asked)] // one check of indices for all
		for i, v := range asked {
			u := (float64(v) - x[i]) / radius
			voted[i] += vote * u
			plain[i] += u
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if mean := float64(2*yes-probes) / float64(probes); yes > 0 && yes < probes {
		for i := range voted {
			voted[i] -= mean * plain[i]
		}
	}
	if !normalize(voted) {
		return make([]float64, s.size), nil
	}
	if s.p.Threat.Norm == robust.Linf {
		for i, v := range voted {
			if v != 0 {
				voted[i] = math.Copysign(1, v)
			}
		}
	}
	return voted, nil
}
