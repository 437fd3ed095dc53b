package scan

import (
	"fmt"
	"math/bits"
	"slices"
	"sort"
	"sync"
)

// Tail says which activations are unlike the background.
type Tail int

// The tails.
const (
	Upper Tail = iota // large ones
	Lower             // small ones
	Two               // both
	tails
)

var tailNames = [tails]string{"upper", "lower", "two"}

// String is the tail's name on the command line: "upper", "lower" or "two".
func (t Tail) String() string {
	if t < 0 || t >= tails {
		return fmt.Sprintf("tail %d", int(t))
	}
	return tailNames[t]
}

// ParseTail is the tail of a name.
func ParseTail(name string) (Tail, error) {
	for t, n := range tailNames {
		if n == name {
			return Tail(t), nil
		}
	}
	return 0, fmt.Errorf("scan: tail %q: want upper, lower or two", name)
}

// Background is what activations are compared with.
type Background struct {
	rows, nodes int
	sorted      []float32 // each node's values, one node after the other
}

// NewBackground takes the activations of normal samples, [samples][nodes]. They are copied. Wrong are fewer than two samples, rows of
// different lengths, values that are not finite, and samples that are all the same: they tell nothing.
func NewBackground(activations [][]float32) (*Background, error) {
	nodes, err := table("background", activations, 0)
	if err != nil {
		return nil, err
	}
	b := &Background{rows: len(activations), nodes: nodes}
	if b.rows < 2 {
		return nil, fmt.Errorf("scan: a background of one sample: want many, of normal samples")
	}
	b.sorted = make([]float32, b.rows*nodes)
	const block = 64 // nodes at a time, so that rows are read in pieces that the cache holds
	constant := true
	for first := 0; first < nodes; first += block {
		last := min(first+block, nodes)
		for i, row := range activations {
			for j, x := range row[first:last] {
				b.sorted[(first+j)*b.rows+i] = x
			}
		}
		for j := first; j < last; j++ {
			column := b.node(j)
			slices.Sort(column)
			constant = constant && column[0] == column[b.rows-1]
		}
	}
	if constant {
		return nil, fmt.Errorf("scan: all %d samples of the background are the same: want different ones", b.rows)
	}
	return b, nil
}

// Size is how many samples and nodes the background has.
func (b *Background) Size() (samples, nodes int) { return b.rows, b.nodes }

func (b *Background) node(j int) []float32 { return b.sorted[j*b.rows : (j+1)*b.rows] }

// table checks activations and returns how many nodes they have; want is that number, where it is known.
func table(what string, activations [][]float32, want int) (nodes int, err error) {
	if len(activations) == 0 {
		return 0, fmt.Errorf("scan: %s without samples", what)
	}
	if nodes = want; nodes == 0 {
		nodes = len(activations[0])
	}
	if nodes == 0 {
		return 0, fmt.Errorf("scan: %s without nodes", what)
	}
	for i, row := range activations {
		if len(row) != nodes {
			return 0, fmt.Errorf("scan: %s, sample %d has %d nodes, want %d", what, i, len(row), nodes)
		}
		for j, x := range row {
			if x-x != 0 {
				return 0, fmt.Errorf("scan: %s, sample %d, node %d is %v: want finite numbers", what, i, j, x)
			}
		}
	}
	return nodes, nil
}

// counts of a node's background that are below x, and that are x or below.
func counts(column []float32, x float32) (below, upTo int) {
	below = sort.Search(len(column), func(i int) bool { return column[i] >= x })
	upTo = below
	if upTo < len(column) && column[upTo] == x {
		upTo += sort.Search(len(column)-upTo, func(i int) bool { return column[below+i] > x })
	}
	return below, upTo
}

// of returns the range of a p-value times (samples + 1), from what lies below x and up to it.
func (t Tail) of(below, upTo, samples int) (least, most int) {
	above, from := samples-upTo, samples-below
	switch t {
	case Upper:
		return above, from + 1
	case Lower:
		return below, upTo + 1
	default:
		return 2 * min(above, below), min(samples+1, 2*min(from, upTo)+2)
	}
}

