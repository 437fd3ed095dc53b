package robust

import "math"

// Trace tells how a search for the nearest success came to what it returns, on one example. It is the attack's own account:
// what Evaluate measures again is the end.
type Trace struct {
	// Queries are the numbers of the queries that found a success nearer than all before, from 1 on and rising; Distances
	// are how far those are from the clean image in the threat's norm, falling.
	Queries   []int
	Distances []float64
	// Steps are the distances of the point that the search stands at, after each of its steps. They may rise.
	Steps []float64
	// Images are the nearest successes, flattened, that the same attack with each of its Budgets as its Queries would have found;
	// nil where there is none. So one run shows what others with fewer queries return, and how the search got there.
	Images [][]float32
	// Failure says why nothing was found; "" if something was, or if the queries came to their end.
	Failure string
}

// Distance is that of the nearest success that was found within so many queries; +Inf if there was none.
func (t Trace) Distance(queries int) float64 {
	nearest := math.Inf(1)
	for i, q := range t.Queries {
		if q <= queries {
			nearest = t.Distances[i]
		}
	}
	return nearest
}
