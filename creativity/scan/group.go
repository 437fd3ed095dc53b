package scan

import (
	"fmt"
	"math/rand/v2"
	"sync"
)

// Climb is how a group scan went from one start: the score after each half-step. It never falls.
type Climb struct {
	Start  string    `json:"start"` // "all nodes", "all rows", "all nodes, alpha 0.05", "random 3"
	Scores []float64 `json:"scores"`
}

// ladder are the shares of AlphaMax that the fixed starts also begin at: with all α at hand, a start from everything may end
// at a broad and weak subset and never see a narrow and strong one.
var ladder = []float64{0.4, 0.2, 0.1, 0.04, 0.02}

// Group finds a subset of rows and nodes with a high score: with one half fixed the best other half is exact, and halves take
// turns until the score no longer rises. That is a local optimum; the best of several starts is returned, with each climb. Starts
// are all nodes and all rows, random subsets of either side up to Options.Starts and, unless Options.NoLadder is set, the first
// two at smaller α, continued at AlphaMax. Equal seeds give equal results.
func Group(r *Ranks, o Options) (Subset, []Climb, error) {
	o = o.withDefaults()
	if err := o.check(r); err != nil {
		return Subset{}, nil, err
	}
	starts := r.starts(o)
	subsets, climbs := make([]Subset, len(starts)), make([]Climb, len(starts))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(len(starts), o.Workers) {
		workers.Go(func() {
			h := newHalf(r, o)
			for i := range next {
				subsets[i], climbs[i] = h.climb(starts[i])
			}
		})
	}
	for i := range starts {
		next <- i
	}
	close(next)
	workers.Wait()
	best := 0
	for i := range subsets {
		if subsets[i].Score > subsets[best].Score*rise {
			best = i
		}
	}
	return subsets[best], climbs, nil
}

// start is where a climb begins.
type start struct {
	name  string
	part  func() part
	alpha float64 // largest α of the first climb, which the second goes on from; 0: there is none
}

func (r *Ranks) starts(o Options) (all []start) {
	fixed := []start{{name: "all nodes", part: func() part { return r.whole(ofNodes) }},
		{name: "all rows", part: func() part { return r.whole(ofRows) }}}
	all = append(all, fixed[:min(len(fixed), o.Starts)]...)
	for i := len(fixed); i < o.Starts; i++ {
		all = append(all, start{name: fmt.Sprintf("random %d", i-len(fixed)+1), part: func() part {
			rng := rand.New(rand.NewPCG(o.Seed, uint64(i)))
			return r.random(rng)
		}})
	}
	if o.NoLadder {
		return all
	}
	for _, s := range fixed {
		for _, share := range ladder {
			rung := s
			rung.alpha = share * o.AlphaMax
			rung.name = fmt.Sprintf("%s, alpha %.3g", s.name, rung.alpha)
			all = append(all, rung)
		}
	}
	return all
}

// random is a subset of a random side, of a random size from 1 to all.
func (r *Ranks) random(rng *rand.Rand) part {
	s := side(rng.IntN(2))
	p := part{s, make([]bool, r.size(s)), 1 + rng.IntN(r.size(s))}
	for _, i := range rng.Perm(len(p.in))[:p.n] {
		p.in[i] = true
	}
	return p
}

// climb takes turns from a start.
func (h *half) climb(s start) (Subset, Climb) {
	c := Climb{Start: s.name}
	fixed := s.part()
	if s.alpha > 0 {
		low, _, f, _ := h.turns(fixed, h.r.upTo(s.alpha))
		if f.score == 0 { // nothing lies so low
			return h.subset(f, low, part{}), c
		}
		fixed = low
	}
	fixed, other, f, scores := h.turns(fixed, h.r.upTo(h.o.AlphaMax))
	c.Scores = scores
	return h.subset(f, fixed, other), c
}

// turns fixes one half and the other until the score does not rise. It returns the half that was fixed last, the other, what
// was found, and the score after each turn.
func (h *half) turns(fixed part, levels int) (last, other part, f found, scores []float64) {
	f = h.best(fixed, levels, 0)
	scores = append(scores, f.score)
	if f.score == 0 {
		return fixed, part{}, f, scores
	}
	other = h.take(fixed, f)
	for {
		g := h.best(other, levels, f.score*rise)
		scores = append(scores, max(f.score, g.score))
		if g.score == 0 {
			return fixed, other, f, scores
		}
		fixed, other, f = other, h.take(other, g), g
	}
}
