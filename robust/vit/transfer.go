package vit

import (
	"context"
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/study"
)

// Transfer are the success rates of perturbations crafted on one network (row) and tried on another (column), at
// Reference by FGSM, as the paper does.
type Transfer struct {
	Seed   int64       `json:"seed"`
	Models []string    `json:"models"`
	Rate   [][]float64 `json:"rate"`             // share misclassified by the target, its clean mistakes included, as in the paper
	Both   [][]float64 `json:"both"`             // among the images that source and target both classify right without attack
	Shared [][]int     `json:"shared,omitempty"` // how many these are
}

// success is Both of two networks, if there are images that both classify right.
func (t Transfer) success(source, target string) (float64, bool) {
	i, j := slices.Index(t.Models, source), slices.Index(t.Models, target)
	if i < 0 || j < 0 || t.Shared != nil && t.Shared[i][j] == 0 { // Shared is not in results that were kept before it was
		return 0, false
	}
	return t.Both[i][j], true
}

// transferred are the naturally trained models, between which transfer is measured; all where there is none.
func (s *Study) transferred() []Model {
	if natural := study.Where(s.Models, Model.natural); len(natural) > 0 {
		return natural
	}
	return s.Models
}

// Transfer tries the perturbations of each naturally trained network of a seed on all of them; of every network where none
// was naturally trained.
func (s *Study) Transfer(ctx context.Context, seed int64) (Transfer, error) {
	t := Transfer{Seed: seed}
	models := s.transferred()
	s.Config.Progress.Begin(fmt.Sprintf("transfer, seed %d", seed), 0, len(models))
	defer s.Config.Progress.End()
	var victims []*robust.Victim
	var taken []string // gauges that hold a network already
	for _, m := range models {
		name := m.architecture()
		if slices.Contains(taken, name) {
			name = m.Name
		}
		taken = append(taken, name)
		g, err := s.gauged(ctx, name, m, seed)
		if err != nil {
			return t, err
		}
		t.Models, victims = append(t.Models, m.Name), append(victims, g.victim)
	}
	m, err := robust.Transfer(ctx, victims, victims, attack.FGSM{}, s.problem(s.Config.Reference, seed))
	if err != nil {
		return t, err
	}
	s.Config.Progress.Advance(len(models))
	t.Rate, t.Both, t.Shared = m.Rate, m.Both, m.Shared
	return t, nil
}
