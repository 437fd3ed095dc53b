package onnx_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets/onnx"
)

// treeNode is a row of a TreeEnsembleRegressor.
type treeNode struct {
	tree, id, feature, yes, no, missing int64
	threshold                           float32
	mode                                string
	weights                             []float32 // of a leaf, one a target
}

const treeFeatures, treeTargets = 4, 3

// draw grows a tree with numbers that have gaps, and returns that of its root.
func draw(rng *rand.Rand, tree int64, depth int, to *[]treeNode) int64 {
	n := treeNode{tree: tree, id: int64(7*len(*to)+3) % 100_003, mode: "LEAF"}
	at := len(*to)
	*to = append(*to, n)
	if depth == 0 || rng.IntN(5) == 0 {
		for range treeTargets {
			n.weights = append(n.weights, float32(rng.NormFloat64()))
		}
	} else {
		modes := []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"}
		n.mode, n.feature, n.threshold, n.missing = modes[rng.IntN(6)], rng.Int64N(treeFeatures), float32(rng.IntN(3)), rng.Int64N(2)
		n.yes, n.no = draw(rng, tree, depth-1, to), draw(rng, tree, depth-1, to)
	}
	(*to)[at] = n
	return n.id
}

// leafOf walks a tree as the format tells it.
func leafOf(nodes []treeNode, tree, id int64, x []float32) treeNode {
	at := slices.IndexFunc(nodes, func(n treeNode) bool { return n.tree == tree && n.id == id })
	n := nodes[at]
	v, yes := x[n.feature], false
	switch n.mode {
	case "LEAF":
		return n
	case "BRANCH_LEQ":
		yes = v <= n.threshold
	case "BRANCH_LT":
		yes = v < n.threshold
	case "BRANCH_GTE":
		yes = v >= n.threshold
	case "BRANCH_GT":
		yes = v > n.threshold
	case "BRANCH_EQ":
		yes = v == n.threshold
	case "BRANCH_NEQ":
		yes = v != n.threshold
	}
	if yes || n.missing != 0 && v != v {
		return leafOf(nodes, tree, n.yes, x)
	}
	return leafOf(nodes, tree, n.no, x)
}

func list(name string, values ...int64) *protos.AttributeProto {
	return &protos.AttributeProto{Name: name, Type: protos.AttributeProto_INTS, Ints: values}
}

// forestFile is a file with one TreeEnsembleRegressor.
func forestFile(nodes []treeNode, aggregate string) *protos.ModelProto {
	values := &protos.AttributeProto{Name: "nodes_values", Type: protos.AttributeProto_FLOATS}
	modes := &protos.AttributeProto{Name: "nodes_modes", Type: protos.AttributeProto_STRINGS}
	weights := &protos.AttributeProto{Name: "target_weights", Type: protos.AttributeProto_FLOATS}
	trees, ids, features := list("nodes_treeids"), list("nodes_nodeids"), list("nodes_featureids")
	yes, no, missing := list("nodes_truenodeids"), list("nodes_falsenodeids"), list("nodes_missing_value_tracks_true")
	voteTrees, voteIDs, targets := list("target_treeids"), list("target_nodeids"), list("target_ids")
	for _, n := range nodes {
		trees.Ints, ids.Ints, features.Ints = append(trees.Ints, n.tree), append(ids.Ints, n.id), append(features.Ints, n.feature)
		yes.Ints, no.Ints, missing.Ints = append(yes.Ints, n.yes), append(no.Ints, n.no), append(missing.Ints, n.missing)
		values.Floats, modes.Strings = append(values.Floats, n.threshold), append(modes.Strings, []byte(n.mode))
		for target, w := range n.weights {
			voteTrees.Ints, voteIDs.Ints = append(voteTrees.Ints, n.tree), append(voteIDs.Ints, n.id)
			targets.Ints, weights.Floats = append(targets.Ints, int64(target)), append(weights.Floats, w)
		}
	}
	regressor := node("TreeEnsembleRegressor", "scores", "x")
	regressor.Domain = "ai.onnx.ml"
	regressor.Attribute = []*protos.AttributeProto{trees, ids, features, yes, no, missing, values, modes, voteTrees, voteIDs, targets, weights,
		{Name: "n_targets", Type: protos.AttributeProto_INT, I: treeTargets},
		{Name: "aggregate_function", Type: protos.AttributeProto_STRING, S: []byte(aggregate)}}
	return &protos.ModelProto{IrVersion: 8, OpsetImport: []*protos.OperatorSetIdProto{{Version: 17}, {Domain: "ai.onnx.ml", Version: 3}},
		Graph: &protos.GraphProto{Input: []*protos.ValueInfoProto{input("x", 0, treeFeatures)},
			Output: []*protos.ValueInfoProto{{Name: "scores"}}, Node: []*protos.NodeProto{regressor}}}
}

