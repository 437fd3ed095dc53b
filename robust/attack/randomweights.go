package attack

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
)

// RandomWeights is the control of attacks on weights: it draws perturbations of all weights at random and keeps that with
// the lowest accuracy. Inputs stay as they are. What it does not break although JointPGD does is broken by the direction
// of the perturbation, not by its size.
type RandomWeights struct {
	Draws    int  // zero: 10
	Interior bool // uniform in the ball, as rounding errors are, instead of at its corners, where every weight moves by its radius
}

var _ robust.Attack = RandomWeights{}

// Name implements robust.Attack.
func (a RandomWeights) Name() string {
	where := ""
	if a.Interior {
		where = ", interior"
	}
	return fmt.Sprintf("random-weights(draws=%d%s)", cmp.Or(a.Draws, 10), where)
}

// Access implements robust.Attack: whoever moves weights sees them.
func (RandomWeights) Access() robust.Access { return robust.Gradients }

// Perturb implements robust.Attack.
func (a RandomWeights) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a.Draws = cmp.Or(a.Draws, 10)
	switch {
	case a.Draws < 1:
		return nil, errors.Errorf("Draws = %d: need at least 1", a.Draws)
	case p.Goal.Classes() == nil:
		return nil, errors.New("the goal has neither labels nor targets: Evaluate fills in the clean predictions")
	case p.Threat.Epsilon > 0:
		return nil, errors.Errorf("Epsilon = %g: random weights leave inputs as they are: set it to 0", p.Threat.Epsilon)
	}
	batches, err := jointBatches(v, p)
	if err != nil {
		return nil, err
	}
	n, targeted := len(v.Model.WeightPaths), p.Goal.Targeted()
	draw := func(o *robust.Oracle, state, radii *Node) (weights []*Node) {
		for i, w := range o.Weights(state.Graph()) {
			var u *Node
			state, u = RandomUniform(state, w.Shape())
			if u = MulScalar(AddScalar(u, -0.5), 2); !a.Interior {
				u = SignPlusOrMinus(u)
			}
			weights = append(weights, Add(w, Mul(u, ConvertDType(Reshape(Slice(radii, AxisElem(i))), w.DType()))))
		}
		return weights
	}
	key := fmt.Sprintf("random-weights/interior=%t/targeted=%t/", a.Interior, targeted)
	// (x, classes, mask, state, radii) → number of examples on which the goal is not met
	score, err := v.Compile(key+"score", func(o *robust.Oracle, args []*Node) []*Node {
		x, classes, mask := args[0], args[1], args[2]
		var missed *Node
		o.WithWeights(draw(o, args[3], args[4]), func() { missed = LogicalNot(met(o.Logits(x), classes, targeted)) })
		return []*Node{ReduceAllSum(Mul(ConvertDType(missed, dtypes.Float32), mask))}
	})
	if err != nil {
		return nil, err
	}
	weights, err := v.Compile(key+"weights", func(o *robust.Oracle, args []*Node) []*Node { return draw(o, args[0], args[1]) })
	if err != nil {
		return nil, err
	}
	radii := make([]float32, n)
	for i, r := range p.Threat.WeightRadii(n) {
		radii[i] = float32(r)
	}
	progress := p.Progress
	if progress == nil {
		progress = report.Silent{}
	}
	progress.Begin(a.Name(), 0, a.Draws)
	defer progress.End()
	var best *tensors.Tensor
	fewest := math.MaxInt
	for d := range a.Draws {
		state, err := RNGStateFromSeed(p.Seed + int64(d)*1_000_003)
		if err != nil {
			return nil, err
		}
		standing := 0
		for _, b := range batches {
			out, err := score.Call(ctx, b.rows, b.clean, b.classes, b.mask, state, radii)
			if err != nil {
				return nil, err
			}
			standing += int(tensors.ToScalar[float32](out[0]))
		}
		if standing < fewest {
			best, fewest = state, standing
		}
		progress.Advance(1)
	}
	out, err := weights.Call(ctx, nil, best, radii)
	if err != nil {
		return nil, err
	}
	return &robust.Perturbation{Weights: out}, nil
}
