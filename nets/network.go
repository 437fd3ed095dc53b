package nets

import (
	"slices"

	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// Network is what any network is, classifier or not: named variables of a store. [Model] embeds it, and so may an
// encoder, a generator or a discriminator. Several networks may share a store, each with variables of its own; what is
// said of a network concerns its own alone.
type Network struct {
	// Name tells the architecture, for tables and error messages.
	Name string
	// Store holds the weights.
	Store *model.Store
	// WeightPaths are the store's paths of the trainable weights, in the order of the network.
	WeightPaths []string
	// StatePaths are the store's paths of what training moves without gradients: the running means and variances of batch
	// normalization. They are saved, loaded and copied along with the weights.
	StatePaths []string
}

// Weights returns the trainable weights in the order of WeightPaths.
func (n *Network) Weights() []*model.Variable {
	weights := make([]*model.Variable, len(n.WeightPaths))
	for i, path := range n.WeightPaths {
		weights[i] = n.Store.GetVariable(path)
	}
	return weights
}

// variables are the weights and the state, which together make the trained network.
func (n *Network) variables() []*model.Variable {
	all := n.Weights()
	for _, path := range n.StatePaths {
		all = append(all, n.Store.GetVariable(path))
	}
	return all
}

// NumParameters counts the trainable values.
func (n *Network) NumParameters() int {
	count := 0
	for _, w := range n.Weights() {
		count += w.Shape().Size()
	}
	return count
}

// Clone returns a network with copies of its variables in a store of its own, so that one can be changed without the
// other. Networks that shared the store are not in it.
func (n *Network) Clone() (*Network, error) {
	store, err := n.Store.Clone()
	if err != nil {
		return nil, errors.WithMessagef(err, "nets: cloning %s", n.Name)
	}
	var others []string
	for v := range store.IterVariables() {
		if !slices.Contains(n.WeightPaths, v.Path()) && !slices.Contains(n.StatePaths, v.Path()) {
			others = append(others, v.Path())
		}
	}
	for _, path := range others {
		if err := store.DeleteVariable(path); err != nil {
			return nil, errors.WithMessagef(err, "nets: cloning %s", n.Name)
		}
	}
	c := *n
	c.Store = store
	return &c, nil
}

// CopyWeights gives n the weights and state of another network of the same architecture. Compiled graphs of n go on
// working, with the new weights.
func (n *Network) CopyWeights(from *Network) error {
	sources, targets := from.variables(), n.variables()
	if len(sources) != len(targets) {
		return errors.Errorf("nets: copying %d weight tensors of %s into %s, which has %d", len(sources), from.Name, n.Name, len(targets))
	}
	for i, s := range sources {
		if !s.Shape().Equal(targets[i].Shape()) {
			return errors.Errorf("nets: copying weight %s of shape %s into %s of shape %s",
				s.Path(), s.Shape(), targets[i].Path(), targets[i].Shape())
		}
		value, err := s.Value()
		if err != nil {
			return err
		}
		if value, err = value.LocalClone(); err != nil {
			return err
		}
		if err := targets[i].SetValue(value); err != nil {
			return err
		}
	}
	return nil
}