// TestTreesWalk: random trees with every comparison, missing values, numbers with gaps and rows in any order, against a walk of one
// tree after the other.
func TestTreesWalk(t *testing.T) {
	backend := sequential(t)
	nan := float32(math.NaN())
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		aggregate := []string{"SUM", "AVERAGE", "MIN", "MAX"}[seed%4]
		var nodes []treeNode
		roots := map[int64]int64{}
		for range 1 + rng.IntN(6) {
			tree := rng.Int64N(1000) - 500
			if _, seen := roots[tree]; !seen {
				roots[tree] = draw(rng, tree, rng.IntN(6), &nodes)
			}
		}
		rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		m, err := onnx.Load(onnxFile(t, t.TempDir(), forestFile(nodes, aggregate)), onnx.Options{})
		require.NoError(t, err)
		require.Equal(t, treeTargets, m.Classes)
		const examples = 50
		x, want := make([]float32, 0, examples*treeFeatures), make([]float64, 0, examples*treeTargets)
		for range examples {
			var row []float32
			for range treeFeatures {
				row = append(row, []float32{-1, 0, 0.5, 1, 1.5, 2, nan}[rng.IntN(7)])
			}
			x = append(x, row...)
			for target := range treeTargets {
				var given []float64
				for tree, root := range roots {
					given = append(given, float64(leafOf(nodes, tree, root, row).weights[target]))
				}
				sum := 0.0
				for _, g := range given {
					sum += g
				}
				want = append(want, map[string]float64{"SUM": sum, "AVERAGE": sum / float64(len(given)), "MIN": slices.Min(given),
					"MAX": slices.Max(given)}[aggregate])
			}
		}
		e := model.MustNewExec(backend, m.Store, m.Logits)
		got := tensors.MustCopyFlatData[float32](e.MustCall(tensors.FromFlatDataAndDimensions(x, examples, treeFeatures))[0])
		off, _ := farthest(got, want)
		require.LessOrEqual(t, off, 1e-5, "seed %d, %s", seed, aggregate)
	}
}

// stump is a good tree: 0 leads to the leaves 1 and 2.
func stump() []treeNode {
	weights := make([]float32, treeTargets)
	return []treeNode{{mode: "BRANCH_LEQ", yes: 1, no: 2, feature: 3}, {id: 1, mode: "LEAF", weights: weights},
		{id: 2, mode: "LEAF", weights: weights}}
}

// TestTreesTold: what has no slope has gradient zero, on XLA too, and a note says so.
func TestTreesTold(t *testing.T) {
	nodes := stump()
	nodes[1].weights = []float32{1, 2, 3}
	m, err := onnx.Load(onnxFile(t, t.TempDir(), forestFile(nodes, "SUM")), onnx.Options{})
	require.NoError(t, err)
	require.Len(t, m.Notes, 1)
	require.Contains(t, m.Notes[0], "no gradient goes through them")
	require.Empty(t, m.WeightPaths)
	e := model.MustNewExec(testengine.Quick(t).Backend(), m.Store, func(scope *model.Scope, x *Node) (*Node, *Node) {
		z := m.Logits(scope, x)
		return z, Gradient(ReduceAllSum(Square(z)), x)[0]
	})
	out := e.MustCall(tensors.FromFlatDataAndDimensions([]float32{9, 9, 9, -1, 0, 0, 0, 1}, 2, treeFeatures))
	require.Equal(t, []float32{1, 2, 3, 0, 0, 0}, tensors.MustCopyFlatData[float32](out[0]))
	require.Equal(t, make([]float32, 8), tensors.MustCopyFlatData[float32](out[1]))
}

