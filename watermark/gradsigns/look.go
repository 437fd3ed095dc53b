package gradsigns

import (
	"context"
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/watermark"
	"github.com/trustbook/trustbook/watermark/removal"
)

// Look is what pictures show of one network of the first seed.
type Look struct {
	Network     string    `json:"network"`     // a mark's name, or an attack's on the main one
	Gradient    []float32 `json:"gradient"`    // mean over test images of the target class, as long as an image
	Projections []float64 `json:"projections"` // of the gradient on the rows of the owner's matrix; positive where the bit is right
}

// looked are the attacks whose networks pictures show.
var looked = []string{"fine-tuning, rate 1e-3", "adversarial fine-tuning", "extraction"}

// Look takes the pictures of a seed: networks without and with the main mark, and some attacked ones.
func (s *Study) Look(ctx context.Context, seed int64) ([]Look, error) {
	c := s.Config
	key, err := s.Key(c.main(), seed)
	if err != nil {
		return nil, err
	}
	var all []Look
	add := func(name string, net *nets.Model, err error) error {
		if err != nil {
			return err
		}
		v, err := s.signed(ctx, net)
		if err != nil {
			return err
		}
		l := Look{Network: name, Projections: key.Read(v).Projections}
		for j, bit := range key.Signature {
			if !bit {
				l.Projections[j] = -l.Projections[j]
			}
		}
		for _, x := range v {
			l.Gradient = append(l.Gradient, float32(x))
		}
		all = append(all, l)
		return nil
	}
	for _, m := range c.MarksOf(0)[:3] {
		net, err := s.Train(ctx, m, seed)
		if err := add(m.Name, net, err); err != nil {
			return nil, err
		}
	}
	every := *s
	every.Config.Attacks = nil
	attacks, err := every.Attacks()
	if err != nil {
		return nil, err
	}
	for _, a := range attacks {
		if slices.Contains(looked, a.Name) {
			net, err := s.attacked(ctx, a, seed)
			if err := add(a.Name, net, err); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// Forge makes keys after the fact, from the gradient of a network that nobody marked: one whose signature is whatever a random matrix
// reads, and one whose rows are drawn until they fit a signature. Both then read without an error. What a verification says of them
// is that nobody had committed to them.
func (s *Study) Forge(ctx context.Context, net *nets.Model, seed int64) (*Forged, error) {
	v, err := s.signed(ctx, net)
	if err != nil {
		return nil, err
	}
	_, held := s.Held()
	o := watermark.KeyOptions{Shape: s.Data.Pool.Shape, Target: s.Config.Target, Bits: s.Config.Bits, Carriers: s.Config.Carriers}
	copied, err := removal.Forge(v, fmt.Appendf(nil, "gradsigns, seed %d, forged", seed), "a forger", o)
	if err != nil {
		return nil, err
	}
	named, err := watermark.NewKey(fmt.Appendf(nil, "gradsigns, seed %d, forged", seed), "a forger", o)
	if err != nil {
		return nil, err
	}
	redrawn, _, err := removal.ForgeRows(v, named, seed)
	if err != nil {
		return nil, err
	}
	e, err := watermark.ModelEndpoint(s.e, net, 200)
	if err != nil {
		return nil, err
	}
	asked := *named
	verifier := watermark.Verifier{Samples: min(10, s.Config.Most, held.Shape().Dimensions[0]), Seed: seed}
	verdict, err := verifier.Verify(ctx, e, &asked, held)
	if err != nil {
		return nil, err
	}
	asked.Signature = make([]bool, len(verdict.Bits))
	for j, bit := range verdict.Bits {
		asked.Signature[j] = bit == 1
	}
	if verdict, err = verifier.Verify(ctx, e, &asked, held); err != nil {
		return nil, err
	}
	return &Forged{Copied: bitsOf(copied.Read(v)), Redrawn: bitsOf(redrawn.Read(v)), Asked: bitsOf(&verdict.Reading),
		Result: verdict.Result, Commitment: verdict.Commitment}, nil
}
