package joint

import (
	"context"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/datasets"
	"github.com/trustbook/trustbook/fit"
)

// Data are the sets of a run: the pool from which each seed draws its training examples, and the test examples that
// all networks share.
type Data struct {
	pool, test *datasets.Set
	images     *tensors.Tensor
	labels     []int32
}

// Load gets the data of a configuration.
func Load(ctx context.Context, c Config) (*Data, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	pool, test, err := datasets.Load(ctx, c.Dataset, datasets.Options{Dir: c.DataDir})
	if err != nil {
		return nil, err
	}
	if c.Train > pool.Len() || c.Test > test.Len() {
		return nil, errors.Errorf("joint: %d training and %d test examples wanted, %s has %d and %d",
			c.Train, c.Test, c.Dataset, pool.Len(), test.Len())
	}
	if test, err = test.Take(c.Test, 0); err != nil {
		return nil, err
	}
	d := &Data{pool: pool, test: test, labels: test.Labels}
	d.images, _ = test.Tensors()
	return d, nil
}

// Test returns the shared test images [n, height, width, channels] and their labels.
func (d *Data) Test() (images *tensors.Tensor, labels []int32) { return d.images, d.labels }

// Sample returns n of the shared test examples, the same at each call and drawn from all classes alike.
func (d *Data) Sample(n int) (images *tensors.Tensor, labels []int32, err error) {
	few, err := d.test.Take(min(n, d.test.Len()), 1)
	if err != nil {
		return nil, nil, err
	}
	images, _ = few.Tensors()
	return images, few.Labels, nil
}

// Describe names the data set, with its note if it has one.
func (d *Data) Describe() string {
	if d.pool.Note != "" {
		return d.pool.Name + " (" + d.pool.Note + ")"
	}
	return d.pool.Name
}

// draw takes the n training examples of a seed.
func (d *Data) draw(n int, seed int64) (fit.Data, error) {
	train, err := d.pool.Take(n, seed)
	if err != nil {
		return fit.Data{}, err
	}
	images, _ := train.Tensors()
	return fit.Data{Images: images, Labels: train.Labels, Checksum: train.Checksum()}, nil
}
