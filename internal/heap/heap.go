// Package heap gives memory back while gigabytes pass through it: the collector alone would let as much garbage lie about as is in
// use.
package heap

import "runtime/debug"

// worth is from how many bytes on a collection, of milliseconds, pays.
const worth = 64 << 20

// Garbage counts bytes that nothing holds any more.
type Garbage int

// Add counts more, and gives them back once they are many.
func (g *Garbage) Add(bytes int) {
	if *g += Garbage(bytes); *g >= worth {
		debug.FreeOSMemory()
		*g = 0
	}
}
