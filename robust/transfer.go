package robust

import (
	"context"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
)

// TransferMatrix says how well perturbations that were crafted on one network fool another. Rows are sources, columns
// targets.
type TransferMatrix struct {
	Attack  string   `json:"attack"`
	Sources []string `json:"sources"` // names of the networks
	Targets []string `json:"targets"`

	// Rate is the share of all examples that the target misclassifies when perturbed, its clean mistakes included (arXiv
	// 2103.15670).
	Rate [][]float64 `json:"rate"`
	// Both is the same over the examples that source and target both classify right without a perturbation; 0 where there
	// are none. Where source and target are one network, it is the success rate of the white-box attack.
	Both [][]float64 `json:"both"`
	// Shared counts the examples behind Both.
	Shared [][]int `json:"shared"`
}

// Transfer crafts perturbations of all examples on each source, once, and shows them to every target. The goal has labels
// and no targets. All networks must have the same input shape, pixel bounds and number of classes. Perturbations that
// break the rules of the threat are an error.
func Transfer(ctx context.Context, sources, targets []*Victim, a Attack, p Problem) (*TransferMatrix, error) {
	if err := checkTransfer(sources, targets, a, p); err != nil {
		return nil, errors.WithMessage(err, "robust: transfer")
	}
	a = For(a, sources[0].Model) // all have the same number of classes
	m := &TransferMatrix{Attack: a.Name()}
	if p.Progress == nil {
		p.Progress = report.Silent{}
	}
	right := map[*Victim][]bool{} // on clean images
	for _, v := range slices.Concat(sources, targets) {
		if right[v] != nil {
			continue
		}
		classes, err := v.Predictions(ctx, p.Images, nil)
		if err != nil {
			return nil, err
		}
		for i, c := range classes {
			right[v] = append(right[v], c == p.Goal.Labels[i])
		}
	}
	for _, t := range targets {
		m.Targets = append(m.Targets, t.Model.Name)
	}
	for _, s := range sources {
		perturbed, err := s.craft(ctx, a, p)
		if err != nil {
			return nil, errors.WithMessagef(err, "robust: transfer: %s on %s", a.Name(), s.Model.Name)
		}
		rate, both, shared := make([]float64, len(targets)), make([]float64, len(targets)), make([]int, len(targets))
		for k, t := range targets {
			classes, err := t.Predictions(ctx, perturbed, nil)
			if err != nil {
				return nil, err
			}
			fooled, also := 0, 0
			for i, c := range classes {
				wrong := c != p.Goal.Labels[i]
				if wrong {
					fooled++
				}
				if right[s][i] && right[t][i] {
					shared[k]++
					if wrong {
						also++
					}
				}
			}
			rate[k], both[k] = float64(fooled)/float64(len(classes)), float64(also)/float64(max(1, shared[k]))
		}
		m.Sources = append(m.Sources, s.Model.Name)
		m.Rate, m.Both, m.Shared = append(m.Rate, rate), append(m.Both, both), append(m.Shared, shared)
	}
	return m, nil
}

// craft attacks all examples, those that the model gets wrong too, and checks the result as Evaluate does.
func (v *Victim) craft(ctx context.Context, a Attack, p Problem) (*tensors.Tensor, error) {
	n := p.Images.Shape().Dimensions[0]
	o := &Outcome{Problem: p, N: n, Queries: make([]int64, n), Grads: make([]int64, n), Perturbed: p.Images}
	if err := o.run(ctx, v, a, Rows(n)); err != nil {
		return nil, err
	}
	if o.Weights != nil {
		return nil, errors.New("the attack changed weights, which other networks do not have")
	}
	inputs, err := v.measure(ctx, p.Threat.Norm, p.Images, o.Perturbed)
	if err != nil {
		return nil, err
	}
	var found tally
	for i, in := range inputs {
		if !found.add(in, p.Threat.Epsilon) {
			return nil, errors.Errorf("example %d leaves the budget or the pixel bounds (norm %g, radius %g): mend the attack's projection",
				i, in.norm, p.Threat.Epsilon)
		}
	}
	return o.Perturbed, nil
}

func checkTransfer(sources, targets []*Victim, a Attack, p Problem) error {
	if len(sources) == 0 || len(targets) == 0 || slices.Contains(sources, nil) || slices.Contains(targets, nil) {
		return errors.New("give at least one source and one target, none of them nil")
	}
	switch {
	case a == nil:
		return errors.New("the attack is nil")
	case p.Goal.Labels == nil || p.Goal.Targeted():
		return errors.New("the goal must have labels and no targets: what is measured is misclassification")
	case p.Threat.MovesWeights():
		return errors.New("weights do not transfer: give a threat on inputs only")
	}
	for _, v := range sources {
		if err := v.allows(a); err != nil {
			return err
		}
	}
	first := sources[0].Model
	for _, v := range slices.Concat(sources, targets) {
		switch m := v.Model; {
		case !slices.Equal(m.InputShape, first.InputShape):
			return errors.Errorf("%s takes inputs of shape %v, %s of shape %v: all networks must take the same images",
				first.Name, first.InputShape, m.Name, m.InputShape)
		case m.Lower != first.Lower || m.Upper != first.Upper:
			return errors.Errorf("%s takes pixels in [%g, %g], %s in [%g, %g]: all networks must take the same images",
				first.Name, first.Lower, first.Upper, m.Name, m.Lower, m.Upper)
		case m.Classes != first.Classes:
			return errors.Errorf("%s has %d classes, %s %d: all networks must know the same ones", first.Name, first.Classes, m.Name, m.Classes)
		}
		if err := p.validate(v, a); err != nil {
			return err
		}
	}
	return nil
}
