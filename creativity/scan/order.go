package scan

import (
	"iter"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// key is a number as large as others' are if x is as large: numbers are compared and sorted faster. Both zeros have one.
func key(x float32) uint32 {
	k := math.Float32bits(x)
	if x == 0 {
		k = 0
	}
	return k ^ (uint32(int32(k)>>31) | 1<<31)
}

// search is how many of the keys, which ascend, are below k. It has no branch that depends on them: no processor foresees it.
func search(keys []uint32, k uint32) int {
	first, n := 0, len(keys)
	for n > 0 {
		half := (n + 1) / 2
		less := int((int64(keys[first+half-1]) - int64(k)) >> 63) // all bits, or none
		first += half & less
		n -= half
	}
	return first
}

// sortKeys sorts by counting, byte by byte; other is as long, for its use.
func sortKeys(keys, other []uint32) {
	if len(keys) < 256 { // counting would cost more
		slices.Sort(keys)
		return
	}
	var count [4][256]uint32
	for _, k := range keys {
		count[0][k&255]++
		count[1][k>>8&255]++
		count[2][k>>16&255]++
		count[3][k>>24]++
	}
	for b := range count {
		next := &count[b]
		sum := uint32(0)
		for v, n := range next {
			next[v] = sum
			sum += n
		}
		for _, k := range keys {
			v := k >> (8 * b) & 255
			other[next[v]] = k
			next[v]++
		}
		keys, other = other, keys
	}
}

// block is how many nodes or rows a thread takes at a time: nodes that are a cache line of a row, and whose columns stay in the cache.
const block = 16

// blocks are those of one thread: the first node or row, and the one after the last.
type blocks = iter.Seq2[int, int]

// spread shares n nodes or rows out to so many threads, each of which does its blocks.
func spread(threads, n int, do func(blocks blocks)) {
	var next atomic.Int64
	own := func(yield func(first, last int) bool) {
		for {
			last := int(next.Add(block))
			if last-block >= n || !yield(last-block, min(last, n)) {
				return
			}
		}
	}
	var running sync.WaitGroup
	for range min(threads, (n+block-1)/block) - 1 {
		running.Go(func() { do(own) })
	}
	do(own)
	running.Wait()
}
