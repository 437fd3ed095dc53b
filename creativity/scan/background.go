package scan

import (
	"fmt"
	"runtime"
	"sync/atomic"
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
	keys        []uint32 // each node's values in order, as keys, one node after the other
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
	b.keys = make([]uint32, b.rows*nodes)
	var varied atomic.Bool
	b.spread(func(blocks blocks) {
		other := make([]uint32, b.rows)
		for first, last := range blocks {
			for i, row := range activations {
				for j, x := range row[first:last] {
					b.keys[(first+j)*b.rows+i] = key(x)
				}
			}
			for j := first; j < last; j++ {
				column := b.node(j)
				sortKeys(column, other)
				if column[0] != column[b.rows-1] {
					varied.Store(true)
				}
			}
		}
	})
	if !varied.Load() {
		return nil, fmt.Errorf("scan: all %d samples of the background are the same: want different ones", b.rows)
	}
	return b, nil
}

// Size is how many samples and nodes the background has.
func (b *Background) Size() (samples, nodes int) { return b.rows, b.nodes }

func (b *Background) node(j int) []uint32 { return b.keys[j*b.rows : (j+1)*b.rows] }

func (b *Background) spread(do func(blocks blocks)) { spread(runtime.GOMAXPROCS(0), b.nodes, do) }

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

// compare hands out, of each activation, how many values of its node's background are below it, and that many or equal to it. It does
// so on all processors.
func (b *Background) compare(activations [][]float32, put func(row, node, below, upTo int)) {
	b.spread(func(blocks blocks) {
		for first, last := range blocks { // whose columns stay in the cache
			for i, row := range activations {
				for j, x := range row[first:last] {
					column, k := b.node(first+j), key(x)
					below := search(column, k)
					upTo := below
					if upTo < len(column) && column[upTo] == k {
						upTo += search(column[upTo:], k+1)
					}
					put(i, first+j, below, upTo)
				}
			}
		}
	})
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
	for range activations {
		least, most = append(least, make([]float64, b.nodes)), append(most, make([]float64, b.nodes))
	}
	all := float64(b.rows + 1)
	b.compare(activations, func(row, node, below, upTo int) {
		l, m := t.of(below, upTo, b.rows)
		least[row][node], most[row][node] = float64(l)/all, float64(m)/all
	})
	return least, most, nil
}

func (b *Background) check(activations [][]float32, t Tail) error {
	if t < 0 || t >= tails {
		return fmt.Errorf("scan: %s: want upper, lower or two", t)
	}
	_, err := table("activations", activations, b.nodes)
	return err
}
