package scan

import (
	"fmt"
	"math/bits"
)

// exactLimit is the largest smaller side that Exact takes: sixteen million subsets.
const exactLimit = 24

// Exact finds the subset of rows and nodes with the highest score of all. It tries every subset of the smaller side, at most 24
// elements, each with the best other half: time grows with 2 to that number, times the other side's size, times the p-values that
// occur.
func Exact(r *Ranks, o Options) (Subset, error) {
	o = o.withDefaults()
	if err := o.check(r); err != nil {
		return Subset{}, err
	}
	small := ofRows
	if r.nodes < r.rows {
		small = ofNodes
	}
	m := r.size(small)
	if m > exactLimit {
		return Subset{}, fmt.Errorf("scan: an exact group scan tries all subsets of the smaller side, which has %d elements: at most %d,"+
			" or scan without exact", m, exactLimit)
	}
	x := newExhaustive(r, o, small)
	var best found
	var bestSubset uint32
	subset := uint32(0)
	for i := uint32(1); i < 1<<m; i++ {
		e := bits.TrailingZeros32(i) // of a Gray code: one element changes
		subset ^= 1 << e
		x.toggle(e, subset&(1<<e) != 0)
		if f := x.best(bits.OnesCount32(subset)); f.score > best.score*rise {
			best, bestSubset = f, subset
		}
	}
	fixed := part{small, make([]bool, m), bits.OnesCount32(bestSubset)}
	for e := range fixed.in {
		fixed.in[e] = bestSubset&(1<<e) != 0
	}
	if best.score == 0 {
		return x.h.subset(best, fixed, part{}), nil
	}
	best = x.h.best(fixed, r.upTo(o.AlphaMax), 0) // once more, for its counts
	return x.h.subset(best, fixed, x.h.take(fixed, best)), nil
}

// exhaustive keeps the counts of the larger side while elements of the smaller come and go.
type exhaustive struct {
	h       *half
	levels  []int     // those that occur
	count   [][]int32 // [level][element of the larger side]: entries at the level or below, of the elements that are in
	entries [][]at    // of each element of the smaller side
}

// at is an entry: which element of the larger side, and from which of the levels on it counts.
type at struct{ element, level int }

func newExhaustive(r *Ranks, o Options, small side) *exhaustive {
	x := &exhaustive{h: newHalf(r, o), entries: make([][]at, r.size(small))}
	for k := range r.upTo(o.AlphaMax) {
		entries := x.h.order.level(k)
		if len(entries) == 0 {
			continue
		}
		for _, entry := range entries {
			own, e := int(entry>>r.bits), int(entry&(1<<r.bits-1))
			if small == ofNodes {
				own, e = e, own
			}
			x.entries[own] = append(x.entries[own], at{e, len(x.levels)})
		}
		x.levels = append(x.levels, k)
		x.count = append(x.count, make([]int32, r.size(1-small)))
	}
	return x
}

func (x *exhaustive) toggle(own int, in bool) {
	step := int32(-1)
	if in {
		step = 1
	}
	for _, a := range x.entries[own] {
		for k := a.level; k < len(x.levels); k++ {
			x.count[k][a.element] += step
		}
	}
}

func (x *exhaustive) best(fixed int) (best found) {
	for i, level := range x.levels {
		atLeast := x.h.atLeast[:fixed+2]
		clear(atLeast)
		highest := 0
		for _, c := range x.count[i] {
			atLeast[c]++
			highest = max(highest, int(c))
		}
		for c := highest; c > 0; c-- {
			atLeast[c-1] += atLeast[c]
		}
		x.h.sweep(&best, fixed, level, highest)
	}
	return best
}
