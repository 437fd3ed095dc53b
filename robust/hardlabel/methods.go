package hardlabel

import (
	"strings"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/study"
)

// Method is a way to train the attacked network.
type Method struct {
	Name   string
	About  string // a line for readers
	Phases []fit.Phase
}

// The compared networks.
const (
	Natural = "natural"
	Robust  = "adversarially trained"
)

// Methods returns them, in the order in which tables show them. Adversarial training begins with a stretch of cross-entropy:
// from random weights it may stall.
func (c Config) Methods() []Method {
	inner := attack.Inner{Threat: robust.Threat{Norm: robust.Linf, Epsilon: c.Epsilon}, Steps: c.Steps}
	return []Method{
		{Natural, "cross-entropy", []fit.Phase{{Epochs: c.Epochs, Loss: fit.CrossEntropy()}}},
		{Robust, "cross-entropy, then on what PGD in linf makes of each batch", []fit.Phase{{Epochs: c.WarmUp, Loss: fit.CrossEntropy()},
			{Epochs: c.RobustEpochs, Loss: attack.AdversarialTraining(inner)}}},
	}
}

// method is one of Methods by its name.
func (c Config) method(name string) (Method, error) {
	found, err := study.Pick("method", []string{name}, c.Methods(), func(m Method) string { return m.Name })
	if err != nil {
		return Method{}, err
	}
	return found[0], nil
}

// The attacks. The first two are compared in several spaces; the others stand beside.
const (
	HopSkipJump = "HopSkipJump"
	SignOPT     = "Sign-OPT"
	RayS        = "RayS" // in linf, over directions of signs
	PGD         = "PGD"  // in l2, by gradients
)

// Searches are the attacks that draw random directions.
var Searches = []string{HopSkipJump, SignOPT}

// search is one of Searches, in a space of directions.
func search(name string, queries int, budgets []int, in attack.Directions) robust.Attack {
	if name == SignOPT {
		return attack.SignOPT{Queries: queries, Budgets: budgets, Directions: in}
	}
	return attack.HopSkipJump{Queries: queries, Budgets: budgets, Directions: in}
}

// The spaces that are no [attack.Directions] by name: those of an autoencoder that is trained for it, and what attacks that draw no
// directions move in.
const (
	SpaceAutoencoder = "autoencoder"
	SpaceSigns       = "signs"
	SpaceGradient    = "gradient"
)

// checkSpace reports a space that there is not.
func checkSpace(name string) error {
	if name == SpaceAutoencoder {
		return nil
	}
	if _, err := attack.ParseDirections(name); err != nil {
		return errors.New(strings.Replace(err.Error(), "want full", "want autoencoder, full", 1))
	}
	return nil
}