// PValues are the empirical p-values of activations, [samples][nodes], against the background: how likely one as extreme is there.
// A value that occurs in the background has a range, from the share of more extreme ones to that of those as extreme; scans
// use the upper end, which is valid: for samples like the background, P(most <= a) <= a.
func (b *Background) PValues(activations [][]float32, t Tail) (least, most [][]float64, err error) {
	if err := b.check(activations, t); err != nil {
		return nil, nil, err
	}
	all := float64(b.rows + 1)
	for _, row := range activations {
		low, high := make([]float64, b.nodes), make([]float64, b.nodes)
		for j, x := range row {
			below, upTo := counts(b.node(j), x)
			l, m := t.of(below, upTo, b.rows)
			low[j], high[j] = float64(l)/all, float64(m)/all
		}
		least, most = append(least, low), append(most, high)
	}
	return least, most, nil
}

func (b *Background) check(activations [][]float32, t Tail) error {
	if t < 0 || t >= tails {
		return fmt.Errorf("scan: %s: want upper, lower or two", t)
	}
	_, err := table("activations", activations, b.nodes)
	return err
}

// Ranks are p-values in order. Those of one background and tail can be scanned together.
type Ranks struct {
	rows, nodes int
	levels      []float64 // the p-values that there may be, ascending
	small       []uint16  // of each entry, row by row, the number of its level; nil where there are more levels than that,
	large       []uint32  // then this is not

	sorting sync.Once
	start   []int    // where each level's entries start in order, and after the last
	order   []uint32 // row and node of all entries, by level
	bits    int      // of an entry of order that are the node
}

// Size is how many samples and nodes there are.
func (r *Ranks) Size() (samples, nodes int) { return r.rows, r.nodes }

// newRanks takes the number of each entry's level from a function that fills in a node's, one a row.
func newRanks(rows, nodes int, levels []float64, fill func(node int, level []uint32)) (*Ranks, error) {
	r := &Ranks{rows: rows, nodes: nodes, levels: levels, bits: bits.Len(uint(nodes - 1))}
	if r.bits+bits.Len(uint(rows-1)) > 32 {
		return nil, fmt.Errorf("scan: %d samples of %d nodes are more than can be scanned at once: at most four billion p-values, fewer"+
			" where the sizes are no powers of two", rows, nodes)
	}
	if len(levels) <= 1<<16 {
		r.small = make([]uint16, rows*nodes)
	} else {
		r.large = make([]uint32, rows*nodes)
	}
	column := make([]uint32, rows)
	for j := range nodes {
		fill(j, column)
		for i, k := range column {
			if r.small != nil {
				r.small[i*nodes+j] = uint16(k)
			} else {
				r.large[i*nodes+j] = k
			}
		}
	}
	return r, nil
}

// sort puts the entries in the order of their levels, by counting, when first asked.
func (r *Ranks) sort() {
	r.sorting.Do(func() {
		if r.small != nil {
			sortEntries(r, r.small)
		} else {
			sortEntries(r, r.large)
		}
	})
}

func sortEntries[L uint16 | uint32](r *Ranks, level []L) {
	r.start, r.order = make([]int, len(r.levels)+1), make([]uint32, len(level))
	for _, k := range level {
		r.start[int(k)+1]++
	}
	for k := range r.levels {
		r.start[k+1] += r.start[k]
	}
	next := slices.Clone(r.start)
	for i := range r.rows {
		for j, k := range level[i*r.nodes : (i+1)*r.nodes] {
			r.order[next[k]] = uint32(i)<<r.bits | uint32(j)
			next[k]++
		}
	}
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
	return newRanks(len(activations), b.nodes, levels, func(node int, level []uint32) {
		column := b.node(node) // which stays in the cache
		for i, row := range activations {
			below, upTo := counts(column, row[node])
			_, most := t.of(below, upTo, b.rows)
			level[i] = uint32(most - 1)
		}
	})
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
	return newRanks(rows, nodes, levels, func(node int, level []uint32) {
		for i, row := range p {
			k, _ := slices.BinarySearch(levels, row[node])
			level[i] = uint32(k)
		}
	})
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
