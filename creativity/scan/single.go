package scan

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sort"
)

// Options are how to scan. The zero value is Berk-Jones up to an α of 0.5 with 10 starts and the ladder.
type Options struct {
	Score    Score
	AlphaMax float64 // largest α, in (0, 1]; zero: 0.5
	Starts   int     // of the group scan: all nodes, all rows, then random subsets; zero: 10
	NoLadder bool    // leave out the starts at smaller α, see Group
	Workers  int     // threads, each with a sample or start of its own; zero: as many as there are processors. They do not change the result
	Seed     uint64  // of the random subsets
}

func (o Options) withDefaults() Options {
	if o.AlphaMax == 0 {
		o.AlphaMax = 0.5
	}
	if o.Starts == 0 {
		o.Starts = 10
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return o
}

func (o Options) check(r *Ranks) error {
	switch {
	case r == nil || r.rows == 0:
		return fmt.Errorf("scan: no p-values")
	case o.Score < 0 || o.Score >= scores:
		return fmt.Errorf("scan: %s: want berk-jones, higher-criticism or kolmogorov-smirnov", o.Score)
	case !(o.AlphaMax > 0 && o.AlphaMax <= 1):
		return fmt.Errorf("scan: largest alpha %v: want more than 0 and at most 1", o.AlphaMax)
	case o.Starts < 1:
		return fmt.Errorf("scan: %d starts: want at least 1", o.Starts)
	case o.Workers < 0:
		return fmt.Errorf("scan: %d workers: want at least 1", o.Workers)
	}
	return nil
}

// Subset is what a scan found. A score of 0, without rows and nodes, says that no p-value is at most AlphaMax in a way that
// tells anything.
type Subset struct {
	Score float64 `json:"score"`
	Alpha float64 `json:"alpha"`
	Rows  []int   `json:"rows"`  // ascending
	Nodes []int   `json:"nodes"` // ascending
}

// upTo is the number of levels that are at most α.
func (r *Ranks) upTo(alpha float64) int {
	return sort.Search(len(r.levels), func(k int) bool { return r.levels[k] > alpha })
}

// Singles finds the subset of nodes with the highest score of each sample by itself, exactly: at a fixed α it is all nodes
// whose p-values are at most α, so that only the p-values that occur need to be tried (linear-time subset scanning). Each Subset has
// its sample in Rows.
func Singles(r *Ranks, o Options) ([]Subset, error) {
	o = o.withDefaults()
	if err := o.check(r); err != nil {
		return nil, err
	}
	if r.small != nil {
		return singles(r, o, r.small), nil
	}
	return singles(r, o, r.large), nil
}

func singles[L uint16 | uint32](r *Ranks, o Options, level []L) []Subset {
	levels := r.upTo(o.AlphaMax)
	one := make([]float64, levels) // the score of a single node; of n nodes it is n times that, or √n times
	for k := range one {
		one[k] = o.Score.Value(1, 1, r.levels[k])
	}
	factor := make([]float64, r.nodes+1)
	for n := range factor {
		if factor[n] = float64(n); o.Score != BerkJones {
			factor[n] = math.Sqrt(factor[n])
		}
	}
	all := make([]Subset, r.rows)
	spread(o.Workers, r.rows, func(rows blocks) {
		count, nodes, p := make([]int32, len(r.levels)), make([]int, r.nodes+1), newPeaks(one, factor)
		for begin, end := range rows {
			for i := begin; i < end; i++ {
				own := level[i*r.nodes : (i+1)*r.nodes]
				clear(count[:levels])
				histogram(own, count)
				score, best, n := p.peak(count[:levels])
				first(own, best, nodes)
				all[i] = Subset{Score: score, Rows: []int{i}, Nodes: slices.Clone(nodes[:n])}
				if n > 0 {
					all[i].Alpha = r.levels[best]
				}
			}
		}
	})
	return all
}

// run is how many levels are looked at together.
const run = 16

// peaks finds the highest score among the levels, run by run: most runs have no chance, by a bound, and are not gone through.
type peaks struct {
	one, factor []float64 // a level's score of n nodes is one·factor[n]
	most        []float64 // the largest one in each run
	upTo        []int     // how many nodes are in each run or below
}

func newPeaks(one, factor []float64) *peaks {
	runs := (len(one) + run - 1) / run
	p := &peaks{one, factor, make([]float64, 0, runs), make([]int, runs)}
	for of := range slices.Chunk(one, run) {
		p.most = append(p.most, slices.Max(of))
	}
	return p
}

// peak is the highest score, the first level that has it, and how many nodes are there or below.
func (p *peaks) peak(count []int32) (score float64, level, nodes int) {
	n, sure := 0, 0. // the highest score at the end of a run
	for k := range p.upTo {
		end := min((k+1)*run, len(count))
		for _, c := range count[k*run : end] {
			n += int(c)
		}
		p.upTo[k] = n
		sure = max(sure, p.one[end-1]*p.factor[n])
	}
	level, n = -1, 0
	for k, most := range p.most {
		if most*p.factor[p.upTo[k]] >= sure {
			for i, c := range count[k*run : min((k+1)*run, len(count))] {
				n += int(c)
				if s := p.one[k*run+i] * p.factor[n]; level < 0 || s > score {
					score, level, nodes = s, k*run+i, n
				}
			}
			sure = max(sure, score)
		}
		n = p.upTo[k]
	}
	return score, level, nodes
}

// histogram counts entries of each level. It and first are functions of their own so that all of a loop fits into registers.
//
//go:noinline
func histogram[L uint16 | uint32](own []L, count []int32) {
	for _, k := range own {
		count[k]++
	}
}

// first writes down the nodes that are at the level or below, without a branch.
//
//go:noinline
func first[L uint16 | uint32](own []L, level int, nodes []int) {
	n := 0
	for j, k := range own {
		nodes[n] = j // the next overwrites it if it is above the level
		if int(k) <= level {
			n++
		}
	}
}

// side is one of the two that subsets are of.
type side int

const (
	ofRows side = iota
	ofNodes
)

// size is how many elements a side has.
func (r *Ranks) size(s side) int {
	if s == ofRows {
		return r.rows
	}
	return r.nodes
}

// part is a subset of one side.
type part struct {
	side side
	in   []bool
	n    int
}

func (r *Ranks) whole(s side) part {
	p := part{s, make([]bool, r.size(s)), r.size(s)}
	for i := range p.in {
		p.in[i] = true
	}
	return p
}

func (p part) list() []int {
	list := make([]int, 0, p.n)
	for i, in := range p.in {
		if in {
			list = append(list, i)
		}
	}
	return list
}

// found is the best subset of the other side for a part that is fixed.
type found struct {
	score float64
	level int
	least int // an element belongs to it if so many of its entries, or more, are at the level or below
	n     int // its elements
}

// half holds what the search for a half of a subset needs again and again.
type half struct {
	r       *Ranks
	o       Options
	order   *order
	count   [2][]int32 // of each element, by side
	atBest  [2][]int32 // the same at the best level
	atLeast []int32    // how many elements have so many entries, or more
	piece   [1024]uint32
}

func newHalf(r *Ranks, o Options) *half {
	h := &half{r: r, o: o, order: r.upToLevel(r.upTo(o.AlphaMax)), atLeast: make([]int32, max(r.rows, r.nodes)+2)}
	for s := range h.count {
		h.count[s], h.atBest[s] = make([]int32, r.size(side(s))), make([]int32, r.size(side(s)))
	}
	return h
}

// best finds the subset of the other side that scores highest together with the part, among all α up to the given number of
// levels; its score is 0 if none is above the floor. At a fixed α all elements have as many p-values, so that the best subset of
// each size has the highest counts.
func (h *half) best(fixed part, levels int, floor float64) found {
	best := found{score: floor}
	other := 1 - fixed.side
	count := h.count[other]
	own, others := h.r.place(fixed.side), h.r.place(other)
	clear(count)
	clear(h.atLeast[:fixed.n+2])
	highest := 0
	for k := range levels {
		some := false
		for entries := range slices.Chunk(h.order.level(k), len(h.piece)) {
			if fixed.n < len(fixed.in) {
				entries = h.piece[:keep(&h.piece, entries, fixed.in, own)]
			}
			tally(entries, count, h.atLeast, others)
			some = some || len(entries) > 0
		}
		if !some {
			continue // as much as at the level before, and at a larger α
		}
		for h.atLeast[highest+1] > 0 {
			highest++
		}
		before := best.score
		if h.sweep(&best, fixed.n, k, highest); best.score > before {
			copy(h.atBest[other], count)
		}
	}
	if best.n == 0 {
		return found{}
	}
	return best
}

// place is where in an entry the element of a side is.
type place struct {
	shift int
	mask  uint32
}

func (r *Ranks) place(s side) place {
	if s == ofRows {
		return place{r.bits, 1<<(32-r.bits) - 1}
	}
	return place{0, 1<<r.bits - 1}
}

// keep takes out the entries whose element is in, without a branch: no processor foresees which they are. It and tally are
// functions of their own so that all of a loop fits into registers.
//
//go:noinline
func keep(piece *[1024]uint32, entries []uint32, in []bool, own place) (n int) {
	shift, mask := own.shift, own.mask
	for _, entry := range entries {
		piece[n&(len(piece)-1)] = entry
		if in[entry>>(shift&31)&mask] {
			n++
		}
	}
	return n
}

// tally counts entries of each element, and elements of each count.
//
//go:noinline
func tally(entries []uint32, count, atLeast []int32, of place) {
	shift, mask := of.shift, of.mask
	for _, entry := range entries {
		e := entry >> (shift & 31) & mask
		c := count[e] + 1
		count[e] = c
		atLeast[c]++
	}
}

// sweep tries the subsets of all elements with at least so many entries at a level or below. An element whose own share is
// not above α adds nothing. A score is computed only where a bound on it is above the best.
func (h *half) sweep(best *found, fixed, level, highest int) {
	score, alpha := h.o.Score, h.r.levels[level]
	bound, most := score.bound(best.score, alpha)
	n, all, sum := int32(0), 0., 0.
	for c := highest; float64(c) > float64(fixed)*alpha; c-- {
		having := h.atLeast[c] - n
		if having == 0 {
			continue
		}
		n += having
		all += float64(having) * float64(fixed)
		sum += float64(having) * float64(c)
		excess := sum - all*alpha
		if excess*excess < bound*all && sum <= most*all || score == BerkJones && surelyBelow(best.score, sum, all, alpha) {
			continue
		}
		if s := score.Value(int(sum), int(all), alpha); s > best.score {
			*best = found{s, level, c, int(n)}
			bound, most = score.bound(s, alpha)
		}
	}
}

// take is the part that best found last.
func (h *half) take(fixed part, f found) part {
	other := 1 - fixed.side
	p := part{other, make([]bool, h.r.size(other)), 0}
	for e, c := range h.atBest[other] {
		if int(c) >= f.least {
			p.in[e] = true
			p.n++
		}
	}
	return p
}

// subset writes the two halves as a result.
func (h *half) subset(f found, a, b part) Subset {
	if f.score == 0 {
		return Subset{Rows: []int{}, Nodes: []int{}}
	}
	if a.side == ofNodes {
		a, b = b, a
	}
	return Subset{Score: f.score, Alpha: h.r.levels[f.level], Rows: a.list(), Nodes: b.list()}
}

// rise is by what factor at least a score is above another: less is rounding.
const rise = 1 + 1e-12