// TestTreesRefused: damaged ensembles are refused at once, by what is wrong.
func TestTreesRefused(t *testing.T) {
	deep := []treeNode{{id: -1, tree: 1, mode: "LEAF"}}
	for i := range int64(5) { // 0 to 4, on a circle
		deep = append(deep, treeNode{id: i, mode: "BRANCH_LT", yes: (i + 1) % 5, no: (i + 1) % 5})
	}
	change := func(at int, f func(n *treeNode)) []treeNode {
		nodes := stump()
		f(&nodes[at])
		return nodes
	}
	chain := []treeNode{{id: 1 << 17, mode: "LEAF"}}
	for i := range int64(1 << 17) {
		chain = append(chain, treeNode{id: i, mode: "BRANCH_LT", yes: i + 1, no: i + 1})
	}
	for want, nodes := range map[string][]treeNode{
		"is 131072 branches deep":          chain,
		"0 trees":                          nil,
		"which the tree does not have":     change(0, func(n *treeNode) { n.no = 9 }),
		"tree 0 has two nodes 1":           change(2, func(n *treeNode) { n.id = 1 }),
		`mode "BRANCH_MEMBER"`:             change(0, func(n *treeNode) { n.mode = "BRANCH_MEMBER" }),
		"looks at feature 4 of 4":          change(0, func(n *treeNode) { n.feature = 4 }),
		"looks at feature -1":              change(0, func(n *treeNode) { n.feature = -1 }),
		"threshold of branch 0 is NaN":     change(0, func(n *treeNode) { n.threshold = float32(math.NaN()) }),
		"0 nodes of tree 0 have no node":   deep,
		"2 nodes of tree 0 have no node":   change(0, func(n *treeNode) { n.no = 1 }),
		"1 of 2 branches lead back":        append(stump()[:3:3], treeNode{id: 3, mode: "BRANCH_EQ", yes: 3, no: 3}),
		"which is no leaf":                 change(0, func(n *treeNode) { n.weights = make([]float32, 1) }),
		"gives target 3 of 3 the weight 0": change(1, func(n *treeNode) { n.weights = make([]float32, 4) }),
		"the weight +Inf":                  change(1, func(n *treeNode) { n.weights = []float32{float32(math.Inf(1))} }),
	} {
		refusedTrees(t, want, forestFile(nodes, "SUM"))
	}
	for name, want := range map[string]string{"nodes_treeids": "nodes_treeids has 2 entries: want 3", "nodes_modes": "has 3 entries: want 2",
		"nodes_values": "nodes_values has 2 entries", "target_ids": "target_ids has 5 entries: want 6",
		"target_weights": "has 6 entries: want 5"} {
		p := forestFile(stump(), "SUM")
		for _, a := range p.Graph.Node[0].Attribute {
			if a.Name == name {
				a.Ints, a.Floats, a.Strings = a.Ints[:max(0, len(a.Ints)-1)], a.Floats[:max(0, len(a.Floats)-1)], a.Strings[:max(0, len(a.Strings)-1)]
			}
		}
		refusedTrees(t, want, p)
	}
	refusedTrees(t, `aggregate_function "MEDIAN"`, forestFile(stump(), "MEDIAN"))
	var wide []treeNode // whose weights would take far more than the file
	for tree := range int64(1000) {
		wide = append(wide, treeNode{tree: tree, mode: "LEAF"})
	}
	p := forestFile(wide, "SUM")
	p.Graph.Node[0].Attribute[12].I = 1 << 16
	refusedTrees(t, "more than fits", p)
	for _, targets := range []int64{-1, 0, 1 << 40} {
		p := forestFile(stump(), "SUM")
		p.Graph.Node[0].Attribute[12].I = targets
		refusedTrees(t, fmt.Sprintf("n_targets is %d", targets), p)
	}
}

// TestTreeSetModes: comparisons come as numbers there, which may be any.
func TestTreeSetModes(t *testing.T) {
	numbers := func(name string, values ...float32) *protos.AttributeProto {
		return &protos.AttributeProto{Name: name, Type: protos.AttributeProto_TENSOR, T: &protos.TensorProto{Name: name,
			DataType: int32(protos.TensorProto_FLOAT), Dims: []int64{int64(len(values))}, FloatData: values}}
	}
	for _, mode := range []float32{-1, 0.5, 7, float32(math.NaN())} {
		p := forestFile(nil, "SUM")
		p.OpsetImport[1].Version = 5
		p.Graph.Node[0].OpType = "TreeEnsemble"
		p.Graph.Node[0].Attribute = []*protos.AttributeProto{numbers("nodes_splits", 0), numbers("nodes_modes", mode),
			list("nodes_featureids", 0), list("nodes_truenodeids", 0), list("nodes_trueleafs", 1),
			list("nodes_falsenodeids", 1), list("nodes_falseleafs", 1),
			numbers("leaf_weights", 1, 2), list("leaf_targetids", 0, 1), list("tree_roots", 0),
			{Name: "n_targets", Type: protos.AttributeProto_INT, I: treeTargets}}
		refusedTrees(t, fmt.Sprintf("mode %g of branch 0 is not supported", mode), p)
	}
}

func refusedTrees(t *testing.T, want string, p *protos.ModelProto) {
	t.Helper()
	_, err := onnx.Load(onnxFile(t, t.TempDir(), p), onnx.Options{})
	require.ErrorContains(t, err, want)
	require.NotContains(t, err.Error(), "\n")
}

// FuzzTrees: whatever a node's lists hold, an error of one line or a model that runs.
func FuzzTrees(f *testing.F) {
	for _, nodes := range [][]treeNode{stump(), nil} {
		content, err := proto.Marshal(forestFile(nodes, "SUM").Graph.Node[0])
		require.NoError(f, err)
		f.Add(content)
	}
	backend := sequential(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		p := forestFile(nil, "SUM")
		n := &protos.NodeProto{}
		if proto.Unmarshal(content, n) != nil {
			return
		}
		p.Graph.Node[0].Attribute = n.Attribute
		m, err := onnx.Load(onnxFile(t, t.TempDir(), p), onnx.Options{})
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			require.NotContains(t, err.Error(), "runtime error")
			return
		}
		e := model.MustNewExec(backend, m.Store, m.Logits)
		e.MustCall(tensors.FromFlatDataAndDimensions(make([]float32, treeFeatures), 1, treeFeatures))
	})
}
