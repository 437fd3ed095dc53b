package uae

import (
	"context"

	"github.com/trustbook/trustbook/robust"
)

// Attack is the supervised search as an attack on classifiers in l-infinity, under the contract of all others: label-free, untargeted
// or targeted. Epsilon, Seed and Progress of Search come from the problem.
type Attack struct {
	Search     Search  // zero: that of the authors' supervised code: 1000 steps of 0.01, one of the estimator for each
	Confidence float64 // κ, >= 0
	Random     bool    // random projections instead of the maps of the first convolution, where the network has one
}

var _ robust.Attack = Attack{}

// Name implements robust.Attack.
func (a Attack) Name() string { return "minmax" }

// Access implements robust.Attack.
func (Attack) Access() robust.Access { return robust.Gradients }

// Perturb implements robust.Attack.
func (a Attack) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	return nil, errUnbuilt
}
