package meta

import (
	"fmt"
	"math/rand/v2"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/robust"
)

// MLP is a dense network with ReLU: the regressor of the sinusoid, for one.
type MLP struct {
	Inputs int   // values of an example; zero: 1
	Hidden []int // zero: 40, 40
	Out    int   // zero: 1
	// Box is the range of inputs; zero: [-5, 5], that of fewshot.Sinusoid.
	Box robust.Box
}

// NewMLP checks the settings and fills in the defaults.
func NewMLP(c MLP) (*MLP, error) {
	if c.Hidden == nil {
		c.Hidden = []int{40, 40}
	}
	if c.Inputs == 0 {
		c.Inputs = 1
	}
	if c.Out == 0 {
		c.Out = 1
	}
	if c.Box == (robust.Box{}) {
		c.Box = robust.Box{Lower: -5, Upper: 5}
	}
	if err := checkBox(c.Box); err != nil {
		return nil, err
	}
	if c.Inputs < 1 || c.Out < 1 || len(c.Hidden) == 0 || slices.Min(c.Hidden) < 1 {
		return nil, errors.Errorf("meta: dense network %d-%v-%d: want positive sizes and a hidden layer", c.Inputs, c.Hidden, c.Out)
	}
	return &c, nil
}

// Name implements [Model].
func (m *MLP) Name() string { return fmt.Sprintf("dense %d-%v-%d", m.Inputs, m.Hidden, m.Out) }

// InputShape implements [Model].
func (m *MLP) InputShape() []int { return []int{m.Inputs} }

// Bounds implements [Model].
func (m *MLP) Bounds() robust.Box { return m.Box }

// Outputs implements [Model].
func (m *MLP) Outputs() int { return m.Out }

// Head implements [Model].
func (m *MLP) Head() int { return 2 * len(m.Hidden) }

// Init implements [Model]: He's normal values for weights, 0 for biases.
func (m *MLP) Init(seed int64) (all []*tensors.Tensor) {
	rng := rand.New(rand.NewPCG(uint64(seed), initStream))
	from := m.Inputs
	for _, to := range append(slices.Clone(m.Hidden), m.Out) {
		all = append(all, normal(rng, he(from), from, to), constant(0, to))
		from = to
	}
	return all
}

// Forward implements [Model].
func (m *MLP) Forward(p []*Node, x *Node) (features, outputs *Node) {
	checkInput(m, x)
	for k := range m.Hidden {
		x = dense(x, p[2*k], p[2*k+1])
		x = Max(x, ZerosLike(x))
	}
	return x, dense(x, p[2*len(m.Hidden)], p[2*len(m.Hidden)+1])
}
