package robust

import (
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// Goal says what counts as a success of the adversary on one example.
//
//	Targets given                 the prediction becomes the target
//	only Labels given             the prediction is not the label
//	neither (label-free)          the prediction differs from the model's own prediction on the clean input
type Goal struct {
	Labels  []int32 // true classes, one an example
	Targets []int32 // wanted classes, one an example
}

// Validate checks lengths and ranges against n examples and the model's classes.
func (g Goal) Validate(n int, m *nets.Model) error {
	if g.Labels != nil {
		if len(g.Labels) != n {
			return errors.Errorf("robust: %d labels for %d examples: give one label an example", len(g.Labels), n)
		}
		if err := m.CheckLabels(g.Labels); err != nil {
			return err
		}
	}
	if g.Targets != nil {
		if len(g.Targets) != n {
			return errors.Errorf("robust: %d targets for %d examples: give one target an example", len(g.Targets), n)
		}
		if err := m.CheckLabels(g.Targets); err != nil {
			return errors.WithMessage(err, "targets")
		}
		for i := range g.Labels {
			if g.Targets[i] == g.Labels[i] {
				return errors.Errorf("robust: target %d at row %d is the example's own label: choose another class",
					g.Targets[i], i)
			}
		}
	}
	return nil
}

// Targeted reports whether the goal asks for given classes.
func (g Goal) Targeted() bool { return g.Targets != nil }

// Classes returns the classes that the attack's loss refers to: the targets if there are any, else the labels.
func (g Goal) Classes() []int32 {
	if g.Targets != nil {
		return g.Targets
	}
	return g.Labels
}

// Met reports whether prediction p on example i is a success.
func (g Goal) Met(i int, p int32) bool {
	if g.Targets != nil {
		return p == g.Targets[i]
	}
	return p != g.Labels[i]
}

// at returns the goal for the given rows only.
func (g Goal) at(rows []int) Goal {
	pick := func(all []int32) []int32 {
		if all == nil {
			return nil
		}
		return nets.PickRows(all, 1, rows)
	}
	return Goal{Labels: pick(g.Labels), Targets: pick(g.Targets)}
}
