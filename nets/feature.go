package nets

import . "github.com/gomlx/gomlx/core/graph"

// FeatureKind tells how to read a Feature.
type FeatureKind int

const (
	// Map is a feature map [batch, height, width, channels].
	Map FeatureKind = iota
	// Tokens are [batch, tokens, width].
	Tokens
	// Attention are the weights of one block [batch, heads, tokens, tokens]: row q tells where token q looks.
	Attention
)

// Feature is what a network computes on its way to the logits, for Model.Inspect.
type Feature struct {
	Name string // "block 1", "attention 1" ...
	Kind FeatureKind
	Node *Node
}
