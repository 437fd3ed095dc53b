package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/pkg/errors"
)

// This file reads ensembles of trees from the attributes of their nodes: those of classifiers and regressors here, whose rows name
// branches and leaves alike by tree and number, and those of TreeEnsemble in treeset.go.

// integers are a list of the given length; nil where it is missing.
func integers(n *protos.NodeProto, name string, length int) ([]int64, error) {
	a := attribute(n, name)
	if a == nil || len(a.Ints) == 0 {
		return nil, nil
	}
	if len(a.Ints) != length {
		return nil, errors.Errorf("%s has %d entries: want %d", name, len(a.Ints), length)
	}
	return a.Ints, nil
}

// integerLists are lists that all have to be there, of one length.
func integerLists(n *protos.NodeProto, length int, names ...string) (lists [][]int64, err error) {
	for _, name := range names {
		list, err := integers(n, name, length)
		if err != nil {
			return nil, err
		}
		if len(list) != length {
			return nil, errors.Errorf("%s has no entries: want %d", name, length)
		}
		lists = append(lists, list)
	}
	return lists, nil
}

// doubles are the numbers of a list, or of the tensor that stands in its place; wide tells whether they are of double precision.
func doubles(n *protos.NodeProto, list, tensor string) (numbers []float64, wide bool, err error) {
	if a := attribute(n, list); a != nil {
		for _, f := range a.Floats {
			numbers = append(numbers, float64(f))
		}
	}
	a := attribute(n, tensor)
	if a == nil || a.T == nil {
		return numbers, false, nil
	}
	if len(numbers) > 0 {
		return nil, false, errors.Errorf("%s and %s are both given", list, tensor)
	}
	return tensorNumbers(tensor, a.T)
}

// byNumber names what a tree's row is in the lists: its tree and its number.
type byNumber struct{ tree, node int64 }

// numbered reads what TreeEnsembleClassifier and TreeEnsembleRegressor have in common; votes has the names of the lists of votes.
func numbered(n *protos.NodeProto, targets int, votes [3]string, weights, weightTensor string) (*ensemble, error) {
	var modes [][]byte
	if a := attribute(n, "nodes_modes"); a != nil {
		modes = a.Strings
	}
	size := len(modes)
	if size == 0 {
		return nil, errors.New("0 trees: nodes_modes is empty")
	}
	lists, err := integerLists(n, size, "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids")
	if err != nil {
		return nil, err
	}
	thresholds, wide, err := doubles(n, "nodes_values", "nodes_values_as_tensor")
	if err != nil {
		return nil, err
	}
	if len(thresholds) != size {
		return nil, errors.Errorf("nodes_values has %d entries: want %d", len(thresholds), size)
	}
	missing, err := integers(n, "nodes_missing_value_tracks_true", size)
	if err != nil {
		return nil, err
	}
	e := &ensemble{targets: targets, wide: wide}
	places := make(map[byNumber]int, size)
	branches := 0
	for i, mode := range modes {
		key := byNumber{lists[0][i], lists[1][i]}
		if _, twice := places[key]; twice {
			return nil, errors.Errorf("tree %d has two nodes %d", key.tree, key.node)
		}
		if string(mode) == "LEAF" {
			places[key] = ^e.leaves
			e.leaves++
		} else {
			places[key] = branches
			branches++
		}
	}
	for i, mode := range modes {
		if string(mode) == "LEAF" {
			continue
		}
		b := branch{feature: lists[2][i], threshold: thresholds[i], mode: string(mode), missing: missing != nil && missing[i] != 0}
		for _, child := range []struct {
			to *int
			id int64
		}{{&b.yes, lists[3][i]}, {&b.no, lists[4][i]}} {
			place, found := places[byNumber{lists[0][i], child.id}]
			if !found {
				return nil, errors.Errorf("node %d of tree %d leads to node %d, which the tree does not have", lists[1][i], lists[0][i], child.id)
			}
			*child.to = place
		}
		e.branches = append(e.branches, b)
	}
	if e.roots, err = e.topmost(lists[0], lists[1], places); err != nil {
		return nil, err
	}
	return e, e.readVotes(n, places, votes, weights, weightTensor)
}

