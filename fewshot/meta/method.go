package meta

import (
	"cmp"
	"fmt"
	"math"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/robust"
)

// Regularizer is the term that makes a model robust.
type Regularizer string

const (
	// AdversarialCE is the cross-entropy of perturbed images.
	AdversarialCE Regularizer = "ce"
	// TRADES is KL between the predictions on clean and on perturbed images, of support, query and unlabeled images: it
	// needs no labels (arXiv 1901.08573).
	TRADES Regularizer = "trades"
)

// Method is one way to meta-train. The zero value is MAML with second-order gradients (arXiv 1703.03400); GammaIn and
// GammaOut make it robust MAML (arXiv 2102.10454):
//
//	θ_i ← θ_i - α·∇[ℓ(θ_i; support) + GammaIn·R(θ_i; support)]                              for each task i
//	min_θ  mean_i  ℓ(θ_i; query) + GammaOut·R(θ_i; query) + GammaCL·ℓ_CL(θ)
//
// Attacks see the parameters of the task as constants, and their result is a constant.
type Method struct {
	Name        string      `json:"name"`
	Inner       InnerLoop   `json:"inner"`
	GammaIn     float64     `json:"gamma_in"`       // weight of R in fine-tuning
	GammaOut    float64     `json:"gamma_out"`      // weight of R in the meta-update
	Regularizer Regularizer `json:"regularizer"`    // R; zero: AdversarialCE
	Norm        robust.Norm `json:"norm,omitempty"` // of the attack in training; zero: l-infinity
	Epsilon     float64     `json:"epsilon"`        // radius of the attack in training; zero: 16/255
	AttackSteps int         `json:"attack_steps"`   // zero: FGSM from a random start; else PGD with steps of 2.5·Epsilon/AttackSteps
	GammaCL     float64     `json:"gamma_cl"`       // weight of the contrastive task, on perturbed views; needs Batch.Views
	Temperature float64     `json:"temperature"`    // of the contrastive task; zero: 0.5
	LR          float64     `json:"lr"`             // of Adam, for the meta-update; zero: 3e-3
}

// WithDefaults fills in the zero fields.
func (m Method) WithDefaults() Method {
	m.Inner = m.Inner.withDefaults()
	m.Regularizer, m.Epsilon = cmp.Or(m.Regularizer, AdversarialCE), cmp.Or(m.Epsilon, 16./255)
	m.Temperature, m.LR = cmp.Or(m.Temperature, 0.5), cmp.Or(m.LR, 3e-3)
	return m
}

// Validate reports what cannot work on examples with these bounds, those of the model.
func (m Method) Validate(bounds robust.Box) error {
	m = m.WithDefaults()
	if m.Inner.Steps < 1 {
		return errors.Errorf("meta: %d inner steps: must be at least 1", m.Inner.Steps)
	}
	type setting struct {
		name  string
		value float64
	}
	for _, v := range []setting{{"inner learning rate", m.Inner.LR}, {"learning rate", m.LR}, {"temperature", m.Temperature}} {
		if !(v.value > 0) || math.IsInf(v.value, 1) {
			return errors.Errorf("meta: %s = %g: must be finite and > 0", v.name, v.value)
		}
	}
	for _, v := range []setting{{"gamma_in", m.GammaIn}, {"gamma_out", m.GammaOut}, {"gamma_cl", m.GammaCL}} {
		if !(v.value >= 0) || math.IsInf(v.value, 1) {
			return errors.Errorf("meta: %s = %g: must be finite and at least 0", v.name, v.value)
		}
	}
	if m.Regularizer != AdversarialCE && m.Regularizer != TRADES {
		return errors.Errorf("meta: regularizer %q: want %s or %s", m.Regularizer, AdversarialCE, TRADES)
	}
	if m.AttackSteps < 0 {
		return errors.Errorf("meta: %d attack steps: want 0 for FGSM, or more for PGD", m.AttackSteps)
	}
	return errors.WithMessage(Ball{m.Norm, bounds}.CheckRadius(m.Epsilon), "meta")
}

// attacks tells whether training meets perturbed examples.
func (m Method) attacks() bool { return m.GammaIn > 0 || m.GammaOut > 0 || m.GammaCL > 0 }

// Order names the kind of meta-gradient: "second order", "first order".
func (m Method) Order() string {
	if m.Inner.FirstOrder {
		return "first order"
	}
	return "second order"
}

// Passes counts the forward passes with a backward pass that one meta-update makes a task: a measure of training cost that
// does not depend on the machine.
func (m Method) Passes() int {
	m = m.WithDefaults()
	attack := max(1, m.AttackSteps)
	n := m.Inner.Steps + 1
	if m.GammaIn > 0 {
		n += m.Inner.Steps * (attack + 1)
	}
	if m.GammaOut > 0 {
		n += attack + 1
	}
	if m.GammaCL > 0 {
		n += attack + 1
	}
	return n
}

// String tells the method in a line.
func (m Method) String() string {
	m = m.WithDefaults()
	text := fmt.Sprintf("%s, α=%g, %d inner steps", m.Order(), m.Inner.LR, m.Inner.Steps)
	if m.Inner.HeadOnly {
		text += ", head only"
	}
	if m.GammaIn > 0 {
		text += fmt.Sprintf(", γ_in=%g", m.GammaIn)
	}
	if m.GammaOut > 0 {
		text += fmt.Sprintf(", γ_out=%g", m.GammaOut)
	}
	if m.GammaIn > 0 || m.GammaOut > 0 {
		attack := "FGSM"
		if m.AttackSteps > 0 {
			attack = fmt.Sprintf("PGD-%d", m.AttackSteps)
		}
		text += fmt.Sprintf(", %s by %s", m.Regularizer, attack)
	}
	if m.GammaCL > 0 {
		text += fmt.Sprintf(", γ_CL=%g", m.GammaCL)
	}
	return text
}
