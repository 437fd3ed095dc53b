package attack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
)

// AutoAttack is the ensemble of Croce and Hein (arXiv 2003.01690): its members run in order, each only on the examples
// that are still standing. An example is robust only if all of them fail. Version "standard" is APGD with
// cross-entropy, APGD-T with DLR towards 9 classes, FAB-T towards 9 classes (100 steps each) and SquareAttack (5000
// queries), for linf and l2. Targets are as many as there are other classes, if those are fewer than 9. Networks of less
// than 4 classes have no DLR towards a target: for them, APGD-T climbs the margin, which is DLR without its denominator,
// and the name is "autoattack(standard, margin for dlr)".
//
// What each member did is in Outcome.Stages. The perturbation of an example is that of the member that broke it, or else
// of the last one.
type AutoAttack struct {
	Version string          // "standard"; zero: that
	Members []robust.Attack // in the order of their turns, instead of those of a version
	// Dir is a folder where the results of each member on each batch are kept, so that a run that was stopped goes on
	// where it was: at most one batch is lost, and the outcome is the same to the byte. "" keeps nothing.
	Dir string

	margin bool // in place of DLR, which the network does not have: set by For
}

var _ robust.Fitted = AutoAttack{}

// Name implements robust.Attack. Only the four members make it "standard".
func (a AutoAttack) Name() string {
	if len(a.Members) == 0 {
		name := "autoattack(" + cmp.Or(a.Version, "standard")
		if a.margin {
			name += ", margin for dlr"
		}
		return name + ")"
	}
	names := make([]string, len(a.Members))
	for i, m := range a.Members {
		if names[i] = "nil"; m != nil {
			names[i] = m.Name()
		}
	}
	return fmt.Sprintf("ensemble(%s)", strings.Join(names, ", "))
}

// Access implements robust.Attack: the most that a member asks for.
func (a AutoAttack) Access() robust.Access {
	if len(a.Members) == 0 {
		return robust.Gradients
	}
	most := robust.Decisions
	for _, m := range a.Members {
		if m != nil {
			most = max(most, m.Access())
		}
	}
	return most
}

// For implements robust.Fitted: the name says if the margin stands in for DLR, and members fit the network.
func (a AutoAttack) For(m *nets.Model) robust.Attack {
	a.margin = robust.DLR.Validate(m.Classes, true) != nil
	a.Members = slices.Clone(a.Members)
	for i, member := range a.Members {
		a.Members[i] = robust.For(member, m)
	}
	return a
}

// Standard returns the members of AutoAttack's version "standard" for a network of so many classes; with less than four,
// the margin stands in for DLR.
func Standard(classes int) []robust.Attack {
	targets, loss := min(9, classes-1), robust.DLR
	if loss.Validate(classes, true) != nil {
		loss = robust.Margin
	}
	return []robust.Attack{
		APGD{},
		APGD{Loss: loss, Targets: targets},
		FAB{Targets: targets, EarlyStop: true},
		SquareAttack{},
	}
}

func (a AutoAttack) members(v *robust.Victim, p robust.Problem) ([]robust.Attack, error) {
	switch {
	case p.Threat.MovesWeights():
		return nil, errors.New("this attack moves inputs only: use JointPGD for a threat with weights")
	case len(a.Members) > 0 && a.Version != "":
		return nil, errors.Errorf("Version = %q and %d Members: give one of the two", a.Version, len(a.Members))
	case len(a.Members) > 0:
		if i := slices.Index(a.Members, nil); i >= 0 {
			return nil, errors.Errorf("Members[%d] is nil", i)
		}
		return a.Members, p.Threat.RequireBudget()
	case a.Version != "" && a.Version != "standard":
		return nil, errors.Errorf("Version = %q: want standard, or name Members", a.Version)
	case p.Threat.Norm == robust.L1:
		return nil, errors.New("autoattack: the standard version is for linf and l2, not for l1: name Members")
	}
	return Standard(v.Model.Classes), p.Threat.RequireBudget()
}

// Perturb implements robust.Attack.
func (a AutoAttack) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	members, err := a.For(v.Model).(AutoAttack).members(v, p)
	if err != nil {
		return nil, err
	}
	result, err := tensors.CopyFlatData[float32](p.Images)
	if err != nil {
		return nil, err
	}
	progress := p.Progress
	if progress == nil {
		progress = report.Silent{}
	}
	p.Progress = nil // of members
	standing := robust.Rows(p.Images.Shape().Dimensions[0])
	found := &robust.Perturbation{}
	for turn, member := range members {
		start := time.Now()
		progress.Begin(member.Name(), 0, len(standing))
		of := p
		of.Seed += int64(turn) * 1_000_003
		left, err := a.stage(ctx, v, member, of, standing, result, progress)
		progress.End()
		if err != nil {
			return nil, err
		}
		found.Stages = append(found.Stages, robust.Stage{Attack: member.Name(), Access: member.Access(),
			Attacked: len(standing), Fell: len(standing) - len(left), Elapsed: time.Since(start)})
		standing = left
	}
	found.Images = tensors.FromFlatDataAndDimensions(result, p.Images.Shape().Dimensions...)
	return found, nil
}

// stage runs a member on what is standing, writes what it finds into result, and returns what stands still.
func (a AutoAttack) stage(ctx context.Context, v *robust.Victim, member robust.Attack, p robust.Problem, standing []int, result []float32,
	progress report.Progress) (left []int, err error) {
	defer v.Split(len(standing))()
	size, seed := len(result)/p.Images.Shape().Dimensions[0], p.Seed
	for number, rows := range slices.Collect(v.Batches(standing)) {
		p.Seed = seed + int64(number)*7_919
		part, err := v.Delegate(ctx, member, p, rows, a.Dir)
		if err != nil {
			return nil, err
		}
		for i, r := range rows {
			copy(result[r*size:(r+1)*size], part.Pixels[i*size:(i+1)*size])
			if !part.Met[i] {
				left = append(left, r)
			}
		}
		progress.Advance(len(rows))
	}
	return left, nil
}
