package joint

import (
	"context"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fit"
)

// Load gets the data of a configuration.
func Load(ctx context.Context, c Config) (*fit.Sets, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := fit.LoadSets(ctx, c.Dataset, c.DataDir, c.Train, c.Test)
	return d, errors.WithMessage(err, "joint")
}
