package nets

import "runtime/debug"

// collected is from how many bytes on a collection, of milliseconds, pays.
const collected = 64 << 20

// Garbage counts bytes that nothing holds any more, while a large network goes from one form to another: the collector alone would
// let as many lie about as are in use.
type Garbage int

// Add counts more, and has them collected and given back to the system once they are many.
func (g *Garbage) Add(bytes int) {
	if *g += Garbage(bytes); *g >= collected {
		debug.FreeOSMemory()
		*g = 0
	}
}
