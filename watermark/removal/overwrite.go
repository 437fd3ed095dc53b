package removal

import (
	"context"
	"fmt"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/watermark"
)

// Overwrite marks the network again, with a key of the thief's own.
type Overwrite struct {
	Key      *watermark.Key
	Embedder watermark.Embedder // zero fields mean its defaults
}

// Name implements [Removal]. It tells nothing of the key but its target.
func (r Overwrite) Name() string {
	if r.Key == nil {
		return "overwriting"
	}
	return join("overwriting", fmt.Sprintf("class %d", r.Key.Target), fmt.Sprintf("%d bits", len(r.Key.Signature)))
}

// Apply implements [Removal].
func (r Overwrite) Apply(ctx context.Context, e *engine.Engine, m *nets.Model, data fit.Data, o fit.Options) (*nets.Model, error) {
	return attempt(ctx, r, m, o, func(c *nets.Model, o fit.Options) error {
		if r.Key == nil {
			return errors.New("no key to overwrite with: make one with watermark.NewKey")
		}
		_, err := r.Embedder.Embed(ctx, e, c, r.Key, data, o)
		return err
	})
}
