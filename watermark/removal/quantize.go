package removal

import (
	"context"
	"fmt"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Quantize rounds each matrix and kernel to so many bits, symmetric around zero: q·round(w/q) with the step
// q = max|w| / (2^(Bits-1) - 1), halves to even; vectors, such as biases, stay. It needs no data. (The authors' script takes
// the largest signed value in the place of max|w|, which clips where the most negative value is the largest.)
type Quantize struct {
	Bits int // 2 to 16
}

// Name implements [Removal].
func (r Quantize) Name() string { return join("quantization", fmt.Sprintf("%d bits", r.Bits)) }

// Apply implements [Removal].
func (r Quantize) Apply(ctx context.Context, _ *engine.Engine, m *nets.Model, _ fit.Data, o fit.Options) (*nets.Model, error) {
	return attempt(ctx, r, m, o, func(c *nets.Model, _ fit.Options) error {
		if r.Bits < 2 || r.Bits > 16 {
			return errors.Errorf("%d bits: want 2 to 16", r.Bits)
		}
		if err := checkMatrices(c); err != nil {
			return err
		}
		for _, w := range c.Weights() {
			if w.Shape().Rank() < 2 {
				continue
			}
			if err := edit(w, func(values []float32) { nets.RoundBits(values, r.Bits) }); err != nil {
				return err
			}
		}
		return nil
	})
}