// topmost finds the one node of each tree that none leads to.
func (e *ensemble) topmost(trees, nodes []int64, places map[byNumber]int) (roots []int, err error) {
	below := map[int]bool{}
	for _, b := range e.branches {
		below[b.yes], below[b.no] = true, true
	}
	found, seen := map[int64]int{}, map[int64]bool{}
	var order []int64
	for i, tree := range trees {
		if !seen[tree] {
			seen[tree] = true
			order = append(order, tree)
		}
		if place := places[byNumber{tree, nodes[i]}]; !below[place] {
			found[tree]++
			roots = append(roots, place)
		}
	}
	for _, tree := range order {
		if found[tree] != 1 {
			return nil, errors.Errorf("%d nodes of tree %d have no node above them: want one, its root", found[tree], tree)
		}
	}
	return roots, nil
}

func (e *ensemble) readVotes(n *protos.NodeProto, places map[byNumber]int, names [3]string, weights, tensor string) error {
	numbers, wide, err := doubles(n, weights, tensor)
	if err != nil {
		return err
	}
	e.wide = e.wide || wide
	lists, err := integerLists(n, len(numbers), names[:]...)
	if err != nil {
		return err
	}
	for i, weight := range numbers {
		place, found := places[byNumber{lists[0][i], lists[1][i]}]
		if !found || place >= 0 {
			return errors.Errorf("%s gives a weight to node %d of tree %d, which is no leaf", weights, lists[1][i], lists[0][i])
		}
		e.votes = append(e.votes, vote{^place, int(lists[2][i]), weight})
	}
	return nil
}

// classifier reads a TreeEnsembleClassifier, and what is added to its sums. Weights for the first of two classes alone speak for the
// second, and against the first: as probabilities where none is negative.
func classifier(n *protos.NodeProto) (*ensemble, []float64, error) {
	classes := labels(n, "classlabels_int64s", "classlabels_strings")
	if classes < 2 {
		return nil, nil, errors.Errorf("%d labels: want two classes or more", classes)
	}
	e, err := numbered(n, classes, [3]string{"class_treeids", "class_nodeids", "class_ids"}, "class_weights", "class_weights_as_tensor")
	if err != nil {
		return nil, nil, err
	}
	base, wide, err := doubles(n, "base_values", "base_values_as_tensor")
	if err != nil {
		return nil, nil, err
	}
	e.wide = e.wide || wide
	one := classes == 2 && !slices.ContainsFunc(e.votes, func(v vote) bool { return v.target != 0 })
	switch {
	case !one && classes == 2 && len(base) > 0:
		return nil, nil, errors.Errorf("%d base values for two classes with weights for both: ONNX Runtime and the format differ", len(base))
	case !one:
		return e, base, nil
	case len(base) > 1:
		return nil, nil, errors.Errorf("%d base values for one row of weights: ONNX Runtime and the format differ", len(base))
	case stringOr(n, "post_transform", "NONE") == "SOFTMAX":
		return nil, nil, errors.New("a softmax of one row of weights: ONNX Runtime leaves it out")
	}
	base = append(base, 0)[:1]
	if !slices.ContainsFunc(e.votes, func(v vote) bool { return v.weight < 0 }) && stringOr(n, "post_transform", "NONE") == "NONE" {
		base = []float64{1 - base[0], base[0]}
	} else {
		base = []float64{-base[0], base[0]}
	}
	for i, v := range e.votes {
		e.votes[i].weight = -v.weight
		e.votes = append(e.votes, vote{v.leaf, 1, v.weight})
	}
	return e, base, nil
}

// regressor reads a TreeEnsembleRegressor, and what is added to its sums.
func regressor(n *protos.NodeProto) (*ensemble, []float64, error) {
	targets := intOr(n, "n_targets", 1)
	if targets < 1 || targets > mostTargets {
		return nil, nil, errors.Errorf("n_targets is %d: want 1 to %d", targets, mostTargets)
	}
	votes := [3]string{"target_treeids", "target_nodeids", "target_ids"}
	e, err := numbered(n, int(targets), votes, "target_weights", "target_weights_as_tensor")
	if err != nil {
		return nil, nil, err
	}
	base, wide, err := doubles(n, "base_values", "base_values_as_tensor")
	e.wide = e.wide || wide
	return e, base, err
}
