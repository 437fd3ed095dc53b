package scan

import (
	"fmt"
	"math/bits"
	"slices"
	"sync"
)

// Ranks are p-values in order. Those of one background and tail can be scanned together.
type Ranks struct {
	rows, nodes int
	levels      []float64 // the p-values that there may be, ascending
	small       []uint16  // of each entry, row by row, the number of its level; nil where there are more levels than that,
	large       []uint32  // then this is not

	bits int // of an entry in order that are the node
	mu   sync.Mutex
	last *order // that was asked for, up to some level
}

// order is where the entries of the lower levels are.
type order struct {
	start   []int    // where each level's entries start, and after the last
	entries []uint32 // row and node of each, by level
}

func (o *order) level(k int) []uint32 { return o.entries[o.start[k]:o.start[k+1]] }

// Size is how many samples and nodes there are.
func (r *Ranks) Size() (samples, nodes int) { return r.rows, r.nodes }

// newRanks makes ranks whose entries are yet to be put.
func newRanks(rows, nodes int, levels []float64) (*Ranks, error) {
	r := &Ranks{rows: rows, nodes: nodes, levels: levels, bits: bits.Len(uint(nodes - 1))}
	if r.bits+bits.Len(uint(max(1, rows-1))) > 32 { // and shifts stay below 32
		return nil, fmt.Errorf("scan: %d samples of %d nodes are more than can be scanned at once: at most four billion p-values, fewer"+
			" where the sizes are no powers of two", rows, nodes)
	}
	if len(levels) <= 1<<16 {
		r.small = make([]uint16, rows*nodes)
	} else {
		r.large = make([]uint32, rows*nodes)
	}
	return r, nil
}

func (r *Ranks) put(row, node, level int) {
	if r.small != nil {
		r.small[row*r.nodes+node] = uint16(level)
	} else {
		r.large[row*r.nodes+node] = uint32(level)
	}
}

// upToLevel puts the entries of so many levels, at least, in order. Others may have asked before.
func (r *Ranks) upToLevel(levels int) *order {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || len(r.last.start) < levels+1 {
		if r.small != nil {
			r.last = sortEntries(r, r.small, levels)
		} else {
			r.last = sortEntries(r, r.large, levels)
		}
	}
	return r.last
}

// group is how many rows are sorted at a time.
const group = 256

// sortEntries sorts by counting. It goes through the rows of a group on diagonals, so that one level's entries of a row, and of a node, are
// not side by side: to count the same element soon again would have to wait for the last time.
func sortEntries[L uint16 | uint32](r *Ranks, level []L, levels int) *order {
	start := make([]int, len(r.levels)+1)
	for _, k := range level {
		start[int(k)+1]++
	}
	start = start[:levels+1]
	for k := range levels {
		start[k+1] += start[k]
	}
	next := slices.Clone(start)
	entries := make([]uint32, start[levels])
	const step = 64 // nodes from one row to the next: rows whose length is a power of two would share a place in the cache
	var low [group]uint64
	for first := 0; first < r.rows; first += group {
		for j := range r.nodes {
			n := 0
			for i, last := first, min(first+group, r.rows); i < last; {
				times := min(last-i, (r.nodes-j+step-1)/step)
				n = pick(&low, n, level[i*r.nodes+j:], r.nodes+step, times, uint32(i)<<r.bits|uint32(j), 1<<r.bits+step, levels)
				i, j = i+times, (j+times*step)%r.nodes
			}
			for _, l := range low[:n] {
				at := next[l>>32]
				entries[at] = uint32(l)
				next[l>>32] = at + 1
			}
		}
	}
	return &order{start, entries}
}

// pick adds the entries of a diagonal that are of the lower levels, with their levels, without a branch: no processor foresees which
// they are.
//
//go:noinline
func pick[L uint16 | uint32](low *[group]uint64, n int, level []L, stride, times int, entry, step uint32, levels int) int {
	at := 0
	for range times {
		k := int(level[at])
		low[n&(group-1)] = uint64(k)<<32 | uint64(entry)
		n += int(uint(k-levels) >> 63)
		at += stride
		entry += step
	}
	return n
}

// Ranks compares activations, [samples][nodes], with the background. Wrong are other numbers of nodes and values that are
// not finite.
func (b *Background) Ranks(activations [][]float32, t Tail) (*Ranks, error) {
	if err := b.check(activations, t); err != nil {
		return nil, err
	}
	levels := make([]float64, b.rows+1)
	for i := range levels {
		levels[i] = float64(i+1) / float64(b.rows+1)
	}
	r, err := newRanks(len(activations), b.nodes, levels)
	if err != nil {
		return nil, err
	}
	b.compare(activations, func(row, node, below, upTo int) {
		_, most := t.of(below, upTo, b.rows)
		r.put(row, node, most-1)
	})
	return r, nil
}

// FromPValues scans p-values of the user's own, [samples][nodes], each in (0, 1].
func FromPValues(p [][]float64) (*Ranks, error) {
	if len(p) == 0 || len(p[0]) == 0 {
		return nil, fmt.Errorf("scan: no p-values")
	}
	rows, nodes := len(p), len(p[0])
	flat := make([]float64, 0, rows*nodes)
	for i, row := range p {
		if len(row) != nodes {
			return nil, fmt.Errorf("scan: p-values, sample %d has %d nodes, want %d", i, len(row), nodes)
		}
		for j, v := range row {
			if !(v > 0 && v <= 1) {
				return nil, fmt.Errorf("scan: p-values, sample %d, node %d is %v: want more than 0 and at most 1", i, j, v)
			}
		}
		flat = append(flat, row...)
	}
	levels := slices.Clone(flat)
	slices.Sort(levels)
	levels = slices.Compact(levels)
	r, err := newRanks(rows, nodes, levels)
	if err != nil {
		return nil, err
	}
	for i, row := range p {
		for j, v := range row {
			k, _ := slices.BinarySearch(levels, v)
			r.put(i, j, k)
		}
	}
	return r, nil
}

// chosen are some rows of ranks.
type chosen struct {
	ranks *Ranks
	rows  []int
}

// join puts rows of several ranks, which must have the same levels and nodes, one behind the other.
func join(from ...chosen) *Ranks {
	first := from[0].ranks
	r := &Ranks{nodes: first.nodes, levels: first.levels, bits: first.bits}
	for _, c := range from {
		r.rows += len(c.rows)
		for _, row := range c.rows {
			if c.ranks.small != nil {
				r.small = append(r.small, c.ranks.small[row*r.nodes:(row+1)*r.nodes]...)
			} else {
				r.large = append(r.large, c.ranks.large[row*r.nodes:(row+1)*r.nodes]...)
			}
		}
	}
	return r
}
