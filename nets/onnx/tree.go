package onnx

import (
	"math"

	"github.com/pkg/errors"
)

// ensemble is a set of decision trees, as all the format's ways to write them have it. It is checked before a graph is built.
type ensemble struct {
	branches []branch
	leaves   int
	roots    []int // as the children of branches
	votes    []vote
	targets  int
	wide     bool // in double precision
}

// branch compares a feature with a threshold. Its children are branches from 0 on, or leaves: ^0, ^1 and so on.
type branch struct {
	feature   int64
	threshold float64
	mode      string
	missing   bool // what is no number goes where the comparison holds
	yes, no   int
}

// vote is a weight that a leaf gives to a class or another target.
type vote struct {
	leaf, target int
	weight       float64
}

const (
	mostBranches = 1 << 27 // so that a row of four for each is counted by int32
	mostWeights  = 1 << 26
	mostTargets  = 1 << 16
	mostDepth    = 1 << 16
)

// holds tells for which x a comparison with a threshold holds: less, equal, greater, and no number, as IEEE 754 has it.
var holds = map[string][4]bool{
	"BRANCH_LEQ": {true, true, false, false},
	"BRANCH_LT":  {true, false, false, false},
	"BRANCH_GTE": {false, true, true, false},
	"BRANCH_GT":  {false, false, true, false},
	"BRANCH_EQ":  {false, true, false, false},
	"BRANCH_NEQ": {true, false, true, true},
	"never":      {}, // a set without members
}

// depth checks all that can be wrong with trees, and returns how many branches lie on the longest way to a leaf.
func (e *ensemble) depth() (int, error) {
	if len(e.roots) == 0 || e.leaves == 0 {
		return 0, errors.Errorf("%d trees with %d leaves: want some of both", len(e.roots), e.leaves)
	}
	weights := min(mostWeights, max(1<<22, 1024*len(e.votes))) // not many more than the file has
	if len(e.branches)+e.leaves > mostBranches || e.targets > mostTargets || e.leaves*e.targets > weights {
		return 0, errors.Errorf("%d branches and %d leaves for %d targets: more than fits", len(e.branches), e.leaves, e.targets)
	}
	parents := make([]int, len(e.branches))
	for i, b := range e.branches {
		switch _, known := holds[b.mode]; {
		case !known:
			return 0, errors.Errorf("mode %q of branch %d is not supported", b.mode, i)
		case b.feature < 0 || b.feature > math.MaxInt32:
			return 0, errors.Errorf("branch %d looks at feature %d", i, b.feature)
		case b.threshold != b.threshold:
			return 0, errors.Errorf("the threshold of branch %d is NaN", i)
		}
		for _, child := range []int{b.yes, b.no} {
			if !e.has(child) {
				return 0, errors.Errorf("branch %d leads to %d, of %d branches and %d leaves", i, child, len(e.branches), e.leaves)
			}
			if child >= 0 {
				parents[child]++
			}
		}
	}
	for _, root := range e.roots {
		if !e.has(root) {
			return 0, errors.Errorf("a tree has its root at %d of %d branches", root, len(e.branches))
		}
	}
	for _, v := range e.votes {
		if v.leaf < 0 || v.leaf >= e.leaves || v.target < 0 || v.target >= e.targets || v.weight-v.weight != 0 {
			return 0, errors.Errorf("leaf %d of %d gives target %d of %d the weight %g", v.leaf, e.leaves, v.target, e.targets, v.weight)
		}
	}
	return e.longest(parents)
}

func (e *ensemble) has(child int) bool {
	if child < 0 {
		return ^child < e.leaves
	}
	return child < len(e.branches)
}

// longest is how many branches follow each other, each after all its parents; those on a circle never come.
func (e *ensemble) longest(parents []int) (depth int, err error) {
	at := make([]int, len(e.branches))
	var ready []int
	for i, n := range parents {
		if n == 0 {
			ready = append(ready, i)
		}
	}
	done := 0
	for ; done < len(ready); done++ {
		b := e.branches[ready[done]]
		below := at[ready[done]] + 1
		depth = max(depth, below)
		for _, child := range []int{b.yes, b.no} {
			if child < 0 {
				continue
			}
			at[child] = max(at[child], below)
			if parents[child]--; parents[child] == 0 {
				ready = append(ready, child)
			}
		}
	}
	if done < len(e.branches) {
		return 0, errors.Errorf("%d of %d branches lead back to themselves", len(e.branches)-done, len(e.branches))
	}
	if depth > mostDepth {
		return 0, errors.Errorf("a tree is %d branches deep: at most %d are supported", depth, mostDepth)
	}
	return depth, nil
}

// rows are the nodes as a loop walks them, branches and then leaves: the feature and the threshold of each, and the four nodes that
// follow where the feature is less, equal, greater, and no number. Leaves are followed by themselves.
func (e *ensemble) rows() (features []int32, thresholds []float64, next []int32) {
	place := func(child int) int32 {
		if child < 0 {
			return int32(len(e.branches) + ^child)
		}
		return int32(child)
	}
	for _, b := range e.branches {
		features, thresholds = append(features, int32(b.feature)), append(thresholds, b.threshold)
		for relation, yes := range holds[b.mode] {
			if yes || relation == 3 && b.missing {
				next = append(next, place(b.yes))
			} else {
				next = append(next, place(b.no))
			}
		}
	}
	for leaf := range e.leaves {
		self := place(^leaf)
		features, thresholds, next = append(features, 0), append(thresholds, 0), append(next, self, self, self, self)
	}
	return features, thresholds, next
}

// weights are what each leaf gives to each target, [leaves, targets]; combine joins what it gives one target several times.
func (e *ensemble) weights(none float64, combine func(a, b float64) float64) []float64 {
	all := make([]float64, e.leaves*e.targets)
	for i := range all {
		all[i] = none
	}
	for _, v := range e.votes {
		at := &all[v.leaf*e.targets+v.target]
		*at = combine(*at, v.weight)
	}
	return all
}
