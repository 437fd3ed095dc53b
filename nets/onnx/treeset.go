package onnx

import (
	"math"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/pkg/errors"
)

// setModes are the comparisons of TreeEnsemble, by their numbers.
var setModes = []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"}

// treeSet reads a TreeEnsemble, whose branches and leaves are numbered through all trees.
func treeSet(n *protos.NodeProto) (*ensemble, error) {
	targets := intOr(n, "n_targets", 1)
	if targets < 1 || targets > mostTargets {
		return nil, errors.Errorf("n_targets is %d: want 1 to %d", targets, mostTargets)
	}
	thresholds, wide, err := doubles(n, "", "nodes_splits")
	if err != nil {
		return nil, err
	}
	size := len(thresholds)
	modes, _, err := doubles(n, "", "nodes_modes")
	if err != nil {
		return nil, err
	}
	lists, err := integerLists(n, size, "nodes_featureids", "nodes_truenodeids", "nodes_trueleafs", "nodes_falsenodeids", "nodes_falseleafs")
	if err != nil {
		return nil, err
	}
	missing, err := integers(n, "nodes_missing_value_tracks_true", size)
	if err != nil {
		return nil, err
	}
	if len(modes) != size {
		return nil, errors.Errorf("nodes_modes has %d entries: want %d", len(modes), size)
	}
	e := &ensemble{targets: int(targets), wide: wide}
	for i := range size {
		mode := int(modes[i])
		if mode < 0 || mode >= len(setModes) || float64(mode) != modes[i] {
			return nil, errors.Errorf("mode %g of branch %d is not supported", modes[i], i)
		}
		b := branch{feature: lists[0][i], threshold: thresholds[i], mode: setModes[mode], missing: missing != nil && missing[i] != 0}
		for _, child := range []struct {
			to       *int
			id, leaf int64
		}{{&b.yes, lists[1][i], lists[2][i]}, {&b.no, lists[3][i], lists[4][i]}} {
			if child.id < 0 || child.id > mostBranches {
				return nil, errors.Errorf("branch %d leads to %d", i, child.id)
			}
			if *child.to = int(child.id); child.leaf != 0 {
				*child.to = ^int(child.id)
			}
		}
		e.branches = append(e.branches, b)
	}
	if a := attribute(n, "tree_roots"); a != nil {
		for _, root := range a.Ints {
			if root < 0 || root >= int64(size) {
				return nil, errors.Errorf("a tree has its root at %d of %d branches", root, size)
			}
			e.roots = append(e.roots, int(root))
		}
	}
	if err := e.readLeaves(n); err != nil {
		return nil, err
	}
	return e, e.spreadMembers(n)
}

func (e *ensemble) readLeaves(n *protos.NodeProto) error {
	weights, wide, err := doubles(n, "", "leaf_weights")
	if err != nil {
		return err
	}
	e.leaves, e.wide = len(weights), e.wide || wide
	lists, err := integerLists(n, e.leaves, "leaf_targetids")
	if err != nil {
		return err
	}
	for i, weight := range weights {
		e.votes = append(e.votes, vote{i, int(lists[0][i]), weight})
	}
	return nil
}

// spreadMembers makes of each membership in a set a row of branches, one for each member.
func (e *ensemble) spreadMembers(n *protos.NodeProto) error {
	values, _, err := doubles(n, "", "membership_values")
	if err != nil {
		return err
	}
	var sets [][]float64
	for len(values) > 0 {
		end := 0
		for end < len(values) && !math.IsNaN(values[end]) {
			end++
		}
		sets, values = append(sets, values[:end]), values[min(end+1, len(values)):]
	}
	found := 0
	for i := range e.branches {
		b := e.branches[i]
		if b.mode != "BRANCH_MEMBER" {
			continue
		}
		if found++; found > len(sets) {
			return errors.Errorf("membership_values has %d sets, branch %d wants another", len(sets), i)
		}
		set := sets[found-1]
		b.mode, b.threshold = "never", 0
		for k := len(set) - 1; k >= 0; k-- {
			b.mode, b.threshold = "BRANCH_EQ", set[k]
			if k > 0 {
				e.branches = append(e.branches, b)
				b.no = len(e.branches) - 1
			}
		}
		e.branches[i] = b
	}
	if found != len(sets) {
		return errors.Errorf("membership_values has %d sets for %d branches", len(sets), found)
	}
	return nil
}
